"""Limits, bounded tools, wrappers, memory, budgets and streams have statistics."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import Agent, Limits, RateLimit, Runtime, ToolCall, Usage, tool
from agno_rt.limits import LimitStatistics
from agno_rt.models import ModelResponse
from agno_rt.testing import ScriptedModel
from tests.helpers import Hanging, forever

RUNTIME = ["runs", "model_calls", "threads", "abandoned_threads"]
"""The limits of every runtime."""


async def test_a_bounded_tool() -> None:
    """A tool with a concurrency has a limit of its own, over all runs of the runtime."""

    @tool(concurrency=2)
    async def slow() -> str:
        """Take long."""
        await trio.sleep_forever()
        return ""

    calls = [ToolCall(str(at), "slow") for at in range(3)]
    async with Runtime() as rt:
        run = await rt.start(Agent(ScriptedModel([calls]), tools=[slow]), "go")
        await wait_all_tasks_blocked()
        assert rt.statistics()[-1] == LimitStatistics("tool 'slow'", 2, 2, 1)
        run.cancel()
        await run.wait()
        assert rt.statistics()[-1] == LimitStatistics("tool 'slow'", 2, 0, 0)


async def test_a_wrapper_around_a_model() -> None:
    """The statistics include the rate limit of a model object, not only of a spec."""
    limited = RateLimit(ScriptedModel(["a"]), requests=10)
    async with Runtime() as rt:
        await rt.run(Agent(limited), "go")
        assert [limit.name for limit in rt.statistics()][4:] == [limit.name for limit in limited.statistics()]


async def test_a_memory_backend(tmp_path: Path) -> None:
    """The statistics include the requests that wait for the SQLite file."""
    path = tmp_path / "chats.db"
    async with Runtime(memory=f"sqlite:///{path}") as rt:
        assert [limit.name for limit in rt.statistics()] == RUNTIME
        await rt.run(Agent(ScriptedModel(["a"])), "go", session="s")
        assert rt.statistics()[-1] == LimitStatistics(str(path), 1, 0, 0)


async def test_a_run_under_way() -> None:
    """A run has statistics of its turns and of its bounded budgets."""
    model = ScriptedModel([ModelResponse(tool_calls=[ToolCall("1", "forever")], usage=Usage(30, 12))])
    agent = Agent(model, tools=[forever], limits=Limits(turns=5, tool_calls=3, tokens=100))
    async with Runtime() as rt:
        run = await rt.start(agent, "go")
        assert run.statistics()[0] == LimitStatistics("turns", 5, 0, 0)
        await wait_all_tasks_blocked()
        assert run.statistics() == (
            LimitStatistics("turns", 5, 1, 0),
            LimitStatistics("tool_calls", 3, 1, 0),
            LimitStatistics("tokens", 100, 42, 0),
        )
        run.cancel()


async def test_a_stream() -> None:
    """A stream has statistics of its unread events, and of the run's wait for a full buffer."""
    async with Runtime() as rt:
        async with rt.stream(Agent(Hanging()), "go") as stream:
            await wait_all_tasks_blocked()
            assert stream.statistics()[-1] == LimitStatistics("stream_buffer", 256, 2, 0)
        async with rt.stream(Agent(ScriptedModel(["word " * 500])), "go") as stream:
            await wait_all_tasks_blocked()
            assert stream.statistics()[-1] == LimitStatistics("stream_buffer", 256, 256, 1)
            assert [event async for event in stream][-1].run_id == stream.run_id
            assert stream.statistics()[-1] == LimitStatistics("stream_buffer", 256, 0, 0)
