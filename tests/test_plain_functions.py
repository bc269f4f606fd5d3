"""Plain functions as tools, without the decorator."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from agno_rt import Agent, ModelRequest, ModelResponse, Runtime, ToolCall, tool
from agno_rt.errors import ToolDefinitionError, UsageError
from agno_rt.testing import ScriptedModel
from tests.helpers import told


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


async def double_async(number: int) -> int:
    """Double a number."""
    return 2 * number


class Doubler:
    """Doubling in several ways."""

    factor = 2

    def double(self, number: int) -> int:
        """Double a number."""
        return self.factor * number

    async def double_async(self, number: int) -> int:
        """Double a number."""
        return self.factor * number

    @classmethod
    def double_class(cls, number: int) -> int:
        """Double a number."""
        return cls.factor * number

    @staticmethod
    def double_static(number: int) -> int:
        """Double a number."""
        return 2 * number


@attrs.define
class Times:
    """Multiplication by a factor. Equality by factor leaves the class without a hash."""

    factor: int
    __name__: str = "times"

    def __call__(self, number: int) -> int:
        """Multiply a number."""
        return self.factor * number


def multiply(factor: int, number: int) -> int:
    """Multiply two numbers."""
    return factor * number


@functools.wraps(double_async)
def double_wrapped(*args: Any, **kwargs: Any) -> Any:
    return double_async(*args, **kwargs)


FUNCTIONS: list[Callable[..., Any]] = [
    functools.partial(multiply, 2),
    functools.partial(multiply, factor=2),
    double_wrapped,
    double,
    double_async,
    Doubler().double,
    Doubler().double_async,
    Doubler.double_class,
    Doubler.double_static,
    Times(2),
]


@pytest.mark.parametrize("function", FUNCTIONS)
async def test_is_a_tool_as_it_is(function: Callable[..., Any]) -> None:
    """A plain function is shown to the model and called as with `@tool`."""
    shown: list[tuple[str, str, Any]] = []

    def call(request: ModelRequest) -> ModelResponse:
        shown.extend((each.name, each.description, each.parameters) for each in request.tools)
        return ModelResponse(tool_calls=[ToolCall("1", request.tools[0].name, {"number": 21})])

    async with Runtime() as rt:
        result = await rt.run(Agent(ScriptedModel([call, "done"]), tools=[function]), "?")

    made = tool(function)
    assert shown[0] == (made.name, made.description, made.parameters)
    assert told(result) == ["42"]


@tool
def triple(number: int) -> int:
    """Triple a number."""
    return 3 * number


async def test_stands_beside_tools() -> None:
    """Functions and tools may be mixed."""
    async with Runtime() as rt:
        calls = [ToolCall("1", "double", {"number": 1}), ToolCall("2", "triple", {"number": 1})]
        agent = Agent(ScriptedModel([calls, "done"]), tools=(double, triple))
        result = await rt.run(agent, "?")

    assert told(result) == ["2", "3"]


async def test_agents_that_share_functions_share_the_tools() -> None:
    """A runtime describes a function once for all agents."""
    seen: list[Any] = []

    def look(request: ModelRequest) -> ModelResponse:
        seen.extend(request.tools)
        return ModelResponse("done")

    doubler = Doubler()
    async with Runtime() as rt:
        for _ in range(3):
            await rt.run(Agent(ScriptedModel([look]), tools=[double, doubler.double_async]), "?")

    assert len(seen) == 6
    assert len(set(map(id, seen))) == 2


async def test_objects_that_are_equal_are_tools_of_their_own() -> None:
    """Each agent calls its own one of two equal callable objects."""
    one, other = Times(2), Times(2)
    call = ToolCall("1", "times", {"number": 10})

    async with Runtime() as rt:
        await rt.run(Agent(ScriptedModel([call, "done"]), tools=[one]), "?")
        other.factor = 3
        result = await rt.run(Agent(ScriptedModel([call, "done"]), tools=[other]), "?")

    assert told(result) == ["30"]


async def test_a_runtime_that_is_gone_keeps_no_function() -> None:
    """A dropped runtime keeps no reference to a function."""

    def local(number: int) -> int:
        """Return the number."""
        return number

    gone = weakref.ref(local)
    async with Runtime() as rt:
        await rt.run(Agent(ScriptedModel(["done"]), tools=[local]), "?")
    del local, rt
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize(
    ("entry", "problem"),
    [(Doubler, "Make an instance of the class: Doubler(...)"), (5, "Give a function"), (None, "Give a function")],
)
async def test_what_is_not_a_tool(entry: Any, problem: str) -> None:
    """A class or an object that cannot be called is refused with a remedy."""
    async with Runtime() as rt:
        with pytest.raises(UsageError, match="is not a tool") as caught:
            await rt.run(Agent(ScriptedModel([]), "clerk", tools=[entry]), "?")

    assert "agent 'clerk'" in str(caught.value)
    assert problem in caught.value.hint


async def test_a_function_that_cannot_be_described() -> None:
    """A function without types is refused as by `@tool`, and the error names the agent."""

    def untyped(number) -> int:  # type: ignore[no-untyped-def]  # the point of the test
        return 2 * int(number)

    async with Runtime() as rt:
        with pytest.raises(ToolDefinitionError, match="parameter 'number' has no type") as caught:
            await rt.run(Agent(ScriptedModel([]), "clerk", tools=[untyped]), "?")

    assert "agent 'clerk'" in str(caught.value)


async def test_a_method_without_its_object() -> None:
    """The error for an unbound method says how to give a bound one."""
    async with Runtime() as rt:
        with pytest.raises(ToolDefinitionError, match="'self' has no type") as caught:
            await rt.run(Agent(ScriptedModel([]), tools=[Doubler.double]), "?")
    with pytest.raises(ToolDefinitionError, match="'self' has no type") as decorated:
        tool(Doubler.double)

    assert "tools=[thing.double]" in caught.value.hint
    assert caught.value.hint == decorated.value.hint
