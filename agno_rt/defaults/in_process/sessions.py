"""A session of `InProcessMemory`."""

from __future__ import annotations

import attrs

from agno_rt.memory import SessionInfo, first_words
from agno_rt.messages import Message

__all__ = ["StoredSession", "summarize_session"]


@attrs.define(eq=False)
class StoredSession:
    """A session with a size: `counted` messages of usual length, and the bytes `beyond` these."""

    user: str | None
    created_at: float
    updated_at: float
    version: int = 0
    messages: list[Message] = attrs.Factory(list)
    data: bytes = b""
    agent: str = ""
    title: str = ""
    counted: int = 0
    beyond: int = 0
    is_counted: bool = True
    is_full: bool = False

    def called(self) -> str:
        """Return the session's title. Its first words are extracted only on demand, so that no run pays for them."""
        if not self.title:
            self.title = first_words(self.messages)
        return self.title


def summarize_session(session: str, stored: StoredSession) -> SessionInfo:
    """Return the session's entry in a list."""
    return SessionInfo(
        session,
        stored.user,
        len(stored.messages),
        stored.created_at,
        stored.updated_at,
        stored.called(),
        stored.agent,
    )
