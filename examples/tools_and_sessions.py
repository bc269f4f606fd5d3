"""Tools, a session and a stream of events. The model is scripted, so each time prints the same."""

import trio

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt.events import TextDelta, ToolEnded
from agno_rt.testing import ScriptedModel


@tool
async def weather(city: str) -> str:
    """Current weather in a city."""
    await trio.sleep(0.01)  # where a real tool would ask a service
    return f"{city}: 21 degrees, clear"


model = ScriptedModel(
    [
        [ToolCall("1", "weather", '{"city": "Seoul"}'), ToolCall("2", "weather", '{"city": "Busan"}')],
        "It is clear in both.",
        "You asked about Seoul and Busan.",
    ]
)
assistant = Agent(model, "assistant", tools=[weather])


async def main() -> None:
    """Ask twice in one session: the second answer needs the history."""
    async with Runtime() as runtime:
        async with runtime.stream(assistant, "What is it like in Seoul and Busan?", session="alice") as events:
            async for event in events:
                if isinstance(event, ToolEnded):
                    print("tool:", event.content)
                elif isinstance(event, TextDelta):
                    print(event.text, end="", flush=True)
        print()
        result = await runtime.run(assistant, "What did I ask about?", session="alice")
        print(result.content)


if __name__ == "__main__":
    trio.run(main)
