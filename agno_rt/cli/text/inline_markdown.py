"""Markdown within a line, read as it arrives: emphasis, code, links. Knows no terminal.

Text is returned as soon as its style is certain. Text behind an opening marker waits for the closing marker; at the end
of the line the marker is text.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

__all__ = ["Kind", "Span", "read_inline"]

Kind = Literal["bold", "italic", "strike", "code", "link", "url"]
Span: TypeAlias = tuple[str, frozenset[Kind]]
"""A piece of text and its kinds."""

_MOST = 500
"""The most characters between two markers: a bound of the waiting text, and of the time for a hostile text."""

_DEEPEST = 8
"""The most kinds of a span: a bound of the nesting, as each level reads its text again."""

_RUNS = "*_`~"
"""Markers with another meaning when repeated, as `*` and `**`: the end of such a marker needs the next character."""

_MARKER = re.compile(r"[`*_~\[!<\\]")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
# The longest marker first: otherwise `***` would be read as `**` and `*`.
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
    """Return the certain spans and the rest, which waits for more text. The rest of a `whole` line is empty.

    `before` is the character in front of the text: a `_` within a word is not a marker.
    """
    spans: list[Span] = []
    at = 0
    while found := _MARKER.search(text, at):
        start = found.start()
        if start > at:
            spans.append((text[at:start], kinds))
        previous = text[start - 1] if start else before
        inner = _read_construct(text, start, previous, kinds)
        if inner is not None:
            made, end = inner
            # The next character may make the closing marker longer, and so another marker.
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


def _read_construct(text: str, start: int, previous: str, kinds: frozenset[Kind]) -> tuple[list[Span], int] | None:
    """Return the spans of the construct at `start`, and its end; `None` for no complete construct."""
    marker = text[start]
    if marker == "\\":
        return _read_escape(_ESCAPED.match(text, start, start + _MOST), kinds)
    if marker == "`":
        found = _CODE.match(text, start, start + _MOST)
        return None if found is None else ([(_trim_code(found[2]), kinds | {"code"})], found.end())
    if marker in "[!":
        found = _LINK.match(text, start, start + _MOST)
        return None if found is None else (_render_link(found[1], found[2], kinds), found.end())
    if marker == "<":
        found = _URL.match(text, start, start + _MOST)
        return None if found is None else ([(found[1], kinds | {"url"})], found.end())
    if marker == "_" and (previous.isalnum() or previous == "_"):
        return None
    return _read_emphasis(text, start, kinds)


def _read_emphasis(text: str, start: int, kinds: frozenset[Kind]) -> tuple[list[Span], int] | None:
    for pattern, more in _EMPHASIS:
        found = pattern.match(text, start, start + _MOST)
        if found is not None and len(kinds) < _DEEPEST and more - kinds:
            spans, _ = read_inline(found[1], whole=True, kinds=kinds | more)
            return spans, found.end()
    return None


def _read_escape(found: re.Match[str] | None, kinds: frozenset[Kind]) -> tuple[list[Span], int] | None:
    return None if found is None else ([(found[1], kinds)], found.end())


def _trim_code(text: str) -> str:
    """Return the text within backticks, without a blank on both sides, which separates inner backticks."""
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == " " and text.strip() else text


def _render_link(label: str, url: str, kinds: frozenset[Kind]) -> list[Span]:
    """Return the spans of the label and, in brackets, of the address."""
    # The address is always shown: a model must not hide a link's target behind its label.
    spans, _ = read_inline(label, whole=True, kinds=kinds | {"link"}) if "link" not in kinds else ([(label, kinds)], "")
    if not url or label == url:
        return spans
    if not label:
        return [(url, kinds | {"url"})]
    return [*spans, (" (", kinds), (url, kinds | {"url"}), (")", kinds)]


def _may_open(text: str, start: int, previous: str) -> bool:
    """Tell whether more text could complete a construct at `start`."""
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
