"""Shortens large results of tools for the model, and reads and searches the whole ones. Pure.

The transcript keeps the whole result: the session, the journal and the `RunResult` have it, so that nothing else has to
be stored, owned or deleted. The same result always has the same preview, so that requests keep their beginning.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import attrs

from agno_rt.memory import LargeResults
from agno_rt.messages import Message

__all__ = ["find_result", "name_of", "read_part", "search_text", "shorten"]

MOST_HITS = 20
"""The most places that one search shows."""
AROUND = 100
"""The characters shown on either side of a place."""


def name_of(text: str) -> str:
    """Return the name of a result: the beginning of its checksum, since ids of calls may repeat in a session."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def shorten(message: Message, policy: LargeResults) -> Message | None:
    """Return the message with a preview for a large result of a tool, and `None` for every other message."""
    text = message.content
    if message.role != "tool" or not isinstance(text, str) or len(text) <= policy.characters:
        return None
    end = policy.preview // 4
    start = policy.preview - end
    said = (
        f"[This result is {name_of(text)}. It has {len(text):,} characters in {text.count(chr(10)) + 1:,} lines. Here"
        f" are its first {start:,} and its last {end:,}. read_result and search_result show the rest.]"
    )
    return attrs.evolve(message, content=f"{said}\n{text[:start]}\n[...]\n{text[len(text) - end :]}")


def find_result(messages: Iterable[Message], name: str, policy: LargeResults) -> str | None:
    """Return the text of the large result with this name among the messages."""
    for message in messages:
        text = message.content
        if message.role == "tool" and isinstance(text, str) and len(text) > policy.characters and name_of(text) == name:
            return text
    return None


def read_part(text: str, start: int, most: int) -> str:
    """Return at most `most` characters from `start` on, with their place; a negative `start` counts from the end."""
    first = max(0, len(text) + start) if start < 0 else start
    part = text[first : first + most]
    if not part:
        return f"There is nothing at {start:,}: the text has {len(text):,} characters."
    return f"[characters {first:,} to {first + len(part):,} of {len(text):,}]\n{part}"


def search_text(text: str, words: str) -> str:
    """Return the places of the words in the text, in any case, each with its surroundings."""
    words = words.strip()
    if not words:
        return "Give words to search for."
    found = list(re.finditer(re.escape(words), text, re.IGNORECASE))
    if not found:
        return f"{words!r} is not in the text."
    lines = [f"{len(found):,} {'place' if len(found) == 1 else 'places'}; read_result reads on from a number:"]
    for match in found[:MOST_HITS]:
        first = max(0, match.start() - AROUND)
        around = " ".join(text[first : match.end() + AROUND].split())
        lines.append(f"{match.start()}: {around}")
    return "\n".join(lines)
