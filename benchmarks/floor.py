"""The floor of a run: a straightforward loop of a few lines, which has the one checkpoint and none of what a run adds.

It knows no limits, no errors, no events, no plugins, and keeps no session but a list. What the page says of floors is
measured with it.
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
    """A message, with as much in it as one of agno_rt's."""

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
    """What the model is asked."""

    messages: tuple[Message, ...]
    tools: Sequence[Any]


@attrs.define
class Response:
    """What it answers."""

    content: str = ""
    calls: tuple[Call, ...] = ()


@attrs.define
class Result:
    """What comes of a run."""

    id: str
    status: str
    content: str
    messages: tuple[Message, ...]


class Arguments(msgspec.Struct):
    """What the tool takes."""

    number: int


ANSWER, CALL = Response("ok"), Response("", (Call("call", "double", '{"number": 21}'),))


class Instant:
    """Answers at once."""

    async def respond(self, request: Request) -> Response:
        """Answer."""
        return ANSWER


class Calling:
    """Calls the tool, then answers."""

    async def respond(self, request: Request) -> Response:
        """Call it, or answer."""
        return ANSWER if request.messages[-1].role == "tool" else CALL


@attrs.define
class Agent:
    """An agent, with as many fields as one of agno_rt's."""

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
    """The loop: ask the model, carry out its calls, until it answers."""
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
    """A new agent each, one turn."""
    for _ in range(times):
        await run(Agent(INSTANT, "assistant"), "hello")


async def with_tool(times: int) -> None:
    """A new agent each, one call and two turns."""
    for _ in range(times):
        await run(Agent(CALLING, "assistant", "", (double,)), "hello")


async def in_session(times: int) -> None:
    """One agent, whose model is shown the last hundred messages of a list, to which is added."""
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
        """How many bare checkpoints it takes as long as."""
        return trio.run(ratio, BODIES[run], checkpoints)
