"""Styled text written to a terminal word by word, so that no word is cut at the edge.

The cursor never moves back and written text never changes: a stream does not flicker, and scrolling back shows all.
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
    """Writes words on lines of at most `width()` cells. A style is the parameters of an SGR sequence, such as `1;36`.

    A word is written when complete, so the last word waits for `flush`. A word longer than a line begins a line of its
    own and is broken by the terminal, so that a long URL can still be copied.

    Attributes:
        indent: the beginning of each further line of the paragraph, and its style
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
        """True if the line has text, or a word waits to be written."""
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
                # The pieces of an emoji of several characters must be measured together.
                joins = bool(self._word) and self._word[-1][1] == style
                self._word.append((self._word.pop()[0] + piece if joins else piece, style))

    def begin(self, prefix: str, style: str = "", *, indent: str = "") -> None:
        """Begin a line with a prefix such as a bullet; `indent` begins each further line of the paragraph."""
        self.indent = indent, style
        self._put(prefix, style)
        self._fresh = True

    def add_raw(self, text: str, style: str = "") -> None:
        """Write the text unchanged, with its blanks, and let the terminal break the line."""
        self._end_word()
        self._put(text, style)
        self._fresh = False

    def flush(self) -> None:
        """Write the waiting word."""
        self._end_word()

    def end_line(self) -> None:
        """Write the waiting word and end the line."""
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
        self._restyle(style)
        self.write(text)
        self._column += cell_len(text)

    def _restyle(self, style: str) -> None:
        if style != self._style:
            self._style = style
            self.write(f"\x1b[0;{style}m" if style else "\x1b[0m")


class DimWriter:
    """Writes text word by word in a single style."""

    def __init__(self, write: Callable[[str], None], width: Callable[[], int], style: str) -> None:
        self._words = WordWriter(write, width)
        self._style = style

    @property
    def is_open(self) -> bool:
        """True if the line has text, or a word waits to be written."""
        return self._words.is_open

    def feed(self, text: str) -> None:
        """Take in a piece of text."""
        self._words.add(text, self._style)

    def finish(self) -> None:
        """Write what waits and end the line."""
        self._words.end_line()


def terminal_width() -> int:
    """Return the usable cells of a line."""
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty():
        # With answers redirected to a file, messages still go to a terminal on stderr.
        with suppress(OSError, ValueError):
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
    # Some terminals add an empty line after a line that fills the last cell.
    return max(1, columns - 1)


def wrap_words(text: str) -> str:
    """Return the text with its lines broken at words for this terminal."""
    written: list[str] = []
    words = WordWriter(written.append, terminal_width)
    words.add(text)
    words.flush()
    return "".join(written)


def wrap_terms(rows: Sequence[tuple[str, str]]) -> str:
    """Return terms with their explanations beside, or, in a narrow terminal, below."""
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
