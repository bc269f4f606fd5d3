"""The protocols of a memory backend for the sizes of all parts, and for forgetting old sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import attrs

__all__ = ["PartSize", "SessionPruning", "SizedStore", "StoreSize"]


@attrs.frozen
class PartSize:
    """The size of a part of a store: sessions, messages, runs, entries, approvals, signals, events, facts, cache.

    `bytes` is the size of the part's values, or None if counting would be dear. `oldest` and `newest` are the
    times of the first making and of the last change, None if the part is empty or keeps no times.
    """

    name: str
    count: int
    bytes: int | None = None
    oldest: float | None = None
    newest: float | None = None


@attrs.frozen
class StoreSize:
    """The sizes of the parts of a store; `bytes` is the whole store, with indexes and free space, None if unknown."""

    parts: Sequence[PartSize]
    bytes: int | None = None


@runtime_checkable
class SizedStore(Protocol):
    """The protocol of a memory backend with a known size."""

    async def find_size(self) -> StoreSize:
        """Count everything. May read the whole store."""
        ...


@runtime_checkable
class SessionPruning(Protocol):
    """The protocol of a memory backend for forgetting old sessions."""

    async def prune_sessions(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """Forget sessions as `delete` does, and return the ids; with `dry_run`, only return the ids.

        Forgotten are sessions written to last `older_than` seconds ago or longer, and the least recently written
        sessions beyond the `keep` written last. A session stays while a run in the session is running or paused.
        """
        ...
