"""Instructions: a text, a function of the run, or a template filled with values of the run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from agno_rt import Agent, Message, Runtime
from agno_rt.context import RunContext
from agno_rt.errors import ModelError, UsageError
from agno_rt.instructions import Template
from agno_rt.memory import MemoryPolicy
from agno_rt.testing import ScriptedModel


@attrs.define
class Item:
    """An item in a cart."""

    name: str = ""
    price: float = 0.0


@attrs.define
class Cart:
    """A session's state."""

    items: list[Item] = attrs.Factory(list)
    notes: dict[str, Any] = attrs.Factory(dict)
    owner: str | None = None
    _secret: str = "hidden"

    @property
    def broken(self) -> str:
        """A property that fails."""
        raise RuntimeError("no such luck")

    def total(self) -> float:
        """Return the price of the cart."""
        return sum(item.price for item in self.items)


CART = Cart([Item("tea", 2.5), Item("milk", 1)], {"gift wrap": True, "3": "three", "keys": "mine"})
CONTEXT = RunContext("run1", "shop", "s1", "ann", (Message("user", "hi"), Message("user", "there")), ("eu", 7), CART)


async def told(agent: Agent, **asked: Any) -> str:
    """Return the messages before the input in a run of the agent."""
    async with Runtime() as rt:
        await rt.run(agent, "hello", **asked)
    model = agent.model
    assert isinstance(model, ScriptedModel)
    (request,) = model.requests
    *before, question = request.messages
    assert question.text == "hello"
    return "\n".join(f"{message.role}: {message.text}" for message in before)


async def test_text() -> None:
    """Text becomes the system message; without text, no system message is sent."""
    assert await told(Agent(ScriptedModel(["ok"]), "a", "Be {brief}.")) == "system: Be {brief}."
    assert await told(Agent(ScriptedModel(["ok"]), "a")) == ""


async def test_a_function() -> None:
    """A function gets the run's context and returns the text. Async functions and callable objects work too."""

    def plain(context: RunContext) -> str:
        return f"For {context.user} in {context.session}."

    async def later(context: RunContext) -> str:
        await trio.lowlevel.checkpoint()
        return f"For {context.user}, with {context.deps}."

    class Called:
        def __call__(self, context: RunContext) -> str:
            return context.agent

    agents = [Agent(ScriptedModel(["ok"]), "a", make) for make in (plain, later, Called())]
    texts = [await told(agent, session="s", user="ann", deps=5) for agent in agents]

    assert texts == ["system: For ann in s.", "system: For ann, with 5.", "system: a"]


async def test_a_function_that_says_nothing() -> None:
    """Empty text gives no message."""
    assert await told(Agent(ScriptedModel(["ok"]), "a", lambda context: "")) == ""


def failing(context: RunContext) -> str:
    """Fail."""
    raise KeyError("cart")


def wrong(context: RunContext) -> Any:
    """Return a number in place of a text."""
    return 5


@pytest.mark.parametrize(
    ("instructions", "said"),
    [
        (failing, "function failing failed: KeyError"),
        (wrong, "function wrong returned int"),
        (5, "instructions is 5, not text or a function"),
        (Template("{state.broken}"), "template failed: RuntimeError"),
        (Template("{deps.zone}"), "no 'zone'"),
    ],
)
async def test_instructions_that_fail(instructions: Any, said: str) -> None:
    """Wrong instructions raise an error before the model is asked, and nothing is stored."""
    agent = Agent(ScriptedModel([]), "a", instructions, memory=MemoryPolicy(state=Cart))
    async with Runtime() as rt:
        with pytest.raises(UsageError, match=said):
            await rt.run(agent, "hello", session="s")
        assert (await rt.memory.load("s")).version == 0


async def test_a_function_may_raise_ours() -> None:
    """An `AgnoError` of a function is passed on unchanged."""

    def refuse(context: RunContext) -> str:
        raise ModelError("not today", provider="me")

    with pytest.raises(ModelError, match="not today"):
        await told(Agent(ScriptedModel([]), "a", refuse))


async def test_a_template_is_filled_in_for_each_run() -> None:
    """One agent gives two users different instructions in two concurrent runs."""
    with ScriptedModel(["one", "two"]) as model:
        agent = Agent(model, "a", Template("You help {user}."))
        async with Runtime() as rt, trio.open_nursery() as nursery:
            for user in ("ann", "bob"):
                nursery.start_soon(functools.partial(rt.run, agent, "hello", user=user))

    assert {request.messages[0].text for request in model.requests} == {"You help ann.", "You help bob."}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{user} {session} {agent} {run_id}", "ann s1 shop run1"),
        ("{input}", "hi\nthere"),
        ("{state.items[0].name}", "tea"),
        ("{state.items[-1].price}", "1"),
        ("{state.items}", '[{"name":"tea","price":2.5},{"name":"milk","price":1}]'),
        ("{state.notes[gift wrap]}", "true"),
        ("{state.notes.3} {state.notes[3]}", "three three"),
        ("{state.notes.keys}", "mine"),
        ("[{state.owner}]", "[]"),
        ("{deps[0]}{deps[1]}", "eu7"),
        ("{{user}} {{}} {{{user}}}", "{user} {} {ann}"),
    ],
)
def test_what_a_template_reads(text: str, filled: str) -> None:
    """A template reads names, attributes and entries. `None` is empty, text stays text, other values become JSON,
    double braces become single."""
    assert Template(text).fill(CONTEXT) == filled


def test_what_is_filled_in_is_no_template() -> None:
    """Braces in a filled-in value stay text."""
    assert (
        Template("{user}!").fill(RunContext("r", user="{state} {{ {deps.__class__}")) == "{state} {{ {deps.__class__}!"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n{", "lone '{' in line 2"),
        ("}", "lone '}' in line 1"),
        ("{}", "invalid placeholder"),
        ("{user.}", "invalid placeholder"),
        ("{user!r}", "invalid placeholder"),
        ("{user:>10}", "invalid placeholder"),
        ("{usr}", "{usr}"),
        ("{state._secret}", "'_secret'"),
        ("{state.__class__.__init__}", "'__class__'"),
        ("{state[__class__]}", "'__class__'"),
        ("{deps[_x]}", "'_x'"),
    ],
)
def test_templates_that_cannot_be_read(text: str, said: str) -> None:
    """A mistake in a template raises an error with a hint at once; names with a leading underscore are refused."""
    with pytest.raises(UsageError) as caught:
        Template(text)

    assert said in caught.value.message
    assert caught.value.hint


def test_a_wrong_name_is_told_the_right_one() -> None:
    """The hint offers the nearest name, never a private one."""
    with pytest.raises(UsageError) as caught:
        Template("{usr}")
    assert "'user'" in caught.value.hint

    with pytest.raises(UsageError) as caught:
        Template("{state.itens}").fill(CONTEXT)
    assert "'items'" in caught.value.hint
    assert "_secret" not in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{state.items[2].name}", "{state.items}, which has no 2"),
        ("{state.items.append}", "no 'append'"),
        ("{state.notes.items}", "no 'items'"),
        ("{state.total}", "is a function"),
        ("{state.owner.name}", "no 'name'"),
        ("{user[0]}", "no 0"),
        ("{deps[zone]}", "no 'zone'"),
    ],
)
def test_what_is_not_there(text: str, said: str) -> None:
    """A placeholder without a value is an error that names the last readable part. A template never calls functions."""
    with pytest.raises(UsageError) as caught:
        Template(text).fill(CONTEXT)

    assert said in caught.value.message


@given(st.text(alphabet="{}us er[].", max_size=20))
def test_any_text_is_a_template_or_an_error(text: str) -> None:
    """Any text makes a template or raises a `UsageError`."""
    try:
        template = Template(text)
    except UsageError:
        return
    assert template.fill(RunContext("r", user="x")).count("x") <= text.count("{")


@pytest.mark.parametrize("text", [5, None, b"x"])
def test_a_template_of_no_text(text: Any) -> None:
    """A template refuses anything but text."""
    make: Callable[[Any], Template] = Template
    with pytest.raises(UsageError, match="text of a template"):
        make(text)
