"""openai-agents, with both of OpenAI's formats. Run in the environment of the clients."""

from __future__ import annotations

import asyncio
import json
import sys

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel


class Place(BaseModel):
    """A city and the temperature."""

    city: str
    degrees: int


@function_tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


async def judge(url: str) -> dict[str, object]:
    """Ask, stream, call a tool, go on, and read a typed answer, in each format."""
    set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none")
    found: dict[str, object] = {}
    for name, kind in (("chat", OpenAIChatCompletionsModel), ("responses", OpenAIResponsesModel)):
        model = kind("echo", client)
        plain = Agent("plain", instructions="Be brief.", model=model)
        first = await Runner.run(plain, "One.")
        second = await Runner.run(plain, [*first.to_input_list(), {"role": "user", "content": "Two."}])
        streaming = Runner.run_streamed(plain, "One.")
        pieces = [
            event.data.delta
            async for event in streaming.stream_events()
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
        ]
        calling = Agent("calling", model=model, tools=[weather])
        called = await Runner.run(calling, "Weather?")
        again = Runner.run_streamed(calling, "Weather?")
        async for _ in again.stream_events():
            pass
        typed = await Runner.run(Agent("typed", model=model, tools=[weather], output_type=Place), "Where?")
        thought = await Runner.run(Agent("thinker", model=kind("thinker", client)), "What time is it?")
        found[name] = {
            "first": first.final_output,
            "second": second.final_output,
            "pieces": "".join(pieces),
            "several": len(pieces) > 1,
            "called": called.final_output,
            "streamed": again.final_output,
            "typed": typed.final_output.model_dump(),
            "thought": thought.final_output,
        }
    chained = Agent("chained", model=OpenAIResponsesModel("echo", client))
    first = await Runner.run(chained, "One.")
    second = await Runner.run(chained, "Two.", previous_response_id=first.last_response_id)
    found["chained"] = second.final_output
    return found


print(json.dumps(asyncio.run(judge(sys.argv[1]))))
