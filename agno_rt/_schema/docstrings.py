"""Reads what a docstring says of each parameter, in the styles that people write. Knows nothing of tools.

Google's and our own style have a section `Args:` (or `Parameters:`, `Attributes:`, ...) with indented entries; NumPy's
has one that is underlined; Sphinx's has a field `:param name:` for each. An entry of a name that is not asked for stays
where it was, and so does a section that nobody can read: text is rather told twice than lost.
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
    """The docstring, as `inspect.getdoc` gives it, without what it says of the named parameters; and that, by name."""
    if not doc:
        return "", {}
    lines = doc.splitlines()
    said: dict[str, str] = {}
    kept: list[str] = []
    at = 0
    while at < len(lines):
        taken = _taken(lines, at, names, said)
        if taken is None:
            kept.append(lines[at])
            at += 1
        else:
            at, rest = taken
            kept += rest
    return _tidied(kept), said


def _taken(lines: list[str], at: int, names: Collection[str], said: dict[str, str]) -> tuple[int, list[str]] | None:
    """Where to go on after the parameters that begin in this line, and what is left of them; `None` if none do."""
    line = lines[at]
    if _SECTION.fullmatch(line.strip()) and _indent(line) == 0:
        return _section(lines, at, 1, names, said)
    underlined = at + 1 < len(lines) and _UNDERLINE.fullmatch(lines[at + 1].strip())
    if underlined and line.strip().lower() in _TITLES_NUMPY:
        return _section(lines, at, 2, names, said)
    for pattern in (_FIELD, _FIELD_TYPE):
        found = pattern.fullmatch(line.strip())
        if found is not None and found["names"] in names:
            after = next((n for n in range(at + 1, len(lines)) if not _belongs(lines[n], 0)), len(lines))
            if pattern is _FIELD:
                _say(said, found["names"], [found["text"], *lines[at + 1 : after]])
            return after, []
    return None


def _section(
    lines: list[str], at: int, heading: int, names: Collection[str], said: dict[str, str]
) -> tuple[int, list[str]] | None:
    """A section of parameters, in Google's style with a heading of one line, or in NumPy's with one of two."""
    pattern = _ENTRY if heading == 1 else _ENTRY_NUMPY
    start = at + heading
    while start < len(lines) and not lines[start].strip():
        start += 1
    margin = _indent(lines[start]) if start < len(lines) else 0
    # Where a docstring begins with the section, what follows its first line has lost its indentation.
    if start >= len(lines) or (heading == 1 and margin == 0 and at > 0):
        return None
    end = start
    while end < len(lines) and not _ends(lines, end, margin, heading):
        end += 1
    rest: list[str] = []
    for first, entry in _entries(lines[start:end], margin):
        found = pattern.fullmatch(first.strip())
        named = [] if found is None else [name.strip().lstrip("*") for name in found["names"].split(",")]
        if found is None or not any(name in names for name in named):
            rest += [first, *entry]
            continue
        text = found.groupdict().get("text")
        for name in named:
            _say(said, name, entry if text is None else [text, *entry])
    return end, [*lines[at:start], *rest] if any(line.strip() for line in rest) else []


def _ends(lines: list[str], at: int, margin: int, heading: int) -> bool:
    """Whether the section is over: at what is less indented, or at the next heading that is underlined."""
    line = lines[at]
    if not line.strip():
        return False
    if _indent(line) < margin:
        return True
    if heading == 1:
        return False
    # In NumPy's style entries are not indented. What follows one after an empty line is one too, or other prose.
    underlined = at + 1 < len(lines) and bool(_UNDERLINE.fullmatch(lines[at + 1].strip()))
    after_gap = not lines[at - 1].strip() and _indent(line) == margin
    return underlined or (after_gap and not _ENTRY_NUMPY.fullmatch(line.strip()))


def _entries(lines: list[str], margin: int) -> Iterator[tuple[str, list[str]]]:
    """Each entry's first line, and the lines that belong to it."""
    at = 0
    while at < len(lines):
        after = next((n for n in range(at + 1, len(lines)) if not _belongs(lines[n], margin)), len(lines))
        yield lines[at], lines[at + 1 : after]
        at = after


def _belongs(line: str, margin: int) -> bool:
    return not line.strip() or _indent(line) > margin


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _say(said: dict[str, str], name: str, lines: list[str]) -> None:
    """Keep the text as one paragraph: in a schema, line breaks are noise."""
    text = " ".join(line.strip() for line in lines if line.strip())
    if text:
        said.setdefault(name, text)


def _tidied(lines: list[str]) -> str:
    """The lines without those that are left empty around what was taken out."""
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return "\n".join(kept).strip()
