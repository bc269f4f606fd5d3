"""`agno-rt approvals`: lists, shows and moves the approvals of paused runs, and approves, denies or answers."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agno_rt.cli.options import (
    agent_options,
    json_option,
    owner_option,
    page_options,
    yes_option,
)
from agno_rt.cli.report import notice
from agno_rt.cli.standing import add_standing_options, add_standing_verbs
from agno_rt.cli.transfer.verbs import add_transfer_verbs, memory_options
from agno_rt.run_store import Approval, Decision, Standing

if TYPE_CHECKING:
    from agno_rt.cli.choose_agent import Changes
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.transfer.approvals import ApprovalTransfer
    from agno_rt.runtime import Runtime

__all__ = ["command", "print_approvals"]

F = TypeVar("F", bound=Callable[..., Any])


@click.group("approvals")
def command() -> None:
    """See what paused runs wait for, and decide it.

    A run pauses when a tool call needs approval, when a tool asks the user for something, and when a call is carried
    out outside agno_rt. Give an approval by its id or the beginning of the id. If a run waits for one approval only,
    the id of the run will do too.
    """


@command.command("list")
@click.option("--all", "decided_too", is_flag=True, help="Include approvals that are decided or expired.")
@click.option("--run", metavar="ID", help="Only the approvals of this run.")
@owner_option
@page_options("approvals")
@json_option
@memory_options
def list_approvals(
    decided_too: bool, run: str | None, user: str | None, as_json: bool, limit: int, offset: int, **place: str | None
) -> None:
    """List the pending approvals, the oldest first."""
    from agno_rt.cli.open_memory import Place, find_run, run_store
    from agno_rt.cli.tables import print_json_lines

    async def load(runtime: Runtime) -> list[Approval]:
        store = run_store(runtime)
        of = None if run is None else (await find_run(store, run, user))[0].id
        limits: Any = {"status": None if decided_too else "pending", "limit": offset + limit}
        return await store.approvals(run=of, user=user, **limits)

    approvals = Place(**place).open(load)[offset:]
    # An empty list prints nothing on standard output, with --json too; standard error says so.
    if as_json and approvals:
        print_json_lines(approvals)
        return
    print_approvals(approvals, with_status=decided_too)


@command.command("show")
@click.argument("approval")
@owner_option
@json_option
@memory_options
def show(approval: str, user: str | None, as_json: bool, **place: str | None) -> None:
    """Show an approval with the call, and the decision if there is one."""
    from agno_rt.cli.open_memory import Place, find_approval, run_store
    from agno_rt.cli.run_agent.display import call_line
    from agno_rt.cli.tables import print_json_lines, print_pairs, when

    found = Place(**place).open(lambda runtime: find_approval(run_store(runtime), approval, user))
    if as_json:
        print_json_lines([found])
        return
    print_pairs(
        [
            ("approval", found.id),
            ("status", found.status),
            ("kind", found.kind),
            ("call", call_line(found.call)[2:]),
            ("arguments", found.arguments or ""),
            ("reason", found.reason),
            ("by", found.by or ""),
            ("run", found.run),
            ("agent", found.agent),
            ("session", found.session or ""),
            ("user", found.user or ""),
            ("asked", when(found.created_at)),
            ("expires", when(found.expires_at)),
            ("decided", when(found.decided_at)),
            ("definition", found.definition),
        ]
    )


@command.command("delete")
@click.argument("approvals", nargs=-1, required=True, metavar="ID...")
@owner_option
@yes_option
@memory_options
def delete(approvals: tuple[str, ...], user: str | None, yes: bool, **place: str | None) -> int:
    """Withdraw pending approvals, so that nobody can decide them.

    The approval is shown as expired, and the run is told that nobody decided. Decided approvals belong to
    the runs, and are deleted with the runs.
    """
    from agno_rt.cli.open_memory import Place, confirm_deletion, find_approval, run_store
    from agno_rt.cli.tables import counted, one_line
    from agno_rt.errors import UsageError
    from agno_rt.run_store import WithdrawStore

    async def look(runtime: Runtime) -> list[Approval]:
        store = run_store(runtime)
        if not isinstance(store, WithdrawStore):
            hint = "Deny them: agno-rt approvals deny ID --reason TEXT."
            raise UsageError(f"the memory backend {type(store).__name__} cannot withdraw approvals", hint=hint)
        found = [await find_approval(store, each, user) for each in approvals]
        for each in found:
            if each.status != "pending":
                hint = f"It goes with its run: agno-rt runs delete {each.run}."
                raise UsageError(f"approval {each.id!r} is {each.status} already", hint=hint)
        return list({each.id: each for each in found}.values())

    async def withdraw(runtime: Runtime) -> None:
        store: Any = run_store(runtime)
        await store.withdraw_approvals([each.id for each in found])

    found = Place(**place).open(look)
    what = f"approval {found[0].id}" if len(found) == 1 else counted(len(found), "approval")
    if not confirm_deletion(f"Withdraw {what}?", yes=yes):
        return 1
    Place(**place).open(withdraw)
    for each in found:
        click.echo(f"deleted {one_line(each.id)}")
    return 0


def _add_decision_options(function: F) -> F:
    """Add the options that `approve`, `deny` and `answer` share."""
    by = click.option("--by", metavar="NAME", help="Name of the person who decides, stored with the decision.")
    on = click.option("--resume", is_flag=True, help="Resume the run at once, as `agno-rt runs resume` does.")
    return by(on(owner_option(agent_options(memory_options(function)))))


@command.command("approve")
@click.argument("approval")
@click.option("--arguments", metavar="JSON", help="Arguments for the tool, in place of the model's.")
@add_standing_options
@_add_decision_options
def approve(approval: str, arguments: str | None, by: str | None, standing: Standing | None, **options: Any) -> int:
    """Approve a tool call, and with --for later ones."""
    from agno_rt.cli.run_agent.conversation import StandingDecision

    # Changed arguments are checked by the tool itself, so the agents must be loaded.
    agents = arguments is not None
    decision = Decision("approved", arguments, by=by)
    if standing is not None:
        decision = StandingDecision("approved", arguments, by=by, standing=standing)
    return _decide_approval(approval, lambda found: decision, agents=agents, **options)


@command.command("deny")
@click.argument("approval")
@click.option("--reason", required=True, metavar="TEXT", help="Reason to give to the model.")
@_add_decision_options
def deny(approval: str, reason: str, by: str | None, **options: Any) -> int:
    """Deny an approval."""
    return _decide_approval(approval, lambda found: Decision("denied", reason=reason, by=by), **options)


@command.command("answer")
@click.argument("approval")
@click.argument("value")
@_add_decision_options
def answer(approval: str, value: str, by: str | None, **options: Any) -> int:
    """Answer a tool, or give the result of a call.

    Use it when a tool asks the user for something, or when a call is carried out outside agno_rt. VALUE is JSON or
    text; with -, standard input is read. If a tool asks for several things, VALUE is a JSON object.
    """
    import msgspec

    from agno_rt.cli.values import answer_of

    text = sys.stdin.buffer.read().decode("utf-8", "replace").strip() if value == "-" else value

    def decision(found: Approval) -> Decision:
        given = answer_of(text, found.schema if found.kind == "input" else None)
        return Decision("answered", msgspec.json.encode(given).decode(), by=by)

    return _decide_approval(approval, decision, **options)


def print_approvals(approvals: Iterable[Approval], *, with_status: bool) -> None:
    """Print a table of approvals; `with_status` adds a column with the status of each."""
    from agno_rt.cli.run_agent.display import call_line
    from agno_rt.cli.tables import Column, print_table, when

    rows = [
        (
            each.id,
            *([each.status] if with_status else []),
            each.kind,
            call_line(each.call)[2:],
            each.reason,
            each.agent,
            when(each.created_at),
            when(each.expires_at),
        )
        for each in approvals
    ]
    first = (Column("ID", whole=True), *([Column("STATUS")] if with_status else []), Column("KIND", whole=True))
    others = ("CALL", "REASON", "AGENT", "ASKED", "EXPIRES")
    empty = "No approvals." if with_status else "No pending approvals."
    print_table((*first, *map(Column, others)), rows, empty=empty)


def _decide_approval(
    approval: str,
    decision: Callable[[Approval], Decision],
    *,
    resume: bool,
    user: str | None,
    agents: bool = False,
    **options: Any,
) -> int:
    """Store the decision. Then resume the run, or print the command for the next step."""
    from agno_rt.cli.choose_agent import Changes
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.run_agent.conversation import decide
    from agno_rt.cli.run_agent.display import call_line

    place = Place(options.pop("config"), options.pop("memory"))
    changes = Changes(**options)

    async def act(runtime: Runtime) -> tuple[Approval, int]:
        from agno_rt.cli.open_memory import find_approval, run_store

        store = run_store(runtime)
        found = await find_approval(store, approval, user)
        decided = await decide(runtime, found.id, decision(found), user)
        return decided, len(await store.approvals(run=found.run, status="pending"))

    decided, waiting = place.open(act, agents=agents)
    notice(f"{decided.status}: {call_line(decided.call)[2:]}")
    if resume:
        return _resume_run(place, decided.run, changes)
    next_step = "waits for more: agno-rt approvals list --run" if waiting else "can go on: agno-rt runs resume"
    notice(f"The run {next_step} {decided.run}{place.options()}{changes.options()}")
    return 0


def _resume_run(place: Place, run: str, changes: Changes) -> int:
    from agno_rt.cli.open_memory import run_store
    from agno_rt.cli.run_agent.resume_run import ResumeOptions, resume_run
    from agno_rt.run_store import RunRecord

    async def load(runtime: Runtime) -> RunRecord:
        return (await run_store(runtime).load_run(run))[0]

    return resume_run(place, place.open(load), ResumeOptions(changes=changes))


def _open(act: Callable[[Runtime], Awaitable[Any]], /, **place: Any) -> Any:
    from agno_rt.cli.open_memory import Place

    return Place(**place).open(act)


def _load_transfer() -> ApprovalTransfer:
    from agno_rt.cli.transfer.approvals import ApprovalTransfer

    return ApprovalTransfer()


add_standing_verbs(command)
add_transfer_verbs(
    command,
    _load_transfer,
    _open,
    export_help=(
        "A line is an approval, pending or decided. To decide elsewhere, set `status` to approved, denied or answered,"
        " and `arguments`, `reason` and `by` as needed."
    ),
    import_help="Decisions are stored for approvals that are pending here; approvals themselves come with their runs.",
)
