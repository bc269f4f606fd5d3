"""Texts that are not Unicode: halves of characters joined where they meet, and replaced where they do not. Pure.

A server that cuts its text by UTF-16 units sends one half of a surrogate pair in each of two chunks; one that cuts by
bytes sends parts of a UTF-8 sequence, which a decoder with `surrogateescape` turns into U+DC80 to U+DCFF. A file name
may hold the same. No encoder takes any of them.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["TextJoiner", "mend_text", "mend_value"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_A_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_UNFINISHED = re.compile(
    "(?:[\ud800-\udbff]|(?<![\ud800-\udbff])"
    "(?:[\udcc2-\udcdf]|[\udce0-\udcef][\udc80-\udcbf]?|[\udcf0-\udcf4][\udc80-\udcbf]{0,2}))\\Z"
)
"""The first part of a character at a text's end: of a surrogate pair, or of an escaped UTF-8 sequence.

Behind the first half of a pair, what looks like an escaped byte is the other half."""


def mend_text(text: str) -> str:
    """Join the halves of characters in the text, and replace each that stays alone by U+FFFD."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _NOT_A_BYTE.sub("\ufffd", paired).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def mend_value(value: Any) -> Any:
    """Return the JSON value with each text in it mended, keys included."""
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, dict):
        return {mend_value(key): mend_value(item) for key, item in value.items()}
    return [mend_value(item) for item in value] if isinstance(value, list | tuple) else value


class TextJoiner:
    """Mends a text that comes in pieces: the first part of a character is held back until the rest of it comes."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take in the next piece, and return what is whole."""
        if not self._held and piece.isascii():
            return piece
        piece = self._held + piece
        unfinished = _UNFINISHED.search(piece)
        end = len(piece) if unfinished is None else unfinished.start()
        self._held = piece[end:]
        return mend_text(piece[:end])

    def end(self) -> str:
        """Return what was held back, mended as it stands."""
        held, self._held = self._held, ""
        return mend_text(held)
