"""The values of a knowledge store: documents, chunks of documents, and the hits of a search."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from agno_rt.errors import UsageError
from agno_rt.names import check_name

__all__ = [
    "MAX_SOURCE",
    "Chunk",
    "Document",
    "DocumentInfo",
    "Hit",
    "Mark",
    "Metadata",
    "Value",
    "number_chunks",
    "stored_text",
]

MAX_SOURCE = 1_000
"""The most characters of a document's source, so that every database can index it."""

MAX_NUMBER = 2**53  # beyond it, JSON readers round whole numbers

Value: TypeAlias = str | int | float | bool
"""A value of a document's metadata."""
Metadata: TypeAlias = Mapping[str, Value]

_UNSTORED = re.compile("[\x00\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def stored_text(text: str) -> str:
    """Return the text with U+FFFD for each NUL and each half of a surrogate pair, which databases refuse.

    The length does not change, so offsets stay right. Raises `UsageError` for anything but text.
    """
    if not isinstance(text, str):
        raise UsageError(f"the text of a document is {type(text).__name__}", hint="Give text: decode bytes first.")
    # Most text is plain, and passes without the expression, which reads every character.
    if (text.isascii() and "\0" not in text) or not _UNSTORED.search(text):
        return text
    return _UNSTORED.sub("\ufffd", text)


def _check_source(value: object, field: Any, source: str) -> None:
    if not isinstance(source, str) or not source.strip():
        raise UsageError(f"a document's source is {source!r}", hint="Name where the text comes from: a path, a URL.")
    if len(source) > MAX_SOURCE:
        raise UsageError(f"a document's source has {len(source):,} characters", hint=f"At most {MAX_SOURCE:,} fit.")
    if found := _CONTROLS.search(source):
        hint = "Leave out line ends and control characters, and bytes that are not UTF-8."
        raise UsageError(f"a document's source has the character U+{ord(found[0]):04X}: {source!a}", hint=hint)


def _check_metadata(value: object, field: Any, metadata: Metadata) -> None:
    for key, item in metadata.items():
        check_name("a key of metadata", key)
        is_number = isinstance(item, int | float) and math.isfinite(item) and abs(item) <= MAX_NUMBER
        if not isinstance(item, str) and not is_number:
            hint = "Give text, True or False, or a number of at most 2 to the power of 53."
            raise UsageError(f"metadata {key!r} is {item!r}", hint=hint)


def _store_metadata(metadata: Metadata) -> Metadata:
    return {key: stored_text(item) if isinstance(item, str) else item for key, item in metadata.items()}


@attrs.frozen
class Mark:
    """A place within a document's text, from the offset `start` to the next mark: "page 3", "slide 2", "row 40"."""

    start: int
    label: str


def _list_marks(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    return tuple(marks)


def _list_headings(headings: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(stored_text, headings))


@attrs.frozen
class Document:
    """A text to look things up in. Raises `UsageError` for a source or metadata that cannot be stored.

    Attributes:
        source: where the text comes from: a path, a URL, or a name of your own. A store has one document for each
            source and user: putting another with the same source replaces the first
        text: the whole text. NUL and halves of surrogate pairs become U+FFFD
        title: the title to show in citations; may be empty
        media_type: the form of `text`, which the chunker goes by: `text/markdown`, `text/plain`, `text/x-python`
        metadata: what a search can be restricted by, such as `{"language": "de", "year": 2024}`
        marks: the places within the text, in the order of their offsets
    """

    source: str = attrs.field(validator=_check_source)
    text: str = attrs.field(repr=False, converter=stored_text)
    title: str = attrs.field(default="", converter=stored_text, kw_only=True)
    media_type: str = attrs.field(default="text/plain", kw_only=True)
    metadata: Metadata = attrs.field(factory=dict, kw_only=True, validator=_check_metadata, converter=_store_metadata)
    marks: tuple[Mark, ...] = attrs.field(default=(), kw_only=True, converter=_list_marks)


@attrs.frozen
class Chunk:
    """A part of a document that is found, and shown, by itself.

    Attributes:
        text: the part's text
        source: the document's source
        number: the place among the document's chunks, from 0
        start: the offset of the part in the document's text
        end: the offset of its end
        headings: the headings above the part, the outermost first
        place: the label of the document's mark at `start`, such as "page 3"; may be empty
    """

    text: str = attrs.field(converter=stored_text)
    source: str = ""
    number: int = attrs.field(default=0, kw_only=True)
    start: int = attrs.field(default=0, kw_only=True)
    end: int = attrs.field(default=0, kw_only=True)
    headings: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_list_headings)
    place: str = attrs.field(default="", kw_only=True)

    @property
    def searched_text(self) -> str:
        """The text to search and to embed: the headings missing from `text`, and `text`."""
        above = [heading for heading in self.headings if heading not in self.text]
        return "\n".join((*above, self.text))

    @property
    def where(self) -> str:
        """The place for a citation: the source, the page or the like, and the nearest heading."""
        inside = ", ".join(part for part in (self.place, self.headings[-1] if self.headings else "") if part)
        return f"{self.source} ({inside})" if inside else self.source


@attrs.frozen
class DocumentInfo:
    """A stored document as a list shows it, without its text.

    Attributes:
        user: the user whom the document belongs to; None for a document for everyone
        digest: the digest given with the document, by which an unchanged document is recognised
        chunks: the number of the document's chunks
        characters: the number of characters of the document's text
        added_at: the time of the last put, in seconds since the epoch
    """

    source: str
    user: str | None = None
    title: str = ""
    media_type: str = "text/plain"
    metadata: Metadata = attrs.field(factory=dict)
    digest: str = ""
    chunks: int = 0
    characters: int = 0
    added_at: float = 0.0


@attrs.frozen
class Hit:
    """A chunk that a search found.

    Attributes:
        score: how well the chunk fits, higher is better; only comparable with the other hits of the same search
        found_by: the rankers that found the chunk: `words`, `vectors`
        user: the user whom the document belongs to; None for a document for everyone
        title: the document's title
        metadata: the document's metadata
        also: other sources with a chunk of the same text
    """

    chunk: Chunk
    score: float
    found_by: tuple[str, ...] = ()
    user: str | None = None
    title: str = ""
    metadata: Metadata = attrs.field(factory=dict)
    also: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str | None, str, int]:
        """The chunk's identity in its store: user, source and number."""
        return self.user, self.chunk.source, self.chunk.number


def number_chunks(document: Document, chunks: Sequence[Chunk]) -> tuple[Chunk, ...]:
    """Return the chunks with source, numbers and the labels of the document's marks."""
    marks = sorted(document.marks, key=lambda mark: mark.start)
    numbered, at = [], 0
    for number, chunk in enumerate(chunks):
        while at < len(marks) and marks[at].start <= chunk.start:
            at += 1
        place = chunk.place or (marks[at - 1].label if at else "")
        numbered.append(attrs.evolve(chunk, source=document.source, number=number, place=place))
    return tuple(numbered)
