"""Suggestions for an unknown model spec: Claude's models without their plugin."""

from __future__ import annotations

__all__ = ["suggest"]


def suggest(spec: str) -> str:
    """Return the spec to write instead, or "" if the spec does not look like one of Claude's models."""
    first, colon, rest = spec.partition(":")
    model = rest if colon and first.lower() == "claude" else spec
    return f"Write anthropic:{model}." if model.startswith("claude-") else ""
