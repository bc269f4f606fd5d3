"""Tool results for the model: text unchanged, media as media, other values as JSON."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import types
from pathlib import PurePosixPath
from typing import Any, TypedDict

import attrs
import msgspec
import pytest

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt.events import Event, ToolEnded
from agno_rt.media import image
from agno_rt.messages import Content, Media
from agno_rt.testing import ScriptedModel
from tests.tool_helpers import calls_of, job_of, listening, told_of

DOT = image(b"\x89PNG\r\n\x1a\n" + bytes(32), name="dot.png")


@attrs.define
class Point:
    """An attrs class."""

    x: int
    y: int = 0


@dataclasses.dataclass
class Box:
    """A data class with an attrs class inside."""

    corner: Point


class Record(msgspec.Struct):
    """A Struct."""

    name: str


class Options(TypedDict):
    """A typed dictionary."""

    loud: bool


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


async def told(value: Any) -> Content:
    """Return the content for a tool's return value."""

    @tool(inline=True)
    def give() -> Any:
        """Return the value."""
        return value

    [content] = await told_of(job_of(give), calls_of("give", "{}"))
    return content


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("as it is", "as it is"),
        ("Grüße", "Grüße"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ([], "[]"),
        (["a", "b"], '["a","b"]'),
        (Point(1), '{"x":1,"y":0}'),
        (Box(Point(1, 2)), '{"corner":{"x":1,"y":2}}'),
        (Record("x"), '{"name":"x"}'),
        (Options(loud=True), '{"loud":true}'),
        ({"a": Colour.RED}, '{"a":"red"}'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        (PurePosixPath("a/b"), '"a/b"'),
        (types.MappingProxyType({"a": 1}), '{"a":1}'),
        (collections.deque([1, 2]), "[1,2]"),
        (range(3), "[0,1,2]"),
        (b"\x00", '"AA=="'),
    ],
)
async def test_values(value: Any, content: str) -> None:
    """Text goes unchanged, and other values go as JSON."""
    assert await told(value) == content


@pytest.mark.parametrize(
    ("value", "content"),
    [(DOT, (DOT,)), (["a dot", DOT], ("a dot", DOT)), ((DOT, "a dot", DOT), (DOT, "a dot", DOT))],
)
async def test_media(value: Any, content: Content) -> None:
    """Media, alone or among texts, become parts of the message."""
    assert await told(value) == content


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (object(), "TypeError: it returned something of type object"),
        ({"a": [object()]}, "something of type object"),
        ({(1, 2): 3}, "TypeError"),
        ([DOT, 5], "part 1 of a message is int"),
        (Media("image", "image/png"), "neither data nor a URL"),
    ],
)
async def test_what_cannot_be_told(value: Any, complaint: str) -> None:
    """An invalid result fails the tool, and the model gets the result's type."""
    content = await told(value)

    assert isinstance(content, str)
    assert content.startswith("give failed: ")
    assert complaint in content


async def test_a_coroutine() -> None:
    """A returned coroutine is awaited. A coroutine inside a value is a failure, without a warning about a missing
    await."""

    async def inner() -> str:
        return "awaited"

    assert await told(inner()) == "awaited"
    assert "`async def`" in str(await told([inner()]))


async def test_characters_that_are_no_unicode() -> None:
    """Invalid characters are replaced, so that the model gets the rest of the text."""
    assert await told("a\udcffb") == "a?b"
    assert await told(["a\udcffb", DOT]) == ("a?b", DOT)


async def test_an_exception_whose_text_is_no_unicode() -> None:
    """Invalid characters in an exception's text are replaced, such as in a file's name."""

    @tool(inline=True)
    def read() -> str:
        """Fail."""
        raise OSError("no file a\udcff")

    assert await told_of(job_of(read), calls_of("read", "{}")) == ["read failed: OSError: no file a?"]


async def test_media_in_events_are_described() -> None:
    """The event for the end of a call has media as text."""
    events: list[Event] = []

    @tool(inline=True)
    def draw() -> list[str | Media]:
        """Draw."""
        return ["a dot", DOT]

    await told_of(job_of(draw, emitter=listening(events)), calls_of("draw", "{}"))

    assert isinstance(events[-1], ToolEnded)
    assert events[-1].content == "a dot\n[image dot.png, 40 bytes]"


async def test_media_reach_the_model() -> None:
    """The next request of the run has the media."""

    @tool(inline=True)
    def draw() -> Media:
        """Draw."""
        return DOT

    with ScriptedModel([ToolCall("1", "draw"), "a dot"]) as model:
        async with Runtime() as rt:
            result = await rt.run(Agent(model, tools=[draw]), "Draw!")

    assert model.requests[1].messages[-1].media == (DOT,)
    assert result.content == "a dot"
