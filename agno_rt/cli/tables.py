"""Tables and lines on stdout: fitted to a terminal, uncut for a script, or JSON lines. Knows no verb."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import attrs
import click

from agno_rt.cli.report import clean, notice, styled

__all__ = ["Column", "counted", "one_line", "print_json_lines", "print_pairs", "print_table", "print_wrapped", "when"]

_GAP = "  "
_READABLE = 12
_LEAST = 6
"""The least cells of a cut column: `_READABLE`, or `_LEAST` if not even one such column fits."""


@attrs.frozen
class Column:
    """A column of a table. A `whole` column is never cut, for content that people copy; `right` aligns to the right."""

    title: str
    whole: bool = False
    right: bool = False


def counted(count: int, one: str) -> str:
    """Return a number with its noun: `1 message`, `4 messages`."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def one_line(text: str) -> str:
    """Return the text on a single line, without control characters."""
    return clean(" ".join(text.split()))


def when(seconds: float | None) -> str:
    """Return the local date and time of the seconds since the epoch; empty for none."""
    return "" if not seconds else f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"


def print_json_lines(values: Iterable[Any]) -> None:
    """Print each value as JSON on a line."""
    import msgspec

    encode = msgspec.json.Encoder().encode
    for value in values:
        click.echo(encode(value))


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print a name and its value on each line, without the empty values."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{styled(name.ljust(width), bold=True)}{_GAP}{one_line(value)}")


def print_wrapped(text: str, before: str, *, hang: int = 2, dim: bool = False, err: bool = False) -> None:
    """Print the text behind `before`, a mark of two cells. In a terminal, lines are wrapped at words."""
    lines = [one_line(text)]
    if (sys.stderr if err else sys.stdout).isatty():
        room = max(20, shutil.get_terminal_size().columns - hang - 1)
        lines = textwrap.wrap(lines[0], room, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        click.echo(f"{' ' * hang if number else before}{styled(line, dim=dim or None)}", err=err)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, empty: str, err: bool = False) -> None:
    """Print the rows below their titles.

    In a terminal, empty columns are left out, and columns that are not `whole` are cut until a row fits a line. Without
    rows, `empty` is printed on stderr, and nothing on stdout. With `err` the table goes to stderr, too.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    if not cells:
        notice(empty)
        return
    cells.insert(0, [column.title for column in columns])
    widths = [max(_cell_width(row[at]) for row in cells) for at in range(len(columns))]
    if (sys.stderr if err else sys.stdout).isatty():
        widths = [width if any(row[at] for row in cells[1:]) else 0 for at, width in enumerate(widths)]
        widths = _fit_widths(columns, widths, shutil.get_terminal_size().columns)
    for number, row in enumerate(cells):
        placed = [
            _align_cell(cell, width, right=column.right)
            for column, cell, width in zip(columns, row, widths, strict=True)
            if width
        ]
        click.echo(styled(_GAP.join(placed).rstrip(), bold=True if number == 0 else None), err=err)


def _fit_widths(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Return the widths that fit: columns are cut to a readable width first, then left out from the last."""
    loose = [at for at, column in enumerate(columns) if not column.whole and widths[at]]
    fitted = list(widths)
    # A column left out is better than all columns cut beyond reading.
    for least in (_READABLE, _LEAST):
        for kept in range(len(loose), 0 if least == _READABLE else -1, -1):
            fitted = [0 if at in loose[kept:] else width for at, width in enumerate(widths)]
            # Some terminals add an empty line after a line that fills the last cell.
            if _narrow_columns(fitted, loose[:kept], least, room - 1):
                return fitted
    return fitted


def _narrow_columns(widths: list[int], loose: Sequence[int], least: int, room: int) -> bool:
    """Narrow the widest of the loose columns again and again. Return whether all columns fit in the end."""
    while (over := _total_width(widths) - room) > 0:
        widest = max((at for at in loose if widths[at] > least), key=lambda at: widths[at], default=None)
        if widest is None:
            return False
        second = max((widths[at] for at in loose if at != widest), default=0)
        widths[widest] = max(least, widths[widest] - over, min(second, widths[widest] - 1))
    return True


def _total_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (sum(width > 0 for width in widths) - 1)


def _cell_width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _align_cell(text: str, width: int, *, right: bool) -> str:
    from rich.cells import set_cell_size

    missing = width - _cell_width(text)
    if missing < 0:
        return f"{set_cell_size(text, width - 1)}…"
    return " " * missing + text if right else text + " " * missing
