"""`agno-rt doctor`: checks the needs of agents, with a remedy for each fault."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from agno_rt.cli.options import config_option, debug_option, json_option

if TYPE_CHECKING:
    from agno_rt.cli.checkup import Line

__all__ = ["command"]


@click.command("doctor")
@config_option
@click.option("--online", is_flag=True, help="Connect to the servers of your agents' models, without a key.")
@json_option
@debug_option
def command(config: str | None, online: bool, as_json: bool) -> int:
    """Check Python, plugins, models, memory, agents and the port.

    Each line says what was found, and what to do if something is missing. Toolkits are opened for a moment; no model is
    loaded or asked, and nothing is changed. With --online, the servers of models are reached, and still not asked. The
    exit code is 1 if something is broken.
    """
    from agno_rt.cli.checkup import examine
    from agno_rt.cli.tables import print_json_lines

    # The path of a console script lacks the current folder, where the project's modules lie.
    sys.path.insert(0, os.getcwd())
    lines = []
    for line in examine(config, online=online):
        lines.append(line)
        if not as_json:
            _print_check(line)
    if as_json:
        print_json_lines(lines)
    broken = sum(line.status == "error" for line in lines)
    if not as_json:
        click.echo()
        click.echo(f"{broken} of {len(lines)} checks failed." if broken else "All is well.")
    return 1 if broken else 0


_MARKS = {
    "ok": ("✓", "+", "green"),
    "note": ("·", "-", None),
    "warning": ("!", "!", "yellow"),
    "error": ("✗", "x", "red"),
}
"""The mark before each kind of line, its substitute where the encoding lacks the mark, and its color."""


def _print_check(line: Line) -> None:
    from agno_rt.cli.report import clean, styled
    from agno_rt.cli.tables import print_wrapped

    mark, plain, color = _MARKS[line.status]
    # An encoding such as ASCII lacks the marks.
    try:
        mark.encode(sys.stdout.encoding or "utf-8")
    except UnicodeError:
        mark = plain
    dim = line.status == "note"
    print_wrapped(clean(line.message), f"{styled(mark, fg=color, dim=dim or None)} ", dim=dim)
    if line.hint and line.status != "ok":
        print_wrapped(clean(line.hint), "  ", dim=True)
