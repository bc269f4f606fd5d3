"""The agents of AgentOS: listed, and run, whole or as a stream. Teams and workflows run by the same routes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from agno_rt import Agent, AgnoError, Runnable, RunResult, Tool
from agno_rt.errors import NotFound
from agno_rt.messages import MediaKind, Part
from agno_rt.runnable import list_parts
from agno_rt_serve.api.agentos.described import describe
from agno_rt_serve.api.agentos.kept_sessions import KeptSessions, reach_all
from agno_rt_serve.api.agentos.run_stream import AgentOSStream, Envelope
from agno_rt_serve.api.agentos.shapes import (
    Failure,
    OSMedia,
    OSRunBody,
    OSUsage,
    error_shape,
    list_media,
    render_usage,
)
from agno_rt_serve.api.launch import RUN_ERRORS
from agno_rt_serve.api.parts import Accepts, Attached, make
from agno_rt_serve.api.routing import Answer, Route, path_value, read_body, read_query
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import admit, caller_of, payer_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, request_id, respond

__all__ = ["AgentOSAgents", "OSAgentList", "OSRunAnswer", "OSTeamTools"]

_KINDS: dict[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video", "file": "file"}


class OSAgent(msgspec.Struct):
    """A runnable of the project, by name."""

    id: str
    name: str


class OSAgentList(msgspec.Struct):
    """The agents, teams and workflows that the caller may run."""

    agents: list[OSAgent]
    count: int


class OSRunMetadata(msgspec.Struct, omit_defaults=True):
    """The metadata of a run's answer."""

    agent_id: str
    usage: OSUsage
    media: list[OSMedia] = []


class OSRunAnswer(msgspec.Struct, omit_defaults=True):
    """The answer of a run."""

    run_id: str
    status: str
    content: str = msgspec.field(default_factory=str)
    session_id: str = ""
    metadata: OSRunMetadata | None = None


class OSTeamTools(msgspec.Struct):
    """The tools of a team's members, each name once."""

    team_id: str
    tools: list[dict[str, Any]]


class _RunQuery(msgspec.Struct):
    stream_events: str = ""
    types: str = ""


_EVENTS = "text/event-stream"
_LIST = describe("list_agents", "List agents, teams and workflows", OSAgentList)
_RUN = describe(
    "run_agent",
    "Run an agent, a team or a workflow",
    (Answer(200, OSRunAnswer), Answer(200, None, "With `stream`: the run's events.", _EVENTS)),
    _RunQuery,
    body=OSRunBody,
    errors=RUN_ERRORS,
)
_STREAM = describe(
    "stream_agent",
    "Run an agent, a team or a workflow, as a stream",
    Answer(200, None, "The run's events.", _EVENTS),
    _RunQuery,
    body=OSRunBody,
    errors=RUN_ERRORS,
)
_TOOLS = describe("list_team_tools", "List the tools of a team's members", OSTeamTools, errors=(500,))


class AgentOSAgents:
    """Answers `/api/v1/agents` and `/api/v1/teams`."""

    def __init__(self, site: Site, prefix: str) -> None:
        self._site = site
        self._prefix = prefix

    def routes(self) -> list[Route]:
        """Return the routes; errors have the shape of AgentOS."""
        return [
            Route("GET", f"{self._prefix}/agents", self._list, error_shape, _LIST),
            Route("POST", f"{self._prefix}/agents/{{id}}/run", self._run, error_shape, _RUN),
            Route("POST", f"{self._prefix}/agents/{{id}}/run/stream", self._run_streamed, error_shape, _STREAM),
            Route("GET", f"{self._prefix}/teams/{{id}}/tools", self._list_tools, error_shape, _TOOLS),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        agents = [OSAgent(name, name) for name, each in self._site.project.runnables.items() if caller.may_run(each)]
        await respond(send, 200, JSON, msgspec.json.encode(OSAgentList(agents, len(agents))))

    async def _list_tools(self, scope: Scope, receive: Receive, send: Send) -> None:
        team = self._find(path_value(scope, "id"), "team")
        if not caller_of(scope).may_run(team, "read"):
            caller_of(scope).check("read", "teams", team.name)
        tools: dict[str, Tool] = {}
        for part in list_parts(team):
            if isinstance(part, Agent):
                try:
                    tools = {**self._site.runtime.tools(part), **tools}
                except AgnoError as exc:
                    raise Failure(500, "EXECUTION_ERROR", "the team's tools are not open", str(exc.message)) from exc
        shown = OSTeamTools(team.name, [_render_tool(tool) for tool in tools.values()])
        await respond(send, 200, JSON, msgspec.json.encode(shown))

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._carry_out(scope, receive, send, streamed=False)

    async def _run_streamed(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._carry_out(scope, receive, send, streamed=True)

    async def _carry_out(self, scope: Scope, receive: Receive, send: Send, *, streamed: bool) -> None:
        asked = read_query(scope, _RunQuery)
        body = await read_body(scope, receive, OSRunBody)
        agent = self._find(path_value(scope, "id"), "agent")
        context = body.run_context
        session = body.session_id or (context.session_id if context is not None else "")
        media = list(list_media(body.media))
        text = body.input if body.input.strip() else _name_media(len(media))
        parts = _read_parts(text, media, self._site.accepts)
        user = await self._find_user(scope, session, "" if context is None else context.user_id)
        owner = admit(scope, agent, user, session or None)
        task = Task(agent, parts, session or None, owner, payer=payer_of(scope))
        if not (streamed or body.stream or asked.stream_events.lower() in ("1", "t", "true")):
            await self._run_whole(send, task, media)
            return
        run_context = context.run_id if context is not None else ""
        model = agent.model if isinstance(agent, Agent) else ""
        envelope = Envelope(
            agent.name,
            session,
            run_context or f"rc-{uuid.uuid4()}",
            model if isinstance(model, str) else model.name,
        )
        types = {each.strip() for each in asked.types.split(",") if each.strip()}
        events = AgentOSStream(envelope, types)
        begun = [events.begin(text, media)]

        def feed(event: Any) -> bytes:
            return (begun.pop() if begun else b"") + events.feed(event)

        await self._site.runner.stream(task, send, feed, events.end, request_id(scope))

    async def _run_whole(self, send: Send, task: Task, media: Sequence[OSMedia]) -> None:
        result: RunResult = await self._site.runner.run(task)
        metadata = OSRunMetadata(task.agent.name, render_usage(result.usage), list(media))
        answer = OSRunAnswer(result.run_id, result.status, result.content, task.session or "", metadata)
        await respond(send, 200, JSON, msgspec.json.encode(answer))

    async def _find_user(self, scope: Scope, session: str, said: str) -> str | None:
        """Return the run's user: the named user, or else the session's. Raises `Failure` 404."""
        if not session:
            return said or None
        found = await KeptSessions(self._site.runtime.memory).find(session, reach_all(scope, said))
        return said or found.info.user

    def _find(self, name: str, kind: str) -> Runnable:
        try:
            found = self._site.project.runnable(name)
            if kind == "team" and found.kind != "team":
                raise NotFound("team", name, ())
        except NotFound as exc:
            raise Failure(404, f"{kind.upper()}_NOT_FOUND", f"{kind} not found", f"{exc.message}. {exc.hint}") from exc
        return found


def _name_media(count: int) -> str:
    """Return the input of a run with attachments alone. Raises `Failure` 400 for a run without either."""
    if not count:
        raise Failure(400, "INVALID_REQUEST", "input or media payload is required")
    return f"Media request ({count} attachment{'' if count == 1 else 's'})"


def _read_parts(text: str, media: Sequence[OSMedia], accepts: Accepts) -> str | list[Part]:
    if not media:
        return text
    parts: list[Part] = [text]
    for item in media:
        kind = _KINDS.get(item.type.lower())
        if kind is None or not item.url:
            told = "an attachment has a type of image, audio, video or file, and a url; the server reads no path"
            raise Failure(400, "INVALID_MEDIA", "invalid media payload", told)
        try:
            parts.append(
                make(
                    Attached(kind, url=item.url, media_type=item.content_type or None, name=item.name or None), accepts
                )
            )
        except HttpError as exc:
            raise Failure(exc.status, "INVALID_MEDIA", "invalid media payload", f"{exc.message}. {exc.hint}") from exc
    return parts


def _render_tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
