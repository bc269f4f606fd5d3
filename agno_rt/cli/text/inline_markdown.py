"""Reads the Markdown within a line as it arrives: emphasis, code, links. Knows no terminal.

Text is given out as soon as its style is certain. What opens with a marker waits for the one that closes it; where none
comes before the line ends, the marker is text.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

__all__ = ["Kind", "Span", "read_inline"]

Kind = Literal["bold", "italic", "strike", "code", "link", "url"]
Span: TypeAlias = tuple[str, frozenset[Kind]]
"""A piece of text, and what it is."""

_MOST = 500
"""Characters within which a marker must be closed. It bounds what waits, and what a hostile text can cost."""

_DEEPEST = 8

_RUNS = "*_`~"
"""Markers of which several in a row are another one: whether one ends shows with the next character."""

_MARKER = re.compile(r"[`*_~\[!<\\]")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_EMPHASIS: tuple[tuple[re.Pattern[str], frozenset[Kind]], ...] = (
    (re.compile(r"\*\*\*(?=[^\s*])(.+?)(?<=[^\s])\*\*\*"), frozenset({"bold", "italic"})),
    (re.compile(r"\*\*(?=[^\s*])((?:[^*]|\*(?!\*))+?)(?<=[^\s])\*\*(?!\*)"), frozenset({"bold"})),
    (re.compile(r"\*(?=[^\s*])((?:[^*]|\*\*(?:[^*])+?\*\*)+?)(?<=[^\s*])\*(?!\*)"), frozenset({"italic"})),
    (re.compile(r"__(?=[^\s_])(.+?)(?<=[^\s_])__(?![\w_])"), frozenset({"bold"})),
    (re.compile(r"_(?=[^\s_])(.+?)(?<=[^\s_])_(?![\w_])"), frozenset({"italic"})),
    (re.compile(r"~~(?=[^\s~])(.+?)(?<=[^\s~])~~(?!~)"), frozenset({"strike"})),
)
_LINK = re.compile(
    r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]"
    r"\(\s*<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?(?:\s+\"[^\"]*\")?\s*\)"
)
_URL = re.compile(r"<((?:https?|mailto):[^\s<>]+)>")

NONE: frozenset[Kind] = frozenset()


def read_inline(text: str, *, whole: bool, before: str = "", kinds: frozenset[Kind] = NONE) -> tuple[list[Span], str]:
    """Return the spans that are certain, and the rest, which waits for more. Of a `whole` line nothing waits.

    `before` is the character in front of the text, by which a `_` within a word is told from a marker.
    """
    spans: list[Span] = []
    at = 0
    while found := _MARKER.search(text, at):
        start = found.start()
        if start > at:
            spans.append((text[at:start], kinds))
        previous = text[start - 1] if start else before
        inner = _construct(text, start, previous, kinds)
        if inner is not None:
            made, end = inner
            if end == len(text) and not whole and text[-1] in _RUNS:
                return spans, text[start:]
            spans.extend(made)
            at = end
        elif not whole and len(text) - start < _MOST and _may_open(text, start, previous):
            return spans, text[start:]
        else:
            # A run of one marker is text as a whole: no shorter marker begins within it.
            end = start + 1
            while text[start] in _RUNS and end < len(text) and text[end] == text[start]:
                end += 1
            spans.append((text[start:end], kinds))
            at = end
    if at < len(text):
        spans.append((text[at:], kinds))
    return spans, ""


def _construct(text: str, start: int, previous: str, kinds: frozenset[Kind]) -> tuple[list[Span], int] | None:
    """The spans of what begins there, and where it ends; `None` where nothing whole does."""
    marker = text[start]
    if marker == "\\":
        return _literal(_ESCAPED.match(text, start, start + _MOST), kinds)
    if marker == "`":
        found = _CODE.match(text, start, start + _MOST)
        return None if found is None else ([(_code_text(found[2]), kinds | {"code"})], found.end())
    if marker in "[!":
        found = _LINK.match(text, start, start + _MOST)
        return None if found is None else (_link(found[1], found[2], kinds), found.end())
    if marker == "<":
        found = _URL.match(text, start, start + _MOST)
        return None if found is None else ([(found[1], kinds | {"url"})], found.end())
    if marker == "_" and (previous.isalnum() or previous == "_"):
        return None
    return _emphasis(text, start, kinds)


def _emphasis(text: str, start: int, kinds: frozenset[Kind]) -> tuple[list[Span], int] | None:
    for pattern, more in _EMPHASIS:
        found = pattern.match(text, start, start + _MOST)
        if found is not None and len(kinds) < _DEEPEST and more - kinds:
            spans, _ = read_inline(found[1], whole=True, kinds=kinds | more)
            return spans, found.end()
    return None


def _literal(found: re.Match[str] | None, kinds: frozenset[Kind]) -> tuple[list[Span], int] | None:
    return None if found is None else ([(found[1], kinds)], found.end())


def _code_text(text: str) -> str:
    """What is within backticks: a blank on both sides is there to part a backtick from them."""
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == " " and text.strip() else text


def _link(label: str, url: str, kinds: frozenset[Kind]) -> list[Span]:
    """The label and the address beside it: where a link leads must be seen."""
    spans, _ = read_inline(label, whole=True, kinds=kinds | {"link"}) if "link" not in kinds else ([(label, kinds)], "")
    if not url or label == url:
        return spans
    if not label:
        return [(url, kinds | {"url"})]
    return [*spans, (" (", kinds), (url, kinds | {"url"}), (")", kinds)]


def _may_open(text: str, start: int, previous: str) -> bool:
    """Whether more text could make something of the marker that stands there."""
    marker, rest = text[start], text[start + 1 :]
    if marker == "\\":
        return not rest
    if marker == "!":
        return not rest or rest[0] == "["
    if marker == "[":
        close = rest.find("]")
        return close < 0 or len(rest) == close + 1 or rest[close + 1] == "("
    if marker == "<":
        schemes = ("http://", "https://", "mailto:")
        return not rest or any(rest.startswith(scheme) or scheme.startswith(rest) for scheme in schemes)
    if marker == "_" and (previous.isalnum() or previous == "_"):
        return False
    after = rest.lstrip(marker)
    return not after or marker == "`" or not after[0].isspace()
