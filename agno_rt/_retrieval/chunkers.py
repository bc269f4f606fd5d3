"""The chunkers by name, as agno-rt.toml and the command line name them: `markdown`, `tokens:200:40`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agno_rt._retrieval.code import CodeChunker
from agno_rt._retrieval.markdown import MarkdownChunker
from agno_rt._retrieval.text import CharacterChunker, ParagraphChunker, SentenceChunker, TokenChunker
from agno_rt.errors import NotFound, UsageError
from agno_rt.knowledge.reading import Chunker

__all__ = ["CHUNKERS", "make_chunker"]

CHUNKERS: Mapping[str, Callable[..., Chunker]] = {
    "characters": CharacterChunker,
    "code": CodeChunker,
    "markdown": MarkdownChunker,
    "paragraphs": ParagraphChunker,
    "sentences": SentenceChunker,
    "tokens": TokenChunker,
}
"""The classes by the first word of their names; each is called with its size and overlap, if they are given."""

_WITHOUT_OVERLAP = ("code", "markdown")


def make_chunker(chunker: str | Chunker) -> Chunker:
    """Return the chunker of a name, or the given one. Raises `NotFound` or `UsageError`."""
    if not isinstance(chunker, str):
        if not isinstance(chunker, Chunker):
            raise UsageError(f"{chunker!r} is not a chunker", hint="Give a name such as 'markdown:900', or a Chunker.")
        return chunker
    name, *numbers = chunker.split(":")
    if name not in CHUNKERS:
        raise NotFound("chunker", name, CHUNKERS)
    if name in _WITHOUT_OVERLAP and len(numbers) > 1:
        hint = f"Write {name}:900: its chunks end where a part of the text ends, and repeat nothing."
        raise UsageError(f"{chunker!r} has more than a size", hint=hint)
    for number in numbers:
        # A size of many digits would be an error of Python's, without the name.
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            hint = f"Write {name}:900" + ("." if name in _WITHOUT_OVERLAP else f", or {name}:900:100 with an overlap.")
            raise UsageError(f"{number!r} in {chunker!r} is not a size", hint=hint)
    if len(numbers) > 2:
        raise UsageError(f"{chunker!r} has more than a size and an overlap", hint=f"Write {name}:900:100.")
    return CHUNKERS[name](*map(int, numbers))
