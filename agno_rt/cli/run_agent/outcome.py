"""The outcome of a finished or paused run: its JSON, its exit code, and the commands to resume it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from agno_rt.cli.report import clean, notice
from agno_rt.cli.run_agent.display import call_line
from agno_rt.cli.tables import one_line
from agno_rt.cli.values import fields_of, kinds_of
from agno_rt.errors import AgnoError
from agno_rt.result import RunResult
from agno_rt.run_store import Approval

if TYPE_CHECKING:
    from agno_rt.library.citations import Citation

__all__ = ["PAUSED", "exit_code", "result_fields", "result_json", "show_paused", "show_sources"]

PAUSED = 75
"""The exit code of a paused run: EX_TEMPFAIL of sysexits.h, for a failure that may succeed later."""

_INTERRUPTED = 130

MOST_SOURCES = 5
"""The sources that are listed if the answer names none."""


def exit_code(result: RunResult) -> int:
    """Return 0 for an answer, 75 for a paused run, 130 for a run cancelled by Ctrl-C."""
    return {"cancelled": _INTERRUPTED, "paused": PAUSED}.get(result.status, 0)


def result_json(
    result: RunResult | None, session: str | None, error: AgnoError | None, citations: Sequence[Citation] = ()
) -> bytes:
    """Return the run as JSON; see `result_fields`. A run with `citations` has these, too."""
    import msgspec

    from agno_rt.output import plain_value

    body = result_fields(result, session, error)
    if citations:
        from agno_rt.library.citations import describe_citations

        body["citations"] = describe_citations(citations)
    return msgspec.json.encode(body, enc_hook=plain_value)


def result_fields(result: RunResult | None, session: str | None, error: AgnoError | None) -> dict[str, Any]:
    """Return the run in the server's format. Without a `result` the run never began; a paused run has `approvals`."""
    body: dict[str, Any] = {
        "run_id": result and result.run_id,
        "status": result.status if result else "failed",
        "content": result.content if result else "",
        "reasoning": result.reasoning if result else "",
        "output": result and result.output,
        "session": session,
        "usage": result and result.usage,
        "error": error and {"code": error.code, "message": error.message, "hint": error.hint},
    }
    if result is not None and result.status == "paused":
        body["approvals"] = result.approvals
    return body


def show_sources(citations: Sequence[Citation]) -> None:
    """Print on stderr the sources that the answer names; without a named source, the first of what was found."""
    used = [each for each in citations if each.used]
    if not citations:
        return
    notice("Sources:" if used else "Found, and not named by the answer:")
    shown = used or citations[:MOST_SOURCES]
    for each in shown:
        notice(f"[{each.number}] {one_line(each.hit.chunk.where)}")
    if not used and len(citations) > len(shown):
        notice(f"and {len(citations) - len(shown)} more")


def show_paused(result: RunResult, options: str, *, lasts: bool = True) -> None:
    """Print on stderr the commands to decide and resume a paused run, with the `options` of its memory."""
    click.echo(f"Paused: run {result.run_id} waits.", err=True)
    if not lasts:
        notice('It ends with this process: the memory is `memory:`. To keep runs, set `memory = "sqlite:///a.db"`.')
        return
    click.echo("To decide and resume:", err=True)
    # Deciding a single approval can resume the run at once; several must all be decided first.
    alone = len(result.approvals) == 1
    for approval in result.approvals:
        about = _describe_answer(approval) if alone else call_line(approval.call)[2:]
        command = f"  {_decision_command(approval)}{options}{' --resume' if alone else ''}"
        click.echo(clean(f"{command}  # {about}" if about else command), err=True)
    if not alone:
        click.echo(f"  agno-rt runs resume {result.run_id}{options}", err=True)


def _decision_command(approval: Approval) -> str:
    if approval.kind == "approval":
        return f"agno-rt approvals approve {approval.id}"
    return f"agno-rt approvals answer {approval.id} VALUE"


def _describe_answer(approval: Approval) -> str:
    """Return the fields and types of the requested answer, as in `{"city": string}`."""
    if approval.kind != "input" or approval.schema is None:
        return ""
    fields = fields_of(approval.schema).items()
    wanted = ", ".join(f'"{name}": {" or ".join(kinds_of(part)) or "anything"}' for name, part in fields)
    return f"{{{wanted}}}"
