"""The value of a pool: taking an agent from the pool, against making a new one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from agno_rt import Agent, tool

from .common import INSTANT, Parts, Times, double, measured_in, ratio, seconds

with Parts() as setup:
    from agno_rt.pool import AgentPool, Pool

OPENING_SECONDS = 0.001


class Connection:
    """An object that takes a millisecond to open, as a connection to another machine or a small process does."""

    async def open(self) -> None:
        """Open the connection."""
        await trio.sleep(OPENING_SECONDS)


@asynccontextmanager
async def connected() -> AsyncIterator[Agent]:
    """Yield an agent with a tool that closes over a new connection."""
    connection = Connection()
    await connection.open()

    @tool(inline=True)
    def ask(number: int) -> bool:
        """Ask over the connection."""
        return bool(connection)

    yield Agent(INSTANT, "assistant", "", (ask,))


def plain() -> Agent:
    """Make an agent without needs."""
    return Agent(INSTANT, "assistant", "", (double,))


async def make_plain(times: int) -> None:
    """Make agents without needs."""
    for _ in range(times):
        plain()


async def make_connected(times: int) -> None:
    """Make agents with a connection each."""
    for _ in range(times):
        async with connected():
            pass


def taking(pool: Pool[Agent]) -> Times:
    """Return a body for taking agents from the pool."""

    async def take(times: int) -> None:
        for _ in range(times):
            async with pool.take():
                pass

    return take


MAKERS: dict[str, tuple[Callable[[], Pool[Agent]], Times]] = {
    "plain agents": (lambda: AgentPool(4, plain), make_plain),
    "agents with a connection": (lambda: AgentPool(4, connected), make_connected),
}


class Take:
    """An agent taken from a pool with an idle one, and given back."""

    params = tuple(MAKERS)
    param_names = ("agents",)

    @measured_in("x")
    def track_ratio_to_making(self, agents: str) -> float:
        """Time of taking relative to making: below 1, the pool pays."""
        make_pool, make = MAKERS[agents]

        async def main() -> float:
            async with make_pool() as pool:
                return await ratio(taking(pool), make, times=100)

        return trio.run(main)

    @measured_in("µs")
    def track_microseconds(self, agents: str) -> float:
        """Time of taking: the best of several rounds."""

        async def main() -> float:
            async with MAKERS[agents][0]() as pool:
                return await seconds(taking(pool)) * 1e6

        return trio.run(main)


class Contended:
    """Four agents shared by twenty tasks."""

    @measured_in("µs")
    def track_microseconds_a_turn(self) -> float:
        """Time to hand an agent to the next waiting task, with the checkpoint of its use."""

        async def use(pool: Pool[Agent], times: int) -> None:
            for _ in range(times):
                async with pool.take():
                    await trio.lowlevel.checkpoint()

        async def main() -> float:
            best = float("inf")
            async with AgentPool(4, plain) as pool:
                for _ in range(5):
                    start = time.perf_counter()
                    async with trio.open_nursery() as nursery:
                        for _ in range(20):
                            nursery.start_soon(use, pool, 100)
                    best = min(best, time.perf_counter() - start)
            return best / 2_000 * 1e6

        return trio.run(main)
