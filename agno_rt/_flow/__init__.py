"""Carries out runnables that conduct others, under trio: groups, recorded steps, questions, durable waits."""
