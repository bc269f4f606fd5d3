"""What the tables share: models that answer at once, what is run again and again, and how it is measured.

asv measures old commits with these benchmarks. All are measured alike, by the measuring kit of this checkout; a table
whose parts a commit does not have yet is skipped there: see `Parts`.
"""

from __future__ import annotations

import importlib.util
import itertools
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
        # The kit asks for the share that tasks have of their thread. It has moved, and the first commits have none.
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
ratio = measuring.ratio
seconds = measuring.seconds

F = TypeVar("F", bound=Callable[..., Any])

ANSWER = ModelResponse("ok")
CALL = ModelResponse(tool_calls=(ToolCall("call", "double", '{"number": 21}'),))


class Parts:
    """Imports of parts that an old commit does not have: `with Parts() as setup: from agno_rt.pool import Pool`.

    Where one is missing, the module's `setup`, which asv calls, skips all that the module measures.
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
        """Skip, if a part is missing."""
        if self._missing is not None:
            raise NotImplementedError(f"not here: {self._missing}") from self._missing


def measured_in(name: str) -> Callable[[F], F]:
    """Say in which unit a `track_` benchmark is; asv reads it from the function, and less is better for it.

    It is not called `unit`, since a module's own names that are asv's attributes are taken for them.
    """

    def mark(function: F) -> F:
        function.__dict__["unit"] = name
        return function

    return mark


def exact(name: str, **more: Any) -> Callable[[F], F]:
    """Say in which unit an exact count is, which the gate holds: see `gate.py`. `more` is what else asv is told."""

    def mark(function: F) -> F:
        function.__dict__.update(more, unit=name, exact=True)
        return function

    return mark


class InstantModel:
    """Answers at once, so that what is timed is the runtime's own cost."""

    name = "instant"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return ANSWER


class CallingModel:
    """Calls one tool, or several at once, then answers: two turns."""

    name = "calling"

    def __init__(self, calls: int = 1) -> None:
        made = tuple(ToolCall(f"call{at}" if at else "call", "double", '{"number": 21}') for at in range(calls))
        self._first = CALL if calls == 1 else ModelResponse(tool_calls=made)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or answer when its result is there."""
        return ANSWER if request.messages[-1].role == "tool" else self._first


class ParkedModel:
    """Waits until it is told to go on."""

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
    """Runs of a new agent each, with one turn."""

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
    """Fill the session with so many messages."""
    if messages:
        await runtime.memory.append("session", past(messages), version=0)


def past(messages: int) -> list[Message]:
    """A conversation of so many messages."""
    return [Message("user" if at % 2 == 0 else "assistant", "hello") for at in range(messages)]


def in_runtime(body: Callable[[Runtime], Awaitable[Any]], **options: Any) -> Any:
    """Open a runtime under trio and return what `body` makes of it."""

    async def main() -> Any:
        async with Runtime(**options) as runtime:
            return await body(runtime)

    return trio.run(main)


@contextmanager
def sqlite_url(synchronous: str = "full") -> Iterator[str]:
    """The URL of a memory in a new SQLite file, which is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'sessions.db'}?synchronous={synchronous}"
