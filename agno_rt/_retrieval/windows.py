"""Cuts text into windows that end where a paragraph, a sentence or a word ends: the offsets, without the text.

A window is as long as its size allows. Its end is the last end of the first kind in `ends` that lies within; without
any, the window is cut off in the middle of a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

__all__ = ["PARAGRAPHS", "SENTENCES", "WORDS", "Span", "cut_windows", "end_of_characters", "end_of_tokens", "trim"]

Span: TypeAlias = tuple[int, int]
"""The offsets of a part's beginning and end."""

PARAGRAPHS = re.compile(r"\n[ \t\r\f\v]*\n\s*")
# A capital with a full stop is mostly an initial, and a small letter after a full stop follows an abbreviation.
SENTENCES = re.compile(
    r"(?:(?<=[.!?…])(?<!\b[A-Z]\.)|(?<=[.!?…][\"')\]”’»]))\s+(?![a-zà-ÿ])"  # noqa: RUF001 - quotes as they are written
    r"|(?<=[。！？])(?![」』）])"  # noqa: RUF001 - full-width signs
    r"|\n[ \t\r\f\v]*\n\s*"
)
WORDS = re.compile(r"\s+")

_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u3130-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
# Vocabularies of models have most short English words whole, and long words in parts; other alphabets come in
# shorter parts, and Chinese, Japanese and Korean about a character at a time.
_TOKENS = re.compile(rf"[a-zA-Z]{{1,6}}|\d{{1,3}}|[{_UNSPACED}]|[^\W\d_a-zA-Z{_UNSPACED}]{{1,3}}|[^\w\s]|_|[^\S ]+|\S")

EndOfWindow: TypeAlias = Callable[[str, int, int], int]
"""Returns the last offset of a window of a text that begins at an offset, and has a size."""


def end_of_characters(text: str, start: int, size: int) -> int:
    """Return the end of `size` characters from `start`."""
    return min(len(text), start + size)


def end_of_tokens(text: str, start: int, size: int) -> int:
    """Return the end of `size` estimated tokens from `start`."""
    first = list(islice(_TOKENS.finditer(text, start), size + 1))
    return first[-1].start() if len(first) > size else len(text)


def cut_windows(
    text: str, size: int, overlap: int, ends: Sequence[re.Pattern[str]], end_of: EndOfWindow
) -> Iterator[Span]:
    """Yield the windows of a text, in order; together they hold every visible character.

    A window begins at most `overlap` before the end of the window before, at the first end of a part in that stretch.
    """
    start = _skip_space(text, 0)
    while start < len(text):
        last = end_of(text, start, size)
        end = len(text) if last >= len(text) else _find_end(text, start, last, ends)
        yield trim(text, start, end)
        if end >= len(text):
            return
        start = max(start + 1, _find_start(text, start, end, overlap, ends, end_of))
        start = _skip_space(text, start)


def trim(text: str, start: int, end: int) -> Span:
    """Return the offsets without the blanks at both ends."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _find_end(text: str, start: int, last: int, ends: Sequence[re.Pattern[str]]) -> int:
    """Return the end of a window that begins at `start`, and may go on to `last`."""
    for at, kind in enumerate(ends):
        found = start
        for match in kind.finditer(text, start + 1, min(len(text), last + 1)):
            found = match.start() if match.start() <= last else found
        # A paragraph of a few words, such as a heading, is not left alone before a long paragraph.
        least = (last - start) // 4 if kind is PARAGRAPHS and at + 1 < len(ends) else 0
        if found - start > least:
            return found
    return max(last, start + 1)


def _find_start(
    text: str, start: int, end: int, overlap: int, ends: Sequence[re.Pattern[str]], end_of: EndOfWindow
) -> int:
    """Return the beginning of the window after the window from `start` to `end`."""
    if not overlap:
        return end
    # `overlap` is counted as the size is: go back by characters, and forward again while too much is repeated.
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        if end_of(text, middle, overlap) >= end:
            high = middle
        else:
            low = middle + 1
    # Ends are looked for from one character before, because a part may begin right there.
    for kind in ends:
        for match in kind.finditer(text, max(start, low - 1), end):
            if low <= match.end() < end:
                return match.end()
    return low


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
