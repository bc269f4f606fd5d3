"""`agno-rt approvals`: lists the approvals of paused runs, and approves, denies or answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agno_rt.cli.options import agent_options, config_option, debug_option, json_option, memory_option, owner_option
from agno_rt.cli.report import notice
from agno_rt.run_store import Approval, Decision

if TYPE_CHECKING:
    from agno_rt.cli.choose_agent import Changes
    from agno_rt.cli.open_memory import Place
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
@json_option
@config_option
@memory_option
@debug_option
def list_approvals(
    decided_too: bool, run: str | None, user: str | None, as_json: bool, config: str | None, memory: str | None
) -> None:
    """List the pending approvals, the oldest first."""
    from agno_rt.cli.open_memory import MANY, Place, find_run, run_store
    from agno_rt.cli.tables import print_json_lines

    async def load(runtime: Runtime) -> list[Approval]:
        store = run_store(runtime)
        of = None if run is None else (await find_run(store, run, user))[0].id
        return await store.approvals(run=of, status=None if decided_too else "pending", user=user, limit=MANY)

    approvals = Place(config, memory).open(load)
    # An empty list prints nothing on standard output, with --json too; standard error says so.
    if as_json and approvals:
        print_json_lines(approvals)
        return
    print_approvals(approvals, with_status=decided_too)


def _add_decision_options(function: F) -> F:
    """Add the options that `approve`, `deny` and `answer` share."""
    by = click.option("--by", metavar="NAME", help="Name of the person who decides, stored with the decision.")
    on = click.option("--resume", is_flag=True, help="Resume the run at once, as `agno-rt runs resume` does.")
    return by(on(owner_option(agent_options(config_option(memory_option(debug_option(function)))))))


@command.command("approve")
@click.argument("approval")
@click.option("--arguments", metavar="JSON", help="Arguments for the tool, in place of the model's.")
@_add_decision_options
def approve(approval: str, arguments: str | None, by: str | None, **options: Any) -> int:
    """Approve a tool call."""
    # Changed arguments are checked by the tool itself, so the agents must be loaded.
    agents = arguments is not None
    return _decide_approval(approval, lambda found: Decision("approved", arguments, by=by), agents=agents, **options)


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
