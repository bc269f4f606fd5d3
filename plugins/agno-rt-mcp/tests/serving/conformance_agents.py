"""The tools that the protocol's conformance suite calls, and an agent that holds them."""

from __future__ import annotations

import wave
from io import BytesIO
from typing import Any, Literal

import attrs

from agno_rt import Agent, FromUser, RunContext, media, tool
from agno_rt.testing import ScriptedModel

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001e221bc33"
    "0000000049454e44ae426082"
)


def make_wav() -> bytes:
    """Return a hundredth of a second of silence."""
    made = BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(160))
    return made.getvalue()


@attrs.define
class Person:
    """A person."""

    username: str
    email: str


@attrs.define
class Profile:
    """A profile with defaults."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


@tool
async def test_simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


@tool
async def test_image_content() -> list[Any]:
    """Return an image."""
    return [media.image(PNG)]


@tool
async def test_audio_content() -> list[Any]:
    """Return a sound."""
    return [media.audio(make_wav())]


@tool
async def test_embedded_resource() -> list[Any]:
    """Return a file."""
    return [media.file(b"%PDF-1.4 a file", name="file.pdf")]


@tool
async def test_multiple_content_types() -> list[Any]:
    """Return a text, an image and a file."""
    return ["Multiple content types test:", media.image(PNG), media.file(b"%PDF-1.4 a file", name="file.pdf")]


@tool
async def test_error_handling() -> str:
    """Fail."""
    raise ValueError("This tool intentionally returns an error for testing")


@tool
async def test_tool_with_progress(context: RunContext) -> str:
    """Report progress three times."""
    for done in (0, 50, 100):
        await context.progress({"progress": done, "total": 100})
    return "done"


@tool
async def test_elicitation(message: str, answer: FromUser[Person]) -> str:
    """Ask the user."""
    return f"User response: {answer.username}"


@tool
async def test_elicitation_sep1034_defaults(answer: FromUser[Profile]) -> str:
    """Ask the user, with defaults."""
    return f"Elicitation completed: {answer}"


@tool
async def plain(name: str = "", address: str = "") -> str:
    """Keep a schema as it is."""
    return name


json_schema_2020_12_tool = attrs.evolve(
    plain,
    name="json_schema_2020_12_tool",
    parameters={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}
        },
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "additionalProperties": False,
    },
)

holder = Agent(
    ScriptedModel(lambda request: "done"),
    "holder",
    tools=[
        test_simple_text,
        test_image_content,
        test_audio_content,
        test_embedded_resource,
        test_multiple_content_types,
        test_error_handling,
        test_tool_with_progress,
        test_elicitation,
        test_elicitation_sep1034_defaults,
        json_schema_2020_12_tool,
    ],
)
