"""Paragraphs and tables of office documents, from the events of their XML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

__all__ = ["Paragraphs", "as_heading", "as_text"]

_MARKUP = re.compile(r"(?=#{1,6}\s|```|~~~)")
_BLANKS = re.compile(r"[ \t]*\n[ \t]*")
_REPLACEMENTS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def as_heading(level: int, title: str) -> str:
    """Return a heading in Markdown."""
    return f"{'#' * min(level, 6)} {' '.join(title.split())}"


def as_text(paragraph: str) -> str:
    """Return a paragraph in Markdown: its first characters begin neither a heading nor code."""
    return _MARKUP.sub(r"\\", paragraph, count=1) if _MARKUP.match(paragraph) else paragraph


class Paragraphs:
    """Takes the events of a part, and calls `finish` with each paragraph, and with each row of a table.

    `space` is a word in the namespace of the elements: Word, PowerPoint and the two editions of the standard differ.
    A paragraph may be within another, as in a text box; the inner paragraph comes first. Tables within a cell become
    text of the cell. Deleted and moved text, and copies for older programs, are left out.
    """

    space: ClassVar[str]
    skipped: ClassVar[frozenset[str]] = frozenset({"Fallback", "moveFrom", "del"})

    def __init__(self) -> None:
        self._open: list[list[str]] = []
        self._row: list[list[str]] | None = None
        self._tables = 0
        self._skipping = 0
        self._is_text = False

    def finish(self, text: str) -> None:
        """Take a paragraph, or a row of a table."""
        raise NotImplementedError

    def start_other(self, name: str, attributes: Mapping[str, str]) -> None:
        """Take the beginning of any other element."""

    def end_other(self, name: str) -> None:
        """Take the end of any other element."""

    def start(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        """See `XmlEvents.start`."""
        if self._skipping or name in self.skipped:
            self._skipping += 1
            return
        if self.space in space:
            self._start_known(name)
        self.start_other(name, attributes)

    def _start_known(self, name: str) -> None:
        if name == "p":
            self._open.append([])
        elif name == "t":
            self._is_text = True
        elif name in _REPLACEMENTS and self._open:
            self._open[-1].append(_REPLACEMENTS[name])
        elif name == "tbl":
            self._tables += 1
        elif name == "tr" and self._tables == 1:
            self._row = []
        elif name == "tc" and self._tables == 1 and self._row is not None:
            self._row.append([])

    def end(self, space: str, name: str) -> None:
        """See `XmlEvents.end`."""
        if self._skipping:
            self._skipping -= 1
            return
        if self.space in space:
            self._end_known(name)
        self.end_other(name)

    def _end_known(self, name: str) -> None:
        if name == "t":
            self._is_text = False
        elif name == "p" and self._open:
            self._finish_paragraph(_BLANKS.sub("\n", "".join(self._open.pop())).strip())
        elif name == "tbl":
            self._tables -= 1
        elif name == "tr" and self._tables == 1 and self._row is not None:
            cells, self._row = [" ".join(" ".join(cell).split()) for cell in self._row], None
            if any(cells):
                self.finish(f"| {' | '.join(cells)} |")

    def text(self, text: str) -> None:
        """See `XmlEvents.text`."""
        if self._is_text and not self._skipping and self._open:
            self._open[-1].append(text)

    def _finish_paragraph(self, text: str) -> None:
        if self._row:
            self._row[-1].append(text)
        else:
            self.finish(text)

    @property
    def is_in_row(self) -> bool:
        """True while a row of a table is open."""
        return self._row is not None
