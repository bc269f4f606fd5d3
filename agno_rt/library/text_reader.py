"""The reader of plain text and Markdown, for every text without another reader."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence

import trio

from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Document
from agno_rt.knowledge.reading import Unread

__all__ = ["MAX_TEXT_BYTES", "TextReader"]

MAX_TEXT_BYTES = 50_000_000
"""The most bytes of a text: larger files are data, not documents."""

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TITLE = re.compile(r"^ {0,3}#[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


class TextReader:
    """A `Reader` of UTF-8, and of UTF-16 with a byte order mark. Refuses binary files under any name."""

    name = "text-1"
    max_bytes = MAX_TEXT_BYTES

    async def read(self, unread: Unread) -> Sequence[Document]:
        """See `Reader.read`."""
        data = unread.data
        if data is None:
            data = await trio.to_thread.run_sync(_read_file, unread.source, unread.path)
        text = _decode_text(unread.source, data)
        title = _TITLE.search(text[:10_000]) if unread.media_type == "text/markdown" else None
        document = Document(
            unread.source,
            text,
            title="" if title is None else title[1],
            media_type=unread.media_type or "text/plain",
            metadata=unread.metadata,
        )
        return [document]


def _read_file(source: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_TEXT_BYTES:
                hint = f"Cut it into files of at most {MAX_TEXT_BYTES:,} bytes."
                raise UsageError(f"{source} has {size:,} bytes, too many for a text", hint=hint)
            return file.read(MAX_TEXT_BYTES)
    except OSError as exc:
        raise UsageError(f"{source} cannot be read: {exc.strerror}", hint="Check the file and its rights.") from exc


def _decode_text(source: str, data: bytes) -> str:
    encoding = next((encoding for bom, encoding in _BOMS if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as exc:
        hint = "Convert it to UTF-8: iconv -f latin1 -t utf-8. A binary file needs a reader of its type."
        raise UsageError(f"{source} is not UTF-8 text (byte {exc.start:,})", hint=hint) from exc
    if "\0" in text:
        hint = "Name it by its type, and install a reader for the type."
        raise UsageError(f"{source} is a binary file: it has a zero byte", hint=hint)
    return text.replace("\r\n", "\n")
