"""The approvals and questions of a paused run as AG-UI's interrupts, and the client's answers as decisions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import attrs
import msgspec
from msgspec import UNSET

from agno_rt.run_store import ASK, Approval
from agno_rt_serve.api.ag_ui.asked import ResumeEntry
from agno_rt_serve.api.ag_ui.events import Interrupt
from agno_rt_serve.api.ag_ui.speaker import name_call
from agno_rt_serve.errors import HttpError

__all__ = ["Choice", "make_interrupt", "make_waiting", "read_choice"]

WAITING = "agno_rt:waiting"
"""The reason of a run that waits for a signal or a time, and for no person."""


@attrs.frozen
class Choice:
    """The decision of the client about an approval; `value` has arguments or an answer."""

    verb: Literal["approve", "deny", "answer"]
    value: Any = None
    reason: str = ""

    def was_made(self, approval: Approval) -> bool:
        """Return whether the approval has this very decision: the client sent it again."""
        if approval.status != {"approve": "approved", "deny": "denied", "answer": "answered"}[self.verb]:
            return False
        if self.verb == "deny" or (self.value is None and self.verb == "approve"):
            return self.verb == "deny" or approval.arguments is None
        try:
            kept = msgspec.json.decode(approval.arguments or "null")
        except msgspec.DecodeError:
            return False
        given = msgspec.to_builtins(self.value)
        return bool(kept in (given, {"answer": given}) if approval.call.name == ASK else kept == given)


def make_interrupt(approval: Approval, parameters: Mapping[str, Any] | None, owner: str | None) -> Interrupt:
    """Return the interrupt of an approval. `parameters` is the JSON Schema of the tool, if it is known."""
    is_question = approval.call.name == ASK and approval.kind == "input"
    named = name_call(approval.run, approval.turn, approval.call.id)
    expires = approval.expires_at
    return Interrupt(
        id=approval.id,
        reason=_find_reason(approval, is_question=is_question),
        message=approval.reason or _describe(approval),
        tool_call_id=UNSET if is_question else named,
        response_schema=_make_schema(approval, parameters, is_question=is_question),
        expires_at=UNSET if expires is None else datetime.fromtimestamp(expires, UTC).isoformat(),
        metadata={"agno_rt": {"kind": approval.kind, "agent": approval.agent, "run": approval.run}},
        subagent_run_id=UNSET if owner is None else owner,
    )


def make_waiting(run: str) -> Interrupt:
    """Return the interrupt of a paused run that waits for no person; resolving it lets the run look again."""
    return Interrupt(id=run, reason=WAITING, message="The run waits for a signal, or for its time.")


def read_choice(entry: ResumeEntry, approval: Approval) -> Choice:
    """Return the decision in an answer. Raises `HttpError` 400 for an answer of another form."""
    if entry.status == "cancelled":
        return Choice("deny", reason="The user cancelled it.")
    given = entry.payload
    if approval.kind != "approval":
        if given is UNSET:
            raise _refuse_payload(entry, "a payload that fits its `responseSchema`")
        return Choice("answer", given)
    if isinstance(given, bool):
        return Choice("approve" if given else "deny")
    if not isinstance(given, dict) or not isinstance(given.get("approved"), bool):
        raise _refuse_payload(entry, '{"approved": true} or {"approved": false}')
    if not given["approved"]:
        return Choice("deny", reason=str(given.get("reason") or ""))
    edited = given.get("editedArgs")
    if edited is not None and not isinstance(edited, dict):
        raise _refuse_payload(entry, "an object as `editedArgs`")
    return Choice("approve", edited)


def _refuse_payload(entry: ResumeEntry, wanted: str) -> HttpError:
    return HttpError(400, "invalid_resume", f"the answer to the interrupt {entry.interrupt_id} lacks {wanted}")


def _find_reason(approval: Approval, *, is_question: bool) -> str:
    if approval.kind == "approval":
        return "tool_call"
    schema = _unwrap(approval.schema) if is_question else None
    return "confirmation" if schema is not None and schema.get("type") == "boolean" else "input_required"


def _describe(approval: Approval) -> str:
    what = {"approval": "Allow", "input": "Give the values for", "external": "Give the result of"}[approval.kind]
    return f"{what} {approval.call.name}?" if approval.kind == "approval" else f"{what} {approval.call.name}."


def _make_schema(approval: Approval, parameters: Mapping[str, Any] | None, *, is_question: bool) -> Any:
    if approval.kind == "approval":
        edited = dict(parameters) if parameters is not None else {"type": "object"}
        about = {"description": "Full replacement of the arguments. Not merged."}
        fields = {"approved": {"type": "boolean"}, "editedArgs": edited | about, "reason": {"type": "string"}}
        return {"type": "object", "properties": fields, "required": ["approved"]}
    schema = _unwrap(approval.schema) if is_question else approval.schema
    return UNSET if schema is None else dict(schema)


def _unwrap(schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the schema of the answer to a workflow's question, without the object around it."""
    if schema is None or "answer" not in schema.get("properties", {}):
        return schema
    more = {name: schema[name] for name in ("$defs",) if name in schema}
    return {**schema["properties"]["answer"], **more}
