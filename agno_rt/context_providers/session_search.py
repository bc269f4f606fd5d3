"""Search by words over the sessions of one user: by the memory backend if possible, else by reading the sessions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import attrs
import trio

from agno_rt.facts import ranked
from agno_rt.memory import Fact, MemoryBackend, SessionInfo
from agno_rt.messages import Message

__all__ = [
    "READ_CHARACTERS",
    "FoundMessage",
    "SessionSearch",
    "query_terms",
    "scan_sessions",
    "search_sessions",
    "spaced_text",
]

SCANNED_SESSIONS = 200
"""The most sessions to read for one search, from the last written to on."""
SCANNED_MESSAGES = 20_000
READ_CHARACTERS = 10_000
"""The most characters of a message to search."""
QUERY_CHARACTERS = 1_000
_PAGE = 50

_WORD = re.compile(r"[^\W_]+")
_TIGHT = re.compile("[\u2e80-\ud7ff\uf900-\ufaff]")
"""Characters of scripts that leave no spaces between words: Chinese, Japanese and Korean."""


@attrs.frozen
class FoundMessage:
    """A message of a past session: its place, from 1 on, its role and text, and the session's last change."""

    session: str
    number: int
    role: str
    text: str
    updated_at: float


@runtime_checkable
class SessionSearch(Protocol):
    """The protocol of a memory backend that searches sessions itself. Optional: sessions of other backends are read.

    The rules for the methods of a `MemoryBackend` apply here too; `SearchContract` tests them.
    """

    async def search_sessions(self, words: str, *, user: str | None, limit: int = 10) -> list[FoundMessage]:
        """Return messages of users and assistants that fit the words, best first, out of the user's own sessions.

        `None` stands for the sessions without a user. The words are taken literally, with any signs; blank words find
        nothing. A message with more of the words comes first. Deleted sessions are not found.
        """
        ...


async def search_sessions(
    memory: MemoryBackend, words: str, *, user: str | None, limit: int = 10
) -> list[FoundMessage]:
    """Search the user's sessions in any memory backend; see `SessionSearch.search_sessions`."""
    if not words.strip():
        return []
    if isinstance(memory, SessionSearch):
        return await memory.search_sessions(words, user=user, limit=limit)
    return await scan_sessions(memory, words, user=user, limit=limit)


async def scan_sessions(memory: MemoryBackend, words: str, *, user: str | None, limit: int = 10) -> list[FoundMessage]:
    """Search by reading the user's sessions, up to bounds on the number of sessions and messages."""
    words = words[:QUERY_CHARACTERS]
    if not words.strip():
        return []
    found: list[FoundMessage] = []
    seen = 0
    before: tuple[float, str] | None = None
    while seen < SCANNED_SESSIONS and len(found) < SCANNED_MESSAGES:
        infos = await memory.sessions(user=user, unowned=user is None, before=before, limit=_PAGE)
        for info in infos:
            session = await memory.load(info.id)
            if session.user == user:  # deleted meanwhile, and begun by another user
                found += list_searched(info, session.messages)
        seen += len(infos)
        if len(infos) < _PAGE:
            break
        before = infos[-1].updated_at, infos[-1].id
    # In a thread: the words of thousands of messages take a second, in which other runs go on.
    return await trio.to_thread.run_sync(_rank, found, words, limit)


def list_searched(info: SessionInfo, messages: Iterable[Message]) -> list[FoundMessage]:
    """Return the messages of a session that a search looks at, without the calls and results of tools."""
    return [
        FoundMessage(info.id, number, message.role, message.text[:READ_CHARACTERS], info.updated_at)
        for number, message in enumerate(messages, 1)
        if message.role in ("user", "assistant") and message.text
    ]


def _rank(found: list[FoundMessage], words: str, limit: int) -> list[FoundMessage]:
    if not query_terms(words):
        # Signs alone, as in `(` or an emoji.
        return [each for each in found if words.strip().casefold() in each.text.casefold()][:limit]
    best = ranked([Fact(str(at), "", each.text, 0, 0) for at, each in enumerate(found)], words, limit)
    if best:
        return [found[int(fact.id)] for fact in best]
    # Common words alone, which do not count among others.
    terms = query_terms(words)
    return [each for each in found if all(term in each.text.casefold() for term in terms)][:limit]


def query_terms(words: str) -> list[str]:
    """Return the words of a query in small letters, each once."""
    return list(dict.fromkeys(_WORD.findall(unicodedata.normalize("NFKC", words[:QUERY_CHARACTERS]).casefold())))


def spaced_text(text: str) -> str:
    """Return the text with spaces around the characters of scripts without spaces, for an index by words."""
    return _TIGHT.sub(r" \g<0> ", unicodedata.normalize("NFKC", text).casefold())
