"""Keeps derived things by their keys, of each kind only so many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["KEPT", "find_made", "keep"]

KEPT = 1_000
"""The most derived things kept of a kind. Agents made for each run must not fill the memory."""

K = TypeVar("K")
V = TypeVar("V")


def keep(kept: dict[K, V], key: K, value: V) -> None:
    """Keep a derived thing by its key. At `KEPT` things, forget all of them first."""
    if len(kept) >= KEPT:
        kept.clear()
    kept[key] = value


def find_made(made: dict[tuple[Any, ...], V], entries: Sequence[Any], make: Callable[[tuple[Any, ...]], V]) -> V:
    """Return the thing made of these entries, and keep it for other agents with the same entries."""
    key = tuple(entries)
    try:
        known = made.get(key)
    except TypeError:
        return make(key)  # an entry that compares by value may have no hash, and then cannot be found again
    if known is None:
        known = make(key)
        keep(made, key, known)
    return known
