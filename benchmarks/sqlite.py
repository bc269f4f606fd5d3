"""Durable sessions: runs and appends a second on one SQLite file, a hundred tasks at once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from agno_rt import Agent, Message, Runtime

from .common import INSTANT

TASKS = 100
MESSAGES = (Message("user", "hello"), Message("assistant", "ok"))


async def _a_second(one: Callable[[int, int], Awaitable[None]], times: int) -> float:
    """How many calls of `one`, each told its task and its turn, a hundred tasks make a second."""

    async def task(number: int) -> None:
        for turn in range(times):
            await one(number, turn)

    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for number in range(TASKS):
            nursery.start_soon(task, number)
    return TASKS * times / (time.perf_counter() - start)


async def _runs(url: str, times: int, rounds: int) -> float:
    agent, best = Agent(INSTANT, "assistant"), 0.0
    async with Runtime(memory=url) as runtime:

        async def one(number: int, turn: int) -> None:
            await runtime.run(agent, "hello", session=f"session {number}")

        for _ in range(rounds):
            best = max(best, await _a_second(one, times))
        for number in range(TASKS):
            stored = await runtime.memory.load(f"session {number}", 0)
            assert (stored.version, stored.total) == (times * rounds, 2 * times * rounds), "a run was lost"
    return best


async def _appends(url: str, times: int, rounds: int) -> float:
    best = 0.0
    async with Runtime(memory=url) as runtime:
        memory = runtime.memory
        for round_ in range(rounds):

            async def one(number: int, turn: int, round_: int = round_) -> None:
                await memory.append(f"session {number}", MESSAGES, version=round_ * times + turn)

            best = max(best, await _a_second(one, times))
    return best


class Sessions:
    """A hundred sessions, each used by a task of its own, with SQLite's `synchronous` as named."""

    params = ("full", "normal")
    param_names = ("synchronous",)
    timeout = 300

    def track_runs_a_second(self, synchronous: str) -> float:
        """Runs of a plain agent, whose model answers at once: the best of several rounds; none is lost."""
        return self._in_a_file(_runs, synchronous)

    def track_appends_a_second(self, synchronous: str) -> float:
        """Appends of two messages, with no run around them: the best of several rounds."""
        return self._in_a_file(_appends, synchronous)

    def _in_a_file(self, body: Callable[[str, int, int], Awaitable[float]], synchronous: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return trio.run(body, f"sqlite:///{Path(folder) / 'sessions.db'}?synchronous={synchronous}", 50, 5)
