"""The table for a terminal, for a pipe and as JSON, with a line about the machine. Measures nothing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import attrs
import click

from agno_rt.cli.report import clean
from agno_rt.cli.tables import Column, one_line, print_table
from agno_rt_bench.rows import Row

__all__ = [
    "Machine",
    "Report",
    "describe_machine",
    "describe_measured",
    "describe_verdict",
    "format_figure",
    "print_json",
    "print_report",
]

HISTORY = "How the figures have changed: docs/performance.md, and `make bench` in a checkout of agno_rt."


@attrs.frozen
class Machine:
    """The machine of a report. `load` is the load average at the start, `None` on a system without load averages."""

    system: str
    cpu: str
    cpus: int
    load: float | None
    python: str
    trio: str
    agno_rt: str


@attrs.frozen
class Report:
    """The content of `--json`."""

    source: str
    machine: Machine
    rows: Sequence[Row]


def describe_machine() -> Machine:
    """Return the facts about the machine, without its host name."""
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cpu=_find_cpu_name(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        trio=version("trio"),
        agno_rt=version("agno-rt"),
    )


def print_json(report: Report) -> None:
    """Print the report as JSON."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(report)))


def print_report(report: Report) -> None:
    """Print the table, and the explanations below."""
    if sys.stdout.isatty():
        _print_rich(report.rows)
    else:
        _print_plain(report.rows)
    click.echo()
    for row in report.rows:
        if row.note:
            click.echo(f"{row.name}: {one_line(row.note)}")
    for line in _explain_report(report):
        click.echo(line)


def format_figure(value: float, unit: str) -> str:
    """Format a number with its unit, as in `104 bytes` or `2.41 checkpoints`."""
    counted = unit.startswith(("bytes", "Python", "scheduler"))
    digits = 0 if counted or value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit.removesuffix('s') if counted and value == 1 else unit}"


def describe_measured(row: Row) -> list[str]:
    """Return the row's figure with its spread over the batches, then its other figures."""
    if row.value is None:
        return []
    first = format_figure(row.value, row.unit)
    if row.low is not None and row.high is not None and row.value and row.high > row.low:
        first += f" ± {100 * max(row.high - row.value, row.value - row.low) / abs(row.value):.0f} %"
    return [first, *(format_figure(also.value, also.unit) for also in row.also)]


def describe_verdict(row: Row) -> str:
    """Return the verdict in words."""
    unclear = "" if row.clear else ", within the noise"
    match row.verdict:
        case "holds":
            return f"holds{unclear}"
        case "short":
            by = f"{row.short_by:,.0f} %" if row.short_by and row.short_by >= 1 else "less than 1 %"
            return f"short by {by}{unclear}"
        case "none":
            return "no goal"
        case "failed":
            return f"not measured: {one_line(row.reason)}"


def _print_plain(rows: Sequence[Row]) -> None:
    columns = [Column(title) for title in ("ROW", "WHAT IT IS", "TO REACH", "MEASURED", "VERDICT")]
    print_table(columns, [_make_cells(row, ", ") for row in rows], empty="")


def _make_cells(row: Row, between: str) -> list[str]:
    measured = between.join(describe_measured(row))
    return [clean(row.name), one_line(row.what), row.goal.text if row.goal else "", measured, describe_verdict(row)]


_STYLES = {"holds": "green", "short": "yellow", "none": "dim", "failed": "red"}


def _print_rich(rows: Sequence[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("row", "what it is", "to reach", "measured", "verdict", box=SIMPLE_HEAD, pad_edge=False)
    # A name must stay on one line, because users copy names into --rows.
    table.columns[0].no_wrap = True
    group = rows[0].group if rows else ""
    for row in rows:
        if row.group != group:
            table.add_section()
            group = row.group
        cells = [Text(cell) for cell in _make_cells(row, "\n")]
        cells[-1].stylize(_STYLES[row.verdict])
        table.add_row(*cells)
    Console().print(table)


def _explain_report(report: Report) -> list[str]:
    machine = report.machine
    cpu = f"{machine.cpu}, " if machine.cpu else ""
    cpus = f"{machine.cpus} CPU{'' if machine.cpus == 1 else 's'}"
    load = "" if machine.load is None else f", load {machine.load:.1f} when it began"
    versions = f"{machine.python}, trio {machine.trio}, agno_rt {machine.agno_rt}"
    agents = any(row.group in ("agents", "memory") for row in report.rows)
    return [
        "± is the spread of the measurements: the two sides of a comparison take turns, and the best rounds count.",
        "A checkpoint is the shortest wait that trio has, and every run owes one. µs are millionths of a second.",
        *([f"Agents: {one_line(report.source)}. No model was asked, and no tool called."] if agents else []),
        f"Measured on {machine.system} ({cpu}{cpus}{load}), {versions}.",
        HISTORY,
    ]


def _find_cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
