"""Shows pictures: an SVG file, Mermaid text, or a timeline in the terminal."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from agno_rt.cli.report import clean, notice, styled
from agno_rt.drawing.mermaid import render_mermaid
from agno_rt.drawing.svg import render_svg
from agno_rt.drawing.timeline import Row, list_rows, render_bar
from agno_rt.drawing.words import format_seconds
from agno_rt.errors import UsageError
from agno_rt.runnable import Drawing

__all__ = ["print_mermaid", "print_timeline", "write_svg"]

_BAR = 40
"""The cells of a bar in a pipe, and the most in a terminal."""
_LEAST_BAR, _LEAST_NAME = 10, 16

_COLOURS = {"completed": "green", "failed": "red", "limited": "red", "unfinished": "red", "running": "blue"}


def print_mermaid(drawing: Drawing) -> None:
    """Print the drawing as Mermaid text."""
    click.echo(render_mermaid(drawing), nl=False)


def write_svg(drawing: Drawing, file: str) -> None:
    """Write the drawing to an SVG file; `-` is standard output. Raises `UsageError` if the file cannot be written."""
    text = render_svg(drawing)
    if file == "-":
        click.echo(text, nl=False)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as exc:
        hint = "Give a file in a folder that exists, and that you may write to."
        raise UsageError(f"the picture cannot be written to {file}: {exc.strerror}", hint=hint) from exc
    notice(f"wrote {file}")


def print_timeline(drawing: Drawing) -> None:
    """Print a row for each part, with the seconds from the run's beginning, the duration, the state and a bar.

    In a terminal, names are cut until a row fits a line.
    """
    from rich.cells import cell_len, set_cell_size

    rows = list_rows(drawing)
    total = max((at for row in rows for at in (row.began, row.ended) if at is not None), default=0.0)
    cells = [("STEP", "KIND", "START", "TOOK", "STATE"), *map(_list_cells, rows)]
    widths = [max(cell_len(row[at]) for row in cells) for at in range(5)]
    bar = _BAR
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - 1 - sum(widths[1:]) - 2 * 5
        bar = max(_LEAST_BAR, min(_BAR, room - widths[0]))
        widths[0] = min(widths[0], max(_LEAST_NAME, room - bar))
    for number, (name, kind, start, took, state) in enumerate(cells):
        fitted = name if cell_len(name) <= widths[0] else f"{set_cell_size(name, widths[0] - 1)}…"
        text = "  ".join(
            (_pad_cell(fitted, widths[0]), _pad_cell(kind, widths[1]), start.rjust(widths[2]), took.rjust(widths[3]))
        )
        if number == 0:
            click.echo(styled(f"{text}  {state}", bold=True))
            continue
        shown = render_bar(rows[number - 1], total, bar)
        line = styled(f"{_pad_cell(state, widths[4])}  {shown}".rstrip(), fg=_COLOURS.get(state, "yellow"))
        click.echo(f"{text}  {line}".rstrip())


def _list_cells(row: Row) -> tuple[str, str, str, str, str]:
    start = "" if row.began is None else format_seconds(row.began)
    took = "" if row.began is None or row.ended is None else format_seconds(row.ended - row.began)
    return clean("  " * row.depth + row.name), clean(row.kind), start, took, clean(row.state)


def _pad_cell(text: str, width: int) -> str:
    from rich.cells import cell_len

    return text + " " * (width - cell_len(text))
