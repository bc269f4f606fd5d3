"""Exceptions of users' code end at most one run. The program and the other runs go on."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import (
    Agent,
    Cache,
    Event,
    Fallback,
    Guard,
    Hedge,
    Hook,
    Limits,
    ModelRequest,
    ModelResponse,
    Output,
    RateLimit,
    Retry,
    RunContext,
    RunResult,
    Runtime,
    Tool,
    ToolCall,
    tool,
)
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import AgnoError, BackendError, HookError, ModelError, OutputError, PluginError, UsageError
from agno_rt.events import RunEnded, RunStarted
from agno_rt.failures import MOST_TEXT, add_note, leaves, must_pass, named, repr_of, text_of
from agno_rt.memory import MemoryPolicy, SessionState, UserMemory
from agno_rt.models import Emit
from agno_rt.plugins import PluginHost
from agno_rt.testing import ScriptedModel
from agno_rt.tools import ToolArgumentError
from tests.helpers import Hanging, name_value, told

WellFormed = Callable[[Sequence[Event]], None]
Make = Callable[[], BaseException]


class Own(BaseException):
    """An exception class of a user."""


class Wordless(Exception):
    """An exception whose `__str__` fails on a missing attribute."""

    def __str__(self) -> str:
        return self.detail  # type: ignore[attr-defined,no-any-return]  # the fault


class Numbered(Exception):
    """An exception whose `__str__` returns a number."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307 - the fault


class Exiting(BaseException):
    """An exception whose `__str__` ends the program."""

    def __str__(self) -> str:
        raise SystemExit(4)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """An exception without assignable attributes."""

    reason: str = "frozen"


@dataclasses.dataclass(frozen=True)
class FrozenError(ModelError):
    """A `ModelError` without assignable attributes."""

    reason: str = "frozen"


class Odd(Exception):
    """An exception with attributes of unusual types."""

    code = 3
    add_note = None  # type: ignore[assignment]  # the fault

    @property
    def message(self) -> str:
        """Fail."""
        raise ValueError("no message")


def mixed() -> BaseException:
    """Make a group with an exit inside an inner group, and a failure."""
    return BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [SystemExit(1)]), ValueError("deep")])


EXITS: dict[str, Make] = {
    "SystemExit": lambda: SystemExit(3),
    "CancelledError": asyncio.CancelledError,
    "GeneratorExit": GeneratorExit,
    "Own": lambda: Own("mine"),
    "BaseExceptionGroup": mixed,
    "Exiting": Exiting,
}
ODD: dict[str, Make] = {
    "ExceptionGroup": lambda: ExceptionGroup("two", [ValueError("one"), KeyError("other")]),
    "Wordless": Wordless,
    "Numbered": Numbered,
    "Frozen": Frozen,
    "Odd": Odd,
    "UnicodeError": lambda: UnicodeError("half a \ud800 pair"),
    "ValueError": lambda: ValueError("much " * 1_000_000),
    "StopAsyncIteration": StopAsyncIteration,
    "RuntimeError": StopIteration,  # a coroutine turns StopIteration into RuntimeError
    "RecursionError": RecursionError,
    "MemoryError": MemoryError,
}
raising = pytest.mark.parametrize(("name", "make"), [*EXITS.items(), *ODD.items()], ids=[*EXITS, *ODD])


def tools_that_raise(make: Make) -> list[Tool]:
    """Make a raising tool of each kind."""

    @tool(name="a")
    async def in_task() -> str:
        """Raise in the run's own task."""
        raise make()

    @tool(name="b")
    def in_thread() -> str:
        """Raise in a thread."""
        raise make()

    @tool(name="c", inline=True)
    def in_place() -> str:
        """Raise inline."""
        raise make()

    @tool(name="d", batch=True)
    def in_batch(items: list[int]) -> list[int]:
        """Raise in a batch."""
        raise make()

    @tool(name="e", concurrency=1, timeout=60)
    async def in_turn(context: RunContext) -> str:
        """Raise in a call with limits."""
        raise make()

    @tool(name="f", concurrency=1, timeout=60)
    def in_thread_in_turn() -> str:
        """Raise in a thread, in a call with limits."""
        raise make()

    @tool(name="g")
    async def in_nursery() -> str:
        """Raise beside a waiting task."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise make()

    return [in_task, in_thread, in_place, in_batch, in_turn, in_thread_in_turn, in_nursery]


@raising
async def test_a_tool_has_failed(name: str, make: Make, well_formed: WellFormed) -> None:
    """An exception of any kind of tool, alone or among other calls, is told to the model, and the run goes on."""
    tools = tools_that_raise(make)
    calls = [ToolCall(each.name, each.name, '{"item": 1}' if each.batch else "{}") for each in tools]
    model = ScriptedModel([calls, calls[0], "Done."])
    seen: list[Event] = []

    async with Runtime(observers=[seen.append]) as rt:
        result = await rt.run(Agent(model, tools=tools), "Go.")

    well_formed(seen)
    assert result.content == "Done."
    assert len(told(result)) == len(calls) + 1
    for text in told(result):
        # Inline, a StopIteration stays; a coroutine turns one into RuntimeError. A nursery wraps exceptions in a group.
        assert " failed: " in text
        assert name in text or "StopIteration" in text
        assert len(text) < 7 * MOST_TEXT
        text.encode()


def raises(make: Make) -> Callable[..., NoReturn]:
    """Make a function that raises for any arguments."""

    def function(*_: Any, **__: Any) -> NoReturn:
        raise make()

    return function


def raises_later(make: Make) -> Callable[..., Awaitable[NoReturn]]:
    """Make a coroutine function that raises for any arguments."""

    async def function(*_: Any, **__: Any) -> NoReturn:
        raise make()

    return function


@attrs.define(eq=False)
class Raising:
    """A model and a guardrail that raises."""

    make: Make
    name: str = "raising"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Raise the exception."""
        raise self.make()

    async def check(self, context: RunContext, text: str) -> None:
        """Raise the exception."""
        raise self.make()


class Grouping(Raising):
    """A model that raises out of a nursery."""

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Raise beside a waiting task."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(raises_later(self.make))
        raise AssertionError("the nursery never ends by itself")


def answering() -> ScriptedModel:
    """Make a model that always gives the same answer."""
    return ScriptedModel(lambda request: '{"a": 1}')


def hooked(place: str, make: Make) -> Hook:
    """Make a hook that raises at the place."""
    made: Hook = type("Raiser", (Hook,), {place: raises_later(make)})()
    return made


def backend(method: str, make: Make) -> InProcessMemory:
    """Make a memory backend with one raising method."""
    made: InProcessMemory = type("Broken", (InProcessMemory,), {method: raises_later(make)})()
    return made


@tool(inline=True)
def ok() -> str:
    """Do nothing."""
    return "ok"


Setting = tuple[Agent, dict[str, Any]]
CALLS = [ToolCall("1", "ok"), ToolCall("2", "ok")]


def asking(make: Make) -> Agent:
    """Make an agent with a tool whose `approve` raises."""

    @tool(approve=raises(make))
    async def guarded() -> str:
        """Never called."""
        return ""

    return Agent(ScriptedModel([ToolCall("1", "guarded")]), tools=[guarded])


def typed(make: Make) -> type:
    """Make a class whose objects cannot be made."""

    @dataclasses.dataclass
    class Answer:
        a: int

        def __post_init__(self) -> None:
            raise make()

    return Answer


def calling(**fields: Any) -> Agent:
    """Make an agent that calls two tools, then answers."""
    return Agent(ScriptedModel([CALLS, "x"]), tools=[ok], **fields)


JOURNAL = MemoryPolicy(journal=True)


def at_hook(place: str) -> Callable[[Make], Setting]:
    """Make an agent with a hook that raises at the place."""
    return lambda make: (calling(hooks=[hooked(place, make)]), {})


def at_store(method: str, **asked: Any) -> Callable[[Make], Setting]:
    """Make an agent and a backend with a raising method. Without a session, runs are stored."""
    memory = {} if asked else {"memory": JOURNAL}
    return lambda make: (calling(**memory), {"memory": backend(method, make), **asked})


SEAMS: dict[str, tuple[type[AgnoError], Callable[[Make], Setting]]] = {
    "model": (ModelError, lambda make: (Agent(Raising(make)), {})),
    "model with tasks": (ModelError, lambda make: (Agent(Grouping(make)), {})),
    "retry": (ModelError, lambda make: (Agent(Retry(Raising(make), wait=0)), {})),
    "fallback": (ModelError, lambda make: (Agent(Fallback(Grouping(make), answering())), {})),
    "hedge": (ModelError, lambda make: (Agent(Hedge(Raising(make), Hanging(), after=0)), {})),
    "hedge with tasks": (ModelError, lambda make: (Agent(Hedge(Grouping(make), Hanging(), after=0)), {})),
    "cache": (ModelError, lambda make: (Agent(Cache(Grouping(make))), {})),
    "rate limit": (ModelError, lambda make: (Agent(RateLimit(Raising(make), requests=9)), {})),
    "fallback's on": (
        ModelError,
        lambda make: (Agent(Fallback(ScriptedModel([ValueError("x")]), answering(), on=raises(make))), {}),
    ),
    "guardrail": (HookError, lambda make: (Agent(answering(), hooks=[Raising(make)]), {})),
    "racing guardrail": (HookError, lambda make: (Agent(Hanging(), hooks=[Guard(Raising(make), race=True)]), {})),
    "output guardrail": (
        HookError,
        lambda make: (Agent(answering(), hooks=[Guard(Raising(make), on=("output",))]), {}),
    ),
    **{
        place: (HookError, at_hook(place))
        for place in ("before_run", "after_run", "before_model", "after_model", "before_tool", "after_tool")
    },
    **{method: (BackendError, at_store(method, session="s")) for method in ("load", "append")},
    **{method: (BackendError, at_store(method)) for method in ("create_run", "write_run", "change_run")},
    "facts": (
        BackendError,
        lambda make: (
            Agent(answering(), memory=MemoryPolicy(facts=UserMemory())),
            {"memory": backend("facts", make), "user": "ann"},
        ),
    ),
    "instructions": (UsageError, lambda make: (Agent(answering(), instructions=raises(make)), {})),
    "async instructions": (UsageError, lambda make: (Agent(answering(), instructions=raises_later(make)), {})),
    "state": (
        UsageError,
        lambda make: (Agent(answering(), memory=MemoryPolicy(state=SessionState(dict, new=raises(make)))), {}),
    ),
    "approval": (HookError, lambda make: (asking(make), {})),
    "output type": (OutputError, lambda make: (Agent(answering(), output=typed(make)), {})),
}
WAYS = ("run", "start", "stream")


async def carry_out(rt: Runtime, way: str, agent: Agent, **asked: Any) -> RunResult:
    """Run the agent in one of the ways."""
    if way == "run":
        return await rt.run(agent, "Go.", **asked)
    if way == "start":
        return await (await rt.start(agent, "Go.", **asked)).wait()
    async with rt.stream(agent, "Go.", **asked) as events:
        async for _ in events:
            pass
    assert events.result is not None
    return events.result


@raising
@pytest.mark.parametrize("seam", SEAMS)
async def test_only_that_run_fails(seam: str, name: str, make: Make, well_formed: WellFormed) -> None:
    """The run fails with one `AgnoError` and one last event, in each way to run, and another run goes on."""
    kind, setting = SEAMS[seam]
    for way in WAYS:
        agent, asked = setting(make)
        seen: list[Event] = []
        async with Runtime(memory=asked.pop("memory", "memory:"), observers=[seen.append]) as rt:
            go = trio.Event()
            other = await rt.start(Agent(ScriptedModel([functools.partial(_answer_after, go)])), "Go.")
            await wait_all_tasks_blocked()
            with pytest.raises(kind) as caught:
                await carry_out(rt, way, agent, **asked)
            go.set()
            assert (await other.wait()).content == "Here."

        error = caught.value
        mine = [event for event in seen if event.run_id != other.id]
        well_formed(mine)
        assert [event.status for event in mine if isinstance(event, RunEnded)] == ["failed"]
        assert (error.result.status, error.result.error) == ("failed", error)
        assert error.__cause__ is not None or kind is OutputError
        assert name in str(error) or "StopIteration" in str(error) or kind is OutputError
        assert len(str(error)) < 7 * MOST_TEXT
        str(error).encode()


async def _answer_after(go: trio.Event, request: ModelRequest) -> str:
    await go.wait()
    return "Here."


@raising
async def test_a_check_refuses_or_fails(name: str, make: Make) -> None:
    """A `ValueError` of an output's check refuses the answer; any other exception fails the check."""
    agent = Agent(answering(), output=Output(dict, check=raises(make)))
    async with Runtime() as rt:
        with pytest.raises(OutputError if isinstance(make(), ValueError) else HookError):
            await rt.run(agent, "Go.")


@raising
@pytest.mark.filterwarnings("ignore:the observer")
async def test_an_observer_is_dropped(name: str, make: Make) -> None:
    """A raising observer is dropped. The run and the other observers go on."""
    seen: list[Event] = []
    async with Runtime(observers=[raises(make), seen.append]) as rt:
        result = await rt.run(Agent(answering()), "Go.")

    assert result.status == "completed"
    assert [type(event) for event in seen if isinstance(event, RunStarted | RunEnded)] == [RunStarted, RunEnded]


@raising
async def test_plugins_are_named(name: str, make: Make, plugin_point: Callable[..., Any]) -> None:
    """An exception of a plugin, in loading or later, is a `PluginError` with the plugin's name."""

    def offer(register: Any) -> None:
        register("m", raises(make))

    async with Runtime(plugins=PluginHost([plugin_point("p", agno_rt_register_models=offer)])) as rt:
        with pytest.raises(PluginError, match="'p'"):
            await rt.run(Agent("p:m"), "Go.")
    async with Runtime(plugins=PluginHost([plugin_point("q", agno_rt_register_models=raises(make))])) as rt:
        with pytest.raises(PluginError, match="'q'"):
            await rt.run(Agent("q:m"), "Go.")
    watching = PluginHost([plugin_point("r", agno_rt_observe=raises(make))])
    with pytest.raises(PluginError, match="'r'"):
        await Runtime(plugins=watching, observers=["r"]).__aenter__()


@raising
async def test_what_cannot_be_closed_is_told(name: str, make: Make, plugin_point: Callable[..., Any]) -> None:
    """A model that fails to close raises a `BackendError` after the runs, and the other models are closed."""
    closed: list[str] = []

    class Closing(ScriptedModel):
        async def aclose(self) -> None:
            closed.append(self.name)
            raise make()

    def offer(register: Any) -> None:
        for each in "ab":
            register(each, lambda rest, settings, each=each: Closing(lambda request: "x", name=each))

    rt = Runtime(plugins=PluginHost([plugin_point("p", agno_rt_register_models=offer)]))
    await rt.__aenter__()
    await rt.run(Agent("p:a"), "Go.")
    await rt.run(Agent("p:b"), "Go.")
    with pytest.raises(BackendError, match="could not be closed"):
        await rt.__aexit__(None, None, None)

    assert sorted(closed) == ["a", "b"]


@raising
async def test_a_store_of_runs_that_breaks(name: str, make: Make) -> None:
    """An exception of the run store reaches the caller as a `BackendError`."""
    asked: dict[str, Callable[[Runtime], Awaitable[Any]]] = {
        "load_run": lambda rt: rt.resume("r"),
        "approvals": lambda rt: rt.approve("r.1"),
        "cancel_run": lambda rt: rt.cancel("r"),
    }
    for method, ask in asked.items():
        async with Runtime(memory=backend(method, make)) as rt:
            with pytest.raises(BackendError, match="run 'r'"):
                await ask(rt)
            assert (await rt.run(Agent(answering()), "Go.")).status == "completed"


@pytest.mark.parametrize("junk", [None, 5, "s", [], object()], ids=name_value)
async def test_a_backend_that_returns_something_else(junk: Any) -> None:
    """A backend's wrong return value is a `BackendError` that names the value's type."""

    async def give(*_: Any, **__: Any) -> Any:
        return junk

    broken: InProcessMemory = type("Broken", (InProcessMemory,), {"load": give, "facts": give})()
    knowing = Agent(answering(), memory=MemoryPolicy(facts=UserMemory()))
    async with Runtime(memory=broken) as rt:
        with pytest.raises(BackendError, match=f"returned a {type(junk).__name__}, not a Session"):
            await rt.run(Agent(answering()), "Go.", session="s")
        if junk != []:
            with pytest.raises(BackendError, match="facts about user 'ann'"):
                await rt.run(knowing, "Go.", user="ann")


async def test_a_store_that_cannot_say_what_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    """Polling for cancellations from elsewhere goes on after any failure."""
    asked: list[Sequence[str]] = []

    class Deaf(InProcessMemory):
        async def cancels(self, runs: Sequence[str]) -> set[str]:
            asked.append(runs)
            raise OSError("gone") if len(asked) == 1 else SystemExit(1)

    async with Runtime(memory=Deaf()) as rt:
        run = await rt.start(Agent(Hanging(), memory=JOURNAL), "Go.")
        await trio.sleep(3)
        run.cancel()
        result = await run.wait()

    assert len(asked) > 1
    assert result.status == "cancelled"


class TestGoingThrough:
    """Exceptions that are not failures of the raising code."""

    async def test_an_interrupt(self) -> None:
        """A KeyboardInterrupt reaches the program's caller, also out of a group."""
        for one in (KeyboardInterrupt(), BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError("x")])):
            async with Runtime() as rt:
                tools = tools_that_raise(lambda one=one: one)  # type: ignore[misc]  # bound to the loop's value
                for each in tools[:3]:
                    with pytest.raises(KeyboardInterrupt):
                        await rt.run(Agent(ScriptedModel([ToolCall("1", each.name)]), tools=tools), "Go.")

    async def test_a_cancellation_that_was_kept(self, autojump_clock: trio.testing.MockClock) -> None:
        """A stored `Cancelled`, raised again while nothing is cancelled, is a failure."""
        kept: list[BaseException] = []
        with trio.move_on_after(1):
            try:
                await trio.sleep_forever()
            except trio.Cancelled as exc:
                kept.append(exc)
                raise

        tools = tools_that_raise(lambda: kept[0])
        async with Runtime() as rt:
            calls = [ToolCall(each.name, each.name, '{"item": 1}') for each in tools[:2]]
            result = await rt.run(Agent(ScriptedModel([calls, "Done."]), tools=tools), "Go.")
            with pytest.raises(ModelError, match="Cancelled"):
                await rt.run(Agent(Raising(lambda: kept[0])), "Go.")
            with pytest.raises(HookError, match="Cancelled"):
                await rt.run(Agent(answering(), hooks=[Raising(lambda: kept[0])]), "Go.")
            with trio.move_on_after(1) as scope:
                await rt.run(Agent(Hanging()), "Go.")

        assert result.content == "Done."
        assert scope.cancelled_caught

    async def test_a_cancellation_beside_an_exit(self) -> None:
        """A cancelled run stays cancelled, even if a tool exits meanwhile."""

        @tool
        async def leaving() -> str:
            """Exit when cancelled."""
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                try:
                    await trio.sleep_forever()
                except trio.Cancelled:
                    raise SystemExit(1) from None
            return ""

        async with Runtime() as rt:
            run = await rt.start(Agent(ScriptedModel([ToolCall("1", "leaving")]), tools=[leaving]), "Go.")
            await wait_all_tasks_blocked()
            with trio.move_on_after(0):
                await run.wait()
            run.cancel()
            assert (await run.wait()).status == "cancelled"

    @pytest.mark.parametrize("way", WAYS)
    async def test_outcomes_of_pytest(self, way: str) -> None:
        """`pytest.fail` and `pytest.skip` in a tool end the test, and are not told to the model."""

        @tool
        async def judge() -> str:
            """Fail the test."""
            pytest.fail("not so")

        with pytest.RaisesGroup(pytest.fail.Exception, allow_unwrapped=True, flatten_subgroups=True):
            async with Runtime() as rt:
                await carry_out(rt, way, Agent(ScriptedModel([ToolCall("1", "judge"), "x"]), tools=[judge]))

    def test_a_coroutine_that_is_closed(self) -> None:
        """Closing a coroutine is not a failure of the awaited code."""

        async def wait() -> None:
            await trio.sleep_forever()

        async def judge() -> None:
            try:
                await wait()
            except BaseException as exc:
                judged.append(must_pass(exc))
                raise

        async def begin() -> None:
            coroutine = judge()
            coroutine.send(None)
            coroutine.close()

        judged: list[bool] = []
        trio.run(begin)

        assert judged == [True]


class TestTexts:
    """Texts for exceptions."""

    @pytest.mark.parametrize(
        ("exc", "expected"),
        [
            (ValueError("one"), "ValueError: one"),
            (SystemExit(), "SystemExit"),
            (SystemExit(3), "SystemExit: 3"),
            (Wordless(), "Wordless (without a text: its __str__ raised AttributeError)"),
            (Numbered(), "Numbered (without a text: its __str__ raised TypeError)"),
            (Exiting(), "Exiting (without a text: its __str__ raised SystemExit)"),
            (ValueError("a\ud800b"), "ValueError: a?b"),
            (mixed(), "BaseExceptionGroup: SystemExit: 1; ValueError: deep"),
            (
                ExceptionGroup("g", [ValueError(str(at)) for at in range(7)]),
                "ExceptionGroup: ValueError: 0; ValueError: 1; ValueError: 2; ValueError: 3; ValueError: 4; and 2 more",
            ),
        ],
    )
    def test_a_line(self, exc: BaseException, expected: str) -> None:
        """A text has the type and the message, if `__str__` works; for a group, the members."""
        assert named(exc) == expected

    def test_much_is_cut_in_the_middle(self) -> None:
        """A long text keeps beginning and end, and tells the size of the gap."""
        text = named(ValueError("a" * MOST_TEXT + "b" * MOST_TEXT))

        assert len(text) < MOST_TEXT + 100
        assert text.startswith("ValueError: aaa")
        assert text.endswith("bbb")
        assert "[... 10,000 characters ...]" in text

    def test_a_group_as_deep_as_you_like(self) -> None:
        """A group nested deeper than Python's stack is judged and described."""
        group: BaseException = SystemExit(1)
        for _ in range(5_000):
            group = BaseExceptionGroup("g", [group])

        assert named(group) == "BaseExceptionGroup: SystemExit: 1"
        assert not must_pass(group)
        assert len(list(leaves(group))) == 1

    def test_notes_are_added_where_that_can_be(self) -> None:
        """An exception that refuses a note stays unchanged."""
        for exc in (ValueError("x"), Odd(), Frozen()):
            add_note(exc, "a note")

        assert text_of(Wordless()) == ""
        assert repr_of("x" * 1_000).endswith("...")

    def test_a_value_whose_repr_fails(self) -> None:
        """A value with a failing repr is shown by type."""

        class Hidden:
            def __repr__(self) -> str:
                raise SystemExit(1)

        assert repr_of(Hidden()) == "<Hidden>"

    def test_an_error_of_a_subclass_with_an_own_beginning(self) -> None:
        """A subclass of `AgnoError` without a call of `super().__init__` still has every attribute."""

        class Teapot(ModelError):
            def __init__(self, cups: int) -> None:
                self.cups = cups

        error = Teapot(2)

        assert (str(error), error.message, error.hint, error.result, error.retryable) == ("2", "2", "", None, False)
        assert str(error.at("here")) == "here: 2"
        assert str(FrozenError()) == "FrozenError"


class TestFrozenErrors:
    """Instances of `AgnoError` in classes frozen by a user."""

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda model: model,
            Retry,
            lambda model: Fallback(ScriptedModel([FrozenError()]), model),
            lambda model: Hedge(model, ScriptedModel([FrozenError()])),
            Cache,
        ],
        ids=["bare", "retry", "fallback", "hedge", "cache"],
    )
    @pytest.mark.parametrize("limits", [Limits(), Limits(run_timeout=60, turn_timeout=60, model_timeout=60)])
    async def test_a_run_ends_with_it(self, wrap: Callable[[Any], Any], limits: Limits) -> None:
        """A frozen error passes every wrapper and deadline unchanged, with the run's result."""
        async with Runtime() as rt:
            with pytest.raises(FrozenError) as caught:
                await rt.run(Agent(wrap(ScriptedModel([FrozenError()])), limits=limits), "Go.")

        assert caught.value.result.status == "failed"

    async def test_a_tool_that_raises_one_in_time(self) -> None:
        """A tool's deadline does not change the tool's exception."""

        @tool(timeout=60)
        async def freeze() -> str:
            """Raise a frozen error."""
            raise Frozen("cold")

        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel([ToolCall("1", "freeze"), "x"]), tools=[freeze]), "Go.")

        assert told(result) == ["freeze failed: Frozen: cold"]


async def test_an_error_keeps_what_it_was_raised_in_the_middle_of() -> None:
    """A model's error raised while handling another exception keeps the other as its context."""

    class Stumbling:
        name = "stumbling"

        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            try:
                raise OSError("no route")
            except OSError:
                raise ModelError("down")  # noqa: B904 - the point of the test

    async with Runtime() as rt:
        with pytest.raises(ModelError) as caught:
            await rt.run(Agent(Stumbling()), "hi")

    assert isinstance(caught.value.__context__, OSError)
    assert not caught.value.__suppress_context__


@dataclasses.dataclass
class ExitingArgument:
    """A parameter's class that exits in its constructor."""

    x: int

    def __post_init__(self) -> None:
        raise SystemExit("bye")


def test_a_type_that_exits_refuses_the_arguments() -> None:
    """Any exception of a parameter's class makes the arguments invalid."""

    @tool(inline=True)
    def take(thing: ExitingArgument) -> str:
        """Take the thing."""
        return "taken"

    with pytest.raises(ToolArgumentError, match="bye"):
        take.decode('{"thing": {"x": 1}}')
