"""The spans of runs in an application's SDK: real runs, and the real SDK with an exporter in memory."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio
from agno_rt_otel.names import provider_and_model
from agno_rt_otel.spans import Spans
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode

from agno_rt import Agent, Limits, ModelRequest, ModelResponse, Runtime, ToolCall, Usage, tool
from agno_rt.context import RunContext
from agno_rt.errors import Blocked, ConfigError, LimitExceeded, ModelError
from agno_rt.events import TurnRestarted
from agno_rt.hooks import Hook, Verdict
from agno_rt.models import Emit
from agno_rt.testing import CancelPoint, ScriptedModel, cancel_everywhere

TRACER = trace.get_tracer("mine")
"""The application's own."""


class Balance(SpanProcessor):
    """A count of starts and ends for each span."""

    def __init__(self) -> None:
        self.started: Counter[int] = Counter()
        self.ended: Counter[int] = Counter()

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Count the start."""
        self.started[span.get_span_context().span_id] += 1

    def on_end(self, span: ReadableSpan) -> None:
        """Count the end."""
        assert span.context is not None
        self.ended[span.context.span_id] += 1


EXPORTER, BALANCE = InMemorySpanExporter(), Balance()


@pytest.fixture(scope="module", autouse=True)
def _set_up_sdk() -> None:
    """Set the SDK up like an application, once in a process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    provider.add_span_processor(BALANCE)
    trace.set_tracer_provider(provider)


@pytest.fixture(autouse=True)
def _check_balance(_set_up_sdk: None, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check after each test: every span ended once, and the context is restored without complaint."""
    EXPORTER.clear()
    with caplog.at_level(logging.WARNING, "opentelemetry"):
        yield
    assert BALANCE.started == BALANCE.ended
    assert set(BALANCE.ended.values()) <= {1}
    assert [
        record.getMessage() for record in caplog.get_records("call") if record.name.startswith("opentelemetry")
    ] == []
    assert not trace.get_current_span().get_span_context().is_valid


def spans() -> Sequence[ReadableSpan]:
    """Return all ended spans, in the order of their starts."""
    return sorted(EXPORTER.get_finished_spans(), key=lambda span: span.start_time or 0)


def one(name: str) -> ReadableSpan:
    """Return the span with the name."""
    (span,) = [span for span in spans() if span.name == name]
    return span


def parents() -> list[tuple[str, str]]:
    """Return each span's name and its parent's name; an empty name without a parent."""
    names = {span.context.span_id: span.name for span in spans() if span.context is not None}
    return [(span.name, "" if span.parent is None else names[span.parent.span_id]) for span in spans()]


def about(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})


def mark(name: str) -> None:
    """Make a span of the application."""
    with TRACER.start_as_current_span(name):
        pass


@tool(inline=True)
def double(number: int) -> int:
    """Double the number."""
    return 2 * number


def observed(**more: Any) -> Runtime:
    """Make a traced runtime."""
    return Runtime(observers=["otel"], **more)


CALL = ToolCall("call-1", "double", '{"number": 21}')


class TestARun:
    """Spans of a run."""

    async def test_is_a_tree_of_spans(self) -> None:
        """The run's span contains the spans of its model and tool calls."""
        async with observed() as rt:
            await rt.run(Agent(ScriptedModel([CALL, "42"]), "ann", tools=[double]), "What is twice 21?")

        run = "invoke_agent ann"
        assert parents() == [
            (run, ""),
            ("chat scripted", run),
            ("execute_tool double", run),
            ("chat scripted", run),
        ]
        kinds = [span.kind for span in spans()]
        assert kinds == [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.CLIENT]
        assert {span.status.status_code for span in spans()} == {StatusCode.UNSET}

    async def test_has_the_attributes_of_the_conventions(self) -> None:
        """Operation, agent, conversation, provider, model, usage, tool."""

        class Paid:
            name = "openai:groq:llama-3.3"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                usage = Usage(7, 5, 3, 2, 0.5)
                return (
                    ModelResponse("42", usage=usage) if request.turn == 2 else ModelResponse("", (CALL,), usage=usage)
                )

        async with observed() as rt:
            result = await rt.run(Agent(Paid(), "ann", tools=[double]), "What?", session="alice")

        assert about(one("invoke_agent ann")) == {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "ann",
            "gen_ai.conversation.id": "alice",
            "gen_ai.usage.input_tokens": 14,
            "gen_ai.usage.output_tokens": 10,
            "gen_ai.usage.reasoning.output_tokens": 6,
            "gen_ai.usage.cache_read.input_tokens": 4,
            "agno_rt.usage.cost": 1.0,
            "agno_rt.run.id": result.run_id,
            "agno_rt.status": "completed",
        }
        chat = about(next(span for span in spans() if span.name == "chat llama-3.3"))
        assert chat.pop("gen_ai.response.finish_reasons", ("stop",)) == ("stop",)
        assert chat == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "groq",
            "gen_ai.request.model": "llama-3.3",
            "gen_ai.conversation.id": "alice",
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.reasoning.output_tokens": 3,
            "gen_ai.usage.cache_read.input_tokens": 2,
            "agno_rt.usage.cost": 0.5,
            "agno_rt.turn": 1,
            "agno_rt.status": "completed",
        }
        assert about(one("execute_tool double")) == {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "double",
            "gen_ai.tool.call.id": "call-1",
            "gen_ai.tool.type": "function",
            "agno_rt.status": "completed",
        }

    async def test_says_what_was_said_only_if_asked_to(self) -> None:
        """With `content`, spans have the input, the answer, arguments and results; without, no span has them."""
        agent = Agent(ScriptedModel([CALL, "It is 42."] * 2), "ann", tools=[double])
        async with observed() as rt:
            await rt.run(agent, "What is twice 21?")
        recorded = str([(span.status.description, about(span)) for span in spans()])
        assert not any(said in recorded for said in ("What is twice", "It is 42", "number"))

        EXPORTER.clear()
        async with observed(settings={"otel": {"content": True}}) as rt:
            await rt.run(agent, "What is twice 21?")
        run, call = about(one("invoke_agent ann")), about(one("execute_tool double"))
        assert json.loads(run["gen_ai.input.messages"]) == [
            {"role": "user", "parts": [{"type": "text", "content": "What is twice 21?"}]}
        ]
        assert json.loads(run["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "It is 42."}]
        assert (call["gen_ai.tool.call.arguments"], call["gen_ai.tool.call.result"]) == ('{"number": 21}', "42")

    async def test_can_be_sent_whatever_a_model_writes(self) -> None:
        """Half a character in a tool's name, id or arguments is replaced, and umlauts stay."""
        half = "\ud800"
        call = ToolCall(half, f"ü{half}", f'{{"x": "{half}"}}')
        async with observed(settings={"otel": {"content": True}}) as rt:
            await rt.run(Agent(ScriptedModel([call, f"ü{half}"])), "x")

        assert "execute_tool ü?" in [span.name for span in spans()]
        for span in spans():
            json.dumps([span.name, about(span)], ensure_ascii=False).encode()

    async def test_is_of_the_tracer_that_is_named(self) -> None:
        """The setting `tracer` is the instrumentation scope; an unknown setting is an error."""
        async with observed(settings={"otel": {"tracer": "shop.agents"}}) as rt:
            await rt.run(Agent(ScriptedModel(["x"])), "x")
        assert {span.instrumentation_scope and span.instrumentation_scope.name for span in spans()} == {"shop.agents"}

        with pytest.raises(ConfigError, match=r"\[plugins.otel\].*'tracing'"):
            async with observed(settings={"otel": {"tracing": "x"}}):
                raise AssertionError

    async def test_has_what_happened_on_the_way_as_events(self) -> None:
        """A tripped guardrail and a restarted turn are events."""

        class Careful:
            name = "careful"

            async def check(self, context: RunContext, text: str) -> Verdict | None:
                return Verdict("a secret", "***")

        class Restarting:
            name = "restarting"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                if emit is not None:
                    await emit(TurnRestarted("the line was cut"))
                return ModelResponse("x")

        async with observed() as rt:
            await rt.run(Agent(Restarting(), hooks=[Careful()]), "x")

        events = [(event.name, dict(event.attributes or {})) for event in one("invoke_agent").events]
        assert events == [
            (
                "agno_rt.guard_tripped",
                {"guard": "careful", "where": "input", "action": "changed", "reason": "a secret"},
            ),
            ("agno_rt.turn_restarted", {"reason": "the line was cut"}),
        ]


class TestParents:
    """Parents of spans."""

    async def test_a_run_is_under_its_callers_span(self) -> None:
        """A run in place, streamed or in the background has the caller's span as parent, and restores it."""
        agent = Agent(ScriptedModel(["x"] * 3))
        async with observed() as rt:
            with TRACER.start_as_current_span("request") as request:
                await rt.run(agent, "x")
                async with rt.stream(agent, "x") as events:
                    async for _ in events:
                        assert trace.get_current_span() is request
                await (await rt.start(agent, "x")).wait()
                assert trace.get_current_span() is request

        assert [parent for name, parent in parents() if name == "invoke_agent"] == ["request"] * 3

    async def test_what_a_tool_does_is_under_the_tool(self) -> None:
        """Spans from a tool: async, in a thread, in place, in tasks, and in a thread that calls back into trio."""

        @tool
        async def asynchronous() -> str:
            """Wait."""
            mark("in async")
            await trio.lowlevel.checkpoint()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.checkpoint)
                nursery.start_soon(marked, "in task")
            return "done"

        @tool
        def threaded() -> str:
            """Work."""
            mark("in thread")
            trio.from_thread.run(marked, "back in trio")
            return "done"

        @tool(inline=True)
        def inline() -> str:
            """Think."""
            mark("in place")
            return "done"

        async def marked(name: str) -> None:
            await trio.lowlevel.checkpoint()
            mark(name)

        calls = tuple(ToolCall(name, name) for name in ("asynchronous", "threaded", "inline"))
        async with observed() as rt:
            model = ScriptedModel([ModelResponse("", calls), "x"])
            await rt.run(Agent(model, tools=[asynchronous, threaded, inline]), "x")

        mine = {name: parent for name, parent in parents() if name.startswith(("in ", "back"))}
        assert mine == {
            "in async": "execute_tool asynchronous",
            "in task": "execute_tool asynchronous",
            "in thread": "execute_tool threaded",
            "back in trio": "execute_tool threaded",
            "in place": "execute_tool inline",
        }

    async def test_what_a_model_does_is_under_its_call(self) -> None:
        """Spans from a model's HTTP client have the call as parent; spans from a hook have the run."""

        class Client:
            name = "client"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                await trio.lowlevel.checkpoint()
                mark("POST")
                return ModelResponse("x")

        class Looking:
            name = "looking"

            async def check(self, context: RunContext, text: str) -> Verdict | None:
                mark("look")
                return None

        async with observed() as rt:
            await rt.run(Agent(Client(), hooks=[Looking()]), "x")

        assert ("POST", "chat client") in parents()
        assert ("look", "invoke_agent") in parents()

    async def test_a_hook_that_answers_is_not_a_model(self) -> None:
        """A turn that a hook answers has no span of a model call."""

        class Answering(Hook):
            async def before_model(self, context: RunContext, request: ModelRequest) -> ModelResponse:
                return ModelResponse("from the hook")

        async with observed() as rt:
            await rt.run(Agent(ScriptedModel([]), hooks=[Answering()]), "x")

        assert parents() == [("invoke_agent", "")]

    async def test_a_run_within_a_tool_is_under_that_call(self) -> None:
        """A run inside a tool has the call as parent, with simultaneous tools in tasks and threads too."""

        @tool
        async def ask(who: str) -> str:
            """Ask another agent."""
            return (await rt.run(Agent(ScriptedModel(["yes"]), who), "?")).content

        @tool
        def ask_from_thread(who: str) -> str:
            """Ask another agent."""
            return trio.from_thread.run(rt.run, Agent(ScriptedModel(["yes"]), who), "?").content

        calls = (
            ToolCall("1", "ask", '{"who": "bob"}'),
            ToolCall("2", "ask", '{"who": "eve"}'),
            ToolCall("3", "ask_from_thread", '{"who": "joe"}'),
        )
        async with observed() as rt:
            model = ScriptedModel([ModelResponse("", calls), "x"])
            outer = await rt.run(Agent(model, "ann", tools=[ask, ask_from_thread]), "x")

        by_id = {span.context.span_id: about(span) for span in spans() if span.context is not None}
        for who, call in (("bob", "1"), ("eve", "2"), ("joe", "3")):
            inner = one(f"invoke_agent {who}")
            assert inner.parent is not None
            assert by_id[inner.parent.span_id]["gen_ai.tool.call.id"] == call
            assert about(inner)["agno_rt.run.parent"] == outer.run_id

    async def test_calls_with_the_same_id_are_told_apart(self) -> None:
        """Some models give all calls one id, or none: each span still ends with its own call."""
        begun: list[str] = []
        over = trio.Event()

        @tool
        async def wait() -> str:
            """Wait for the second call, which ends first."""
            name = f"mine {len(begun)}"
            begun.append(name)
            if name == "mine 0":
                await over.wait()
            mark(name)
            over.set()
            return name

        async with observed() as rt:
            model = ScriptedModel([ModelResponse("", (ToolCall("", "wait"), ToolCall("", "wait"))), "x"])
            await rt.run(Agent(model, tools=[wait]), "x")

        mine = [span.parent.span_id for span in spans() if span.name in begun and span.parent is not None]
        tools = [span.context.span_id for span in spans() if span.name == "execute_tool wait" and span.context]
        assert sorted(mine) == sorted(tools)

    async def test_a_batch_is_under_its_first_call(self) -> None:
        """Each call of a batch has a span; the first is parent of the work; then the run is current again."""

        @tool(batch=True)
        async def embed(texts: list[str]) -> list[str]:
            """Embed."""
            mark("embedding")
            return texts

        class Looking:
            name = "looking"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                if request.turn == 2:
                    mark("POST")
                    return ModelResponse("x")
                return ModelResponse("", tuple(ToolCall(str(at), "embed", '{"item": "a"}') for at in range(3)))

        async with observed() as rt:
            await rt.run(Agent(Looking(), tools=[embed]), "x")

        calls = [span for span in spans() if span.name == "execute_tool embed"]
        assert [about(span)["gen_ai.tool.call.id"] for span in calls] == ["0", "1", "2"]
        assert [parent for name, parent in parents() if name == "execute_tool embed"] == ["invoke_agent"] * 3
        parent, first = one("embedding").parent, calls[0].context
        assert parent is not None
        assert first is not None
        assert parent.span_id == first.span_id
        assert ("POST", "chat looking") in parents()


class TestEnds:
    """Ends of spans."""

    async def test_what_fails_is_an_error(self) -> None:
        """Failed tools, models and runs have an `error.type`; the reason of a tool's failure may be private."""
        model = ScriptedModel([ToolCall("1", "nope"), ModelError("down")])
        async with observed() as rt:
            with pytest.raises(ModelError):
                await rt.run(Agent(model), "x")

        assert [(span.name, span.status.status_code.name, about(span).get("error.type")) for span in spans()] == [
            ("invoke_agent", "ERROR", "model"),
            ("chat scripted", "UNSET", None),
            ("execute_tool nope", "ERROR", "tool"),
            ("chat scripted", "ERROR", "model"),
        ]
        assert [span.status.description for span in spans()] == ["down", None, None, "down"]

    async def test_a_limit_is_an_error_with_the_code_of_the_run(self, autojump_clock: trio.testing.MockClock) -> None:
        """A deadline of the model, and of its run."""

        async def hang(_: ModelRequest) -> str:
            await trio.sleep_forever()
            return ""

        async with observed(limits=Limits(model_timeout=1)) as rt:
            with pytest.raises(LimitExceeded):
                await rt.run(Agent(ScriptedModel([hang])), "x")

        assert [about(span)["error.type"] for span in spans()] == ["deadline", "limit"]
        assert [about(span)["agno_rt.status"] for span in spans()] == ["limited", "limited"]

    async def test_a_blocked_run(self) -> None:
        """Without a call of the model, the run's span has the reason of the block."""

        class Closed:
            name = "closed"

            async def check(self, context: RunContext, text: str) -> Verdict | None:
                return Verdict("closed")

        async with observed() as rt:
            with pytest.raises(Blocked):
                await rt.run(Agent(ScriptedModel([]), hooks=[Closed()]), "x")

        assert [(span.name, about(span)["error.type"]) for span in spans()] == [("invoke_agent", "blocked")]

    async def test_what_is_cancelled_is_no_error(self) -> None:
        """A stream left early ends all open spans."""

        @tool
        async def hang() -> str:
            """Wait."""
            await trio.sleep_forever()
            return ""

        async with observed() as rt:
            agent = Agent(ScriptedModel([ToolCall("1", "hang")]), tools=[hang])
            async with rt.stream(agent, "x") as events:
                async for event in events:
                    if type(event).__name__ == "ToolStarted":
                        break

        assert [(span.name, about(span)["agno_rt.status"]) for span in spans()] == [
            ("invoke_agent", "cancelled"),
            ("chat scripted", "completed"),
            ("execute_tool hang", "cancelled"),
        ]
        assert {span.status.status_code for span in spans()} == {StatusCode.UNSET}

    def test_each_span_ends_once_wherever_the_run_is_cancelled(self) -> None:
        """With a cancellation at every step of a run with tools and an inner run, no span stays open or current."""
        tracing = Spans(trace.get_tracer("test"))

        async def story(point: CancelPoint) -> None:
            @tool
            async def ask(who: str) -> str:
                """Ask another agent."""
                return (await rt.run(Agent(ScriptedModel(["yes"]), who), "?")).content

            calls = (ToolCall("1", "ask", '{"who": "bob"}'), ToolCall("2", "ask", '{"who": "eve"}'))
            async with Runtime(observers=[tracing.observe]) as rt:
                with point:
                    await rt.run(Agent(ScriptedModel([ModelResponse("", calls), "x"]), tools=[ask]), "x")
                assert not trace.get_current_span().get_span_context().is_valid
            assert tracing.open == 0
            assert BALANCE.started == BALANCE.ended

        assert cancel_everywhere(story) >= 8

    async def test_a_paused_run_ends_its_span_and_a_resumed_one_has_another(self) -> None:
        """Both spans have the run's id; the first has the awaited approval."""

        @tool(approve=True)
        async def pay(to: str) -> str:
            """Pay somebody."""
            mark("paying")
            return "paid"

        agent = Agent(ScriptedModel([ToolCall("1", "pay", '{"to": "Ann"}'), "done"]), "ann", tools=[pay])
        async with observed() as rt:
            paused = await rt.run(agent, "Pay Ann.")
            assert [about(span)["agno_rt.status"] for span in spans() if span.name == "invoke_agent ann"] == ["paused"]
            await rt.approve(paused.approvals[0].id)
            await rt.resume(paused.run_id, agent)

        first, second = (span for span in spans() if span.name == "invoke_agent ann")
        assert about(first)["agno_rt.run.id"] == about(second)["agno_rt.run.id"] == paused.run_id
        assert "agno_rt.run.resumed" not in about(first)
        assert about(second)["agno_rt.run.resumed"] is True
        assert [event.name for event in first.events] == ["agno_rt.approval_asked"]
        assert ("paying", "execute_tool pay") in parents()
        assert {span.status.status_code for span in spans()} == {StatusCode.UNSET}


class TestWithoutSpans:
    """Runs without recorded spans."""

    async def test_nothing_is_kept_where_no_sdk_is_set_up(self) -> None:
        """Without an SDK, the run works as usual, and the surrounding span stays current."""
        tracing = Spans(NoOpTracer())
        seen = []

        @tool(inline=True)
        def look() -> str:
            """Look around."""
            seen.append((trace.get_current_span(), tracing.open))
            return "x"

        agent = Agent(ScriptedModel([ToolCall("1", "look"), "x"]), tools=[look])
        async with Runtime(observers=[tracing.observe]) as rt:
            with TRACER.start_as_current_span("request") as request:
                await rt.run(agent, "x")

        assert seen == [(request, 0)]

    async def test_a_run_that_is_not_sampled_is_so_as_a_whole(self) -> None:
        """Spans inside an unsampled run are not sampled either, and nothing is kept after the run."""
        off = TracerProvider(sampler=ALWAYS_OFF)
        tracing = Spans(off.get_tracer("test"))

        @tool(inline=True)
        def look() -> str:
            """Look around."""
            mark("looking")
            return "x"

        agent = Agent(ScriptedModel([ToolCall("1", "look"), "x"]), tools=[look])
        async with Runtime(observers=[tracing.observe]) as rt:
            await rt.run(agent, "x")

        assert spans() == []
        assert tracing.open == 0

    def test_the_plugin_imports_nothing_that_takes_time(self) -> None:
        """OpenTelemetry's API, and only the API, is imported on the first use of the observer."""
        program = (
            "import sys, trio, agno_rt_otel\n"
            "from agno_rt import Runtime\n"
            "print(any(name.startswith('opentelemetry') for name in sys.modules))\n"
            "async def main():\n"
            "    async with Runtime(observers=['otel']):\n"
            "        print('opentelemetry.trace' in sys.modules, 'opentelemetry.sdk' in sys.modules)\n"
            "trio.run(main)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

        assert done.stdout.split() == ["False", "True", "False"]


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("openai:gpt-5", "openai", "gpt-5"),
        ("openai:mistral:small", "mistral_ai", "small"),
        ("openai:llama3:8b", "openai", "llama3:8b"),
        ("llamacpp:smollm2", "llamacpp", "smollm2"),
        ("scripted", "_OTHER", "scripted"),
        ("openai:a or openai:b", "openai", "openai:a or openai:b"),
        ("openai:a or llamacpp:b", "_OTHER", "openai:a or llamacpp:b"),
    ],
)
def test_providers_have_the_names_of_the_conventions(name: str, provider: str, model: str) -> None:
    """The provider is a plugin's or a known server's name in the conventions; own models have no provider."""
    assert provider_and_model(name) == (provider, model)
