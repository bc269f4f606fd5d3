"""Whether a call must wait for a person, whether what that person decides will do, and what then becomes of the call.

Decides of one call, and changes nothing but what the job holds of it: the run pauses, stores and goes on elsewhere.
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

__all__ = ["asked", "carried", "check_decision"]

_Arguments: TypeAlias = dict[str, Any]

_ALLOWED: Mapping[ApprovalKind, tuple[str, str]] = {
    "approval": ("approved", "Approve of it, with other arguments perhaps, or deny it."),
    "input": ("answered", "Answer it with what its schema asks for, or deny it."),
    "external": ("answered", "Answer it with the result of the call, or deny it."),
}
"""What each kind is decided as, beside `denied`, and how to say so."""

_LATE: Mapping[ApprovalKind, str] = {
    "approval": "nobody approved of it in time",
    "input": "the user did not answer in time",
    "external": "nobody gave its result in time",
}


async def asked(job: Job, tool: Tool, call: ToolCall) -> Approval | Told | None:
    """What the call has to wait for; what the model is told of it at once; or `None`, where it can be made.

    Nobody is asked of arguments that do not fit, or of one call too many: the model is told. Raises `HookError` for an
    `approve` that fails: the call is not made then.
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
        return "failed", f"{tool.name} was not called: it has been called as often as it may be in one run ({limit})."
    reason: str | None = ""
    if tool.predicate is not None:
        try:
            reason = await _reason(job, tool, tool.predicate, call, arguments)
        except ToolArgumentError as exc:
            return "failed", text_of(exc)
    return None if reason is None else _approval(job, tool, call, reason)


def _approval(job: Job, tool: Tool, call: ToolCall, reason: str) -> Approval:
    now = time.time()
    return Approval(
        new_id(),
        job.run_id,
        call,
        "external" if tool.external else "approval" if tool.asks is None else "input",
        agent=job.agent,
        session=None if job.session is None else job.session.id,
        user=job.user,
        schema=None if tool.asks is None else tool.asks.schema,
        reason=reason,
        created_at=now,
        expires_at=None if tool.expires is None else now + tool.expires,
    )


async def _reason(job: Job, tool: Tool, predicate: Predicate, call: ToolCall, arguments: _Arguments) -> str | None:
    """Why a person has to be asked, as the tool's `approve` says; `None` where there is no need."""
    context = None
    if asks_for_context(predicate.injected):
        context = job.context()
        context.call = call
    try:
        given = predicate.passed(arguments) | fill_in(tool.name, predicate.injected, job.deps, job.state, context)
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


def carried(job: Job, tool: Tool | None, approval: Approval) -> ToolCall | Told:
    """What comes of a call that has been decided: the call to make, or what the model is told of it.

    What the user gave for it is put into `job.given`, where the tool is given it from. Raises `UsageError` for an
    approval that is still to be decided.
    """
    call = approval.call
    match approval.status:
        case "approved":
            return call if approval.arguments is None else attrs.evolve(call, arguments=approval.arguments)
        case "answered":
            return _answered(job, tool, approval)
        case "denied":
            return "failed", f"{call.name} was denied: {approval.reason or 'no reason was given'}"
        case "expired":
            return "failed", f"{call.name} was not called: {_LATE[approval.kind]}."
        case "pending":
            _, hint = _ALLOWED[approval.kind]
            raise UsageError(f"the approval {approval.id} of {call.name} is still to be decided", hint=hint)


def _answered(job: Job, tool: Tool | None, approval: Approval) -> ToolCall | Told:
    call, text = approval.call, approval.arguments or "null"
    if approval.kind == "external":
        return "completed", content_of(msgspec.json.decode(text))
    if tool is not None and tool.asks is not None:
        try:
            given = tool.asks.decode(text)
        except msgspec.MsgspecError as exc:
            # The tool is not what it was when the user was asked.
            return "failed", f"{call.name} was not called: what the user gave does not fit it any more: {exc}"
        job.given = {**(job.given or {}), call.id: given}
    return call


def check_decision(tool: Tool | None, approval: Approval, decision: Decision) -> None:
    """Raise `UsageError` for a decision that does not fit what was asked: the wrong kind, arguments or answer.

    Without the `tool`, arguments in the place of the model's need only be a JSON object.
    """
    what = f"the approval {approval.id} of {approval.call.name}"
    expected, hint = _ALLOWED[approval.kind]
    if decision.status not in (expected, "denied"):
        raise UsageError(f"{what} is one of kind {approval.kind}, which cannot be {decision.status}", hint=hint)
    if decision.status == "denied":
        if decision.arguments is not None:
            problem = f"{what} is denied, and given {'arguments' if expected == 'approved' else 'an answer'} as well"
            raise UsageError(problem, hint="Say why it is denied as the reason.")
        return
    if decision.arguments is None:
        if approval.kind == "approval":
            return
        raise UsageError(f"{what} is answered with nothing", hint=hint)
    if misfit := _misfit(tool, approval, decision.arguments):
        raise UsageError(f"{what} cannot be {expected} so: {misfit}", hint=hint)


def _misfit(tool: Tool | None, approval: Approval, text: str) -> str:
    """What is wrong with the arguments or the answer that a person gave; empty where nothing is."""
    try:
        value = msgspec.json.decode(text)
        if approval.kind == "approval":
            return _misfitting_arguments(tool, value, text)
        return "" if approval.kind == "external" else _misfitting_answer(tool, approval, value, text)
    except RecursionError:
        return "it is nested too deeply"
    except (msgspec.MsgspecError, UnicodeError) as exc:
        return f"it is no JSON: {exc}"


def _misfitting_arguments(tool: Tool | None, value: Any, text: str) -> str:
    if not isinstance(value, dict):
        return "the arguments are no JSON object"
    if tool is None:
        return ""
    try:
        tool.decode(text)
    except BaseException as exc:  # the tool's own code, which may raise whatever it likes
        if must_pass(exc):
            raise
        return text_of(exc) if isinstance(exc, ToolArgumentError) else named(exc)
    return ""


def _misfitting_answer(tool: Tool | None, approval: Approval, value: Any, text: str) -> str:
    # A person at a form should see all that is to be put right.
    found = "; ".join(faults(value, approval.schema or {}))
    if not found and tool is not None and tool.asks is not None:
        try:
            tool.asks.decode(text)
        except msgspec.MsgspecError as exc:
            found = str(exc)
    return f"the answer does not fit its schema: {found}" if found else ""
