"""pydantic-ai, with both of OpenAI's formats. Run in the environment of the clients, with the server's address."""

from __future__ import annotations

import asyncio
import json
import sys

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class Place(BaseModel):
    """A city and the temperature."""

    city: str
    degrees: int


def read_thought(part: ThinkingPart) -> str:
    """Return the reasoning: responses have raw content beside an empty summary."""
    return part.content or "".join((part.provider_details or {}).get("raw_content", ()))


async def judge(url: str) -> dict[str, object]:
    """Ask, stream, call a tool, go on, and read a typed answer, in each format."""
    provider = OpenAIProvider(base_url=f"{url}/v1", api_key="none")
    found: dict[str, object] = {}
    for name, kind in (("chat", OpenAIChatModel), ("responses", OpenAIResponsesModel)):
        plain = Agent(kind("echo", provider=provider), instructions="Be brief.")
        first = await plain.run("One.")
        second = await plain.run("Two.", message_history=first.all_messages())
        async with plain.run_stream("One.") as stream:
            pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
        calling = Agent(kind("echo", provider=provider))

        @calling.tool_plain
        def weather(city: str) -> str:
            """Tell the weather in a city."""
            return f"sunny in {city}"

        called = await calling.run("Weather?")
        async with calling.run_stream("Weather?") as stream:
            streamed = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
        typed = await Agent(kind("echo", provider=provider), output_type=NativeOutput(Place)).run("Where?")
        thought = await Agent(kind("thinker", provider=provider)).run("What time is it?")
        found[name] = {
            "first": first.output,
            "second": second.output,
            "pieces": "".join(pieces),
            "several": len(pieces) > 1,
            "called": called.output,
            "streamed": "".join(streamed),
            "typed": typed.output.model_dump(),
            "thought": thought.output,
            "thinking": [
                read_thought(part) for part in thought.new_messages()[-1].parts if part.part_kind == "thinking"
            ],
            "tokens": [first.usage.input_tokens, first.usage.output_tokens],
        }
    return found


print(json.dumps(asyncio.run(judge(sys.argv[1]))))
