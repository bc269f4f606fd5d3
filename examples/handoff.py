"""A conversation that moves from one agent to another, and stays there in the next turns of the session."""

import trio

from agno_rt import Agent, Runtime, Team, ToolCall
from agno_rt.teams import Handoff
from agno_rt.testing import ScriptedModel

to_billing = ToolCall("1", "hand_over", {"to": "billing", "reason": "an invoice is wrong"})
to_greeter = ToolCall("1", "hand_over", {"to": "greeter", "reason": "all is paid"})

greeter = Agent(ScriptedModel(["Hello Ann.", to_billing, "Goodbye Ann."]), "greeter")
billing = Agent(ScriptedModel(["Which invoice is it?", "I have sent it again.", to_greeter]), "billing")

# Each edge holds in both directions, so that billing may hand back.
desk = Team([greeter, billing], Handoff(start=greeter, edges={greeter: [billing]}, back=True), name="desk")


async def main() -> None:
    """Send four messages in one session."""
    async with Runtime() as rt:
        for text in ("Hello.", "My invoice is wrong.", "Number 7.", "Thank you, that is all."):
            result = await rt.run(desk, text, session="ann")
            print(f"{result.messages[-1].name}: {result.content}")


if __name__ == "__main__":
    trio.run(main)
