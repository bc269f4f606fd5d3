"""Injection by type: the run's context, the caller's dependencies, the session's state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Protocol, TypedDict, runtime_checkable

import attrs
import msgspec
import pytest

from agno_rt import Agent, Limits, Message, Runtime, ToolCall, tool
from agno_rt.context import Deps, RunContext, State
from agno_rt.errors import LimitExceeded, UsageError
from agno_rt.events import Event, RunEnded, ToolEnded, ToolStarted
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Usage
from agno_rt.testing import ScriptedModel, Step
from agno_rt.tools import Tool
from tests.helpers import forever, told
from tests.tool_helpers import calls_of, job_of, listening, told_of


@attrs.define
class Database:
    """A dependency of the caller."""

    name: str


@attrs.define
class Replica(Database):
    """A subclass of the dependency."""


@attrs.define
class Cart:
    """A session's state."""

    things: list[str] = attrs.Factory(list)


class Settings(NamedTuple):
    """A named tuple as one dependency."""

    loud: bool


class Options(TypedDict):
    """A dictionary with known keys."""

    loud: bool


@runtime_checkable
class Named(Protocol):
    """A protocol with a name."""

    name: str


async def called(function: Callable[..., Any], **more: Any) -> Any:
    """Return the content of a call of the function as a tool."""
    made = tool(function, name="it")
    [content] = await told_of(job_of(made, **more), calls_of("it", "{}"))
    return content


class TestContext:
    """Injection of `RunContext`."""

    async def test_the_run(self) -> None:
        """The context has run, agent, session, user, input, dependencies and call."""
        seen: list[RunContext | None] = []

        @tool
        async def look(context: RunContext, word: str, same: RunContext | None = None) -> str:
            """Look."""
            seen.extend([context, same])
            return word

        with ScriptedModel([ToolCall("c1", "look", '{"word": "x"}'), "done"]) as model:
            async with Runtime() as rt:
                agent = Agent(model, "ann", tools=[look])
                result = await rt.run(agent, "Hi", session="s", user="bob", deps=Database("d"))

        context, same = seen
        assert context is same
        assert context is not None
        assert (context.run_id, context.agent, context.session, context.user) == (result.run_id, "ann", "s", "bob")
        assert context.input == (Message("user", "Hi"),)
        assert context.deps == Database("d")
        assert context.call == ToolCall("c1", "look", '{"word": "x"}')
        assert told(result) == ["x"]

    async def test_each_call_has_its_own(self) -> None:
        """Calls of one turn have separate contexts."""
        seen: list[Any] = []

        @tool
        async def look(context: RunContext) -> str:
            """Look."""
            seen.append(context)
            return "" if context.call is None else context.call.id

        assert await told_of(job_of(look), calls_of("look", "{}", "{}")) == ["look 0", "look 1"]
        assert seen[0] is not seen[1]

    @pytest.mark.parametrize("inline", [True, False])
    async def test_what_a_tool_uses_itself(self, inline: bool) -> None:
        """Usage reported by a tool counts for the run and its budgets."""

        @tool(inline=inline)
        def ask(context: RunContext) -> str:
            """Ask somebody."""
            context.spend(Usage(100, 1))
            return str(context.usage.input_tokens)

        async with Runtime() as rt:
            agent = Agent(ScriptedModel([ToolCall("1", "ask"), "never"]), tools=[ask], limits=Limits(tokens=50))
            with pytest.raises(LimitExceeded) as caught:
                await rt.run(agent, "x")

        assert caught.value.limit == "tokens"
        assert caught.value.result.usage.input_tokens > 100


class TestDeps:
    """Injection of `Deps[...]`."""

    @pytest.mark.parametrize(
        ("deps", "name"),
        [
            (Database("a"), "a"),
            ((1, Database("a"), Database("b")), "a"),
            (("x", Replica("r")), "r"),
        ],
    )
    async def test_by_type(self, deps: Any, name: str) -> None:
        """A dependency is found by class or base class, alone or as the first match of several."""

        def function(db: Deps[Database]) -> str:
            """Ask."""
            return db.name

        assert await called(function, deps=deps) == name

    async def test_kinds_of_types(self) -> None:
        """Protocols, unions, typed dictionaries, generic types and callables are valid types."""

        async def function(
            named: Deps[Named],
            number: Deps[int | float],
            options: Deps[Options],
            words: Deps[list[str]],
            call: Deps[Callable[[], str]],
        ) -> Any:
            """Ask."""
            return [named.name, number, options, words, call()]

        deps = (Database("a"), 1.5, {"loud": True}, ["w"], lambda: "called")
        assert await called(function, deps=deps) == '["a",1.5,{"loud":true},["w"],"called"]'

    async def test_a_named_tuple_is_one_thing(self) -> None:
        """A named tuple counts as one dependency."""

        def function(settings: Deps[Settings]) -> bool:
            """Ask."""
            return settings.loud

        assert await called(function, deps=Settings(loud=True)) == "true"

    async def test_what_may_be_missing(self) -> None:
        """A missing dependency becomes the default, or `None` for an optional type."""

        def default(db: Deps[Database] = Database("default")) -> str:  # noqa: B008 - the point of the test
            """Ask."""
            return db.name

        def optional(db: Deps[Database] | None) -> bool:
            """Ask."""
            return db is None

        def inside(db: Deps[Database | None]) -> bool:
            """Ask."""
            return db is None

        for deps in (None, "something else"):
            assert await called(default, deps=deps) == "default"
            assert await called(optional, deps=deps) == "true"
            assert await called(inside, deps=deps) == "true"
        assert await called(default, deps=Database("a")) == "a"
        assert await called(optional, deps=Database("a")) == "false"

    @pytest.mark.parametrize(
        ("deps", "given"), [(None, "as dependencies: none"), ("x", ": str"), ((1, Cart()), ": int, Cart")]
    )
    @pytest.mark.parametrize("calls", [1, 3])
    async def test_what_is_missing_ends_the_run(self, deps: Any, given: str, calls: int) -> None:
        """A missing dependency is a bare `UsageError` for the caller, for any number of calls."""
        ran: list[str] = []

        @tool(inline=True)
        def query(db: Deps[Database], words: str = "") -> str:
            """Ask."""
            ran.append(words)
            return words

        events: list[Event] = []
        with ScriptedModel(
            [[*calls_of("query", *["{}"] * calls), ToolCall("f", "forever")][: calls + (calls > 1)]]
        ) as m:
            async with Runtime(observers=[events.append]) as rt:
                with pytest.raises(UsageError, match="'query' needs a Database for 'db'") as caught:
                    await rt.run(Agent(m, tools=[query, forever]), "x", deps=deps)

        assert given in caught.value.message
        assert "deps=Database(...)" in caught.value.hint
        assert caught.value.result.status == "failed"
        assert [message.role for message in caught.value.result.messages] == ["user"]
        assert not ran
        started = [event.call.id for event in events if isinstance(event, ToolStarted)]
        assert sorted(started) == sorted(event.call.id for event in events if isinstance(event, ToolEnded))
        assert isinstance(events[-1], RunEnded)

    async def test_arguments_come_first(self) -> None:
        """Invalid arguments are told to the model before any injection."""

        @tool
        def query(db: Deps[Database], words: str) -> str:
            """Ask."""
            return words

        [content] = await told_of(job_of(query), calls_of("query", "{}"))
        assert "do not fit" in str(content)

    async def test_the_model_cannot_pass_one(self) -> None:
        """Arguments from the model for injected parameters are refused."""

        @tool
        def query(context: RunContext, db: Deps[Database]) -> str:
            """Ask."""
            return db.name

        job = job_of(query, deps=Database("mine"))
        contents = await told_of(job, calls_of("query", '{"db": {"name": "yours"}}', '{"context": null}', "{}"))
        assert ["do not fit" in str(content) for content in contents] == [True, True, False]
        assert contents[2] == "mine"

    async def test_beside_described_parameters(self) -> None:
        """An annotation may carry other metadata too."""

        def function(db: Annotated[Deps[Database], "the main one"], x: Annotated[int, msgspec.Meta(ge=1)] = 1) -> str:
            """Ask."""
            return f"{db.name} {x}"

        assert await called(function, deps=Database("a")) == "a 1"


class TestState:
    """Injection of `State[...]`."""

    async def test_is_changed_in_place(self) -> None:
        """Runs of a session share one state, and changes last."""

        @tool
        async def put(cart: State[Cart], thing: str) -> int:
            """Put a thing into the cart."""
            cart.things.append(thing)
            return len(cart.things)

        calls: list[Step] = [
            ToolCall("1", "put", '{"thing": "tea"}'),
            "ok",
            ToolCall("2", "put", '{"thing": "milk"}'),
            "ok",
        ]
        agent = Agent(ScriptedModel(calls), tools=[put], memory=MemoryPolicy(state=Cart))
        async with Runtime() as rt:
            first = await rt.run(agent, "x", session="s")
            second = await rt.run(agent, "y", session="s")

        assert (told(first), told(second)) == (["1"], ["2"])
        assert second.state == Cart(["tea", "milk"])

    @pytest.mark.parametrize(("state", "was"), [(None, "has none"), (Database("x"), "has Database")])
    async def test_none_of_the_type(self, state: Any, was: str) -> None:
        """An agent without the state's type is the caller's mistake, and ends the run."""

        @tool
        def put(cart: State[Cart]) -> None:
            """Put a thing into the cart."""

        with pytest.raises(UsageError, match=f"'put' needs the session's state as Cart for 'cart', .* {was}") as caught:
            await told_of(job_of(put, state=state), calls_of("put", "{}"))

        assert "MemoryPolicy(state=Cart)" in caught.value.hint

    async def test_none_where_there_may_be_none(self) -> None:
        """An optional state may be missing."""

        def put(cart: State[Cart] | None, other: State[Cart] = Cart(["default"])) -> Any:  # noqa: B008 - the point
            """Put a thing into the cart."""
            return [cart, other]

        assert await called(put) == '[null,{"things":["default"]}]'
        assert await called(put, state=Cart()) == '[{"things":[]},{"things":[]}]'


async def test_a_wrapped_function_is_given_the_same() -> None:
    """A copy of a tool with a wrapped function still gets injected values by name."""

    @tool(inline=True)
    def query(db: Deps[Database], words: str) -> str:
        """Ask."""
        return f"{db.name} {words}"

    def around(*args: Any, **kwargs: Any) -> str:
        return f"<{query.function(*args, **kwargs)}>"

    wrapped: Tool = attrs.evolve(query, function=around)
    job = job_of(wrapped, deps=Database("a"), emitter=listening([]))
    assert await told_of(job, calls_of("query", '{"words": "w"}')) == ["<a w>"]


def test_a_dependency_by_hand() -> None:
    """A tool may ask its context for a dependency, and gets an error for a missing one."""
    context = RunContext("r", deps=(1, Database("a")))

    assert context.dep(Database).name == "a"
    with pytest.raises(UsageError, match="no dependency of type Cart"):
        context.dep(Cart)
