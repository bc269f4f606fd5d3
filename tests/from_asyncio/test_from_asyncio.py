"""A runtime runs agents for an asyncio program: results, errors, cancellations and contextvars cross over and back."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel

from agno_rt import Agent, Limits, ModelResponse, RunContext, Runtime, ToolCall, tool
from agno_rt.context import Deps
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import LimitExceeded, ModelError, NotFound, RunInterrupted, UsageError
from agno_rt.from_asyncio import AsyncioRuntime
from agno_rt.messages import Message
from agno_rt.testing import ScriptedModel
from tests.asyncio_helpers import Gate, Signal, Stepping, Waiting, in_asyncio, settle, ticks
from tests.helpers import told

pytestmark = pytest.mark.no_orphans

WHO = ContextVar("who", default="nobody")


@attrs.define
class Database:
    """A caller's dependency."""

    rows: int


@tool
async def who(database: Deps[Database], context: RunContext) -> str:
    """Return the asking user and the database."""
    return f"{WHO.get()}, {database.rows} rows, in {threading.current_thread().name}, for {context.user}"


CALL_WHO = ToolCall("1", "who", "{}")


@in_asyncio
async def test_runs_an_agent() -> None:
    """A tool gets the task's contextvars and the caller's dependencies, in the runtime's thread; sessions are kept."""
    agent = Agent(ScriptedModel([CALL_WHO, "Ann.", "Still."]), "assistant", tools=[who])
    async with AsyncioRuntime() as rt:
        WHO.set("ann")
        result = await rt.run(agent, "Who?", session="s", user="u", deps=Database(3))
        again = await rt.run(agent, "And now?", session="s", user="u")
        session = await rt.call(lambda runtime: runtime.memory.load("s"))

    assert told(result) == ["ann, 3 rows, in agno_rt from asyncio, for u"]
    assert (result.content, again.content) == ("Ann.", "Still.")
    assert [message.text for message in session.messages if message.role == "user"] == ["Who?", "And now?"]


@in_asyncio
async def test_a_run_interrupts_another() -> None:
    """`busy` crosses over: the run before ends with its error, in asyncio, too."""
    asked = threading.Event()

    async def hang(request: Any) -> str:
        asked.set()
        await trio.sleep_forever()
        raise AssertionError

    async with AsyncioRuntime() as rt:
        slow = await rt.start(Agent(ScriptedModel([hang])), "one", session="s")
        await asyncio.to_thread(asked.wait, 30)
        result = await rt.run(Agent(ScriptedModel(["new"])), "two", session="s", busy="interrupt")
        with pytest.raises(RunInterrupted):
            await slow.wait()

    assert result.content == "new"


@in_asyncio
async def test_what_a_tool_sets_stays_in_the_run() -> None:
    """The run has a copy of the contextvars: changes by tools do not come back."""

    @tool
    async def rename() -> str:
        """Change the name."""
        before = WHO.get()
        WHO.set("somebody else")
        return before

    agent = Agent(ScriptedModel([ToolCall("1", "rename", "{}"), "Done."]), tools=[rename])
    async with AsyncioRuntime() as rt:
        WHO.set("ann")
        result = await rt.run(agent, "Go.")

    assert told(result) == ["ann"]
    assert WHO.get() == "ann"


@in_asyncio
async def test_errors_cross_unchanged() -> None:
    """The raised error object itself arrives, with its result; a single error never comes in a group."""
    failure = ModelError("it is down", hint="Wait.", provider="scripted", status=503)

    async def grouped(_: Runtime) -> None:
        async with trio.open_nursery():
            raise KeyError("one")

    async with AsyncioRuntime() as rt:
        with pytest.raises(ModelError) as caught:
            await rt.run(Agent(ScriptedModel([failure]), "assistant"), "Hi")
        assert caught.value is failure
        assert caught.value.result.status == "failed"
        with pytest.raises(LimitExceeded) as limited:
            await rt.run(Agent(ScriptedModel([CALL_WHO]), tools=[who], limits=Limits(turns=1)), "Hi", deps=Database(1))
        assert len(limited.value.result.messages) == 3
        with pytest.raises(UsageError, match="agent 'lost'"):
            await rt.run(Agent("nothing:at-all", "lost"), "Hi")
        with pytest.raises(KeyError, match="one"):
            await rt.call(grouped)


@in_asyncio
async def test_an_error_is_held_by_nobody() -> None:
    """An error is freed at the end of its handler, without the garbage collector."""

    class Big(Exception):
        pass

    async def fail(_: Runtime) -> None:
        raise Big

    async with AsyncioRuntime() as rt:
        gc.disable()
        try:
            try:
                await rt.call(fail)
            except Big as exc:
                kept = weakref.ref(exc)
            await settle(rt)
            assert kept() is None
        finally:
            gc.enable()


@in_asyncio
async def test_calls_anything_in_the_runtimes_thread() -> None:
    """`call` awaits coroutine functions under trio, and calls others in the runtime's thread, with all arguments."""

    async def add(_: Runtime, one: int, two: int) -> int:
        await trio.lowlevel.checkpoint()
        return one + two

    async with AsyncioRuntime(limits=Limits(runs=7)) as rt:
        assert await rt.call(add, 1, 2) == 3
        assert await rt.call(lambda _: threading.current_thread().name) == "agno_rt from asyncio"
        assert await rt.call(lambda runtime: runtime) is rt.runtime
        assert (await rt.statistics())[0].total == 7


@in_asyncio
async def test_a_cancelled_task_waits_until_the_run_has_unwound() -> None:
    """Repeated cancellations do not hurry the task: `CancelledError` is raised after the run has unwound."""
    gate = Gate()
    model = Waiting(gate)
    async with AsyncioRuntime() as rt:
        task = asyncio.create_task(rt.run(Agent(model), "Hi"))
        await model.asked.wait()
        for _ in range(3):
            task.cancel()
            await model.unwinding.wait()
            await ticks(5)
            assert not task.done()
        assert (model.running, task.cancelling()) == (1, 3)
        await gate.open(rt)
        with pytest.raises(asyncio.CancelledError):
            await task

    assert task.cancelled()
    assert (model.running, model.unwound) == (0, 1)


@in_asyncio
async def test_timeouts_work() -> None:
    """`asyncio.timeout` and `wait_for` raise `TimeoutError`, and the task is not marked as cancelled."""
    model = Waiting()

    limits: list[asyncio.Timeout] = []

    async def end_once_asked() -> None:
        await model.asked.wait()
        limits[0].reschedule(asyncio.get_running_loop().time())

    async def ask() -> None:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            await rt.run(Agent(model), "Hi")

    async with AsyncioRuntime() as rt:
        ending = asyncio.create_task(end_once_asked())
        with pytest.raises(TimeoutError):
            await ask()
        await ending
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rt.run(Agent(model), "Hi"), 0.01)
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0
        assert (await rt.run(Agent(ScriptedModel(["Fine."])), "Hi")).content == "Fine."

    # The second timeout may come before the model is asked.
    assert model.running == 0
    assert model.unwound in (1, 2)


@in_asyncio
async def test_a_cancellation_from_outside_is_not_taken_for_the_timeout() -> None:
    """A task cancelled during the unwinding of a timeout ends as cancelled."""
    gate = Gate()
    model = Waiting(gate)

    limits: list[asyncio.Timeout] = []

    async def ask() -> None:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            await rt.run(Agent(model), "Hi")

    async with AsyncioRuntime() as rt:
        task = asyncio.create_task(ask())
        await model.asked.wait()
        limits[0].reschedule(asyncio.get_running_loop().time())
        await model.unwinding.wait()
        task.cancel()
        await gate.open(rt)
        with pytest.raises(asyncio.CancelledError):
            await task


@in_asyncio
async def test_a_failing_sibling_cancels_a_run() -> None:
    """A `TaskGroup` ends after the run has unwound, with the sibling's error alone."""
    model = Waiting()

    async def fail() -> None:
        await model.asked.wait()
        raise ValueError("mine")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(rt.run(Agent(model), "Hi"))
            group.create_task(fail())

    async with AsyncioRuntime() as rt:
        with pytest.raises(ExceptionGroup) as caught:
            await both()
        assert [str(exc) for exc in caught.value.exceptions] == ["mine"]
        assert (model.running, model.unwound) == (0, 1)


@in_asyncio
async def test_cancelled_after_any_number_of_rounds_of_the_loop() -> None:
    """After any number of rounds, a cancelled task ends in an answer or `CancelledError`, and nothing runs on."""
    model = Stepping(20)
    cancelled = 0
    async with AsyncioRuntime() as rt:
        for rounds in range(150):
            task = asyncio.create_task(rt.run(Agent(model), "Hi"))
            await ticks(rounds)
            task.cancel()
            try:
                assert (await task).content == "done"
            except asyncio.CancelledError:
                cancelled += 1
            assert model.running == 0
        assert (await rt.statistics())[0].in_use == 0

    assert cancelled > 0


@in_asyncio
async def test_cancelled_at_any_step_of_the_run() -> None:
    """A cancellation at any step of the model ends in an answer or `CancelledError`, and nothing runs on."""
    loop = asyncio.get_running_loop()
    model = Stepping(30)
    async with AsyncioRuntime() as rt:
        for moment in range(30):
            task = asyncio.create_task(rt.run(Agent(model), "Hi"))

            def at(step: int, moment: int = moment, task: asyncio.Task[Any] = task) -> None:
                if step == moment:
                    loop.call_soon_threadsafe(task.cancel)

            model.at = at
            with suppress(asyncio.CancelledError):
                assert (await task).content == "done"
            assert model.running == 0


@in_asyncio
async def test_what_fails_while_it_is_cancelled_is_the_cause() -> None:
    """An error during a cancellation becomes the cause of `CancelledError`."""
    asked = Signal()

    async def fail(_: Runtime) -> None:
        asked.set()
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("the file is gone")

    async with AsyncioRuntime() as rt:
        task = asyncio.create_task(rt.call(fail))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task

    assert repr(caught.value.__cause__) == "OSError('the file is gone')"


@in_asyncio
async def test_a_thousand_runs_at_once() -> None:
    """A thousand runs share one thread, and each has its own answer."""
    model = ScriptedModel(lambda request: f"You said {request.messages[-1].text}.")
    async with AsyncioRuntime() as rt:
        results = await asyncio.gather(*(rt.run(Agent(model), f"{number}") for number in range(1_000)))

    assert [result.content for result in results] == [f"You said {number}." for number in range(1_000)]


@in_asyncio
async def test_a_thousand_runs_cancelled_at_once() -> None:
    """A thousand cancelled runs have unwound at the end of the group."""
    model = Waiting()
    async with AsyncioRuntime() as rt:
        tasks = [asyncio.create_task(rt.run(Agent(model), "Hi")) for _ in range(1_000)]
        await model.asked.wait()
        await settle(rt)
        assert model.running == 1_000
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        assert (model.running, model.unwound) == (0, 1_000)


@in_asyncio
async def test_background_runs() -> None:
    """A background run can be awaited, inspected and cancelled; a cancelled wait leaves the run alone."""
    model = Waiting()
    async with AsyncioRuntime() as rt:
        run = await rt.start(Agent(ScriptedModel(["Done."])), "Hi")
        assert (await run.wait()).content == "Done."
        assert run.result is not None
        assert run.result.run_id == run.id

        run = await rt.start(Agent(model), "Hi")
        await model.asked.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run.wait(), 0.01)
        assert (run.result, model.running, run.statistics()[0].in_use) == (None, 1, 1)
        run.cancel()
        assert (await run.wait()).status == "cancelled"

        run = await rt.start(Agent(ScriptedModel([ModelError("it is down")])), "Hi")
        for _ in range(2):
            with pytest.raises(ModelError, match="it is down"):
                await run.wait()
    run.cancel()


@in_asyncio
async def test_a_run_that_nobody_knows_of_is_not_left_running() -> None:
    """A cancelled `start` cancels its run, unless the `Run` was returned."""
    model = Waiting()
    async with AsyncioRuntime() as rt:
        for rounds in range(60):
            task = asyncio.create_task(rt.start(Agent(model), "Hi"))
            await ticks(rounds)
            task.cancel()
            try:
                run = await task
            except asyncio.CancelledError:
                pass
            else:
                run.cancel()
                await run.wait()
            await settle(rt)
            assert model.running == 0


@in_asyncio
async def test_leaving_waits_for_what_is_under_way() -> None:
    """`aclose` waits for calls of other tasks and for background runs."""
    gates = Gate(), Gate()
    began = Signal()

    def answering(gate: Gate) -> ScriptedModel:
        async def answer(_: object) -> ModelResponse:
            began.set()
            await gate.wait()
            return ModelResponse("Done.")

        return ScriptedModel([answer])

    async with AsyncioRuntime() as rt:
        run = await rt.start(Agent(answering(gates[0])), "Hi")
        call = asyncio.create_task(rt.run(Agent(answering(gates[1])), "Hi"))
        await settle(rt)
        closing = asyncio.create_task(rt.aclose())
        await ticks(20)
        assert not closing.done()
        await gates[1].open(rt)
        assert (await call).content == "Done."
        assert not closing.done()
        await gates[0].open(rt)
        await closing
        assert run.result is not None
        assert run.result.content == "Done."
        with pytest.raises(UsageError, match="not open"):
            await rt.run(Agent(ScriptedModel([])), "Hi")
        await rt.aclose()


@in_asyncio
async def test_an_error_in_the_block_cancels_what_is_under_way() -> None:
    """The block's error goes on after all runs have unwound; callers in other tasks get an error with the reason."""
    model = Waiting()
    call: asyncio.Task[Any] | None = None
    rt = AsyncioRuntime()

    async def block() -> None:
        nonlocal call
        async with rt:
            await rt.start(Agent(model), "Hi")
            call = asyncio.create_task(rt.run(Agent(model), "Hi"))
            await settle(rt)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await block()
    assert (model.running, model.unwound) == (0, 2)
    assert call is not None
    with pytest.raises(UsageError, match="was closed"):
        await call


class Stuck(InProcessMemory):
    """A memory backend with a failing `aclose`."""

    name = "stuck"

    async def aclose(self) -> None:
        """Fail."""
        raise OSError("the disk is gone")


@in_asyncio
async def test_nothing_new_begins_while_it_unwinds() -> None:
    """A task with endless new calls does not keep the runtime from closing."""
    gate = Gate()
    holding, waiting = Waiting(gate), Waiting()
    refused = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def try_again() -> None:
        with suppress(UsageError):
            await rt.run(Agent(waiting), "Hi")
        with pytest.raises(UsageError, match="was closed"):
            await rt.run(Agent(waiting), "Hi again")
        refused.set()
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: rt._running().post(gate._event.set))

    async def block() -> None:
        async with rt:
            tasks.append(asyncio.create_task(rt.run(Agent(holding), "Hi")))
            tasks.append(asyncio.create_task(try_again()))
            await settle(rt)
            raise ValueError("mine")

    rt = AsyncioRuntime()
    with pytest.raises(ValueError, match="mine"):
        await block()
    assert refused.is_set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (holding.unwound, waiting.unwound) == (1, 1)


@in_asyncio
async def test_a_runtime_that_cannot_be_closed(plugin_point: Any) -> None:
    """A failure of `aclose` is raised, or becomes a note on the block's own error."""
    from agno_rt.errors import BackendError
    from agno_rt.plugins import PluginHost

    def register_memory(register: Any) -> None:
        register("stuck", lambda url, settings: Stuck(), help="never closes")

    point = plugin_point("stuck", agno_rt_register_memory=register_memory)

    def make() -> AsyncioRuntime:
        return AsyncioRuntime(memory="stuck:", plugins=PluginHost(entry_points=[point]))

    async def use(error: Exception | None) -> None:
        async with make() as rt:
            await rt.call(lambda runtime: runtime.memory)
            if error is not None:
                raise error

    with pytest.raises(BackendError, match="the disk is gone"):
        await use(None)
    with pytest.raises(ValueError, match="mine") as caught:
        await use(ValueError("mine"))

    assert "the disk is gone" in caught.value.__notes__[0]


@in_asyncio
async def test_closing_is_cancelled() -> None:
    """A cancelled `aclose` cancels the calls and background runs under way."""
    for start in (True, False):
        model = Waiting()
        rt = await AsyncioRuntime().open()
        call = None if start else asyncio.create_task(rt.run(Agent(model), "Hi"))
        if start:
            await rt.start(Agent(model), "Hi")
        await model.asked.wait()
        closing = asyncio.create_task(rt.aclose())
        await ticks(20)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert (model.running, model.unwound) == (0, 1)
        if call is not None:
            with pytest.raises(UsageError, match="was closed"):
                await call


@in_asyncio
async def test_opening_is_cancelled() -> None:
    """A cancelled `open` leaves no thread, and the runtime can be opened again."""
    rt = AsyncioRuntime()
    before = set(threading.enumerate())
    for rounds in range(10):
        task = asyncio.create_task(rt.open())
        await ticks(rounds)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        else:
            await rt.aclose()
        assert "agno_rt from asyncio" not in {thread.name for thread in set(threading.enumerate()) - before}
    async with rt:
        assert (await rt.run(Agent(ScriptedModel(["Hello."])), "Hi")).content == "Hello."


@in_asyncio
async def test_wrong_use_is_told() -> None:
    """Errors of wrong use have a remedy; an error while opening leaves nothing open."""
    rt = AsyncioRuntime()
    with pytest.raises(UsageError, match="not open"):
        await rt.run(Agent(ScriptedModel([])), "Hi")
    async with rt:
        with pytest.raises(UsageError, match="open already"):
            await rt.open()
    with pytest.raises(UsageError, match="options for one"):
        AsyncioRuntime(Runtime(), memory="memory:")
    with pytest.raises(UsageError, match="nobody"):
        await AsyncioRuntime(observers=["nobody"]).open()


def test_several_loops_and_threads_share_one() -> None:
    """Event loops of several threads share a runtime, and each loop waits for its own runs."""
    model = ScriptedModel(lambda request: request.messages[-1].text)
    answers: dict[int, list[str]] = {}

    async def main() -> None:
        async with AsyncioRuntime() as rt:

            async def ask(number: int) -> list[str]:
                asked = [rt.run(Agent(model), f"{number}.{at}") for at in range(20)]
                return [result.content for result in await asyncio.gather(*asked)]

            def other(number: int) -> None:
                answers[number] = asyncio.run(ask(number))

            await asyncio.gather(*(asyncio.to_thread(other, number) for number in range(4)))
            answers[4] = await ask(4)

    asyncio.run(main())
    assert answers == {number: [f"{number}.{at}" for at in range(20)] for number in range(5)}


@in_asyncio
async def test_runs_go_on_while_the_loop_is_blocked() -> None:
    """A blocked event loop does not stop the runs of other loops, or background runs."""
    done = threading.Event()

    def answer(_: object) -> str:
        done.set()
        return "Done."

    async with AsyncioRuntime() as rt:
        run = await rt.start(Agent(ScriptedModel([answer])), "Hi")
        assert done.wait(10)
        assert (await run.wait()).content == "Done."


@in_asyncio
async def test_stored_runs() -> None:
    """Approvals are decided, and stored runs resumed, forked and cancelled, by their ids."""
    from agno_rt import MemoryPolicy

    @tool(approve=True)
    async def pay(amount: int) -> str:
        """Pay."""
        return f"{amount} paid"

    calls = [ToolCall(f"{at}", "pay", '{"amount": 5}') for at in range(3)]
    agent = Agent(
        ScriptedModel([calls[0], "First.", calls[1], "Second.", calls[2], "Third."]),
        "payer",
        tools=[pay],
        memory=MemoryPolicy(journal=True),
    )
    async with AsyncioRuntime() as rt:
        paused = await rt.run(agent, "Pay.")
        assert paused.status == "paused"
        await rt.approve(paused.approvals[0].id, {"amount": 4}, by="ann")
        result = await rt.resume(paused.run_id)
        assert (result.content, told(result)) == ("First.", ["4 paid"])

        paused = await rt.run(agent, "Pay.")
        await rt.deny(paused.approvals[0].id, "too much")
        result = await rt.resume(paused.run_id)
        assert result.content == "Second."
        assert "too much" in told(result)[0]

        paused = await rt.run(agent, "Pay.")
        fork = await rt.fork(paused.run_id)
        assert fork != paused.run_id
        assert await rt.cancel(fork)


@in_asyncio
async def test_messages_and_stops() -> None:
    """A message by the run's id waits for the resumed run; a run stops after its tool, by its handle and by its id."""
    from agno_rt import MemoryPolicy
    from agno_rt.from_asyncio import to_asyncio

    begun, free = asyncio.Event(), asyncio.Event()

    @tool
    @to_asyncio
    async def work() -> str:
        """Work."""
        begun.set()
        await free.wait()
        return "worked"

    call = ToolCall("1", "work", "{}")
    agent = Agent(
        ScriptedModel([call, "First.", call, "Second."]), "a", tools=[work], memory=MemoryPolicy(journal=True)
    )
    async with AsyncioRuntime() as rt:
        for by_id in (False, True):
            begun.clear()
            free.clear()
            run = await rt.start(agent, "Go.")
            await begun.wait()
            if by_id:
                assert await rt.stop(run.id, "model", grace=600)
            else:
                await run.stop("tools", grace=600)
            free.set()
            assert (await run.wait()).status == "cancelled"
            assert await rt.send(run.id, "Hurry.") == "cancelled"
            result = await rt.resume(run.id)
            assert [message.text for message in result.messages if message.role == "user"] == ["Go.", "Hurry."]
            assert told(result) == ["worked"]


@in_asyncio
async def test_the_stored_runs_of_another_user() -> None:
    """To another user a stored run does not exist, in every method; the run's own user can go on."""

    @tool(approve=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    agent = Agent(ScriptedModel([ToolCall("1", "pay", "{}"), "Done."]), "payer", tools=[pay])
    async with AsyncioRuntime() as rt:
        paused = await rt.run(agent, "Pay.", user="ann")
        run, approval = paused.run_id, paused.approvals[0].id
        for ask in (
            lambda: rt.resume(run, user="bob"),
            lambda: rt.fork(run, user="bob"),
            lambda: rt.cancel(run, user="bob"),
            lambda: rt.approve(approval, user="bob"),
            lambda: rt.deny(approval, user="bob"),
            lambda: rt.answer(approval, 1, user="bob"),
        ):
            with pytest.raises(NotFound):
                await ask()
        await rt.approve(approval, user="ann")
        result = await rt.resume(run, user="ann")
        forked = await rt.fork(run, 1, user="ann")
        assert await rt.cancel(forked, user="ann")

    assert result.content == "Done."


def test_messages_are_the_same_objects() -> None:
    """Messages are not copied on the way."""

    async def main() -> tuple[Message, Message]:
        message = Message("user", "Hi")
        model = ScriptedModel(["Hello."])
        async with AsyncioRuntime() as rt:
            await rt.run(Agent(model), [message])
        return message, model.requests[0].messages[-1]

    sent, asked = asyncio.run(main())
    assert sent is asked


@in_asyncio
async def test_an_exit_in_a_run_is_the_callers() -> None:
    """`SystemExit` crosses over, as out of an asyncio task."""

    async def leave(_: Runtime) -> None:
        raise SystemExit(3)

    async def main() -> None:
        async with AsyncioRuntime() as rt:
            await rt.call(leave)

    with pytest.raises(SystemExit) as caught:
        await asyncio.to_thread(asyncio.run, main())
    assert caught.value.code == 3
