"""Asyncio coroutine functions as tools of a run: on the program's event loop, with cancellation both ways."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest
import trio

from agno_rt import Agent, Limits, ModelRequest, ModelResponse, RunContext, Runtime, ToolCall, tool
from agno_rt.errors import ModelError, UsageError
from agno_rt.from_asyncio import AsyncioRuntime, to_asyncio
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel
from tests.asyncio_helpers import Signal, Stepping, Waiting, in_asyncio, settle, ticks
from tests.helpers import told

pytestmark = pytest.mark.no_orphans

WHO = ContextVar("who", default="nobody")


def calling_model(name: str, arguments: str = "{}") -> ScriptedModel:
    """Make a model with one call of the tool."""
    return ScriptedModel([ToolCall("1", name, arguments), "Done."])


@in_asyncio
async def test_a_tool_on_the_event_loop() -> None:
    """The tool runs in the thread of the caller's event loop, with the run's contextvars."""
    loop = asyncio.get_running_loop()

    @tool
    @to_asyncio
    async def look(city: str, context: RunContext) -> str:
        """Look at a city.

        Args:
            city: which one
        """
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is loop
        return f"{WHO.get()} at {city} in {threading.current_thread().name} for {context.user}"

    assert look.name == "look"
    assert look.parameters["properties"] == {"city": {"type": "string", "description": "which one"}}
    async with AsyncioRuntime() as rt:
        WHO.set("ann")
        agent = Agent(calling_model("look", '{"city": "Seoul"}'), tools=[look])
        assert told(await rt.run(agent, "Go.", user="u")) == ["ann at Seoul in MainThread for u"]


@in_asyncio
async def test_what_it_raises_is_the_tools() -> None:
    """The model sees the tool's error; awaited by hand, the function raises the error object itself."""
    failure = OSError("no such page")

    @to_asyncio
    async def fetch() -> str:
        """Fetch a page."""
        await asyncio.sleep(0)
        raise failure

    async def by_hand(_: Runtime) -> None:
        with pytest.raises(OSError, match="no such page") as caught:
            await fetch()
        assert caught.value is failure

    async with AsyncioRuntime() as rt:
        assert "no such page" in told(await rt.run(Agent(calling_model("fetch"), tools=[tool(fetch)]), "Go."))[0]
        await rt.call(by_hand)


class Holding:
    """A tool function with an endless wait on the event loop and a slow end."""

    def __init__(self) -> None:
        self.began, self.unwinding, self.go = Signal(), Signal(), asyncio.Event()
        self.running = 0

    async def __call__(self) -> str:
        """Wait for ever."""
        self.running += 1
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.unwinding.set()
            await self.go.wait()
            self.running -= 1
        return ""


@in_asyncio
async def test_a_cancelled_run_cancels_it_and_waits() -> None:
    """The tool's task ends before the cancelled run goes on: after a cancellation, a timeout, or in the background."""

    async def unwind(holding: Holding, ended: asyncio.Task[Any]) -> None:
        await holding.unwinding.wait()
        await settle(rt)
        assert not ended.done()
        assert holding.running == 1
        holding.go.set()

    async with AsyncioRuntime() as rt:
        holding = Holding()
        task = asyncio.create_task(rt.run(Agent(calling_model("hold"), tools=[make_holding_tool(holding)]), "Go."))
        await holding.began.wait()
        task.cancel()
        await unwind(holding, task)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert holding.running == 0

        for seconds in (0.01, 1.0, 60.0):
            holding = Holding()
            limits = Limits(tool_timeout=seconds)
            agent = Agent(calling_model("hold"), tools=[make_holding_tool(holding)], limits=limits)
            late = asyncio.create_task(rt.run(agent, "Go."))
            unwinding = asyncio.create_task(holding.unwinding.wait())
            await asyncio.wait({late, unwinding}, return_when=asyncio.FIRST_COMPLETED)
            if not late.done():
                break
            unwinding.cancel()  # a slow machine: the tool had not begun when its time was over
        await unwind(holding, late)
        assert f"took longer than {seconds:g} s" in told(await late)[0]

        holding = Holding()
        run = await rt.start(Agent(calling_model("hold"), tools=[make_holding_tool(holding)]), "Go.")
        await holding.began.wait()
        run.cancel()
        waiting = asyncio.create_task(run.wait())
        await unwind(holding, waiting)
        assert (await waiting).status == "cancelled"


def make_holding_tool(holding: Holding) -> Any:
    """Make a tool of the function."""

    async def hold() -> str:
        """Hold."""
        return await holding()

    return tool(to_asyncio(hold))


@in_asyncio
async def test_cancelled_from_elsewhere_it_has_failed() -> None:
    """A tool task cancelled by itself or by the program does not cancel the run."""

    @tool
    @to_asyncio
    async def give_up() -> str:
        """Give up."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return "never"

    async with AsyncioRuntime() as rt:
        result = await rt.run(Agent(calling_model("give_up"), tools=[give_up]), "Go.")

    assert "was cancelled from elsewhere" in told(result)[0]


@in_asyncio
async def test_an_exit_is_the_tools_failure() -> None:
    """`SystemExit` and the like become tool errors for the model; the event loop and the run go on."""

    @tool
    @to_asyncio
    async def leave() -> str:
        """Exit."""
        await asyncio.sleep(0)
        raise SystemExit(3)

    @tool
    @to_asyncio
    async def close() -> str:
        """Raise `GeneratorExit`, like a closed coroutine."""
        raise GeneratorExit

    @tool
    @to_asyncio
    async def cancel() -> str:
        """Raise `CancelledError`, like a cancelled task."""
        raise asyncio.CancelledError

    calls = [ToolCall(name, name) for name in ("leave", "close", "cancel")]
    async with AsyncioRuntime() as rt:
        tools = [leave, close, cancel]
        result = await rt.run(Agent(ScriptedModel([calls, "Done."]), tools=tools), "Go.")
        with pytest.raises(ModelError, match="SystemExit: 4"):
            await rt.run(Agent(ScriptedModel([SystemExit(4)])), "Go.")

    assert told(result)[:2] == ["leave failed: SystemExit: 3", "close failed: GeneratorExit"]
    assert "was cancelled from elsewhere" in told(result)[2]


@in_asyncio
async def test_asyncio_code_may_await_it_too() -> None:
    """In asyncio the function itself is awaited, with or without a runtime."""

    @to_asyncio
    async def fetch(url: str) -> str:
        """Fetch a page."""
        await asyncio.sleep(0)
        return f"page of {url}"

    assert await fetch("a") == "page of a"


async def test_without_an_event_loop_it_is_told() -> None:
    """Under plain trio the tool fails with a remedy."""

    @to_asyncio
    async def fetch() -> str:
        """Fetch a page."""
        return "never"

    with pytest.raises(UsageError, match="fetch belongs to asyncio"):
        await fetch()


def test_its_loop_has_ended() -> None:
    """After the end of its event loop, a background run gets an error from the tool, and goes on."""
    gate: list[trio.Event] = []

    @tool
    @to_asyncio
    async def fetch() -> str:
        """Fetch a page."""
        return "never"

    async def wait(_: object) -> ToolCall:
        gate.append(trio.Event())
        await gate[0].wait()
        return ToolCall("1", "fetch", "{}")

    rt = AsyncioRuntime()

    async def first() -> Any:
        await rt.open()
        run = await rt.start(Agent(ScriptedModel([wait, "Done."]), tools=[fetch]), "Go.")
        await settle(rt)
        return run

    async def second(run: Any) -> Any:
        await rt.call(lambda _: gate[0].set())
        try:
            return await run.wait()
        finally:
            await rt.aclose()

    result = asyncio.run(second(asyncio.run(first())))

    assert result.content == "Done."
    assert "no event loop for it" in told(result)[0]


@in_asyncio
async def test_a_run_within_an_asyncio_tool() -> None:
    """A run within an asyncio tool is part of the outer run, as under trio: parent, limits and cancellation."""
    inner_model = Waiting()
    started: list[Any] = []

    @tool
    @to_asyncio
    async def ask(question: str) -> str:
        """Ask another agent."""
        return (await rt.run(Agent(ScriptedModel([f"{question}!"]), "inner"), question)).content

    @tool
    @to_asyncio
    async def wait() -> str:
        """Ask an agent without an answer."""
        return (await rt.run(Agent(inner_model, "inner"), "Hi")).content

    def observe(event: Any) -> None:
        if type(event).__name__ == "RunStarted":
            started.append(event)

    async with AsyncioRuntime(observers=[observe], limits=Limits(runs=1)) as rt:
        result = await rt.run(Agent(calling_model("ask", '{"question": "Why"}'), "outer", tools=[ask]), "Go.")
        assert told(result) == ["Why!"]
        assert [event.agent for event in started] == ["outer", "inner"]
        assert started[1].parent == started[0].run_id

        task = asyncio.create_task(rt.run(Agent(calling_model("wait"), "outer", tools=[wait]), "Go."))
        await inner_model.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (inner_model.running, inner_model.unwound) == (0, 1)


@in_asyncio
async def test_closing_lets_asyncio_tools_of_background_runs_finish() -> None:
    """The tools of a background run can use the event loop while the runtime closes."""
    go = asyncio.Event()

    @tool
    @to_asyncio
    async def ask() -> str:
        """Ask another agent, after a while."""
        await go.wait()
        return (await rt.run(Agent(ScriptedModel(["Still open."]), "inner"), "Hi")).content

    rt = await AsyncioRuntime().open()
    run = await rt.start(Agent(calling_model("ask"), tools=[ask]), "Go.")
    await settle(rt)
    closing = asyncio.create_task(rt.aclose())
    await ticks(20)
    go.set()
    await closing

    assert run.result is not None
    assert told(run.result) == ["Still open."]


@in_asyncio
async def test_cancelled_at_any_moment() -> None:
    """Cancelled at any moment, runs with tools on the event loop and inner runs leave nothing behind."""
    model = Stepping(3)
    running = 0

    @tool
    @to_asyncio
    async def work() -> str:
        """Work on both sides."""
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(0)
            return (await rt.run(Agent(model), "Hi")).content
        finally:
            running -= 1

    async with AsyncioRuntime() as rt:
        for rounds in range(150):
            calls = [ToolCall(f"{at}", "work", "{}") for at in range(3)]
            agent = Agent(ScriptedModel([ModelResponse(tool_calls=tuple(calls)), "Done."]), tools=[work])
            task = asyncio.create_task(rt.run(agent, "Go."))
            await ticks(rounds)
            task.cancel()
            with suppress(asyncio.CancelledError):
                assert told(await task) == ["done"] * 3
            assert (running, model.running) == (0, 0)


@in_asyncio
async def test_a_model_on_the_event_loop() -> None:
    """A model's `respond` may be asyncio code, without streaming."""

    class Remote:
        name = "remote"

        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            """Ask an asyncio client."""
            return ModelResponse(await self.fetch(request.messages[-1].text))

        @to_asyncio
        async def fetch(self, text: str) -> str:
            """Fetch the answer."""
            await asyncio.sleep(0)
            if text == "fail":
                raise ModelError("it is down", provider="remote")
            return text.upper()

    async with AsyncioRuntime() as rt:
        assert (await rt.run(Agent(Remote()), "hello")).content == "HELLO"
        with pytest.raises(ModelError, match="it is down"):
            await rt.run(Agent(Remote()), "fail")
