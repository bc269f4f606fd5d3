"""`agno-rt top`: shows the work of all runtimes in the user's processes here."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from agno_rt.cli.options import debug_option, json_option
from agno_rt.cli.report import clean, notice, styled
from agno_rt.errors import NotFound

if TYPE_CHECKING:
    from agno_rt._watch.socket import Report

__all__ = ["command"]

_HINT = 'Set observers = ["inspect"] in [runtime] of agno-rt.toml, or in Runtime(observers=["inspect"]).'


@click.command("top")
@click.argument("pid", type=int, required=False)
@json_option
@click.option("--watch", type=click.FloatRange(0.05), metavar="SECONDS", help="Print again every so many seconds.")
@click.option(
    "--patience",
    type=click.FloatRange(0.05, 60),
    metavar="SECONDS",
    default=2.0,
    show_default=True,
    help="Time for an event loop to answer; after that, the loop is called blocked.",
)
@debug_option
def command(pid: int | None, as_json: bool, watch: float | None, patience: float) -> None:
    """Show what running agents do.

    That is: runs, their tool calls, what each waits for, and the time left.

    Shown are the processes of this user on this machine, or only the process PID, that serve agents (`agno-rt serve`)
    or whose runtime has the observer `inspect`.
    """
    if watch is None:
        _show_reports(_load_reports(pid, patience), as_json=as_json)
        return
    screen = sys.stdout.isatty() and not as_json
    try:
        while True:
            reports = _load_reports(pid, patience)
            if screen:
                click.clear()
            _show_reports(reports, as_json=as_json)
            # In a pipe an empty line separates the reports; lines of JSON need none.
            if not screen and not as_json:
                click.echo()
            time.sleep(watch)
    except KeyboardInterrupt:
        return


def _load_reports(pid: int | None, patience: float) -> list[Report]:
    """Ask each process, or only `pid`, for its report. Raises `NotFound` if the process `pid` cannot be asked."""
    from agno_rt._watch.socket import sockets

    found = sockets()
    reports = list(_ask_processes([path for of, path in found if pid in (None, of)], patience))
    if pid is not None and not reports:
        others = sorted({str(of) for of, path in found if of != pid and path.exists()})
        hint = (f"These can be asked: {', '.join(others)}. " if others else "") + _HINT
        raise NotFound("process", str(pid), others, hint=hint, where="among those that can be asked")
    return reports


def _ask_processes(paths: Sequence[object], patience: float) -> Iterator[Report]:
    from pathlib import Path

    from agno_rt._watch.socket import Gone, ask

    for path in paths:
        assert isinstance(path, Path)
        try:
            yield ask(path, patience)
        except Gone:
            # The process ended after the listing.
            continue


def _show_reports(reports: Sequence[Report], *, as_json: bool) -> None:
    if as_json:
        import msgspec

        for report in reports:
            click.echo(msgspec.json.encode(report).decode())
        return
    if not reports:
        notice(f"No process of this user can be asked. `agno-rt serve` can; for other programs: {_HINT}")
        return
    for number, report in enumerate(reports):
        if number:
            click.echo()
        _show_report(report)


def _show_report(report: Report) -> None:
    about = ", ".join(filter(None, (report.program, report.origin)))
    _print_line(f"process {report.pid}" + (f" ({about})" if about else ""), bold=True)
    if report.tasks is not None:
        for line in str(report.tasks).splitlines():
            _print_line(line)
    if report.error:
        _print_line(report.error, fg="red")
    if report.blocked is not None:
        from agno_rt.tasktree import TaskTree

        _print_line(f"the event loop has not answered for {report.blocked.seconds:.1f} s; it is in:", fg="red")
        for line in report.blocked.stack:
            _print_line(f"  {line}")
        for line in str(TaskTree(report.blocked.runs)).splitlines() if report.blocked.runs else ():
            _print_line(line)


def _print_line(text: str, *, fg: str | None = None, bold: bool | None = None) -> None:
    """Print a line, cut at the edge of a terminal."""
    text = clean(text)
    if sys.stdout.isatty():
        from rich.cells import cell_len, set_cell_size

        # Wide characters take two cells, so the length is measured in cells.
        room = shutil.get_terminal_size().columns - 1
        if cell_len(text) > room:
            text = f"{set_cell_size(text, room - 1)}…"
    click.echo(styled(text, fg=fg, bold=bold))
