"""The protocol of a memory backend to copy everything from, and into, with times, owners and versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from agno_rt.memory import Fact
from agno_rt.messages import Message
from agno_rt.run_store import Approval, Entry, RunRecord, Signal

__all__ = ["CopyKind", "CopyStore", "RunCopy", "SessionCopy"]

CopyKind: TypeAlias = Literal["sessions", "facts", "runs"]


def _freeze_messages(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(messages)


@attrs.frozen
class SessionCopy:
    """A session with messages from number `first` on, counted from 1. The fields are as stored."""

    id: str
    user: str | None
    version: int
    created_at: float
    updated_at: float
    title: str = ""
    agent: str = ""
    data: bytes = b""
    total: int = 0
    first: int = 1
    messages: Sequence[Message] = attrs.field(default=(), converter=_freeze_messages)


@attrs.frozen
class RunCopy:
    """A run with its journal, approvals, signals and events. The events are numbered from 1."""

    record: RunRecord
    entries: Sequence[Entry] = ()
    approvals: Sequence[Approval] = ()
    signals: Sequence[Signal] = ()
    events: Sequence[bytes] = ()


@runtime_checkable
class CopyStore(Protocol):
    """The protocol of a memory backend for `agno-rt memory copy`.

    A run is read by the methods of `RunStore`, `SignalStore` and `EventLog`, facts by the methods of `FactStore`. Each
    import is atomic, and keeps times, owners and versions.
    """

    async def list_ids(self, kind: CopyKind) -> list[str]:
        """Return the ids of all sessions or runs, the least recently changed first, or of all users with facts."""
        ...

    async def export_session(self, session: str, *, after: int = 0, limit: int = 1000) -> SessionCopy | None:
        """Return the session with at most `limit` messages above the number `after`; None for an unknown session."""
        ...

    async def import_session(self, copy: SessionCopy) -> None:
        """Add the messages to the session, which ends before `copy.first`, and store the other fields unchanged.

        Raises `SessionConflict` for a session with another number of messages, `Forbidden` for another user's.
        """
        ...

    async def import_facts(self, user: str, facts: Sequence[Fact]) -> int:
        """Store facts about the user, given the last changed first, and return the number of new facts.

        A fact with an id or a text that is stored already is left out. The imported facts keep order, ids and times,
        and later facts get other ids.
        """
        ...

    async def import_run(self, copy: RunCopy) -> bool:
        """Store the run unchanged, as the most recently changed run, in place of an older copy of the run.

        Returns False, and changes nothing, for a run stored with the same or a later `updated_at`. Raises
        `RunConflict` for the id of another run's approval.
        """
        ...
