"""The approvals of paused runs, and decisions about them. A decision does not resume the run: a second request does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from agno_rt import AgnoError, Tool
from agno_rt.errors import NotFound
from agno_rt.run_store import Approval, ApprovalConflict, ApprovalStatus, GrantScope, Standing
from agno_rt_serve.api.routing import Doc, Route, path_value, read_body, read_query
from agno_rt_serve.api.shapes import ApprovalShown
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.users import UserQuery
from agno_rt_serve.auth.caller import caller_of, reach_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["Approvals", "Shown"]


class ApprovalQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: ApprovalStatus | None = None
    run: str | None = None
    user: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class StandingBody(msgspec.Struct, forbid_unknown_fields=True):
    """The reach of an approval for later calls, too: `arguments` is `same`, `any`, or patterns by name."""

    scope: GrantScope = "session"
    seconds: Annotated[float, msgspec.Meta(gt=0)] | None = 3600.0
    arguments: Literal["same", "any"] | dict[str, Any] = "same"


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    decision: Literal["approve", "deny", "answer"]
    arguments: dict[str, Any] | None = None
    reason: str = ""
    value: Any = msgspec.UNSET
    by: str | None = None
    user: str | None = None
    standing: StandingBody | None = None


class ApprovalList(msgspec.Struct):
    """Approvals, open and decided."""

    approvals: list[ApprovalShown]


_DECIDE = Doc(
    "decide_approval",
    "Approve, deny or answer",
    ApprovalShown,
    body=Decision,
    errors=(409,),
    about="Approve a call, also with other `arguments`; answer a question with a `value`; or deny with a `reason`. "
    "With `standing`, later calls that fit need no decision. The run goes on when it is resumed.",
)


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
            Route(
                "GET",
                "/approvals",
                self._list,
                doc=Doc("list_approvals", "List open and decided approvals, oldest first", ApprovalList, ApprovalQuery),
            ),
            Route(
                "GET",
                "/approvals/{id}",
                self._get,
                doc=Doc("get_approval", "Get an approval", ApprovalShown, UserQuery),
            ),
            Route("POST", "/approvals/{id}", self._decide, doc=_DECIDE),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, ApprovalQuery)
        reach = reach_of(scope, asked.user)
        found = await self._site.run_store().approvals(
            run=asked.run, status=asked.status, user=reach.user, unowned=reach.unowned, limit=asked.limit
        )
        found = [each for each in found if self._site.may(scope, "read", each.agent)]
        await respond(send, 200, JSON, msgspec.json.encode({"approvals": self._shown.all(found)}))

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._send_approval(send, await self._find(scope, read_query(scope, UserQuery).user))

    async def _decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, Decision)
        found = await self._find(scope, body.user)
        self._site.check(scope, "decide", found.agent)
        if body.standing is not None and body.standing.scope == "user":
            self._site.check(scope, "decide", "*")  # the decision is also about other agents
        caller = caller_of(scope)
        if not caller.scopes.for_users:
            body.by = caller.user  # the name of whoever decides is not the client's word
        try:
            decided = await self._apply_decision(found.id, body)
        except ApprovalConflict as exc:
            found = await self._find(scope, body.user)  # somebody else may have been faster since
            raise HttpError(
                409, exc.code, f"this approval is {found.status} already", f"{exc.message}. {exc.hint}"
            ) from exc
        stands = {} if body.standing is None else {"standing": msgspec.to_builtins(body.standing)}
        caller.note("approval_decided", approval=found.id, run=found.run, decision=body.decision, by=body.by, **stands)
        await self._send_approval(send, decided)

    async def _apply_decision(self, approval: str, body: Decision) -> Approval:
        runtime = self._site.runtime
        _check_fields(body)
        if body.decision == "approve":
            asked = body.standing
            standing: Any = None if asked is None else Standing(asked.scope, asked.seconds, asked.arguments)
            return await runtime.approve(approval, body.arguments, by=body.by, standing=standing)
        if body.decision == "deny":
            return await runtime.deny(approval, body.reason, by=body.by)
        return await runtime.answer(approval, body.value, by=body.by)

    async def _find(self, scope: Scope, user: str | None) -> Approval:
        approval = path_value(scope, "id")
        self._site.run_store()
        try:
            found = await self._site.runtime.approval(approval)
            if not reach_of(scope, user).has(found.user) or not self._site.may(scope, "read", found.agent):
                raise NotFound("approval", approval, ())
        except NotFound as exc:
            hint = "GET /approvals lists approvals. A user's approval is found only if the request names the user."
            raise HttpError(404, "not_found", f"this server does not know the approval {approval!r}", hint) from exc
        return found

    async def _send_approval(self, send: Send, approval: Approval) -> None:
        await respond(send, 200, JSON, msgspec.json.encode(self._shown.one(approval)))


_FIELDS: Mapping[str, str] = {"arguments": "approve", "standing": "approve", "reason": "deny", "value": "answer"}
"""The decision to which each field belongs."""


def _check_fields(body: Decision) -> None:
    """Raise `HttpError` 400 for a field of another decision, and for an answer without a value."""
    given = {
        "arguments": body.arguments is not None,
        "standing": body.standing is not None,
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
