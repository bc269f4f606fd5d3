"""The agents of the tests' server. `AGNO_TEST_LOG` names a file to which tools append what happens to them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import attrs
import trio

from agno_rt import Agent, Ask, Flow, ModelResponse, RunContext, Team, ToolCall, media, step, tool, workflow
from agno_rt.errors import ModelError
from agno_rt.models import ModelRequest
from agno_rt.testing import ScriptedModel

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001e221bc33"
    "0000000049454e44ae426082"
)

print("a print of the project, which is not a message")


def write_log(line: str) -> None:
    """Append a line to the log."""
    with Path(os.environ["AGNO_TEST_LOG"]).open("a") as log:
        log.write(f"{line}\n")


@attrs.define
class Trip:
    """A trip."""

    city: str
    days: int


@attrs.define
class Size:
    """A size."""

    size: Literal["small", "large"]
    count: int = 1


@tool(read_only=True)
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(destructive=True, approve=True)
async def wipe(path: str) -> str:
    """Delete a file."""
    write_log(f"wiped {path}")
    return f"{path} is gone"


@tool(approve=True)
async def guarded(word: str) -> str:
    """Say a word, after a person agreed."""
    return f"said {word}"


@tool
async def hang(context: RunContext) -> str:
    """Wait for ever."""
    write_log("hangs")
    await context.progress({"progress": 1, "total": 3, "message": "one third"})
    try:
        await trio.sleep_forever()
    finally:
        write_log("was cancelled")


@tool
async def draw() -> list[object]:
    """Draw a picture."""
    return ["a dot", media.image(PNG)]


@tool
async def fail() -> str:
    """Fail."""
    raise ValueError("the disk is full")


def respond_echo(request: ModelRequest) -> ModelResponse:
    """Repeat the input, with the number of messages seen."""
    return ModelResponse(f"{len(request.messages)}: {request.messages[-1].text}")


def call_first(request: ModelRequest) -> ModelResponse:
    """Call the agent's first tool with the input as its only argument, and repeat the result."""
    last = request.messages[-1]
    if last.role == "tool":
        return ModelResponse(f"The tool said: {last.text}")
    first = request.tools[0]
    names = list(first.parameters.get("properties", {}))
    arguments = f'{{"{names[0]}": "{last.text}"}}' if names else "{}"
    return ModelResponse(tool_calls=(ToolCall("1", first.name, arguments),))


def refuse(request: ModelRequest) -> ModelResponse:
    """Fail as a provider does."""
    raise ModelError("the key sesame is wrong", provider="test", status=401)


echo = Agent(ScriptedModel(respond_echo), "echo", description="Repeats what you say.")
typed = Agent(ScriptedModel(lambda request: '{"city": "Seoul", "days": 3}'), "typed", output=Trip)
counts = Agent(ScriptedModel(lambda request: '{"value": [1, 2]}'), "counts", output=list[int])
cleaner = Agent(ScriptedModel(call_first), "cleaner", tools=[wipe], description="Deletes files.")
slow = Agent(ScriptedModel(call_first), "slow", tools=[hang])
broken = Agent(ScriptedModel(refuse), "broken")
helper = Agent(ScriptedModel(respond_echo), "helper", tools=[add, guarded, draw, fail])
office = Team([cleaner], "sequence", name="office")
pair = Team([echo, helper], "broadcast", name="pair", model=ScriptedModel(respond_echo))


@step
async def ship(order: str) -> str:
    """Ship an order."""
    return f"shipped {order}"


@workflow
async def sizes(topic: str, flow: Flow) -> str:
    """Ask for a size."""
    found = await flow.ask(Ask(Size, f"Which size of {topic}?"))
    return await ship(f"{found.count} {found.size} {topic}")


@workflow
async def order(item: str, flow: Flow, count: int = 1) -> dict[str, str | int]:
    """Order an item."""
    return {"item": item, "count": count}
