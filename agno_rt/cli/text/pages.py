"""What text is written on: Markdown or words for a terminal, the plain text for a script. Knows nothing of runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol, TextIO

from agno_rt.cli.report import clean

__all__ = ["Page", "PlainPage", "markdown_page", "wrapped_page"]


class Page(Protocol):
    """Takes text in pieces."""

    @property
    def is_open(self) -> bool:
        """Whether something stands on a line that has not ended, or waits to be written."""
        ...

    def write(self, text: str) -> None:
        """Write the text, as far as it can be written already."""
        ...

    def end(self) -> None:
        """Write what waits, and end the line if there is something on it."""
        ...


class PlainPage:
    """Writes text as it is; in a terminal without what could steer that."""

    def __init__(self, stream: TextIO) -> None:
        self.is_open = False
        self._stream = stream
        self._terminal = stream.isatty()

    def write(self, text: str) -> None:
        """Write the text at once."""
        if text:
            self._stream.write(clean(text) if self._terminal else text)
            self._stream.flush()
            self.is_open = not text.endswith("\n")

    def end(self) -> None:
        """End the line if there is something on it."""
        if self.is_open:
            self.write("\n")


class _Formatted:
    """Hands text on to a writer that is made for the first of it, since importing one takes a while."""

    def __init__(self, stream: TextIO, make: Callable[[Callable[[str], None], Callable[[], int]], _Writer]) -> None:
        self._stream = stream
        self._make = make
        self._writer: _Writer | None = None

    @property
    def is_open(self) -> bool:
        """Whether something stands on a line that has not ended, or waits to be written."""
        return self._writer is not None and self._writer.is_open

    def write(self, text: str) -> None:
        """Write what is certain of the text."""
        if self._writer is None:
            self._writer = self._make(self._write, self._width)
        self._writer.feed(clean(text))
        self._stream.flush()

    def end(self) -> None:
        """Write what waits, and end the line."""
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
    """Return a page for Markdown; in a terminal that knows no styles, a plain one."""

    def make(write: Callable[[str], None], width: Callable[[], int]) -> _Writer:
        from agno_rt.cli.text.markdown import MarkdownWriter

        return MarkdownWriter(write, width, colour=not os.environ.get("NO_COLOR"))

    return _Formatted(stream, make) if _is_able(stream) else PlainPage(stream)


def wrapped_page(stream: TextIO) -> Page:
    """Return a page for text that is no answer: dim, and wrapped at words."""

    def make(write: Callable[[str], None], width: Callable[[], int]) -> _Writer:
        from agno_rt.cli.text.word_wrap import DimWriter

        return DimWriter(write, width, "" if os.environ.get("NO_COLOR") else "2")

    return _Formatted(stream, make) if _is_able(stream) else PlainPage(stream)


def _is_able(stream: TextIO) -> bool:
    """Whether the stream is a terminal that knows styles, and can write the marks of lists and tables."""
    named = os.environ.get("TERM", "") not in ("", "dumb")
    return named and stream.isatty() and "utf" in (stream.encoding or "").lower()
