"""What a memory backend keeps and how it is asked: sessions, appended to in one step. Knows nothing of runs or trio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import attrs

from agno_rt.errors import UsageError
from agno_rt.messages import Message

__all__ = ["MemoryBackend", "MemoryPolicy", "Session", "SessionInfo"]


@attrs.define
class Session:
    """A conversation as it was read: at most the asked-for number of its last messages, and the version it had."""

    id: str
    messages: Sequence[Message] = ()
    version: int = 0
    user: str | None = None


@attrs.frozen
class SessionInfo:
    """A session in a list: its size, and when it was made and last written (seconds since the epoch)."""

    id: str
    user: str | None
    messages: int
    created_at: float
    updated_at: float


def _at_least_none(policy: MemoryPolicy, field: object, messages: int | None) -> None:
    if messages is not None and (not isinstance(messages, int) or messages < 0):
        raise UsageError(
            f"a memory policy of {messages!r} messages", hint="Give a whole number from 0, or None for all."
        )


@attrs.frozen
class MemoryPolicy:
    """What of the past goes to the model: the last `messages` of the session, or all of them for `None`.

    A tool call and its results count as one and are never parted, so a little less may go.
    """

    messages: int | None = attrs.field(default=100, validator=_at_least_none)


@runtime_checkable
class MemoryBackend(Protocol):
    """What a memory plugin implements. Every method raises `BackendError` where the store cannot be used.

    A backend may be shared by any number of tasks. A method that is cancelled while it waits to begin does nothing;
    once it has begun to write it finishes, shielded, and returns: the caller must know which of the two it was.
    """

    async def load(self, session: str, last: int | None = None) -> Session:
        """The session with its last `last` messages (all for `None`); one never written to is empty, version 0."""
        ...

    async def append(self, session: str, messages: Sequence[Message], *, version: int, user: str | None = None) -> int:
        """Add the messages in one atomic step and return the new version.

        `version` is the one that was read; where the session has moved on, nothing is stored and `SessionConflict` is
        raised. The first append makes the session, and `user` is noted then.
        """
        ...

    async def sessions(self, *, user: str | None = None, limit: int = 100) -> list[SessionInfo]:
        """The sessions written to last, newest first; of one user where one is named."""
        ...

    async def delete(self, session: str) -> bool:
        """Forget the session; whether there was one."""
        ...

    async def aclose(self) -> None:
        """Let go of what is open. Later calls may raise."""
        ...
