"""Limits of a single tool: timeout, retries, concurrency, calls, and order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agno_rt import Agent, Limits, Runtime, ToolCall, tool
from agno_rt.errors import DeadlineExceeded
from agno_rt.events import Event, ToolEnded, ToolStarted
from agno_rt.testing import ScriptedModel, Step
from agno_rt.tools import ToolArgumentError
from tests.helpers import told
from tests.tool_helpers import calls_of, job_of, listening, told_of

WellFormed = Callable[[Sequence[Event]], None]


class TestTimeout:
    """The option `timeout`."""

    @pytest.mark.parametrize(
        ("own", "run", "seconds"), [(3, None, 3), (3, 5, 3), (5, 3, 3), (None, 3, 3), (0.5, 4, 0.5)]
    )
    async def test_the_narrower_counts(
        self, own: float | None, run: float | None, seconds: float, autojump_clock: MockClock
    ) -> None:
        """The shorter of the tool's and the run's timeout ends the call, and the model is told."""
        cancelled: list[float] = []

        @tool(timeout=own)
        async def slow() -> str:
            """Never come back."""
            try:
                await trio.sleep_forever()
            finally:
                cancelled.append(trio.current_time())
            return ""

        began = trio.current_time()
        [content] = await told_of(job_of(slow, limits=Limits(tool_timeout=run)), calls_of("slow", "{}"))
        assert content == f"slow failed: the tool slow took longer than {seconds:g} s"
        assert cancelled == [pytest.approx(began + seconds)]

    async def test_of_a_thread(self) -> None:
        """A thread cannot be stopped: the call ends without the thread, and the model is told."""
        release = threading.Event()

        @tool(timeout=0.01, retries=5)
        def stuck() -> str:
            """Wait for the test's end."""
            began.append(True)
            release.wait(60)
            return "late"

        began: list[bool] = []
        try:
            with trio.fail_after(30):
                [content] = await told_of(job_of(stuck), calls_of("stuck", "{}"))
        finally:
            release.set()

        assert "took longer than 0.01 s. It could not be stopped" in str(content)
        # A thread that has not begun before the timeout never makes the call.
        assert len(began) < 2, "it was tried again while it was still at it"

    async def test_a_deadline_within_the_tool_is_its_own(self, autojump_clock: MockClock) -> None:
        """A tool's error of another deadline is told unchanged."""

        @tool(timeout=5)
        async def inner() -> str:
            """Fail with the deadline of an inner run."""
            raise DeadlineExceeded("the run took longer than 1 s", limit="run_timeout")

        [content] = await told_of(job_of(inner), calls_of("inner", "{}"))
        assert str(content).startswith("inner failed: DeadlineExceeded: the run took longer than 1 s")


class TestRetries:
    """The option `retries`."""

    async def test_until_it_works(self) -> None:
        """A failing tool is tried again, and the model only gets the success."""
        attempts: list[int] = []

        @tool(retries=3)
        async def shaky(at: int) -> str:
            """Fail twice, then work."""
            attempts.append(at)
            if len(attempts) < 3:
                raise OSError("not yet")
            return "done"

        events: list[Event] = []
        [content] = await told_of(job_of(shaky, emitter=listening(events)), calls_of("shaky", '{"at": 7}'))

        assert (content, attempts) == ("done", [7, 7, 7])
        assert [type(event) for event in events] == [ToolStarted, ToolEnded]

    @pytest.mark.parametrize("inline", [False, True])
    async def test_at_most_so_often(self, inline: bool) -> None:
        """The model gets the last failure and the number of attempts after the last attempt."""
        attempts: list[bool] = []

        @tool(retries=2, inline=inline)
        def shaky() -> str:
            """Fail."""
            attempts.append(True)
            raise OSError(f"no {len(attempts)}")

        [content] = await told_of(job_of(shaky), calls_of("shaky", "{}"))
        assert content == "shaky failed: OSError: no 3 (3 attempts)"
        assert len(attempts) == 3

    async def test_each_has_its_own_time(self, autojump_clock: MockClock) -> None:
        """The timeout holds for each attempt."""

        @tool(retries=2, timeout=4)
        async def slow() -> str:
            """Never come back."""
            await trio.sleep_forever()
            return ""

        [content] = await told_of(job_of(slow), calls_of("slow", "{}"))
        assert content == "slow failed: the tool slow took longer than 4 s (3 attempts)"
        assert trio.current_time() == pytest.approx(12)

    async def test_arguments_are_not_tried_again(self) -> None:
        """Invalid arguments, refused arguments and invalid results are not tried again."""
        attempts: list[int] = []

        @tool(retries=5)
        async def picky(at: int) -> object:
            """Refuse."""
            attempts.append(at)
            if at == 1:
                raise ToolArgumentError("Take another number.")
            return object()

        contents = await told_of(job_of(picky), calls_of("picky", '{"at": "x"}', '{"at": 1}', '{"at": 2}'))
        assert "do not fit" in str(contents[0])
        assert contents[1] == "Take another number."
        assert str(contents[2]).startswith("picky failed: TypeError: it returned something of type object")
        assert attempts == [1, 2]

    async def test_a_cancellation_is_not_tried_again(self, autojump_clock: MockClock) -> None:
        """A cancelled call is not tried again."""
        attempts: list[bool] = []

        @tool(retries=5)
        async def stubborn() -> str:
            """Fail when cancelled."""
            attempts.append(True)
            try:
                await trio.sleep_forever()
            finally:
                if len(attempts) == 1:
                    raise OSError("in the way")
            return ""

        with trio.move_on_after(0.01) as scope:
            await told_of(job_of(stubborn), calls_of("stubborn", "{}"))
        assert scope.cancelled_caught
        assert len(attempts) == 1


class TestConcurrency:
    """The option `concurrency`."""

    async def test_over_two_runs(self) -> None:
        """The bound on a tool's calls holds over all runs of the runtime."""
        under_way, peak = 0, 0

        @tool(concurrency=2)
        async def work() -> None:
            """Count concurrent calls."""
            nonlocal under_way, peak
            under_way += 1
            peak = max(peak, under_way)
            await wait_all_tasks_blocked()
            under_way -= 1

        calls = [ToolCall(str(at), "work") for at in range(4)]
        async with Runtime() as rt:
            runs = [await rt.start(Agent(ScriptedModel([calls, "x"]), tools=[work]), "x") for _ in range(2)]
            results = [await run.wait() for run in runs]
            [limit] = [limit for limit in rt.statistics() if limit.name == "tool 'work'"]

        assert peak == 2
        assert [told(result) for result in results] == [["null"] * 4] * 2
        assert (limit.total, limit.in_use, limit.waiting) == (2, 0, 0)

    async def test_the_wait_is_not_the_tools_time(self, autojump_clock: MockClock) -> None:
        """The timeout begins with the call, not with the wait for a place."""

        @tool(concurrency=1, timeout=3)
        async def work() -> str:
            """Take two seconds."""
            await trio.sleep(2)
            return "done"

        assert await told_of(job_of(work), calls_of("work", "{}", "{}", "{}")) == ["done"] * 3
        assert trio.current_time() == pytest.approx(6)

    async def test_the_wait_has_a_limit_of_its_own(self, autojump_clock: MockClock) -> None:
        """A wait beyond `queue_timeout` is told to the model, and the run goes on."""

        @tool(concurrency=1)
        async def work() -> str:
            """Take two seconds."""
            await trio.sleep(2)
            return "done"

        contents = await told_of(job_of(work, limits=Limits(queue_timeout=1)), calls_of("work", "{}", "{}"))
        assert contents == [
            "done",
            "work was not called: the wait for one of its 1 places took longer than 1 s.",
        ]

    async def test_a_place_is_given_back_however_it_ends(self) -> None:
        """A result, a failure or a cancellation gives the place back."""

        @tool(concurrency=1)
        async def work(how: str) -> str:
            """End in some way."""
            if how == "fail":
                raise OSError("no")
            if how == "hang":
                await trio.sleep_forever()
            return "done"

        job = job_of(work)
        for how in ("fail", "hang", "work"):
            with trio.move_on_after(0.01):
                await told_of(job, calls_of("work", f'{{"how": "{how}"}}'))
            assert job.resolved.places["work"].statistics().in_use == 0

    async def test_a_thread_keeps_its_place_until_it_ends(self) -> None:
        """A thread left behind keeps its place until its end."""
        release, entered = threading.Event(), threading.Semaphore(0)

        @tool(concurrency=1)
        def stuck() -> str:
            """Wait for the release."""
            entered.release()
            release.wait(60)
            return "done"

        job = job_of(stuck)
        place = job.resolved.places["stuck"]
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(told_of, job, calls_of("stuck", "{}"))
                await trio.to_thread.run_sync(entered.acquire)
                nursery.cancel_scope.cancel()
            assert place.statistics().in_use == 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(told_of, job, calls_of("stuck", "{}"))
                await wait_all_tasks_blocked()
                assert place.statistics().waiting == 1
                assert not entered.acquire(blocking=False), "two were under way"
                release.set()
        finally:
            release.set()
        with trio.fail_after(30):
            await place.acquire()

    async def test_one_that_is_cancelled_before_it_began(self) -> None:
        """A call cancelled while waiting for a thread gives its place back, and is never made."""
        made: list[bool] = []

        @tool(concurrency=1)
        def work() -> str:
            """Record the call."""
            made.append(True)
            return ""

        job = job_of(work, limits=Limits(threads=1))
        assert job.resolved.workers is not None
        async with job.resolved.workers.threads.places:
            with trio.move_on_after(0.01) as scope:
                await told_of(job, calls_of("work", "{}"))
        assert scope.cancelled_caught
        assert job.resolved.places["work"].statistics().in_use == 0
        assert await told_of(job, calls_of("work", "{}")) == [""]
        assert made == [True]

    async def test_a_call_within_a_call_does_not_wait_for_it(self, autojump_clock: MockClock) -> None:
        """A nested call of the same tool does not wait for the outer call's place: the wait would never end."""
        # In a deadlock the clock jumps at once, even on a busy machine.
        async with Runtime() as rt:

            @tool(concurrency=1)
            async def ask(deep: int) -> str:
                """Ask an agent that asks again."""
                if not deep:
                    return "bottom"
                call = ToolCall("i", "ask", f'{{"deep": {deep - 1}}}')
                return " ".join(told(await rt.run(Agent(ScriptedModel([call, "x"]), tools=[ask]), "x")))

            with trio.fail_after(60):
                outer = Agent(ScriptedModel([ToolCall("o", "ask", '{"deep": 3}'), "x"]), tools=[ask])
                assert told(await rt.run(outer, "x")) == ["bottom"]

    async def test_a_run_in_the_background_does_wait(self) -> None:
        """A call of a background run started by the tool waits for a place."""
        order: list[str] = []
        async with Runtime() as rt:

            @tool(concurrency=1)
            async def work(name: str) -> str:
                """Start a background run, and end before its call."""
                if name == "first":
                    call = ToolCall("i", "work", '{"name": "second"}')
                    await rt.start(Agent(ScriptedModel([call, "x"]), tools=[work]), "x")
                    await wait_all_tasks_blocked()
                order.append(name)
                return name

            await rt.run(Agent(ScriptedModel([ToolCall("o", "work", '{"name": "first"}'), "x"]), tools=[work]), "x")

        assert order == ["first", "second"]


class TestCalls:
    """The option `calls`."""

    async def test_so_often_in_a_run(self) -> None:
        """A call beyond the limit is refused and told to the model. The next run starts from zero."""
        made: list[str] = []

        @tool(calls=2)
        async def search(words: str) -> str:
            """Search."""
            made.append(words)
            return words

        def call(words: str) -> ToolCall:
            return ToolCall(words, "search", f'{{"words": "{words}"}}')

        steps: list[Step] = [call("a"), [call("b"), call("c")], call("d"), "x"]
        async with Runtime() as rt:
            for _ in range(2):
                result = await rt.run(Agent(ScriptedModel(steps), tools=[search]), "x")
                refused = "search was not called: it may be called 2 times in one run, and has been."
                assert told(result) == ["a", "b", refused, refused]

        assert made == ["a", "b"] * 2

    async def test_arguments_that_do_not_fit_are_no_call(self) -> None:
        """Invalid arguments and further attempts do not count as calls."""

        @tool(calls=1, retries=2)
        async def once(at: int) -> str:
            """Fail."""
            raise OSError(str(at))

        contents = await told_of(job_of(once), calls_of("once", "{}", '{"at": 1}', '{"at": 2}'))
        assert "do not fit" in str(contents[0])
        assert contents[1:] == [
            "once failed: OSError: 1 (3 attempts)",
            "once was not called: it may be called once in one run, and has been.",
        ]


class TestOrder:
    """The option `parallel=False`."""

    @pytest.mark.parametrize("threads", [False, True])
    async def test_it_runs_alone(self, threads: bool) -> None:
        """A call alone begins after earlier calls, and later calls begin after its end."""
        under_way: list[str] = []
        order: list[str] = []
        both = threading.Barrier(2, timeout=60)

        def note(name: str) -> None:
            assert not (under_way and ("alone" in name or "alone" in under_way)), (name, under_way)
            under_way.append(name)
            order.append(name)

        async def work_async(name: str) -> str:
            """Work beside other calls."""
            note(name)
            await wait_all_tasks_blocked()
            under_way.remove(name)
            return name

        def work_thread(name: str) -> str:
            """Work beside one other call."""
            note(name)
            both.wait()
            under_way.remove(name)
            return name

        def alone_thread(name: str) -> str:
            """Work alone."""
            note(name)
            under_way.remove(name)
            return name

        work = tool(work_thread if threads else work_async, name="work")
        alone = tool(alone_thread if threads else work_async, name="alone", parallel=False)
        calls = [
            ToolCall(at, at.rstrip("0123456789"), f'{{"name": "{at}"}}')
            for at in ("work0", "work1", "alone2", "alone3", "work4", "work5", "alone6")
        ]
        with trio.fail_after(60):
            contents = await told_of(job_of(work, alone), calls)

        assert contents == [call.id for call in calls]
        assert [set(order[:2]), order[2:4], set(order[4:6]), order[6:]] == [
            {"work0", "work1"},
            ["alone2", "alone3"],
            {"work4", "work5"},
            ["alone6"],
        ]

    async def test_in_a_run(self, well_formed: WellFormed) -> None:
        """Events of a run have the order of the calls."""

        @tool(parallel=False)
        async def write(text: str) -> str:
            """Return the text after a checkpoint."""
            await trio.lowlevel.checkpoint()
            return text

        calls = calls_of("write", *[f'{{"text": "{at}"}}' for at in range(4)])
        events: list[Event] = []
        async with Runtime(observers=[events.append]) as rt:
            result = await rt.run(Agent(ScriptedModel([calls, "x"]), tools=[write]), "x")

        well_formed(events)
        assert told(result) == ["0", "1", "2", "3"]
        steps = [
            (type(event).__name__, event.call.id) for event in events if isinstance(event, ToolStarted | ToolEnded)
        ]
        assert steps == [(name, call.id) for call in calls for name in ("ToolStarted", "ToolEnded")]

    async def test_cancelled_in_the_middle(self, autojump_clock: MockClock) -> None:
        """No further call begins after a cancellation, and each begun call ends once."""

        @tool(parallel=False)
        async def write(text: str) -> str:
            """Hang at the second call."""
            if text == "1":
                await trio.sleep_forever()
            return text

        events: list[Event] = []
        job = job_of(write, emitter=listening(events))
        with trio.move_on_after(0.01) as scope:
            await told_of(job, calls_of("write", *[f'{{"text": "{at}"}}' for at in range(3)]))

        assert scope.cancelled_caught
        ends: list[Any] = [(event.call.id, event.status) for event in events if isinstance(event, ToolEnded)]
        assert ends == [("write 0", "completed"), ("write 1", "cancelled")]
        assert sum(isinstance(event, ToolStarted) for event in events) == 2
