"""The commands `runs steps` and `runs fork`: the steps of a run, and a run that goes on from one in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agno_rt.cli.options import config_option, debug_option, json_option, memory_option, owner_option
from agno_rt.cli.report import notice, show_warning

if TYPE_CHECKING:
    from agno_rt.drawing.stored_run import StoredRun
    from agno_rt.runtime import Runtime

__all__ = ["fork", "steps"]


@click.command("steps")
@click.argument("run")
@json_option
@owner_option
@config_option
@memory_option
@debug_option
def steps(run: str, as_json: bool, user: str | None, config: str | None, memory: str | None) -> None:
    """List the steps of a run, with their paths, states and durations.

    `agno-rt runs fork` takes the path of a workflow's step. In an agent's run, the steps are the turns of the model and
    the tool calls.
    """
    import attrs

    from agno_rt.cli.open_memory import Place, find_run, run_store
    from agno_rt.cli.tables import Column, print_json_lines, print_table, when
    from agno_rt.drawing.list_steps import list_steps
    from agno_rt.drawing.load_tree import load_run_tree
    from agno_rt.drawing.words import format_seconds

    async def load(runtime: Runtime) -> StoredRun:
        store = run_store(runtime)
        found = await find_run(store, run, user)
        return await load_run_tree(store, *found, runtime.find_stopped, warn=show_warning)

    rows = list_steps(Place(config, memory).open(load))
    if as_json:
        print_json_lines(attrs.asdict(row) for row in rows)
        return
    cells = [
        (row.path, row.kind, row.state, "" if row.seconds is None else format_seconds(row.seconds), when(row.began))
        for row in rows
    ]
    columns = (Column("PATH", whole=True), Column("KIND"), Column("STATE"), Column("TOOK", right=True), Column("BEGAN"))
    print_table(columns, cells, empty="No steps.")


@click.command("fork")
@click.argument("run")
@click.option("--at", metavar="N|PATH", help="Take the first N steps, or those before the step. Default: all steps.")
@click.option("--input", "text", metavar="TEXT", help="Give the new run another input.")
@click.option("--result", metavar="VALUE", help="Give the step at PATH this result: JSON, or a text.")
@owner_option
@config_option
@memory_option
@debug_option
def fork(run: str, user: str | None, config: str | None, memory: str | None, **asked: str | None) -> None:
    """Make a new run of the steps of another, and print its id.

    `agno-rt runs show` numbers the steps from 0, and `agno-rt runs steps` lists the paths of a workflow's steps. With
    --input, steps that get other arguments than before are taken again, with what follows them. The new run does not
    start by itself: resume it. The other run stays as it is.
    """
    from agno_rt.cli.open_memory import Place, find_run, run_store
    from agno_rt.cli.values import value_of

    at, result = asked["at"], asked["result"]
    change: dict[str, Any] = {} if result is None else {"result": value_of(result, {})}
    place_of_fork = int(at) if at is not None and at.isdecimal() else at

    async def act(runtime: Runtime) -> str:
        record, _ = await find_run(run_store(runtime), run, user)
        return await runtime.fork(record.id, place_of_fork, input=asked["text"], **change)

    place = Place(config, memory)
    click.echo(new := place.open(act))
    notice(f"Go on with it: agno-rt runs resume {new}{place.options()}")
