"""A workflow that fails goes on where it stopped, and a step that may have been done is not done twice."""

import trio

from agno_rt import Flow, Runtime, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import StepFailed, StepUncertain

stock = {"tea": 1}


@step
async def charge(customer: str) -> str:
    """Charge a card, which must not happen twice."""
    print(f"  {customer} is charged")
    return f"receipt of {customer}"


@step(idempotent=True)
async def pack(item: str) -> str:
    """Pack an item. Packing twice would do no harm."""
    if not stock.get(item):
        raise LookupError(f"no {item} in stock")
    return f"a box of {item}"


@step
async def ship(box: str) -> str:
    """Hand the box over. The first time, the program dies here."""
    if box not in shipped:
        shipped.append(box)
        raise KeyboardInterrupt
    return f"{box} is shipped"


shipped: list[str] = []


@workflow
async def order(item: str, flow: Flow) -> list[str]:
    """Carry out an order for several things at once."""
    receipt = await charge("ann")
    boxes = await flow.map(pack, [item, "milk"], key=str)
    try:
        sent = await ship(boxes[0])
    except StepUncertain as error:
        sent = f"ask the carrier: {error.path}"
    return [receipt, *boxes, sent]


async def main() -> None:
    """Run, fill the stock, resume, die, and resume again."""
    memory = InProcessMemory()
    async with Runtime(memory=memory) as runtime:
        try:
            await runtime.run(order, "tea")
        except StepFailed as error:
            print(f"{error.path}: {error.message}")
            run = error.result.run_id
    stock["milk"] = 1
    try:
        async with Runtime(memory=memory) as runtime:
            await runtime.resume(run, order)
    except KeyboardInterrupt:
        print("the program died")
    async with Runtime(memory=memory) as runtime:
        result = await runtime.resume(run, order)
    print(result.output)


if __name__ == "__main__":
    trio.run(main)
