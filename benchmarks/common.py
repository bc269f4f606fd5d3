"""Shared parts of the tables: models that answer at once, bodies to repeat, and the measuring.

asv measures old commits with these benchmarks. All commits are measured alike, by the measuring kit of this checkout. A
table is skipped at commits that lack one of its parts: see `Parts`.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
import tempfile
import types
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import trio

from agno_rt import Agent, Emit, Message, ModelRequest, ModelResponse, Runtime, ToolCall, tool

if TYPE_CHECKING:
    from agno_rt.testing import measuring as measuring  # noqa: PLC0414 - so that mypy lets the tables import it from here
    from agno_rt.testing.measuring import Times as Times  # noqa: PLC0414
else:
    if importlib.util.find_spec("agno_rt._drive") is None:
        # The kit asks for the tasks' share of their thread. The module has moved since, and the first commits lack it.
        try:
            from agno_rt import _fairness
        except ImportError:
            _fairness = types.SimpleNamespace(sharing=lambda runs, seconds: nullcontext())
        sys.modules["agno_rt._drive.fairness"] = _fairness
    _kit = importlib.util.spec_from_file_location(
        "benchmarks.kit", Path(__file__).parents[1] / "agno_rt/testing/measuring.py"
    )
    measuring = sys.modules[_kit.name] = importlib.util.module_from_spec(_kit)
    _kit.loader.exec_module(measuring)
    Times = measuring.Times

checkpoints = measuring.checkpoints

QUICK = bool(os.environ.get("BENCH_QUICK"))
"""Whether the benchmarks only have to run, whatever they measure: `make bench-quick`."""

F = TypeVar("F", bound=Callable[..., Any])

ANSWER = ModelResponse("ok")
CALL = ModelResponse(tool_calls=(ToolCall("call", "double", '{"number": 21}'),))


def few(given: int, enough: int = 1) -> int:
    """Return a number of rounds or things, or `enough` where the benchmark only has to run."""
    return min(given, enough) if QUICK else given


def sizes(*given: int) -> tuple[int, ...]:
    """Return the sizes to measure; those up to a thousand, or else the least, where the benchmark only has to run."""
    return tuple(size for size in given if size <= 1_000) or given[:1] if QUICK else given


async def seconds(body: Times, times: int = 500, rounds: int = 15) -> float:
    """Return the seconds for one repetition of `body`: see the kit."""
    return await measuring.seconds(body, times, few(rounds))


async def ratio(one: Times, other: Times, times: int = 500, rounds: int = 15) -> float:
    """Return the time of `one` divided by the time of `other`: see the kit."""
    return await measuring.ratio(one, other, times, few(rounds))


class Parts:
    """Imports of parts that an old commit may lack: `with Parts() as setup: from agno_rt.pool import Pool`.

    If a part is missing, the module's `setup`, which asv calls, skips all benchmarks of the module.
    """

    def __init__(self) -> None:
        self._missing: ImportError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(exc, ImportError):
            self._missing = exc
        return self._missing is not None

    def __call__(self, *parameters: object) -> None:
        """Skip the benchmark if a part is missing."""
        if self._missing is not None:
            raise NotImplementedError(f"not here: {self._missing}") from self._missing


def measured_in(name: str) -> Callable[[F], F]:
    """Set the unit of a `track_` benchmark, for which less is better; asv reads the unit from the function.

    The function is not called `unit`, because asv would take a module's own `unit` for its attribute.
    """

    def mark(function: F) -> F:
        function.__dict__["unit"] = name
        return function

    return mark


def exact(name: str, **more: Any) -> Callable[[F], F]:
    """Set the unit of an exact count, which the gate holds: see `gate.py`. `more` has further attributes for asv."""

    def mark(function: F) -> F:
        function.__dict__.update(more, unit=name, exact=True)
        return function

    return mark


class InstantModel:
    """A model that answers at once, so that only the runtime's own cost is timed."""

    name = "instant"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return ANSWER


class CallingModel:
    """A model that calls one tool, or several at once, and then answers: two turns."""

    name = "calling"

    def __init__(self, calls: int = 1) -> None:
        made = tuple(ToolCall(f"call{at}" if at else "call", "double", '{"number": 21}') for at in range(calls))
        self._first = CALL if calls == 1 else ModelResponse(tool_calls=made)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or answer once the tool's result is there."""
        return ANSWER if request.messages[-1].role == "tool" else self._first


class ParkedModel:
    """A model whose answers wait for a release."""

    name = "parked"

    def __init__(self) -> None:
        self.go = trio.Event()

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait, and answer."""
        await self.go.wait()
        return ANSWER


@tool(inline=True)
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


INSTANT, CALLING = InstantModel(), CallingModel()


def simple_runs(runtime: Runtime) -> Times:
    """Runs of a new agent each, with a single turn."""

    async def runs(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await runtime.run(Agent(INSTANT, "assistant"), "hello")

    return runs


def tool_runs(runtime: Runtime) -> Times:
    """Runs of a new agent each, with one tool call and two turns."""
    tools = (double,)

    async def runs(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await runtime.run(Agent(CALLING, "assistant", "", tools), "hello")

    return runs


def session_runs(runtime: Runtime) -> Times:
    """Runs in the session that `remember` fills; the agent sees the last hundred messages."""
    agent = Agent(INSTANT, "assistant")

    async def runs(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await runtime.run(agent, "hello", session="session")

    return runs


async def remember(runtime: Runtime, messages: int) -> None:
    """Fill the session with `messages` messages."""
    if messages:
        await runtime.memory.append("session", past(messages), version=0)


def past(messages: int) -> list[Message]:
    """Make a conversation of `messages` messages."""
    return [Message("user" if at % 2 == 0 else "assistant", "hello") for at in range(messages)]


def in_runtime(body: Callable[[Runtime], Awaitable[Any]], **options: Any) -> Any:
    """Open a runtime under trio and return the result of `body`."""

    async def main() -> Any:
        async with Runtime(**options) as runtime:
            return await body(runtime)

    return trio.run(main)


@contextmanager
def sqlite_url(synchronous: str = "full") -> Iterator[str]:
    """Yield the URL of a memory in a new SQLite file, which is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'sessions.db'}?synchronous={synchronous}"
