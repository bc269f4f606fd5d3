"""Threads of sync tools: bounds, and threads that hang."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import Agent, Limits, Runtime, Tool, ToolCall, tool
from agno_rt.limits import LimitStatistics
from agno_rt.testing import ScriptedModel
from tests.helpers import told


class Release(threading.Event):
    """An event that releases hanging tools, and counts them in `entered`."""

    entered = 0


@pytest.fixture
def release() -> Iterator[Release]:
    """Make a release, set at the end of the test."""
    event = Release()
    yield event
    event.set()


def hanging(release: Release, **options: float) -> Tool:
    """Make a tool whose thread hangs until the release."""

    @tool(timeout=options.get("timeout"))
    def hang() -> str:
        """Hang."""
        release.entered += 1
        release.wait(60)
        return "late"

    return hang


@tool
def quick() -> str:
    """Answer at once."""
    return "quick"


def standing(rt: Runtime) -> dict[str, tuple[float, float, int]]:
    """Return size, use and waiters of the limits for threads."""
    limits = {limit.name: (limit.total, limit.in_use, limit.waiting) for limit in rt.statistics()}
    return {name: limits[name] for name in ("threads", "abandoned_threads")}


async def ended(rt: Runtime) -> None:
    """Wait for the end of all abandoned threads."""
    with trio.fail_after(30):
        while standing(rt)["abandoned_threads"][1]:
            await trio.lowlevel.checkpoint()


async def give_up(rt: Runtime, hang: Tool, release: Release, count: int, *, cancel: bool = False) -> None:
    """Abandon calls of the tool until `count` threads hang. A thread not yet begun just ends."""
    with trio.fail_after(60):
        while release.entered < count:
            run = await rt.start(Agent(calls("hang"), tools=[hang]), "x")
            if cancel:
                await wait_all_tasks_blocked()
                run.cancel()
            await run.wait()
            while standing(rt)["abandoned_threads"][1] != release.entered:
                await trio.lowlevel.checkpoint()


def calls(*names: str) -> ScriptedModel:
    """Make a model that calls the tools in turn."""
    return ScriptedModel([*(ToolCall(str(at), name) for at, name in enumerate(names)), "done"])


@pytest.mark.parametrize("how", ["timed out", "cancelled"])
async def test_tools_that_hang_do_not_stop_others(how: str, release: Release) -> None:
    """An abandoned call gives its place back before its thread ends, and the thread is counted."""
    async with Runtime(limits=Limits(threads=2)) as rt:
        if how == "cancelled":
            await give_up(rt, hanging(release), release, 5, cancel=True)
        else:
            await give_up(rt, hanging(release, timeout=0.01), release, 5)

        with trio.fail_after(60):
            assert told(await rt.run(Agent(calls("quick"), tools=[quick]), "x")) == ["quick"]
        assert standing(rt) == {"threads": (2, 0, 0), "abandoned_threads": (100, 5, 0)}

        release.set()
        await ended(rt)


async def test_beyond_the_bound_it_is_said_which_tools_hang(release: Release) -> None:
    """No thread begins beyond the bound, and the model is told; after a thread's end, tools are called again."""
    async with Runtime(limits=Limits(abandoned_threads=2)) as rt:
        hang = hanging(release, timeout=0.01)
        await give_up(rt, hang, release, 2)
        answers = told(await rt.run(Agent(calls("hang", "quick"), tools=[hang, quick]), "x"))

        for name, answer in zip(("hang", "quick"), answers, strict=True):
            assert answer.startswith(f"{name} was not called: 2 abandoned threads are still running")
            assert answer.endswith("They are in hang (2).")
        assert standing(rt)["abandoned_threads"] == (2, 2, 0)

        release.set()
        await ended(rt)
        assert told(await rt.run(Agent(calls("quick"), tools=[quick]), "x")) == ["quick"]


@pytest.mark.parametrize("concurrency", [None, 1])
async def test_no_more_than_that_at_once(concurrency: int | None, release: Release) -> None:
    """Calls beyond `threads` wait, over all runs. The task tree shows the wait, and the timeout begins later."""
    entered: list[bool] = []

    @tool(timeout=60, concurrency=concurrency)
    def work() -> str:
        """Wait for the release."""
        entered.append(True)
        release.wait(60)
        return "done"

    async with Runtime(limits=Limits(threads=1)) as rt:
        first = await rt.start(Agent(calls("work"), tools=[work]), "x")
        await wait_all_tasks_blocked()
        second = await rt.start(Agent(calls("quick"), tools=[quick]), "x")
        await wait_all_tasks_blocked()

        assert standing(rt)["threads"] == (1, 1, 1)
        task = rt.tasks().run(second.id)
        assert task is not None
        assert task.calls[0].doing == "waiting for a place (threads)"
        assert task.calls[0].waits == LimitStatistics("threads", 1, 1, 1)

        release.set()
        assert told(await first.wait()) == ["done"]
        assert told(await second.wait()) == ["quick"]
        assert len(entered) == 1
        assert standing(rt)["threads"] == (1, 0, 0)


async def test_the_wait_has_a_limit_of_its_own(release: Release) -> None:
    """A wait beyond `queue_timeout` is told to the model, and the run goes on."""
    async with Runtime(limits=Limits(threads=1, queue_timeout=0.01)) as rt:
        first = await rt.start(Agent(calls("hang"), tools=[hanging(release)]), "x")
        await wait_all_tasks_blocked()
        result = await rt.run(Agent(calls("quick"), tools=[quick]), "x")

        assert told(result) == ["quick was not called: the wait for one of the 1 threads took longer than 0.01 s."]
        release.set()
        await first.wait()


async def test_a_run_within_a_tool_does_not_wait_for_its_thread() -> None:
    """A nested call of a sync tool does not wait for the outer call's thread: the wait would never end."""
    async with Runtime(limits=Limits(threads=1)) as rt:

        @tool
        def ask(deep: int) -> str:
            """Ask an agent that asks again."""
            if not deep:
                return "bottom"
            call = ToolCall("i", "ask", f'{{"deep": {deep - 1}}}')
            agent = Agent(ScriptedModel([call, "x"]), tools=[ask])
            return " ".join(told(trio.from_thread.run(rt.run, agent, "x")))

        with trio.fail_after(60):
            outer = Agent(ScriptedModel([ToolCall("o", "ask", '{"deep": 3}'), "x"]), tools=[ask])
            assert told(await rt.run(outer, "x")) == ["bottom"]


async def test_places_and_threads_are_not_held_for_each_other(release: Release) -> None:
    """A call waiting for a thread holds no place of the tool: a call within the thread may need the place."""

    @tool(concurrency=1)
    def narrow() -> str:
        """Answer."""
        return "narrow"

    async with Runtime(limits=Limits(threads=1)) as rt:

        @tool
        def outer() -> str:
            """Wait for the release, then call the other tool."""
            release.wait(60)
            return " ".join(told(trio.from_thread.run(rt.run, Agent(calls("narrow"), tools=[narrow]), "x")))

        first = await rt.start(Agent(calls("outer"), tools=[outer]), "x")
        await wait_all_tasks_blocked()
        second = await rt.start(Agent(calls("narrow"), tools=[narrow]), "x")
        await wait_all_tasks_blocked()
        release.set()

        with trio.fail_after(60):
            assert told(await first.wait()) == ["narrow"]
            assert told(await second.wait()) == ["narrow"]


async def test_the_tree_has_a_line_for_what_hangs(release: Release) -> None:
    """The task tree lists abandoned threads with tool, duration and place in the code."""
    async with Runtime() as rt:
        await give_up(rt, hanging(release, timeout=0.01), release, 2)
        tree = rt.tasks()

        assert [thread.tool for thread in tree.abandoned] == ["hang", "hang"]
        assert all(thread.place is not None for thread in tree.abandoned)
        limits, line, *_ = str(tree).splitlines()
        assert "abandoned_threads 2/100" in limits
        assert line.startswith("abandoned thread")
        assert " of hang" in line
        release.set()
        await ended(rt)


PROGRAM = """
import threading
from agno_rt import Agent, ToolCall, run, tool
from agno_rt.testing import ScriptedModel

@tool(timeout=0.1)
def hang() -> str:
    '''Hang.'''
    threading.Event().wait()

print(run(Agent(ScriptedModel([ToolCall("1", "hang"), "done"]), tools=[hang]), "x").content)
"""


def test_the_program_ends_all_the_same(tmp_path: Path) -> None:
    """A hanging thread does not keep the program alive."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)

    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
