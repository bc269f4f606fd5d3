"""Large results of tools: a preview for the model, tools for the rest, and the whole text everywhere else."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from agno_rt import Agent, Limits, MemoryPolicy, ModelRequest, Runtime, ToolCall, tool
from agno_rt._decide.large_results import name_of, read_part, search_text
from agno_rt.errors import Forbidden, UsageError
from agno_rt.events import Event, ToolEnded
from agno_rt.memory import LargeResults, Summary
from agno_rt.models import ModelProfile
from agno_rt.run_store import Resume
from agno_rt.testing.scripted import ScriptedModel
from tests.context.test_compaction import Small, assert_whole
from tests.helpers import told

BOUND = LargeResults(1_000, 200)
TEXT = "\n".join(f"line {number} of the log" for number in range(5_000)) + "\nERROR at 4711: disk full"
POLICY = MemoryPolicy(results=BOUND)


@tool(inline=True)
def read_log() -> str:
    """Read the log."""
    return TEXT


@tool(inline=True)
def short() -> str:
    """Say little."""
    return "little"


def read(start: int, name: str = name_of(TEXT)) -> ToolCall:
    """Call the tool that reads a part."""
    return ToolCall(f"r{start}", "read_result", f'{{"result": "{name}", "start": {start}}}')


def search(words: str) -> ToolCall:
    """Call the tool that searches."""
    return ToolCall("s", "search_result", f'{{"result": "{name_of(TEXT)}", "words": "{words}"}}')


async def test_the_model_sees_a_preview_and_reads_the_rest() -> None:
    """The model sees both ends of a large result, searches it and reads on; the result has the whole text."""
    events: list[Event] = []
    steps: list[Any] = [ToolCall("1", "read_log"), search("error at"), read(-50), ToolCall("2", "short"), "disk full"]
    with ScriptedModel(steps) as model:
        async with Runtime(observers=[events.append]) as rt:
            result = await rt.run(Agent(model, tools=[read_log, short], memory=POLICY), "?", session="s")
            stored = await rt.memory.load("s")

    seen = [message.text for message in model.requests[-1].messages if message.role == "tool"]
    assert len(seen[0]) < 600
    assert seen[0].startswith(f"[This result is {name_of(TEXT)}. It has {len(TEXT):,} characters in 5,001 lines.")
    assert "\nline 0 of the log\n" in seen[0]
    assert seen[0].endswith("disk full")
    place = TEXT.index("ERROR")
    assert seen[1].startswith(f"1 place; read_result reads on from a number:\n{place}: ")
    assert seen[2] == f"[characters {len(TEXT) - 50:,} to {len(TEXT):,} of {len(TEXT):,}]\n{TEXT[-50:]}"
    assert seen[3] == "little"
    assert told(result)[0] == TEXT
    assert list(stored.messages) == list(result.messages)
    assert next(event for event in events if isinstance(event, ToolEnded)).content == TEXT


async def test_requests_keep_their_beginning() -> None:
    """A preview never changes, within a run and in the next runs of the session."""
    with ScriptedModel([ToolCall("1", "read_log"), ToolCall("2", "short"), "a", "b"]) as model:
        async with Runtime() as rt:
            agent = Agent(model, tools=[read_log, short], memory=POLICY)
            await rt.run(agent, "x", session="s")
            await rt.run(agent, "y", session="s")
    for before, after in itertools.pairwise(model.requests):
        assert list(after.messages[: len(before.messages)]) == list(before.messages)
        assert [each.name for each in after.tools] == ["read_log", "short", "read_result", "search_result"]


@pytest.mark.parametrize("url", ["memory:", "sqlite"])
async def test_a_later_run_reads_the_result(url: str, tmp_path: Path) -> None:
    """In a later run of the session the result is read from the session, even if the model does not see it any more."""
    url = f"sqlite:///{tmp_path}/a.db" if url == "sqlite" else url
    with ScriptedModel([ToolCall("1", "read_log"), "a", read(0), search("4711"), "b", read(0), "c"]) as model:
        agent = Agent(model, tools=[read_log], memory=attrs.evolve(POLICY, messages=1))
        async with Runtime(memory=url) as rt:
            await rt.run(agent, "x", session="s", user="ann")
            result = await rt.run(agent, "y", session="s", user="ann")
            other = await rt.run(agent, "y", session="t", user="bob")
    assert told(result)[0].endswith(TEXT[: BOUND.characters - 100])
    assert "disk full" in told(result)[1]
    assert told(other) == ["There is no such result. Its name is in its preview."]


async def test_a_resumed_run_has_its_results(tmp_path: Path) -> None:
    """A stored run that goes on in another process reads the result of its earlier calls."""

    @tool(approve=True, inline=True)
    def confirm() -> str:
        """Confirm."""
        return "confirmed"

    steps: list[Any] = [ToolCall("1", "read_log"), ToolCall("2", "confirm"), read(-9), "end"]
    with ScriptedModel(steps) as model:
        policy = attrs.evolve(POLICY, journal=True)
        agent = Agent(model, name="a", tools=[read_log, confirm], memory=policy)
        async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as rt:
            paused = await rt.run(agent, "x")
            await rt.approve(paused.approvals[0].id)
        async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as rt:
            result = await rt.run(agent, Resume(paused.run_id))
    assert [*map(len, told(result)[:2])] == [len(TEXT), len("confirmed")]
    assert told(result)[2].endswith("disk full")
    assert max(len(message.text) for message in model.requests[-1].messages) < 600


async def test_large_results_and_compaction_together() -> None:
    """Many large results in a small context: previews are compacted, and the transcript has every whole text."""
    numbers = itertools.count()

    @tool(inline=True)
    def dump() -> str:
        """Dump."""
        return f"<{next(numbers)}>" + "x" * 3_000

    asked = itertools.count()

    def answer(request: ModelRequest) -> Any:
        number = next(asked)
        return ToolCall(f"c{number}", "dump") if number < 20 else "done"

    model = Small(answer, profile=ModelProfile(context=1_000))
    policy = MemoryPolicy(messages=None, results=BOUND, summary=Summary(tokens=50))
    agent = Agent(model, tools=[dump], memory=policy, limits=Limits(turns=99))
    async with Runtime() as rt:
        result = await rt.run(agent, "go", session="s")
        stored = await rt.memory.load("s")
    assert model.summaries
    assert [re.match("<[0-9]+>", text)[0] for text in told(result)] == [f"<{number}>" for number in range(20)]  # type: ignore[index]
    assert {len(text) for text in told(result)} == {3_003, 3_004}
    assert list(stored.messages) == list(result.messages)
    for request in model.requests:
        assert_whole(request)


async def test_another_users_session_is_not_read() -> None:
    """The session of another user cannot be read through the tools: its run is refused at once."""
    with ScriptedModel([ToolCall("1", "read_log"), "a"]) as model:
        agent = Agent(model, tools=[read_log], memory=POLICY)
        async with Runtime() as rt:
            await rt.run(agent, "x", session="s", user="ann")
            with pytest.raises(Forbidden):
                await rt.run(agent, "y", session="s", user="bob")


async def test_without_a_bound_results_are_whole() -> None:
    """An agent without `LargeResults` shows its model every result whole, and has no tools for results."""
    with ScriptedModel([ToolCall("1", "read_log"), "a"]) as model:
        async with Runtime() as rt:
            await rt.run(Agent(model, tools=[read_log]), "x")
    assert model.requests[1].messages[-1].text == TEXT
    assert [each.name for each in model.requests[1].tools] == ["read_log"]


async def test_a_tool_of_the_same_name() -> None:
    """An agent's own tool `read_result` is refused beside the bound."""
    mine = tool(inline=True, name="read_result")(lambda: "mine")
    async with Runtime() as rt:
        with pytest.raises(UsageError, match="two tools of the agent are called 'read_result'"):
            await rt.run(Agent(ScriptedModel([]), tools=[mine], memory=POLICY), "x")


@pytest.mark.parametrize("wrong", [{"characters": 10}, {"characters": 1_000, "preview": 900}, {"preview": 0}])
def test_bounds_that_make_no_sense(wrong: dict[str, int]) -> None:
    """A preview as long as the bound, and tiny bounds, are refused."""
    with pytest.raises(UsageError):
        LargeResults(**wrong)


def test_searches_take_words_literally() -> None:
    """Signs of regular expressions and blanks are only characters."""
    assert search_text("a.b (c", "(") == "1 place; read_result reads on from a number:\n4: a.b (c"
    assert search_text("aXb", "a.b") == "'a.b' is not in the text."
    assert search_text("x", "  ") == "Give words to search for."
    assert "3 places" in search_text("É é É", "é")


def test_parts_beyond_the_end() -> None:
    """A part beyond the end says how long the text is."""
    assert read_part("abc", 9, 5) == "There is nothing at 9: the text has 3 characters."
    assert read_part("abc", -99, 2) == "[characters 0 to 2 of 3]\nab"
