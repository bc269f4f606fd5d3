"""The agents: listing them, and running one. The formats of a run are in `run_format`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import attrs
import msgspec

from agno_rt import Agent, AgnoError, Event, Runnable, Tool, Toolkit, tool
from agno_rt.agent import ToolLike
from agno_rt.errors import ConfigError, suggest
from agno_rt.project import shipped_project
from agno_rt_serve.api.approvals import Shown
from agno_rt_serve.api.routing import Route, path_value
from agno_rt_serve.api.run_format import (
    decode,
    input_of,
    result_body,
    server_sent_event,
    server_sent_event_within,
    state_of,
)
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.site import Site
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, header, json_body, request_id, respond

__all__ = ["Agents", "Numbered", "tool_names"]

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


class _Tool(msgspec.Struct):
    name: str
    description: str = ""
    approve: bool = False


class _Agent(msgspec.Struct):
    """An agent, or another runnable: then `model` is empty, and `parts` has the names of the runnables within."""

    name: str
    kind: str
    model: str
    description: str
    tools: list[_Tool]
    parts: list[str]
    suggestions: tuple[str, ...] = ()


class _Agents(msgspec.Struct):
    agents: list[_Agent]


class Agents:
    """Lists the agents, and runs them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._shown = Shown(site)
        suggestions = _collect_suggestions(site)
        described = [_describe_agent(name, agent, site.tool) for name, agent in site.project.runnables.items()]
        for agent in described:
            agent.suggestions = tuple(suggestions.get(agent.name, ()))
        self._body = msgspec.json.encode(_Agents(described))

    def routes(self) -> list[Route]:
        """Return a route to run each agent, one for unknown agents, and the list."""
        runs = [
            Route("POST", f"/agents/{name}/runs", partial(self._run, agent))
            for name, agent in self._site.project.runnables.items()
        ]
        return [
            Route("GET", "/agents", self._list),
            *runs,
            Route("POST", "/agents/{name}/runs", self._run_unknown),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, JSON, self._body)

    async def _run_unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._run(self._site.project.runnable(path_value(scope, "name")), scope, receive, send)

    async def _run(self, agent: Runnable, scope: Scope, receive: Receive, send: Send) -> None:
        body = decode(await json_body(scope, receive))
        task = Task(agent, input_of(body.input, self._site.accepts), body.session, body.user, busy=body.busy)
        if body.state is not None:
            task = attrs.evolve(task, deps=state_of(body.state, agent))
        # Repeated in `StoredRuns`, not shared: every request would pay for one more call.
        if b"text/event-stream" in header(scope, b"accept"):
            numbered = Numbered()
            if body.within:
                task = attrs.evolve(task, within=numbered.number_within)
            await self._site.runner.stream(task, send, numbered, lambda end: b"", request_id(scope))
        else:
            result = await self._site.runner.run(task)
            approvals = self._shown.all(result.approvals) if result.status == "paused" else None
            await respond(send, 200, JSON, result_body(result, body.session, approvals))


class Numbered:
    """Numbers the events of one stream, from 1."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, event: Event) -> bytes:
        self._number += 1
        return server_sent_event(self._number, event)

    def number_within(self, path: str, event: Event) -> bytes:
        """Return the event of a run within, with the path of its run."""
        self._number += 1
        return server_sent_event_within(self._number, path, event)


def tool_names(agent: Agent, site: Site) -> set[str]:
    """Return the names of the agent's tools; none if the agent cannot run, or its toolkits are not open yet."""
    try:
        return set(site.runtime.tools(agent))
    except AgnoError:
        return set()  # the run says what is wrong


def _describe_agent(name: str, runnable: Runnable, resolve: Resolve) -> _Agent:
    # Instructions are never shown: they are between the agent and its model.
    parts = [part.name for part in runnable.parts()]
    if not isinstance(runnable, Agent):
        return _Agent(name, runnable.kind, "", runnable.description, [], parts)
    model = runnable.model if isinstance(runnable.model, str) else runnable.model.name
    tools = [tool for entry in runnable.tools for tool in _describe_tools(entry, resolve)]
    return _Agent(name, runnable.kind, model, runnable.description, tools, parts)


def _describe_tools(entry: ToolLike, resolve: Resolve) -> list[_Tool]:
    if isinstance(entry, str):
        entry = resolve(entry)
    if isinstance(entry, str):
        return [_Tool(entry)]
    if isinstance(entry, Toolkit) and entry.open is not None:
        return [_Tool(entry.name)]
    tools = entry.tools if isinstance(entry, Toolkit) else (entry if isinstance(entry, Tool) else tool(entry),)
    return [_Tool(each.name, each.description, each.pauses) for each in tools]


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
