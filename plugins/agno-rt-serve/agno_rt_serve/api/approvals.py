"""The approvals of paused runs, and decisions about them. A decision does not resume the run: a second request does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from agno_rt import AgnoError, Tool
from agno_rt.errors import NotFound
from agno_rt.run_store import Approval, ApprovalConflict, ApprovalStatus
from agno_rt_serve.api.routing import Route, path_value, read_body, read_query
from agno_rt_serve.api.site import Site
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["Approvals", "Shown"]


class _ListQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: ApprovalStatus | None = None
    run: str | None = None
    user: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class _UserQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None


class _Decision(msgspec.Struct, forbid_unknown_fields=True):
    decision: Literal["approve", "deny", "answer"]
    arguments: dict[str, Any] | None = None
    reason: str = ""
    value: Any = msgspec.UNSET
    by: str | None = None
    user: str | None = None


class Shown:
    """Approvals as clients see them: with the JSON Schema of the tool's arguments as `parameters`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self, approvals: Iterable[Approval]) -> list[dict[str, Any]]:
        """Return the approvals as values for JSON."""
        return [self.one(each) for each in approvals]

    def one(self, approval: Approval) -> dict[str, Any]:
        """Return the approval as values for JSON."""
        made: dict[str, Any] = msgspec.to_builtins(approval)
        tool = self._tools(approval.agent).get(approval.call.name)
        return made | {"parameters": None if tool is None else tool.parameters}

    def _tools(self, name: str) -> Mapping[str, Tool]:
        agent = self._site.project.runnables.get(name)
        if agent is None:
            return {}
        try:
            return self._site.runtime.tools(agent)
        except AgnoError:
            return {}  # the agent cannot run as it stands: resuming the run says why


class Approvals:
    """Lists approvals, and takes decisions."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._shown = Shown(site)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/approvals", self._list),
            Route("GET", "/approvals/{id}", self._get),
            Route("POST", "/approvals/{id}", self._decide),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, _ListQuery)
        # Without a user, only approvals without an owner are listed.
        found = await self._site.run_store().approvals(
            run=asked.run, status=asked.status, user=asked.user, unowned=asked.user is None, limit=asked.limit
        )
        await respond(send, 200, JSON, msgspec.json.encode({"approvals": self._shown.all(found)}))

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._send_approval(send, await self._find(scope, read_query(scope, _UserQuery).user))

    async def _decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, _Decision)
        found = await self._find(scope, body.user)
        try:
            decided = await self._apply_decision(found.id, body)
        except ApprovalConflict as exc:
            raise HttpError(
                409, exc.code, f"this approval is {found.status} already", f"{exc.message}. {exc.hint}"
            ) from exc
        await self._send_approval(send, decided)

    async def _apply_decision(self, approval: str, body: _Decision) -> Approval:
        runtime = self._site.runtime
        _check_fields(body)
        if body.decision == "approve":
            return await runtime.approve(approval, body.arguments, user=body.user, by=body.by)
        if body.decision == "deny":
            return await runtime.deny(approval, body.reason, user=body.user, by=body.by)
        return await runtime.answer(approval, body.value, user=body.user, by=body.by)

    async def _find(self, scope: Scope, user: str | None) -> Approval:
        approval = path_value(scope, "id")
        self._site.run_store()
        try:
            found = await self._site.runtime.approval(approval)
            if found.user != user:
                raise NotFound("approval", approval, ())
        except NotFound as exc:
            hint = "GET /approvals lists approvals. A user's approval is found only if the request names the user."
            raise HttpError(404, "not_found", f"this server does not know the approval {approval!r}", hint) from exc
        return found

    async def _send_approval(self, send: Send, approval: Approval) -> None:
        await respond(send, 200, JSON, msgspec.json.encode(self._shown.one(approval)))


_FIELDS: Mapping[str, str] = {"arguments": "approve", "reason": "deny", "value": "answer"}
"""The decision to which each field belongs."""


def _check_fields(body: _Decision) -> None:
    """Raise `HttpError` 400 for a field of another decision, and for an answer without a value."""
    given = {
        "arguments": body.arguments is not None,
        "reason": body.reason != "",
        "value": body.value is not msgspec.UNSET,
    }
    for field, decision in _FIELDS.items():
        if given[field] and decision != body.decision:
            hint = f"Send it with the decision {decision!r}, or leave it out."
            raise HttpError(400, "invalid_body", f"{field!r} does not go with the decision {body.decision!r}", hint)
    if body.decision == "answer" and not given["value"]:
        raise HttpError(
            400, "invalid_body", "the decision 'answer' has no value", 'Send {"decision": "answer", "value": ...}.'
        )
