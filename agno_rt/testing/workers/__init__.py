"""Kills processes that share a store, and checks that the runs are finished by others."""
