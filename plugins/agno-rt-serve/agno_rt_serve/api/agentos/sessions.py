"""The sessions of AgentOS: created, listed, read, changed, re-targeted, summarised, deleted."""

from __future__ import annotations

import datetime as dt
import uuid

import msgspec

from agno_rt import Agent, AgnoError, Hook, ModelResponse, RunContext, RunResult
from agno_rt_serve.api.agentos.described import describe
from agno_rt_serve.api.agentos.kept_sessions import Found, KeptSessions, reach_all
from agno_rt_serve.api.agentos.shapes import (
    Failure,
    Note,
    OSDone,
    OSHistory,
    OSNewSession,
    OSScheduled,
    OSSession,
    OSSessionUpdate,
    OSSummarised,
    OSSummary,
    OSTargets,
    error_shape,
    render_message,
)
from agno_rt_serve.api.launch import RUN_ERRORS
from agno_rt_serve.api.routing import Answer, Route, path_value, read_body, read_query
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import Caller, admit, caller_of, payer_of, user_of
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["AgentOSSessions", "OSSessionList"]

_PROMPT = "Summarise the conversation below in a few sentences: its subject, what was decided, and what is still open."


class OSSessionList(msgspec.Struct):
    """The sessions, last written first."""

    sessions: list[OSSession]
    count: int


class _ListQuery(msgspec.Struct):
    agent_id: str = ""
    user_id: str = ""
    team_id: str = ""
    workflow_id: str = ""


class _UserQuery(msgspec.Struct):
    user_id: str = ""


class _SummaryQuery(msgspec.Struct):
    user_id: str = ""
    later: str = msgspec.field(default="", name="async")


class _HistoryQuery(msgspec.Struct):
    user_id: str = ""
    num_messages: str = ""
    stream_events: str = ""


_CREATE = describe("create_session", "Begin a session", Answer(201, OSSession), body=OSNewSession)
_UPDATE = describe("update_session", "Change a session", OSSession, _UserQuery, body=OSSessionUpdate, errors=(409,))
_REUSE = describe("reuse_session", "Give a session other targets", OSSession, _UserQuery, body=OSTargets, errors=(409,))
_HISTORY = describe("get_history", "Get a session's messages and runs", OSHistory, _HistoryQuery)
_SUMMARY = describe("get_summary", "Get a session's summary", OSSummarised, _UserQuery)
_SUMMARISE = describe(
    "summarise",
    "Have a session's agent summarise it",
    (Answer(200, OSSummarised), Answer(202, OSScheduled, "With `async`: the summary is being made.")),
    _SummaryQuery,
    errors=(*RUN_ERRORS, 400),
)


class AgentOSSessions:
    """Answers `/api/v1/sessions`."""

    def __init__(self, site: Site, prefix: str) -> None:
        self._site = site
        self._prefix = prefix

    def routes(self) -> list[Route]:
        """Return the routes; errors have the shape of AgentOS."""
        base, one = f"{self._prefix}/sessions", f"{self._prefix}/sessions/{{id}}"
        shape = error_shape
        return [
            Route("POST", base, self._create, shape, _CREATE),
            Route(
                "GET", base, self._list, shape, describe("list_sessions", "List sessions", OSSessionList, _ListQuery)
            ),
            Route("GET", one, self._get, shape, describe("get_session", "Get a session", OSSession, _UserQuery)),
            Route("PUT", one, self._update, shape, _UPDATE),
            Route(
                "DELETE", one, self._delete, shape, describe("delete_session", "Delete a session", OSDone, _UserQuery)
            ),
            Route("GET", f"{one}/summary", self._get_summary, shape, _SUMMARY),
            Route("POST", f"{one}/summary", self._summarise, shape, _SUMMARISE),
            Route("POST", f"{one}/reuse", self._reuse, shape, _REUSE),
            Route("GET", f"{one}/history", self._get_history, shape, _HISTORY),
        ]

    @property
    def _sessions(self) -> KeptSessions:
        return KeptSessions(self._site.runtime.memory)

    async def _create(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller_of(scope).check("write", "sessions")
        body = await read_body(scope, receive, OSNewSession)
        if not body.agent_id:
            raise Failure(400, "INVALID_REQUEST", "invalid request", "agent_id is empty")
        id_ = str(uuid.uuid4())
        note = Note(body.team_id, body.workflow_id, body.metadata)
        await self._sessions.create(id_, user_of(scope, body.user_id or None), body.agent_id, body.name, note)
        await self._send_session(scope, send, id_, 201)

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller_of(scope).check("read", "sessions")
        asked, sessions = read_query(scope, _ListQuery), self._sessions
        reach = reach_all(scope, asked.user_id)
        shown = []
        for info in await sessions.list(reach):
            if asked.agent_id in ("", info.agent):
                each = await sessions.show(await sessions.find(info.id, reach))
                if asked.team_id in ("", each.team_id) and asked.workflow_id in ("", each.workflow_id):
                    shown.append(each)
        await respond(send, 200, JSON, msgspec.json.encode(OSSessionList(shown, len(shown))))

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._send_session(scope, send, path_value(scope, "id"))

    async def _update(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._find(scope, "write")
        body = await read_body(scope, receive, OSSessionUpdate)
        if body.metadata is not None or body.state is not None:
            note = found.note
            note.metadata = note.metadata if body.metadata is None else body.metadata
            note.state = note.state if body.state is None else body.state
            await self._sessions.change(found, note)
        if body.name:
            await self._sessions.rename(found.info.id, body.name)
        await self._send_session(scope, send, found.info.id)

    async def _delete(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._find(scope, "write")
        if not await self._sessions.delete(found.info.id):
            raise Failure(404, "SESSION_NOT_FOUND", "session not found")
        await respond(send, 200, JSON, msgspec.json.encode(OSDone("session deleted successfully")))

    async def _get_summary(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._find(scope, "read")
        if found.summary is None:
            raise Failure(404, "SUMMARY_NOT_FOUND", "summary not available")
        await respond(send, 200, JSON, msgspec.json.encode(OSSummarised(found.summary)))

    async def _summarise(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._find(scope, "write", None)
        agent = self._site.project.runnables.get(found.info.agent)
        if not isinstance(agent, Agent):
            hint = f"{found.info.agent!r} is not an agent of this server, and only agents have a model"
            raise Failure(501, "SUMMARY_DISABLED", "session summary not configured", hint)
        user = admit(scope, agent, found.info.user)
        said = [f"{each.role}: {each.text}" for each in found.session.messages if each.text.strip()]
        if not said:
            raise Failure(400, "INVALID_REQUEST", "the session has no messages to summarise")
        storing = _Storing(self._sessions, found, payer_of(scope))
        summariser = Agent(agent.model, "", _PROMPT, limits=agent.limits, hooks=(storing,))
        if _is_true(read_query(scope, _SummaryQuery).later):
            await self._site.runtime.start(summariser, "\n\n".join(said), user=user)
            await respond(send, 202, JSON, msgspec.json.encode(OSScheduled(found.info.id)))
            return
        try:
            await self._site.runtime.run(summariser, "\n\n".join(said), user=user)
        except AgnoError as exc:
            told = exc.message if exc.http_status < 500 else "the model gave no summary"
            raise Failure(exc.http_status, "SUMMARY_ERROR", "failed to generate session summary", told) from exc
        await respond(send, 200, JSON, msgspec.json.encode(OSSummarised(storing.summary)))

    async def _reuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._find(scope, "write")
        body = await read_body(scope, receive, OSTargets)
        if not (body.agent_id or body.team_id or body.workflow_id or body.user_id):
            raise Failure(400, "INVALID_REQUEST", "at least one target identifier is required")
        if body.user_id and body.user_id != (found.info.user or ""):
            told = "a session belongs to the user for whom it began, and cannot be given to another"
            raise Failure(400, "INVALID_REQUEST", "user_id cannot change", told)
        note = found.note
        note.team_id = body.team_id or note.team_id
        note.workflow_id = body.workflow_id or note.workflow_id
        await self._sessions.change(found, note, body.agent_id)
        await self._send_session(scope, send, found.info.id)

    async def _get_history(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, _HistoryQuery)
        is_number = asked.num_messages.isdecimal() and len(asked.num_messages) < 10
        last = (int(asked.num_messages) if is_number else 0) or None
        found = await self._find(scope, "read", last)
        begin = found.session.total - len(found.session.messages)
        messages = [render_message(each, begin + at, found.info.id) for at, each in enumerate(found.session.messages)]
        runs = (await self._sessions.show(found)).runs or []
        history = OSHistory(found.info.id, messages, _is_true(asked.stream_events), runs, found.summary)
        await respond(send, 200, JSON, msgspec.json.encode(history))

    async def _find(self, scope: Scope, action: str, last: int | None = 0) -> Found:
        caller_of(scope).check(action, "sessions")
        reach = reach_all(scope, read_query(scope, _UserQuery).user_id)
        return await self._sessions.find(path_value(scope, "id"), reach, last)

    async def _send_session(self, scope: Scope, send: Send, id_: str, status: int = 200) -> None:
        if status != 201:
            caller_of(scope).check("read", "sessions")
        said = read_query(scope, _UserQuery).user_id
        found = await self._sessions.find(id_, reach_all(scope, said))
        await respond(send, status, JSON, msgspec.json.encode(await self._sessions.show(found)))


class _Storing(Hook):
    """Stores the answer of a run as the summary of a session, also of a run in the background."""

    def __init__(self, sessions: KeptSessions, found: Found, payer: Caller | None) -> None:
        self.summary: OSSummary | None = None
        self._payer = payer
        self._sessions = sessions
        self._found = found

    async def after_model(self, context: RunContext, response: ModelResponse) -> ModelResponse | None:
        """Store the summary. Raises the error of the memory, and so fails the run."""
        if self._payer is not None:
            self._payer.settle(RunResult(context.run_id, "completed", usage=response.usage))
        runs = sum(each.role == "user" for each in self._found.session.messages)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self.summary = OSSummary(response.content, runs, response.usage.total_tokens, now)
        note = self._found.note
        note.summary = self.summary
        await self._sessions.change(self._found, note)
        return None


def _is_true(text: str) -> bool:
    return text.lower() in ("1", "t", "true")
