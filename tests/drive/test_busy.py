"""A run on a session in use: it waits, is refused, or stops the runs before it."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Sequence
from typing import Any, Literal

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_rt import Agent, Emit, Limits, MemoryPolicy, Message, ModelRequest, ModelResponse, Runtime, ToolCall, tool
from agno_rt.context import RunContext, State
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import (
    DeadlineExceeded,
    Forbidden,
    ModelError,
    RunCancelled,
    RunInterrupted,
    RunRolledBack,
    SessionBusy,
    SessionConflict,
    UsageError,
)
from agno_rt.events import RunEnded, TextDelta
from agno_rt.run_store import Resume, RunConflict
from agno_rt.runnable import Flow, Runnable
from agno_rt.runs import Run, RunStream
from agno_rt.testing import CancelPoint, Pauses, ScriptedModel, cancel_everywhere, pause, run_schedules

Busy = Literal["interrupt", "rollback"]
STOPPING: Sequence[Busy] = ("interrupt", "rollback")
STORED = MemoryPolicy(journal=True)


class Hanging:
    """A model that says when it is asked, streams a word, and waits for the test, then answers."""

    name = "hanging"

    def __init__(self, answer: str | ToolCall = "late") -> None:
        self.asked, self.go = trio.Event(), trio.Event()
        self.answer = answer

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        if request.messages[-1].role == "tool":
            return ModelResponse("done")
        if emit is not None:
            await emit(TextDelta("la"))
        self.asked.set()
        await self.go.wait()
        return ModelResponse(self.answer) if isinstance(self.answer, str) else ModelResponse("", (self.answer,))


def next_agent(memory: MemoryPolicy | None = None) -> tuple[Agent, list[list[tuple[str, str]]]]:
    """Return an agent that answers at once, and the list of what it is shown."""
    shown: list[list[tuple[str, str]]] = []

    def answer(request: ModelRequest) -> str:
        shown.append(texts(request.messages))
        return "new"

    return Agent(ScriptedModel(answer), "next", memory=memory or MemoryPolicy()), shown


def texts(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Return roles and texts; the names of the calls for a message with calls."""
    return [(message.role, message.text or ", ".join(call.name for call in message.tool_calls)) for message in messages]


async def history(rt: Runtime, session: str = "s") -> list[tuple[str, str]]:
    """Return the session's stored messages."""
    return texts((await rt.memory.load(session)).messages)


class TestReject:
    """`busy="reject"`."""

    async def test_names_session_and_run_and_starts_nothing(self) -> None:
        """The error names the session and the run; no event, no message, no stored run."""
        model, seen = Hanging(), list[Any]()
        agent, shown = next_agent(STORED)
        async with Runtime(observers=[seen.append]) as rt:
            first = await rt.start(Agent(model), "one", session="s")
            await model.asked.wait()
            before = len(seen)
            for attempt in (rt.run, rt.start):
                with pytest.raises(SessionBusy, match=f"session 's' is in use by run '{first.id}'") as caught:
                    await attempt(agent, "two", session="s", busy="reject")
                assert (caught.value.session, caught.value.run) == ("s", first.id)
            with pytest.raises(SessionBusy):
                async with rt.stream(agent, "two", session="s", busy="reject"):
                    pass
            assert len(seen) == before
            assert shown == []
            assert await rt.memory.runs() == []  # type: ignore[attr-defined]  # the backend in memory stores runs
            model.go.set()
            await first.wait()

    async def test_is_a_conflict_and_runs_on_a_free_session(self) -> None:
        """The error can be caught as a conflict; a free session refuses nobody, also after a refusal."""
        agent, _ = next_agent()
        assert issubclass(SessionBusy, SessionConflict)
        async with Runtime() as rt:
            for _ in range(2):
                assert (await rt.run(agent, "one", session="s", busy="reject")).content == "new"

    async def test_of_several_at_once_one_runs(self) -> None:
        """Runs started at the same moment, of which none has the session yet: one gets it, the others are refused."""
        agent = Agent(Pauses().model(ScriptedModel(["new"] * 4)))
        async with Runtime() as rt:
            runs = [await rt.start(agent, str(at), session="s", busy="reject") for at in range(4)]
            ends = [await outcome_of(run) for run in runs]
            assert sorted(ends) == ["SessionBusy"] * 3 + ["completed"]
            assert len(await history(rt)) == 2

    async def test_a_strangers_run_is_not_named(self) -> None:
        """The id of another user's run is not shown."""
        model, (agent, _) = Hanging(), next_agent()
        async with Runtime() as rt:
            await rt.start(Agent(model), "one", session="s", user="ann")
            await model.asked.wait()
            with pytest.raises(SessionBusy, match="by another run") as caught:
                await rt.run(agent, "two", session="s", user="bob", busy="reject")
            assert caught.value.run is None
            model.go.set()


class TestMistakes:
    """Calls that cannot be carried out."""

    async def test_unknown_policy_and_no_session(self) -> None:
        """An unknown policy and a policy without a session are refused, with the known ones."""
        agent, _ = next_agent()
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="busy is 'queue'") as caught:
                await rt.run(agent, "hi", session="s", busy="queue")  # type: ignore[arg-type]
            assert "'interrupt'" in caught.value.hint
            with pytest.raises(UsageError, match="busy was given without a session"):
                await rt.start(agent, "hi", busy="reject")

    @pytest.mark.parametrize("busy", ["enqueue", "reject", *STOPPING])
    async def test_a_run_within_the_run_that_holds_the_session(self, busy: Any) -> None:
        """A run within a run neither waits for the session around it nor stops it."""
        inner, _ = next_agent()
        problems: list[str] = []

        @tool
        async def ask(context: RunContext) -> str:
            """Ask."""
            try:
                await rt.run(inner, "hi", session="s", busy=busy)
            except UsageError as exc:
                problems.append(exc.message)
            return "asked"

        async with Runtime() as rt:
            outer = Agent(ScriptedModel([ToolCall("1", "ask"), "done"]), tools=[ask])
            result = await rt.run(outer, "go", session="s")
        assert result.content == "done"
        assert problems == ["session 's' is in use by the run that this one is within"]


async def outcome_of(run: Run[Any]) -> str:
    """Return the status of a run, or the name of its error."""
    try:
        return (await run.wait()).status
    except RunCancelled as exc:
        return type(exc).__name__ if exc.result.status == "cancelled" else "wrong"
    except SessionBusy:
        return "SessionBusy"


async def read(stream: RunStream[Any], events: list[Any]) -> None:
    """Add the events of the stream to the list, until the stream ends or raises."""
    async for event in stream:
        events.append(event)  # noqa: PERF401 - the events so far count, too


class TestStopping:
    """`busy="interrupt"` and `busy="rollback"`."""

    @pytest.mark.parametrize("stored", [False, True])
    async def test_interrupted_while_the_model_streams(self, stored: bool) -> None:
        """The question stays, the half answer does not; the reader of the stream gets its end and the reason."""
        model, (agent, shown) = Hanging(), next_agent()
        events: list[Any] = []
        async with Runtime() as rt, trio.open_nursery() as nursery:

            async def follow() -> None:
                policy = STORED if stored else MemoryPolicy()
                async with rt.stream(Agent(model, "first", memory=policy), "one", session="s") as stream:
                    with pytest.raises(RunInterrupted, match="was interrupted by run") as caught:
                        await read(stream, events)
                assert caught.value.result.status == "cancelled"

            nursery.start_soon(follow)
            await model.asked.wait()
            result = await rt.run(agent, "two", session="s", busy="interrupt")
            assert result.content == "new"
            assert shown == [[("user", "one"), ("user", "two")]]
            assert await history(rt) == [("user", "one"), ("user", "two"), ("assistant", "new")]
        last = events[-1]
        assert isinstance(last, RunEnded)
        assert (last.status, last.code) == ("cancelled", "interrupted")

    @pytest.mark.parametrize("stored", [False, True])
    async def test_interrupted_while_tools_run(self, stored: bool) -> None:
        """A finished call keeps its result, one under way says so: each call in the history has a result."""
        at_work = trio.Event()
        agent, shown = next_agent()

        @tool
        async def quick() -> str:
            """Be quick."""
            return "quick result"

        @tool
        async def slow() -> str:
            """Be slow."""
            await trio.testing.wait_all_tasks_blocked()
            at_work.set()
            await trio.sleep_forever()
            raise AssertionError

        model = ScriptedModel([[ToolCall("1", "slow"), ToolCall("2", "quick")]])
        first = Agent(model, "first", tools=[slow, quick], memory=STORED if stored else MemoryPolicy())
        async with Runtime() as rt:
            run = await rt.start(first, "one", session="s")
            await at_work.wait()
            await rt.run(agent, "two", session="s", busy="interrupt")
            assert await outcome_of(run) == "RunInterrupted"
            stored_run = await rt.memory.runs(status="cancelled")  # type: ignore[attr-defined]
        assert [role for role, _ in shown[0]] == ["user", "assistant", "tool", "tool", "user"]
        assert "not known whether this was done" in shown[0][2][1]
        assert shown[0][3] == ("tool", "quick result")
        assert [(record.id, record.code) for record in stored_run] == ([(run.id, "interrupted")] if stored else [])

    async def test_the_state_of_the_finished_calls_is_kept(self) -> None:
        """The session's state goes with the messages: what a finished call changed stays changed."""
        asked = trio.Event()

        @tool(inline=True)
        def count(state: State[dict[str, int]]) -> str:
            """Count."""
            state["calls"] = state.get("calls", 0) + 1
            return str(state["calls"])

        async def hang(request: ModelRequest) -> str:
            asked.set()
            await trio.sleep_forever()
            raise AssertionError

        policy = MemoryPolicy(state=dict)
        first = Agent(ScriptedModel([ToolCall("1", "count"), hang]), tools=[count], memory=policy)
        second = Agent(ScriptedModel([ToolCall("1", "count"), "done"]), tools=[count], memory=policy)
        async with Runtime() as rt:
            await rt.start(first, "one", session="s")
            await asked.wait()
            result = await rt.run(second, "two", session="s", busy="interrupt")
        assert result.state == {"calls": 2}

    async def test_a_plain_run_stops_between_its_steps(self) -> None:
        """A run without a scope of its own is stopped after its model call, before its tools: nothing is lost."""
        model, (agent, shown) = Hanging(ToolCall("1", "work")), next_agent()
        called: list[int] = []

        @tool(inline=True)
        def work() -> str:
            """Work."""
            called.append(1)
            return "worked"

        async with Runtime() as rt, trio.open_nursery() as nursery:

            async def first() -> None:
                with pytest.raises(RunInterrupted):
                    await rt.run(Agent(model, tools=[work]), "one", session="s")

            nursery.start_soon(first)
            await model.asked.wait()
            second = await rt.start(agent, "two", session="s", busy="interrupt")
            await trio.testing.wait_all_tasks_blocked()
            model.go.set()
            await second.wait()
        assert called == [1]
        assert shown == [[("user", "one"), ("assistant", "work"), ("tool", "worked"), ("user", "two")]]

    async def test_a_plain_run_with_its_answer_is_whole(self) -> None:
        """An interruption that comes with the last answer changes nothing; a rollback drops the answer."""
        for busy, expected in (("interrupt", 4), ("rollback", 2)):
            model, (agent, _) = Hanging(), next_agent()
            async with Runtime() as rt, trio.open_nursery() as nursery:
                ends: list[str] = []

                async def first(rt: Runtime = rt, model: Hanging = model, ends: list[str] = ends) -> None:
                    try:
                        ends.append((await rt.run(Agent(model), "one", session="s")).status)
                    except RunRolledBack as exc:
                        ends.append(exc.code)

                nursery.start_soon(first)
                await model.asked.wait()
                second = await rt.start(agent, "two", session="s", busy=busy)  # type: ignore[arg-type]
                await trio.testing.wait_all_tasks_blocked()
                model.go.set()
                await second.wait()
                assert len(await history(rt)) == expected
            assert ends == ["completed" if busy == "interrupt" else "rolled_back"]

    @pytest.mark.parametrize("stored", [False, True])
    async def test_rolled_back(self, stored: bool) -> None:
        """Nothing of the run stays in the session; its record says what happened, and it is not resumed."""
        model, (agent, shown) = Hanging(), next_agent(STORED)
        first = Agent(model, "first", memory=STORED if stored else MemoryPolicy())
        async with Runtime() as rt:
            run = await rt.start(first, "one", session="s")
            await model.asked.wait()
            second = await rt.run(agent, "two", session="s", busy="rollback")
            assert await outcome_of(run) == "RunRolledBack"
            assert shown == [[("user", "two")]]
            assert await history(rt) == [("user", "two"), ("assistant", "new")]
            if stored:
                with pytest.raises(RunConflict, match=f"rolled back by run '{second.run_id}'"):
                    await rt.resume(run.id)
                with pytest.raises(RunConflict, match="rolled back"):
                    await rt.resume(run.id, force=True)
                model.go.set()
                assert (await rt.resume(await rt.fork(run.id))).content == "late"

    async def test_an_interrupted_stored_run_is_over(self) -> None:
        """Its messages are in the session already: resuming it would repeat them."""
        model, (agent, _) = Hanging(), next_agent()
        async with Runtime() as rt:
            run = await rt.start(Agent(model, "first", memory=STORED), "one", session="s")
            await model.asked.wait()
            await rt.run(agent, "two", session="s", busy="interrupt")
            await outcome_of(run)
            with pytest.raises(RunConflict, match=r"is over: run .* was interrupted"):
                await rt.resume(run.id)
            assert len(await history(rt)) == 3

    async def test_runs_that_wait_are_stopped_too(self) -> None:
        """All runs before the new one end, and each leaves its question, in order."""
        model, (agent, shown) = Hanging(), next_agent()
        async with Runtime() as rt:
            runs = [await rt.start(Agent(model), str(at), session="s") for at in range(3)]
            await trio.testing.wait_all_tasks_blocked()
            await rt.run(agent, "now", session="s", busy="interrupt")
            assert [await outcome_of(run) for run in runs] == ["RunInterrupted"] * 3
        assert sorted(shown[0]) == [("user", "0"), ("user", "1"), ("user", "2"), ("user", "now")]
        assert shown[0][-1] == ("user", "now")

    async def test_a_rollback_empties_the_queue(self) -> None:
        """All runs before the new one end, and none leaves anything."""
        model, (agent, shown) = Hanging(), next_agent()
        async with Runtime() as rt:
            runs = [await rt.start(Agent(model), str(at), session="s") for at in range(3)]
            await trio.testing.wait_all_tasks_blocked()
            await rt.run(agent, "now", session="s", busy="rollback")
            assert [await outcome_of(run) for run in runs] == ["RunRolledBack"] * 3
        assert shown == [[("user", "now")]]

    async def test_runs_behind_wait_for_the_new_run(self) -> None:
        """A run that comes after the new one, without a policy, waits and is not stopped."""
        model, other, (agent, _) = Hanging(), Hanging(), next_agent()
        async with Runtime() as rt:
            first = await rt.start(Agent(model), "one", session="s")
            await model.asked.wait()
            second = await rt.start(Agent(other), "two", session="s", busy="interrupt")
            await other.asked.wait()
            third = await rt.start(agent, "three", session="s")
            await trio.testing.wait_all_tasks_blocked()
            other.go.set()
            ends = [await outcome_of(run) for run in (first, second, third)]
            assert ends == ["RunInterrupted", "completed", "completed"]

    async def test_a_strangers_run_stops_nothing(self) -> None:
        """A user who may not see the session cannot stop its runs."""
        model, (agent, _) = Hanging(), next_agent()
        async with Runtime() as rt:
            first = await rt.start(Agent(model), "one", session="s", user="ann")
            await model.asked.wait()
            second = await rt.start(agent, "two", session="s", user="bob", busy="rollback")
            await trio.testing.wait_all_tasks_blocked()
            model.go.set()
            assert (await first.wait()).content == "late"
            with pytest.raises(Forbidden):
                await second.wait()

    @pytest.mark.parametrize("busy", STOPPING)
    async def test_a_runnable_that_is_not_an_agent(self, busy: Busy) -> None:
        """Workflows and teams stop at once; their question stays if they are interrupted."""
        started = trio.Event()

        @attrs.define
        class Sleeper(Runnable):
            name: str = "sleeper"

            async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
                started.set()
                await trio.sleep_forever()

        agent, shown = next_agent()
        async with Runtime() as rt, trio.open_nursery() as nursery:

            async def first() -> None:
                with pytest.raises(RunCancelled):
                    await rt.run(Sleeper(), "one", session="s")

            nursery.start_soon(first)
            await started.wait()
            await rt.run(agent, "two", session="s", busy=busy)
        assert shown == [[("user", "one"), ("user", "two")] if busy == "interrupt" else [("user", "two")]]

    async def test_the_run_of_another_session_goes_on(self) -> None:
        """Only runs on the same session are stopped, and runs within other runs end as their tool's failure."""
        model, (agent, _) = Hanging(), next_agent()
        told: list[str] = []

        @tool
        async def delegate(context: RunContext) -> str:
            """Delegate."""
            await context.run(Agent(model, "inner"), "one", session="inner")
            return "never"

        def answer(request: ModelRequest) -> str | ToolCall:
            if request.messages[-1].role == "tool":
                told.append(request.messages[-1].text)
                return "went on"
            return ToolCall("1", "delegate")

        async with Runtime() as rt:
            outer = await rt.start(Agent(ScriptedModel(answer), "outer", tools=[delegate]), "go", session="outer")
            await model.asked.wait()
            second = await rt.start(agent, "two", session="inner", busy="rollback")
            await trio.testing.wait_all_tasks_blocked()
            model.go.set()  # the run within has no scope of its own
            await second.wait()
            assert (await outer.wait()).content == "went on"
        assert "was rolled back by run" in told[0]

    async def test_a_session_that_cannot_be_stored(self) -> None:
        """The new run follows although the finished steps could not be stored; the error says so."""

        class Broken(InProcessMemory):
            refuses = False

            async def append(self, session: str, messages: Sequence[Message], **more: Any) -> int:
                if self.refuses:
                    self.refuses = False
                    raise OSError("disk full")
                return await super().append(session, messages, **more)

        memory, model, (agent, shown) = Broken(), Hanging(), next_agent()
        async with Runtime(memory=memory) as rt:
            run = await rt.start(Agent(model), "one", session="s")
            await model.asked.wait()
            memory.refuses = True
            await rt.run(agent, "two", session="s", busy="interrupt")
            with pytest.raises(RunInterrupted) as caught:
                await run.wait()
        assert "disk full" in str(caught.value.__notes__)
        assert shown == [[("user", "two")]]

    async def test_a_run_that_waits_too_long_for_the_stop(self) -> None:
        """The wait for a run that stops late is bounded by the new run's `queue_timeout`."""
        model, (agent, _) = Hanging(), next_agent()
        agent.limits = Limits(queue_timeout=0.01)
        async with Runtime() as rt, trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(rt.run, Agent(model), "one", session="s"))
            await model.asked.wait()
            with pytest.raises(DeadlineExceeded):
                await rt.run(agent, "two", session="s", busy="interrupt")
            model.go.set()

    async def test_a_failure_of_its_own_stays_a_failure(self) -> None:
        """A run that fails while it is asked to stop ends with its own error."""
        asked = trio.Event()

        async def fail(request: ModelRequest) -> str:
            asked.set()
            await trio.testing.wait_all_tasks_blocked()
            raise ModelError("broken", provider="test")

        agent, shown = next_agent()
        async with Runtime() as rt, trio.open_nursery() as nursery:

            async def first() -> None:
                with pytest.raises(ModelError):
                    await rt.run(Agent(ScriptedModel(fail)), "one", session="s")

            nursery.start_soon(first)
            await asked.wait()
            await rt.run(agent, "two", session="s", busy="interrupt")
        assert shown == [[("user", "two")]]

    async def test_a_stored_run_that_is_resumed(self, tmp_path: Any) -> None:
        """A resumed run takes its session as the policy says."""
        model, first = Hanging(), Agent(Hanging(), "first", memory=STORED)
        async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as rt:
            run = await rt.start(first, "one", session="s")
            await first.model.asked.wait()  # type: ignore[union-attr]
            run.cancel()
            await run.wait()
            holder = await rt.start(Agent(model), "two", session="s")
            await model.asked.wait()
            with pytest.raises(SessionBusy):
                await rt.run(first, Resume(run.id), busy="reject")
            first.model.go.set()  # type: ignore[union-attr]
            assert (await rt.run(first, Resume(run.id), busy="rollback")).content == "late"
            assert await outcome_of(holder) == "RunRolledBack"


@tool
async def look(word: str) -> str:
    """Yield for a while."""
    await pause()
    return f"looked at {word}"


def answer_after_a_call(request: ModelRequest) -> str | list[ToolCall]:
    """Return two calls, then an answer to the last question."""
    word = next(message.text for message in reversed(request.messages) if message.role == "user")
    if request.messages[-1].role == "tool":
        return f"answer to {word}"
    return [ToolCall(f"{word}{at}", "look", f'{{"word": "{word}"}}') for at in range(2)]


def check_history(messages: Sequence[Message]) -> None:
    """Check that each call has exactly one result, directly behind it, and each question is there once."""
    at = 0
    while at < len(messages):
        message = messages[at]
        count = len(message.tool_calls)
        results = messages[at + 1 : at + 1 + count]
        assert [each.tool_call_id for each in results] == [call.id for call in message.tool_calls]
        assert message.role != "tool"
        at += 1 + count


class TestRaces:
    """Interruptions at any moment."""

    @pytest.mark.parametrize("stored", [False, True])
    @pytest.mark.parametrize("busy", STOPPING)
    def test_under_many_schedules(self, busy: Busy, stored: bool) -> None:
        """Three runs that stop one another: the last is whole, the history is valid, and every run ends once."""
        seen: set[tuple[str, ...]] = set()

        async def scenario() -> None:
            pauses, memory, ended = Pauses(), InProcessMemory(), list[str]()

            def note(event: Any) -> None:
                if isinstance(event, RunEnded):
                    ended.append(event.run_id)

            policy = STORED if stored else MemoryPolicy()
            agent = Agent(
                pauses.model(ScriptedModel(answer_after_a_call)), "a", tools=[pauses.tool(look)], memory=policy
            )
            async with Runtime(memory=pauses.memory(memory), observers=[note]) as rt:
                first = await rt.start(agent, "one", session="s")
                await pause()
                second = await rt.start(agent, "two", session="s", busy=busy)
                await pause()
                third = await rt.start(agent, "three", session="s", busy=busy)
                ends = [await outcome_of(run) for run in (first, second, third)]
            messages = (await memory.load("s")).messages
            check_history(messages)
            asked = [message.text for message in messages if message.role == "user"]
            seen.add((*ends, *asked))
            assert len(ended) == len(set(ended)) <= 3
            for word, end in zip(("one", "two", "three"), ends, strict=True):
                answers = [message for message in messages if message.text == f"answer to {word}"]
                assert len(answers) <= 1
                assert end != "completed" or len(answers) == 1
                if end == "RunRolledBack":
                    assert word not in asked

        run_schedules(scenario, 150)
        assert len(seen) > 3

    @pytest.mark.parametrize("busy", STOPPING)
    @pytest.mark.parametrize("stored", [False, True])
    def test_cancelled_everywhere(self, busy: Busy, stored: bool) -> None:
        """The new run is cancelled at any step: the history stays valid, and the session stays free."""

        async def scenario(point: CancelPoint) -> None:
            policy = STORED if stored else MemoryPolicy()
            agent = Agent(ScriptedModel(answer_after_a_call), "a", tools=[look], memory=policy)
            async with Runtime() as rt:
                first = await rt.start(agent, "one", session="s")
                await trio.lowlevel.checkpoint()
                with point:
                    await rt.run(agent, "two", session="s", busy=busy)
                await outcome_of(first)
                with trio.fail_after(60):
                    await rt.run(agent, "three", session="s", busy="reject")
                messages = (await rt.memory.load("s")).messages
                check_history(messages)
                assert messages[-1].text == "answer to three"

        cancel_everywhere(scenario)

    def test_interrupted_while_the_session_is_stored(self, tmp_path: Any) -> None:
        """The store finishes what it has begun to write: the run is complete, and its answer is there once."""

        async def main() -> None:
            memory = SQLiteMemory(tmp_path / "a.db")
            agent, _ = next_agent()
            outcomes = set[str]()
            async with Runtime(memory=memory) as rt:
                # Longer and longer waits at last: a slow machine comes to the store later.
                for at in itertools.chain(range(40), (2**power for power in range(6, 20))):
                    if at >= 40 and "completed" in outcomes:
                        break
                    session = f"s{at}"
                    first = await rt.start(agent, "one", session=session)
                    for _ in range(at):
                        await trio.lowlevel.checkpoint()
                    await rt.run(agent, "two", session=session, busy="interrupt")
                    outcomes.add(await outcome_of(first))
                    first_whole, second_whole = ([("user", word), ("assistant", "new")] for word in ("one", "two"))
                    # The first run may also come to the session after the second.
                    assert await history(rt, session) in (
                        [*first_whole, *second_whole],
                        [("user", "one"), *second_whole],
                        [*second_whole, *first_whole],
                    )
            await memory.aclose()
            assert "completed" in outcomes

        trio.run(main)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["enqueue", "reject", "interrupt", "rollback"]), st.integers(0, 12)), max_size=5
        ),
        st.booleans(),
        st.integers(0, 1_000),
    )
    def test_any_policies_at_any_time(self, others: list[tuple[Any, int]], stored: bool, seed: int) -> None:
        """Whatever comes when: the history is valid, and has of each run what its end promises."""

        async def scenario() -> None:
            policy = STORED if stored else MemoryPolicy()
            pauses, memory = Pauses(), InProcessMemory()
            model = pauses.model(ScriptedModel(answer_after_a_call))
            agent = Agent(model, "a", tools=[pauses.tool(look)], memory=policy)
            ends: dict[str, str] = {}
            async with Runtime(memory=pauses.memory(memory)) as rt, trio.open_nursery() as nursery:

                async def follow(word: str, run: Run[Any]) -> None:
                    ends[word] = await outcome_of(run)

                for at, (busy, wait) in enumerate([("enqueue", 0), *others]):
                    for _ in range(wait):
                        await trio.lowlevel.checkpoint()
                    try:
                        run = await rt.start(agent, f"word {at}", session="s", busy=busy)
                    except SessionBusy:
                        ends[f"word {at}"] = "SessionBusy"
                    else:
                        nursery.start_soon(follow, f"word {at}", run)
            messages = (await memory.load("s")).messages
            check_history(messages)
            for word, end in ends.items():
                asked = [message for message in messages if (message.role, message.text) == ("user", word)]
                answered = [message for message in messages if message.text == f"answer to {word}"]
                if end == "completed":
                    assert (len(asked), len(answered)) == (1, 1)
                elif end == "RunInterrupted":
                    assert len(asked) == 1
                else:
                    assert (end, asked, answered) in (("RunRolledBack", [], []), ("SessionBusy", [], []))

        run_schedules(scenario, 1, first=seed)


@pytest.mark.skipif(sys.platform != "linux", reason="locks among processes are Linux's")
class TestOtherRuntimes:
    """Runs of other runtimes and processes on the same store."""

    @pytest.mark.parametrize("busy", STOPPING)
    async def test_are_waited_for(self, busy: Busy, tmp_path: Any) -> None:
        """A run of another runtime is not stopped, and nothing of either run is lost."""
        model, (agent, shown) = Hanging(), next_agent()
        async with (
            Runtime(memory=f"sqlite:///{tmp_path}/a.db") as one,
            Runtime(memory=f"sqlite:///{tmp_path}/a.db") as two,
        ):
            first = await one.start(Agent(model), "one", session="s")
            await model.asked.wait()
            second = await two.start(agent, "two", session="s", busy=busy)
            await trio.sleep(0.05)
            assert second.result is None
            model.go.set()
            assert (await first.wait()).status == "completed"
            await second.wait()
        assert shown == [[("user", "one"), ("assistant", "late"), ("user", "two")]]
