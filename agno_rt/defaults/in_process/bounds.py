"""The bounds of `memory:`: their defaults, the size of a message, the error and warning at a bound. Pure."""

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
"""The estimated size of a message with a text of usual length."""
LIGHT_CHARACTERS = 500
"""The usual length of a text: only longer texts are measured."""

_ELSEWHERE = "Use memory = 'sqlite:///agents.db', which forgets nothing, for more."


@attrs.frozen
class MemoryBounds:
    """The most that `memory:` keeps.

    Attributes:
        sessions: sessions; the least recently used are forgotten first
        runs: stored runs; finished runs are forgotten, the least recently changed first
        facts: facts about all users together; one more is refused
        cached: cached answers; the least recently read are forgotten first
        size: estimated bytes of all sessions together; also the bound for all journals, and for all cached answers. An
            append that makes one session larger than this is refused
    """

    sessions: int = 10_000
    runs: int = 10_000
    facts: int = 100_000
    cached: int = 10_000
    size: int = 256 * MEBIBYTE


def size_beyond(message: Message) -> int:
    """Estimate how many bytes the message holds beyond `MESSAGE_BYTES`."""
    content = message.content
    parts = (content,) if isinstance(content, str) else content
    texts = [message.reasoning or "", *(call.arguments for call in message.tool_calls)]
    texts += [part for part in parts if isinstance(part, str)]
    media = [part for part in parts if isinstance(part, Media)]
    texts += [part.url for part in media if part.url is not None]
    data = [part.data for part in media if part.data is not None]
    if message.native is not None:
        data.append(message.native.data)
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + sum(map(len, data))


def no_room(what: str, bound: str) -> BackendError:
    """Make the error for something that does not fit."""
    return BackendError(f"memory: has no room for {what}: it keeps {bound}", hint=_ELSEWHERE)


def warn_of_forgetting(what: str, bound: str) -> None:
    """Warn that something is forgotten from now on."""
    warnings.warn(
        f"memory: keeps {bound}; from now on {what} are forgotten. {_ELSEWHERE}", RuntimeWarning, stacklevel=4
    )
