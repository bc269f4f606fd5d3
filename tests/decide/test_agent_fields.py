"""Fields of an agent with wrong values: a `UsageError` with a remedy before anything starts."""

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
    """A value with a failing repr."""

    def __repr__(self) -> str:
        raise SystemExit(1)


async def refusal(field: str, **fields: Any) -> UsageError:
    """Return the error for an agent with these fields. The run never begins, and the error names field and agent."""
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
            # A valid agent in between must not make the runtime accept the wrong one.
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
    """A value of another framework's kind, such as a URL, is refused with the right one."""
    error = await refusal(field, **{field: value})

    assert repr(value) in error.message
    assert "agent 'bot'" in error.message
    assert f"{field}=" in error.hint


@pytest.mark.parametrize("value", [None, 5, b"x", ["bot"], object(), Unseen()])
async def test_names(value: Any) -> None:
    """A name other than a text is refused, even after a valid agent with equal parts."""
    await refusal("name", name=value)


@pytest.mark.parametrize("value", [None, 5, b"Be.", ["Be."], {"text": "Be."}, object(), Unseen()])
async def test_instructions(value: Any) -> None:
    """Instructions other than a text, a function or a template are refused."""
    await refusal("instructions", instructions=value)


@pytest.mark.parametrize("value", [None, 5, object(), Unseen(), ScriptedModel])
async def test_models(value: Any) -> None:
    """An object other than a model is refused; for a class, the hint says so."""
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
    """A setting of the wrong kind is refused."""
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
    """A part of a memory policy of the wrong kind is refused."""
    for value in values:
        await refusal(f"memory.{field}", memory=MemoryPolicy(messages=4, **{field: value}))


async def test_what_is_within_a_memory_policy() -> None:
    """Wrong values inside a summary or a user memory are refused."""
    summary: Any = Summary(prompt=5)  # type: ignore[arg-type]  # the fault
    facts: Any = UserMemory(tools="yes")  # type: ignore[arg-type]  # as above
    await refusal("memory.summary.prompt", memory=MemoryPolicy(messages=4, summary=summary))
    await refusal("memory.facts.tools", memory=MemoryPolicy(facts=facts))


@pytest.mark.parametrize("field", [each.name for each in attrs.fields(Limits)])
@pytest.mark.parametrize("value", ["5", b"5", True, [5], {}, float("nan"), -1], ids=name_value)
def test_limits(field: str, value: Any) -> None:
    """A limit is checked when made."""
    with pytest.raises(UsageError, match=f"limit {field} is") as caught:
        Limits(**{field: value})

    assert caught.value.hint


@pytest.mark.parametrize("value", KINDS, ids=name_value)
def test_limits_of_a_runtime(value: Any) -> None:
    """A runtime refuses limits of the wrong kind."""
    with pytest.raises(UsageError, match="limits is"):
        Runtime(limits=value)


@pytest.mark.parametrize("value", [None, "llamacpp:smollm2", {"model": "x"}, Agent, ScriptedModel([])])
async def test_something_else_than_an_agent(value: Any) -> None:
    """An object other than an agent, such as a model, is refused by every entry."""
    async with Runtime() as rt:
        for ask in (rt.run, rt.start):
            with pytest.raises(UsageError, match="is not an Agent"):
                await ask(value, "Go.")
        with pytest.raises(UsageError, match="is not an Agent"):
            rt.check(value)


async def test_a_part_that_fails_when_it_is_looked_at() -> None:
    """An exception in the check of an agent's part becomes a `UsageError`."""

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
