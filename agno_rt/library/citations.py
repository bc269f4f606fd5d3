"""The passages that a run was shown: written for the model with numbers, and read back from messages.

The results of tools are stored with their runs, so a run that goes on elsewhere continues the numbers, and a stored run
has its citations.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import attrs

from agno_rt.knowledge.documents import Chunk, Hit
from agno_rt.messages import Message

__all__ = ["TOOL", "Citation", "ShownPassages", "describe_citations", "format_passages", "list_citations"]

TOOL = "search_knowledge"
"""The name of the tool of a `KnowledgeContext` that names no other."""

_MARK = re.compile(r"^\[(\d{1,9})\] (.+)\n", re.MULTILINE)
_LIKE_MARK = re.compile(r"^( *\[\d)", re.MULTILINE)
_HIDDEN_MARK = re.compile(r"^ ( *\[\d)", re.MULTILINE)
_LINE_ENDS = re.compile(r"[\r\n]+")
_ALSO = ", also in "


@attrs.frozen
class Citation:
    """A passage shown to a run under a number; `used` if the answer names the number, as in `[1]`, or the source.

    The hit of a passage that was read back from a message has the text, the source and the place in the document, which
    may be a heading; it has no offsets, score and metadata.
    """

    number: int
    hit: Hit
    used: bool


def describe_citations(citations: Iterable[Citation]) -> list[dict[str, Any]]:
    """Return the citations for JSON: number, source, place in the document, title, and whether the answer names it."""
    return [
        {
            "number": each.number,
            "source": each.hit.chunk.source,
            "place": each.hit.chunk.where.removeprefix(each.hit.chunk.source).removeprefix(" (").removesuffix(")"),
            "title": each.hit.title,
            "used": each.used,
        }
        for each in citations
    ]


class ShownPassages:
    """The passages of one run, by number. A passage that is found again keeps its number."""

    def __init__(self) -> None:
        self.hits: dict[int, Hit] = {}
        self._numbers: dict[tuple[str, str], int] = {}

    def number(self, hits: Iterable[Hit]) -> list[tuple[int, Hit]]:
        """Return the hits with their numbers; new passages have the next numbers."""
        return [(self._number(hit), hit) for hit in hits]

    def read(self, texts: Iterable[str]) -> None:
        """Take up the passages of texts by `format_passages`, with their numbers."""
        for text in texts:
            for number, hit in _read_passages(text):
                self.hits.setdefault(number, hit)
                self._numbers.setdefault(_identify(hit), number)

    def cite(self, answer: str) -> list[Citation]:
        """Return the passages by number, each marked as used if the answer names its number or source."""
        return [Citation(number, hit, _is_named(number, hit, answer)) for number, hit in sorted(self.hits.items())]

    def _number(self, hit: Hit) -> int:
        number = self._numbers.setdefault(_identify(hit), max(self.hits, default=0) + 1)
        self.hits.setdefault(number, hit)
        return number


def list_citations(messages: Sequence[Message], answer: str, *, tools: Collection[str] = (TOOL,)) -> list[Citation]:
    """Return the citations of a run by its messages alone: of a stored session, or of a run in another process.

    `tools` names the tools that searched. Passages shown before the answer, without a call, are not in the messages.
    """
    shown = ShownPassages()
    shown.read(message.text for message in messages if message.role == "tool" and message.name in tools)
    return shown.cite(answer)


def format_passages(numbered: Sequence[tuple[int, Hit]]) -> str:
    """Return passages as a model sees them: number, place and text of each.

    A line of a document that looks like the number of a passage is moved by a space, so that a document cannot pose as
    another source.
    """
    return "\n\n".join(_format_passage(number, hit) for number, hit in numbered)


def _is_named(number: int, hit: Hit, answer: str) -> bool:
    """Return whether the answer names the passage's number, or its source as a word of its own."""
    if f"[{number}]" in answer:
        return True
    source = re.escape(hit.chunk.source)
    return bool(source) and re.search(rf"(?<![\w./-]){source}(?![\w/-]|\.\w)", answer) is not None


def _format_passage(number: int, hit: Hit) -> str:
    text = _LIKE_MARK.sub(r" \1", hit.chunk.text)
    return f"[{number}] {_describe_place(hit)}\n{text}"


def _read_passages(text: str) -> Iterator[tuple[int, Hit]]:
    marks = list(_MARK.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for at, (mark, end) in enumerate(zip(marks, ends, strict=True)):
        body = text[mark.end() : end]
        body = body.removesuffix("\n\n") if at + 1 < len(marks) else body
        where, _, also = mark[2].partition(_ALSO)
        source, place = _split_place(where)
        chunk = Chunk(_HIDDEN_MARK.sub(r"\1", body), source, place=place)
        yield int(mark[1]), Hit(chunk, 0.0, also=tuple(also.split(", ")) if also else ())


def _split_place(where: str) -> tuple[str, str]:
    """Return the source, and the text of the last pair of brackets at the end, which may have brackets within."""
    depth = 0
    for at in range(len(where) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(where[at], 0)
        if depth == 0:
            is_place = at > 1 and where.endswith(")") and where[at - 1] == " "
            return (where[: at - 1], where[at + 1 : -1]) if is_place else (where, "")
    return where, ""


def _identify(hit: Hit) -> tuple[str, str]:
    return _LINE_ENDS.sub(" ", hit.chunk.where), hit.chunk.text


def _describe_place(hit: Hit) -> str:
    also = f"{_ALSO}{', '.join(hit.also)}" if hit.also else ""
    return _LINE_ENDS.sub(" ", f"{hit.chunk.where}{also}")
