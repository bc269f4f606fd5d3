"""What `memory:` keeps at most, what a message takes of it, and what is said when there is no more room. Pure."""

from __future__ import annotations

import warnings

import attrs

from agno_rt.errors import BackendError
from agno_rt.messages import Media, Message

__all__ = [
    "LIGHT_CHARACTERS",
    "MEBIBYTE",
    "MESSAGE_BYTES",
    "MemoryBounds",
    "no_room",
    "size_beyond",
    "warn_of_forgetting",
]

MEBIBYTE = 2**20
MESSAGE_BYTES = 1_000
"""What each message is taken to hold: itself, and a text of the usual length."""
LIGHT_CHARACTERS = 500
"""Texts up to this length are of the usual length."""

_ELSEWHERE = "Use memory = 'sqlite:///agents.db', which forgets nothing, for more."


@attrs.frozen
class MemoryBounds:
    """What `memory:` keeps at most.

    Attributes:
        sessions: sessions; those used longest ago are forgotten
        runs: stored runs; those that are over are forgotten, the longest unchanged first
        facts: facts about all users together; one more is refused
        cached: cached answers; those asked for longest ago are forgotten
        size: bytes of all sessions together, as estimated, and the same of all journals, and of all cached answers. A
            session that is larger by itself is refused
    """

    sessions: int = 10_000
    runs: int = 10_000
    facts: int = 100_000
    cached: int = 10_000
    size: int = 256 * MEBIBYTE


def size_beyond(message: Message) -> int:
    """About how many bytes the message holds beyond what is taken for granted."""
    content = message.content
    parts = (content,) if isinstance(content, str) else content
    texts = [message.reasoning or "", *(call.arguments for call in message.tool_calls)]
    texts += [part for part in parts if isinstance(part, str)]
    media = [part for part in parts if isinstance(part, Media)]
    texts += [part.url for part in media if part.url is not None]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + sum(
        len(part.data) for part in media if part.data is not None
    )


def no_room(what: str, bound: str) -> BackendError:
    """What is said to whom nothing can be kept for."""
    return BackendError(f"memory: has no room for {what}: it keeps {bound}", hint=_ELSEWHERE)


def warn_of_forgetting(what: str, bound: str) -> None:
    """Say that something is forgotten from now on."""
    warnings.warn(
        f"memory: keeps {bound}; from now on {what} are forgotten. {_ELSEWHERE}", RuntimeWarning, stacklevel=4
    )
