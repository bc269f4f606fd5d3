"""Any callable may be a tool: partials, methods, objects, decorated functions; and their annotations."""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
import trio

from agno_rt import Agent, RunContext, Runtime, Tool, ToolCall, tool
from agno_rt.errors import ToolDefinitionError
from agno_rt.testing import ScriptedModel
from tests.helpers import told

if TYPE_CHECKING:
    from decimal import Decimal
    from fractions import Fraction

Greet = Callable[..., Any]


def greet(greeting: str, name: str) -> str:
    """Greet somebody.

    Args:
        greeting: what to say
        name: whom
    """
    return f"{greeting}, {name}!"


async def agreet(greeting: str, name: str) -> str:
    """Greet somebody.

    Args:
        greeting: what to say
        name: whom
    """
    await trio.lowlevel.checkpoint()
    return f"{greeting}, {name}!"


class Greeter:
    """Greet somebody."""

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def greet(self, name: str) -> str:
        """Greet somebody."""
        return f"{self.greeting}, {name}!"

    async def agreet(self, name: str) -> str:
        """Greet somebody."""
        await trio.lowlevel.checkpoint()
        return f"{self.greeting}, {name}!"

    @classmethod
    def greet_all(cls, name: str) -> str:
        """Greet somebody."""
        return cls("Hi").greet(name)

    @staticmethod
    def greet_any(name: str) -> str:
        """Greet somebody."""
        return f"Hi, {name}!"

    def __call__(self, name: str) -> str:
        """Greet somebody."""
        return self.greet(name)


class AsyncGreeter(Greeter):
    """Greet somebody."""

    async def __call__(self, name: str) -> str:  # type: ignore[override]  # async instead
        """Greet somebody."""
        return await self.agreet(name)


def decorate(function: Greet) -> Greet:
    """Wrap the function, like most decorators."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def run_from_thread(function: Callable[..., Awaitable[str]]) -> Greet:
    """Make a sync function of an async one, called from a thread."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> str:
        assert threading.current_thread() is not threading.main_thread()
        return trio.from_thread.run(functools.partial(function, *args, **kwargs))

    return wrapper


WAYS: dict[str, Greet] = {
    "partial by position": functools.partial(greet, "Hi"),
    "partial by name": functools.partial(greet, greeting="Hi"),
    "partial of a partial": functools.partial(functools.partial(greet, "Hi")),
    "async partial by position": functools.partial(agreet, "Hi"),
    "async partial by name": functools.partial(agreet, greeting="Hi"),
    "partial of a method": functools.partial(Greeter("Hi").greet),
    "partial of an object": functools.partial(Greeter("Hi")),
    "partial of an async object": functools.partial(AsyncGreeter("Hi")),
    "partial of a tool": functools.partial(tool(greet), "Hi"),
    "partial of a decorated function": functools.partial(decorate(greet), greeting="Hi"),
    "method": Greeter("Hi").greet,
    "async method": Greeter("Hi").agreet,
    "class method": Greeter.greet_all,
    "static method": Greeter.greet_any,
    "object": Greeter("Hi"),
    "async object": AsyncGreeter("Hi"),
    "decorated partial": decorate(functools.partial(greet, "Hi")),
    "decorated method": decorate(Greeter("Hi").greet),
    "decorated object": decorate(Greeter("Hi")),
    "decorated twice": decorate(decorate(functools.partial(greet, greeting="Hi"))),
    "sync around async": decorate(functools.partial(agreet, "Hi")),
    "sync around an async method": decorate(Greeter("Hi").agreet),
    "lambda around async": decorate(Greeter("Hi").agreet),
    "blocking around async": run_from_thread(functools.partial(agreet, "Hi")),
    "cached": functools.lru_cache(functools.partial(greet, "Hi")),
    "another tool": tool(Greeter("Hi").greet),
}


async def call_tool(made: Tool, arguments: str = '{"name": "Ann"}') -> str:
    """Return the tool's answer to the model."""
    model = ScriptedModel([ToolCall("1", made.name, arguments), "done"])
    async with Runtime() as rt:
        [said] = told(await rt.run(Agent(model, tools=[made]), "Go."))
    return said


# A sync function around an async one cannot run inline: the wrapper waits in a thread for trio's.
@pytest.mark.parametrize(
    ("way", "inline"), [*((way, False) for way in WAYS), *((way, True) for way in WAYS if "blocking" not in way)]
)
async def test_it_is_called(way: str, inline: bool) -> None:
    """The open parameters are described and filled in; the model can neither see nor change bound ones."""
    made = tool(name="hello", inline=inline)(WAYS[way])

    assert made.description == "Greet somebody."
    assert made.parameters["properties"].keys() == {"name"}
    assert made.parameters["required"] == ["name"]
    assert await call_tool(made) == "Hi, Ann!"
    assert "hello do not fit" in await call_tool(made, '{"name": "Ann", "greeting": "Bye"}')


@pytest.mark.parametrize("bound", [functools.partial(greet, "Hi"), functools.partial(greet, greeting="Hi")])
def test_the_docstring_of_a_partials_function_describes(bound: Greet) -> None:
    """A parameter has the description in the docstring of the partial's function."""
    made = tool(name="hello")(bound)

    assert made.parameters["properties"] == {"name": {"type": "string", "description": "whom"}}


async def test_a_batch_and_a_context_behind_a_partial() -> None:
    """The context and the batch are found behind a partial."""

    def scaled(factor: int, numbers: list[int], context: RunContext) -> list[str]:
        """Scale a number."""
        return [f"{factor * number} {context.agent}" for number in numbers]

    made = tool(name="scale", batch=True)(functools.partial(scaled, 3))

    assert await call_tool(made, '{"item": 2}') == "6 "


async def test_a_coroutine_of_a_call_that_was_given_up() -> None:
    """The coroutine of a timed-out call is closed, without a warning about a missing await."""
    release = threading.Event()

    def slow(name: str) -> Any:
        """Return a coroutine too late."""
        release.wait(30)
        return agreet("Hi", name)

    made = tool(slow, timeout=0.01)
    async with Runtime() as rt:
        model = ScriptedModel([ToolCall("1", "slow", '{"name": "Ann"}'), "done"])
        [said] = told(await rt.run(Agent(model, tools=[made]), "Go."))
        release.set()
        with trio.fail_after(30):
            while any(limit.in_use for limit in rt.statistics()):
                await trio.lowlevel.checkpoint()

    assert "took longer than 0.01 s" in said


class TestAnnotations:
    """Annotations that cannot be evaluated at run time."""

    def test_of_the_result(self) -> None:
        """The annotation of the result may be missing at run time, since models do not see the result's type."""

        def price(item: str) -> Decimal:
            """Return the price of an item."""
            raise NotImplementedError

        assert tool(price).parameters["properties"] == {"item": {"type": "string"}}
        assert tool(decorate(price)).parameters["required"] == ["item"]

    async def test_of_what_is_bound(self) -> None:
        """A parameter bound by a partial needs no type."""

        def pay(amount: Decimal | int, to: str) -> str:
            """Pay somebody."""
            return f"{to}: {amount}"

        made = tool(name="pay")(functools.partial(pay, 5))
        assert await call_tool(made, '{"to": "Ann"}') == "Ann: 5"
        made = tool(name="pay")(functools.partial(pay, amount=5))
        assert await call_tool(made, '{"to": "Ann"}') == "Ann: 5"

    @pytest.mark.parametrize("wrap", [lambda function: function, decorate, functools.partial])
    def test_of_a_parameter(self, wrap: Callable[[Greet], Greet]) -> None:
        """The error names the parameter and the type, and has a remedy."""

        def pay(to: str, amount: Decimal, part: Fraction) -> str:
            """Pay somebody."""
            return to

        with pytest.raises(ToolDefinitionError) as caught:
            tool(name="pay")(wrap(pay))

        assert caught.value.message == (
            "tool 'pay': parameter 'amount' has an annotation that cannot be read: name 'Decimal' is not defined"
        )
        assert "TYPE_CHECKING" in caught.value.hint
