"""A run that reaches a limit loses nothing: the error names the limit and has the messages so far."""

import trio

from agno_rt import Agent, Limits, Runtime, ToolCall, tool
from agno_rt.errors import LimitExceeded
from agno_rt.testing import ScriptedModel


@tool
async def search(query: str) -> str:
    """Search for something."""
    return f"nothing about {query}"


model = ScriptedModel([ToolCall(f"{at}", "search", f'{{"query": "try {at}"}}') for at in range(3)])
restless = Agent(model, "restless", tools=[search], limits=Limits(turns=3, tool_timeout=5.0))


async def main() -> None:
    """Run an agent that never comes to an end."""
    async with Runtime() as runtime:
        try:
            await runtime.run(restless, "Find it.")
        except LimitExceeded as error:
            print("stopped by the limit:", error.limit)
            print("messages so far:", len(error.result.messages))


if __name__ == "__main__":
    trio.run(main)
