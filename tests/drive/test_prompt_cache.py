"""The prompt cache: requests of a session begin alike, marks are shared, and a missed cache is an event."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from agno_rt import Agent, Message, ModelResponse, Runtime, ToolCall, tool
from agno_rt.events import CacheMissed, ContextCompacted, Event
from agno_rt.memory import MemoryPolicy, Summary
from agno_rt.messages import Usage
from agno_rt.models import Emit, Model, ModelRequest
from agno_rt.testing import ScriptedModel
from agno_rt.wire.cache_marks import cache_marks
from agno_rt.wire.chat_completions import request_body


@tool
async def read_page(number: int, place: str = "book") -> str:
    """Read a page."""
    return f"page {number} of the {place}"


@tool
async def count_words(text: str) -> int:
    """Count words."""
    return len(text.split())


class Noting:
    """A model that notes each request, and answers by a script."""

    name = "noting"

    def __init__(self, *steps: Any) -> None:
        self._model = ScriptedModel(list(steps))
        self.requests: list[ModelRequest] = []

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer as scripted."""
        self.requests.append(request)
        return await self._model.respond(request, emit)


def make_calls(turn: int, count: int) -> list[ToolCall]:
    """Return the calls of a turn."""
    return [ToolCall(f"c{turn}_{at}", "read_page", {"number": at, "place": "book"}) for at in range(count)]


async def run_session(model: Model) -> None:
    """Take two runs of three turns each in one session."""
    agent = Agent(model, name="reader", instructions="You read.", tools=[read_page, count_words])
    async with Runtime() as runtime:
        await runtime.run(agent, "Read.", session="s")
        await runtime.run(agent, "Read on.", session="s")


def write_parts(request: ModelRequest) -> tuple[bytes, list[bytes]]:
    """Return the bytes of everything before the messages, and of each message."""
    body = request_body(request, "m")
    messages = [json.dumps(message).encode() for message in body.pop("messages")]
    return json.dumps(body).encode(), messages


@pytest.mark.parametrize("count", [1, 12])
async def test_each_request_is_the_last_one_with_more_at_the_end(count: int) -> None:
    """Within a run and from run to run, tools, instructions and history are sent again byte for byte."""
    model = Noting(
        *(make_calls(1, count), make_calls(2, count), "Done.", make_calls(3, count), make_calls(4, count), "Bye.")
    )
    await run_session(model)
    parts = [write_parts(request) for request in model.requests]
    assert len(parts) == 6
    for (head, before), (other, after) in itertools.pairwise(parts):
        assert head == other
        assert after[: len(before)] == before
        assert len(after) > len(before)


@pytest.mark.parametrize("count", [1, 12])
async def test_requests_in_a_row_share_a_mark_at_the_end_of_the_first(count: int) -> None:
    """The end of each request is marked in the next one, too, whatever the number of calls in between."""
    model = Noting(
        *(make_calls(1, count), make_calls(2, count), "Done.", make_calls(3, count), make_calls(4, count), "Bye.")
    )
    await run_session(model)
    marks = [cache_marks(request.messages) for request in model.requests]
    for request, (before, after) in zip(model.requests, itertools.pairwise(marks), strict=False):
        end = len(request.messages) - 1
        assert before[-1] == end
        assert end in after
    assert all(each[0] == 0 and len(each) <= 3 for each in marks)


@pytest.mark.parametrize(
    ("roles", "marks"),
    [
        ("", ()),
        ("u", (0,)),
        ("s", (0,)),
        ("su", (0, 1)),
        ("ssu", (1, 2)),
        ("suatu", (0, 1, 4)),
        ("au", (1,)),
        ("uauau", (2, 4)),
        ("suattt", (0, 1, 5)),
    ],
)
def test_marks_are_at_the_ends_of_requests(roles: str, marks: tuple[int, ...]) -> None:
    """Marks follow the instructions, the last request and this request; places that are the same are marked once."""
    names: dict[str, Any] = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    assert cache_marks([Message(names[role], role) for role in roles]) == marks


@pytest.mark.parametrize(
    ("usages", "missed"),
    [
        ([Usage(9_000, 1, 0, 0, cache_write_tokens=8_000), Usage(9_500, 1, 0, 8_000)], []),
        ([Usage(9_000, 1, 0, 0, cache_write_tokens=8_000), Usage(9_500, 1)], [(2, 8_000, 0)]),
        ([Usage(9_000, 1, 0, 8_000), Usage(9_500, 1, 0, 128, cache_write_tokens=9_000)], [(2, 8_000, 128)]),
        ([Usage(9_000, 1, 0, 8_000), Usage(9_500, 1), Usage(9_900, 1)], [(2, 8_000, 0)]),
        ([Usage(9_000, 1), Usage(9_500, 1)], []),
        ([Usage(900, 1, 0, 800), Usage(950, 1)], []),
    ],
)
async def test_a_missed_cache_is_an_event(usages: list[Usage], missed: list[tuple[int, int, int]]) -> None:
    """The event tells the turn and both counts, once; short beginnings and first requests tell nothing."""
    *calling, last = usages
    steps = [
        ModelResponse("", make_calls(turn, 1), usage=usage, finish_reason="tool_calls")
        for turn, usage in enumerate(calling)
    ]
    agent = Agent(ScriptedModel([*steps, ModelResponse("Done.", usage=last)]), name="reader", tools=[read_page])
    async with Runtime() as runtime, runtime.stream(agent, "Read.") as events:
        seen: list[Event] = [event async for event in events]
    found = [(event.turn, event.before, event.cached) for event in seen if isinstance(event, CacheMissed)]
    assert found == missed


def cached_answers(*usages: Usage) -> ScriptedModel:
    """Return a model whose answers have these usages, one after the other."""
    return ScriptedModel([ModelResponse("Done.", usage=usage) for usage in usages])


async def list_misses(runtime: Runtime, agent: Agent, session: str | None) -> list[tuple[int, int, int]]:
    """Return the misses that a run tells: the turn and both counts."""
    async with runtime.stream(agent, "Read.", session=session) as events:
        return [(each.turn, each.before, each.cached) async for each in events if isinstance(each, CacheMissed)]


WRITTEN = Usage(9_000, 1, 0, 0, cache_write_tokens=8_000)


async def test_a_missed_cache_between_two_runs_of_a_session_is_told() -> None:
    """A run's first request follows the session's last one; other sessions and lone runs are apart."""
    agent = Agent(cached_answers(WRITTEN, Usage(9_500, 1, 0, 8_000), *[Usage(9_900, 1)] * 5), name="reader")
    async with Runtime() as runtime:
        assert await list_misses(runtime, agent, "s") == []
        assert await list_misses(runtime, agent, "s") == []
        assert await list_misses(runtime, agent, "other") == []
        assert await list_misses(runtime, agent, None) == []
        assert await list_misses(runtime, agent, "s") == [(1, 8_000, 0)]
        assert await list_misses(runtime, agent, "s") == []


async def test_another_agent_in_the_session_misses_nothing() -> None:
    """Each agent has a beginning of its own, so the cache cannot have the beginning of another agent's requests."""
    reader = Agent(cached_answers(WRITTEN, Usage(9_500, 1)), name="reader")
    writer = Agent(cached_answers(Usage(9_200, 1)), name="writer")
    async with Runtime() as runtime:
        assert await list_misses(runtime, reader, "s") == []
        assert await list_misses(runtime, writer, "s") == []


async def test_a_summary_between_two_runs_is_not_told_as_a_missed_cache() -> None:
    """A run that begins with a new summary has another beginning, as it must."""
    policy = MemoryPolicy(tokens=40, summary=Summary())
    long, done = ModelResponse("word " * 60, usage=WRITTEN), ModelResponse("Done.", usage=Usage(9_000, 1))
    steps = [long, ModelResponse("Short.", usage=Usage(50, 1)), done, done]
    agent = Agent(ScriptedModel(steps), name="reader", memory=policy)
    async with Runtime() as runtime:
        assert await list_misses(runtime, agent, "s") == []
        async with runtime.stream(agent, "Read on.", session="s") as events:
            seen: list[Event] = [event async for event in events]
        assert any(isinstance(event, ContextCompacted) for event in seen)
        assert not any(isinstance(event, CacheMissed) for event in seen)
        assert await list_misses(runtime, agent, "s") == []
