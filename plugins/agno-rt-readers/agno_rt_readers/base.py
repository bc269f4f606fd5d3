"""The base of readers of files: a worker thread, limits, and errors that name the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

import trio

from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Document, Mark
from agno_rt.knowledge.reading import Unread
from agno_rt_readers.settings import ReaderSettings

__all__ = ["FileReader", "TextBuilder", "damaged_error", "decode_text"]


def damaged_error(source: str, problem: str) -> UsageError:
    """Return the error of a damaged file."""
    hint = "Open the file with its own program to see whether it is damaged."
    return UsageError(f"{source} cannot be read: {problem}", hint=hint)


class TextBuilder:
    """The text of a document, part by part, and the marks in the text. Each part is a paragraph.

    `add` raises `UsageError` for more than `max_characters`.
    """

    def __init__(self, source: str, max_characters: int) -> None:
        self.marks: list[Mark] = []
        self.length = 0
        self._parts: list[str] = []
        self._source = source
        self._most = max_characters

    def add(self, part: str, between: str = "\n\n") -> None:
        """Add a part, after `between`; a blank part is left out."""
        part = part.strip()
        if not part:
            return
        if self._parts:
            self._parts.append(between)
            self.length += len(between)
        self.length += len(part)
        if self.length > self._most:
            hint = "Cut the document, or raise max_characters in [plugins.readers]."
            raise UsageError(f"{self._source} has a text of more than {self._most:,} characters", hint=hint)
        self._parts.append(part)

    def mark(self, label: str) -> None:
        """Mark the place of the next part."""
        self.marks.append(Mark(self.length + 2 if self._parts else 0, label))

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._parts)


class FileReader:
    """The base of a `Reader` of files and bytes: `load` makes the document, in a worker thread.

    `load` calls `trio.from_thread.check_cancelled` now and then, so that reading a long file can be cancelled.
    """

    name: ClassVar[str]
    media_type: ClassVar[str] = "text/markdown"
    """The form of the text."""

    def __init__(self, settings: ReaderSettings | None = None) -> None:
        self.settings = settings or ReaderSettings()
        self.limiter: trio.CapacityLimiter | None = None

    @property
    def max_bytes(self) -> int:
        """The most bytes of a file: a larger file is refused before the reading."""
        return self.settings.max_bytes

    async def read(self, unread: Unread) -> Sequence[Document]:
        """See `Reader.read`."""
        return [await trio.to_thread.run_sync(self.load, unread, limiter=self.limiter)]

    def load(self, unread: Unread) -> Document:
        """Return the document. Raises `UsageError`, with the source."""
        raise NotImplementedError

    def load_bytes(self, unread: Unread) -> bytes:
        """Return all bytes of the file. Raises `UsageError` for a large or unreadable file."""
        self.check_size(unread)
        if unread.data is not None:
            return unread.data
        try:
            with open(unread.path, "rb") as file:
                return file.read(self.max_bytes)
        except OSError as exc:
            raise UsageError(f"{unread.source} cannot be read: {exc.strerror}", hint="Check its rights.") from exc

    def check_size(self, unread: Unread) -> None:
        """Raise `UsageError` for a file too large or missing."""
        try:
            size = os.stat(unread.path).st_size if unread.data is None else len(unread.data)
        except OSError as exc:
            raise UsageError(f"{unread.source} cannot be read: {exc.strerror}", hint="Check its rights.") from exc
        if size > self.max_bytes:
            hint = "Cut the document, or raise max_bytes in [plugins.readers]."
            raise UsageError(f"{unread.source} has {size:,} bytes, more than {self.max_bytes:,}", hint=hint)

    def make_document(self, unread: Unread, builder: TextBuilder, title: str = "") -> Document:
        """Return the document of a built text. Raises `UsageError` for a document without text."""
        if not builder.length:
            hint = "If its pages are pictures, recognise their text first, as with ocrmypdf."
            raise UsageError(f"{unread.source} has no text", hint=hint)
        return Document(
            unread.source,
            builder.text,
            title=" ".join(title.split())[:300],
            media_type=self.media_type,
            metadata=unread.metadata,
            marks=builder.marks,
        )


_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def decode_text(source: str, data: bytes) -> str:
    """Return the text of UTF-8, or of UTF-16 with a byte order mark. Raises `UsageError` for anything else."""
    encoding = next((encoding for bom, encoding in _BOMS if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as exc:
        hint = "Convert it to UTF-8: iconv -f latin1 -t utf-8."
        raise UsageError(f"{source} is not UTF-8 text (byte {exc.start:,})", hint=hint) from exc
    if "\0" in text:
        raise UsageError(f"{source} is a binary file: it has a zero byte", hint="Name it by its type.")
    return text.replace("\r\n", "\n")
