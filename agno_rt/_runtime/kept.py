"""Keeps derived things by their keys, of each kind only so many."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["KEPT", "keep"]

KEPT = 1_000
"""The most derived things kept of a kind. Agents made for each run must not fill the memory."""

K = TypeVar("K")
V = TypeVar("V")


def keep(kept: dict[K, V], key: K, value: V) -> None:
    """Keep a derived thing by its key. At `KEPT` things, forget all of them first."""
    if len(kept) >= KEPT:
        kept.clear()
    kept[key] = value
