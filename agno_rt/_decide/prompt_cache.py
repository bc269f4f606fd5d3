"""Tells from token counts whether a provider's cache missed the beginning of a request. Pure."""

from __future__ import annotations

__all__ = ["has_missed"]

_LEAST_TOKENS = 1_024
"""The shortest beginning that the large providers keep in their caches."""


def has_missed(before: int, cached: int) -> bool:
    """Return whether the cache had less than half of the `before` tokens that it had of the last request.

    Providers keep whole blocks, so that a smaller difference means nothing.
    """
    return before >= _LEAST_TOKENS and cached < before // 2
