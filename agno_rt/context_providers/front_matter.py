"""The front matter of a Markdown file: the part of YAML that people write there, read with the line of each fault.

Values are texts, lists of texts, and tables of texts. A text may hold `: ` without quotes, which YAML refuses and many
authors write. Numbers, dates and `true` stay texts. Anchors, tags and deeper tables are refused by line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

import attrs

__all__ = ["FrontMatter", "FrontMatterError", "Value", "parse_front_matter"]

Value: TypeAlias = str | list[str] | dict[str, str]

_PAIR = re.compile(r"([A-Za-z0-9_.-]+|\"[^\"]*\"|'[^']*')[ ]*:(?:[ ]+(.*))?")
_BLOCK = re.compile(r"([|>])([+-]?)[ ]*(?:#.*)?")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "/": "/", " ": " ", "0": "\0"}
_QUOTES = "\"'"
_RESERVED = "&*!%@`{|>"
"""Signs with which YAML begins something other than a text."""


class FrontMatterError(ValueError):
    """A fault in front matter, with the number of its line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


@attrs.frozen
class FrontMatter:
    """The values of a front matter by key, the line of each key, and the text below."""

    values: Mapping[str, Value]
    lines: Mapping[str, int]
    body: str


def parse_front_matter(text: str) -> FrontMatter:
    """Read the front matter at the beginning of a text. Raises `FrontMatterError`."""
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        raise FrontMatterError(1, "the front matter is missing: the first line must be ---")
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
    if end is None:
        raise FrontMatterError(len(lines), "the front matter has no end: write --- below it")
    values, places = _Reader(lines[1:end], first=2).read_table()
    return FrontMatter(values, places, "\n".join(lines[end + 1 :]).strip())


class _Reader:
    """Reads the lines of a front matter, one key after the other."""

    def __init__(self, lines: list[str], first: int) -> None:
        self._lines = lines
        self._first = first
        self._at = 0

    def read_table(self) -> tuple[dict[str, Value], dict[str, int]]:
        """Return the values and the lines of the keys."""
        values: dict[str, Value] = {}
        places: dict[str, int] = {}
        while self._at < len(self._lines):
            line, number = self._lines[self._at], self._first + self._at
            self._at += 1
            if _is_blank(line):
                continue
            pair = _PAIR.fullmatch(line.rstrip())
            if pair is None:
                raise FrontMatterError(number, f"{line.strip()[:60]!r} is not of the form key: value")
            key = pair[1].strip(_QUOTES)
            if key in values:
                raise FrontMatterError(number, f"the key {key!r} is there twice")
            places[key] = number
            values[key] = self._read_value((pair[2] or "").strip(), number)
        return values, places

    def _read_value(self, text: str, number: int) -> Value:
        block = _BLOCK.fullmatch(text)
        if block is not None:
            return self._read_block(block[1], block[2])
        if text.startswith("#"):
            text = ""
        if not text:
            return self._read_below(number)
        if text[0] == "[":
            while not _closes(text) and (more := self._next_indented()) is not None:
                text = f"{text} {more}"
            return _split_list(text, number)
        if text[0] in _QUOTES:
            while _end_of_quotes(text) is None and (more := self._next_indented()) is not None:
                text = f"{text} {more}"
            return _read_text(text, number)
        while (more := self._next_indented()) is not None:
            text = f"{_cut_comment(text)} {more}"
        return _read_text(text, number)

    def _read_below(self, number: int) -> Value:
        """Read the list, the table or the text in the lines below a key without a value."""
        found = self._take_below()
        if not found:
            return ""
        if found[0][1] == "-" or found[0][1].startswith("- "):
            for place, line in found:
                if not line.startswith("- "):
                    raise FrontMatterError(place, f"{line[:60]!r} is not an item of the list: write '- item'")
            return [_read_text(line[2:].strip(), place) for place, line in found]
        if found[0][1].startswith("["):
            return _split_list(" ".join(_cut_comment(line) for _, line in found), number)
        if _PAIR.fullmatch(found[0][1]) is None:
            return _read_text(" ".join(_cut_comment(line) for _, line in found), number)
        return _read_inner_table(found)

    def _take_below(self) -> list[tuple[int, str]]:
        """Return the lines below a key that are indented or items of a list, with their numbers."""
        found = list[tuple[int, str]]()
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not _is_blank(line):
                if not line.startswith((" ", "\t", "- ")):
                    break
                _check_indent(line, self._first + self._at)
                found.append((self._first + self._at, line.strip()))
            self._at += 1
        return found

    def _read_block(self, style: str, chomp: str) -> str:
        lines = list[str]()
        while self._at < len(self._lines) and _is_inner(line := self._lines[self._at]):
            _check_indent(line, self._first + self._at)
            lines.append(line.rstrip())
            self._at += 1
        least = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
        lines = [line[least:] for line in lines]
        text = (_fold_lines(lines) if style == ">" else "\n".join(lines)).rstrip("\n")
        return text if chomp == "-" or not text else f"{text}\n"

    def _next_indented(self) -> str | None:
        """Return the next line, if it continues the value."""
        if self._at < len(self._lines) and self._lines[self._at].startswith((" ", "\t")):
            line = self._lines[self._at]
            _check_indent(line, self._first + self._at)
            self._at += 1
            return _cut_comment(line.strip())
        return None


def _fold_lines(lines: list[str]) -> str:
    """Join lines by spaces; blank lines and lines that are indented further keep their line ends."""
    text, blanks, before = "", 0, ""
    for line in lines:
        if not line:
            blanks += 1
            continue
        keeps = not before or before[0] == " " or line[0] == " "
        text += "\n" * (blanks + (keeps and bool(before))) or ("" if keeps else " ")
        text += line
        blanks, before = 0, line
    return text


def _read_inner_table(lines: list[tuple[int, str]]) -> dict[str, str]:
    table: dict[str, str] = {}
    for number, line in lines:
        pair = _PAIR.fullmatch(line)
        if pair is None or not pair[2]:
            raise FrontMatterError(number, f"{line[:60]!r} is not of the form key: value")
        if (key := pair[1].strip(_QUOTES)) in table:
            raise FrontMatterError(number, f"the key {key!r} is there twice")
        table[key] = _read_text(pair[2].strip(), number)
    return table


def _is_inner(line: str) -> bool:
    return not line.strip() or line.startswith((" ", "\t"))


def _is_blank(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _check_indent(line: str, number: int) -> None:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        raise FrontMatterError(number, "the line is indented by a tab: use spaces")


def _cut_comment(text: str) -> str:
    return re.sub(r"(?:^|\s)#.*", "", text).strip()


def _end_of_quotes(text: str) -> int | None:
    """Return the place of the quote that closes a text; None for an open text."""
    pattern = r"'(?:[^']|'')*'(?!')" if text[0] == "'" else r'"(?:[^"\\]|\\.)*"'
    found = re.match(pattern, text, re.DOTALL)
    return None if found is None else found.end()


def _read_text(text: str, number: int) -> str:
    """Return a text without its quotes and comment."""
    if not text or text[0] not in _QUOTES:
        if text and text[0] in _RESERVED:
            raise FrontMatterError(number, f"a text cannot begin with {text[0]!r}: put the text in quotes")
        return _cut_comment(text)
    end = _end_of_quotes(text)
    if end is None:
        raise FrontMatterError(number, f"the text that begins with {text[:20]} has no closing quote")
    if _cut_comment(text[end:]):
        raise FrontMatterError(number, f"{text[end:].strip()[:40]!r} stands behind a text in quotes")
    inner = text[1 : end - 1]
    return inner.replace("''", "'") if text[0] == "'" else _unescape(inner, number)


def _unescape(text: str, number: int) -> str:
    def replace(match: re.Match[str]) -> str:
        sign = match[1]
        if len(sign) > 1:
            code = int(sign[1:], 16)
            if code <= 0x10FFFF:
                return chr(code)
        elif sign in _ESCAPED:
            return _ESCAPED[sign]
        raise FrontMatterError(number, f"\\{sign} is not an escape of YAML: write \\\\ for a backslash")

    return _ESCAPE.sub(replace, text)


_ITEM = re.compile(r"\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[^,\[\]{}\"'][^,\[\]{}]*)\s*(,|\])")


def _closes(text: str) -> bool:
    return re.search(r"\]\s*(?:#.*)?$", text) is not None


def _split_list(text: str, number: int) -> list[str]:
    """Return the items of `[a, "b"]`."""
    items = list[str]()
    at = 1
    if re.fullmatch(r"\[\s*\]\s*(?:#.*)?", text):
        return items
    while (found := _ITEM.match(text, at)) is not None:
        items.append(_read_text(found[1].strip(), number))
        at = found.end()
        if found[2] == "]" or re.match(r"\s*\]", text[at:]):
            rest = text[at:] if found[2] == "]" else text[at:].lstrip()[1:]
            if not _cut_comment(rest):
                return items
            break
    raise FrontMatterError(number, f"the list {text[:40]!r} cannot be read: write [one, two]")
