"""Reads the descriptions of parameters from docstrings in the styles of Google, NumPy and Sphinx. Knows no tools.

Google's style has a section `Args:` (or `Parameters:`, `Attributes:`, ...) with indented entries; NumPy's style has an
underlined section; Sphinx's style has a field `:param name:` for each parameter. Entries of unknown names and
unreadable sections stay in the text: a repeated description is better than a lost one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

__all__ = ["parameter_docs"]

_TITLES = ("args", "arguments", "attributes", "keyword args", "keyword arguments", "parameters", "params")
_TITLES_NUMPY = ("attributes", "other parameters", "parameters")
_SECTION = re.compile(rf"(?:{'|'.join(_TITLES)}):", re.IGNORECASE)
_ENTRY = re.compile(r"(?P<names>\*{0,2}\w+(?:, *\*{0,2}\w+)*) *(?:\((?P<type>.*?)\))? *:(?!:)(?:\s+|$)(?P<text>.*)")
_ENTRY_NUMPY = re.compile(r"(?P<names>\*{0,2}\w+(?:, *\*{0,2}\w+)*)(?: *:.*)?")
_UNDERLINE = re.compile(r"-{3,}")
_FIELD = re.compile(
    r":(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(?P<names>\w+)\s*:\s*(?P<text>.*)"
)
_FIELD_TYPE = re.compile(r":type\s+\*{0,2}(?P<names>\w+)\s*:.*")


def parameter_docs(doc: str | None, names: Collection[str]) -> tuple[str, dict[str, str]]:
    """Split a docstring, as `inspect.getdoc` returns it, into the text and the descriptions of the named parameters."""
    if not doc:
        return "", {}
    lines = doc.splitlines()
    said: dict[str, str] = {}
    kept: list[str] = []
    at = 0
    while at < len(lines):
        taken = _take_parameters(lines, at, names, said)
        if taken is None:
            kept.append(lines[at])
            at += 1
        else:
            at, rest = taken
            kept += rest
    return _collapse_blank_lines(kept), said


def _take_parameters(
    lines: list[str], at: int, names: Collection[str], said: dict[str, str]
) -> tuple[int, list[str]] | None:
    """Read the parameters that begin at line `at`. Return the next line and the lines to keep; `None` without any."""
    line = lines[at]
    if _SECTION.fullmatch(line.strip()) and _count_indent(line) == 0:
        return _take_section(lines, at, 1, names, said)
    underlined = at + 1 < len(lines) and _UNDERLINE.fullmatch(lines[at + 1].strip())
    if underlined and line.strip().lower() in _TITLES_NUMPY:
        return _take_section(lines, at, 2, names, said)
    for pattern in (_FIELD, _FIELD_TYPE):
        found = pattern.fullmatch(line.strip())
        if found is not None and found["names"] in names:
            after = next((n for n in range(at + 1, len(lines)) if not _is_continuation(lines[n], 0)), len(lines))
            if pattern is _FIELD:
                _add_description(said, found["names"], [found["text"], *lines[at + 1 : after]])
            return after, []
    return None


def _take_section(
    lines: list[str], at: int, heading: int, names: Collection[str], said: dict[str, str]
) -> tuple[int, list[str]] | None:
    """Read a section of parameters: Google's style has a `heading` of one line, NumPy's of two."""
    pattern = _ENTRY if heading == 1 else _ENTRY_NUMPY
    start = at + heading
    while start < len(lines) and not lines[start].strip():
        start += 1
    margin = _count_indent(lines[start]) if start < len(lines) else 0
    # `inspect.getdoc` removes the common indentation after the first line: an entry has none below a first-line title.
    if start >= len(lines) or (heading == 1 and margin == 0 and at > 0):
        return None
    end = start
    while end < len(lines) and not _is_section_end(lines, end, margin, heading):
        end += 1
    rest: list[str] = []
    for first, entry in _split_entries(lines[start:end], margin):
        found = pattern.fullmatch(first.strip())
        named = [] if found is None else [name.strip().lstrip("*") for name in found["names"].split(",")]
        if found is None or not any(name in names for name in named):
            rest += [first, *entry]
            continue
        text = found.groupdict().get("text")
        for name in named:
            _add_description(said, name, entry if text is None else [text, *entry])
    return end, [*lines[at:start], *rest] if any(line.strip() for line in rest) else []


def _is_section_end(lines: list[str], at: int, margin: int, heading: int) -> bool:
    """Return whether the section ends before the line: at a smaller indentation, or at an underlined heading."""
    line = lines[at]
    if not line.strip():
        return False
    if _count_indent(line) < margin:
        return True
    if heading == 1:
        return False
    # NumPy's entries are not indented, so prose after an empty line is told from an entry by its form alone.
    underlined = at + 1 < len(lines) and bool(_UNDERLINE.fullmatch(lines[at + 1].strip()))
    after_gap = not lines[at - 1].strip() and _count_indent(line) == margin
    return underlined or (after_gap and not _ENTRY_NUMPY.fullmatch(line.strip()))


def _split_entries(lines: list[str], margin: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each entry: the first line, and the more indented lines below."""
    at = 0
    while at < len(lines):
        after = next((n for n in range(at + 1, len(lines)) if not _is_continuation(lines[n], margin)), len(lines))
        yield lines[at], lines[at + 1 : after]
        at = after


def _is_continuation(line: str, margin: int) -> bool:
    return not line.strip() or _count_indent(line) > margin


def _count_indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _add_description(said: dict[str, str], name: str, lines: list[str]) -> None:
    """Add the lines as one paragraph: line breaks are noise in a schema. The first description of a name wins."""
    text = " ".join(line.strip() for line in lines if line.strip())
    if text:
        said.setdefault(name, text)


def _collapse_blank_lines(lines: list[str]) -> str:
    """Join the lines; leave no more than one empty line where a section was removed."""
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return "\n".join(kept).strip()
