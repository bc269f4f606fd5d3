"""Profilers: the program to profile, its start and stop, and the tools that watch the program."""
