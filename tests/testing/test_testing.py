"""The testing kit: a scripted model that detects wrong use, and contracts that detect faulty plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from agno_rt import Agent, Limits, Message, ModelRequest, ModelResponse, Runtime, ToolCall, Usage
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import DeadlineExceeded, ModelError, UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.memory import Session, SessionInfo
from agno_rt.models import Emit, Model, ModelProfile, Price
from agno_rt.testing import MemoryContract, ModelContract, Reply, ScriptedModel, Step, pause

REQUEST = ModelRequest([Message("user", "hi")])
pytest_plugins = ["pytester"]


class TestScriptedModel:
    """A model with a script."""

    def test_is_a_model(self) -> None:
        """The model fulfils the protocol."""
        assert isinstance(ScriptedModel([]), Model)

    async def test_every_kind_of_step(self) -> None:
        """A step is a text, a response, one or several calls, an exception, or a function of the request, async too."""
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
        """The model emits the reasoning, then the text word by word, then the calls."""
        deltas: list[Delta] = []

        async def emit(delta: Delta) -> None:
            deltas.append(delta)

        with ScriptedModel([ModelResponse("a b", [ToolCall("1", "t", "{}")], "hm"), ""]) as model:
            await model.respond(REQUEST, emit)
            await model.respond(REQUEST, emit)

        assert deltas == [ReasoningDelta("hm"), TextDelta("a "), TextDelta("b"), ToolCallDelta(0, "1", "t", "{}")]

    async def test_fails_on_an_unexpected_call(self) -> None:
        """A call beyond the script fails at once, and again in the final check, even after a swallowed error."""
        model = ScriptedModel(["one"], name="m")
        await model.respond(REQUEST)
        with pytest.raises(AssertionError, match=r"'m' was asked 2 times; its script has 1 step$"):
            await model.respond(REQUEST)
        with pytest.raises(AssertionError, match="asked 2 times"):
            model.check()

    async def test_an_unexpected_call_in_a_run_cannot_hide(self) -> None:
        """A run turns the failure into a `ModelError`, which a test may swallow; the end of the block fails too."""
        with pytest.raises(AssertionError, match="asked 1 time; its script has 0 steps"), ScriptedModel([]) as model:  # noqa: PT012 - the whole block is what raises
            async with Runtime() as rt:
                with pytest.raises(ModelError, match="AssertionError"):
                    await rt.run(Agent(model), "x")

    def test_fails_on_a_step_left_over(self) -> None:
        """An unused step is an error at the end, and the message has the step."""
        left_over = pytest.raises(AssertionError, match="2 steps left over, the first of them 'one'")
        with left_over, ScriptedModel(["one", "two"]):
            pass

    def test_a_failing_test_keeps_its_own_error(self) -> None:
        """A failing block raises its own error, without the unused steps."""
        with pytest.raises(ZeroDivisionError), ScriptedModel(["one"]):
            raise ZeroDivisionError


class TestReply:
    """A slow or failing step."""

    async def test_takes_its_time(self, autojump_clock: MockClock) -> None:
        """The model waits before its answer, and between the streamed pieces, on trio's clock."""
        began = trio.current_time()
        arrived: list[tuple[float, Delta]] = []

        async def emit(delta: Delta) -> None:
            arrived.append((trio.current_time() - began, delta))

        with ScriptedModel([Reply("a b c", after=3, between=0.5), Reply("d", after=1)]) as model:
            await model.respond(REQUEST, emit)
            answer = await model.respond(REQUEST)

        assert arrived == [(3, TextDelta("a ")), (3.5, TextDelta("b ")), (4, TextDelta("c"))]
        assert (answer.content, trio.current_time() - began) == ("d", 5)

    async def test_breaks_off(self) -> None:
        """The model streams the text, and then raises the error."""
        deltas: list[Delta] = []

        async def emit(delta: Delta) -> None:
            deltas.append(delta)

        model = ScriptedModel([Reply("half an", error=ModelError("connection lost"))])
        with pytest.raises(ModelError, match="connection lost"):
            await model.respond(REQUEST, emit)

        assert deltas == [TextDelta("half "), TextDelta("an")]

    async def test_is_what_a_function_may_return(self, autojump_clock: MockClock) -> None:
        """A function of the request may return a `Reply`, and a `Reply` may have an exception."""
        began = trio.current_time()
        model = ScriptedModel([lambda request: Reply(ModelError("late"), after=2)])
        with pytest.raises(ModelError, match="late"):
            await model.respond(REQUEST)

        assert trio.current_time() - began == 2

    async def test_a_slow_model_meets_its_deadline(self, autojump_clock: MockClock) -> None:
        """A run's deadline comes before a slow answer."""
        agent = Agent(ScriptedModel([Reply("too late", after=60)]), limits=Limits(model_timeout=30))
        async with Runtime() as rt:
            with pytest.raises(DeadlineExceeded):
                await rt.run(agent, "x")


class TestSharedScripts:
    """Models shared by concurrent runs."""

    async def test_a_script_for_each_question(self) -> None:
        """A request continues the script of its last user message, whatever other runs ask."""
        answers: dict[str, list[str]] = {"tea?": [], "coffee?": []}
        scripts = {"tea?": ["Green.", "Black."], "coffee?": [Reply("None."), "Still none."]}

        async def ask(question: str) -> None:
            for _ in range(2):
                await pause()
                request = ModelRequest([Message("user", "before"), Message("user", question), Message("assistant")])
                answers[question].append((await model.respond(request)).content)

        with ScriptedModel(scripts) as model:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, "tea?")
                nursery.start_soon(ask, "coffee?")

        assert answers == {"tea?": ["Green.", "Black."], "coffee?": ["None.", "Still none."]}

    async def test_a_question_without_a_script(self) -> None:
        """A question without a script fails, and the message lists the scripts."""
        model = ScriptedModel({"tea?": ["Green."]}, name="m")
        with pytest.raises(
            AssertionError, match=r"'m' was asked 'hi', for which it has no script; it has one for 'tea"
        ):
            await model.respond(REQUEST)
        with pytest.raises(AssertionError, match="for which it has no script"):
            model.check()

    async def test_a_script_that_is_used_up(self) -> None:
        """A question beyond its script fails, and unused steps of other scripts are reported."""
        model = ScriptedModel({"hi": ["one"], "tea?": ["Green."]}, name="m")
        await model.respond(REQUEST)
        with pytest.raises(AssertionError, match=r"model 'm', on 'tea\?', has 1 step left over, .* 'Green.'"):
            model.check()
        with pytest.raises(AssertionError, match=r"model 'm', on 'hi', was asked 2 times; its script has 1 step$"):
            await model.respond(REQUEST)

    async def test_a_function_answers_everything(self) -> None:
        """A model of a function has no steps to run out of or to leave."""
        with ScriptedModel(lambda request: f"you said {request.messages[-1].text}") as model:
            answers = [(await model.respond(REQUEST)).content for _ in range(3)]

        assert answers == ["you said hi"] * 3

    @pytest.mark.parametrize("steps", ["one", ModelResponse("one"), {"hi": "one"}])
    def test_one_step_is_no_script(self, steps: Any) -> None:
        """A single step instead of several is refused in the constructor."""
        with pytest.raises(UsageError, match="not several steps"):
            ScriptedModel(steps)

    async def test_its_profile_decides_how_it_is_asked(self) -> None:
        """A model without schemas gets the output type as a tool."""
        call = ToolCall("1", "final_answer", '{"value": 3}')
        profile = ModelProfile(output="tool", price=Price(1_000_000, 0))
        with ScriptedModel([lambda request: attrs.evolve(call, name=request.tools[0].name)], profile=profile) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, output=int), "How many?")

        assert (result.output, model.requests[0].output) == (3, None)
        assert result.usage.cost == 1


async def test_the_fixture_makes_models(scripted_model: Callable[..., ScriptedModel]) -> None:
    """The fixture accepts steps one by one, and checks each of its models."""
    one, two = scripted_model("a", "b"), scripted_model(name="two")
    async with Runtime() as rt:
        await rt.run(Agent(one), [*REQUEST.messages])
        await rt.run(Agent(one), "x")

    assert (one.name, two.name) == ("scripted", "two")


def test_the_fixture_checks_at_the_end(pytester: pytest.Pytester) -> None:
    """A test with `scripted_model` fails for an unused step."""
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
    result.stdout.fnmatch_lines(["*AssertionError: model 'mine' has 1 step left over*"])


class Good:
    """A model in line with the contract."""

    name: str = "good"
    text = "Hello there."

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the required tool, else say hello."""
        await trio.lowlevel.checkpoint()
        if request.tool_choice == "required":
            return ModelResponse(tool_calls=[ToolCall("1", request.tools[0].name, '{"city": "Seoul"}')])
        if emit is not None:
            await emit(TextDelta(self.text))
        return ModelResponse("Hello there.")


class TestGoodModel(ModelContract):
    """The contract lets a good model pass."""

    def make_model(self) -> Model:
        """Make the good model."""
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
    """Emits another text than the answer."""

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
    """Each test of the contract fails for a model with the fault."""

    class Contract(ModelContract):
        def make_model(self) -> Model:
            return model()

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


def test_a_model_without_tools_is_excused() -> None:
    """`calls_tools = False` excuses a model without tool calls."""

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
        """Reverse the order."""
        loaded = await super().load(session, last)
        return Session(session, loaded.messages[::-1], loaded.version, loaded.user)


class Endless(InProcessMemory):
    """Ignores `last`."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """Load all."""
        return await super().load(session)


class Careless(InProcessMemory):
    """Ignores versions."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Append at the current version."""
        return await super().append(
            session, messages, version=(await self.load(session)).version, user=user, data=data, agent=agent
        )


class Shared(InProcessMemory):
    """Returns the stored list itself."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """Skip the copy."""
        loaded = await super().load(session)
        stored = self._sessions.get(session)
        return loaded if stored is None else Session(session, stored.messages, loaded.version, loaded.user)


class Racy(InProcessMemory):
    """Checks the version, then waits, then writes."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Give others the time to come between."""
        before = await self.load(session)
        if before.version == version:
            await trio.sleep(0.01)
            version = (await self.load(session)).version
        return await super().append(session, messages, version=version, user=user, data=data, agent=agent)


class Undeleted(InProcessMemory):
    """Deletes nothing."""

    async def delete(self, session: str) -> bool:
        """Do nothing."""
        return True


class Unfiltered(InProcessMemory):
    """Lists everybody's sessions."""

    async def sessions(self, *, user: str | None = None, **asked: Any) -> list[SessionInfo]:
        """Ignore the user."""
        return await super().sessions(**asked)


class Untitled(InProcessMemory):
    """Has no titles."""

    async def sessions(self, **asked: Any) -> list[SessionInfo]:
        """Remove the titles."""
        return [attrs.evolve(info, title="") for info in await super().sessions(**asked)]


class Unnamed(InProcessMemory):
    """Renames nothing."""

    async def rename(self, session: str, title: str) -> bool:
        """Do nothing."""
        return True


class Unsigned(InProcessMemory):
    """Does not store the writing agent."""

    async def append(self, session: str, messages: Sequence[Message], **more: Any) -> int:
        """Leave the agent out."""
        return await super().append(session, messages, **more | {"agent": ""})


class Unsearched(InProcessMemory):
    """Ignores queries."""

    async def sessions(self, **asked: Any) -> list[SessionInfo]:
        """List all."""
        return await super().sessions(**asked | {"query": ""})


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
        (Unfiltered, "test_lists_sessions_in_pages"),
        (Untitled, "test_a_session_is_called_by_its_first_words"),
        (Unnamed, "test_renames_a_session"),
        (Unsigned, "test_notes_who_wrote_last"),
        (Unsearched, "test_finds_sessions_by_their_titles"),
    ],
)
def test_the_memory_contract_catches(backend: type[InProcessMemory], test: str) -> None:
    """Each test of the contract fails for a backend with the fault."""

    class Contract(MemoryContract):
        def make_memory(self) -> Any:
            return backend()

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Contract(), test)()


@pytest.mark.parametrize("contract", [ModelContract().make_model, MemoryContract().make_memory])
def test_a_contract_without_factory_says_so(contract: Callable[[], Any]) -> None:
    """A subclass without its factory raises an error with the method to override."""
    with pytest.raises(NotImplementedError, match="override make_"):
        contract()
