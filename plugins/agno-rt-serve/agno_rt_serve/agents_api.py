"""The format of this server's own API: runs, agents and events as JSON. Pure: knows neither sockets nor trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from agno_rt import Agent, RunResult, Tool, Toolkit, Usage
from agno_rt.errors import suggest
from agno_rt.events import Event, event_type
from agno_rt_serve.errors import HttpError

__all__ = ["RunBody", "agents_body", "decode", "result_body", "server_sent_event"]

Resolve: TypeAlias = Callable[[str], Tool | Toolkit | str]

_DESCRIPTION = 200


class RunBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /agents/{name}/runs` is sent."""

    input: str
    session: str | None = None
    user: str | None = None


class _RunAnswer(msgspec.Struct):
    run_id: str
    status: str
    content: str
    output: Any
    session: str | None
    usage: Usage
    error: str | None = None


class _Tool(msgspec.Struct):
    name: str
    description: str = ""


class _Agent(msgspec.Struct):
    name: str
    model: str
    description: str
    tools: list[_Tool]


class _Agents(msgspec.Struct):
    agents: list[_Agent]


_encoder = msgspec.json.Encoder()
_run_decoder = msgspec.json.Decoder(RunBody)


def decode(body: bytes) -> RunBody:
    """The body of a run's request. Raises `HttpError` 400 that names what is wrong with it."""
    try:
        return _run_decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise HttpError(400, "invalid_body", f"the body is not a run: {exc}", _hint(str(exc))) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        hint = 'Send an object such as {"input": "Hello"}.'
        raise HttpError(400, "invalid_json", f"the body is not valid JSON: {exc}", hint) from exc


def result_body(result: RunResult, session: str | None) -> bytes:
    """The JSON of a run that ended with an answer."""
    error = None if result.error is None else str(result.error)
    return _encoder.encode(
        _RunAnswer(result.run_id, result.status, result.content, result.output, session, result.usage, error)
    )


def server_sent_event(number: int, event: Event) -> bytes:
    """The event as one server-sent event: its type, its number and its JSON."""
    return b"event: %b\nid: %d\ndata: %b\n\n" % (event_type(event).encode("ascii"), number, _encoder.encode(event))


def agents_body(agents: dict[str, Agent], resolve: Resolve) -> bytes:
    """The JSON that lists the agents. `resolve` turns the spec string of a tool into what it names, where it can."""
    return _encoder.encode(_Agents([_described(name, agent, resolve) for name, agent in agents.items()]))


def _described(name: str, agent: Agent, resolve: Resolve) -> _Agent:
    model = agent.model if isinstance(agent.model, str) else agent.model.name
    tools = [tool for entry in agent.tools for tool in _tools(entry, resolve)]
    return _Agent(name, model, _shortened(agent.instructions), tools)


def _tools(entry: Tool | Toolkit | str, resolve: Resolve) -> list[_Tool]:
    if isinstance(entry, str):
        entry = resolve(entry)
    if isinstance(entry, str):
        return [_Tool(entry)]
    tools = entry.tools if isinstance(entry, Toolkit) else (entry,)
    return [_Tool(tool.name, tool.description) for tool in tools]


def _shortened(text: str) -> str:
    paragraph = " ".join(text.strip().partition("\n\n")[0].split())
    return paragraph if len(paragraph) <= _DESCRIPTION else f"{paragraph[: _DESCRIPTION - 1].rstrip()}…"


def _hint(problem: str) -> str:
    _, found, rest = problem.partition("unknown field `")
    if found:
        return suggest("key", rest.partition("`")[0], RunBody.__struct_fields__)
    return 'It takes {"input": text, "session": text or null, "user": text or null}.'
