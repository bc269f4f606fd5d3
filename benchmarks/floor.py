"""The floor of a run: a straightforward loop of a few lines, with the one checkpoint and nothing else of a run.

The loop has no limits, errors, events or plugins, and keeps its session in a list. The performance page compares with
this floor.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec
import trio

from .common import checkpoints, measured_in, ratio


@attrs.define
class Message:
    """A message with as many fields as agno_rt's."""

    role: str
    content: str
    calls: tuple[Call, ...] = ()
    call_id: str | None = None
    name: str | None = None
    reasoning: str = ""


@attrs.define
class Call:
    """A call of a tool."""

    id: str
    name: str
    arguments: str


@attrs.define
class Request:
    """A request to the model."""

    messages: tuple[Message, ...]
    tools: Sequence[Any]


@attrs.define
class Response:
    """An answer of the model."""

    content: str = ""
    calls: tuple[Call, ...] = ()


@attrs.define
class Result:
    """A result of a run."""

    id: str
    status: str
    content: str
    messages: tuple[Message, ...]


class Arguments(msgspec.Struct):
    """Arguments of the tool."""

    number: int


ANSWER, CALL = Response("ok"), Response("", (Call("call", "double", '{"number": 21}'),))


class Instant:
    """A model with an immediate answer."""

    async def respond(self, request: Request) -> Response:
        """Answer."""
        return ANSWER


class Calling:
    """A model that calls the tool, and then answers."""

    async def respond(self, request: Request) -> Response:
        """Call the tool, or answer."""
        return ANSWER if request.messages[-1].role == "tool" else CALL


@attrs.define
class Agent:
    """An agent with as many fields as agno_rt's."""

    model: Any
    name: str = ""
    instructions: str = ""
    tools: tuple[Any, ...] = ()
    output: Any = None
    memory: Any = None
    settings: Any = None
    limits: Any = None
    hooks: tuple[Any, ...] = ()


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


IDS = itertools.count()
decode = msgspec.json.Decoder(Arguments).decode


async def run(agent: Agent, text: str, history: Sequence[Message] = ()) -> Result:
    """Ask the model and carry out its calls until the model answers."""
    messages = [*history, Message("user", text)]
    await trio.lowlevel.checkpoint()
    while True:
        response = await agent.model.respond(Request(tuple(messages), agent.tools))
        messages.append(Message("assistant", response.content, response.calls))
        if not response.calls:
            return Result(f"{next(IDS):032x}", "completed", response.content, tuple(messages[len(history) :]))
        for call in response.calls:
            result = double(decode(call.arguments).number)
            messages.append(Message("tool", str(result), (), call.id, call.name))


async def simple(times: int) -> None:
    """Run a new agent each time, for a single turn."""
    for _ in range(times):
        await run(Agent(INSTANT, "assistant"), "hello")


async def with_tool(times: int) -> None:
    """Run a new agent each time, with one call and two turns."""
    for _ in range(times):
        await run(Agent(CALLING, "assistant", "", (double,)), "hello")


async def in_session(times: int) -> None:
    """Run an agent with the last hundred messages of a growing list."""
    agent, past = Agent(INSTANT, "assistant"), [Message("user", "hello")] * 100
    for _ in range(times):
        past += (await run(agent, "hello", past[-100:])).messages


INSTANT, CALLING = Instant(), Calling()
BODIES = {"simple": simple, "tool": with_tool, "session of 100 messages": in_session}


class Straightforward:
    """A run by the straightforward loop."""

    params = tuple(BODIES)
    param_names = ("run",)

    @measured_in("checkpoints")
    def track_checkpoints_a_run(self, run: str) -> float:
        """Time of a run in bare trio checkpoints."""
        return trio.run(ratio, BODIES[run], checkpoints)
