"""Hooks around a run's steps, and streams of runs with hooks, through the public interface."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Event, Message, ModelRequest, ModelResponse, Runtime, ToolCall, Usage
from agno_rt.context import RunContext
from agno_rt.errors import Blocked, HookError, ModelError, UsageError
from agno_rt.events import GuardTripped, ModelEnded, ModelStarted, TextDelta, ToolEnded, TurnRestarted, event_type
from agno_rt.hooks import Guard, Hook, Verdict
from agno_rt.testing import ScriptedModel
from tests.helpers import Hanging, echo, told

ECHO = ToolCall("1", "echo", '{"text": "hi"}')


class Noting(Hook):
    """A hook that logs each step."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    async def before_run(self, context: RunContext, input: tuple[Message, ...]) -> None:
        """Log the step."""
        self.notes.append(f"{self.name} before run of {context.agent}: {input[-1].text}")

    async def after_run(self, context: RunContext, content: str) -> None:
        """Log the step."""
        self.notes.append(f"{self.name} after run: {content}")

    async def before_model(self, context: RunContext, request: ModelRequest) -> None:
        """Log the step."""
        self.notes.append(f"{self.name} before model, turn {request.turn}")

    async def after_model(self, context: RunContext, response: ModelResponse) -> None:
        """Log the step."""
        self.notes.append(f"{self.name} after model")

    async def before_tool(self, context: RunContext, call: ToolCall) -> None:
        """Log the step."""
        assert context.call == call
        self.notes.append(f"{self.name} before {call.name}")

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> None:
        """Log the step."""
        self.notes.append(f"{self.name} after {call.name}: {content}")


async def test_they_stand_around_every_step_as_layers() -> None:
    """Hooks run in order before a step and in reverse order after. A turn with tool calls is not yet the answer."""
    notes: list[str] = []
    with ScriptedModel([ECHO, "done"]) as model:
        agent = Agent(model, "clerk", tools=[echo], hooks=[Noting("A", notes), Noting("B", notes)])
        async with Runtime() as rt:
            await rt.run(agent, "go")

    assert notes == [
        "A before run of clerk: go",
        "B before run of clerk: go",
        "A before model, turn 1",
        "B before model, turn 1",
        "B after model",
        "A after model",
        "A before echo",
        "B before echo",
        "B after echo: hi",
        "A after echo: hi",
        "A before model, turn 2",
        "B before model, turn 2",
        "B after model",
        "A after model",
        "B after run: done",
        "A after run: done",
    ]


class Changing(Hook):
    """A hook that changes every value."""

    async def before_run(self, context: RunContext, input: tuple[Message, ...]) -> tuple[Message, ...]:
        """Write the input in capitals."""
        return tuple(attrs.evolve(message, content=message.text.upper()) for message in input)

    async def after_run(self, context: RunContext, content: str) -> str:
        """Add a full stop."""
        return f"{content}."

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelRequest:
        """Add one message, for this turn only."""
        return attrs.evolve(request, messages=(*request.messages, Message("user", f"turn {request.turn}")))

    async def after_model(self, context: RunContext, response: ModelResponse) -> ModelResponse:
        """Strip spaces."""
        return attrs.evolve(response, content=response.content.strip())

    async def before_tool(self, context: RunContext, call: ToolCall) -> ToolCall:
        """Change the argument."""
        return attrs.evolve(call, arguments='{"text": "changed"}')

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> str:
        """Put the result in brackets."""
        return f"[{content}]"


async def test_each_may_change_what_passes() -> None:
    """A changed input is stored; a changed answer is returned and stored; a changed request holds for one turn."""
    events: list[Event] = []
    with ScriptedModel([ECHO, "  done "]) as model:
        async with Runtime(observers=[events.append]) as rt:
            result = await rt.run(Agent(model, tools=[echo], hooks=[Changing()]), "go", session="s")
            stored = await rt.memory.load("s")

    assert result.content == "done."
    assert [message.text for message in stored.messages] == ["GO", "", "[changed]", "done."]
    assert [message.text for message in model.requests[1].messages] == ["GO", "", "[changed]", "turn 2"]
    assert [event.content for event in events if isinstance(event, ToolEnded)] == ["[changed]"]


class Answering(Hook):
    """A hook that answers in place of the model and of tools."""

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelResponse | None:
        """Answer the first turn."""
        return ModelResponse(tool_calls=[ECHO]) if request.turn == 1 else None

    async def before_tool(self, context: RunContext, call: ToolCall) -> str:
        """Answer the call."""
        return "from the hook"


async def test_one_may_answer_in_the_place_of_a_model_or_a_tool() -> None:
    """A hook's answer replaces the model or tool call, and the run goes on."""
    with ScriptedModel(["done"]) as model:
        async with Runtime() as rt:
            result = await rt.run(Agent(model, tools=[echo], hooks=[Answering()]), "go")

    assert told(result) == ["from the hook"]
    assert [request.turn for request in model.requests] == [2]


async def test_events_name_no_model_where_a_hook_answers() -> None:
    """The events of a turn answered by a hook have an empty model; the model's own turn has the model's name."""
    seen: list[Event] = []
    with ScriptedModel(["done"]) as model:
        async with Runtime(observers=[seen.append]) as rt:
            await rt.run(Agent(model, tools=[echo], hooks=[Answering()]), "go")

    turns = [(event.turn, event.model) for event in seen if isinstance(event, ModelStarted | ModelEnded)]
    assert turns == [(1, ""), (1, ""), (2, "scripted"), (2, "scripted")]


PLACES = ["before_run", "before_model", "after_model", "before_tool", "after_tool", "after_run"]


def raising(place: str, error: Exception) -> Hook:
    """Make a hook that raises at one place."""

    async def refuse(self: Hook, context: RunContext, *passing: Any) -> None:
        raise error

    kind: type[Hook] = type("Refusing", (Hook,), {place: refuse, "name": "refusing"})
    return kind()


@pytest.mark.parametrize("place", PLACES)
async def test_a_block_ends_the_run_wherever_it_is(place: str) -> None:
    """The caller gets the `Blocked` itself with the result so far, and the session stays empty."""
    hook = raising(place, Blocked("not this", guard="refusing", reason="policy"))
    model = ScriptedModel([ECHO, "done"])
    async with Runtime() as rt:
        with pytest.raises(Blocked, match="not this") as caught:
            await rt.run(Agent(model, tools=[echo], hooks=[hook]), "go", session="s")
        assert not (await rt.memory.load("s")).messages

    assert caught.value.result.status == "failed"
    assert len(model.requests) == {"before_run": 0, "before_model": 0, "after_run": 2}.get(place, 1)


@pytest.mark.parametrize("place", PLACES)
async def test_a_hook_that_breaks_is_named(place: str) -> None:
    """Another exception of a hook is a `HookError` with name and cause, never told to the model."""
    async with Runtime() as rt:
        agent = Agent(ScriptedModel([ECHO, "done"]), tools=[echo], hooks=[raising(place, KeyError("x"))])
        with pytest.raises(HookError, match="the hook refusing failed: KeyError: 'x'") as caught:
            await rt.run(agent, "go")

    assert caught.value.hook == "refusing"
    assert isinstance(caught.value.__cause__, KeyError)


async def test_what_a_refused_response_cost_is_counted() -> None:
    """The usage of a refused response is counted."""
    model = ScriptedModel([ModelResponse("no", usage=Usage(10, 5))])
    async with Runtime() as rt:
        with pytest.raises(Blocked) as caught:
            await rt.run(Agent(model, hooks=[raising("after_run", Blocked("no", guard="x"))]), "go")

    assert caught.value.result.usage == Usage(10, 5)


class TestStreams:
    """Streams of runs with hooks."""

    async def test_a_changed_answer_is_streamed_anew(self) -> None:
        """A changed answer restarts the turn in the stream, and the final text follows."""
        async with Runtime() as rt, rt.stream(Agent(ScriptedModel([" a b "]), hooks=[Changing()]), "go") as stream:
            events = [event async for event in stream]

        restart = next(at for at, event in enumerate(events) if isinstance(event, TurnRestarted))
        assert "".join(event.text for event in events[restart:] if isinstance(event, TextDelta)) == "a b."

    async def test_a_hook_that_holds_takes_nothing_back(self) -> None:
        """A hook with `holds` delays the text, so that the reader gets only the final text."""

        class Holding(Changing):
            holds = True

        async with Runtime() as rt, rt.stream(Agent(ScriptedModel([" a b "]), hooks=[Holding()]), "go") as stream:
            events = [event async for event in stream]

        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "a b."
        assert "turn_restarted" not in map(event_type, events)

    async def test_an_unchanged_answer_is_not_streamed_twice(self) -> None:
        """A hook without changes leaves the stream unchanged."""
        async with Runtime() as rt, rt.stream(Agent(ScriptedModel(["a b"]), hooks=[Noting("A", [])]), "go") as stream:
            events = [event async for event in stream]

        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "a b"
        assert "turn_restarted" not in map(event_type, events)

    async def test_a_guarded_output_is_held_back_until_it_has_passed(self) -> None:
        """A refused answer never leaves the run; of a changed answer, only the changed text does."""
        for text, reaches in (("my secret", "my ******"), ("fine", "fine"), ("bomb", "")):
            agent = Agent(ScriptedModel([text]), hooks=[Guard(Rail(), on=("output",))])
            events: list[Event] = []
            async with Runtime(observers=[events.append]) as rt:
                try:
                    await rt.run(agent, "go")
                except Blocked:
                    assert text == "bomb"
            deltas = [event for event in events if isinstance(event, TextDelta)]
            assert "".join(delta.text for delta in deltas) == reaches
            assert "turn_restarted" not in map(event_type, events)
            assert sum(isinstance(event, GuardTripped) for event in events) == (text != "fine")


class Rail:
    """A guardrail that blocks bombs and stars out secrets, after a delay."""

    name = "rail"

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Judge the text."""
        await trio.sleep(self.seconds)
        if "bomb" in text:
            return Verdict("a bomb")
        return Verdict("a secret", text.replace("secret", "******")) if "secret" in text else None


class TestRacing:
    """Guardrails that race the model."""

    async def test_a_block_cancels_the_model_at_once(self) -> None:
        """A block cancels the running model, and the caller gets only the block."""
        model = Hanging()
        async with Runtime() as rt:
            with pytest.raises(Blocked, match="blocked the input: a bomb"):
                await rt.run(Agent(model, hooks=[Guard(Rail(), race=True)]), "a bomb")

        assert (model.asked, model.cancelled) == (1, 1)

    async def test_nothing_leaves_the_run_before_the_verdict(self, autojump_clock: trio.testing.MockClock) -> None:
        """No text of an early answer is streamed, and no tool is called, before the verdict."""
        events: list[Event] = []
        agent = Agent(ScriptedModel([ECHO]), tools=[echo], hooks=[Guard(Rail(5), race=True)])
        async with Runtime(observers=[events.append]) as rt:
            with pytest.raises(Blocked):
                await rt.run(agent, "a bomb")

        assert [event_type(event) for event in events] == [
            "run_started",
            "model_started",
            "guard_tripped",
            "model_ended",
            "run_ended",
        ]

    async def test_the_stream_flows_once_the_input_has_passed(self, autojump_clock: trio.testing.MockClock) -> None:
        """Text from before the verdict follows the verdict, in order; later text comes as written."""
        seen: list[tuple[float, str]] = []
        start = trio.current_time()

        class Slow:
            name = "slow"

            async def respond(self, request: ModelRequest, emit: Any = None) -> ModelResponse:
                for word in ("a", "b", "c", "d"):
                    await trio.sleep(1)
                    await emit(TextDelta(word))
                return ModelResponse("abcd")

        async with Runtime() as rt, rt.stream(Agent(Slow(), hooks=[Guard(Rail(2.5), race=True)]), "go") as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    seen.append((round(trio.current_time() - start, 1), event.text))  # noqa: PERF401 - a line of its own

        assert seen == [(2.5, "a"), (2.5, "b"), (3.0, "c"), (4.0, "d")]

    async def test_a_model_that_fails_first_is_the_news(self, autojump_clock: trio.testing.MockClock) -> None:
        """A model's error cancels the guardrails, and reaches the caller."""
        async with Runtime() as rt:
            with pytest.raises(ModelError, match="down"):
                await rt.run(Agent(ScriptedModel([ModelError("down")]), hooks=[Guard(Rail(5), race=True)]), "go")

    async def test_all_of_them_must_let_it_pass(self, autojump_clock: trio.testing.MockClock) -> None:
        """Several guardrails race at once, and the slowest verdict counts too."""
        hooks = [Guard(Rail(1), race=True), Guard(Rail(3), race=True)]
        start = trio.current_time()
        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel(["fine"]), hooks=hooks), "go")

        assert result.content == "fine"
        assert trio.current_time() - start == pytest.approx(3)


class TestWhatIsNoHook:
    """Mistakes in an agent's hooks."""

    @pytest.mark.parametrize("hooks", ["guardrails:pii", 5, Rail()])
    async def test_no_sequence(self, hooks: Any) -> None:
        """Hooks other than a sequence are refused."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="hooks are"):
                await rt.run(Agent(ScriptedModel([]), hooks=hooks), "x")

    @pytest.mark.parametrize("hook", [5, None, Rail, object(), print])
    async def test_no_hook(self, hook: Any) -> None:
        """An entry other than a hook or guardrail is refused with a hint."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="is not a hook") as caught:
                await rt.run(Agent(ScriptedModel([]), hooks=[hook]), "x")
        assert caught.value.hint


@pytest.mark.parametrize("place", PLACES)
async def test_nonsense_from_a_hook_is_named(place: str) -> None:
    """A wrong return value of a hook is a `HookError` that tells the expected type."""

    async def wrong(self: Hook, context: RunContext, *passing: Any) -> Any:
        return {"wrong": True}

    hook = type("Wrong", (Hook,), {place: wrong})()
    async with Runtime() as rt:
        with pytest.raises(HookError, match="the hook Wrong returned a dict") as caught:
            await rt.run(Agent(ScriptedModel([ECHO, "done"]), tools=[echo], hooks=[hook]), "go")
    assert "Let it return a" in caught.value.hint


class Plain:
    """A guardrail that lacks the `async`."""

    name = "plain"

    def __init__(self, says: Any) -> None:
        self.says = says

    def check(self, context: RunContext, text: str) -> Any:
        """Judge the text, or fail."""
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.mark.parametrize("says", [None, True, "no", KeyError("x")])
@pytest.mark.parametrize("race", [False, True])
async def test_a_guardrail_that_is_none_is_named(says: Any, race: bool) -> None:
    """A guardrail that is not async, or returns another value than a verdict, is a `HookError` with the name."""

    class Awaited(Plain):
        async def check(self, context: RunContext, text: str) -> Any:
            return super().check(context, text)

    rails = [Plain(says)] if says is None else [Plain(says), Awaited(says)]
    for rail in rails:
        async with Runtime() as rt:
            with pytest.raises(HookError, match="the hook plain"):
                await rt.run(Agent(ScriptedModel(["x"]), hooks=[Guard(rail, race=race)]), "go")
