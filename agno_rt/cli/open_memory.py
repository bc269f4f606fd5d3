"""Opens the memory that a command line means, to look into it or to change it; finds things in it by their ids.

No agent is imported for that: what is kept can be seen where an agents.py is broken, or is not there.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
import trio

from agno_rt._runtime.stored_runs import load_run
from agno_rt.cli.default_memory import lasting_config
from agno_rt.cli.report import show_warning
from agno_rt.cli.tables import one_line
from agno_rt.cli.target import Target, configuration
from agno_rt.config import FILE_NAME, Config
from agno_rt.errors import NotFound, UsageError
from agno_rt.memory import DamagedWarning
from agno_rt.plugins import PluginHost
from agno_rt.project import Project, load_project
from agno_rt.run_store import Approval, Entry, RunRecord, RunStore
from agno_rt.runtime import Runtime

__all__ = ["MANY", "Place", "confirm_deletion", "find_approval", "find_run", "match_id", "run_store"]

T = TypeVar("T")

MANY = 1_000_000
"""How many things of a kind are looked through."""


@attrs.frozen
class Place:
    """The memory that `--config` and `--memory` mean: the URL, or else the project's; where that does not last, the
    user's file, as for `agno-rt chat`.
    """

    config: str | None = None
    memory: str | None = None

    @classmethod
    def of(cls, target: Target, config: str | None) -> Place:
        """Where the runs of an agent that was found so are."""
        if config is None or target.origin == config:
            return cls(None if target.origin in ("", FILE_NAME) else target.origin)
        memory = target.project.config.runtime.memory
        return cls(target.origin, None if memory == "memory:" else memory)

    def file(self) -> Path | None:
        """The user's file, where it is that."""
        return self._kept(configuration(self.config))[1]

    def open(self, act: Callable[[Runtime], Awaitable[T]], *, agents: bool = False) -> T:
        """Open a runtime on the memory, one that knows the project's agents if that is asked, and carry `act` out."""
        runtime = self.project().runtime() if agents else self._runtime()

        async def main() -> T:
            async with runtime:
                return await act(runtime)

        with report_damage():
            return trio.run(main)

    def _runtime(self) -> Runtime:
        config = self._kept(configuration(self.config))[0]
        return Runtime(
            memory=config.runtime.memory,
            plugins=PluginHost(block=config.runtime.block),
            settings=config.plugins,
            origin="--memory" if self.memory is not None else str(config.path or ""),
        )

    def project(self) -> Project:
        """The project, agents and all, with that memory."""
        sys.path.insert(0, os.getcwd())
        project = load_project(self.config)
        return attrs.evolve(project, config=self._kept(project.config)[0])

    def options(self) -> str:
        """The options as they were given, to be typed again."""
        import shlex

        given = (("-c", self.config), ("--memory", self.memory))
        return "".join(f" {name} {shlex.quote(value)}" for name, value in given if value is not None)

    def _kept(self, config: Config) -> tuple[Config, Path | None]:
        if self.memory is None:
            return lasting_config(config)
        return attrs.evolve(config, runtime=attrs.evolve(config.runtime, memory=self.memory)), None


@contextmanager
def report_damage() -> Iterator[None]:
    """Tell of what is stored and cannot be read, once each, in the command line's way; the rest is shown."""
    show = warnings.showwarning
    told: set[str] = set()

    def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, DamagedWarning):
            show(message, category, *place, **more)
        elif str(message) not in told:
            told.add(str(message))
            what, _, hint = str(message).partition("\n")
            show_warning(what, hint)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DamagedWarning)
        warnings.showwarning = tell
        yield


def confirm_deletion(question: str, *, yes: bool) -> bool:
    """Whether the person at the terminal agrees. Raises `UsageError` where there is none to ask, unless told `yes`."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask whether to delete", hint="Say so with --yes.")
    if click.confirm(one_line(question), err=True):
        return True
    click.echo("Nothing was deleted.", err=True)
    return False


def match_id(kind: str, given: str, ids: Iterable[str]) -> str:
    """The one id that is `given`, or begins with it. Raises `UsageError` where there is none, or are several."""
    known = list(ids)
    if given in known:
        return given
    found = [one for one in known if given and one.startswith(given)]
    if not found:
        raise NotFound(kind, given, known)
    if len(found) > 1:
        shown = ", ".join(found[:12]) + (", ..." if len(found) > 12 else "")
        raise UsageError(f"{len(found)} {kind}s begin with {given!r}", hint=f"Give more of it: {shown}")
    return found[0]


def run_store(runtime: Runtime) -> RunStore:
    """The memory, which must store runs. Raises `UsageError` for one that does not."""
    memory = runtime.memory
    if isinstance(memory, RunStore):
        return memory
    hint = 'Use one that does, as in `memory = "sqlite:///agents.db"` in [runtime], or --memory sqlite:///agents.db.'
    raise UsageError(f"the memory backend {type(memory).__name__} stores no runs", hint=hint)


async def find_run(store: RunStore, given: str, user: str | None) -> tuple[RunRecord, list[Entry]]:
    """The run of that id, or the only one whose id begins so, with its journal; of the user, where one is named.

    Raises `UsageError`.
    """
    try:
        return await load_run(store, given, user)
    except NotFound:
        ids = [record.id for record in await store.runs(user=user, limit=MANY)]
        return await store.load_run(match_id("run", given, ids))


async def find_approval(store: RunStore, given: str, user: str | None) -> Approval:
    """The approval of that id, or the only one whose id begins so, among those that wait if any does.

    Where a user is named, among theirs. Raises `UsageError`.
    """
    waiting = await store.approvals(user=user, status="pending", limit=MANY)
    approvals = [each for each in waiting if each.id.startswith(given)]
    if not approvals or not given:
        approvals = await store.approvals(user=user, limit=MANY)
    found = match_id("approval", given, (each.id for each in approvals))
    return next(each for each in approvals if each.id == found)
