"""`agno-rt bench`: a quick version of the performance page, on this machine, with your own agents and plugins."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click

from agno_rt.cli.options import debug_option
from agno_rt.cli.report import notice
from agno_rt.errors import UsageError

if TYPE_CHECKING:
    from agno_rt.project import Project
    from agno_rt_bench.rows import Case, Effort, Row

__all__ = ["command"]


@click.command("bench")
@click.argument("file", required=False)
@click.option(
    "--rows", metavar="NAMES", multiple=True, help="These rows or groups alone, as in --rows 'create-*,agents'."
)
@click.option("--quick", "pace", flag_value="quick", help="Measure each row once, without an estimate of the noise.")
@click.option("--thorough", "pace", flag_value="thorough", help="Take some minutes: steadier.")
@click.option("--sessions", is_flag=True, help="Measure the project's memory too: writes sessions, and deletes them.")
@click.option("--check", is_flag=True, help="Exit with 1 if a row falls short of its goal.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
def command(
    file: str | None, rows: tuple[str, ...], pace: str | None, sessions: bool, check: bool, as_json: bool
) -> int:
    """Measure what agno_rt costs on this machine, with your agents.

    FILE is a .py or .toml file or a module, as for `agno-rt serve`; the default is the agno-rt.toml here. Each agent
    runs with its hooks and the project's observers, but with a model that answers at once: no real model is asked, no
    tool is called. Hooks that ask a model are left out. Only --sessions stores anything.

    Each row is measured three times, taking turns with its comparison; all rows take about twenty seconds.
    The groups of rows are kernel, startup, agents, memory and plugins.
    """
    import trio

    from agno_rt.project import load_project
    from agno_rt_bench.rows import Effort
    from agno_rt_bench.show import Report, describe_machine, print_json, print_report

    efforts = {"quick": Effort(1, 4, 1), "thorough": Effort(5, 25, 5), None: Effort(3, 6, 2)}
    sys.path.insert(0, os.getcwd())
    project = load_project(file)
    machine = describe_machine()
    # Keep the project's objects out of the garbage collections during the measurements of the kernel.
    gc.collect()
    gc.freeze()
    found = trio.run(_measure_cases, project, rows, efforts[pace], sessions)
    report = Report(project.source, machine, found)
    (print_json if as_json else print_report)(report)
    short = [row.name for row in found if row.falls_short]
    if check and short:
        notice(f"Short of the goal, or not measured: {', '.join(short)}.")
    return int(check and bool(short))


async def _measure_cases(project: Project, patterns: tuple[str, ...], effort: Effort, sessions: bool) -> list[Row]:

    from agno_rt_bench.rows import choose_cases, measure_case

    async with AsyncExitStack() as stack:
        cases = choose_cases(_collect_cases(project, stack), patterns)
        if not sessions:
            cases = [case for case in cases if case.group != "memory"]
        if not cases:
            raise UsageError("those rows write sessions into the project's memory", hint="Add --sessions.")
        rows = []
        try:
            for number, case in enumerate(cases, 1):
                _show_progress(f"measuring {case.name} ({number} of {len(cases)})")
                rows.append(await measure_case(case, effort))
        finally:
            _show_progress("")
    return rows


def _collect_cases(project: Project, stack: AsyncExitStack) -> list[Case]:
    from agno_rt_bench.kernel import kernel_cases
    from agno_rt_bench.project import agent_cases, memory_cases
    from agno_rt_bench.startup import plugin_cases, startup_cases

    plugins = project.plugins().names()
    return [
        *kernel_cases(),
        *startup_cases(plugins),
        *agent_cases(project, stack),
        *memory_cases(project, stack),
        *plugin_cases(plugins),
    ]


def _show_progress(text: str) -> None:
    """Show the current row on the terminal, in one line that the next row overwrites."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)
