"""Growth of cost with the size of a program: agents, sessions, messages, plugins.

Each class grows one thing. Times are in bare trio checkpoints, measured in turns with them, so that rows of different
hours can be compared. `growth_run` grows the parts of one run.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from agno_rt import Agent, Emit, Message, ModelRequest, ModelResponse, Runtime, tool

from .common import INSTANT, InstantModel, Parts, checkpoints, few, in_runtime, measured_in, past, ratio, sizes

if TYPE_CHECKING:
    from agno_rt.testing.measuring import Times

with Parts() as setup:
    from agno_rt.plugins import PluginHost
    from agno_rt.tools import Tool

CHECKPOINTS, BYTES, MILLISECONDS = "checkpoints", "bytes", "ms"
FLOOR = 300
"""Number of checkpoints in a round of the comparison, however few bodies the round has."""
BATCH = 1_000
"""Number of sessions that are filled at once."""


async def in_checkpoints(body: Times, times: int, rounds: int = 7) -> float:
    """Return the time of a `body` in bare checkpoints."""

    async def bare(times: int) -> None:
        await checkpoints(FLOOR)

    return await ratio(body, bare, times=times, rounds=rounds) * FLOOR / times


async def bytes_kept(make: Callable[[], Awaitable[object]]) -> int:
    """Return the bytes kept by `make`."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await make()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


def tools(count: int) -> tuple[Tool, ...]:
    """Make tools with little work, each with a name of its own."""

    @tool(inline=True)
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    return tuple(attrs.evolve(double, name=f"double_{at}") for at in range(count))


def agents_of(kind: str, count: int) -> list[Agent]:
    """Make distinct agents, with as much in common as the kind allows."""
    if kind == "plain":
        return [Agent(INSTANT, f"agent {at}") for at in range(count)]
    if kind == "own model":
        return [Agent(InstantModel(), f"agent {at}") for at in range(count)]
    if kind == "own tool":
        return [Agent(INSTANT, f"agent {at}", "", (each,)) for at, each in enumerate(tools(count))]
    outputs = [attrs.make_class(f"Output{at}", {"number": attrs.field(type=int)}) for at in range(count)]
    return [Agent(NUMBER, f"agent {at}", output=output) for at, output in enumerate(outputs)]


class Answering:
    """A model that answers at once, always with the same text."""

    name = "answering"

    def __init__(self, text: str) -> None:
        self.answer = ModelResponse(text)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return self.answer


NUMBER = Answering('{"number": 1}')


def run_in_turn(agents: Sequence[Agent]) -> float:
    """Return the cost of a run, after each of the agents has run."""

    async def body(runtime: Runtime) -> float:
        at = 0

        async def runs(times: int) -> None:
            nonlocal at
            for _ in range(times):
                await runtime.run(agents[at], "hello")
                at = (at + 1) % len(agents)

        await runs(len(agents))
        return await in_checkpoints(runs, 400)

    return float(in_runtime(body))


class Agents:
    """Many distinct agents, run in turn in one runtime.

    `plain` agents name one model; the others have a model, or a tool, of their own.
    """

    params = (sizes(1, 100, 1_000, 10_000), ("plain", "own model", "own tool"))
    param_names = ("agents", "kind")

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int, kind: str) -> float:
        """Cost of a run, after each agent has run."""
        return run_in_turn(agents_of(kind, count))

    @measured_in(BYTES)
    def track_kept(self, count: int, kind: str) -> float:
        """Memory kept by the runtime for all agents of past runs, after the program dropped the agents."""

        async def body(runtime: Runtime) -> float:
            async def make() -> None:
                for agent in agents_of(kind, count):
                    await runtime.run(agent, "hello")

            await make()
            return await bytes_kept(make)

        return float(in_runtime(body))


class Outputs:
    """Many distinct agents with output types of their own, for which a runtime derives the most."""

    params = (sizes(1, 100, 1_000, 2_000),)
    param_names = ("agents",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """Cost of a run, after each agent has run."""
        return run_in_turn(agents_of("own output", count))


class Sessions:
    """Many sessions of two messages; the benchmarks use each in turn."""

    params: Any = (sizes(1, 100, 10_000, 100_000),)
    param_names = ("sessions",)
    url = "memory:"

    def _measure_filled(self, body: Callable[[Runtime], Awaitable[float]], count: int) -> float:
        async def filled(runtime: Runtime) -> float:
            await fill(runtime, count)
            return await body(runtime)

        with tempfile.TemporaryDirectory() as folder:
            return float(in_runtime(filled, memory=self._make_memory(folder)))

    def _make_memory(self, folder: str) -> Any:
        """Make the backend; the one in memory with room for all sessions, where the commit has bounds."""
        if self.url != "memory:":
            return self.url.format(folder=folder)
        try:
            from agno_rt.defaults.memory import InProcessMemory, MemoryBounds
        except ImportError:
            return self.url  # a commit without bounds
        return InProcessMemory(bounds=MemoryBounds(sessions=10**9, size=10**12))

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """Cost of a run in the session that was used the longest ago."""

        async def body(runtime: Runtime) -> float:
            agent, at = Agent(INSTANT, "assistant"), 0

            async def runs(times: int) -> None:
                nonlocal at
                for _ in range(times):
                    await runtime.run(agent, "hello", session=f"session {at}", user=owner_of(at))
                    at = (at + 1) % count

            return await in_checkpoints(runs, 200)

        return self._measure_filled(body, count)

    @measured_in(CHECKPOINTS)
    def track_list(self, count: int) -> float:
        """Cost of listing the hundred sessions that were used last."""

        async def body(runtime: Runtime) -> float:
            async def lists(times: int) -> None:
                for _ in range(times):
                    await runtime.memory.sessions(limit=100)

            return await in_checkpoints(lists, 2, rounds=4)

        return self._measure_filled(body, count)

    @measured_in(CHECKPOINTS)
    def track_list_of_user(self, count: int) -> float:
        """Cost of listing the sessions of a user with a single session."""

        async def body(runtime: Runtime) -> float:
            async def lists(times: int) -> None:
                for _ in range(times):
                    assert len(await runtime.memory.sessions(user="rare")) == 1

            return await in_checkpoints(lists, 2, rounds=4)

        return self._measure_filled(body, count)

    @measured_in(BYTES)
    def track_all(self, count: int) -> float:
        """Memory of all sessions."""

        async def body(runtime: Runtime) -> float:
            await runtime.memory.load("none")  # leave out the memory of the backend itself
            return await bytes_kept(lambda: fill(runtime, count))

        return float(in_runtime(body))


class SessionsInSQLite(Sessions):
    """Many sessions in a file of SQLite with `synchronous=normal`: the system chooses when to write to the disk."""

    params = (sizes(1, 100, 1_000, 10_000),)
    url = "sqlite:///{folder}/sessions.db?synchronous=normal"

    @measured_in(BYTES)
    def track_all(self, count: int) -> float:
        """Size of the file after closing; before, up to some megabytes wait in a second file."""
        with tempfile.TemporaryDirectory() as folder:
            in_runtime(lambda runtime: fill(runtime, count), memory=self.url.format(folder=folder))
            return sum(file.stat().st_size for file in Path(folder).iterdir())


def owner_of(at: int) -> str:
    """Return the user of the session that `fill` made as number `at`."""
    return "many" if at else "rare"


async def fill(runtime: Runtime, count: int) -> None:
    """Fill the runtime's memory with sessions: the first belongs to one user, the rest to another."""

    async def append(at: int) -> None:
        messages = (Message("user", "hello"), Message("assistant", "ok"))
        await runtime.memory.append(f"session {at}", messages, version=0, user=owner_of(at))

    for start in range(0, count, BATCH):
        async with trio.open_nursery() as nursery:
            for at in range(start, min(start + BATCH, count)):
                nursery.start_soon(append, at)


class Messages:
    """A session of many messages; the model sees the last hundred."""

    params = (sizes(10, 100, 10_000, 100_000), ("memory", "sqlite"))
    param_names = ("messages", "backend")

    def _measure_opened(self, body: Callable[[Runtime], Awaitable[float]], count: int, backend: str) -> float:
        async def filled(runtime: Runtime) -> float:
            await runtime.memory.append("session", past(count), version=0)
            return await body(runtime)

        with tempfile.TemporaryDirectory() as folder:
            url = "memory:" if backend == "memory" else f"sqlite:///{folder}/sessions.db?synchronous=normal"
            return float(in_runtime(filled, memory=url))

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int, backend: str) -> float:
        """Cost of a run in the session."""

        async def body(runtime: Runtime) -> float:
            agent = Agent(INSTANT, "assistant")

            async def runs(times: int) -> None:
                for _ in range(times):
                    await runtime.run(agent, "hello", session="session")

            return await in_checkpoints(runs, 100)

        return self._measure_opened(body, count, backend)

    @measured_in(CHECKPOINTS)
    def track_append(self, count: int, backend: str) -> float:
        """Cost of appending a message."""

        async def body(runtime: Runtime) -> float:
            version, message = 1, (Message("user", "hello"),)

            async def appends(times: int) -> None:
                nonlocal version
                for _ in range(times):
                    version = await runtime.memory.append("session", message, version=version)

            return await in_checkpoints(appends, 100)

        return self._measure_opened(body, count, backend)

    @measured_in(CHECKPOINTS)
    def track_load(self, count: int, backend: str) -> float:
        """Cost of loading the last hundred messages."""

        async def body(runtime: Runtime) -> float:
            async def loads(times: int) -> None:
                for _ in range(times):
                    await runtime.memory.load("session", 100)

            return await in_checkpoints(loads, 100)

        return self._measure_opened(body, count, backend)


PLUGIN = """
from agno_rt import hookimpl

@hookimpl
def agno_rt_register_tools(register):
    register("nothing", lambda rest, settings: None, help="does nothing")
"""


def install(folder: Path, count: int) -> None:
    """Put plugins into a folder, as an installer would: each has a module and its metadata."""
    for at in range(count):
        name = f"agno_rt_growth_{at}"
        (folder / f"{name}.py").write_text(PLUGIN)
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[agno_rt]\ngrowth{at} = {name}\n")


class Plugins:
    """Many plugins with a small module each, installed beside those of the environment."""

    params = ((15, 50, 150),)
    param_names = ("plugins",)

    def setup(self, count: int) -> None:
        """Install the plugins."""
        self.folder = tempfile.TemporaryDirectory()
        install(Path(self.folder.name), count)

    def teardown(self, count: int) -> None:
        """Remove the plugins."""
        self.folder.cleanup()

    def _time_process(self, *arguments: str) -> float:
        """Return the time of a process that can import the plugins: the best of several."""
        best = float("inf")
        environment = {**os.environ, "PYTHONPATH": self.folder.name, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(few(4)):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
            best = min(best, time.perf_counter() - start)
        return best * 1e3

    @measured_in(MILLISECONDS)
    def track_open(self, count: int) -> float:
        """Time of a process that imports the kernel and opens a runtime, without loading a plugin."""
        return self._time_process("-c", "from agno_rt import Agent, Runtime; Runtime()")

    @measured_in(MILLISECONDS)
    def track_list(self, count: int) -> float:
        """Time of `agno-rt plugins`, which loads all plugins."""
        return self._time_process("-m", "agno_rt.cli", "plugins")

    @measured_in(CHECKPOINTS)
    def track_find(self, count: int) -> float:
        """Cost of finding all plugins by metadata."""

        async def find(times: int) -> None:
            for _ in range(times):
                PluginHost().names()

        sys.path.insert(0, self.folder.name)
        try:
            return trio.run(in_checkpoints, find, 5)
        finally:
            sys.path.remove(self.folder.name)
