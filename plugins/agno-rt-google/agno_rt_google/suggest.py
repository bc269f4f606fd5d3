"""Suggestions for an unknown model spec: Gemini models without their plugin."""

from __future__ import annotations

__all__ = ["suggest"]

_OTHER_NAMES = {"gemini", "google-gla", "vertex", "vertexai", "google-vertex"}


def suggest(spec: str) -> str:
    """Return the spec to write instead, or "" if the spec does not look like a Gemini model."""
    first, colon, rest = spec.partition(":")
    known = first.lower() in _OTHER_NAMES
    model = rest if colon and known else spec
    if not model.startswith("gemini-"):
        return ""
    return f"Write google:{'vertex:' if known and 'vertex' in first.lower() else ''}{model}."
