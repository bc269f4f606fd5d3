"""Whatever can be called may be a tool: partials, methods, objects, decorated functions; and their annotations."""

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


def decorated(function: Greet) -> Greet:
    """A decorator as most are."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def blocking(function: Callable[..., Awaitable[str]]) -> Greet:
    """A decorator that makes a sync function of an async one, from a thread."""

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
    "partial of a decorated function": functools.partial(decorated(greet), greeting="Hi"),
    "method": Greeter("Hi").greet,
    "async method": Greeter("Hi").agreet,
    "class method": Greeter.greet_all,
    "static method": Greeter.greet_any,
    "object": Greeter("Hi"),
    "async object": AsyncGreeter("Hi"),
    "decorated partial": decorated(functools.partial(greet, "Hi")),
    "decorated method": decorated(Greeter("Hi").greet),
    "decorated object": decorated(Greeter("Hi")),
    "decorated twice": decorated(decorated(functools.partial(greet, greeting="Hi"))),
    "sync around async": decorated(functools.partial(agreet, "Hi")),
    "sync around an async method": decorated(Greeter("Hi").agreet),
    "lambda around async": decorated(Greeter("Hi").agreet),
    "blocking around async": blocking(functools.partial(agreet, "Hi")),
    "cached": functools.lru_cache(functools.partial(greet, "Hi")),
    "another tool": tool(Greeter("Hi").greet),
}


async def answer(made: Tool, arguments: str = '{"name": "Ann"}') -> str:
    """What a model is told of one call."""
    model = ScriptedModel([ToolCall("1", made.name, arguments), "done"])
    async with Runtime() as rt:
        [said] = told(await rt.run(Agent(model, tools=[made]), "Go."))
    return said


# One that waits for an async function from a thread needs one.
@pytest.mark.parametrize(
    ("way", "inline"), [*((way, False) for way in WAYS), *((way, True) for way in WAYS if "blocking" not in way)]
)
async def test_it_is_called(way: str, inline: bool) -> None:
    """Its open parameters are described and filled in; what is bound the model neither sees nor changes."""
    made = tool(name="hello", inline=inline)(WAYS[way])

    assert made.description == "Greet somebody."
    assert made.parameters["properties"].keys() == {"name"}
    assert made.parameters["required"] == ["name"]
    assert await answer(made) == "Hi, Ann!"
    assert "hello do not fit" in await answer(made, '{"name": "Ann", "greeting": "Bye"}')


@pytest.mark.parametrize("bound", [functools.partial(greet, "Hi"), functools.partial(greet, greeting="Hi")])
def test_the_docstring_of_a_partials_function_describes(bound: Greet) -> None:
    """What it says of a parameter is its description."""
    made = tool(name="hello")(bound)

    assert made.parameters["properties"] == {"name": {"type": "string", "description": "whom"}}


async def test_a_batch_and_a_context_behind_a_partial() -> None:
    """What is asked for by its type is found there too."""

    def scaled(factor: int, numbers: list[int], context: RunContext) -> list[str]:
        """Scale a number."""
        return [f"{factor * number} {context.agent}" for number in numbers]

    made = tool(name="scale", batch=True)(functools.partial(scaled, 3))

    assert await answer(made, '{"item": 2}') == "6 "


async def test_a_coroutine_of_a_call_that_was_given_up() -> None:
    """It is closed, and not left as never awaited."""
    release = threading.Event()

    def slow(name: str) -> Any:
        """Hand out a coroutine, too late."""
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
    """Annotations that cannot be read while the program runs."""

    def test_of_the_result(self) -> None:
        """No model hears of it, so it may be there for type checkers alone."""

        def price(item: str) -> Decimal:
            """What an item costs."""
            raise NotImplementedError

        assert tool(price).parameters["properties"] == {"item": {"type": "string"}}
        assert tool(decorated(price)).parameters["required"] == ["item"]

    async def test_of_what_is_bound(self) -> None:
        """A parameter that a partial has bound needs no type."""

        def pay(amount: Decimal | int, to: str) -> str:
            """Pay somebody."""
            return f"{to}: {amount}"

        made = tool(name="pay")(functools.partial(pay, 5))
        assert await answer(made, '{"to": "Ann"}') == "Ann: 5"
        made = tool(name="pay")(functools.partial(pay, amount=5))
        assert await answer(made, '{"to": "Ann"}') == "Ann: 5"

    @pytest.mark.parametrize("wrap", [lambda function: function, decorated, functools.partial])
    def test_of_a_parameter(self, wrap: Callable[[Greet], Greet]) -> None:
        """The error names the parameter and the type, and says what to do."""

        def pay(to: str, amount: Decimal, part: Fraction) -> str:
            """Pay somebody."""
            return to

        with pytest.raises(ToolDefinitionError) as caught:
            tool(name="pay")(wrap(pay))

        assert caught.value.message == (
            "tool 'pay': parameter 'amount' has an annotation that cannot be read: name 'Decimal' is not defined"
        )
        assert "TYPE_CHECKING" in caught.value.hint
