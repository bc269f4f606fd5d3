"""`agno-rt memory`: copies a memory into another, migrates its schema, and shows its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from agno_rt.cli.options import config_option, debug_option, json_option
from agno_rt.cli.report import notice
from agno_rt.errors import UsageError

if TYPE_CHECKING:
    from agno_rt.cli.copy_memory import CopyReport
    from agno_rt.runtime import Runtime
    from agno_rt.upkeep import Migration, StoreSize

__all__ = ["command"]


@click.group("memory")
def command() -> None:
    """Copy, migrate and measure the memory as a whole: sessions, facts, runs."""


@command.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@config_option
@debug_option
def copy(source: str, target: str, config: str | None) -> int:
    """Copy everything in the memory FROM into the memory TO.

    Both are URLs, such as sqlite:///agents.db. Copied are sessions with their messages, data and titles, facts, and
    runs with journals, approvals, signals and events, and standing approvals; all with their times and owners. What is
    in TO stays, also a standing approval that was revoked in FROM since. Run the same command again to go on after a
    cut, and to bring what has changed since. What cannot be copied is named, and the exit code is 1 then.
    """
    from agno_rt.cli.copy_memory import check_stored, copy_memory
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.report import show_warning
    from agno_rt.cli.tables import counted, one_line

    if source == target:
        raise UsageError("FROM and TO are the same memory", hint="Give two URLs.")
    to = Place(config, target)

    async def act(runtime: Runtime) -> CopyReport:
        await check_stored(runtime.memory, source)
        async with to.make_runtime() as other:
            with _show_progress() as show:
                return await copy_memory(runtime.memory, other.memory, show)

    report = Place(config, source).open(act)
    done = [counted(count, kind.removesuffix("s")) for kind, count in report.copied.items()]
    facts = done[1].replace("fact", "user") + " with facts"
    grants = f", and {done[3].replace('grant', 'standing approval')}" if report.copied["grants"] else ""
    notice(f"Copied {done[0]}, {facts} and {done[2]}{grants}; {report.same:,} were there already.")
    for each in report.left:
        show_warning(f"not copied: {one_line(each)}", "")
    return 1 if report.damaged or any(not each.startswith("cached answers") for each in report.left) else 0


@command.command("migrate")
@click.argument("url", required=False)
@click.option("--plan", is_flag=True, help="Print the SQL of the missing migrations, and change nothing.")
@config_option
@debug_option
def migrate(url: str | None, plan: bool, config: str | None) -> None:
    """Bring the schema of a memory up to date.

    URL is the project's memory if left out. A memory is also migrated when it is first used; with this command you do
    so before a release, and see what will happen.
    """
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.tables import counted
    from agno_rt.upkeep import MigratingStore

    async def act(runtime: Runtime) -> list[Migration]:
        store = runtime.memory
        if not isinstance(store, MigratingStore):
            raise UsageError(f"the memory backend {type(store).__name__} has no migrations", hint="Nothing is to do.")
        return [each for each in await store.migrations() if not each.applied] if plan else await store.migrate()

    found = Place(config, url).open(act)
    for each in found:
        click.echo(
            f"-- {each.number}. {each.name}\n{each.sql.strip().rstrip(';')};\n"
            if plan
            else f"{each.number}. {each.name}"
        )
    word = "are missing" if len(found) > 1 else "is missing"
    state = f"{counted(len(found), 'migration')} {word if plan else 'applied'}" if found else "The schema is up to date"
    notice(f"{state}.")


@command.command("stats")
@click.argument("url", required=False)
@json_option
@config_option
@debug_option
def stats(url: str | None, as_json: bool, config: str | None) -> None:
    """Show how much a memory keeps: numbers, sizes, the oldest and the newest.

    URL is the project's memory if left out.
    """
    from agno_rt.cli.copy_memory import check_stored
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.tables import Column, print_json_lines, print_table, when
    from agno_rt.upkeep import SizedStore

    async def act(runtime: Runtime) -> StoreSize:
        store = runtime.memory
        if not isinstance(store, SizedStore):
            hint = "See its server's own tools."
            raise UsageError(f"the memory backend {type(store).__name__} does not know its size", hint=hint)
        await check_stored(store, url or "the project's memory")
        return await store.find_size()

    size = Place(config, url).open(act)
    if as_json:
        print_json_lines([size])
        return
    columns = (
        Column("PART"),
        Column("COUNT", right=True),
        Column("SIZE", right=True),
        Column("OLDEST"),
        Column("NEWEST"),
    )
    rows = [
        (part.name, f"{part.count:,}", _describe_bytes(part.bytes), when(part.oldest), when(part.newest))
        for part in size.parts
    ]
    print_table(columns, [*rows, ("in all", "", _describe_bytes(size.bytes), "", "")], empty="")


def _describe_bytes(count: int | None) -> str:
    """Return a size for people: `1.5 MB`; empty if unknown."""
    if count is None:
        return ""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{count:,} B" if units[0] == "B" else f"{size:,.1f} {units[0]}"


@contextmanager
def _show_progress() -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Show a progress bar for each kind in a terminal, and yield a function that adds a bar. Elsewhere show nothing."""
    import sys

    if not sys.stderr.isatty():
        yield lambda kind, total: lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def add(kind: str, total: int) -> Callable[[], None]:
            task = bar.add_task(kind, total=total)
            return lambda: bar.advance(task)

        yield add
