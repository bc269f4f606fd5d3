"""Tables and lines on stdout: fitted to a terminal, whole for a script, or JSON lines. Knows no verb."""

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
"""Cells that a column keeps, where a terminal is narrow, while there are columns behind it; and when there are none."""


@attrs.frozen
class Column:
    """A column: its title; whether it is `whole`, and so never cut, as what people copy must be; and its side."""

    title: str
    whole: bool = False
    right: bool = False


def counted(count: int, one: str) -> str:
    """A number of things: `1 message`, `4 messages`."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def one_line(text: str) -> str:
    """The text on a line, without what could steer the terminal."""
    return clean(" ".join(text.split()))


def when(seconds: float | None) -> str:
    """A time in seconds since the epoch, as it was on the clock here."""
    return "" if not seconds else f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"


def print_json_lines(values: Iterable[Any]) -> None:
    """Each value as JSON on a line."""
    import msgspec

    encode = msgspec.json.Encoder().encode
    for value in values:
        click.echo(encode(value))


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """What each thing is, a line each; those that are nothing are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{styled(name.ljust(width), bold=True)}{_GAP}{one_line(value)}")


def print_wrapped(text: str, before: str, *, hang: int = 2, dim: bool = False, err: bool = False) -> None:
    """Print the text behind `before`, which takes two cells. In a terminal lines end between words."""
    lines = [one_line(text)]
    if (sys.stderr if err else sys.stdout).isatty():
        room = max(20, shutil.get_terminal_size().columns - hang - 1)
        lines = textwrap.wrap(lines[0], room, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        click.echo(f"{' ' * hang if number else before}{styled(line, dim=dim or None)}", err=err)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, empty: str, err: bool = False) -> None:
    """The rows below their titles. In a terminal, empty columns are left out, and those that need not be whole are cut
    until a row fits a line.

    Where there are no rows, `empty` is said on stderr, and stdout gets nothing. With `err` stderr has the table, too.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    if not cells:
        notice(empty)
        return
    cells.insert(0, [column.title for column in columns])
    widths = [max(_width(row[at]) for row in cells) for at in range(len(columns))]
    if (sys.stderr if err else sys.stdout).isatty():
        widths = [width if any(row[at] for row in cells[1:]) else 0 for at, width in enumerate(widths)]
        widths = _fitted(columns, widths, shutil.get_terminal_size().columns)
    for number, row in enumerate(cells):
        placed = [
            _placed(cell, width, right=column.right)
            for column, cell, width in zip(columns, row, widths, strict=True)
            if width
        ]
        click.echo(styled(_GAP.join(placed).rstrip(), bold=True if number == 0 else None), err=err)


def _fitted(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """The widths that fit: columns are cut, but not below what can be read, before those at the end are left out."""
    loose = [at for at, column in enumerate(columns) if not column.whole and widths[at]]
    fitted = list(widths)
    for least in (_READABLE, _LEAST):
        for kept in range(len(loose), 0 if least == _READABLE else -1, -1):
            fitted = [0 if at in loose[kept:] else width for at, width in enumerate(widths)]
            # A line that fills the terminal to its last cell is followed by an empty one in some.
            if _narrow(fitted, loose[:kept], least, room - 1):
                return fitted
    return fitted


def _narrow(widths: list[int], loose: Sequence[int], least: int, room: int) -> bool:
    """Narrow the widest of the loose columns, and again, until all of them fit; tell whether they do."""
    while (over := _total(widths) - room) > 0:
        widest = max((at for at in loose if widths[at] > least), key=lambda at: widths[at], default=None)
        if widest is None:
            return False
        second = max((widths[at] for at in loose if at != widest), default=0)
        widths[widest] = max(least, widths[widest] - over, min(second, widths[widest] - 1))
    return True


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (sum(width > 0 for width in widths) - 1)


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _placed(text: str, width: int, *, right: bool) -> str:
    from rich.cells import set_cell_size

    missing = width - _width(text)
    if missing < 0:
        return f"{set_cell_size(text, width - 1)}…"
    return " " * missing + text if right else text + " " * missing
