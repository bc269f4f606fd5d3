"""Names for the sessions of chats: `chat-assistant`, `chat-assistant.2`, and `chat-assistant@PROJECT` in a shared file.

Opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from agno_rt.cli.default_memory import tilde
from agno_rt.cli.target import Target
from agno_rt.config import FILE_NAME
from agno_rt.memory import SessionInfo

__all__ = ["latest_session", "may_be_of_project", "next_name", "session_stem"]


def session_stem(target: Target, *, shared: bool) -> str:
    """Return the common beginning of the names of an agent's chats; in a `shared` memory the project is part of it."""
    stem = f"chat-{target.agent.name}"
    if not shared or not target.origin:
        return stem
    path = Path(target.origin)
    if not path.exists():
        return f"{stem}@{target.origin}"
    # Two projects may have agents of the same name, and a chat in one project must not read the other's messages.
    path = path.resolve()
    return f"{stem}@{tilde(path.parent if path.name == FILE_NAME else path)}"


def latest_session(stem: str, sessions: Sequence[SessionInfo], user: str | None) -> str:
    """Return the user's latest session of the stem, or a new name if there is none. `sessions` come newest first."""
    own = (info.id for info in sessions if info.user == user and _session_number(stem, info.id))
    return next(own, "") or next_name(stem, sessions)


def may_be_of_project(stem: str, session: str) -> bool:
    """Tell whether a session may be of the stem's project: only a name with another project in it is excluded."""
    project = stem.partition("@")[2]
    of, at, other = session.partition("@")
    return not (at and of.startswith("chat-") and _session_number(f"@{project}", f"@{other}") == 0)


def next_name(stem: str, sessions: Iterable[SessionInfo]) -> str:
    """Return a name that no session has yet: `chat-assistant`, then `chat-assistant.2`, and so on."""
    number = max((_session_number(stem, info.id) for info in sessions), default=0) + 1
    return stem if number == 1 else f"{stem}.{number}"


def _session_number(stem: str, session: str) -> int:
    """Return the number of the session among those of the stem; 0 for a session of another stem."""
    match = re.fullmatch(rf"{re.escape(stem)}(?:\.(\d+))?", session)
    return int(match[1] or 1) if match else 0
