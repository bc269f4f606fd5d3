"""Chunkers for text of every kind: by characters, sentences, paragraphs and tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

import attrs

from agno_rt._retrieval.markdown import find_headings
from agno_rt._retrieval.windows import (
    PARAGRAPHS,
    SENTENCES,
    WORDS,
    cut_windows,
    end_of_characters,
    end_of_tokens,
)
from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Chunk, Document

__all__ = ["CharacterChunker", "ParagraphChunker", "SentenceChunker", "TokenChunker", "check_sizes", "name_chunker"]


def check_sizes(size: int, overlap: int, smallest: int, unit: str) -> None:
    """Raise `UsageError` for a size or an overlap that cannot be used."""
    if type(size) is not int or size < smallest:
        raise UsageError(f"the size of a chunk is {size!r}", hint=f"Give at least {smallest} {unit}.")
    if type(overlap) is not int or not 0 <= overlap <= size // 2:
        hint = f"Give 0 to {size // 2} {unit}, half the size."
        raise UsageError(f"the overlap of chunks is {overlap!r}", hint=hint)


def name_chunker(kind: str, size: int, overlap: int) -> str:
    """Return a chunker's name with the settings."""
    return f"{kind}:{size}:{overlap}" if overlap else f"{kind}:{size}"


@attrs.frozen
class _WindowChunker:
    """The base of chunkers that cut windows. Each chunk has at most `size`, of which `overlap` may be repeated."""

    kind: ClassVar[str]
    unit: ClassVar[str] = "characters"
    smallest: ClassVar[int] = 100
    ends: ClassVar[tuple[re.Pattern[str], ...]] = ()

    size: int = 900
    overlap: int = 0

    def __attrs_post_init__(self) -> None:
        check_sizes(self.size, self.overlap, self.smallest, self.unit)

    @property
    def name(self) -> str:
        """See `Chunker.name`."""
        return name_chunker(self.kind, self.size, self.overlap)

    def cut(self, document: Document) -> Sequence[Chunk]:
        """See `Chunker.cut`. Chunks of Markdown have the headings above their beginnings."""
        text = document.text
        headings = find_headings(text) if document.media_type == "text/markdown" else []
        end_of = end_of_tokens if self.unit == "tokens" else end_of_characters
        chunks, at = [], -1
        for start, end in cut_windows(text, self.size, self.overlap, self.ends, end_of):
            while at + 1 < len(headings) and headings[at + 1][0] <= start:
                at += 1
            above = headings[at][1] if at >= 0 else ()
            chunks.append(Chunk(text[start:end], start=start, end=end, headings=above))
        return chunks


@attrs.frozen
class CharacterChunker(_WindowChunker):
    """A `Chunker` of `size` characters a chunk, wherever they end. Raises `UsageError` for less than 100."""

    kind = "characters"


@attrs.frozen
class SentenceChunker(_WindowChunker):
    """A `Chunker` of whole sentences, at most `size` characters together; only a longer sentence is cut."""

    kind = "sentences"
    ends = (SENTENCES, WORDS)


@attrs.frozen
class ParagraphChunker(_WindowChunker):
    """A `Chunker` of whole paragraphs, at most `size` characters together; a longer one is cut after a sentence."""

    kind = "paragraphs"
    ends = (PARAGRAPHS, SENTENCES, WORDS)


@attrs.frozen
class TokenChunker(_WindowChunker):
    """A `Chunker` of whole sentences, at most `size` tokens together, for an embedder that reads so many.

    Tokens are estimated without the model's vocabulary, rather too many than too few: at most 6 Latin letters, 3
    digits, 3 letters of another alphabet, or one sign or character of Chinese, Japanese or Korean. Raises
    `UsageError` for less than 20 tokens.
    """

    kind = "tokens"
    unit = "tokens"
    smallest = 20
    ends = (SENTENCES, WORDS)

    # attrs puts a field that is defined again behind the others.
    size: int = 220
    overlap: int = 0
