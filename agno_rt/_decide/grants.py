"""Standing approvals: whether a call fits, and what a person's decision grants. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from agno_rt.errors import UsageError, suggest
from agno_rt.messages import ToolCall
from agno_rt.run_store import Approval, Grant, Standing
from agno_rt.tools import Tool

__all__ = ["digest_tool", "fits_pattern", "is_granted", "make_grant", "normal_arguments"]


def digest_tool(tool: Tool) -> str:
    """Return a digest of the tool as people and models know the tool; another one after any change."""
    known = [tool.name, tool.description, tool.parameters, tool.read_only, tool.destructive]
    return hashlib.sha256(msgspec.json.encode(known, order="deterministic")).hexdigest()[:32]


def normal_arguments(text: str) -> str:
    """Return the arguments as JSON in a canonical form. Raises msgspec's errors."""
    return msgspec.json.encode(msgspec.json.decode(text or "{}"), order="deterministic").decode()


def is_granted(grant: Grant, call: ToolCall, approval: Approval, now: float) -> bool:
    """Return whether the grant allows the call, for which otherwise `approval` would ask."""
    is_same_tool = grant.tool == call.name and grant.definition != "" and grant.definition == approval.definition
    is_valid = grant.user == approval.user and (grant.expires_at is None or grant.expires_at > now)
    is_within = grant.agent in (None, approval.agent) and grant.session in (None, approval.session)
    if not (is_same_tool and is_valid and is_within):
        return False
    try:
        if grant.arguments is not None:
            return normal_arguments(call.arguments) == grant.arguments
        return fits_pattern(grant.pattern, msgspec.json.decode(call.arguments or "{}"))
    except (msgspec.MsgspecError, RecursionError):
        return False


def fits_pattern(pattern: Mapping[str, Any], arguments: Any) -> bool:
    """Return whether each argument with a pattern is there, and fits."""
    return isinstance(arguments, Mapping) and all(
        name in arguments and _fits_value(wanted, arguments[name]) for name, wanted in pattern.items()
    )


def _fits_value(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, str) or not isinstance(value, str):
        # True equals 1 in Python, but not in JSON.
        return msgspec.json.encode(wanted, order="deterministic") == msgspec.json.encode(value, order="deterministic")
    first, *rest = wanted.split("*")
    if not rest:
        return value == wanted
    *middle, last = rest
    if len(value) < len(first) + len(last) or not (value.startswith(first) and value.endswith(last)):
        return False
    # Without backtracking: the first place of each part leaves the most room for the parts that follow.
    at, end = len(first), len(value) - len(last)
    for part in middle:
        at = value.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def make_grant(approval: Approval, standing: Standing, arguments: str | None, by: str | None, id: str) -> Grant:
    """Return what the decision grants for later calls; `arguments` are those in place of the model's.

    The times are the store's to set. Raises `UsageError` for a call that asks a person each time, and for a
    pattern of an argument that the call does not have: no later call would fit a misspelt name.
    """
    what = f"the approval {approval.id} of {approval.call.name}"
    if approval.kind != "approval" or not approval.definition:
        raise UsageError(
            f"{what} cannot stand for later calls: the tool asks each time", hint="Approve this call only."
        )
    if standing.scope == "session" and approval.session is None:
        hint = "Give scope='agent' or 'user'."
        raise UsageError(f"{what} cannot stand for the session: the run has none", hint=hint)
    if standing.scope != "user" and not approval.agent:
        raise UsageError(f"{what} cannot stand for the agent: the agent has no name", hint="Give scope='user'.")
    approved = None
    if standing.arguments != "any":
        approved = normal_arguments(approval.call.arguments if arguments is None else arguments)
    pattern = dict(standing.arguments) if isinstance(standing.arguments, Mapping) else {}
    if approved is not None and pattern:
        known = msgspec.json.decode(approved)
        if unknown := next((name for name in pattern if name not in known), None):
            hint = suggest("argument", unknown, known)
            raise UsageError(f"{what} has no argument {unknown!r} for a pattern", hint=hint)
    return Grant(
        id,
        approval.call.name,
        approval.definition,
        user=approval.user,
        agent=None if standing.scope == "user" else approval.agent,
        session=approval.session if standing.scope == "session" else None,
        arguments=approved if standing.arguments == "same" else None,
        pattern=pattern,
        by=by,
        approval=approval.id,
    )
