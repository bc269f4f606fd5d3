"""Fields of an agent with values of the wrong kind: a `UsageError` before anything starts, that says what to write."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from agno_rt import Agent, Event, Limits, MemoryPolicy, ModelRequest, ModelSettings, Runtime
from agno_rt.errors import UsageError
from agno_rt.memory import Summary, UserMemory
from agno_rt.testing import ScriptedModel
from tests.helpers import name_value

NUMBERS: list[Any] = ["0", b"0", True, [0], {}, object()]
KINDS: list[Any] = [5, "sqlite:///chats.db", b"x", True, ["x"], object(), int]


class Unseen:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise SystemExit(1)


async def refusal(field: str, **fields: Any) -> UsageError:
    """What is said of an agent with these fields, which is never begun; the field is named, and so is the agent."""
    seen: list[Event] = []
    given: dict[str, Any] = {"model": ScriptedModel([]), "name": "bot", **fields}
    agent = Agent(**given)
    async with Runtime(observers=[seen.append]) as rt:
        with pytest.raises(UsageError) as checked:
            rt.check(agent)
        for _ in range(2):
            with pytest.raises(UsageError) as caught:
                await rt.run(agent, "Go.", session="s", user="ann")
            assert caught.value.message == checked.value.message
            # Between the two, one that names the same things and is right.
            await rt.run(attrs.evolve(agent, **{**RIGHT, "model": ScriptedModel(["x"])}), "Go.")
        assert not any(getattr(event, "agent", "") == "bot" for event in seen)

    assert field in caught.value.message
    assert caught.value.hint
    assert "agent " in caught.value.message or given["name"] is None
    return caught.value


RIGHT: dict[str, Any] = {
    "name": "right",
    "instructions": "",
    "memory": MemoryPolicy(),
    "settings": ModelSettings(),
    "limits": None,
}


@pytest.mark.parametrize("field", ["memory", "settings", "limits"])
@pytest.mark.parametrize("value", KINDS, ids=name_value)
async def test_values_of_another_kind(field: str, value: Any) -> None:
    """What other frameworks take there, as a URL, is named with what to write instead."""
    error = await refusal(field, **{field: value})

    assert repr(value) in error.message
    assert "agent 'bot'" in error.message
    assert f"{field}=" in error.hint


@pytest.mark.parametrize("value", [None, 5, b"x", ["bot"], object(), Unseen()])
async def test_names(value: Any) -> None:
    """A name is text, also where the agent before it named the same things."""
    await refusal("name", name=value)


@pytest.mark.parametrize("value", [None, 5, b"Be.", ["Be."], {"text": "Be."}, object(), Unseen()])
async def test_instructions(value: Any) -> None:
    """Instructions are text, a function or a template."""
    await refusal("instructions", instructions=value)


@pytest.mark.parametrize("value", [None, 5, object(), Unseen(), ScriptedModel])
async def test_models(value: Any) -> None:
    """A model is one, and not its class."""
    error = await refusal("model", model=value)

    assert ("class" in error.hint) is (value is ScriptedModel)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("temperature", [*NUMBERS, float("nan"), float("inf")]),
        ("max_tokens", [*NUMBERS, 1.5]),
        ("seed", [*NUMBERS, 1.5]),
        ("tool_choice", [None, 5, b"auto", ["auto"], {}]),
        ("extra", [None, 5, "top_p", [("top_p", 1)], object()]),
    ],
)
async def test_settings(field: str, values: list[Any]) -> None:
    """Each setting has its kind."""
    for value in values:
        await refusal(f"settings.{field}", settings=ModelSettings(**{field: value}))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("summary", [5, "short", True, {}, object()]),
        ("facts", [5, "all", True, {}, object()]),
        ("journal", [5, "yes", None, {}, object()]),
    ],
)
async def test_memory_policies(field: str, values: list[Any]) -> None:
    """What a policy keeps is said by values of their own kinds."""
    for value in values:
        await refusal(f"memory.{field}", memory=MemoryPolicy(messages=4, **{field: value}))


async def test_what_is_within_a_memory_policy() -> None:
    """The values in it are looked at too."""
    summary: Any = Summary(prompt=5)  # type: ignore[arg-type]  # which is the fault
    facts: Any = UserMemory(tools="yes")  # type: ignore[arg-type]  # as above
    await refusal("memory.summary.prompt", memory=MemoryPolicy(messages=4, summary=summary))
    await refusal("memory.facts.tools", memory=MemoryPolicy(facts=facts))


@pytest.mark.parametrize("field", [each.name for each in attrs.fields(Limits)])
@pytest.mark.parametrize("value", ["5", b"5", True, [5], {}, float("nan"), -1], ids=name_value)
def test_limits(field: str, value: Any) -> None:
    """A limit says so when it is made."""
    with pytest.raises(UsageError, match=f"limit {field} is") as caught:
        Limits(**{field: value})

    assert caught.value.hint


@pytest.mark.parametrize("value", KINDS, ids=name_value)
def test_limits_of_a_runtime(value: Any) -> None:
    """A runtime takes `Limits` as well."""
    with pytest.raises(UsageError, match="limits is"):
        Runtime(limits=value)


@pytest.mark.parametrize("value", [None, "llamacpp:smollm2", {"model": "x"}, Agent, ScriptedModel([])])
async def test_something_else_than_an_agent(value: Any) -> None:
    """What is no agent, such as its model alone, is told so by every way in."""
    async with Runtime() as rt:
        for ask in (rt.run, rt.start):
            with pytest.raises(UsageError, match="is not an Agent"):
                await ask(value, "Go.")
        with pytest.raises(UsageError, match="is not an Agent"):
            rt.check(value)


async def test_a_part_that_fails_when_it_is_looked_at() -> None:
    """What an agent's parts raise while they are looked at ends no program either."""

    class Shy:
        name = "shy"

        async def respond(self, request: ModelRequest, emit: object = None) -> None:
            """Never asked."""

        @property
        def profile(self) -> object:
            raise SystemExit(1)

    model: Any = Shy()
    async with Runtime() as rt:
        with pytest.raises(UsageError, match=r"agent 'bot'.*SystemExit: 1") as caught:
            await rt.run(Agent(model, "bot"), "Go.")

    assert isinstance(caught.value.__cause__, SystemExit)
