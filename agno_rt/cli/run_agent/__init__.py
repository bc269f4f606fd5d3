"""Helpers that run an agent for a person at a terminal: show the run, ask for decisions, report the outcome."""
