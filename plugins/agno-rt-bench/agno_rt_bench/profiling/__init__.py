"""Profilers: the program to profile, how it is run and stopped, and the tools that watch it."""
