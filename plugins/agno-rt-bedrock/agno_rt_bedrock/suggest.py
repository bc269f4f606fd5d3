"""Suggestions for an unknown model spec: models of Bedrock without their plugin."""

from __future__ import annotations

import re

__all__ = ["suggest"]

_ID = re.compile(
    r"(?:[a-z-]+\.)?(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|qwen)\.[a-z0-9]|arn:aws[a-z-]*:bedrock:"
)


def suggest(spec: str) -> str:
    """Return the spec to write instead, or "" if the spec does not look like a model of Bedrock."""
    return f"Write bedrock:{spec}." if _ID.match(spec) else ""
