"""Decides whether a call must wait for a person, checks the person's decision, and applies it to the call.

Handles one call, and changes nothing but the job's entry for it: other modules pause, store and resume the run.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from typing import Any, TypeAlias

import attrs
import msgspec

from agno_rt._decide.tool_results import Told, content_of, failure
from agno_rt._drive.ids import new_id
from agno_rt._drive.job import Job
from agno_rt._schema.faults import faults
from agno_rt._schema.injection import Predicate, asks_for_context, fill_in
from agno_rt.errors import AgnoError, HookError, UsageError
from agno_rt.failures import must_pass, named, text_of
from agno_rt.messages import ToolCall
from agno_rt.run_store import Approval, ApprovalKind, Decision
from agno_rt.tools import Tool, ToolArgumentError

__all__ = ["apply_decision", "check_decision", "require_approval", "wrap_answer"]

_Arguments: TypeAlias = dict[str, Any]

_ALLOWED: Mapping[ApprovalKind, tuple[str, str]] = {
    "approval": ("approved", "Approve it, perhaps with other arguments, or deny it."),
    "input": ("answered", "Answer it with a value that fits its schema, or deny it."),
    "external": ("answered", "Answer it with the result of the call, or deny it."),
}
"""The status that decides each kind, beside `denied`, and a hint for the person who decides."""

_LATE: Mapping[ApprovalKind, str] = {
    "approval": "nobody approved it in time",
    "input": "the user did not answer in time",
    "external": "nobody gave its result in time",
}


async def require_approval(job: Job, tool: Tool, call: ToolCall) -> Approval | Told | None:
    """Decide whether the call needs a person: an Approval, an immediate result, or None to run it.

    Arguments that do not fit, and a call beyond the tool's limit, give a result at once: no person is asked. Raises
    `HookError` if the tool's `approve` fails; the call is not made then.
    """
    if not tool.pauses:
        return None
    try:
        arguments = tool.decode(call.arguments)
    except ToolArgumentError as exc:
        return "failed", text_of(exc)
    except BaseException as exc:
        if must_pass(exc):
            raise
        return "failed", failure(tool.name, exc)
    if (limit := tool.limits.calls) is not None and (job.called or {}).get(tool.name, 0) >= limit:
        return "failed", f"{tool.name} was not called: its limit of calls in one run ({limit}) is reached."
    reason: str | None = ""
    if tool.predicate is not None:
        try:
            reason = await _ask_predicate(job, tool, tool.predicate, call, arguments)
        except ToolArgumentError as exc:
            return "failed", text_of(exc)
    return None if reason is None else await _ask_or_review(job, tool, call, reason)


async def _ask_or_review(job: Job, tool: Tool, call: ToolCall, reason: str) -> Approval | None:
    """Return the Approval, or None if a review or a standing approval takes the person's place."""
    approval = _make_approval(job, tool, call, reason)
    if approval.kind != "approval" or not tool.standing:
        return approval
    from agno_rt.approvers._review import review_call  # few calls ask a person

    return await review_call(job, tool, call, approval)


def _make_approval(job: Job, tool: Tool, call: ToolCall, reason: str) -> Approval:
    now = time.time()
    return Approval(
        new_id(),
        job.run_id,
        call,
        "external" if tool.external else "approval" if tool.asks is None else "input",
        agent=job.agent,
        session=None if job.session is None else job.session.id,
        user=job.asked.user,
        schema=None if tool.asks is None else tool.asks.schema,
        reason=reason,
        created_at=now,
        expires_at=None if tool.expires is None else now + tool.expires,
    )


async def _ask_predicate(
    job: Job, tool: Tool, predicate: Predicate, call: ToolCall, arguments: _Arguments
) -> str | None:
    """Call the tool's `approve`. Return the reason to ask a person, perhaps empty, or None to ask nobody."""
    context = None
    if asks_for_context(predicate.injected):
        context = job.context()
        context.call = call
    try:
        given = predicate.passed(arguments) | fill_in(tool.name, predicate.injected, job.asked.deps, job.state, context)
        said = predicate.function(**given)
        if isinstance(said, Awaitable):
            said = await said
    except (AgnoError, ToolArgumentError):
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        problem = f"the function that says whether {tool.name} needs approval failed: {named(exc)}"
        raise HookError(problem, hook=f"{tool.name}.approve") from exc
    if said is None or said is False or said == "":
        return None
    if said is True:
        return ""
    if isinstance(said, str):
        return said
    problem = f"the function that says whether {tool.name} needs approval returned a {type(said).__name__}"
    raise HookError(problem, hook=f"{tool.name}.approve", hint="Let it return True, False, or the reason to ask.")


def apply_decision(job: Job, tool: Tool | None, approval: Approval) -> ToolCall | Told:
    """Apply the decision: return the call to make, or its result for the model.

    The user's input goes into `job.given`, from which the tool receives it. Raises `UsageError` for an undecided
    approval.
    """
    call = approval.call
    match approval.status:
        case "approved":
            return call if approval.arguments is None else attrs.evolve(call, arguments=approval.arguments)
        case "answered":
            return _apply_answer(job, tool, approval)
        case "denied":
            return "failed", f"{call.name} was denied: {approval.reason or 'no reason was given'}"
        case "expired":
            return "failed", f"{call.name} was not called: {_LATE[approval.kind]}."
        case "pending":
            _, hint = _ALLOWED[approval.kind]
            raise UsageError(f"the approval {approval.id} of {call.name} is not decided yet", hint=hint)


def _apply_answer(job: Job, tool: Tool | None, approval: Approval) -> ToolCall | Told:
    call, text = approval.call, approval.arguments or "null"
    if approval.kind == "external":
        return "completed", content_of(msgspec.json.decode(text))
    if tool is not None and tool.asks is not None:
        try:
            given = tool.asks.decode(text)
        except msgspec.MsgspecError as exc:
            # The tool has changed since the user was asked.
            return "failed", f"{call.name} was not called: the user's answer no longer fits: {exc}"
        job.given = {**(job.given or {}), call.id: given}
    return call


def wrap_answer(decision: Decision) -> Decision:
    """Return the decision with a bare answer to a workflow's question put into the question's form."""
    if decision.status != "answered" or decision.arguments is None:
        return decision
    try:
        value = msgspec.json.decode(decision.arguments)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return decision  # `check_decision` says what is wrong
    if isinstance(value, dict) and value.keys() == {"answer"}:
        return decision
    return attrs.evolve(decision, arguments=f'{{"answer":{decision.arguments}}}')


def check_decision(tool: Tool | None, approval: Approval, decision: Decision) -> None:
    """Raise `UsageError` if the decision does not fit the approval: in kind, arguments or answer.

    Without the `tool`, new arguments need only be a JSON object.
    """
    what = f"the approval {approval.id} of {approval.call.name}"
    expected, hint = _ALLOWED[approval.kind]
    if decision.status not in (expected, "denied"):
        raise UsageError(f"{what} is of kind {approval.kind} and cannot be {decision.status}", hint=hint)
    if decision.status == "denied":
        if decision.arguments is not None:
            problem = f"{what} is denied, but comes with {'arguments' if expected == 'approved' else 'an answer'}"
            raise UsageError(problem, hint="Give the reason for a denial as `reason`.")
        return
    if decision.arguments is None:
        if approval.kind == "approval":
            return
        raise UsageError(f"{what} is answered, but without an answer", hint=hint)
    if misfit := _find_misfit(tool, approval, decision.arguments):
        raise UsageError(f"{what} cannot be {expected}: {misfit}", hint=hint)


def _find_misfit(tool: Tool | None, approval: Approval, text: str) -> str:
    """Describe the fault of a person's arguments or answer; return "" for none."""
    try:
        value = msgspec.json.decode(text)
        if approval.kind == "approval":
            return _find_argument_misfit(tool, value, text)
        return "" if approval.kind == "external" else _find_answer_misfit(tool, approval, value, text)
    except RecursionError:
        return "it is nested too deeply"
    except (msgspec.MsgspecError, UnicodeError) as exc:
        return f"it is not JSON: {exc}"


def _find_argument_misfit(tool: Tool | None, value: Any, text: str) -> str:
    if not isinstance(value, dict):
        return "the arguments are not a JSON object"
    if tool is None:
        return ""
    try:
        tool.decode(text)
    except BaseException as exc:  # the tool's own code, which may raise anything
        if must_pass(exc):
            raise
        return text_of(exc) if isinstance(exc, ToolArgumentError) else named(exc)
    return ""


def _find_answer_misfit(tool: Tool | None, approval: Approval, value: Any, text: str) -> str:
    # All faults, not the first one: a person fills in a form once.
    found = "; ".join(faults(value, approval.schema or {}))
    if not found and tool is not None and tool.asks is not None:
        try:
            tool.asks.decode(text)
        except msgspec.MsgspecError as exc:
            found = str(exc)
    return f"the answer does not fit its schema: {found}" if found else ""
