"""The testing kit: a scripted model that catches wrong use, and contracts that catch bad plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio

from agno_rt import Agent, Message, ModelRequest, ModelResponse, Runtime, ToolCall, Usage
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import ModelError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.memory import Session, SessionInfo
from agno_rt.models import Emit, Model
from agno_rt.testing import MemoryContract, ModelContract, ScriptedModel, Step

REQUEST = ModelRequest([Message("user", "hi")])
pytest_plugins = ["pytester"]


class TestScriptedModel:
    """A model that follows a script."""

    def test_is_a_model(self) -> None:
        """It fulfils the protocol."""
        assert isinstance(ScriptedModel([]), Model)

    async def test_every_kind_of_step(self) -> None:
        """Texts, responses, calls, several calls, exceptions, and functions of the request, async or not."""
        call, response = ToolCall("1", "t"), ModelResponse("r", usage=Usage(5, 5))

        async def later(request: ModelRequest) -> str:
            await trio.lowlevel.checkpoint()
            return f"later {request.messages[0].content}"

        def now(request: ModelRequest) -> str:
            return f"now {request.messages[0].content}"

        steps: list[Step] = ["one two", response, call, [call, call], now, later]
        with ScriptedModel([*steps, ModelError("down")]) as model:
            answers = [await model.respond(REQUEST) for _ in steps]
            with pytest.raises(ModelError, match="down"):
                await model.respond(REQUEST)

        assert answers == [
            ModelResponse("one two", usage=Usage(1, 2)),
            response,
            ModelResponse(tool_calls=(call,), usage=Usage(1, 1), finish_reason="tool_calls"),
            ModelResponse(tool_calls=(call, call), usage=Usage(1, 2), finish_reason="tool_calls"),
            ModelResponse("now hi", usage=Usage(1, 2)),
            ModelResponse("later hi", usage=Usage(1, 2)),
        ]
        assert model.requests == [REQUEST] * 7

    async def test_emits_what_it_answers(self) -> None:
        """Reasoning first, then the text word by word, then the calls."""
        deltas: list[Delta] = []

        async def emit(delta: Delta) -> None:
            deltas.append(delta)

        with ScriptedModel([ModelResponse("a b", [ToolCall("1", "t", "{}")], "hm"), ""]) as model:
            await model.respond(REQUEST, emit)
            await model.respond(REQUEST, emit)

        assert deltas == [ReasoningDelta("hm"), TextDelta("a "), TextDelta("b"), ToolCallDelta(0, "1", "t", "{}")]

    async def test_fails_on_an_unexpected_call(self) -> None:
        """More calls than steps fail at once, and again at the end, even if the first was swallowed."""
        model = ScriptedModel(["one"], name="m")
        await model.respond(REQUEST)
        with pytest.raises(AssertionError, match="'m' was asked 2 times; its script has 1 step"):
            await model.respond(REQUEST)
        with pytest.raises(AssertionError, match="asked 2 times"):
            model.check()

    async def test_an_unexpected_call_in_a_run_cannot_hide(self) -> None:
        """A run makes a `ModelError` of it, which a test might swallow; the block's end tells."""
        with pytest.raises(AssertionError, match="asked 1 times"), ScriptedModel([]) as model:  # noqa: PT012 - the whole block is what raises
            async with Runtime() as rt:
                with pytest.raises(ModelError, match="AssertionError"):
                    await rt.run(Agent(model), "x")

    def test_fails_on_a_step_left_over(self) -> None:
        """A step that was never used is an error at the end, that shows the step."""
        left_over = pytest.raises(AssertionError, match="2 steps left over, the first of them 'one'")
        with left_over, ScriptedModel(["one", "two"]):
            pass

    def test_a_failing_test_keeps_its_own_error(self) -> None:
        """A block that fails already is not told about steps left over."""
        with pytest.raises(ZeroDivisionError), ScriptedModel(["one"]):
            raise ZeroDivisionError


async def test_the_fixture_makes_models(scripted_model: Callable[..., ScriptedModel]) -> None:
    """The fixture takes steps one by one, and checks every model that it made."""
    one, two = scripted_model("a", "b"), scripted_model(name="two")
    async with Runtime() as rt:
        await rt.run(Agent(one), [*REQUEST.messages])
        await rt.run(Agent(one), "x")

    assert (one.name, two.name) == ("scripted", "two")


def test_the_fixture_checks_at_the_end(pytester: pytest.Pytester) -> None:
    """A test that uses `scripted_model` fails when its script was not used up."""
    pytester.makepyfile(
        """
        import trio
        from agno_rt import ModelRequest

        def test_good(scripted_model):
            assert trio.run(scripted_model("hello").respond, ModelRequest(())).content == "hello"

        def test_bad(scripted_model):
            scripted_model("hello", name="mine")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*AssertionError: model 'mine' has 1 steps left over*"])


class Good:
    """A model that fulfils the contract."""

    name: str = "good"
    text = "Hello there."

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool that is required, else say hello."""
        await trio.lowlevel.checkpoint()
        if request.tool_choice == "required":
            return ModelResponse(tool_calls=[ToolCall("1", request.tools[0].name, '{"city": "Seoul"}')])
        if emit is not None:
            await emit(TextDelta(self.text))
        return ModelResponse("Hello there.")


class TestGoodModel(ModelContract):
    """The contract lets a good model pass."""

    def make_model(self) -> Model:
        """One that is good."""
        return Good()


class Nameless(Good):
    """Has no name."""

    name = ""


class Silent(Good):
    """Says nothing."""

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Return an empty answer."""
        return ModelResponse("")


class Inexact(Good):
    """Emits something else than it answers."""

    text = "Hello"


class Deaf(Good):
    """Swallows cancellation."""

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer although cancelled."""
        return ModelResponse("Hello.")


class Wordy(Good):
    """Never calls a tool."""

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Always answer."""
        await trio.lowlevel.checkpoint()
        return ModelResponse("It is sunny.")


@pytest.mark.parametrize(
    ("model", "test"),
    [
        (Nameless, "test_has_a_name"),
        (Silent, "test_answers_with_text"),
        (Inexact, "test_emits_what_it_answers"),
        (Deaf, "test_can_be_cancelled"),
        (Wordy, "test_calls_a_required_tool"),
    ],
)
def test_the_model_contract_catches(model: type[Good], test: str) -> None:
    """Each test of the contract fails for a model that breaks it."""

    class Contract(ModelContract):
        def make_model(self) -> Model:
            return model()

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


def test_a_model_without_tools_is_excused() -> None:
    """`calls_tools = False` says that a model never calls any."""

    class Contract(ModelContract):
        calls_tools = False

        def make_model(self) -> Model:
            return Wordy()

    Contract().test_calls_a_required_tool()


class Forgetful(InProcessMemory):
    """Makes up history for unknown sessions."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """Invent a message."""
        loaded = await super().load(session, last)
        return loaded if loaded.version else Session(session, [Message("user", "?")])


class Reversed(InProcessMemory):
    """Returns messages newest first."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """Turn them round."""
        loaded = await super().load(session, last)
        return Session(session, loaded.messages[::-1], loaded.version, loaded.user)


class Endless(InProcessMemory):
    """Ignores `last`."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """Load all."""
        return await super().load(session)


class Careless(InProcessMemory):
    """Ignores versions."""

    async def append(self, session: str, messages: Sequence[Message], *, version: int, user: str | None = None) -> int:
        """Append to whatever is there."""
        return await super().append(session, messages, version=(await self.load(session)).version, user=user)


class Shared(InProcessMemory):
    """Hands out its own list."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """No copy."""
        loaded = await super().load(session)
        stored = self._sessions.get(session)
        return loaded if stored is None else Session(session, stored.messages, loaded.version, loaded.user)


class Racy(InProcessMemory):
    """Checks the version, then waits, then writes."""

    async def append(self, session: str, messages: Sequence[Message], *, version: int, user: str | None = None) -> int:
        """Give others the time to come between."""
        before = await self.load(session)
        if before.version == version:
            await trio.sleep(0.01)
            version = (await self.load(session)).version
        return await super().append(session, messages, version=version, user=user)


class Undeleted(InProcessMemory):
    """Says that it deletes."""

    async def delete(self, session: str) -> bool:
        """Do nothing."""
        return True


class Unfiltered(InProcessMemory):
    """Lists everybody's sessions."""

    async def sessions(self, *, user: str | None = None, limit: int = 100) -> list[SessionInfo]:
        """Ignore the user."""
        return await super().sessions(limit=limit)


@pytest.mark.parametrize(
    ("backend", "test"),
    [
        (Forgetful, "test_an_unknown_session_is_empty"),
        (Reversed, "test_keeps_messages_in_order"),
        (Endless, "test_loads_the_last_messages"),
        (Careless, "test_refuses_an_old_version"),
        (Shared, "test_a_session_is_not_changed_by_later_appends"),
        (Racy, "test_one_of_two_writers_wins"),
        (Undeleted, "test_lists_and_deletes_sessions"),
        (Unfiltered, "test_lists_and_deletes_sessions"),
    ],
)
def test_the_memory_contract_catches(backend: type[InProcessMemory], test: str) -> None:
    """Each test of the contract fails for a backend that breaks it."""

    class Contract(MemoryContract):
        def make_memory(self) -> Any:
            return backend()

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Contract(), test)()


@pytest.mark.parametrize("contract", [ModelContract().make_model, MemoryContract().make_memory])
def test_a_contract_without_factory_says_so(contract: Callable[[], Any]) -> None:
    """A subclass that forgot its factory is told."""
    with pytest.raises(NotImplementedError, match="override make_"):
        contract()
