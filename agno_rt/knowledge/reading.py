"""The protocols of readers (from files and bytes to documents) and of chunkers (from documents to chunks)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import attrs

from agno_rt.knowledge.documents import Chunk, Document, Metadata

__all__ = ["MAX_VERSION", "Chunker", "Reader", "RevisitingReader", "Unread", "Visit"]

MAX_VERSION = 2_000
"""The most characters of a visit's version that are kept."""


@attrs.frozen
class Unread:
    """Something to read: a file, bytes, or a URL to fetch.

    Attributes:
        source: the source of the documents to make of it
        media_type: the type, by the file's name or the server's word: `application/pdf`
        path: the file, as text; empty for bytes and URLs
        data: the bytes; None for a file, which may be large, and for a URL
        metadata: metadata for each document
    """

    source: str
    media_type: str = attrs.field(default="", kw_only=True)
    path: str = attrs.field(default="", kw_only=True)
    data: bytes | None = attrs.field(default=None, kw_only=True, repr=False)
    metadata: Metadata = attrs.field(factory=dict, kw_only=True)


@runtime_checkable
class Reader(Protocol):
    """The protocol of a reader, for one or more media types or URL schemes.

    `name` names the reader and its version: documents are read again after a change of name. Waiting is trio's: a
    reader with long computations makes them in a thread (`trio.to_thread`). A reader may have `max_bytes`, the most
    bytes of a file: a larger file is refused before anything of it is read.
    """

    @property
    def name(self) -> str:
        """The reader's name and version, as in `pdf-1`."""
        ...

    async def read(self, unread: Unread) -> Sequence[Document]:
        """Return the documents, mostly one; the sources of several begin with `unread.source` and `#`.

        Raises `UsageError` for an unreadable file, with the source and the reason: damaged, encrypted, too large.
        The other files of a folder are added all the same.
        """
        ...


@attrs.frozen
class Visit:
    """The outcome of reading something that may have been read before.

    Attributes:
        documents: as `Reader.read` returns them; None if nothing changed since the visit of the given version
        version: a text of the reader's own for the next visit, such as a page's ETag; empty without one. A version of
            more than `MAX_VERSION` characters is not kept
    """

    documents: Sequence[Document] | None
    version: str = ""


@runtime_checkable
class RevisitingReader(Reader, Protocol):
    """The protocol of a `Reader` of URLs that can tell, without reading, that a page did not change."""

    async def revisit(self, unread: Unread, version: str) -> Visit:
        """Read something unless it is as it was at the visit with the version; with an empty version, always.

        Raises as `read` does.
        """
        ...


@runtime_checkable
class Chunker(Protocol):
    """The protocol of a chunker: pure, and called in a worker thread."""

    @property
    def name(self) -> str:
        """The chunker's name with the settings, as in `markdown:900`: a change cuts documents anew."""
        ...

    def cut(self, document: Document) -> Sequence[Chunk]:
        """Return the document's chunks in the order of their offsets.

        `document.text[chunk.start : chunk.end]` is the part behind a chunk, and mostly the text. A document
        with text has at least one chunk; blank text has none. The caller sets sources, numbers and places.
        """
        ...
