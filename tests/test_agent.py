"""An agent is an inert, small, shareable value."""

from __future__ import annotations

import copy
import sys
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Limits, Message, ModelRequest, ModelResponse, ModelSettings, Runtime, ToolCall, tool
from agno_rt.memory import MemoryPolicy
from agno_rt.models import Emit


@tool(inline=True)
def shout(text: str) -> str:
    """Make it loud."""
    return text.upper()


class Echo:
    """A model that calls `shout` with the user's last words, then answers with the number of user messages."""

    name = "echo"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, then answer."""
        await trio.lowlevel.checkpoint()
        last = request.messages[-1]
        if last.role == "user":
            return ModelResponse(tool_calls=[ToolCall("1", "shout", f'{{"text": "{last.content}"}}')])
        seen = sum(message.role == "user" for message in request.messages)
        return ModelResponse(f"{last.content} {seen}")


def test_positional_use_is_the_cheap_one() -> None:
    """Accept model, name, instructions and tools by position. Only the model is required."""
    agent = Agent("m:x", "name", "be brief", [shout])

    assert (agent.model, agent.name, agent.instructions, agent.tools) == ("m:x", "name", "be brief", [shout])
    assert Agent("m:x").name == ""


def test_an_unknown_argument() -> None:
    """Python's error names `Agent`, and no class behind it."""
    options: dict[str, Any] = {"temperature": 0}
    with pytest.raises(TypeError, match=r"^Agent\(\) got an unexpected keyword argument 'temperature'"):
        Agent("m:x", **options)


def test_has_slots_alone() -> None:
    """An agent has no dictionary: a misspelt setting is an error, and an agent is small."""
    assert not hasattr(Agent("m"), "__dict__")
    with pytest.raises(AttributeError):
        Agent("m").colour = "blue"  # type: ignore[attr-defined]  # the point of the test


def test_takes_few_bytes_and_shares_its_defaults() -> None:
    """An agent is ten pointers and a header. All agents share the same default objects."""
    one, two = Agent("m"), Agent("m")

    assert sys.getsizeof(one) <= 10 * 8 + 32
    for field in attrs.fields(Agent):
        assert getattr(one, field.name) is getattr(two, field.name), f"{field.name} is made anew for each agent"


def test_making_one_does_nothing() -> None:
    """Making an agent looks no names up, so nothing can fail."""
    Agent("no-such-plugin:x", tools=["no-such-plugin:y"], output=object)


def test_can_be_changed_into_another() -> None:
    """`attrs.evolve` makes a changed copy of the same class."""
    agent = Agent("m", "a")
    other = attrs.evolve(agent, name="b")

    assert (agent.name, other.name) == ("a", "b")
    assert type(other) is Agent


DIFFERENT: dict[str, Any] = {
    "model": "m:other",
    "name": "b",
    "instructions": "be loud",
    "tools": [shout],
    "output": list[int],
    "memory": MemoryPolicy(5),
    "settings": ModelSettings(seed=2),
    "limits": Limits(turns=2),
    "hooks": ("guardrails:pii",),
}


@pytest.mark.parametrize("field", DIFFERENT)
def test_agents_with_equal_fields_are_equal(field: str) -> None:
    """Agents with equal fields are equal, with equal hashes. Another value of any field makes an unequal agent."""
    agent = attrs.evolve(Agent("m", "a"), **{field: DIFFERENT[field]})
    same = attrs.evolve(Agent("m", "a"), **{field: copy.copy(DIFFERENT[field])})

    assert agent == same == copy.copy(agent)
    assert {agent: 1}[same] == 1
    assert agent != Agent("m", "a")
    assert agent != object()


@pytest.mark.parametrize(
    ("agent", "text"),
    [
        (Agent("m:x"), "Agent('m:x')"),
        (Agent("m:x", "a", "be brief"), "Agent('m:x', name='a', instructions='be brief')"),
        (Agent("m:x", tools=[shout, len, "files:read"]), "Agent('m:x', tools=[shout, len, 'files:read'])"),
        (Agent("m:x", tools=(shout,), output=Limits), "Agent('m:x', tools=(shout,), output=Limits)"),
        (Agent("m:x", output=list[int], settings={"seed": 1}), "Agent('m:x', output=list[int], settings={'seed': 1})"),
        (Agent(Echo(), instructions="x" * 500), f"Agent(<Echo>, instructions='{'x' * 57}...')"),
    ],
)
def test_prints_what_was_said_of_it(agent: Agent, text: str) -> None:
    """An agent's repr is short: only changed fields, functions and classes by name, no addresses."""
    assert repr(agent) == text


def snapshot(agent: Agent) -> dict[str, Any]:
    """Return every slot with its value and the value's id."""
    return {field.name: (getattr(agent, field.name), id(getattr(agent, field.name))) for field in attrs.fields(Agent)}


async def test_a_run_only_reads_it() -> None:
    """Running an agent with tools, session, output type and settings changes no slot."""
    tools = [shout]
    settings, limits, memory = ModelSettings(seed=1), Limits(turns=3), MemoryPolicy(messages=4)
    agent = Agent(Echo(), "a", "be loud", tools, None, memory, settings, limits)
    before = snapshot(agent)

    async with Runtime() as rt:
        await rt.run(agent, "hi", session="s")
        async with rt.stream(agent, "ho", session="s") as events:
            async for _ in events:
                pass

    assert snapshot(agent) == before
    assert tools == [shout]
    assert (settings, limits, memory) == (ModelSettings(seed=1), Limits(turns=3), MemoryPolicy(messages=4))


async def test_a_hundred_runs_share_one_and_nothing_mixes() -> None:
    """A hundred sessions share one agent for three runs each. Each run sees only its own input, calls and history."""
    agent = Agent(Echo(), tools=(shout,))
    answers: dict[int, list[str]] = {}

    async def talk(rt: Runtime, number: int) -> None:
        answers[number] = []
        for turn in range(3):
            result = await rt.run(agent, f"s{number}t{turn}", session=f"session {number}")
            answers[number].append(result.content)
            assert result.messages[0] == Message("user", f"s{number}t{turn}")

    async with Runtime() as rt:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(talk, rt, number)
        stored = await rt.memory.load("session 7")

    assert answers == {n: [f"S{n}T{turn} {turn + 1}" for turn in range(3)] for n in range(100)}
    assert [m.content for m in stored.messages if m.role == "user"] == ["s7t0", "s7t1", "s7t2"]
    assert len(stored.messages) == 12
