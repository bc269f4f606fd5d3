"""Opens the memory of a command line, to show or change its content, and finds runs and sessions by their ids.

No agent is imported, so that stored things can be seen even if an agents.py is broken or missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import attrs
import click
import trio

from agno_rt._runtime.store_errors import load_run
from agno_rt.cli.damage import report_damage
from agno_rt.cli.default_memory import lasting_config
from agno_rt.cli.tables import one_line
from agno_rt.cli.target import Target, configuration
from agno_rt.config import FILE_NAME, Config
from agno_rt.errors import NotFound, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.project import Project, load_project
from agno_rt.run_store import Approval, Entry, RunRecord, RunStore
from agno_rt.runtime import Runtime

__all__ = ["MANY", "Place", "confirm_deletion", "find_approval", "find_run", "match_id", "run_store"]

T = TypeVar("T")

MANY = 1_000_000
"""The most runs, sessions or approvals to search."""


@attrs.frozen
class Place:
    """The memory of `--config` and `--memory`: the URL, or else the project's memory.

    If the project's memory ends with the process, the user's file is used instead, as by `agno-rt chat`.
    """

    config: str | None = None
    memory: str | None = None

    @classmethod
    def of(cls, target: Target, config: str | None) -> Place:
        """Return the place of the runs of a target, found with this `--config`."""
        if config is None or target.origin == config:
            return cls(None if target.origin in ("", FILE_NAME) else target.origin)
        memory = target.project.config.runtime.memory
        return cls(target.origin, None if memory == "memory:" else memory)

    def file(self) -> Path | None:
        """Return the path of the user's file if this file is the memory."""
        return self._choose_memory(configuration(self.config))[1]

    def open(self, act: Callable[[Runtime], Awaitable[T]], *, agents: bool = False) -> T:
        """Open a runtime on the memory, with the project's `agents` if asked, and return the result of `act`."""
        runtime = self.project().runtime() if agents else self.make_runtime()

        async def main() -> T:
            async with runtime:
                return await act(runtime)

        with report_damage():
            return trio.run(main)

    def make_runtime(self) -> Runtime:
        """Return a runtime on the memory, without the project's agents."""
        config = self._choose_memory(configuration(self.config))[0]
        return Runtime(
            memory=config.runtime.memory,
            plugins=PluginHost(block=config.runtime.block),
            settings=config.settings,
            origin="--memory" if self.memory is not None else str(config.path or ""),
        )

    def project(self) -> Project:
        """Load the project with its agents, and return it with this memory."""
        # Like `python` itself, so that an agents.py can import modules of this folder.
        sys.path.insert(0, os.getcwd())
        project = load_project(self.config)
        return attrs.evolve(project, config=self._choose_memory(project.config)[0])

    def options(self) -> str:
        """Return the options as a person would type them again."""
        import shlex

        given = (("-c", self.config), ("--memory", self.memory))
        return "".join(f" {name} {shlex.quote(value)}" for name, value in given if value is not None)

    def _choose_memory(self, config: Config) -> tuple[Config, Path | None]:
        if self.memory is None:
            return lasting_config(config)
        return attrs.evolve(config, runtime=attrs.evolve(config.runtime, memory=self.memory)), None


def confirm_deletion(question: str, *, yes: bool) -> bool:
    """Ask the person at the terminal, unless `yes`. Return the answer. Raises `UsageError` without a terminal."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nobody is at a terminal to confirm the deletion", hint="Confirm with --yes.")
    if click.confirm(one_line(question), err=True):
        return True
    click.echo("Nothing was deleted.", err=True)
    return False


def match_id(kind: str, given: str, ids: Iterable[str]) -> str:
    """Return the id that equals `given`, or the only id beginning with it. Raises `UsageError` for none or several."""
    known = list(ids)
    if given in known:
        return given
    found = [one for one in known if given and one.startswith(given)]
    if not found:
        raise NotFound(kind, given, known)
    if len(found) > 1:
        shown = ", ".join(found[:12]) + (", ..." if len(found) > 12 else "")
        raise UsageError(f"{len(found)} {kind}s begin with {given!r}", hint=f"Type more of the id: {shown}")
    return found[0]


def run_store(runtime: Runtime) -> RunStore:
    """Return the memory as a store of runs. Raises `UsageError` for a memory that stores no runs."""
    memory = runtime.memory
    if isinstance(memory, RunStore):
        return memory
    url = "sqlite:///agents.db"
    hint = f'Use a backend that stores runs, as in `memory = "{url}"` in [runtime], or --memory {url}.'
    raise UsageError(f"the memory backend {type(memory).__name__} stores no runs", hint=hint)


async def find_run(store: RunStore, given: str, user: str | None) -> tuple[RunRecord, list[Entry]]:
    """Return the run with the id, or the only run with the beginning of an id, and its journal.

    Only runs of `user` are found, unless `None`. Raises `UsageError`.
    """
    # A whole id is found without a list of all runs.
    try:
        return await load_run(store, given, user)
    except NotFound:
        ids = [record.id for record in await store.runs(user=user, limit=MANY)]
        return await store.load_run(match_id("run", given, ids))


async def find_approval(store: RunStore, given: str, user: str | None) -> Approval:
    """Return the approval with the id, or the only approval with the beginning of an id.

    A beginning is looked for among the pending approvals first. Only approvals of `user` are found, unless `None`.
    Raises `UsageError`.
    """
    waiting = await store.approvals(user=user, status="pending", limit=MANY)
    approvals = [each for each in waiting if each.id.startswith(given)]
    if not approvals or not given:
        approvals = await store.approvals(user=user, limit=MANY)
    found = match_id("approval", given, (each.id for each in approvals))
    return next(each for each in approvals if each.id == found)
