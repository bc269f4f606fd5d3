"""`agno-rt top`: what the runtimes of this user's processes on this machine do."""

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

_HOW = 'Name it in agno-rt.toml ([runtime] observers = ["inspect"]) or in Runtime(observers=["inspect"]).'


@click.command("top")
@click.argument("pid", type=int, required=False)
@json_option
@click.option("--watch", type=click.FloatRange(0.05), metavar="SECONDS", help="Look again every so many seconds.")
@click.option(
    "--patience",
    type=click.FloatRange(0.05, 60),
    metavar="SECONDS",
    default=2.0,
    show_default=True,
    help="How long an event loop may take to answer until it is called blocked.",
)
@debug_option
def command(pid: int | None, as_json: bool, watch: float | None, patience: float) -> None:
    """Show what running agents do.

    That is: runs, their tool calls, who waits for what, and how long still.

    Of this user's processes on this machine, or of the one with that PID, those are shown that serve agents (`agno-rt
    serve`) or whose runtime has the observer `inspect`.
    """
    if watch is None:
        _show(_reports(pid, patience), as_json=as_json)
        return
    screen = sys.stdout.isatty() and not as_json
    try:
        while True:
            reports = _reports(pid, patience)
            if screen:
                click.clear()
            _show(reports, as_json=as_json)
            if not screen and not as_json:
                click.echo()
            time.sleep(watch)
    except KeyboardInterrupt:
        return


def _reports(pid: int | None, patience: float) -> list[Report]:
    """What each says that can be asked. Raises `NotFound` for a process that cannot."""
    from agno_rt._watch.socket import sockets

    found = sockets()
    reports = list(_asked([path for of, path in found if pid in (None, of)], patience))
    if pid is not None and not reports:
        others = sorted({str(of) for of, path in found if of != pid and path.exists()})
        hint = (f"These can be asked: {', '.join(others)}. " if others else "") + _HOW
        raise NotFound("process", str(pid), others, hint=hint, where="among those that can be asked")
    return reports


def _asked(paths: Sequence[object], patience: float) -> Iterator[Report]:
    from pathlib import Path

    from agno_rt._watch.socket import Gone, ask

    for path in paths:
        assert isinstance(path, Path)
        try:
            yield ask(path, patience)
        except Gone:
            continue


def _show(reports: Sequence[Report], *, as_json: bool) -> None:
    if as_json:
        import msgspec

        for report in reports:
            click.echo(msgspec.json.encode(report).decode())
        return
    if not reports:
        notice(f"No process of this user can be asked. `agno-rt serve` can; else: {_HOW}")
        return
    for number, report in enumerate(reports):
        if number:
            click.echo()
        _show_report(report)


def _show_report(report: Report) -> None:
    about = ", ".join(filter(None, (report.program, report.origin)))
    _line(f"process {report.pid}" + (f" ({about})" if about else ""), bold=True)
    if report.tasks is not None:
        for line in str(report.tasks).splitlines():
            _line(line)
    if report.error:
        _line(report.error, fg="red")
    if report.blocked is not None:
        from agno_rt.tasktree import TaskTree

        _line(f"the event loop has not answered for {report.blocked.seconds:.1f} s; it is in:", fg="red")
        for line in report.blocked.stack:
            _line(f"  {line}")
        for line in str(TaskTree(report.blocked.runs)).splitlines() if report.blocked.runs else ():
            _line(line)


def _line(text: str, *, fg: str | None = None, bold: bool | None = None) -> None:
    """A line, which in a terminal is cut where that ends."""
    text = clean(text)
    if sys.stdout.isatty():
        from rich.cells import cell_len, set_cell_size

        room = shutil.get_terminal_size().columns - 1
        if cell_len(text) > room:
            text = f"{set_cell_size(text, room - 1)}…"
    click.echo(styled(text, fg=fg, bold=bold))
