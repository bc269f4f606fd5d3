"""Pages to write text on: rendered or wrapped for a terminal, plain for a script. Knows nothing of runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol, TextIO

from agno_rt.cli.report import clean

__all__ = ["Page", "PlainPage", "markdown_page", "wrapped_page"]


class Page(Protocol):
    """A page, written in pieces of text."""

    @property
    def is_open(self) -> bool:
        """True if text waits to be written, or the present line has text."""
        ...

    def write(self, text: str) -> None:
        """Write the part of the text whose form is certain; the rest waits."""
        ...

    def end(self) -> None:
        """Write the waiting text, and end a line that has text."""
        ...


class PlainPage:
    """Writes text unchanged; for a terminal without control characters."""

    def __init__(self, stream: TextIO) -> None:
        self.is_open = False
        self._stream = stream
        self._terminal = stream.isatty()

    def write(self, text: str) -> None:
        """Write the text at once."""
        if text:
            self._stream.write(clean(text) if self._terminal else text)
            # Each piece is shown at once, also by the reader of a pipe.
            self._stream.flush()
            self.is_open = not text.endswith("\n")

    def end(self) -> None:
        """End a line that has text."""
        if self.is_open:
            self.write("\n")


class _FormattedPage:
    """Passes text on to a writer. The writer is made for the first text, since its import takes a while."""

    def __init__(self, stream: TextIO, make: Callable[[Callable[[str], None], Callable[[], int]], _Writer]) -> None:
        self._stream = stream
        self._make = make
        self._writer: _Writer | None = None

    @property
    def is_open(self) -> bool:
        """True if text waits to be written, or the present line has text."""
        return self._writer is not None and self._writer.is_open

    def write(self, text: str) -> None:
        """Write the part of the text whose form is certain."""
        if self._writer is None:
            self._writer = self._make(self._write, self._width)
        self._writer.feed(clean(text))
        self._stream.flush()

    def end(self) -> None:
        """Write the waiting text, and end the line."""
        if self._writer is not None and self._writer.is_open:
            self._writer.finish()
            self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write(text)

    def _width(self) -> int:
        from agno_rt.cli.text.word_wrap import terminal_width

        return terminal_width()


class _Writer(Protocol):
    @property
    def is_open(self) -> bool: ...

    def feed(self, text: str) -> None: ...

    def finish(self) -> None: ...


def markdown_page(stream: TextIO) -> Page:
    """Return a page for Markdown; a plain page for a terminal without styles."""

    def make(write: Callable[[str], None], width: Callable[[], int]) -> _Writer:
        from agno_rt.cli.text.markdown import MarkdownWriter

        return MarkdownWriter(write, width, colour=not os.environ.get("NO_COLOR"))

    return _FormattedPage(stream, make) if _can_format(stream) else PlainPage(stream)


def wrapped_page(stream: TextIO) -> Page:
    """Return a page for text beside answers: dim, and wrapped at words."""

    def make(write: Callable[[str], None], width: Callable[[], int]) -> _Writer:
        from agno_rt.cli.text.word_wrap import DimWriter

        return DimWriter(write, width, "" if os.environ.get("NO_COLOR") else "2")

    return _FormattedPage(stream, make) if _can_format(stream) else PlainPage(stream)


def _can_format(stream: TextIO) -> bool:
    """Tell whether the stream is a terminal with styles and with the marks of lists and tables."""
    # Without UTF-8 the bullets and lines would be shown as question marks.
    named = os.environ.get("TERM", "") not in ("", "dumb")
    return named and stream.isatty() and "utf" in (stream.encoding or "").lower()
