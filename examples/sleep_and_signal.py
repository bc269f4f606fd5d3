"""A workflow that sleeps and waits for a signal. It holds no task meanwhile, and the program may end.

A shop waits for the carrier's message, then reminds the customer after a while.
"""

import tempfile
from pathlib import Path

import trio

from agno_rt import Flow, Runtime, step, workflow


@step(idempotent=True)
async def send(mail: str) -> None:
    """Send a mail."""
    print(f"  mail: {mail}")


@workflow
async def follow(order: str, flow: Flow) -> str:
    """Follow an order until the customer has rated it."""
    await send(f"{order} is on its way")
    delivery = await flow.signal("delivered")
    await flow.sleep(0.2)  # three days, in a real shop; a resumed run waits for the rest only
    await send(f"how was {order}, left at {delivery['place']}?")
    rating = await flow.signal("rated")
    return f"{order}: {rating} stars"


async def main() -> None:
    """Run until the first signal is missing, send it from another program, and so on."""
    with tempfile.TemporaryDirectory() as folder:
        memory = f"sqlite:///{Path(folder) / 'orders.db'}"
        async with Runtime(memory=memory) as runtime:
            run = await runtime.run(follow, "a lamp")
            print(f"{run.status}, waits for the carrier")
        for name, value in {"delivered": {"place": "the door"}, "rated": 5}.items():
            async with Runtime(memory=memory) as runtime:
                await runtime.signal(run.run_id, name, value)
                run = await runtime.resume(run.run_id, follow)
                print(f"{run.status} after {name!r}")
        print(run.content)


if __name__ == "__main__":
    trio.run(main)
