"""Approvals and questions of paused runs, as forms for the client's user, and the user's words as decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from agno_rt import Runtime
from agno_rt.errors import UsageError
from agno_rt.run_store import Approval, ApprovalConflict
from agno_rt_mcp.server.direct import AGENT

__all__ = ["decide", "describe", "make_form"]

_PRIMITIVES = ("string", "integer", "number", "boolean")
_FIELD_KEYS = frozenset(("type", "title", "description", "enum", "default", "format", "items")) | {
    f"{bound}{of}" for bound in ("min", "max") for of in ("imum", "Length", "Items")
}
"""The words of a schema that a form may use. Clients refuse others."""

_ANSWER = "answer"
_LONGEST = 2_000  # characters of arguments in a question


def describe(approval: Approval) -> str:
    """Return the question for a person, in a sentence or two."""
    arguments = approval.call.arguments
    if len(arguments) > _LONGEST:
        arguments = f"{arguments[:_LONGEST]}... ({len(arguments):,} characters)"
    if approval.kind == "input" and approval.reason:
        return approval.reason
    who = "A client's model" if approval.agent == AGENT else approval.agent or "The agent"
    call = f"{approval.call.name}({arguments})"
    why = f" {approval.reason}" if approval.reason else ""
    match approval.kind:
        case "approval":
            return f"{who} wants to call {call}.{why}"
        case "external":
            return f"{who} waits for the result of {call}, which is carried out elsewhere.{why}"
    return f"{who} asks for your input to {call}.{why}"


def make_form(approval: Approval) -> dict[str, Any]:
    """Return the JSON Schema of the form for the answer: a flat object of texts, numbers, flags and choices."""
    if approval.kind == "approval":
        allow = {"type": "boolean", "title": "Allow", "description": "Whether the call may be made."}
        reason = {"type": "string", "title": "Reason", "description": "For the model, if the call is refused."}
        return {"type": "object", "properties": {"allow": allow, "reason": reason}, "required": ["allow"]}
    form, _ = _read_schema(approval)
    if form is not None:
        return form
    if approval.schema is None:
        about = "The result, as text or as JSON."
    else:
        about = f"JSON that fits the schema {msgspec.json.encode(approval.schema).decode()}"
    value = {"type": "string", "title": "Answer", "description": about}
    return {"type": "object", "properties": {"value": value}, "required": ["value"]}


async def decide(
    runtime: Runtime, approval: Approval, action: str, content: Mapping[str, Any] | None, by: str | None
) -> None:
    """Decide the approval by the user's answer. A decision that was made elsewhere meanwhile stands.

    Raises `UsageError` for an answer that does not fit.
    """
    given = content or {}
    try:
        if action == "decline":
            await runtime.deny(approval.id, "the user declined", by=by)
        elif approval.kind != "approval":
            await runtime.answer(approval.id, _read_value(approval, given), by=by)
        elif given.get("allow") is True:
            await runtime.approve(approval.id, by=by)
        else:
            await runtime.deny(approval.id, str(given.get("reason") or "the user refused"), by=by)
    except ApprovalConflict:
        pass


def _read_schema(approval: Approval) -> tuple[dict[str, Any] | None, bool]:
    """Return the form of the answer's schema, None for one that is not flat; and whether it is that of the one field.

    The answer to a workflow's question is an object with the one field `answer`.
    """
    root = approval.schema
    if root is None:
        return None, False
    properties = root.get("properties", {})
    if list(properties) == [_ANSWER] and (inner := _flatten(_resolve(properties[_ANSWER], root), root)) is not None:
        return inner, True
    return _flatten(root, root), False


def _flatten(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema as a form; None for anything but a flat object."""
    if schema.get("type") != "object" or not schema.get("properties"):
        return None
    required, fields = list(schema.get("required", ())), {}
    for name, each in schema["properties"].items():
        field = _resolve(each, root)
        choices = [part for part in field.get("anyOf", ()) if part.get("type") != "null"]
        if len(choices) == 1 and name not in required:
            field = _resolve(choices[0], root)  # left out, the field has its default
        if not _is_flat(field):
            return None
        fields[name] = {key: value for key, value in field.items() if key in _FIELD_KEYS}
    return {"type": "object", "properties": fields, "required": required}


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    found: Mapping[str, Any] = root.get("$defs", {}).get(name, schema) if name else schema
    return found


def _is_flat(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        return isinstance(items, Mapping) and items.get("type") == "string" and "enum" in items
    choices = schema.get("enum")
    if choices is not None:
        return kind == "string" and all(isinstance(each, str) for each in choices)
    return kind in _PRIMITIVES


def _read_value(approval: Approval, given: Mapping[str, Any]) -> Any:
    form, is_inner = _read_schema(approval)
    if form is not None:
        return {_ANSWER: dict(given)} if is_inner else dict(given)
    if "value" not in given:
        raise UsageError("the answer has no value", hint="Fill in the form.")
    value = given["value"]
    try:
        return msgspec.json.decode(value) if isinstance(value, str) else value
    except msgspec.MsgspecError as exc:
        if approval.schema is None:
            return value
        raise UsageError(f"the answer is not JSON: {exc}", hint="Write JSON that fits the schema.") from exc
