"""Progress of tools, in order, from trio's thread or a thread of the tool, until the tool's end."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt._drive.emitter import EventBuffer
from agno_rt.context import RunContext
from agno_rt.events import Event, ToolEnded, ToolProgress, ToolStarted
from agno_rt.testing import ScriptedModel
from tests.helpers import told
from tests.tool_helpers import calls_of, job_of, listening, told_of


@attrs.define
class Step:
    """A class for JSON."""

    at: int


@tool
async def awaiting(context: RunContext) -> str:
    """Report progress three times."""
    for at in range(3):
        await context.progress({"at": at})
    return "done"


@tool
def in_thread(context: RunContext) -> str:
    """Report progress three times, from a thread."""
    for at in range(3):
        context.report({"at": at})
    return "done"


@tool(inline=True)
def in_place(context: RunContext) -> str:
    """Report progress three times, inline."""
    for at in range(3):
        context.report({"at": at})
    return "done"


@tool
async def reporting(context: RunContext) -> str:
    """Report progress three times, from an async function without waiting."""
    for at in range(3):
        context.report({"at": at})
    return "done"


TOOLS = [awaiting, in_thread, in_place, reporting]


@pytest.mark.parametrize("one", TOOLS, ids=lambda one: one.name)
async def test_between_start_and_end(one: Any) -> None:
    """Progress comes in order, between the call's start and end, with run and call."""
    async with Runtime() as rt:
        agent = Agent(ScriptedModel([ToolCall("c", one.name), "x"]), tools=[one])
        async with rt.stream(agent, "Go!") as stream:
            events = [event async for event in stream if isinstance(event, ToolStarted | ToolProgress | ToolEnded)]

    assert isinstance(events[0], ToolStarted)
    assert isinstance(events[-1], ToolEnded)
    progress = events[1:-1]
    assert [event.data for event in progress if isinstance(event, ToolProgress)] == [{"at": at} for at in range(3)]
    assert {(event.run_id, event.call.id) for event in events} == {(stream.run_id, "c")}


@pytest.mark.parametrize("one", TOOLS, ids=lambda one: one.name)
async def test_nobody_listens(one: Any) -> None:
    """Progress without a listener is dropped, and the tool works."""
    async with Runtime() as rt:
        assert told(await rt.run(Agent(ScriptedModel([ToolCall("c", one.name), "x"]), tools=[one]), "x")) == ["done"]


@pytest.mark.parametrize("listened", [False, True])
async def test_what_is_no_json(listened: bool) -> None:
    """Progress that is not JSON is a failure of the tool, named by type, with or without a listener."""

    @tool
    async def awaits(context: RunContext) -> None:
        """Report an object unknown to JSON."""
        await context.progress({"at": object()})

    @tool
    def reports(context: RunContext) -> None:
        """Report an object unknown to JSON, from a thread."""
        context.report({"at": object()})

    events: list[Event] = []
    emitter = listening(events) if listened else None
    for one in (awaits, reports):
        [content] = await told_of(job_of(one, emitter=emitter), calls_of(one.name, "{}"))
        assert f"the progress of the tool {one.name} cannot be sent as JSON" in str(content)
        assert "type object" in str(content)
    assert not any(isinstance(event, ToolProgress) for event in events)


async def test_what_is_sent_is_what_it_was() -> None:
    """Classes are sent as plain data, and later changes do not reach the event."""

    @tool
    async def change(context: RunContext) -> None:
        """Report a list, then change the list."""
        steps = [Step(1)]
        await context.progress(steps)
        steps.append(Step(2))

    events: list[Event] = []
    await told_of(job_of(change, emitter=listening(events)), calls_of("change", "{}"))
    assert [event.data for event in events if isinstance(event, ToolProgress)] == [[{"at": 1}]]


async def test_after_the_end() -> None:
    """Progress after the tool's end is dropped, from any thread."""
    kept: list[RunContext] = []

    @tool
    async def keep(context: RunContext) -> None:
        """Let the context escape."""
        kept.append(context)

    events: list[Event] = []
    await told_of(job_of(keep, emitter=listening(events)), calls_of("keep", "{}"))
    before = list(events)

    await kept[0].progress("late")
    kept[0].report("late")
    await trio.to_thread.run_sync(kept[0].report, "late")
    assert events == before


async def test_a_slow_reader_makes_both_wait() -> None:
    """Async tools and threads wait at a full buffer, and no progress is lost."""
    for one in (awaiting, in_thread):
        events: list[Event] = []
        buffer = EventBuffer(1)
        job = job_of(one, emitter=listening(events, buffer))
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(told_of, job, calls_of(one.name, "{}"))
                await wait_all_tasks_blocked()
                assert len(events) == 1
                for _ in range(5):
                    await buffer.receive()
        assert [type(event) for event in events] == [ToolStarted, *[ToolProgress] * 3, ToolEnded]


async def test_a_thread_that_waits_is_let_go() -> None:
    """A thread waiting for an absent reader is released when its call is cancelled, and reports no more."""
    left = threading.Event()
    reported: list[int] = []

    @tool
    def chatty(context: RunContext) -> None:
        """Report more progress than the buffer holds."""
        try:
            for at in range(5):
                context.report(at)
                reported.append(at)
        finally:
            left.set()

    events: list[Event] = []
    job = job_of(chatty, emitter=listening(events, EventBuffer(2)))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(told_of, job, calls_of("chatty", "{}"))
            while reported != [0]:  # the start and one report fill the buffer
                await trio.lowlevel.checkpoint()
            await wait_all_tasks_blocked(0.01)
            assert reported == [0]
            nursery.cancel_scope.cancel()
    assert isinstance(events[-1], ToolEnded)
    told_before = len(events)

    with trio.fail_after(60):
        await trio.to_thread.run_sync(left.wait, abandon_on_cancel=True)
    await wait_all_tasks_blocked()
    assert reported == [0, 1, 2, 3, 4]
    assert len(events) == told_before


def test_a_thread_that_outlives_trio() -> None:
    """A thread left behind may report after trio's end, without effect."""
    release, left = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    @tool(timeout=0.01)
    def stuck(context: RunContext) -> None:
        """Wait, then report."""
        try:
            release.wait(60)
            context.report("late")
        except BaseException as exc:
            failures.append(exc)
            raise
        finally:
            left.set()

    async def main() -> None:
        await told_of(job_of(stuck, emitter=listening([])), calls_of("stuck", "{}"))

    trio.run(main)
    release.set()
    assert left.wait(60)
    assert not failures


async def test_a_thread_of_the_tools_own() -> None:
    """A thread started by the tool may report too."""

    @tool
    def spread(context: RunContext) -> str:
        """Work in two threads."""
        threads = [threading.Thread(target=context.report, args=(at,)) for at in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return "done"

    events: list[Event] = []
    assert await told_of(job_of(spread, emitter=listening(events)), calls_of("spread", "{}")) == ["done"]
    assert sorted(event.data for event in events if isinstance(event, ToolProgress)) == [0, 1]


async def test_outside_a_tool() -> None:
    """A context without a call drops progress."""
    await RunContext("r").progress(1)
    RunContext("r").report(1)
