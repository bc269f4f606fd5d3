"""An agent that gives tasks away in the background and collects the answers; then a user who changes their mind."""

import trio

from agno_rt import Agent, ModelRequest, Runtime, ToolCall
from agno_rt.errors import RunInterrupted
from agno_rt.teams import Delegates
from agno_rt.testing import ScriptedModel


async def search(request: ModelRequest) -> str:
    await trio.sleep(0.05)  # a long search
    return f"{request.messages[-1].text}: 42"


def start(call: str, task: str) -> ToolCall:
    return ToolCall(call, "start_task", {"agent": "searcher", "task": task})


searcher = Agent(ScriptedModel(search), "searcher", description="Finds numbers.")
planning = ScriptedModel(
    [
        [start("1", "Trains"), start("2", "Buses")],  # both tasks are under way after this turn
        ToolCall("3", "check_tasks"),
        ToolCall("4", "collect_task", {"task": "searcher-1"}),
        "Trains are done.",  # the answer waits for the other task
        lambda request: f"Found all:\n{request.messages[-1].text}",
    ]
)
planner = Agent(planning, "planner", tools=[Delegates([searcher], background=True)])


async def main() -> None:
    async with Runtime() as rt:
        print((await rt.run(planner, "How many trains and buses?")).content)

        # The user asks for something else before the answer is there.
        slow = await rt.start(searcher, "Ships", session="ann")
        await trio.sleep(0.01)
        quick = await rt.run(Agent(ScriptedModel(["7 ferries"])), "No, ferries.", session="ann", busy="interrupt")
        try:
            await slow.wait()
        except RunInterrupted as stopped:
            print(stopped.code, "and", quick.content)
        print([message.text for message in (await rt.memory.load("ann")).messages])


if __name__ == "__main__":
    trio.run(main)
