"""A run with every feature: cancelled at every step, failing at every call, under many schedules."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Event, Limits, Message, Runtime, ToolCall, tool
from agno_rt.context import RunContext, State
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import AgnoError
from agno_rt.events import RunEnded, RunStarted, event_type
from agno_rt.hooks import Guard, Hook, Verdict
from agno_rt.memory import MemoryBackend, MemoryPolicy, UserMemory
from agno_rt.models import Model, ModelRequest, ModelResponse
from agno_rt.testing import Faults, Pauses, cancel_everywhere, fail_everywhere, run_schedules
from agno_rt.testing.cancelling import CancelPoint
from agno_rt.testing.scripted import ScriptedModel
from tests.helpers import places

SCHEDULES = 1_000 if os.environ.get("CI") else 100


@attrs.define
class Tally:
    """A session's state."""

    calls: int = 0


@tool
async def look(where: str, context: RunContext, tally: State[Tally]) -> str:
    """Look somewhere, with progress."""
    tally.calls += 1
    await context.progress({"at": where})
    await trio.lowlevel.checkpoint()
    return f"nothing in {where}"


@tool
async def wait() -> str:
    """Wait a moment."""
    await trio.sleep(0.01)
    return "waited"


class Nod(Hook):
    """A hook at two steps, without changes."""

    async def before_model(self, context: RunContext, request: ModelRequest) -> None:
        """Pass the request."""
        await trio.lowlevel.checkpoint()

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> None:
        """Pass the result."""
        await trio.lowlevel.checkpoint()


class Calm:
    """A guardrail that passes every text, after a checkpoint."""

    name = "calm"

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Pass the text."""
        await trio.lowlevel.checkpoint()
        return None


def script() -> ScriptedModel:
    """Make a model with several calls at once, then an answer in pieces."""
    calls = [ToolCall("1", "look", '{"where": "here"}'), ToolCall("2", "wait", "{}"), ToolCall("3", "nothing", "{}")]
    return ScriptedModel([calls, ModelResponse("all is well", reasoning="I looked.")])


def agent(model: Model, faults: Faults | Pauses | None = None) -> Agent:
    """Make an agent with tools, hooks, a state, facts and a budget."""
    tools = [look, wait]
    hooks: list[Hook | Guard] = [Nod(), Guard(Calm(), on=("input",), race=True), Guard(Calm(), on=("output",))]
    if faults is not None:
        model, tools, hooks = faults.model(model), [*map(faults.tool, tools)], [*map(faults.hook, hooks)]
    policy = MemoryPolicy(state=Tally, facts=UserMemory())
    limits = Limits(tools=2, tokens=10_000, tool_timeout=5, model_timeout=5, turn_timeout=5, run_timeout=5)
    return Agent(model, "everything", "Be calm.", tools, None, policy, limits=limits, hooks=hooks)


ROLES = ["user", "assistant", "tool", "tool", "tool", "assistant"]


def whole_or_nothing(messages: Sequence[Message]) -> bool:
    """Return True for a whole run in the history, False for an empty history. Fail on a part of a run."""
    roles = [message.role for message in messages]
    assert roles in ([], ROLES), f"half a history: {roles}"
    return bool(roles)


def ends_once(events: Sequence[Event]) -> RunEnded | None:
    """Return the run's last event. Check that a run that began ends once, and that each started step ended."""
    names = [event_type(event) for event in events]
    assert names.count("run_started") == names.count("run_ended") <= 1, names
    assert names.count("model_started") == names.count("model_ended"), names
    assert names.count("tool_started") == names.count("tool_ended"), names
    if not events:
        return None
    assert isinstance(events[0], RunStarted), names
    assert isinstance(events[-1], RunEnded), names
    return events[-1]


def nothing_is_held(rt: Runtime) -> None:
    """Check that no place of a limit is taken or waited for."""
    for limit in places(rt):
        assert (limit.in_use, limit.waiting) == (0, 0), limit


async def goes_on(rt: Runtime, memory: MemoryBackend, stored: bool, state: Tally) -> None:
    """Check that the session is free, readable, and goes on from its stored state."""
    model = ScriptedModel(["still here"])
    result = await rt.run(agent(model), "and now?", session="s", user="ann")
    assert result.content == "still here"
    assert result.state == (state if stored else Tally())
    assert len((await memory.load("s")).messages) == (len(ROLES) if stored else 0) + 2


def tasks() -> set[str]:
    """Return the running tasks, including trio's own and the test's."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    waiting, found = [root], set()
    while waiting:
        task = waiting.pop()
        found.add(f"{task.name} {id(task)}")
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "not streaming"])
def test_cancelled_at_every_step(streaming: bool) -> None:
    """A cancelled run leaves no task, a whole history or none, and exactly one terminal event."""
    outcomes: set[str] = set()

    async def scenario(point: CancelPoint) -> None:
        events: list[Event] = []
        memory = InProcessMemory()
        before = tasks()
        pauses = Pauses()
        async with Runtime(memory=pauses.memory(memory), observers=[events.append]) as rt:
            with point:
                if streaming:
                    async with rt.stream(agent(script(), pauses), "look", session="s", user="ann") as stream:
                        async for _ in stream:
                            pass
                else:
                    await rt.run(agent(script(), pauses), "look", session="s", user="ann")
            stored = whole_or_nothing((await memory.load("s")).messages)
            ended = ends_once(events)
            if ended is not None:
                outcomes.add(ended.status)
                # A stored run cannot be taken back: its status is completed, or cancelled after the end.
                assert ended.status == "cancelled" or stored, ended
            assert point.cancelled or stored
            nothing_is_held(rt)
            await goes_on(rt, memory, stored, Tally(calls=1))
        assert tasks() == before

    points = cancel_everywhere(scenario, at_least=60, virtual=True)
    assert outcomes == {"cancelled", "completed"}, points


def test_failing_at_every_call() -> None:
    """A failing call of model, tool, hook, observer or memory leaves a whole history or none, and one end."""
    outcomes: set[str] = set()

    async def scenario(faults: Faults) -> None:
        events: list[Event] = []
        memory = InProcessMemory()
        async with Runtime(memory=faults.memory(memory), observers=[events.append]) as rt:
            told: list[Event] = []
            error: AgnoError | None = None
            try:
                async with rt.stream(agent(script(), faults), "look", session="s", user="ann") as stream:
                    async for event in stream:
                        told.append(event)  # noqa: PERF401 - events before an error count
            except AgnoError as exc:
                error = exc
            stored = whole_or_nothing((await memory.load("s")).messages)
            ended = ends_once(events)
            ends_once(told)
            assert ended is not None
            outcomes.add(ended.status)
            assert (ended.status == "completed") == (error is None)
            if error is not None:
                assert error.result.status == ended.status == "failed"
                assert "injected" in f"{error} {error.__cause__}"
            # A backend may store and then fail: the caller gets the failure, and the history is whole.
            assert stored or error is not None
            nothing_is_held(rt)
            outcome = stream.result if error is None else error.result
            assert outcome is not None
        async with Runtime(memory=memory) as rt:
            await goes_on(rt, memory, stored, outcome.state)

    points = fail_everywhere(scenario, at_least=15, virtual=True)
    assert outcomes == {"failed", "completed"}, points


def test_two_runs_on_one_session_under_many_schedules() -> None:
    """Two runs on a session lose or mix no messages, in any order of tasks."""

    async def scenario() -> None:
        pauses, memory = Pauses(), InProcessMemory()

        async def one(rt: Runtime, word: str) -> None:
            calls = [ToolCall("1", "look", f'{{"where": "{word}"}}'), ToolCall("2", "wait", "{}")]
            model = ScriptedModel([calls, f"answer {word}"])
            async with rt.stream(agent(model, pauses), word, session="s", user="ann") as stream:
                async for _ in stream:
                    await trio.lowlevel.checkpoint()

        async with Runtime(memory=pauses.memory(memory)) as rt:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one, rt, "a")
                nursery.start_soon(one, rt, "b")
            nothing_is_held(rt)
        texts: list[Any] = [(message.role, message.text) for message in (await memory.load("s")).messages]
        halves = [texts[:5], texts[5:]]
        expected = {
            word: [
                ("user", word),
                ("assistant", ""),
                ("tool", f"nothing in {word}"),
                ("tool", "waited"),
                ("assistant", f"answer {word}"),
            ]
            for word in "ab"
        }
        assert halves in ([expected["a"], expected["b"]], [expected["b"], expected["a"]]), texts

    assert run_schedules(scenario, SCHEDULES) == SCHEDULES
