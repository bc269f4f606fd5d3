"""Durable sessions on one SQLite file: runs and appends a second, a hundred at once, and statements of a run."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

import trio

from agno_rt import Agent, Message, Runtime
from agno_rt.memory import MemoryPolicy
from agno_rt.testing import ScriptedModel

from .common import INSTANT, Times, exact, few, in_runtime, measured_in, remember, seconds, sizes, sqlite_url
from .counting import Statements, statements

TASKS = 100
STEPS = 3
PIECES = 1_000
MESSAGES = (Message("user", "hello"), Message("assistant", "ok"))


async def measure_rate(one: Callable[[int, int], Awaitable[None]], times: int) -> float:
    """Return the calls of `one` a second in a hundred tasks; each call gets the numbers of its task and turn."""

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
            best = max(best, await measure_rate(one, times))
        for number in range(TASKS):
            stored = await runtime.memory.load(f"session {number}", 0)
            assert (stored.version, stored.total) == (times * rounds, 2 * times * rounds), "a run was lost"
    return best


async def _append_all(url: str, times: int, rounds: int) -> float:
    best = 0.0
    async with Runtime(memory=url) as runtime:
        memory = runtime.memory
        for round_ in range(rounds):

            async def one(number: int, turn: int, round_: int = round_) -> None:
                await memory.append(f"session {number}", MESSAGES, version=round_ * times + turn)

            best = max(best, await measure_rate(one, times))
    return best


class Sessions:
    """A hundred sessions, each used by a task of its own, with SQLite's `synchronous` as named."""

    params = ("full", "normal")
    param_names = ("synchronous",)
    timeout = 300

    @measured_in("runs/s")
    def track_runs_a_second(self, synchronous: str) -> float:
        """Runs of a plain agent, whose model answers at once: the best of several rounds; none is lost."""
        return self._in_a_file(_runs, synchronous)

    @measured_in("appends/s")
    def track_appends_a_second(self, synchronous: str) -> float:
        """Appends of two messages, without a run around them: the best of several rounds."""
        return self._in_a_file(_append_all, synchronous)

    def _in_a_file(self, body: Callable[[str, int, int], Awaitable[float]], synchronous: str) -> float:
        with sqlite_url(synchronous) as url:
            return trio.run(body, url, 50, few(5))


class Journals:
    """A hundred runs at once, whose steps are each stored before the next begins (`synchronous=full`)."""

    timeout = 300

    @measured_in("steps/s")
    def track_steps_a_second(self) -> float:
        """Steps of plain runs, three each: beginning, answer, end. The best of several rounds."""

        async def body(runtime: Runtime) -> float:
            agent, best = Agent(INSTANT, "assistant", "", (), None, MemoryPolicy(journal=True)), 0.0

            async def one(number: int, turn: int) -> None:
                await runtime.run(agent, "hello")

            for _ in range(few(5)):
                best = max(best, await measure_rate(one, 50))
            return STEPS * best

        with sqlite_url("full") as url:
            return float(in_runtime(body, memory=url))


class Logged:
    """Runs whose events are logged, so that other processes can follow them: an answer of a thousand pieces each."""

    timeout = 300

    @measured_in("pieces/s")
    def track_pieces_a_second(self) -> float:
        """Pieces of the answers of ten runs at once, all of them stored at the end."""

        async def body(runtime: Runtime) -> float:
            model = ScriptedModel([" ".join(map(str, range(PIECES)))] * 10)
            agent = Agent(model, "assistant", memory=MemoryPolicy(journal=True, events=True))
            start = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(runtime.run, agent, "hello")
            return 10 * PIECES / (time.perf_counter() - start)

        with sqlite_url("full") as url:
            return float(in_runtime(body, memory=url))


class LongSession:
    """A session of 100,000 messages."""

    @measured_in("ms")
    def track_milliseconds_to_open(self) -> float:
        """Loading the last 100 messages in a new process: the best of ten."""

        async def fill(url: str) -> None:
            async with Runtime(memory=url) as runtime:
                version = 0
                for _ in range(100):
                    version = await runtime.memory.append("session", MESSAGES * 500, version=version)

        async def load(url: str) -> float:
            async with Runtime(memory=url) as runtime:
                await runtime.memory.load("another")  # opens the file
                start = time.perf_counter()
                session = await runtime.memory.load("session", 100)
                assert (session.total, len(session.messages)) == (100_000, 100)
                return (time.perf_counter() - start) * 1_000

        with sqlite_url("normal") as url:
            trio.run(fill, url)
            return min(float(trio.run(load, url)) for _ in range(10))


class Kept:
    """The trace of a turn in the file, in a session with many earlier turns."""

    params = sizes(10, 10_000)
    param_names = ("turns",)

    @measured_in("bytes")
    def track_bytes_a_turn(self, turns: int) -> float:
        """Growth of the file for each of a thousand runs; its pages have 4,096 bytes."""

        async def body(runtime: Runtime) -> float:
            agent, memory, version = Agent(INSTANT, "assistant"), runtime.memory, 0
            for _ in range(turns // 10):
                version = await memory.append("session", MESSAGES * 10, version=version)
            before = _count_pages(path)
            for _ in range(1_000):
                await runtime.run(agent, "hello", session="session")
            return (_count_pages(path) - before) * 4.096

        with sqlite_url("normal") as url:
            path = url.removeprefix("sqlite:///").partition("?")[0]
            return float(in_runtime(body, memory=url))


def _count_pages(path: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA page_count").fetchone()[0])


class Run:
    """A run in a session of 100 messages, one after another: with only the session stored, or each step as well."""

    params = ("session", "journal")
    param_names = ("stored",)

    def setup(self, stored: str) -> None:
        """Make the agent."""
        try:
            policy = MemoryPolicy(journal=True) if stored == "journal" else MemoryPolicy()
        except TypeError as exc:
            raise NotImplementedError("runs have no journal yet") from exc
        self.agent = Agent(INSTANT, "assistant", "", (), None, policy)

    @measured_in("µs")
    def track_microseconds(self, stored: str) -> float:
        """Time until the run is on the disk (`synchronous=full`); the best of several rounds."""

        async def body(runtime: Runtime) -> float:
            await remember(runtime, 100)
            return await seconds(self._runs(runtime), 20) * 1e6

        with sqlite_url() as url:
            return float(in_runtime(body, memory=url))

    @exact("statements")
    def track_statements(self, stored: str) -> int:
        """Statements of the run that SQLite gets, with beginnings and ends of transactions."""
        with sqlite_url() as url, Statements() as opened:

            async def body(runtime: Runtime) -> int:
                await remember(runtime, 100)
                return await statements(self._runs(runtime), opened)

            return int(in_runtime(body, memory=url))

    def _runs(self, runtime: Runtime) -> Times:
        async def runs(times: int) -> None:
            for _ in range(times):
                await runtime.run(self.agent, "hello", session="session")

        return runs
