"""The layout of a Markdown table for a terminal: its rows, and the width of columns that fit. Writes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["Cell", "column_widths", "read_rows"]

Cell = str

_DELIMITER = re.compile(r"\s*:?-+:?\s*$")
_PIPE = re.compile(r"(?<!\\)\|")


def read_rows(lines: Sequence[str]) -> tuple[list[list[Cell]], list[str]] | None:
    """Return the rows, titles first, and the alignment of each column (`<`, `>`, `^`); `None` if not a table."""
    if len(lines) < 2:
        return None
    marks = _split_cells(lines[1])
    if not all(_DELIMITER.match(mark) for mark in marks):
        return None
    # Rows may have fewer cells than the widest row.
    rows = [_split_cells(line) for line in (lines[0], *lines[2:])]
    count = max(map(len, rows))
    aligned = [_read_alignment(mark) for mark in marks] + ["<"] * (count - len(marks))
    return [row + [""] * (count - len(row)) for row in rows], aligned


def column_widths(rows: Sequence[Sequence[Cell]], width_of: Callable[[Cell], int], room: int) -> list[int] | None:
    """Return the width of each column; `None` if the columns do not fit side by side."""
    widths = [max(width_of(row[at]) for row in rows) for at in range(len(rows[0]))]
    return widths if sum(widths) + 3 * (len(widths) - 1) <= room else None


def _split_cells(line: str) -> list[Cell]:
    inner = line.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    return [re.sub("<br ?/?>", " ", cell).replace("\\|", "|").strip() for cell in _PIPE.split(inner)]


def _read_alignment(mark: str) -> str:
    mark = mark.strip()
    if mark.endswith(":"):
        return "^" if mark.startswith(":") else ">"
    return "<"
