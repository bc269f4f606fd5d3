"""`agno-rt runs`: lists, shows and moves stored runs, and resumes, steers, stops and deletes runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import click

from agno_rt.cli.options import (
    agent_options,
    config_option,
    debug_option,
    json_option,
    memory_option,
    owner_option,
    page_options,
    reasoning_option,
    svg_option,
    yes_option,
)
from agno_rt.cli.report import notice, show_warning
from agno_rt.cli.time_travel import fork, steps
from agno_rt.cli.transfer.verbs import add_transfer_verbs
from agno_rt.errors import BackendError, UsageError
from agno_rt.run_store import Approval, Entry, RunRecord, RunStatus

if TYPE_CHECKING:
    from agno_rt._decide.controls import StopAt
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.transfer.runs import RunTransfer
    from agno_rt.memory import MemoryBackend
    from agno_rt.runtime import Runtime

__all__ = ["command"]


@click.group("runs")
def command() -> None:
    """See the runs that are stored, and resume, steer, stop, cancel, fork and delete them.

    Runs are stored for agents with memory=MemoryPolicy(journal=True), and for agents with a tool that may pause them.
    Give a run by its id or the beginning of the id.
    """


command.add_command(steps)
command.add_command(fork)


@command.command("list")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only runs with this status.")
@click.option("--session", metavar="NAME", help="Only runs of this session.")
@click.option(
    "--request", metavar="ID", help="Only runs that began in this request, such as the id in a client's error."
)
@owner_option
@page_options("runs")
@json_option
@config_option
@memory_option
@debug_option
def list_runs(config: str | None, memory: str | None, as_json: bool, request: str | None, **asked: Any) -> None:
    """List the runs, the last changed first.

    A run is shown as stopped if it was running in a process that is gone: a process of this machine that has died, or
    one of any machine whose lease has ended. --json prints the status as stored.
    """
    from agno_rt.cli.open_memory import MANY, Place, run_store
    from agno_rt.cli.tables import Column, print_json_lines, print_table, when

    place, first, end = Place(config, memory), asked["offset"], asked.pop("offset") + asked.pop("limit")

    async def load(runtime: Runtime) -> tuple[list[RunRecord], set[str]]:
        store = run_store(runtime)
        if request is None:
            found = await store.runs(**asked, limit=end)
        else:
            of_request = await store.runs_of_request(request, limit=MANY)
            wanted = [(name, value) for name, value in asked.items() if value is not None]
            found = [each for each in of_request if all(getattr(each, name) == value for name, value in wanted)]
        found = found[first:end]
        return found, set() if as_json else await runtime.find_stopped(found)

    records, stopped = place.open(load)
    if as_json and records:
        print_json_lines(records)
        return
    columns = ("AGENT", "CHANGED", "INPUT", "SESSION", "USER")
    rows = [
        (
            each.id,
            "stopped" if each.id in stopped else each.status,
            each.agent,
            when(each.updated_at),
            each.input,
            each.session or "",
            each.user or "",
        )
        for each in records
    ]
    print_table((Column("ID", whole=True), Column("STATUS", whole=True), *map(Column, columns)), rows, empty="No runs.")
    _print_place(place)


@command.command("show")
@click.argument("run")
@click.option("--timeline", is_flag=True, help="Show when each step began and how long it took.")
@svg_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@owner_option
@config_option
@memory_option
@debug_option
def show(run: str, as_json: bool, user: str | None, config: str | None, memory: str | None, **pictures: Any) -> None:
    """Show a run, step by step.

    Shown are the input, each step, and the approvals. --timeline and --svg show the steps with their times and states,
    those of runs within too.
    """
    from agno_rt.cli.open_memory import MANY, Place, find_run, run_store
    from agno_rt.cli.tables import Column, print_json_lines, print_pairs, print_table

    async def load(runtime: Runtime) -> tuple[RunRecord, list[Entry], list[Approval], bool]:
        store = run_store(runtime)
        record, entries = await find_run(store, run, user)
        is_stopped = bool(await runtime.find_stopped([record]))
        try:
            return record, entries, await store.approvals(run=record.id, limit=MANY), is_stopped
        except BackendError as exc:
            # Damaged approvals do not hide the steps.
            show_warning(exc.message, exc.hint)
            return record, entries, [], is_stopped

    if any(pictures.values()):
        if as_json:
            raise UsageError("--json does not go with --timeline and --svg", hint="Leave one of them out.")
        _show_pictures(Place(config, memory), run, user, **pictures)
        return
    record, entries, approvals, is_stopped = Place(config, memory).open(load)
    steps = [(entry, _describe_step(entry, record.id)) for entry in entries]
    if as_json:
        import msgspec

        journal = [{"seq": entry.seq, "kind": entry.kind, "step": step} for entry, step in steps]
        print_json_lines([{**msgspec.to_builtins(record), "journal": journal, "approvals": approvals}])
        return
    print_pairs(_list_facts(record, is_stopped=is_stopped))
    click.echo()
    columns = (Column("STEP", whole=True, right=True), Column("KIND", whole=True), Column("WHAT"))
    print_table(columns, [(str(entry.seq), entry.kind, step) for entry, step in steps], empty="No steps.")
    if todos := _find_todos(entries, record.id):
        click.echo(f"\nTodo list:\n{todos}")
    if approvals:
        from agno_rt.cli.verbs.approvals import print_approvals

        click.echo()
        print_approvals(approvals, with_status=True)


def _find_todos(entries: Sequence[Entry], run: str) -> str:
    """Return the todo list of a run as it stands; "" for a run without one, and for a damaged journal."""
    from agno_rt._decide.journal import Begun, read_entry
    from agno_rt._decide.todos import TodoBoard, show_todos
    from agno_rt.cli.tables import one_line

    try:
        begun, *steps = [read_entry(entry, run) for entry in entries]
    except (BackendError, ValueError):
        return ""
    if not isinstance(begun, Begun) or not bytes(begun.todos):
        return ""
    return "\n".join(map(one_line, show_todos(TodoBoard.reopen(begun.todos, steps).items).splitlines()))


@command.command("resume")
@click.argument("run")
@click.option("--force", is_flag=True, help="Take the run over even if another process seems to carry it out.")
@reasoning_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when the run is over.")
@owner_option
@agent_options
@config_option
@memory_option
@debug_option
def resume(run: str, user: str | None, config: str | None, memory: str | None, **options: Any) -> int:
    """Go on with a run, and show it as `agno-rt run` does.

    Finished steps are not done again. The agent is found in the project by its name. If the run began with --model,
    --system or --tool, give the same options again.
    """
    from agno_rt.cli.choose_agent import Changes
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.run_agent.resume_run import ResumeOptions, resume_run

    place = Place(config, memory)
    going = {name: options.pop(name) for name in ("force", "reasoning", "as_json")}
    return resume_run(place, _load_record(place, run, user), ResumeOptions(**going, changes=Changes(**options)))


@command.command("cancel")
@click.argument("run")
@owner_option
@config_option
@memory_option
@debug_option
def cancel(run: str, user: str | None, config: str | None, memory: str | None) -> int:
    """Cancel a run, in whatever process it is running.

    The process that carries out the run notices within a second or two. You can resume a cancelled run.
    """
    from agno_rt.cli.open_memory import Place, find_run, run_store
    from agno_rt.cli.tables import one_line

    async def act(runtime: Runtime) -> tuple[RunRecord, bool, bool]:
        store = run_store(runtime)
        record, _ = await find_run(store, run, user)
        was_not_over = await runtime.cancel(record.id)
        return *await _look_again(runtime, record), was_not_over

    record, is_stopped, was_not_over = Place(config, memory).open(act)
    if not was_not_over:
        notice(f"Run {record.id} is over already: {record.status}.")
        return 1
    if is_stopped:
        click.echo(f"cancelled {one_line(record.id)}: its process is gone")
    elif record.status == "running":
        click.echo(one_line(f"cancelling {record.id}: {record.owner or 'its process'} is told"))
    else:
        click.echo(f"cancelled {one_line(record.id)}")
    return 0


@command.command("stop")
@click.argument("run")
@click.option(
    "--at",
    type=click.Choice(("model", "tools", "now")),
    default="tools",
    show_default=True,
    help="After the model's answer, after the tools of its turn, or now.",
)
@click.option("--grace", metavar="SECONDS", type=click.FloatRange(0), help="Cancel the run after so long in any case.")
@owner_option
@config_option
@memory_option
@debug_option
def stop(run: str, at: StopAt, grace: float | None, user: str | None, config: str | None, memory: str | None) -> int:
    """Stop a run at a safe point, in whatever process it is running.

    Nothing is cut off: the call that is under way ends first. The process that carries out the run notices within a
    second or two. You can resume a stopped run.
    """
    from agno_rt.cli.open_memory import Place, find_run, run_store
    from agno_rt.cli.tables import one_line

    async def act(runtime: Runtime) -> tuple[RunRecord, bool, bool]:
        store = run_store(runtime)
        record, _ = await find_run(store, run, user)
        was_not_over = await runtime.stop(record.id, at, grace=grace)
        return *await _look_again(runtime, record), was_not_over

    record, is_stopped, was_not_over = Place(config, memory).open(act)
    if not was_not_over:
        notice(f"Run {record.id} is over already: {record.status}.")
        return 1
    if is_stopped:
        click.echo(f"{one_line(record.id)} does not run: its process is gone")
    elif record.status == "running":
        click.echo(one_line(f"stopping {record.id}: {record.owner or 'its process'} is told"))
    else:
        click.echo(f"stopped {one_line(record.id)}")
    return 0


@command.command("send")
@click.argument("run")
@click.argument("message")
@click.option("--end", is_flag=True, help="Let the run read the message after its answer, not in its next turn.")
@owner_option
@config_option
@memory_option
@debug_option
def send(run: str, message: str, end: bool, user: str | None, config: str | None, memory: str | None) -> None:
    """Send a message to a run, in whatever process it is running.

    The model reads the message in the next turn. The message is stored at once; a run that is paused or stopped reads
    it when it is resumed.
    """
    from agno_rt.cli.open_memory import Place, find_run, run_store
    from agno_rt.cli.tables import one_line

    async def act(runtime: Runtime) -> tuple[RunRecord, bool]:
        record, _ = await find_run(run_store(runtime), run, user)
        await runtime.send(record.id, message, "end" if end else "next")
        return await _look_again(runtime, record)

    place = Place(config, memory)
    record, is_stopped = place.open(act)
    click.echo(f"sent to {one_line(record.id)}")
    if record.status != "running" or is_stopped:
        notice(f"The run reads the message when it is resumed: agno-rt runs resume {record.id}{place.options()}")


@command.command("delete")
@click.argument("runs", nargs=-1, required=True)
@yes_option
@click.option("--force", is_flag=True, help="Delete runs that are still running, too.")
@owner_option
@config_option
@memory_option
@debug_option
def delete(
    runs: tuple[str, ...], yes: bool, force: bool, user: str | None, config: str | None, memory: str | None
) -> int:
    """Delete runs, their steps and their approvals. Their sessions stay."""
    from agno_rt.cli.open_memory import Place, confirm_deletion, find_run, run_store
    from agno_rt.cli.tables import counted, one_line

    place = Place(config, memory)

    async def look(runtime: Runtime) -> tuple[list[RunRecord], set[str]]:
        found = [(await find_run(run_store(runtime), run, user))[0] for run in runs]
        # Two beginnings may name one run.
        return list({record.id: record for record in found}.values()), await runtime.find_stopped(found)

    async def forget(runtime: Runtime) -> list[RunRecord]:
        return [record for record in found if await run_store(runtime).delete_run(record.id)]

    found, stopped = place.open(look)
    under_way = [record.id for record in found if record.status == "running" and record.id not in stopped]
    if under_way and not force:
        hint = "Cancel it first, or use --force if its process is gone all the same."
        raise UsageError(f"run {under_way[0]} is under way", hint=hint)
    what = f"run {found[0].id}" if len(found) == 1 else counted(len(found), "run")
    if not confirm_deletion(f"Delete {what} with {counted(sum(record.entries for record in found), 'step')}?", yes=yes):
        return 1
    for record in place.open(forget):
        click.echo(f"deleted {one_line(record.id)} ({counted(record.entries, 'step')})")
    return 0


@command.command("prune")
@click.option("--older-than", metavar="AGE", help="Delete runs last changed so long ago: 12h, 30d, 4w.")
@click.option("--keep", metavar="N", type=click.IntRange(0), help="Delete all but the N runs changed last.")
@click.option("--dry-run", is_flag=True, help="Print the runs that would be deleted, and delete none.")
@yes_option
@config_option
@memory_option
@debug_option
def prune(
    older_than: str | None, keep: int | None, dry_run: bool, yes: bool, config: str | None, memory: str | None
) -> int:
    """Delete old runs that are over, with the runs within them.

    A run stays while it, or a run within it, is running, paused or waiting. With both options, a run goes that either
    of them names.
    """
    from agno_rt.cli.open_memory import Place, run_store
    from agno_rt.cli.prune import prune_stored
    from agno_rt.run_store import FlowStore

    def find_prune(runtime: Runtime) -> Callable[..., Awaitable[list[str]]] | None:
        store = run_store(runtime)
        return store.prune_runs if isinstance(store, FlowStore) else None

    return prune_stored("run", find_prune, Place(config, memory), (older_than, keep), dry_run=dry_run, yes=yes)


async def _look_again(runtime: Runtime, record: RunRecord) -> tuple[RunRecord, bool]:
    """Return the record as it is now, and whether the run is stopped."""
    from agno_rt.cli.open_memory import run_store

    now, _ = await run_store(runtime).load_run(record.id)
    return now, bool(await runtime.find_stopped([now]))


def _load_record(place: Place, run: str, user: str | None) -> RunRecord:
    from agno_rt.cli.open_memory import find_run, run_store

    async def load(runtime: Runtime) -> RunRecord:
        return (await find_run(run_store(runtime), run, user))[0]

    return place.open(load)


def _show_pictures(place: Place, run: str, user: str | None, *, timeline: bool, svg: str | None) -> None:
    """Show the run, with the runs within as far as they are stored, as a timeline and in an SVG file."""
    from agno_rt.cli.open_memory import find_run, run_store
    from agno_rt.cli.show_drawing import print_timeline, write_svg
    from agno_rt.drawing.load_tree import load_run_tree
    from agno_rt.drawing.stored_run import StoredRun, draw_stored_run

    async def load(runtime: Runtime) -> StoredRun:
        store = run_store(runtime)
        found = await find_run(store, run, user)
        return await load_run_tree(store, *found, runtime.find_stopped, warn=show_warning)

    drawing = draw_stored_run(place.open(load))
    if timeline:
        print_timeline(drawing)
    if svg:
        write_svg(drawing, svg)


def _list_facts(record: RunRecord, *, is_stopped: bool) -> list[tuple[str, str]]:
    from agno_rt.cli.tables import when

    return [
        ("run", record.id),
        ("agent", record.agent),
        ("status", f"{record.status}{_explain_status(record, is_stopped=is_stopped)}"),
        ("owner", record.owner or ""),
        ("taken over", _count_times(record.takeovers)),
        ("session", record.session or ""),
        ("user", record.user or ""),
        ("within", record.parent or ""),
        ("request", record.request or ""),
        ("forked from", record.origin or ""),
        ("goes on from", record.continues or ""),
        ("goes on in", record.continued_by or ""),
        ("begun", when(record.created_at)),
        ("changed", when(record.updated_at)),
        ("input", record.input),
        ("content", record.content),
        ("error", record.error or ""),
    ]


def _count_times(number: int) -> str:
    return "once" if number == 1 else f"{number} times" if number else ""


def _explain_status(record: RunRecord, *, is_stopped: bool) -> str:
    if is_stopped:
        return ", but its process is gone: it can be resumed"
    return ", to be cancelled" if record.cancel_requested and record.status == "running" else ""


def _describe_step(entry: Entry, run: str) -> str:
    """Describe the step. A damaged step is described by the error, and the other steps are still shown."""
    from agno_rt._decide.journal import describe_entry

    try:
        return describe_entry(entry, run)
    except BackendError as exc:
        return f"damaged: {exc.message}"


def _print_place(place: Place) -> None:
    """Print the searched file if the project's memory does not last, and why runs may be missing from the file."""
    from agno_rt.cli.default_memory import tilde

    file = place.file()
    if file is not None:
        notice(f"Searched {tilde(file)}. The project's memory is `memory:`, whose runs end with their process.")


def _open(act: Callable[[MemoryBackend], Awaitable[Any]], /, **place: Any) -> Any:
    from agno_rt.cli.open_memory import Place

    return Place(**place).open(lambda runtime: act(runtime.memory))


def _load_transfer() -> RunTransfer:
    from agno_rt.cli.transfer.runs import RunTransfer

    return RunTransfer()


add_transfer_verbs(
    command,
    _load_transfer,
    _open,
    export_help="A line is a run with its steps, approvals, signals and events. A run that is under way is left out.",
    import_help=(
        "A run replaces an older copy of itself. Resume runs only from files that you trust: their steps say what was"
        " done."
    ),
)
