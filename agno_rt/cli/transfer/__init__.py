"""Moves stored things out of a store and into another, as JSON lines: sessions, runs, facts, approvals, documents."""
