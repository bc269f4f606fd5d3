"""The agents for the tests of the page. The question tells the model what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import trio

from agno_rt import Agent, Ask, Flow, MemoryPolicy, ModelResponse, Team, ToolCall, tool, workflow
from agno_rt.context import FromUser
from agno_rt.errors import ModelError
from agno_rt.events import ReasoningDelta, TextDelta, TurnRestarted
from agno_rt.messages import Message, Usage


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"<b>17 degrees</b> in {city}"


@tool(approve=True)
def delete_file(path: str, force: bool = False) -> str:
    """Delete a file for good.

    Args:
        path: the file
        force: whether it goes even if it is open
    """
    return f"deleted {path}, {force}"


@tool(approve=True, expires=0.5)
def refund(order: str) -> str:
    """Give the money back."""
    return f"refunded {order}"


@tool
def notify(text: str, phone: FromUser[str], place: FromUser[Literal["home", "work"]] = "home") -> str:
    """Send the customer a text.

    Args:
        text: what to say
        phone: the customer's number
        place: which number that is
    """
    return f"sent to {phone} ({place}): {text}"


@tool(external=True)
def inspect(order: str) -> None:
    """Have somebody look at what came back."""


CALLS = {
    "weather": [ToolCall("c1", "weather", '{"city": "Seoul"}')],
    "delete": [ToolCall("d1", "delete_file", '{"path": "a.txt"}')],
    "delete both": [
        ToolCall("d1", "delete_file", '{"path": "a.txt"}'),
        ToolCall("d2", "delete_file", '{"path": "b.txt"}'),
    ],
    "refund": [ToolCall("r1", "refund", '{"order": "A1"}')],
    "notify": [ToolCall("n1", "notify", '{"text": "It is on its way."}')],
    "inspect": [ToolCall("i1", "inspect", '{"order": "B2"}')],
}


class Model:
    """A model by rote: calls the tools that the question names, or repeats the text after `say `."""

    name = "test"

    async def respond(self, request: Any, emit: Any = None) -> ModelResponse:  # noqa: PLR0911 - a case each
        """Answer the last message."""
        last: Message = request.messages[-1]
        if last.role == "tool":
            told = [message.text for message in request.messages if message.role == "tool"]
            return await self._say("Told: " + "; ".join(told), emit)
        if last.media:
            return await self._say("Seen: " + ", ".join(f"{one.kind} {one.media_type}" for one in last.media), emit)
        if last.text in CALLS:
            return ModelResponse(tool_calls=tuple(CALLS[last.text]), usage=Usage(10, 5))
        if last.text == "say nothing":
            return ModelResponse("")
        if last.text == "fail":
            raise ModelError("the model is away", hint="Wait for it.")
        if last.text == "stumble":
            await emit(ReasoningDelta("Wrong thought."))
            await emit(TextDelta("Wrong words."))
            await emit(TurnRestarted("the line was cut"))
            await emit(ReasoningDelta("Right thought."))
            return await self._say("Right words.", emit, "Right thought.")
        said = ""
        async for piece in self._slow(last.text):
            said += piece
            await emit(TextDelta(piece))
        if said:
            return ModelResponse(said)
        if last.text.startswith("say "):
            return await self._say(last.text.removeprefix("say "), emit)
        asked = [message.text for message in request.messages if message.role == "user"]
        return await self._say(f"You said {' / '.join(asked)}.", emit)

    async def _slow(self, text: str) -> AsyncIterator[str]:
        if text == "countdown":
            for number in range(60):
                yield f"number {number} "
                await trio.sleep(0.1)
            yield "the end"
        for number in range(10**6 if text in ("endless", "paragraphs") else 0):
            yield "on and " if text == "endless" else f"This is **paragraph** {number} of very many.\n\n"
            await trio.sleep(0.02)

    async def _say(self, text: str, emit: Any, reasoning: str = "") -> ModelResponse:
        for at in range(0, len(text) if emit is not None else 0, 5):
            await emit(TextDelta(text[at : at + 5]))
        return ModelResponse(text, reasoning=reasoning, usage=Usage(1200, 34, cost=0.0021))


plain = Agent(Model(), "plain", "A secret instruction.", description="Answers plainly.")
forecaster = Agent(Model(), "forecaster", "You know the weather.", tools=[weather])
keeper = Agent(Model(), "keeper", "You keep files.", tools=[delete_file, refund, notify, inspect])
clerk = Agent(Model(), "clerk", "You keep books.", memory=MemoryPolicy(journal=True))
readers = Team(
    [Agent(Model(), name, memory=MemoryPolicy(journal=True), tools=[weather]) for name in ("ann", "bob")],
    "broadcast",
    name="readers",
    description="Two who answer at the same time.",
    memory=MemoryPolicy(journal=True),
)


@workflow(name="waiter", memory=MemoryPolicy(journal=True))
async def waiter(flow: Flow) -> str:
    """Run two branches, one of which goes on until it is cancelled."""
    async with flow.group("both") as group:
        group.start(flow.run, clerk, "endless")
        group.start(flow.run, plain, "say hello")
    return "never"


@workflow(name="mailroom", memory=MemoryPolicy(journal=True))
async def mailroom(flow: Flow) -> str:
    """Wait for a mail."""
    return f"Received {await flow.signal('mail')}."


@workflow(name="sleeper", memory=MemoryPolicy(journal=True))
async def sleeper(flow: Flow) -> str:
    """Sleep for an hour."""
    await flow.sleep(3600)
    return "awake"


@workflow(name="seller", memory=MemoryPolicy(journal=True))
async def seller(item: str, flow: Flow) -> str:
    """Ask whether to sell."""
    return "sold" if await flow.ask(Ask(bool, f"Sell {item}?")) else "kept"
