"""Compaction: long conversations within and between runs stay within the model's context, and nothing is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from agno_rt import Agent, Limits, MemoryPolicy, Message, ModelRequest, ModelResponse, Runtime, ToolCall, Usage, tool
from agno_rt._decide.compaction import bound_summary, count_bytes, tokens_of_tools
from agno_rt.errors import ContextOverflow, LimitExceeded, ModelError
from agno_rt.events import CacheMissed, ContextCompacted, Event
from agno_rt.memory import Summary
from agno_rt.models import Emit, ModelProfile
from agno_rt.providers import Context
from agno_rt.run_store import Resume
from tests.context.test_providers import Given

WINDOW = 1_000


def size(request: ModelRequest) -> int:
    """Estimate the tokens of a request as a run does."""
    return sum(map(count_bytes, request.messages)) + tokens_of_tools(request.tools)


@attrs.define
class Small:
    """A model with a small context: refuses larger requests, as counted by `tokens`, and answers by `answer`.

    Summaries are asked with turn 0, and are answered by `summary`.
    """

    answer: Callable[[ModelRequest], Any]
    summary: Callable[[ModelRequest], str] = lambda request: "what was said"
    profile: ModelProfile = ModelProfile(context=WINDOW)
    tokens: Callable[[ModelRequest], int] = size
    name: str = "small"
    requests: list[ModelRequest] = attrs.Factory(list)
    summaries: list[ModelRequest] = attrs.Factory(list)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer, or refuse."""
        if request.turn == 0:
            self.summaries.append(request)
            return ModelResponse(self.summary(request), usage=Usage(5, 5))
        if self.tokens(request) > WINDOW:
            raise ContextOverflow(f"the prompt has {self.tokens(request)} tokens", provider=self.name)
        self.requests.append(request)
        said = self.answer(request)
        if isinstance(said, ToolCall):
            return ModelResponse("", [said], usage=Usage(10, 1))
        return ModelResponse(said, usage=Usage(10, 1))


def policy(**options: Any) -> MemoryPolicy:
    """Make a policy with nothing but a summary."""
    return MemoryPolicy(messages=None, summary=Summary(**{"tokens": 50, **options}))


@tool(inline=True)
def look(number: int) -> str:
    """Look at a number."""
    return f"<r{number}>" + "x" * 300


def calls(count: int) -> Callable[[ModelRequest], Any]:
    """Answer with `count` calls one after the other, then with a text."""
    numbers = itertools.count()

    def answer(request: ModelRequest) -> Any:
        number = next(numbers)
        return ToolCall(f"c{number}", "look", f'{{"number": {number}}}') if number < count else "done"

    return answer


def assert_whole(request: ModelRequest) -> None:
    """Check pairs of calls and results, and a user's message at the beginning."""
    said = [message for message in request.messages if message.role != "system"]
    assert said[0].role == "user"
    open_calls: list[str] = []
    for message in said:
        if message.role == "tool":
            assert message.tool_call_id == open_calls.pop(0)
        else:
            assert not open_calls
            open_calls = [call.id for call in message.tool_calls]
    assert not open_calls


async def test_a_long_loop_of_tools_stays_within_the_context() -> None:
    """A run of 40 calls compacts in its middle: rarely, with whole units, the input kept, and the transcript whole."""
    model = Small(calls(40))
    agent = Agent(model, instructions="Look at all.", tools=[look], memory=policy(), limits=Limits(turns=99))
    events: list[Event] = []
    async with Runtime() as rt, rt.stream(agent, "The task", session="s") as stream:
        events = [event async for event in stream]
        result = stream.result
        stored = await rt.memory.load("s")

    assert result is not None
    assert result.content == "done"
    assert [message.text[:6].partition(">")[0] for message in result.messages if message.role == "tool"] == [
        f"<r{number}" for number in range(40)
    ]
    assert list(stored.messages) == list(result.messages)
    for request in model.requests:
        assert_whole(request)
        assert size(request) <= WINDOW * 0.8
        assert [message.text for message in request.messages if message.role == "user"] == ["The task"]
        assert request.messages[0].text.startswith("Look at all.")
    compacted = [event for event in events if isinstance(event, ContextCompacted)]
    assert 2 < len(compacted) == len(model.summaries) < 20
    assert all(event.after < event.before for event in compacted)
    assert sum(event.messages for event in compacted) < len(result.messages)
    assert result.usage.input_tokens == 41 * 10 + len(model.summaries) * 5


async def test_the_beginning_stays_the_same_between_compactions() -> None:
    """Between two compactions each request begins with the whole request before it."""
    model = Small(calls(30))
    async with Runtime() as rt:
        await rt.run(Agent(model, tools=[look], memory=policy(), limits=Limits(turns=99)), "go")

    changed = sum(
        list(after.messages[: len(before.messages)]) != list(before.messages)
        for before, after in itertools.pairwise(model.requests)
    )
    assert changed == len(model.summaries)


@pytest.mark.parametrize("memory", ["memory:", "sqlite"])
async def test_every_message_is_shown_or_summarised_later(memory: str, tmp_path: Path) -> None:
    """The next run sees the summary and the messages after it; the session holds the whole conversation."""
    model = Small(calls(12), summary=lambda request: f"summary of {request.messages[-1].text.count('<r')} results")
    agent = Agent(model, tools=[look], memory=policy(), limits=Limits(turns=99))
    async with Runtime(memory=memory if memory != "sqlite" else f"sqlite:///{tmp_path}/a.db") as rt:
        first = await rt.run(agent, "first task", session="s")
        await rt.run(agent, "second task", session="s")
        stored = await rt.memory.load("s")

    last = model.requests[-1]
    assert "summary of" in last.messages[0].text
    shown = [message for message in last.messages if message.role != "system"]
    assert shown[-1].text == "second task"
    assert shown[:-1] == list(first.messages)[len(first.messages) - len(shown) + 1 :]
    assert "first task" in "".join(request.messages[-1].text for request in model.summaries)
    assert len(stored.messages) == len(first.messages) + 2


async def test_twenty_turns_in_a_context_little_above_the_instructions() -> None:
    """K8: few long turns in little room: at most one summary a turn, each smaller, and no request above the context."""
    model = Small(lambda request: f"answer {'y' * 500}", summary=lambda request: "long summary " * 40)
    agent = Agent(model, instructions="i" * 1_200, tools=[look], memory=policy())
    events: list[Event] = []
    async with Runtime(observers=[events.append]) as rt:
        for number in range(20):
            await rt.run(agent, f"question {number} {'q' * 400}", session="s")
        stored = await rt.memory.load("s")

    compacted = [event for event in events if isinstance(event, ContextCompacted)]
    assert 0 < len(model.summaries) <= 20
    assert all(event.after < event.before for event in compacted)
    assert all(size(request) <= WINDOW for request in model.requests)
    assert len(stored.messages) == 40


async def test_a_request_that_cannot_fit_is_a_named_error() -> None:
    """Instructions above the context raise `ContextOverflow` before the model is asked, and name the remedy."""
    model = Small(lambda request: "hi")
    async with Runtime() as rt:
        with pytest.raises(ContextOverflow, match="the context of small holds 1,000") as caught:
            await rt.run(Agent(model, instructions="i" * 9_000, memory=policy()), "x")
    assert model.requests == model.summaries == []
    assert caught.value.result.status == "failed"
    assert "larger context" in caught.value.hint


async def test_a_summary_larger_than_its_messages_is_not_taken() -> None:
    """K8: a summary larger than the summarised messages is dropped; a request above the context is an error."""
    model = Small(calls(3), summary=lambda request: "z" * 8_000)
    agent = Agent(model, tools=[look], memory=policy(tokens=900), limits=Limits(turns=99))
    tight = attrs.evolve(agent, instructions="i" * 3_000)
    async with Runtime() as rt:
        with pytest.raises(ContextOverflow, match="the summary is not smaller than the messages"):
            await rt.run(tight, "x" * 400)
    assert len(model.summaries) == 1


async def test_a_summariser_that_echoes() -> None:
    """K9: a summary by an echoing summariser stays within the bound, and says nothing twice."""
    model = Small(lambda request: f"answer {'y' * 300}", summary=lambda request: request.messages[-1].text)
    agent = Agent(model, memory=policy(tokens=200))
    async with Runtime() as rt:
        for number in range(30):
            await rt.run(agent, f"<m{number}> {'q' * 300}", session="s")

    assert len(model.summaries) >= 5
    for request in model.requests:
        summary = request.messages[0].text if request.messages[0].role == "system" else ""
        assert len(summary) <= 200 * 4 + 150  # the heading is not the summary's
        assert all(summary.count(f"<m{number}>") <= 1 for number in range(30))


async def test_a_refusal_of_the_model_leads_to_one_compaction() -> None:
    """A model with an unknown context refuses a request; the run makes room once, and goes on."""
    model = Small(calls(20), profile=ModelProfile())
    agent = Agent(model, tools=[look], memory=policy(), limits=Limits(turns=99))
    async with Runtime() as rt:
        result = await rt.run(agent, "go", session="s")
    assert result.content == "done"
    assert len([message for message in result.messages if message.role == "tool"]) == 20
    assert 1 <= len(model.summaries) < 10
    for request in model.requests:
        assert_whole(request)


async def test_a_model_that_counts_more_tokens_than_the_estimate() -> None:
    """After one refusal the estimates are right, and later turns are compacted before a refusal."""
    refused: list[int] = []

    def tokens(request: ModelRequest) -> int:
        if size(request) * 2 > WINDOW:
            refused.append(request.turn)
        return size(request) * 2

    model = Small(calls(30), tokens=tokens)
    agent = Agent(model, tools=[look], memory=policy(), limits=Limits(turns=99))
    async with Runtime() as rt:
        result = await rt.run(agent, "go")
    assert result.content == "done"
    assert set(refused) == {7}  # and in no later turn


async def test_a_second_refusal_in_a_turn_ends_the_run() -> None:
    """A second refusal, after the compaction, ends the run with the model's own error."""
    model = Small(calls(8), profile=ModelProfile(), tokens=lambda request: 5_000 if len(request.messages) > 6 else 1)
    model.tokens = lambda request: 5_000 if request.turn > 3 else 1
    agent = Agent(model, tools=[look], memory=policy())
    async with Runtime() as rt:
        with pytest.raises(ContextOverflow, match="the prompt has 5000 tokens") as caught:
            await rt.run(agent, "go", session="s")
        assert (await rt.memory.load("s")).total == 0
    assert len(model.summaries) == 1
    assert len(caught.value.result.messages) == 7


async def test_without_a_summary_a_refusal_ends_the_run() -> None:
    """An agent without a `Summary` is not compacted."""
    model = Small(calls(20))
    async with Runtime() as rt:
        with pytest.raises(ContextOverflow):
            await rt.run(Agent(model, tools=[look], limits=Limits(turns=99)), "go")
    assert model.summaries == []


async def test_a_summariser_that_fails() -> None:
    """A summariser without an answer leaves the conversation as it is, until the request does not fit any more."""

    def fail(request: ModelRequest) -> str:
        raise ModelError("no summary today")

    model = Small(calls(20), summary=fail)
    async with Runtime() as rt:
        with pytest.raises(ContextOverflow, match="and the model gave no summary"):
            await rt.run(Agent(model, tools=[look], memory=policy(), limits=Limits(turns=99)), "go")
    assert 1 < len(model.summaries) < 5


async def test_a_stored_run_goes_on_with_its_compacted_conversation(tmp_path: Path) -> None:
    """A run that was compacted, broken off and resumed sees the same conversation, and asks for no summary again."""
    broken: list[int] = []
    answer = calls(14)

    def answer_or_break(request: ModelRequest) -> Any:
        if request.turn == 12 and not broken:
            broken.append(request.turn)
            raise ModelError("the line is down")
        return answer(request)

    model = Small(answer_or_break)
    options = attrs.evolve(policy(), journal=True, context=(Given(Context("Rules.", "Notes.")),))
    agent = Agent(model, name="a", tools=[look], memory=options, limits=Limits(turns=99))
    async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as rt:
        with pytest.raises(ModelError, match="the line is down") as caught:
            await rt.run(agent, "go", session="s")
    before, summaries = model.requests[-1], len(model.summaries)
    async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as rt:
        result = await rt.run(agent, Resume(caught.value.result.run_id))
        await rt.run(agent, "again", session="s")
        stored = await rt.memory.load("s")

    again = model.requests[model.requests.index(before) + 1]
    assert summaries > 0
    assert list(again.messages) == list(before.messages)
    assert [message.text for message in again.messages[:3]][1:] == ["Notes.", "go"]
    tools = [message.text.partition(">")[0] for message in result.messages if message.role == "tool"]
    assert tools == [f"<r{number}" for number in range(14)]
    assert list(stored.messages[: len(result.messages)]) == list(result.messages)
    last = [message.text for message in model.requests[-1].messages]
    assert "what was said" in last[0]
    assert last[-2:] == ["Notes.", "again"]
    assert len(last) < len(stored.messages)


async def test_compactions_respect_the_budgets() -> None:
    """A summary counts towards the run's budget of tokens."""
    model = Small(calls(40))
    agent = Agent(model, tools=[look], memory=policy(), limits=Limits(turns=99, tokens=130))
    async with Runtime() as rt:
        with pytest.raises(LimitExceeded, match="tokens"):
            await rt.run(agent, "go")


async def test_a_compaction_is_not_told_as_a_missed_cache() -> None:
    """The provider's cache misses the beginning after a compaction; only other misses are told."""
    events: list[Event] = []

    @attrs.define
    class Cached(Small):
        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            """Answer, with the beginning cached as far as it is known."""
            response = await Small.respond(self, request, emit)
            return attrs.evolve(response, usage=Usage(2_000, 1, cached_tokens=0 if new(request) else 1_900))

    seen: list[Sequence[Message]] = []

    def new(request: ModelRequest) -> bool:
        known = bool(seen) and list(request.messages[: len(seen[-1])]) == list(seen[-1])
        seen.append(request.messages)
        return not known

    async with Runtime(observers=[events.append]) as rt:
        await rt.run(Agent(Cached(calls(20)), tools=[look], memory=policy(), limits=Limits(turns=99)), "go")
    assert any(isinstance(event, ContextCompacted) for event in events)
    assert not any(isinstance(event, CacheMissed) for event in events)


async def test_a_turn_within_a_turn_timeout_is_compacted_too() -> None:
    """A deadline for each turn works beside compaction."""
    model = Small(calls(20))
    agent = Agent(model, tools=[look], memory=policy(), limits=Limits(turns=99, turn_timeout=60))
    async with Runtime() as rt:
        assert (await rt.run(agent, "go")).content == "done"
    assert model.summaries


async def test_a_large_answer_is_left_out_of_the_room() -> None:
    """Tokens for the answer count as filled: a request leaves room for `max_tokens`."""
    model = Small(calls(20))
    agent = Agent(model, tools=[look], memory=policy(), limits=Limits(turns=99), settings={"max_tokens": 500})
    async with Runtime() as rt:
        await rt.run(agent, "go")
    assert max(map(size, model.requests)) <= 500


def test_long_summaries_lose_their_middle() -> None:
    """A summary above the bound keeps both ends."""
    text = "a" * 500 + "b" * 500
    cut = bound_summary(text, 50)
    assert len(cut) <= 200
    assert cut.startswith("aaa")
    assert cut.endswith("bbb")
    assert bound_summary("short", 50) == "short"


def test_other_scripts_have_more_tokens() -> None:
    """The estimate goes by bytes, so that Korean counts three times as much as English."""
    assert count_bytes(Message("user", "가" * 400)) - 4 == 300
    assert count_bytes(Message("user", "a" * 400)) - 4 == 100


async def test_toml_sets_the_summary(tmp_path: Path) -> None:
    """The fields of a summary stand in agno-rt.toml."""
    from agno_rt.project import load_project

    file = tmp_path / "agno-rt.toml"
    file.write_text("[agents.a]\nmodel = 'x:y'\n[agents.a.memory.summary]\nfill = 0.7\nwindow = 32000\n")
    memory = load_project(str(file)).agent("a").memory
    assert isinstance(memory, MemoryPolicy)
    assert memory.summary == Summary(fill=0.7, window=32_000)
