"""Prepares the context of a run besides the history: asks context providers, compacts, keeps large results aside."""
