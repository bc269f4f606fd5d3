"""An approval in the middle of a workflow: the run pauses before the payment, and another program goes on with it.

A person may refuse, or be late; the workflow decides what happens then.
"""

import tempfile
from pathlib import Path

import trio

from agno_rt import Ask, Flow, Runtime, step, workflow
from agno_rt.errors import Unanswered


@step
async def reserve(item: str) -> float:
    """Reserve an item, and return the price."""
    print(f"  reserved: {item}")
    return 120.0


@step
async def pay(item: str, price: float) -> str:
    """Pay. A payment under way when the program ends is not made again: `StepUncertain`."""
    return f"paid {price:.2f} for {item}"


@step(idempotent=True)
async def release(item: str) -> str:
    """Give the item back."""
    return f"released: {item}"


@workflow
async def buy(item: str, flow: Flow) -> str:
    """Buy an item, with a person's consent if it is dear."""
    price = await reserve(item)
    try:
        agreed = price < 100 or await flow.ask(Ask(bool, f"Pay {price:.2f} for {item}?"), expires=86_400)
    except Unanswered as error:
        return f"{await release(item)} ({error.reason})"
    return await pay(item, price) if agreed else await release(item)


async def main() -> None:
    """Buy two things; a person agrees to the first, and refuses the second."""
    with tempfile.TemporaryDirectory() as folder:
        memory = f"sqlite:///{Path(folder) / 'shop.db'}"
        async with Runtime(memory=memory) as runtime:
            paused = [await runtime.run(buy, item) for item in ("a lamp", "a clock")]
        # The program may end here: the runs wait in the file.
        async with Runtime(memory=memory) as runtime:
            for run in paused:
                print(f"{run.status}: {run.approvals[0].reason}")
            await runtime.answer(paused[0].approvals[0].id, True)
            await runtime.deny(paused[1].approvals[0].id, "too dear")
            for run in paused:
                print((await runtime.resume(run.run_id, buy)).content)


if __name__ == "__main__":
    trio.run(main)
