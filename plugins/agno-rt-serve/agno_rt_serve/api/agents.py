"""The agents: listing them, and running one. The formats of a run are in `run_format`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from agno_rt import Agent, AgnoError, Runnable, Tool, Toolkit, ToolSearch, tool
from agno_rt.agent import ToolLike
from agno_rt.errors import ConfigError, suggest
from agno_rt.project import shipped_project
from agno_rt_serve.api.approvals import Shown
from agno_rt_serve.api.launch import LAUNCH_HEADERS, RUN_ANSWERS, RUN_ERRORS, Launcher
from agno_rt_serve.api.routing import Doc, Route, path_value
from agno_rt_serve.api.run_format import (
    RunBody,
    decode,
    input_of,
    result_body,
    state_of,
)
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.runs.idempotency import Ask, read_key
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import admit, caller_of, payer_of
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, json_body, respond

__all__ = ["Agents", "list_tools", "tool_names"]

Resolve: TypeAlias = Callable[[str], Tool | Toolkit | str]

_SUGGESTIONS: Mapping[str, Sequence[str]] = {
    "assistant": (
        "What is the capital of France?",
        "What is 12 times 7?",
        "Rewrite politely: send me the report now.",
    ),
    "librarian": ("What is this folder about?", "How do I install it?"),
}
"""The questions offered to people for the agents that ship with agno_rt."""


class ToolShown(msgspec.Struct):
    """A tool of an agent; `approve` says whether a call waits for a person."""

    name: str
    description: str = ""
    approve: bool = False


class AgentShown(msgspec.Struct):
    """An agent, or another runnable: then `model` is empty, and `parts` has the names of the runnables within."""

    name: str
    kind: str
    model: str
    description: str
    tools: list[ToolShown]
    parts: list[str]
    suggestions: tuple[str, ...] = ()


class AgentList(msgspec.Struct):
    """The runnables of the project."""

    agents: list[AgentShown]


_RUN = Doc(
    "start_run",
    "Run an agent, a team or a workflow",
    RUN_ANSWERS,
    body=RunBody,
    errors=RUN_ERRORS,
    headers={
        **LAUNCH_HEADERS,
        "Idempotency-Key": "The same key with the same body gets the same run, for a day. The run is stored, and goes "
        "on if the client leaves.",
    },
)


class Agents:
    """Lists the agents, and runs them."""

    def __init__(self, site: Site, launcher: Launcher) -> None:
        self._site = site
        self._launcher = launcher
        self._shown = Shown(site)
        suggestions = _collect_suggestions(site)
        described = [_describe_agent(name, agent, site.tool) for name, agent in site.project.runnables.items()]
        for agent in described:
            agent.suggestions = tuple(suggestions.get(agent.name, ()))
        self._described = described
        self._body = msgspec.json.encode(AgentList(described))

    def routes(self) -> list[Route]:
        """Return a route to run each agent, one for unknown agents, and the list."""
        runs = [
            Route("POST", f"/agents/{name}/runs", partial(self._run, agent))
            for name, agent in self._site.project.runnables.items()
        ]
        return [
            Route("GET", "/agents", self._list, doc=Doc("list_agents", "List agents, teams and workflows", AgentList)),
            *runs,
            Route("POST", "/agents/{name}/runs", self._run_unknown, doc=_RUN),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = self._body
        if not caller_of(scope).scopes.is_all:
            shown = [each for each in self._described if self._site.may(scope, "read", each.name)]
            body = msgspec.json.encode(AgentList(shown))
        await respond(send, 200, JSON, body)

    async def _run_unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._run(self._site.project.runnable(path_value(scope, "name")), scope, receive, send)

    async def _run(self, agent: Runnable, scope: Scope, receive: Receive, send: Send) -> None:
        given = await json_body(scope, receive)
        body = decode(given)
        user = admit(scope, agent, body.user, body.session)
        deps = None if body.state is None else state_of(body.state, agent)
        given_input, payer = input_of(body.input, self._site.accepts), payer_of(scope)
        task = Task(agent, given_input, body.session, user, busy=body.busy, deps=deps, payer=payer)
        accept = key = b""
        for name, value in scope["headers"]:
            if name == b"accept":
                accept = value
            elif name == b"idempotency-key":
                key = value
        if key:
            ask = Ask.of(read_key(key), agent.name, user, given)
            await self._launcher.answer_stored(task, body, scope, send, ask)
        elif body.background or body.disconnect or body.webhook or b"text/event-stream" in accept:
            await self._launcher.answer(task, body, scope, send)
        else:
            # As the launcher does, but not by it: every plain request would pay for two more calls.
            result = await self._site.runner.run(task)
            approvals = self._shown.all(result.approvals) if result.status == "paused" else None
            cited = self._site.runtime.citations(result)
            await respond(send, 200, JSON, result_body(result, body.session, approvals, cited))


def tool_names(agent: Agent, site: Site) -> set[str]:
    """Return the names of the agent's tools; none if the agent cannot run, or its toolkits are not open yet."""
    try:
        return set(site.runtime.tools(agent))
    except AgnoError:
        return set()  # the run says what is wrong


def _describe_agent(name: str, runnable: Runnable, resolve: Resolve) -> AgentShown:
    # Instructions are never shown: they are between the agent and its model.
    parts = [part.name for part in runnable.parts()]
    if not isinstance(runnable, Agent):
        return AgentShown(name, runnable.kind, "", runnable.description, [], parts)
    model = runnable.model if isinstance(runnable.model, str) else runnable.model.name
    return AgentShown(name, runnable.kind, model, runnable.description, list_tools(runnable, resolve), parts)


def list_tools(agent: Agent, resolve: Resolve) -> list[ToolShown]:
    """Return the tools of an agent, as far as they are known before they are open."""
    return [tool for entry in agent.tools for tool in _describe_tools(entry, resolve)]


def _describe_tools(entry: ToolLike, resolve: Resolve) -> list[ToolShown]:
    if isinstance(entry, str):
        entry = resolve(entry)
    if isinstance(entry, str):
        return [ToolShown(entry)]
    if isinstance(entry, ToolSearch):
        return [each for inner in entry.tools for each in _describe_tools(inner, resolve)]
    if isinstance(entry, Toolkit) and entry.open is not None:
        return [ToolShown(entry.name)]
    tools = entry.tools if isinstance(entry, Toolkit) else (entry if isinstance(entry, Tool) else tool(entry),)
    return [ToolShown(each.name, each.description, each.pauses) for each in tools]


def _collect_suggestions(site: Site) -> Mapping[str, Sequence[str]]:
    """Return the questions to offer for each agent. Raises `ConfigError` if the settings name an unknown agent."""
    agents, written = site.project.agents, site.settings.suggestions
    for name in written:
        if name not in site.project.runnables:
            hint = suggest("agent", name, site.project.runnables)
            raise ConfigError(f"[plugins.serve.suggestions]: there is no agent {name!r}", hint=hint)
    shipped = shipped_project().agents
    usual = {
        name: texts
        for name, texts in _SUGGESTIONS.items()
        if name in agents and name in shipped and agents[name].instructions == shipped[name].instructions
    }
    return usual | dict(written)
