"""One run, through the public interface: turns, tools, output types, limits, errors, events."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict

import attrs
import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import (
    Agent,
    Event,
    Limits,
    Message,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    RunResult,
    Runtime,
    ToolCall,
    Usage,
    tool,
)
from agno_rt.errors import (
    AgnoError,
    DeadlineExceeded,
    LimitExceeded,
    ModelError,
    OutputError,
    UsageError,
)
from agno_rt.events import ModelEnded, ModelStarted, RunEnded, RunStarted, TextDelta, ToolEnded, ToolStarted
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel
from tests.helpers import Hanging, echo, forever, told

WellFormed = Callable[[Sequence[Event]], None]


class TestAnswer:
    """A run without tools."""

    async def test_gives_the_models_answer(self) -> None:
        """The result has the answer, the run's own messages and the usage. Instructions come first."""
        with ScriptedModel(["Hello."]) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, "a", "Be brief."), "Hi")

        assert (result.status, result.content, result.output, result.error) == ("completed", "Hello.", None, None)
        assert result.messages == (Message("user", "Hi"), Message("assistant", "Hello."))
        assert result.usage == Usage(1, 1)
        assert list(model.requests[0].messages) == [Message("system", "Be brief."), Message("user", "Hi")]

    async def test_each_run_has_an_id(self) -> None:
        """No two runs share an id."""
        async with Runtime() as rt:
            ids = {(await rt.run(Agent(ScriptedModel(["x"])), "x")).run_id for _ in range(300)}

        assert len(ids) == 300

    async def test_answers_a_conversation(self) -> None:
        """Messages given in place of text are used unchanged."""
        conversation = [Message("user", "1"), Message("assistant", "2"), Message("user", "3")]
        with ScriptedModel(["4"]) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model), conversation)

        assert list(model.requests[0].messages) == conversation
        assert result.messages == (*conversation, Message("assistant", "4"))
        assert len(conversation) == 3

    async def test_an_empty_answer_is_an_answer(self) -> None:
        """An empty answer completes the run."""
        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel([""])), "Hi")

        assert (result.status, result.content) == ("completed", "")

    async def test_settings_reach_the_model(self) -> None:
        """The agent's settings reach the model. A tool choice holds for the first turn only."""
        settings = ModelSettings(seed=3, tool_choice="required")
        with ScriptedModel([ToolCall("1", "echo"), "done"]) as model:
            async with Runtime() as rt:
                await rt.run(Agent(model, tools=[echo], settings=settings), "Hi")

        assert [request.tool_choice for request in model.requests] == ["required", "auto"]
        assert all(request.settings is settings and request.tools == (echo,) for request in model.requests)

    async def test_a_request_is_not_changed_by_later_turns(self) -> None:
        """A request stays unchanged after later turns."""
        with ScriptedModel([ToolCall("1", "echo"), "done"]) as model:
            async with Runtime() as rt:
                await rt.run(Agent(model, tools=[echo]), "Hi")

        assert [len(request.messages) for request in model.requests] == [1, 3]

    async def test_is_a_checkpoint(self) -> None:
        """A run is a checkpoint, even with an instant model."""
        model = ScriptedModel(["x"])
        async with Runtime() as rt:
            with trio.CancelScope() as scope:
                scope.cancel()
                await rt.run(Agent(model), "x")

        assert scope.cancelled_caught
        assert model.requests == []


class TestTools:
    """Turns with tool calls."""

    async def test_results_go_back_to_the_model(self) -> None:
        """A tool's result goes to the model with the call's id and the tool's name."""
        with ScriptedModel([ToolCall("c1", "echo", '{"text": "hey"}'), "It said hey."]) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, tools=[echo]), "Try it")

        assert result.messages[2] == Message("tool", "hey", (), "c1", "echo")
        assert list(model.requests[1].messages) == list(result.messages[:3])
        assert result.content == "It said hey."

    async def test_usage_adds_up(self) -> None:
        """The result's usage is the sum over all turns."""
        steps = [
            ModelResponse(tool_calls=[ToolCall("1", "echo")], usage=Usage(10, 1)),
            ModelResponse(tool_calls=[ToolCall("2", "echo")], usage=Usage(20, 2)),
            ModelResponse("done", usage=Usage(30, 3)),
        ]
        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel(steps), tools=[echo]), "x")

        assert result.usage == Usage(60, 6)

    async def test_several_run_at_once_and_keep_their_order(self) -> None:
        """Calls of one turn run concurrently. The results keep the order of the calls."""
        order: list[int] = []
        events = [trio.Event() for _ in range(4)]

        @tool
        async def step(at: int) -> int:
            """Finish after the next call."""
            if at < 3:
                await events[at + 1].wait()
            order.append(at)
            events[at].set()
            return at

        calls = [ToolCall(f"c{at}", "step", f'{{"at": {at}}}') for at in range(4)]
        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel([calls, "done"]), tools=[step]), "x")

        assert order == [3, 2, 1, 0]
        assert [(m.content, m.tool_call_id) for m in result.messages[2:6]] == [(str(at), f"c{at}") for at in range(4)]

    @pytest.mark.parametrize(("limit", "most"), [(1, 1), (2, 2), (8, 5)])
    async def test_no_more_at_once_than_the_limit(self, limit: int, most: int) -> None:
        """The limit `tools` bounds the concurrent calls of a turn."""
        under_way, peak = 0, 0

        @tool
        async def work() -> None:
            """Count concurrent calls."""
            nonlocal under_way, peak
            under_way += 1
            peak = max(peak, under_way)
            await wait_all_tasks_blocked()
            under_way -= 1

        calls = [ToolCall(str(at), "work") for at in range(5)]
        async with Runtime(limits=Limits(tools=limit)) as rt:
            result = await rt.run(Agent(ScriptedModel([calls, "done"]), tools=[work]), "x")

        assert peak == most
        assert len(told(result)) == 5

    async def test_synchronous_ones_run_in_threads(self) -> None:
        """A synchronous tool runs in a thread, so that two run at once; an inline tool runs in trio's thread."""
        here = threading.get_ident()
        both = threading.Barrier(2, timeout=60)

        @tool
        def meet() -> bool:
            """Wait for the other call."""
            both.wait()
            return threading.get_ident() == here

        @tool(inline=True)
        def place() -> bool:
            """Return True in trio's thread."""
            return threading.get_ident() == here

        calls = [ToolCall("1", "meet"), ToolCall("2", "meet"), ToolCall("3", "place")]
        async with Runtime() as rt:
            several = await rt.run(Agent(ScriptedModel([calls, "x"]), tools=[meet, place]), "x")
            one = await rt.run(Agent(ScriptedModel([calls[2], "x"]), tools=[meet, place]), "x")

        assert told(several) == ["false", "false", "true"]
        assert told(one) == ["true"]

    @pytest.mark.parametrize(
        ("value", "text"),
        [("as it is", "as it is"), (None, "null"), (5, "5"), ({"a": [1.5]}, '{"a":[1.5]}'), (Usage(1, 2), None)],
    )
    async def test_results_that_are_no_text_are_told_as_json(self, value: Any, text: str | None) -> None:
        """A text result goes unchanged; any other result goes as JSON."""

        @tool(inline=True)
        def give() -> Any:
            """Return the value."""
            return value

        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel([ToolCall("1", "give"), "x"]), tools=[give]), "x")

        assert told(result) == [text or msgspec.json.encode(value).decode()]

    async def test_whatever_goes_wrong_is_told_and_the_run_goes_on(self) -> None:
        """Unknown tools, bad arguments, failures and invalid results are told to the model, and the run goes on."""

        @tool
        def broken() -> str:
            """Fail in a thread."""
            raise LookupError("no such record")

        @tool
        async def grouped() -> str:
            """Fail in a nursery."""
            async with trio.open_nursery():
                raise ValueError("inside")

        @tool(inline=True)
        def odd() -> object:
            """Return an object unknown to JSON."""
            return object()

        @tool(inline=True)
        def silent() -> str:
            """Fail without a word."""
            raise RuntimeError

        calls = [
            ToolCall("1", "ecko"),
            ToolCall("2", "echo", '{"text": 5}'),
            ToolCall("3", "echo", "not json"),
            ToolCall("4", "broken"),
            ToolCall("5", "grouped"),
            ToolCall("6", "odd"),
            ToolCall("7", "silent"),
            ToolCall("8", "echo", '{"text": "fine"}'),
        ]
        tools = [echo, broken, grouped, odd, silent]
        with ScriptedModel([calls, *calls[:2], "sorry"]) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, tools=tools), "x")

        unknown, misfit, malformed, raised, group, unfit, wordless, fine, *one_by_one = told(result)
        assert unknown.startswith("There is no tool 'ecko'. Did you mean 'echo'?")
        assert "`$.text`" in misfit
        assert malformed.startswith("The arguments of echo do not fit its schema")
        assert raised == "broken failed: LookupError: no such record"
        assert group.startswith("grouped failed: ExceptionGroup")
        assert unfit.startswith("odd failed: TypeError")
        assert wordless == "silent failed: RuntimeError"
        assert fine == "fine"
        assert one_by_one == [unknown, misfit]
        assert result.content == "sorry"

    async def test_an_agent_without_tools_is_told_so(self) -> None:
        """A made-up call is answered by a message about the lack of tools."""
        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel([ToolCall("1", "x"), "sorry"])), "x")

        assert told(result) == ["There is no tool 'x'. There are no tools."]

    async def test_calls_without_ids_find_their_results(self) -> None:
        """Calls without ids, or with equal ids, still get matching results."""
        calls = [ToolCall("", "echo", '{"text": "a"}'), ToolCall("", "echo", '{"text": "b"}')]
        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel([calls, "x"]), tools=[echo]), "x")

        asked = {call.id: call.arguments for call in result.messages[1].tool_calls}
        assert len(asked) == 2
        for message in result.messages[2:4]:
            assert message.tool_call_id is not None
            assert f'"{message.content}"' in asked[message.tool_call_id]

    async def test_a_tool_may_run_an_agent(self) -> None:
        """A tool may run another agent."""

        async def ask(rt: Runtime) -> RunResult:
            @tool
            async def expert(question: str) -> str:
                """Ask somebody else."""
                result: RunResult = await rt.run(Agent(ScriptedModel([f"re: {question}"])), question)
                return result.content

            model = ScriptedModel([ToolCall("1", "expert", '{"question": "why"}'), "so"])
            return await rt.run(Agent(model, tools=[expert]), "x")

        async with Runtime() as rt:
            assert told(await ask(rt)) == ["re: why"]


@attrs.define
class Place:
    """An attrs class as output."""

    name: str
    size: int = 0


@dataclasses.dataclass
class Pair:
    """A data class as output."""

    a: int
    b: list[str]


class Options(TypedDict):
    """A typed dictionary as output."""

    loud: bool


class TestOutput:
    """Typed answers."""

    @pytest.mark.parametrize(
        ("type_", "answer", "output"),
        [
            (Place, '{"name": "Seoul"}', Place("Seoul")),
            (Pair, '{"a": 1, "b": ["x"]}', Pair(1, ["x"])),
            (list[int], "[1, 2]", [1, 2]),
            (int, " 42\n", 42),
            (Options, '{"loud": true}', {"loud": True}),
            (Annotated[int, msgspec.Meta(ge=0)], "3", 3),
            (str | None, "null", None),
        ],
    )
    async def test_types(self, type_: Any, answer: str, output: Any) -> None:
        """The model gets the schema, and the result has the value and the text."""
        with ScriptedModel([answer]) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, output=type_), "x")

        assert (result.output, result.content) == (output, answer)
        assert model.requests[0].output is not None

    async def test_unfit_twice_then_fit(self) -> None:
        """The model gets the faults and tries again. Each attempt is a turn."""
        with ScriptedModel(["no", '"no"', "7"]) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, output=int), "x")

        assert result.output == 7
        assert "Expected `int`, got `str`" in model.requests[2].messages[-1].content
        assert result.usage == Usage(3, 3)

    async def test_unfit_thrice(self) -> None:
        """The run fails after three invalid answers, and the result has all attempts."""
        with ScriptedModel(["no", "no", "no"]) as model:
            async with Runtime() as rt:
                with pytest.raises(OutputError, match="does not fit the output type") as caught:
                    await rt.run(Agent(model, output=int), "x", session="s")
                stored = await rt.memory.load("s")

        assert caught.value.result.status == "failed"
        assert [m.role for m in caught.value.result.messages] == [
            "user",
            "assistant",
            "user",
            "assistant",
            "user",
            "assistant",
        ]
        assert list(stored.messages) == []

    async def test_tools_and_output(self) -> None:
        """An agent may have both tools and an output type."""
        async with Runtime() as rt:
            model = ScriptedModel([ToolCall("1", "echo"), "5"])
            result = await rt.run(Agent(model, tools=[echo], output=int), "x")

        assert result.output == 5


class TestLimits:
    """Limits of one run."""

    async def test_turns(self) -> None:
        """A run that uses up its turns raises an error with the result so far."""
        calls = [ToolCall(str(at), "echo", f'{{"text": "{at}"}}') for at in range(3)]
        with ScriptedModel(calls) as model:
            async with Runtime(limits=Limits(turns=3)) as rt:
                with pytest.raises(LimitExceeded, match="all of its 3 turns") as caught:
                    await rt.run(Agent(model, tools=[echo]), "x")

        result = caught.value.result
        assert caught.value.limit == "turns"
        assert (result.status, result.usage, result.error) == ("limited", Usage(3, 3), caught.value)
        assert told(result) == ["0", "1", "2"]

    async def test_an_agents_own(self) -> None:
        """An agent's limits override the runtime's."""
        async with Runtime(limits=Limits(turns=1)) as rt:
            agent = Agent(ScriptedModel([ToolCall("1", "echo"), "x"]), tools=[echo], limits=Limits(turns=2))
            assert (await rt.run(agent, "x")).content == "x"

    async def test_run_timeout(self, autojump_clock: trio.testing.MockClock) -> None:
        """A run beyond its deadline raises an error with the result so far."""
        model = ScriptedModel([ToolCall("1", "echo", '{"text": "a"}'), ToolCall("2", "forever")])
        async with Runtime(limits=Limits(run_timeout=5)) as rt:
            with pytest.raises(DeadlineExceeded, match="the run took longer than 5 s") as caught:
                await rt.run(Agent(model, tools=[echo, forever]), "x")

        assert trio.current_time() == pytest.approx(5)
        assert caught.value.limit == "run_timeout"
        assert "run_timeout" in caught.value.hint
        assert caught.value.result.status == "limited"
        assert [message.role for message in caught.value.result.messages] == ["user", "assistant", "tool"]

    async def test_run_timeout_counts_the_queue(self, autojump_clock: trio.testing.MockClock) -> None:
        """The run's time includes the wait for a place or a session."""
        async with Runtime(limits=Limits(runs=1)) as rt:
            first = await rt.start(Agent(Hanging()), "x")
            with pytest.raises(DeadlineExceeded):
                await rt.run(Agent(Hanging(), limits=Limits(run_timeout=2)), "x")
            first.cancel()
        async with Runtime() as rt:
            first = await rt.start(Agent(Hanging()), "x", session="s")
            with pytest.raises(DeadlineExceeded):
                await rt.run(Agent(Hanging(), limits=Limits(run_timeout=2)), "x", session="s")
            first.cancel()

        assert trio.current_time() == pytest.approx(4)

    async def test_model_timeout(self, autojump_clock: trio.testing.MockClock) -> None:
        """A slow model call ends the run, and the error names the model."""
        async with Runtime(limits=Limits(model_timeout=1.5)) as rt:
            with pytest.raises(DeadlineExceeded, match=r"the model hanging took longer than 1.5 s") as caught:
                await rt.run(Agent(Hanging()), "x")

        assert (caught.value.limit, caught.value.result.status) == ("model_timeout", "limited")

    @pytest.mark.parametrize("calls", [1, 2])
    async def test_tool_timeout(self, autojump_clock: trio.testing.MockClock, calls: int) -> None:
        """A slow tool is told to the model, and the run goes on."""
        model = ScriptedModel([[ToolCall(str(at), "forever") for at in range(calls)], "too slow"])
        async with Runtime(limits=Limits(tool_timeout=3)) as rt:
            result = await rt.run(Agent(model, tools=[forever]), "x")

        assert result.content == "too slow"
        assert len(told(result)) == calls
        assert all("the tool forever took longer than 3 s" in text for text in told(result))

    async def test_a_tools_thread_is_left_behind(self) -> None:
        """A tool's thread cannot be stopped: after the timeout, the run goes on without the thread."""
        release = threading.Event()

        @tool
        def stuck() -> str:
            """Wait for the test's end."""
            release.wait(60)
            return "late"

        try:
            async with Runtime(limits=Limits(tool_timeout=0.01)) as rt:
                with trio.fail_after(60):
                    result = await rt.run(Agent(ScriptedModel([ToolCall("1", "stuck"), "x"]), tools=[stuck]), "x")
        finally:
            release.set()

        assert "took longer than 0.01 s" in told(result)[0]

    async def test_model_calls(self) -> None:
        """The number of model calls over all runs is bounded; further calls wait."""
        under_way, peak = 0, 0

        async def count(_: ModelRequest) -> str:
            nonlocal under_way, peak
            under_way += 1
            peak = max(peak, under_way)
            await wait_all_tasks_blocked()
            under_way -= 1
            return "x"

        async with Runtime(limits=Limits(model_calls=2)) as rt, trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(rt.run, Agent(ScriptedModel([count])), "x")

        assert peak == 2
        assert [(s.name, s.total, s.in_use, s.waiting) for s in rt.statistics()][1] == ("model_calls", 2, 0, 0)


class TestModelErrors:
    """Models without a usable answer."""

    async def test_a_model_error_passes_through_unchanged(self) -> None:
        """A `ModelError` reaches the caller unchanged, with the result so far."""
        error = ModelError("busy", provider="acme", status=429, retryable=True, retry_after=1.0)
        async with Runtime() as rt:
            with pytest.raises(ModelError) as caught:
                await rt.run(Agent(ScriptedModel([ToolCall("1", "echo"), error]), tools=[echo]), "x")

        assert caught.value is error
        assert (error.status, error.provider, error.retryable) == (429, "acme", True)
        assert error.result.status == "failed"
        assert error.result.error is error
        assert [message.role for message in error.result.messages] == ["user", "assistant", "tool"]

    @pytest.mark.parametrize(
        "error", [ValueError("boom"), KeyError("x"), trio.TooSlowError(), ExceptionGroup("many", [OSError("a")])]
    )
    async def test_any_other_error_becomes_one(self, error: Exception) -> None:
        """Any other exception of a model becomes a `ModelError` with the model's name and the cause."""
        async with Runtime() as rt:
            with pytest.raises(ModelError, match=f"the model scripted failed: {type(error).__name__}") as caught:
                await rt.run(Agent(ScriptedModel([error])), "x")

        assert caught.value.__cause__ is error
        assert caught.value.provider == "scripted"

    async def test_a_usage_error_of_the_model_stays_one(self) -> None:
        """A model's `UsageError` is passed on."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="no such model"):
                await rt.run(Agent(ScriptedModel([UsageError("no such model")])), "x")

    @pytest.mark.parametrize(
        "nonsense",
        [
            None,
            "text",
            {"content": "x"},
            ModelResponse(content=5),  # type: ignore[arg-type]  # the point of the test
            ModelResponse(tool_calls=["echo"]),  # type: ignore[list-item]  # the point of the test
            ModelResponse(tool_calls=5),  # type: ignore[arg-type]  # the point of the test
            ModelResponse(usage=None),  # type: ignore[arg-type]  # the point of the test
        ],
        ids=repr,
    )
    async def test_nonsense_is_a_model_error(self, nonsense: Any) -> None:
        """An invalid response is a `ModelError`, and nothing is stored."""

        class Nonsense:
            name = "nonsense"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                response: ModelResponse = nonsense
                return response

        async with Runtime() as rt:
            with pytest.raises(ModelError, match="the model nonsense") as caught:
                await rt.run(Agent(Nonsense()), "x", session="s")
            stored = await rt.memory.load("s")

        assert caught.value.result.status == "failed"
        assert list(stored.messages) == []

    async def test_a_model_that_is_not_async(self) -> None:
        """A synchronous `respond` is a failure of the model."""

        class Synchronous:
            name = "sync"

            def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                return ModelResponse("x")

        async with Runtime() as rt:
            with pytest.raises(ModelError, match="the model sync failed: TypeError"):
                await rt.run(Agent(Synchronous()), "x")  # type: ignore[call-overload]  # the point of the test


class TestEvents:
    """Events of a run."""

    async def test_in_order(self, well_formed: WellFormed) -> None:
        """Every step has an event, in order, with its outcome."""
        events: list[Event] = []
        model = ScriptedModel([ToolCall("c1", "echo", '{"text": "hey"}'), "Hello you."])
        async with Runtime(observers=[events.append]) as rt:
            result = await rt.run(Agent(model, "ann", tools=[echo]), "Hi", session="s", user="u")

        id_, call = result.run_id, ToolCall("c1", "echo", '{"text": "hey"}')
        well_formed(events)
        assert [event for event in events if not type(event).__name__.endswith("Delta")] == [
            RunStarted(id_, "ann", "Hi", "s", "u"),
            ModelStarted(id_, "scripted", 1),
            ModelEnded(id_, "scripted", 1, "completed", Usage(1, 1), None, "tool_calls"),
            ToolStarted(id_, call),
            ToolEnded(id_, call, "completed", "hey"),
            ModelStarted(id_, "scripted", 2),
            ModelEnded(id_, "scripted", 2, "completed", Usage(1, 2), None, "stop"),
            RunEnded(id_, "completed", "Hello you.", Usage(2, 3)),
        ]
        assert [event.text for event in events if isinstance(event, TextDelta)] == ["Hello ", "you."]

    async def test_the_user_is_told_without_a_session(self) -> None:
        """An event has the user even without a session."""
        events: list[Event] = []
        async with Runtime(observers=[events.append]) as rt:
            await rt.run(Agent(ScriptedModel(["x"])), [Message("user", "1"), Message("assistant", "2")], user="ann")

        assert isinstance(events[0], RunStarted)
        assert (events[0].user, events[0].session, events[0].input) == ("ann", None, "1")

    async def test_failures(self, well_formed: WellFormed) -> None:
        """A failed step ends with an error. The run's last event has the error's code."""
        events: list[Event] = []
        async with Runtime(observers=[events.append]) as rt:
            with pytest.raises(ModelError):
                await rt.run(Agent(ScriptedModel([ToolCall("1", "x"), ModelError("down", hint="wait")])), "x")

        well_formed(events)
        ended = [event for event in events if isinstance(event, ModelEnded | ToolEnded | RunEnded)]
        assert [event.status for event in ended] == ["completed", "failed", "failed", "failed"]
        assert isinstance(last := events[-1], RunEnded)
        assert (last.code, last.error) == ("model", "down\nwait")

    async def test_a_refused_run_says_nothing(self) -> None:
        """A refused run has no events."""
        events: list[Event] = []
        async with Runtime(limits=Limits(runs=1, queue=0), observers=[events.append]) as rt:
            first = await rt.start(Agent(Hanging()), "x")
            await wait_all_tasks_blocked()
            before = len(events)
            with pytest.raises(AgnoError, match="limit runs is reached"):
                await rt.run(Agent(ScriptedModel([])), "x")
            assert len(events) == before
            first.cancel()
