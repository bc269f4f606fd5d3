"""A run that waits for a person: to approve one call, to give a phone number, to carry out a third call herself.

The paused run is in a file, without a process; another runtime resumes the run. The model is scripted.
"""

import tempfile
from pathlib import Path

import trio

from agno_rt import Agent, RunResult, Runtime, ToolCall, tool
from agno_rt.context import FromUser
from agno_rt.testing import ScriptedModel


def costly(amount: int) -> str:
    """Return the reason to ask a person; an empty text means: do not ask."""
    return f"{amount} is more than 100" if amount > 100 else ""


@tool(approve=costly, expires=24 * 3600)
def refund(order: str, amount: int) -> str:
    """Give a customer the money back."""
    return f"{amount} refunded for {order}"


@tool
def notify(text: str, phone: FromUser[str]) -> str:
    """Send the customer a text.

    Args:
        text: what to say
        phone: the customer's number
    """
    return f"sent to {phone}: {text}"


@tool(external=True)
def inspect(order: str) -> None:
    """Have somebody inspect the returned box. The function is never called."""


model = ScriptedModel(
    [
        [
            ToolCall("1", "refund", '{"order": "A1", "amount": 20}'),
            ToolCall("2", "refund", '{"order": "B2", "amount": 500}'),
        ],
        [ToolCall("3", "notify", '{"text": "It is on its way."}'), ToolCall("4", "inspect", '{"order": "B2"}')],
        "Both orders are refunded, and the customer knows.",
    ]
)
desk = Agent(model, "desk", tools=[refund, notify, inspect])


async def decide(runtime: Runtime, result: RunResult) -> None:
    """Decide as a person would in a form, or with `agno-rt approvals` on the command line."""
    for approval in result.approvals:
        print(f"  {approval.kind}: {approval.call.name}({approval.call.arguments}) {approval.reason}".rstrip())
        if approval.kind == "approval":
            await runtime.approve(approval.id, {"order": "B2", "amount": 450}, by="ann")
        elif approval.kind == "input":
            await runtime.answer(approval.id, {"phone": "555-0100"})
        else:
            await runtime.answer(approval.id, "The box was never opened.")


async def main() -> None:
    """Resume until there is an answer, each time in a new runtime."""
    with tempfile.TemporaryDirectory() as folder:
        memory = f"sqlite:///{Path(folder) / 'desk.db'}"
        async with Runtime(memory=memory) as runtime:
            result = await runtime.run(desk, "Refund A1 and B2.", session="tuesday")
        while result.status == "paused":
            print(f"run {result.run_id[:6]} waits:")
            async with Runtime(memory=memory) as runtime:
                await decide(runtime, result)
                result = await runtime.resume(result.run_id, desk)
        for message in result.messages:
            if message.role == "tool":
                print(f"{message.name}: {message.text}")
        print(result.content)


if __name__ == "__main__":
    trio.run(main)
