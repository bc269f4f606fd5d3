"""Cuts Markdown and plain text: at headings, then between paragraphs, never within a block of code if it fits.

Other chunkers have a module each beside this one, and a name in `chunkers.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Chunk, Document

__all__ = ["MarkdownChunker", "find_headings"]

CHARACTERS = 900
"""The most characters of a chunk: about 200 tokens, which small embedders read whole."""
SMALLEST = 100

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_ENDS = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n")  # noqa: RUF001 - full-width signs end sentences, too


@attrs.frozen
class _Block:
    """A part of the text from `start` to `end`: a paragraph, a block of code, or a heading with its level."""

    start: int
    end: int
    level: int = 0
    title: str = ""


@attrs.frozen
class MarkdownChunker:
    """A `Chunker` of at most `size` characters a chunk. Raises `UsageError` for less than 100 characters.

    A chunk begins at a heading, or where the chunk before is full; a heading without text stays with the text below.
    A block of code, or a paragraph, that is longer than a chunk is cut between lines or sentences. Documents of other
    media types than `text/markdown` have no headings.
    """

    size: int = CHARACTERS

    def __attrs_post_init__(self) -> None:
        if type(self.size) is not int or self.size < SMALLEST:
            raise UsageError(f"the size of a chunk is {self.size!r}", hint=f"Give at least {SMALLEST} characters.")

    @property
    def name(self) -> str:
        """See `Chunker.name`."""
        return f"markdown:{self.size}"

    def cut(self, document: Document) -> Sequence[Chunk]:
        """See `Chunker.cut`."""
        text, has_headings = document.text, document.media_type == "text/markdown"
        chunks: list[Chunk] = []
        path: list[tuple[int, str]] = []
        above: tuple[str, ...] = ()
        start = end = -1
        has_body = False

        def finish() -> None:
            nonlocal start, end, has_body
            if start >= 0 and text[start:end].strip():
                chunks.append(Chunk(text[start:end], start=start, end=end, headings=above))
            start, end, has_body = -1, -1, False

        for block in _list_blocks(text, has_headings):
            if block.level:
                if has_body:
                    finish()
                path = [(level, title) for level, title in path if level < block.level]
                path.append((block.level, block.title))
                above = tuple(title for _, title in path)
            for piece_start, piece_end in _cut_block(text, block, self.size):
                if start >= 0 and piece_end - start > self.size:
                    finish()
                start = piece_start if start < 0 else start
                end = piece_end
                has_body = has_body or not block.level
        finish()
        return chunks


def find_headings(text: str) -> list[tuple[int, tuple[str, ...]]]:
    """Return the offset of each heading of a Markdown text, with the headings above and the heading itself."""
    path: list[tuple[int, str]] = []
    found = []
    for block in _list_blocks(text, True):
        if block.level:
            path = [(level, title) for level, title in path if level < block.level]
            path.append((block.level, block.title))
            found.append((block.start, tuple(title for _, title in path)))
    return found


def _list_blocks(text: str, has_headings: bool) -> Iterator[_Block]:
    """Yield the blocks of a text without the blank lines between them."""
    start = end = at = 0
    fence = ""
    for line in text.splitlines(keepends=True):
        begin, at = at, at + len(line)
        content = line.strip()
        mark = _FENCE.match(line)
        if fence:
            end = begin + len(line.rstrip())
            is_end = mark is not None and mark[1].startswith(fence) and content == mark[1]
            if is_end:
                fence = ""
                yield _Block(start, end)
                start = end = at
            continue
        heading = _HEADING.match(line.rstrip("\r\n")) if has_headings else None
        if (not content or heading or (mark and has_headings)) and end > start:
            yield _Block(start, end)
            start = end = at
        if heading:
            yield _Block(begin, begin + len(line.rstrip()), len(heading[1]), (heading[2] or "").strip())
            start = end = at
        elif not content:
            start = end = at
        else:
            start = begin if end <= start else start
            end = begin + len(line.rstrip())
            fence = mark[1] if mark and has_headings else ""
    if end > start:
        yield _Block(start, end)


def _cut_block(text: str, block: _Block, size: int) -> Iterator[tuple[int, int]]:
    """Yield the block's beginning and end, or the beginnings and ends of pieces if the block is longer than `size`."""
    start = block.start
    while block.end - start > size:
        cuts = [found.end() for found in _ENDS.finditer(text, start, start + size) if found.end() > start + size // 3]
        at = cuts[-1] if cuts else text.rfind(" ", start + size // 3, start + size) + 1
        at = at if at > start else start + size
        yield start, start + len(text[start:at].rstrip())
        start = at + len(text[at : block.end]) - len(text[at : block.end].lstrip("\n "))
    if block.end > start:
        yield start, block.end
