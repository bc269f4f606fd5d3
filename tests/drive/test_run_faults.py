"""Runs on a shared session, and runs cancelled, failing or out of time at any moment."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import (
    Agent,
    Event,
    Limits,
    Message,
    ModelRequest,
    ModelResponse,
    RunResult,
    Runtime,
    Tool,
    ToolCall,
    tool,
)
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import (
    AgnoError,
    BackendError,
    DeadlineExceeded,
    ModelError,
)
from agno_rt.events import RunEnded, TextDelta
from agno_rt.memory import MemoryBackend, MemoryPolicy, Session
from agno_rt.models import Emit, Model
from agno_rt.testing import ScriptedModel
from tests.helpers import Hanging, echo, forever, places

WellFormed = Callable[[Sequence[Event]], None]


class TestSessions:
    """Runs of a conversation."""

    async def test_history_goes_before_the_input(self) -> None:
        """A run sees the session's history with tool calls, and nothing of another session."""
        with ScriptedModel([ToolCall("1", "echo"), "one", "two", "other"]) as model:
            agent = Agent(model, instructions="Be.", tools=[echo])
            async with Runtime() as rt:
                await rt.run(agent, "a", session="s")
                await rt.run(agent, "b", session="s")
                await rt.run(agent, "c", session="t")

        roles = [[message.role for message in request.messages] for request in model.requests]
        assert roles[2] == ["system", "user", "assistant", "tool", "assistant", "user"]
        assert roles[3] == ["system", "user"]

    async def test_instructions_are_not_history(self) -> None:
        """Instructions are not stored in the session."""
        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel(["x"]), instructions="Be."), "a", session="s", user="ann")
            stored = await rt.memory.load("s")

        assert list(stored.messages) == list(result.messages) == [Message("user", "a"), Message("assistant", "x")]
        assert stored.user == "ann"

    @pytest.mark.parametrize(
        ("messages", "shown"),
        [(None, ["a", "1", "b", "2", "c"]), (3, ["b", "2", "c"]), (2, ["b", "2", "c"]), (0, ["c"])],
    )
    async def test_memory_policy(self, messages: int | None, shown: list[str]) -> None:
        """The policy bounds the history shown to the model, beginning with a user's message."""
        with ScriptedModel(["1", "2", "3"]) as model:
            agent = Agent(model, memory=MemoryPolicy(messages=messages))
            async with Runtime() as rt:
                for word in "abc":
                    await rt.run(agent, word, session="s")

        assert [message.content for message in model.requests[2].messages] == shown

    async def test_a_run_without_answer_leaves_no_trace(self) -> None:
        """A failed run appends nothing, not even a part."""
        model = ScriptedModel([ToolCall("1", "echo"), ModelError("down"), "fine"])
        agent = Agent(model, tools=[echo])
        async with Runtime() as rt:
            with pytest.raises(ModelError):
                await rt.run(agent, "a", session="s")
            await rt.run(agent, "b", session="s")

        assert [message.content for message in model.requests[2].messages] == ["b"]

    async def test_two_runs_at_once_are_put_in_order(self) -> None:
        """The second run on a session waits for a slow first run, and sees its messages."""
        go = trio.Event()

        async def slow(_: ModelRequest) -> str:
            await go.wait()
            return "first"

        with ScriptedModel([slow, "second"]) as model:
            async with Runtime() as rt:
                first = await rt.start(Agent(model), "a", session="s")
                await wait_all_tasks_blocked()
                second = await rt.start(Agent(model), "b", session="s")
                other = await rt.run(Agent(ScriptedModel(["x"])), "c", session="t")
                await wait_all_tasks_blocked()
                assert len(model.requests) == 1
                assert second.result is None
                assert other.content == "x"
                go.set()
                await first.wait()
                await second.wait()
                stored = await rt.memory.load("s")

        assert [message.content for message in stored.messages] == ["a", "first", "b", "second"]

    async def test_a_cancelled_first_run_does_not_hold_up_the_second(self) -> None:
        """A second run starts once the first is cancelled, and the first leaves no trace."""
        with ScriptedModel(["second"]) as model:
            async with Runtime() as rt:
                first = await rt.start(Agent(Hanging()), "a", session="s")
                await wait_all_tasks_blocked()
                second = await rt.start(Agent(model), "b", session="s")
                await wait_all_tasks_blocked()
                first.cancel()
                assert (await second.wait()).content == "second"
                stored = await rt.memory.load("s")

        assert [message.content for message in stored.messages] == ["b", "second"]

    async def test_a_second_run_that_gives_up_waiting_harms_nobody(self) -> None:
        """A run cancelled while waiting for the session leaves the lock to the next run."""
        go = trio.Event()

        async def slow(_: ModelRequest) -> str:
            await go.wait()
            return "first"

        async with Runtime() as rt:
            runs = []
            for word, step in (("a", slow), ("b", "never"), ("c", "third")):
                runs.append(await rt.start(Agent(ScriptedModel([step])), word, session="s"))
                await wait_all_tasks_blocked()
            runs[1].cancel()
            assert (await runs[1].wait()).status == "cancelled"
            go.set()
            await runs[2].wait()
            stored = await rt.memory.load("s")

        assert [message.content for message in stored.messages] == ["a", "first", "c", "third"]

    async def test_many_runs_on_one_session_lose_nothing(self) -> None:
        """Fifty runs at once on a session store every question with its answer."""
        async with Runtime() as rt:
            async with trio.open_nursery() as nursery:
                for at in range(50):
                    agent = Agent(ScriptedModel([f"answer {at}"]))
                    nursery.start_soon(lambda agent=agent, at=at: rt.run(agent, f"word {at}", session="s"))  # type: ignore[misc]  # a closure for each run
            stored = await rt.memory.load("s")

        words = [message.text for message in stored.messages]
        assert sorted(words[::2]) == sorted(f"word {at}" for at in range(50))
        assert words[1::2] == [word.replace("word", "answer") for word in words[::2]]

    async def test_a_backend_that_breaks_is_a_backend_error(self) -> None:
        """A backend's exception becomes a `BackendError` with the session's name and the result."""
        async with Runtime(memory=Memory(load=OSError("disk"))) as rt:
            with pytest.raises(BackendError, match="session 's': OSError: disk") as loading:
                await rt.run(Agent(ScriptedModel([])), "x", session="s")
        async with Runtime(memory=Memory(append=OSError("disk"))) as rt:
            with pytest.raises(BackendError, match="session 's': OSError: disk") as storing:
                await rt.run(Agent(ScriptedModel(["answer"])), "x", session="s")

        assert loading.value.result.messages == ()
        assert storing.value.result.content == "answer"
        assert storing.value.result.status == "failed"

    async def test_storing_is_finished_although_cancelled(self) -> None:
        """A cancellation while an answer is being stored leaves the run completed and stored."""
        memory = Memory()

        async with Runtime(memory=memory) as rt:
            run = await rt.start(Agent(ScriptedModel(["answer"])), "x", session="s")
            memory.appending = run.cancel
            result = await run.wait()
            stored = await rt.memory.load("s")

        assert (result.status, result.content) == ("completed", "answer")
        assert len(stored.messages) == 2

    async def test_storing_that_hangs_can_be_cancelled(self, autojump_clock: trio.testing.MockClock) -> None:
        """A hanging store holds up neither a cancelled run nor a deadline, and the result has the answer."""
        async with Runtime(memory=Memory(append=trio.sleep_forever)) as rt:
            agent = Agent(ScriptedModel(["answer"]), limits=Limits(run_timeout=3))
            with pytest.raises(DeadlineExceeded) as caught:
                await rt.run(agent, "x", session="s")

            run = await rt.start(Agent(ScriptedModel(["answer"])), "x", session="s")
            await wait_all_tasks_blocked()
            run.cancel()
            result = await run.wait()

        assert caught.value.result.content == result.content == "answer"
        assert result.status == "cancelled"

    async def test_locks_of_sessions_are_let_go(self) -> None:
        """A runtime keeps recent sessions only, and does not grow with their number."""
        agent = Agent(ScriptedModel(lambda request: "x"))
        async with Runtime(memory=Memory(append=trio.lowlevel.checkpoint)) as rt:
            sizes = []
            for at in range(2_500):
                await rt.run(agent, "x", session=f"session {at}")
                sizes.append(_count_kept_sessions(rt))

        assert 1 <= max(sizes) <= 1_000
        assert _count_kept_sessions(rt) == 0


def _count_kept_sessions(rt: Runtime) -> int:
    """Return the largest number of sessions' names among the runtime's mappings."""
    parts = [*vars(rt).values(), *vars(rt._sessions).values()]
    kept = [value for value in parts if isinstance(value, Mapping)]
    return max(sum(str(key).startswith("session ") for key in keys) for keys in kept)


class Memory(InProcessMemory):
    """An in-process backend with checkpoints, failing or waiting on demand."""

    def __init__(
        self,
        load: Exception | Callable[[], Awaitable[None]] | None = None,
        append: Exception | Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__()
        self._on_load = load
        self._on_append = append
        self.appending: Callable[[], None] = lambda: None

    async def load(self, session: str, last: int | None = None) -> Session:
        """Load, with a checkpoint before and after."""
        await _raise_or_wait(self._on_load)
        loaded = await super().load(session, last)
        await trio.lowlevel.checkpoint()
        return loaded

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Wait, then append within a shield."""
        await _raise_or_wait(self._on_append)
        with trio.CancelScope(shield=True):
            self.appending()
            await trio.lowlevel.checkpoint()
            version = await super().append(session, messages, version=version, user=user, data=data, agent=agent)
            await trio.lowlevel.checkpoint()
        return version


async def _raise_or_wait(on: Exception | Callable[[], Awaitable[None]] | None) -> None:
    if isinstance(on, Exception):
        raise on
    await (trio.lowlevel.checkpoint if on is None else on)()


class AtStep(trio.abc.Instrument):
    """An instrument that calls a function before the n-th step of trio."""

    def __init__(self, number: int, call: Callable[[], None]) -> None:
        self.left = number
        self._call = call

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count down."""
        if self.left == 0:
            self._call()
        self.left -= 1


class Busy:
    """A model with many checkpoints: two turns of parallel calls, then an answer, with text emitted in pieces."""

    name = "busy"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call tools twice, then answer."""
        await trio.lowlevel.checkpoint()
        if emit is not None:
            for word in ("a ", "b"):
                await emit(TextDelta(word))
                await trio.lowlevel.checkpoint()
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn < 2:
            return ModelResponse(
                "a b", [ToolCall(f"{turn}{at}", name) for at, name in enumerate(("nap", "nest", "nap"))]
            )
        return ModelResponse("a b")


@tool
async def nap() -> str:
    """Yield a few times."""
    for _ in range(2):
        await trio.lowlevel.checkpoint()
    return "rested"


@tool
async def nest() -> str:
    """Fail in a child task, also when cancelled."""

    async def child() -> None:
        try:
            await trio.lowlevel.checkpoint()
        finally:
            raise ValueError("in the nest")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)
        nursery.start_soon(trio.lowlevel.checkpoint)
    return "never"


Way = Callable[[Runtime, Agent], Awaitable[RunResult | None]]


async def by_run(rt: Runtime, agent: Agent) -> RunResult | None:
    """Run the agent."""
    return await rt.run(agent, "x", session="s")


async def by_stream(rt: Runtime, agent: Agent) -> RunResult | None:
    """Stream the run, and read slowly."""
    async with rt.stream(agent, "x", session="s") as events:
        async for _ in events:
            await trio.lowlevel.checkpoint()
    return events.result


async def by_start(rt: Runtime, agent: Agent) -> RunResult | None:
    """Start the run and wait."""
    run = await rt.start(agent, "x", session="s")
    try:
        return await run.wait()
    finally:
        run.cancel()


@pytest.mark.parametrize("way", [by_run, by_stream, by_start])
def test_cancelled_at_any_step(way: Way, well_formed: WellFormed) -> None:
    """A run cancelled at any step leaves no task, no held place and no partial history, and every start has an end."""

    async def attempt(step: int) -> bool:
        memory, seen, result = Memory(), list[Event](), None
        async with Runtime(memory=memory, observers=[seen.append]) as rt:
            with trio.CancelScope() as scope:
                instrument = AtStep(step, scope.cancel)
                trio.lowlevel.add_instrument(instrument)
                try:
                    result = await way(rt, Agent(Busy(), tools=(nap, nest)))
                finally:
                    trio.lowlevel.remove_instrument(instrument)
            if way is not by_start:
                assert not any(nursery.child_tasks for nursery in trio.lowlevel.current_task().child_nurseries)
        assert all(limit.in_use == limit.waiting == 0 for limit in places(rt))
        well_formed(seen)
        stored = (await InProcessMemory.load(memory, "s")).messages
        completed = bool(seen) and isinstance(seen[-1], RunEnded) and seen[-1].status == "completed"
        assert len(stored) == (10 if completed else 0)
        assert result is None or result.status == "completed"
        assert not seen or isinstance(seen[-1], RunEnded)
        return instrument.left > 0

    for step in range(1_000):
        if trio.run(attempt, step):
            break
    assert 20 < step < 999


@pytest.mark.parametrize("way", [by_run, by_stream, by_start])
@pytest.mark.parametrize("error", [ValueError("bang"), ModelError("bang"), ExceptionGroup("g", [ValueError("bang")])])
def test_failing_at_any_call(way: Way, error: Exception, well_formed: WellFormed) -> None:
    """An exception of model, tool or memory at any call ends as an `AgnoError` with a result, or the run goes on."""

    async def attempt(at: int) -> bool:
        calls = 0

        async def bomb() -> None:
            nonlocal calls
            calls += 1
            await trio.lowlevel.checkpoint()
            if calls - 1 == at:
                raise error

        @tool(name="nap")
        async def tick() -> str:
            await bomb()
            return "x"

        class Bomb(Busy):
            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                await bomb()
                return await super().respond(request, emit)

        memory, seen = Memory(bomb, bomb), list[Event]()
        async with Runtime(memory=memory, observers=[seen.append]) as rt:
            try:
                result = await way(rt, Agent(Bomb(), tools=(tick, nest)))
            except AgnoError as exc:
                result = exc.result
                assert result is not None
                assert result.error is exc  # noqa: PT017 - the error's result is checked below
                assert result.status == "failed"
            assert not any(nursery.child_tasks for nursery in trio.lowlevel.current_task().child_nurseries)
        well_formed(seen)
        assert result is not None
        stored = (await InProcessMemory.load(memory, "s")).messages
        assert len(stored) == (10 if result.status == "completed" else 0)
        return calls <= at

    for at in range(1_000):
        if trio.run(attempt, at):
            break
    assert 6 < at < 999


async def test_a_deadline_at_any_time(autojump_clock: trio.testing.MockClock, well_formed: WellFormed) -> None:
    """A run's deadline at any time raises the deadline's error, and every start has an end."""

    @tool
    async def second() -> str:
        """Take a second, and fail in a nursery when cancelled."""
        late = True

        async def grumble() -> None:
            try:
                await trio.sleep_forever()
            finally:
                if late:
                    raise ValueError("no time")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(grumble)
            await trio.sleep(1)
            late = False
            nursery.cancel_scope.cancel()
        return "x"

    async def slow(request: ModelRequest) -> Any:
        await trio.sleep(1)
        return [ToolCall("1", "second"), ToolCall("2", "second")] if len(request.messages) < 4 else "x"

    for half_seconds in range(1, 10):
        seen: list[Event] = []
        async with Runtime(observers=[seen.append]) as rt:
            limits = Limits(run_timeout=half_seconds / 2 + 0.1)
            try:
                result = await rt.run(Agent(ScriptedModel([slow, slow]), tools=[second], limits=limits), "x")
            except DeadlineExceeded as exc:
                result = exc.result
                assert half_seconds < 6
                assert result.status == "limited"
        well_formed(seen)
        assert result.status == ("limited" if half_seconds < 6 else "completed")


class TestBareErrors:
    """A single cause reaches the caller bare, never in an `ExceptionGroup`."""

    async def failing_when_cancelled(self) -> Tool:
        """Make a tool that fails in a nursery when cancelled."""

        @tool
        async def sore() -> str:
            """Fail when cancelled."""

            async def child() -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    raise ValueError("sore")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
                nursery.start_soon(trio.sleep_forever)
            return ""

        return sore

    async def test_a_backend_that_fails_while_being_cancelled(self) -> None:
        """A backend that fails in a nursery when cancelled leaves the run cancelled, not failed."""

        class Sore(InProcessMemory):
            async def load(self, session: str, last: int | None = None) -> Session:
                async def child() -> None:
                    try:
                        await trio.sleep_forever()
                    finally:
                        raise ValueError("sore")

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(child)
                    nursery.start_soon(trio.sleep_forever)
                raise AssertionError("the nursery never ends by itself")

        events = list[Event]()
        async with Runtime(memory=Sore(), observers=[events.append]) as rt:
            run = await rt.start(Agent(ScriptedModel([])), "x", session="s")
            await wait_all_tasks_blocked()
            run.cancel()
            result = await run.wait()

        assert (result.status, result.error) == ("cancelled", None)
        assert [event.status for event in events if isinstance(event, RunEnded)] == ["cancelled"]

    @pytest.mark.parametrize("calls", [1, 2])
    async def test_a_tool_that_fails_while_being_cancelled(
        self, autojump_clock: trio.testing.MockClock, calls: int
    ) -> None:
        """A cancellation of any scope is not replaced by a tool's failure."""
        sore = await self.failing_when_cancelled()
        asked = [ToolCall(str(at), "sore") for at in range(calls)]

        async with Runtime() as rt:
            with trio.move_on_after(1) as scope:
                await rt.run(Agent(ScriptedModel([asked]), tools=[sore]), "x")
            assert scope.cancelled_caught

            run = await rt.start(Agent(ScriptedModel([asked]), tools=[sore]), "x")
            await wait_all_tasks_blocked()
            run.cancel()
            assert (await run.wait()).status == "cancelled"

            with pytest.raises(DeadlineExceeded):
                await rt.run(Agent(ScriptedModel([asked]), tools=[sore], limits=Limits(run_timeout=1)), "x")

            limits = Limits(tool_timeout=1)
            result = await rt.run(Agent(ScriptedModel([asked, "x"]), tools=[sore], limits=limits), "x")
            assert result.content == "x"

    async def test_a_model_that_fails_while_being_cancelled(self, autojump_clock: trio.testing.MockClock) -> None:
        """A cancellation is not replaced by a model's failure."""
        sore = await self.failing_when_cancelled()

        async def hurt(_: ModelRequest) -> str:
            await sore.function()
            return ""

        async with Runtime() as rt:
            with trio.move_on_after(1) as scope:
                await rt.run(Agent(ScriptedModel([hurt])), "x")
            assert scope.cancelled_caught
            for limits in (Limits(run_timeout=1), Limits(model_timeout=1)):
                with pytest.raises(DeadlineExceeded):
                    await rt.run(Agent(ScriptedModel([hurt]), limits=limits), "x")

    @pytest.mark.parametrize("started", [False, True])
    def test_control_c(self, started: bool) -> None:
        """Ctrl-C during parallel tools raises a bare `KeyboardInterrupt`."""

        @tool(inline=True)
        def interrupt() -> str:
            """Press Ctrl-C."""
            signal.raise_signal(signal.SIGINT)
            return "x"

        async def main() -> None:
            async with Runtime() as rt:
                model = ScriptedModel([[ToolCall("1", "interrupt"), ToolCall("2", "forever")]])
                agent = Agent(model, tools=[interrupt, forever])
                if started:
                    await (await rt.start(agent, "x")).wait()
                else:
                    await rt.run(agent, "x")

        with pytest.raises(KeyboardInterrupt):
            trio.run(main)


def test_the_doubles_here_fulfil_the_protocols() -> None:
    """The models and the backend of these tests fulfil the kernel's protocols."""
    assert isinstance(Hanging(), Model)
    assert isinstance(Busy(), Model)
    assert isinstance(Memory(), MemoryBackend)
