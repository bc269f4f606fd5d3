"""Summaries of cut history: every message is shown or summed up, even if the summarising model fails."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_rt import Agent, Limits, Message, ModelRequest, ModelResponse, Runtime, ToolCall, Usage
from agno_rt._decide.summary import pieces, summary_request
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import LimitExceeded, ModelError, UsageError
from agno_rt.events import Event, ModelEnded, ModelStarted
from agno_rt.memory import MemoryBackend, MemoryPolicy, Session, Summary
from agno_rt.messages import Media
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel


class Echoing:
    """A model that answers `to QUESTION`."""

    name = "echoing"

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        self.requests.append(request)
        return ModelResponse(f"to {request.messages[-1].text}", usage=Usage(10, 1))


class Listing:
    """A model that sums up by listing the messages, and fails on demand."""

    name = "listing"

    def __init__(self, failures: Sequence[int] = ()) -> None:
        self.asked = 0
        self.failures = failures
        self.requests: list[ModelRequest] = []

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """List the messages."""
        self.requests.append(request)
        self.asked += 1
        if self.asked in self.failures:
            raise ModelError("no summary today", provider=self.name)
        said = [line.partition(": ")[2] for line in request.messages[-1].text.splitlines() if ": " in line]
        listed = [line for line in request.messages[-1].text.splitlines() if line.startswith("+")]
        return ModelResponse("\n".join([*listed, *(f"+{each}" for each in said)]), usage=Usage(100, 5))


def shown(request: ModelRequest) -> list[str]:
    """Return the texts shown to a model, without the system message."""
    return [message.text for message in request.messages if message.role != "system"]


def summarised(request: ModelRequest) -> list[str]:
    """Return the texts in the summary shown to a model."""
    return [
        line[1:]
        for message in request.messages
        if message.role == "system"
        for line in message.text.splitlines()
        if line.startswith("+")
    ]


async def talk(rt: Runtime, agent: Agent, runs: int, first: int = 0) -> None:
    """Make runs on session `s`, each with a different question."""
    for at in range(first, first + runs):
        await rt.run(agent, f"q{at}", session="s")


def said(runs: int) -> list[str]:
    """Return all texts of the runs, without the last answer."""
    return [text for at in range(runs) for text in (f"q{at}", f"to q{at}")][:-1]


POLICIES = {
    "messages": MemoryPolicy(messages=6, summary=Summary()),
    "runs": MemoryPolicy(messages=None, runs=3, summary=Summary()),
    "tokens": MemoryPolicy(messages=None, tokens=40, count=lambda message: 7, summary=Summary()),
    "all": MemoryPolicy(messages=9, runs=4, tokens=40, count=lambda message: 7, summary=Summary(keep=0.7)),
    "nothing kept": MemoryPolicy(messages=4, summary=Summary(keep=0)),
    "nothing shown": MemoryPolicy(messages=0, summary=Summary()),
}


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_every_message_is_shown_or_in_the_summary(kind: str, store: str, tmp_path: Path) -> None:
    """Summary and shown messages are together the whole conversation in order, in each of many runs."""
    memory: MemoryBackend = InProcessMemory() if store == "memory" else SQLiteMemory(tmp_path / "a.db")
    model, summarising = Echoing(), Listing()
    policy = POLICIES[kind]
    asked = Summary(summarising, keep=policy.summary.keep if policy.summary else 0.5)
    agent = Agent(model, memory=MemoryPolicy(policy.messages, policy.runs, policy.tokens, policy.count, asked))
    async with Runtime(memory=memory) as rt:
        await talk(rt, agent, 25)
    await memory.aclose()

    for at, request in enumerate(model.requests):
        assert summarised(request) + shown(request) == said(at + 1)
    assert 0 < summarising.asked < 25


async def test_shows_no_more_than_the_policy_does() -> None:
    """Shown messages stay within the policy, and above the kept share, also with a summary."""
    model = Echoing()
    agent = Agent(model, memory=MemoryPolicy(messages=8, summary=Summary(Listing(), keep=0.5)))
    async with Runtime() as rt:
        await talk(rt, agent, 30)

    sizes = [len(shown(request)) - 1 for request in model.requests[4:]]
    assert set(sizes) == {4, 6, 8}


async def test_the_summary_goes_with_the_instructions() -> None:
    """Instructions and summary are one system message, and the summary is marked as information."""
    model = Echoing()
    agent = Agent(model, "a", "Be brief.", memory=MemoryPolicy(messages=4, summary=Summary(Listing())))
    async with Runtime() as rt:
        await talk(rt, agent, 4)

    system, *others = model.requests[-1].messages
    assert system.text.startswith("Be brief.\n\n")
    assert "not instructions" in system.text
    assert [message.role for message in others] == ["user", "assistant", "user"]


async def test_what_the_model_is_asked() -> None:
    """The agent's own model sums up the old summary and the cut messages, without tools, within the given tokens."""
    with ScriptedModel(["one", "two", "first summary", "three", "four", "second summary", "five"]) as model:
        agent = Agent(model, memory=MemoryPolicy(messages=2, summary=Summary(keep=0, tokens=77)))
        async with Runtime() as rt:
            for word in ("a", "b", "c", "d"):
                await rt.run(agent, word, session="s", user="ann")
            result = await rt.run(agent, "e", session="s", user="ann")

    first, second, last = model.requests[2], model.requests[5], model.requests[6]
    assert [message.role for message in first.messages] == ["system", "user"]
    assert (first.tools, first.settings.max_tokens, first.user) == ((), 77, "ann")
    for text in ("user: a", "assistant: one", "user: b", "assistant: two"):
        assert text in first.messages[1].text
    assert "first summary" in second.messages[1].text
    assert "user: c" in second.messages[1].text
    assert "user: a" not in second.messages[1].text
    assert "second summary" in last.messages[0].text
    assert shown(last) == ["e"]
    assert result.content == "five"


async def test_a_prompt_of_ones_own() -> None:
    """The usual text is replaced by `prompt`."""
    summarising = Listing()
    asked = Summary(summarising, prompt="In one haiku.")
    agent = Agent(Echoing(), memory=MemoryPolicy(messages=2, summary=asked))
    async with Runtime() as rt:
        await talk(rt, agent, 3)

    assert {request.messages[0].text for request in summarising.requests} == {"In one haiku."}


async def test_the_run_pays() -> None:
    """The cost of a summary is part of the run's usage."""
    agent = Agent(Echoing(), memory=MemoryPolicy(messages=2, summary=Summary(Listing())))
    async with Runtime() as rt:
        await talk(rt, agent, 2)
        result = await rt.run(agent, "q", session="s")

    assert result.usage == Usage(110, 6)


async def test_a_summary_is_within_the_budget() -> None:
    """A run whose budget is spent by a summary ends without another request."""
    summarising = Listing()
    policy = MemoryPolicy(messages=2, summary=Summary(summarising, tokens=100_000))
    async with Runtime() as rt:
        await talk(rt, Agent(Echoing(), memory=policy), 2)
        with pytest.raises(LimitExceeded, match="tokens"):
            await rt.run(Agent(Echoing(), memory=policy, limits=Limits(tokens=50)), "q", session="s")

    assert summarising.asked == 1


@pytest.mark.parametrize("failure", [ModelError("no", provider="x"), ValueError("no"), "", "  \n", ToolCall("c", "t")])
async def test_a_summary_that_fails(failure: Any) -> None:
    """A run goes on after a failed summary, observers get the failure, and the next run tries again."""
    model, events = Echoing(), list[Event]()
    with ScriptedModel([failure, "+all of it"], name="summarising") as summarising:
        agent = Agent(model, memory=MemoryPolicy(messages=2, summary=Summary(summarising)))
        async with Runtime(observers=[events.append]) as rt:
            await talk(rt, agent, 4)

    third, fourth = model.requests[2:]
    assert (summarised(third), shown(third)) == ([], ["q1", "to q1", "q2"])
    assert summarised(fourth) == ["all of it"]
    assert "q0" in summarising.requests[1].messages[-1].text
    ended = [event for event in events if isinstance(event, ModelEnded) and event.model == "summarising"]
    assert [(event.turn, event.status) for event in ended] == [(0, "failed"), (0, "completed")]
    assert ended[0].error
    assert len([event for event in events if isinstance(event, ModelStarted)]) == 6


@given(st.lists(st.integers(1, 40), max_size=8), st.integers(2, 9))
@settings(max_examples=40)
def test_failures_lose_nothing(failures: list[int], messages: int) -> None:
    """A run with a successful summary shows or sums up everything, despite earlier failures."""

    async def main() -> None:
        model, summarising = Echoing(), Listing(failures)
        agent = Agent(model, memory=MemoryPolicy(messages=messages, summary=Summary(summarising)))
        async with Runtime() as rt:
            for at in range(20):
                before = summarising.asked
                await rt.run(agent, f"q{at}", session="s")
                if not set(range(before + 1, summarising.asked + 1)) & set(failures):
                    assert summarised(model.requests[-1]) + shown(model.requests[-1]) == said(at + 1)

    trio.run(main)


async def test_cancellation_passes() -> None:
    """A run cancelled during the summary stores nothing, and a later run has everything."""

    class Stuck(Listing):
        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            if not self.asked:
                self.asked += 1
                await trio.sleep_forever()
            return await super().respond(request, emit)

    model, events = Echoing(), list[Event]()
    agent = Agent(model, memory=MemoryPolicy(messages=2, summary=Summary(Stuck())))
    async with Runtime(observers=[events.append]) as rt:
        await talk(rt, agent, 2)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: rt.run(agent, "lost", session="s"))
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        await talk(rt, agent, 1, first=2)

    assert summarised(model.requests[-1]) + shown(model.requests[-1]) == said(3)
    assert [event.status for event in events if isinstance(event, ModelEnded) and event.turn == 0] == [
        "cancelled",
        "completed",
    ]


async def test_a_summary_outlasts_its_agent() -> None:
    """An agent without a summary does not see a stored summary, and keeps the summary."""
    model = Echoing()
    summing = Agent(model, memory=MemoryPolicy(messages=4, summary=Summary(Listing(), keep=0.5)))
    async with Runtime() as rt:
        await talk(rt, summing, 8)
        await talk(rt, Agent(model, memory=MemoryPolicy(messages=4)), 1, first=8)
        await talk(rt, summing, 1, first=9)

    assert summarised(model.requests[8]) == []
    assert summarised(model.requests[9]) + shown(model.requests[9]) == said(10)


class Counting(InProcessMemory):
    """A backend that records the number of loaded messages."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[int] = []

    async def load(self, session: str, last: int | None = None) -> Session:
        """Record and load."""
        loaded = await super().load(session, last)
        self.loaded.append(len(loaded.messages))
        return loaded


async def test_loads_what_it_needs() -> None:
    """A run in a long session with a summary loads few more messages than shown."""
    memory = Counting()
    agent = Agent(Echoing(), memory=MemoryPolicy(messages=10, summary=Summary(Listing())))
    async with Runtime(memory=memory) as rt:
        await talk(rt, agent, 60)

    assert max(memory.loaded) <= 12


@pytest.mark.parametrize("policy", [MemoryPolicy(None, runs=2), MemoryPolicy(None, tokens=30), MemoryPolicy(4, 1)])
async def test_loads_no_long_history_to_show_its_end(policy: MemoryPolicy) -> None:
    """A policy of last runs or tokens reads only the end of a long session."""
    memory, model = Counting(), Echoing()
    history = [Message(role, f"{role} {at}") for at in range(5_000) for role in ("user", "assistant")]
    await memory.append("s", history, version=0)
    async with Runtime(memory=memory) as rt:
        await rt.run(Agent(model, memory=policy), "hi", session="s")

    assert max(memory.loaded) <= 400
    assert 1 < len(shown(model.requests[0])) <= 5
    assert shown(model.requests[0])[0].startswith("user")


async def test_looks_further_back_step_by_step() -> None:
    """A last run longer than the first load is found without reading all earlier messages."""
    memory, model = Counting(), Echoing()
    await memory.append("s", [Message("user", "old"), Message("assistant", "x")] * 2_000, version=0)
    await memory.append("s", [Message("user", "long")] + [Message("assistant", "part")] * 150, version=1)
    async with Runtime(memory=memory) as rt:
        await rt.run(Agent(model, memory=MemoryPolicy(None, runs=1)), "hi", session="s")

    assert len(shown(model.requests[0])) == 152
    assert 151 <= max(memory.loaded) < 1_000


@pytest.mark.parametrize("tokens", [None, 5_000])
async def test_looks_back_as_far_as_it_must(tokens: int | None) -> None:
    """A last run of very many messages is shown whole."""
    memory, model = Counting(), Echoing()
    calls = [(ToolCall(f"c{at}", "t"),) for at in range(500)]
    long = [
        each for (call,) in calls for each in (Message("assistant", "", (call,)), Message("tool", "x", (), call.id))
    ]
    await memory.append("s", [Message("user", "old")] * 1_000 + [Message("assistant", "x")], version=0)
    await memory.append("s", [Message("user", "long"), *long, Message("assistant", "end")], version=1)
    async with Runtime(memory=memory) as rt:
        policy = MemoryPolicy(None, 1, tokens, lambda message: 2)
        await rt.run(Agent(model, memory=policy), "hi", session="s")

    assert len(shown(model.requests[0])) == 1_003


async def test_a_long_history_is_taken_in_piece_by_piece() -> None:
    """A late policy sums up the history in pieces. After a failure, earlier pieces count."""
    memory, model = InProcessMemory(), Echoing()
    history = [Message(role, f"{role} {at} " + "x" * 400) for at in range(100) for role in ("user", "assistant")]
    await memory.append("s", history, version=0)
    summarising = Listing([3])
    policy = MemoryPolicy(None, tokens=2_000, summary=Summary(summarising, tokens=100_000))
    async with Runtime(memory=memory) as rt:
        await rt.run(Agent(model, memory=policy), "one", session="s")
        first = summarising.asked
        await rt.run(Agent(model, memory=policy), "two", session="s")

    texts = [message.text for message in history]
    assert first == 3
    assert 0 < len(summarised(model.requests[0])) < 100
    assert summarised(model.requests[0]) == texts[: len(summarised(model.requests[0]))]
    assert summarised(model.requests[1]) + shown(model.requests[1]) == [*texts, "one", "to one", "two"]
    assert all(len(request.messages[-1].text) < 3 * 8_000 + 100_000 for request in summarising.requests)


async def test_what_a_piece_has_taken_in_is_not_shown_too() -> None:
    """Messages of a first piece are only in the summary, even if the second piece fails."""
    memory, model = InProcessMemory(), Echoing()
    history = [Message(role, f"{role} {at} " + "x" * 400) for at in range(6) for role in ("user", "assistant")]
    await memory.append("s", history, version=0)
    policy = MemoryPolicy(None, tokens=1_000, summary=Summary(Listing([2]), keep=0, tokens=100_000))
    async with Runtime(memory=memory) as rt:
        await rt.run(Agent(model, memory=policy), "now", session="s")

    texts = [message.text for message in history]
    assert len(summarised(model.requests[0])) > 5
    assert summarised(model.requests[0]) + shown(model.requests[0]) == [*texts, "now"]


lengths = st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), st.integers(0, 3_000)), max_size=30)


@given(lengths, st.none() | st.integers(0, 1_000))
def test_pieces_are_the_whole(parts: list[tuple[Any, int]], tokens: int | None) -> None:
    """Pieces hold all messages in order, none is empty, and only the first may begin with a tool's result."""
    messages = [Message(role, "x" * length) for role, length in parts]
    made = list(pieces(messages, tokens))

    assert list(itertools.chain.from_iterable(made)) == messages
    assert all(made)
    assert all(piece[0].role != "tool" for piece in made[1:])


def test_how_messages_are_written_for_the_summary() -> None:
    """Calls, results and media are written in words; a very long text keeps only its ends."""
    messages = [
        Message("user", ("look", Media("image", "image/png", b"x" * 2_000, None, "cat.png"))),
        Message("assistant", "", (ToolCall("c1", "find", '{"what": "cat"}'),)),
        Message("tool", "begin " + "x" * 50_000 + " end", (), "c1", "find"),
    ]
    text = summary_request(Summary(), "old", messages, 1_000, None).messages[1].text

    assert "user: look\n[image cat.png, 2 kB]" in text
    assert '(calls find with {"what": "cat"})' in text
    assert "tool find: begin xxx" in text
    assert "xxx end" in text
    assert len(text) < 10_000


def test_a_call_with_many_long_results_is_shortened() -> None:
    """Results of one turn of calls stay together, each cut to fit the model."""
    calls = tuple(ToolCall(f"c{at}", "read") for at in range(50))
    results = [Message("tool", f"result {at} " + "x" * 5_000, (), f"c{at}", "read") for at in range(50)]
    (piece,) = pieces([Message("assistant", "", calls), *results], 1_000)
    text = summary_request(Summary(), "", piece, 1_000, None).messages[1].text

    assert len(text) < 10_000
    assert all(f"result {at}" in text for at in range(50))


@pytest.mark.parametrize(
    "wrong",
    [{"keep": 1}, {"keep": -0.1}, {"keep": "x"}, {"tokens": 0}, {"model": 5}, {"fill": 0}, {"fill": 2}, {"window": 0}],
)
def test_summaries_that_make_no_sense(wrong: dict[str, Any]) -> None:
    """A summary with values out of range is refused."""
    with pytest.raises(UsageError):
        Summary(**wrong)


def test_a_summary_without_another_bound() -> None:
    """A policy with a summary needs no bound of its own: the model's context is one."""
    assert MemoryPolicy(messages=None, summary=Summary()).summary == Summary()
