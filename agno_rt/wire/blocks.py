"""Parts shared by formats with blocks (Anthropic's messages, Bedrock's Converse): texts, reasons, counts. Pure.

An answer is a list of blocks: texts, thoughts, calls. A `ModelResponse` has one text and one reasoning, so the texts of
several blocks are paragraphs of one text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agno_rt.models import FinishReason
from agno_rt.wire._text import mend_text

__all__ = ["LEFT_OUT", "Paragraphs", "Reasons", "check_text", "encode_blocks", "read_count", "settle_reason"]

Reasons = Mapping[str, tuple[FinishReason, bool]]
"""By the service's word for the end of an answer: the finish reason, and whether the word says more."""

LEFT_OUT = "(Earlier messages are left out.)"
"""Stands for the user before an answer at the beginning of a conversation, whose window may cut between two answers:
services want the user first."""

_MOST_TOKENS = 2**53  # beyond, JSON numbers are not exact everywhere


class Paragraphs:
    """Joins the texts of blocks, piece by piece: the blocks are paragraphs of one text."""

    __slots__ = ("_gap", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._gap = False

    def __bool__(self) -> bool:
        """True if the text has more than white space."""
        return any(piece.strip() for piece in self._pieces)

    @property
    def text(self) -> str:
        """The whole text, as the listeners saw it."""
        return "".join(self._pieces)

    def begin(self) -> None:
        """Begin a paragraph with the next piece, unless it is the first."""
        self._gap = bool(self._pieces)

    def add(self, piece: str) -> str:
        """Add a piece, and return it as a listener should see it."""
        if not piece.isascii():
            piece = mend_text(piece)
        if self._gap and piece.strip():
            self._gap = False
            piece = f"\n\n{piece}"
        self._pieces.append(piece)
        return piece


def settle_reason(word: str, reasons: Reasons, *, has_calls: bool) -> tuple[FinishReason, str]:
    """Return the finish reason, and the service's word if the word says more; an unknown word says more than `stop`.

    An answer with calls ends with calls, whatever a service says, and an answer without calls never does.
    """
    reason, says_more = reasons.get(word, ("stop", True))
    if reason == "tool_calls" and not has_calls:
        reason, says_more = "stop", True
    elif has_calls and reason == "stop":
        reason = "tool_calls"
    return reason, word if says_more else ""


def encode_blocks(blocks: Sequence[Any]) -> msgspec.Raw | None:
    """Return the blocks as JSON for the next request; `None` if the service could not read them again.

    A call's arguments that are not JSON (`msgspec.Raw`) would make every later request invalid.
    """
    try:
        data = msgspec.json.encode(blocks)
        msgspec.json.decode(data)
    except (UnicodeEncodeError, msgspec.DecodeError):
        return None
    return msgspec.Raw(data)


def check_text(text: Any) -> str:
    """Return the text. Raises `ValueError` for another value."""
    if type(text) is not str:
        raise ValueError(f"a text is {type(text).__name__}")
    return text


def read_count(value: Any) -> int:
    """Return the count, 0 if unreadable: a bad count must not discard an answer that was paid for."""
    return int(value) if isinstance(value, int | float) and 0 <= value < _MOST_TOKENS else 0
