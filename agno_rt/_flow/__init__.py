"""Carries out conducting runnables under trio: groups, recorded steps, questions, durable waits."""
