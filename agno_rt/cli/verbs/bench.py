"""`agno-rt bench`: a quick version of the performance page, on this machine, with the user's own agents and plugins."""

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
    from agno_rt.cli.benching.rows import Case, Effort, Row
    from agno_rt.project import Project

__all__ = ["command"]


@click.command("bench")
@click.argument("file", required=False)
@click.option(
    "--rows", metavar="NAMES", multiple=True, help="These rows or groups alone, as in --rows 'create-*,agents'."
)
@click.option("--quick", "pace", flag_value="quick", help="Measure each row once: no sign of how noisy it was.")
@click.option("--thorough", "pace", flag_value="thorough", help="Take some minutes: steadier.")
@click.option("--sessions", is_flag=True, help="Measure the project's memory too: writes sessions, and deletes them.")
@click.option("--check", is_flag=True, help="Exit with 1 if a row falls short of its goal.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
def command(
    file: str | None, rows: tuple[str, ...], pace: str | None, sessions: bool, check: bool, as_json: bool
) -> int:
    """Measure what agno_rt costs on this machine, with your agents.

    FILE is a .py or .toml file or a module, as for `agno-rt serve`; without it, the agno-rt.toml here. Each of its
    agents runs with a model in its model's place that answers at once, with its hooks and the project's observers: no
    model is asked, no tool is called. Hooks that ask a model are left out. Nothing is stored, but with --sessions.

    Each row is measured three times, in about twenty seconds together; what it is compared with takes turns with it.
    The groups of rows are kernel, startup, agents, memory and plugins.
    """
    import trio

    from agno_rt.cli.benching.rows import Effort
    from agno_rt.cli.benching.show import Report, print_json, print_report, this_machine
    from agno_rt.project import load_project

    efforts = {"quick": Effort(1, 4, 1), "thorough": Effort(5, 25, 5), None: Effort(3, 6, 2)}
    sys.path.insert(0, os.getcwd())
    project = load_project(file)
    machine = this_machine()
    # What the project has made is not looked through again and again while the kernel is measured.
    gc.collect()
    gc.freeze()
    found = trio.run(_measured, project, rows, efforts[pace], sessions)
    report = Report(project.source, machine, found)
    (print_json if as_json else print_report)(report)
    short = [row.name for row in found if row.falls_short]
    if check and short:
        notice(f"Short of the goal, or not measured: {', '.join(short)}.")
    return int(check and bool(short))


async def _measured(project: Project, patterns: tuple[str, ...], effort: Effort, sessions: bool) -> list[Row]:
    from agno_rt.cli.benching.rows import chosen, measured

    async with AsyncExitStack() as stack:
        cases = chosen(_cases(project, stack), patterns)
        if not sessions:
            cases = [case for case in cases if case.group != "memory"]
        if not cases:
            raise UsageError("those rows write sessions into the project's memory", hint="Say --sessions as well.")
        rows = []
        try:
            for number, case in enumerate(cases, 1):
                _tell(f"measuring {case.name} ({number} of {len(cases)})")
                rows.append(await measured(case, effort))
        finally:
            _tell("")
    return rows


def _cases(project: Project, stack: AsyncExitStack) -> list[Case]:
    from agno_rt.cli.benching.kernel import kernel_cases
    from agno_rt.cli.benching.project import agent_cases, memory_cases
    from agno_rt.cli.benching.startup import plugin_cases, startup_cases

    plugins = project.plugins().names()
    return [
        *kernel_cases(),
        *startup_cases(plugins),
        *agent_cases(project, stack),
        *memory_cases(project, stack),
        *plugin_cases(plugins),
    ]


def _tell(text: str) -> None:
    """Say on the terminal, in one line that is written over, what is under way."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)
