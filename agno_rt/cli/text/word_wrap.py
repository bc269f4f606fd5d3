"""Writes styled text to a terminal word by word, so that no word is cut at the edge. It never moves the cursor back.

What has been written stays as it is, so a stream of text neither flickers nor spoils what can be scrolled back to.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import attrs
from rich.cells import cell_len

__all__ = ["DimWriter", "WordWriter", "terminal_width", "wrap_terms", "wrap_words"]

_OPENING = "\u3008\u300a\u300c\u300e\u3010\uff08"
_CLOSING = "\u3001\u3002\u3009\u300b\u300d\u300f\u3011\uff01\uff09\uff0c\uff0e\uff1a\uff1b\uff1f"
_IDEOGRAPHS = "\u2e80-\u2fff\u3005-\u3007\u3021-\u3029\u3040-\u312f\u3190-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Chinese and Japanese have no blanks: a line may end behind each character, but a closing mark must not begin one.
_PIECE = re.compile(
    f"\n|[ \t]+|[{_OPENING}]*[{_IDEOGRAPHS}][{_CLOSING}]*|"
    f"[{_CLOSING}]+|[{_OPENING}]+|[^ \t\n{_CLOSING}{_OPENING}{_IDEOGRAPHS}]+"
)
_IDEOGRAPH = re.compile(f"[{_OPENING}]*[{_IDEOGRAPHS}]")


@attrs.define
class WordWriter:
    """Puts words on lines of `width()` cells at most. A style is the parameters of an SGR sequence, such as `1;36`.

    A word is written once it is known to be whole, so the last one waits for `flush`. A word longer than a line begins
    one of its own and is left to the terminal, so that a long URL can still be copied.

    Attributes:
        indent: what each further line of the paragraph begins with, and its style
    """

    write: Callable[[str], None]
    width: Callable[[], int]
    indent: tuple[str, str] = ("", "")
    _word: list[tuple[str, str]] = attrs.field(factory=list, init=False)
    _space: tuple[str, str] | None = attrs.field(default=None, init=False)
    _column: int = attrs.field(default=0, init=False)
    _fresh: bool = attrs.field(default=True, init=False)
    _style: str = attrs.field(default="", init=False)

    @property
    def is_open(self) -> bool:
        """Whether the line has something on it, or a word waits to be written."""
        return self._column > 0 or bool(self._word)

    def add(self, text: str, style: str = "") -> None:
        """Write the text; a line break in it ends the line."""
        for piece in _PIECE.findall(text):
            if piece == "\n":
                self.end_line()
            elif piece[0] in " \t":
                self._end_word()
                self._space = " ", style
            else:
                if self._may_break_before(piece):
                    self._end_word()
                # What belongs together, as an emoji of several characters does, is measured together.
                joins = bool(self._word) and self._word[-1][1] == style
                self._word.append((self._word.pop()[0] + piece if joins else piece, style))

    def begin(self, prefix: str, style: str = "", *, indent: str = "") -> None:
        """Begin a line with a bullet or the like; `indent` is what the lines begin with that it is broken into."""
        self.indent = indent, style
        self._put(prefix, style)
        self._fresh = True

    def add_raw(self, text: str, style: str = "") -> None:
        """Write the text as it stands, blanks included, and let the terminal break it where it must."""
        self._end_word()
        self._put(text, style)
        self._fresh = False

    def flush(self) -> None:
        """Write the word that waits."""
        self._end_word()

    def end_line(self) -> None:
        """End the line, with what waits on it."""
        self._end_word()
        self._restyle("")
        self.write("\n")
        self._column, self._space, self._fresh = 0, None, True

    def _may_break_before(self, piece: str) -> bool:
        if _IDEOGRAPH.match(piece):
            return not self._word or self._word[-1][0][-1] not in _OPENING
        return bool(self._word) and piece[0] not in _CLOSING and bool(_IDEOGRAPH.match(self._word[-1][0]))

    def _end_word(self) -> None:
        if not self._word:
            return
        word, self._word = self._word, []
        size = sum(cell_len(text) for text, _ in word)
        space, self._space = self._space, None
        if space is not None and not self._fresh:
            if self._column + 1 + size > self.width():
                self._break_line()
            else:
                self._put(*space)
        elif not self._fresh and self._column + size > self.width():
            self._break_line()
        for text, style in word:
            self._put(text, style)
        self._fresh = False

    def _break_line(self) -> None:
        self._restyle("")
        self.write("\n")
        self._column, self._fresh = 0, True
        if self.indent[0]:
            self._put(*self.indent)
            self._fresh = True

    def _put(self, text: str, style: str) -> None:
        if not text:
            return
        # A space shows no more than what underlines or colours it.
        self._restyle(style)
        self.write(text)
        self._column += cell_len(text)

    def _restyle(self, style: str) -> None:
        if style != self._style:
            self._style = style
            self.write(f"\x1b[0;{style}m" if style else "\x1b[0m")


class DimWriter:
    """Writes text word by word in one style."""

    def __init__(self, write: Callable[[str], None], width: Callable[[], int], style: str) -> None:
        self._words = WordWriter(write, width)
        self._style = style

    @property
    def is_open(self) -> bool:
        """Whether the line has something on it, or a word waits to be written."""
        return self._words.is_open

    def feed(self, text: str) -> None:
        """Take in a piece of text."""
        self._words.add(text, self._style)

    def finish(self) -> None:
        """Write what waits and end the line."""
        self._words.end_line()


def terminal_width() -> int:
    """Return how many cells of a line are written on."""
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty():
        # Where answers go to a file, the terminal is where stderr goes.
        with suppress(OSError, ValueError):
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
    # A line that fills the terminal to its last cell is followed by an empty one in some.
    return max(1, columns - 1)


def wrap_words(text: str) -> str:
    """Return the text with its lines broken at words for this terminal."""
    written: list[str] = []
    words = WordWriter(written.append, terminal_width)
    words.add(text)
    words.flush()
    return "".join(written)


def wrap_terms(rows: Sequence[tuple[str, str]]) -> str:
    """Return terms with what is said of each: beside them, or, where a line is short, below."""
    widest = max(cell_len(term) for term, _ in rows)
    beside = widest + 4 < terminal_width() // 2
    indent = " " * (widest + 4 if beside else 6)
    written: list[str] = []
    words = WordWriter(written.append, terminal_width)
    for term, text in rows:
        lead = f"  {term}"
        if beside:
            words.begin(lead + " " * (len(indent) - cell_len(lead)), indent=indent)
        else:
            words.begin(lead)
            words.end_line()
            words.begin(indent, indent=indent)
        words.add(text)
        words.end_line()
    return "".join(written)
