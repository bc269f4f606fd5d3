"""The chunker of source code: whole definitions of Python, and blocks between blank lines of other languages."""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

import attrs

from agno_rt._retrieval.text import check_sizes
from agno_rt._retrieval.windows import trim
from agno_rt.knowledge.documents import Chunk, Document

__all__ = ["CodeChunker"]

SMALLEST = 100
_LINE_ENDS = re.compile(r"\r\n|\r|\n")  # what ends a line for Python; `splitlines` knows more
# A line that is not indented, after a blank line.
_BLOCKS = re.compile(r"(?<=\n)[ \t]*\r?\n(?=[^\s)\]}])")
_PYTHON = frozenset({"text/x-python", "text/x-script.python", "application/x-python"})
_PARSED = "<code of a document>"


@attrs.frozen
class _Part:
    """A part of the code that stays together if it fits, and the class that it is a part of."""

    start: int
    end: int
    inside: tuple[str, ...] = ()


@attrs.frozen
class CodeChunker:
    """A `Chunker` of source code, at most `size` characters a chunk. Raises `UsageError` for less than 100.

    Python is cut at functions and classes, and a class that is too long at its methods, which have the class as their
    heading. Other languages, and Python that cannot be parsed, are cut at blank lines before a line that is not
    indented. A part that is too long is cut between lines. The place of a chunk tells its lines.
    """

    size: int = 1_500

    def __attrs_post_init__(self) -> None:
        check_sizes(self.size, 0, SMALLEST, "characters")

    @property
    def name(self) -> str:
        """See `Chunker.name`."""
        return f"code:{self.size}"

    def cut(self, document: Document) -> Sequence[Chunk]:
        """See `Chunker.cut`."""
        text = document.text
        lines = [0, *(found.end() for found in _LINE_ENDS.finditer(text))]
        parts = _list_definitions(text, lines, self.size) if document.media_type in _PYTHON else []
        chunks = []
        for part in _pack(text, lines, parts or _list_blocks(text), self.size):
            _, end = trim(text, part.start, part.end)
            start = part.start
            while start < end and not text[start : _end_of_line(lines, start, end)].strip():
                start = _end_of_line(lines, start, end)
            if start < end:
                first, last = bisect_right(lines, start), bisect_right(lines, end - 1)
                place = f"line {first}" if first == last else f"lines {first} to {last}"
                chunks.append(Chunk(text[start:end], start=start, end=end, headings=part.inside, place=place))
        return chunks


def _end_of_line(lines: Sequence[int], at: int, end: int) -> int:
    """Return the offset after the line of the offset `at`."""
    following = bisect_right(lines, at)
    return min(end, lines[following]) if following < len(lines) else end


def _pack(text: str, lines: Sequence[int], parts: Sequence[_Part], size: int) -> Iterator[_Part]:
    """Yield small neighbouring parts of the same class together, and pieces of long parts."""
    begun: _Part | None = None
    for part in parts:
        if begun is not None and begun.inside == part.inside and part.end - begun.start <= size:
            begun = attrs.evolve(begun, end=part.end)
            continue
        if begun is not None:
            yield from _cut_lines(text, lines, begun, size)
        begun = part
    if begun is not None:
        yield from _cut_lines(text, lines, begun, size)


def _cut_lines(text: str, lines: Sequence[int], part: _Part, size: int) -> Iterator[_Part]:
    """Yield pieces of whole lines, at most `size` characters each; a longer line is cut."""
    start, end = part.start, part.end
    while len(text[start:end].rstrip()) > size:
        at = lines[bisect_right(lines, start + size) - 1]
        at = at if at > start else start + size
        yield attrs.evolve(part, start=start, end=at)
        start = at
    yield attrs.evolve(part, start=start)


def _list_blocks(text: str) -> list[_Part]:
    cuts = [0, *(found.end() for found in _BLOCKS.finditer(text)), len(text)]
    return [_Part(start, end) for start, end in pairwise(cuts)]


def _list_definitions(text: str, lines: Sequence[int], size: int) -> list[_Part]:
    """Return the parts of Python code; none if it cannot be parsed."""
    # An escape that Python warns of is the author's affair. The filter is for this name alone, so other warnings stay.
    for category in (SyntaxWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=category, module=re.escape(_PARSED))
    try:
        tree = ast.parse(text, _PARSED)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return _list_parts(text, lines, tree.body, _Part(0, len(text)), size)


def _list_parts(text: str, lines: Sequence[int], body: Sequence[ast.stmt], whole: _Part, size: int) -> list[_Part]:
    """Return a part for each definition in the body, with what is before it and no definition in parts of its own."""
    cuts: list[tuple[int, ast.stmt | None]] = [(whole.start, None)]
    for before, statement in zip([None, *body], body, strict=False):
        if isinstance(statement, _DEFINITIONS) or isinstance(before, _DEFINITIONS):
            start = _find_start(text, lines, statement, cuts[-1][0])
            if start > cuts[-1][0]:
                cuts.append((start, statement))
            else:
                cuts[-1] = start, statement
    parts = []
    for (start, opened), end in zip(cuts, [*(start for start, _ in cuts[1:]), whole.end], strict=True):
        part = attrs.evolve(whole, start=start, end=end)
        if isinstance(opened, ast.ClassDef) and end - start > size:
            inside = attrs.evolve(part, inside=(*whole.inside, f"class {opened.name}"))
            parts += _list_parts(text, lines, opened.body, inside, size)
        else:
            parts.append(part)
    return parts


_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _find_start(text: str, lines: Sequence[int], statement: ast.stmt, least: int) -> int:
    """Return the offset of a statement's first line: of its decorators, and the comments right above."""
    decorators = statement.decorator_list if isinstance(statement, _DEFINITIONS) else []
    line = min([statement.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    while line > 0 and lines[line - 1] >= least and text[lines[line - 1] : lines[line]].lstrip().startswith("#"):
        line -= 1
    return max(least, lines[line])
