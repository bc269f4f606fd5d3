"""The events of runs within, in the stream of the run around them, each with the path of its run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio

from agno_rt import Agent, Limits, RunContext, Runtime, Team, ToolCall
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import ModelError
from agno_rt.events import RunEnded, RunStarted, TextDelta
from agno_rt.runs import STREAM_BUFFER
from agno_rt.teams import Broadcast, Leader
from agno_rt.testing import Pauses, ScriptedModel, run_schedules
from tests.teams.members import delegate, failing, saying
from tests.teams.modes import MODES, make_team
from tests.teams.test_everywhere import check_events


def nested() -> Team:
    """Return a sequence of a leader's team and a broadcast."""
    led = Team([saying("a", "from a")], Leader(saying("lead", delegate(("a", "x")), "led")), name="led")
    both = Team([saying("b", "from b"), saying("c", "from c")], Broadcast(), name="both")
    return Team([led, both], name="team")


async def test_each_event_has_the_path_of_its_run() -> None:
    """Every run within is there with its path, and with the text of its model; the run's own events have none."""
    texts, ended = dict[str, str](), dict[str, str]()
    async with Runtime() as rt, rt.stream(nested(), "go") as events:
        async for path, event in events.within():
            if isinstance(event, TextDelta):
                texts[path] = texts.get(path, "") + event.text
            elif isinstance(event, RunEnded):
                ended[path] = event.status
        assert events.result is not None
        run = events.result

    assert run.status == "completed"
    assert {path: text for path, text in texts.items() if text} == {
        "led#1/lead#1": "led",
        "led#1/lead#1/a": "from a",
        "both#1/members#1/b/b#1": "from b",
        "both#1/members#1/c/c#1": "from c",
    }
    assert ended == dict.fromkeys(["", "led#1", "both#1", *texts], "completed")


async def test_the_stream_itself_has_the_events_of_its_run_alone() -> None:
    """Iterating over the stream gives what it gave without members: no event of a run within."""
    async with Runtime() as rt, rt.stream(nested(), "go") as events:
        seen = [event async for event in events]

    assert {event.run_id for event in seen} == {events.run_id}
    assert isinstance(seen[0], RunStarted)
    assert isinstance(seen[-1], RunEnded)


async def test_nothing_is_lost_before_the_reading_begins() -> None:
    """Runs within that begin before the reader has asked for their events are in the stream."""
    async with Runtime() as rt, rt.stream(nested(), "go") as events:
        await trio.testing.wait_all_tasks_blocked()
        started = [path async for path, event in events.within() if isinstance(event, RunStarted)]

    assert len(started) == len(set(started)) == 7


async def test_runs_within_a_tool_have_the_name_of_the_runnable() -> None:
    """A tool's run within is in the stream, with the runnable's name as its path."""

    async def ask(context: RunContext) -> Any:
        """Ask."""
        return await context.run(saying("helper", "hello"), "x")

    agent = Agent(ScriptedModel([ToolCall("1", "ask"), "done"]), "boss", "", [ask])
    async with Runtime() as rt, rt.stream(agent, "go") as events:
        texts = [(path, event.text) async for path, event in events.within() if isinstance(event, TextDelta)]

    assert [each for each in texts if each[1]] == [("helper", "hello"), ("", "done")]


async def test_a_failure_within_ends_once() -> None:
    """A member fails: its run has ended in the stream before the team's, and the iteration raises the error."""
    seen: list[tuple[str, Any]] = []
    async with Runtime() as rt, rt.stream(Team([failing("f")], name="team"), "go") as events:
        within = events.within()
        with pytest.raises(ModelError, match="no luck"):
            await read_all(within, seen)

    assert [(path, event.status) for path, event in seen if isinstance(event, RunEnded)] == [
        ("f#1", "failed"),
        ("", "failed"),
    ]


async def read_all(stream: Any, seen: list[Any]) -> None:
    """Read the stream to the end."""
    async for pair in stream:
        seen += [pair]


async def test_a_slow_reader_slows_the_members() -> None:
    """The members wait for a reader who is behind: the buffer keeps its bound."""
    team = Team([saying(str(number), "text " * 200) for number in range(5)], Broadcast(), name="team")
    most = 0.0
    async with Runtime() as rt, rt.stream(team, "go") as events:
        async for _ in events.within():
            most = max(most, events.statistics()[-1].in_use)
            await trio.testing.wait_all_tasks_blocked()

    assert most <= STREAM_BUFFER + 5


@pytest.mark.parametrize("mode", MODES)
def test_started_and_ended_once(mode: str) -> None:
    """In every mode, whatever began within has ended, once, also at a pause; the last event is the run's own end."""

    async def scenario() -> None:
        seen: list[Any] = []
        team = make_team(mode, lambda line: None, wrap=Pauses().model)
        async with Runtime(memory=InProcessMemory(), limits=Limits(depth=20)) as rt, rt.stream(team, "go") as events:
            seen.extend([pair async for pair in events.within()])
        check_events([event for _, event in seen])
        assert (seen[-1][0], type(seen[-1][1]), seen[-1][1].status) == ("", RunEnded, "paused")
        paths = Counter(path for path, event in seen if isinstance(event, RunStarted))
        assert paths[""] == 1

    run_schedules(scenario, 10)
