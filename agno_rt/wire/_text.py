"""Mends texts with halves of characters: neighbouring halves are joined, single halves replaced. Pure: no I/O.

A server that cuts text by UTF-16 units sends the halves of a surrogate pair in two chunks. A server that cuts by bytes
sends parts of a UTF-8 sequence, which a decoder with `surrogateescape` turns into U+DC80 to U+DCFF; file names may hold
the same. No encoder accepts either.
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
"""The first part of a character at the end of a text: of a surrogate pair, or of an escaped UTF-8 sequence.

After the first half of a pair, an apparent escaped byte is the second half."""


def mend_text(text: str) -> str:
    """Join the halves of characters in the text; replace single halves by U+FFFD."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _NOT_A_BYTE.sub("\ufffd", paired).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def mend_value(value: Any) -> Any:
    """Return the JSON value with all texts mended, keys included."""
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, dict):
        return {mend_value(key): mend_value(item) for key, item in value.items()}
    return [mend_value(item) for item in value] if isinstance(value, list | tuple) else value


class TextJoiner:
    """Mends a text that comes in pieces; holds back the first part of a character until the rest comes."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take in the next piece and return the whole characters."""
        # Fast path: most pieces are ASCII, which has no halves.
        if not self._held and piece.isascii():
            return piece
        piece = self._held + piece
        unfinished = _UNFINISHED.search(piece)
        end = len(piece) if unfinished is None else unfinished.start()
        self._held = piece[end:]
        return mend_text(piece[:end])

    def end(self) -> str:
        """Return the rest, mended."""
        held, self._held = self._held, ""
        return mend_text(held)
