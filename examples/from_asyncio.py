"""An asyncio program that runs agents: FastAPI, a notebook or a bot would do the same."""

import asyncio
from contextvars import ContextVar

from agno_rt import Agent, ModelRequest, ModelResponse, ToolCall, tool
from agno_rt.events import TextDelta
from agno_rt.from_asyncio import AsyncioRuntime, to_asyncio
from agno_rt.testing import ScriptedModel

caller = ContextVar("caller", default="nobody")


@tool
@to_asyncio
async def lookup(city: str) -> str:
    """The weather in a city, from a client that knows asyncio alone."""
    await asyncio.sleep(0.01)
    return f"sunny in {city}, said {caller.get()}"


def answer(request: ModelRequest) -> ModelResponse | ToolCall:
    """Stand in for a language model: call the tool, then repeat the result."""
    last = request.messages[-1]
    if last.role == "tool":
        return ModelResponse(f"It is {last.text}.")
    return ToolCall("1", "lookup", f'{{"city": "{last.text}"}}')


assistant = Agent(ScriptedModel(answer), "assistant", tools=[lookup])


async def main() -> None:
    """Ask for two cities at once, stream a third, and give up on a fourth."""
    caller.set("Ann")
    async with AsyncioRuntime() as rt:
        results = await asyncio.gather(*(rt.run(assistant, city) for city in ("Seoul", "Oslo")))
        print(*(result.content for result in results))

        async with rt.stream(assistant, "Lima") as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    print(event.text, end="", flush=True)
        print()

        try:
            async with asyncio.timeout(0.001):
                await rt.run(assistant, "Rome")
        except TimeoutError:
            print("gave up; the run and its tool have ended")


if __name__ == "__main__":
    asyncio.run(main())
