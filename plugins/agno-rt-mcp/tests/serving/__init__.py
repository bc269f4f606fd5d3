"""Tests of the server of agents."""
