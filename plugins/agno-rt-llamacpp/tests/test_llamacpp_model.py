"""`LlamaModel` against the real model: streaming, cancelling, queueing, tools, output, and failures."""

from __future__ import annotations

import decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import msgspec
import pytest
import trio
import trio.testing
from agno_rt_llamacpp.client import LlamaModel
from agno_rt_llamacpp.profile import Settings

from agno_rt import Agent, Message, ModelRequest, ModelSettings, Output, Runtime, ToolCall, media, tool
from agno_rt.errors import ConfigError, ModelError, NotFound, OutputError, Overloaded, UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.models import ModelResponse
from agno_rt.testing import ModelContract

FEW_TOKENS = ModelSettings(seed=1, max_tokens=48)

NATIVE_TEMPLATE = """{%- if tools %}<|im_start|>system
You have these tools: {{ tools | tojson }}
For each call return a json object within <tool_call></tool_call> tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}{% else %}{{ message.content }}{% endif %}<|im_end|>
{% endfor %}{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@tool
def search(query: str) -> str:
    """Search the documents."""
    return query


@tool
def book(seats: int, meal: Literal["meat", "fish"], names: list[str]) -> str:
    """Book a table."""
    return f"{seats} {meal} {names}"


@attrs.define
class Place:
    """An output type with a nested list."""

    city: str
    sights: list[str]
    kind: Literal["coast", "inland"]


async def collect(model: LlamaModel, request: ModelRequest) -> tuple[ModelResponse, list[Delta]]:
    """Return the response and every delta."""
    deltas: list[Delta] = []

    async def emit(delta: Delta) -> None:
        deltas.append(delta)

    return await model.respond(request, emit), deltas


def asked(text: str) -> tuple[Message, ...]:
    """Make a conversation of one question."""
    return (Message("user", text),)


async def becomes_idle(model: LlamaModel) -> None:
    """Wait until llama.cpp is idle, after a token or a batch of a prompt."""
    with trio.fail_after(60):
        while await model.busy():
            pass


class TestContract(ModelContract):
    """The kernel's contract for models."""

    @pytest.fixture(autouse=True)
    def _weights(self, weights: Path) -> None:
        self._path = weights

    def make_model(self) -> LlamaModel:
        """Make the real model, in a small context."""
        return LlamaModel(str(self._path), Settings(parallel=1, context=1024))


class TestAnswers:
    """Text, streamed or not."""

    def test_it_runs_in_the_process(self) -> None:
        """The profile says that the model is loaded into the process."""
        assert LlamaModel("smollm2").profile.in_process

    async def test_an_image_is_refused(self, model: LlamaModel) -> None:
        """An image raises the caller's error, in a run as well, and loads nothing."""
        picture = media.image(b"GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;")
        with pytest.raises(UsageError, match=r"does not accept image/gif, and was given \[image image/gif, 35 bytes\]"):
            await model.respond(ModelRequest((Message("user", ("What is this?", picture)),)))
        async with Runtime() as runtime:
            with pytest.raises(UsageError, match="does not accept image/gif"):
                await runtime.run(Agent(model), ["What is this?", picture])

    async def test_reasoning_comes_apart(self, model: LlamaModel) -> None:
        """With a grammar of tags, the text inside the tags is not part of the answer, streamed or not."""
        grammar = 'root ::= "<think>\\nhm, " [a-c]+ "\\n</think>\\n\\nso"'
        settings = ModelSettings(seed=1, max_tokens=40, extra={"grammar": grammar})
        request = ModelRequest(asked("Think."), settings=settings)
        streamed, deltas = await collect(model, request)
        whole = await model.respond(request)

        assert whole.content == streamed.content == "so"
        assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "so"
        assert "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta)) == streamed.reasoning
        assert streamed.reasoning == whole.reasoning
        assert whole.reasoning.startswith("hm, ")

    async def test_streaming_equals_not_streaming(self, model: LlamaModel, hello: ModelRequest) -> None:
        """At temperature 0 the joined deltas equal the answer without a listener."""
        streamed, deltas = await collect(model, hello)
        whole = await model.respond(hello)

        assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == whole.content
        assert streamed.content == whole.content
        assert len(deltas) > 2

    async def test_counts_tokens_and_reports_a_cut(self, model: LlamaModel, hello: ModelRequest) -> None:
        """Usage is llama.cpp's own count, and a cut answer is marked."""
        cut = await model.respond(attrs.evolve(hello, settings=ModelSettings(max_tokens=3)))

        assert cut.finish_reason == "length"
        assert cut.usage.output_tokens == 3
        assert cut.usage.input_tokens > 10

    async def test_max_tokens_is_bounded_by_default(self, weights: Path, endless: ModelRequest) -> None:
        """A request without a bound gets the setting's bound."""
        model = LlamaModel(str(weights), Settings(parallel=1, context=512, max_tokens=5))
        unbound = attrs.evolve(endless, settings=ModelSettings(extra={"ignore_eos": True}))
        try:
            response = await model.respond(unbound)
        finally:
            await model.aclose()

        assert (response.finish_reason, response.usage.output_tokens) == ("length", 5)

    async def test_trio_goes_on_while_llama_decodes(self, model: LlamaModel, hello: ModelRequest) -> None:
        """Another task gets many turns during one answer."""
        await model.respond(hello)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await trio.lowlevel.checkpoint()
                ticks += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            await model.respond(hello)
            nursery.cancel_scope.cancel()

        assert ticks > 100

    async def test_a_listener_that_fails_ends_the_answer(self, model: LlamaModel, endless: ModelRequest) -> None:
        """An exception of `emit` comes out unchanged, and decoding stops."""

        async def emit(_delta: Delta) -> None:
            raise KeyError("gone")

        with trio.fail_after(60), pytest.raises(KeyError, match="gone"):
            await model.respond(endless, emit)
        await becomes_idle(model)


class TestCancellation:
    """A cancelled request leaves nothing behind."""

    async def test_stops_decoding(self, model: LlamaModel, endless: ModelRequest, hello: ModelRequest) -> None:
        """Cancelled between tokens, llama.cpp is idle at once and answers the next request."""
        with trio.CancelScope() as scope:

            async def emit(_delta: Delta) -> None:
                scope.cancel()

            await model.respond(endless, emit)

        assert scope.cancelled_caught
        with trio.fail_after(60):
            await becomes_idle(model)
            assert (await model.respond(hello)).content

    async def test_stops_reading_a_prompt(self, model: LlamaModel, hello: ModelRequest) -> None:
        """Cancelled while reading the prompt, before any token, a request frees its slot."""
        await model.respond(hello)
        long = ModelRequest(asked("word " * 900), settings=FEW_TOKENS)
        deltas: list[Delta] = []

        async def emit(delta: Delta) -> None:
            deltas.append(delta)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(model.respond, long, emit)
            while not await model.busy():
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

        assert deltas == []
        await becomes_idle(model)
        assert model.statistics()[0].in_use == 0

    async def test_leaves_text_that_is_held_back(self, model: LlamaModel, hello: ModelRequest) -> None:
        """Cancelled while llama.cpp holds text back, a request ends, and the next request is answered."""
        held = {"grammar": 'root ::= " "*', "ignore_eos": True}
        settings = ModelSettings(seed=1, max_tokens=900, stop=" " * 300, extra=held)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(model.respond, ModelRequest(asked("Go."), settings=settings))
            while not await model.busy():
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

        with trio.fail_after(120):
            assert (await model.respond(hello)).content
        assert model.statistics()[0].in_use == 0

    async def test_leaves_the_queue(self, model: LlamaModel, endless: ModelRequest, hello: ModelRequest) -> None:
        """Cancelled while waiting, a request leaves the queue, and the running request goes on."""
        async with trio.open_nursery() as nursery:
            begun = trio.Event()

            async def emit(_delta: Delta) -> None:
                begun.set()

            nursery.start_soon(model.respond, endless, emit)
            await begun.wait()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as waiting:
                    waiting.start_soon(model.respond, hello)
                    await trio.testing.wait_all_tasks_blocked()
                    assert model.statistics()[0].waiting == 1
                    scope.cancel()
            statistics = model.statistics()[0]
            nursery.cancel_scope.cancel()

        assert (statistics.in_use, statistics.waiting) == (1, 0)

    async def test_closing_ends_what_is_under_way(self, model: LlamaModel, endless: ModelRequest) -> None:
        """`aclose` stops an answer with an error, and a closed model reports so."""
        begun = trio.Event()

        async def emit(_delta: Delta) -> None:
            begun.set()

        async def ask() -> None:
            with pytest.raises(ModelError, match="closed"):
                await model.respond(endless, emit)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await begun.wait()
            await model.aclose()
        with pytest.raises(ModelError, match="closed"):
            await model.respond(endless)


class TestQueue:
    """Requests at once."""

    async def test_several_at_once(self, weights: Path, hello: ModelRequest) -> None:
        """More requests than slots are all answered, by a model loaded once."""
        model = LlamaModel(str(weights), Settings(parallel=2, context=512))
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await model.respond(hello)).content)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        await model.aclose()

        assert len(answers) == 5
        assert all(answers)

    async def test_refuses_beyond_the_queue(self, model: LlamaModel, endless: ModelRequest) -> None:
        """With one slot and one waiter, the third request is refused with the name of the limit."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(model.respond, endless)
            nursery.start_soon(model.respond, endless)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Overloaded, match=r"llamacpp\.slots") as refused:
                await model.respond(endless)
            nursery.cancel_scope.cancel()

        assert refused.value.limit == "llamacpp.slots"


class TestTools:
    """Calls, held to their schema by a grammar."""

    async def test_a_required_call_fits_the_tool(self, model: LlamaModel) -> None:
        """The arguments of a forced call decode with the tool itself: numbers, choices and lists."""
        request = ModelRequest(asked("A table for four, with fish, for Ann and Bob."), (book,), "required")
        response, deltas = await collect(model, request)

        (call,) = response.tool_calls
        assert set(book.decode(call.arguments)) == {"seats", "meal", "names"}
        assert response.finish_reason == "tool_calls"
        assert deltas == [ToolCallDelta(0, call.id, call.name, call.arguments)]

    async def test_a_search_asks_what_was_asked(self, model: LlamaModel) -> None:
        """A tool for the user's words gets the words, even from a very small model."""
        request = ModelRequest(asked("Which port does the server listen on?"), (book, search), "search")
        response = await model.respond(attrs.evolve(request, settings=FEW_TOKENS))

        assert "port" in search.decode(response.tool_calls[0].arguments)["query"]

    @pytest.mark.parametrize("choice", ["auto", "none"])
    async def test_may_answer_in_text(self, model: LlamaModel, choice: str) -> None:
        """Without a required call, text is streamed as text."""
        request = ModelRequest(asked("Tell me about cats."), (search,), choice, None, FEW_TOKENS)
        response, deltas = await collect(model, request)

        assert not response.tool_calls
        assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == response.content

    async def test_auto_may_call(self, model: LlamaModel) -> None:
        """An answer with a brace at the start is a call, and never streamed as text."""
        bias = [["{", 100.0]]
        settings = ModelSettings(seed=1, max_tokens=200, extra={"logit_bias": bias})
        response, deltas = await collect(model, ModelRequest(asked("Find cats."), (search,), "auto", None, settings))

        assert [call.name for call in response.tool_calls] == ["search"]
        assert not [delta for delta in deltas if isinstance(delta, TextDelta)]

    async def test_answers_from_a_result(self, model: LlamaModel) -> None:
        """The next turn uses a tool's result."""
        messages = (
            *asked("Which port does the server listen on?"),
            Message("assistant", "", (ToolCall("c1", "search", '{"query": "port"}'),)),
            Message("tool", "From guide.md:\nThe server listens on port 7070.", (), "c1", "search"),
        )
        response = await model.respond(ModelRequest(messages, (search,), settings=FEW_TOKENS))

        assert "7070" in response.content

    async def test_an_unknown_choice(self, model: LlamaModel) -> None:
        """The error for an unknown `tool_choice` suggests the nearest tool."""
        with pytest.raises(NotFound, match="serch"):
            await model.respond(ModelRequest(asked("x"), (search,), "serch"))

    async def test_a_template_with_tools_is_used(self, weights: Path, tmp_path: Path) -> None:
        """A template with tools carries calls and results; a required call stays required."""
        template = tmp_path / "tools.jinja"
        template.write_text(NATIVE_TEMPLATE)
        model = LlamaModel(str(weights), Settings(parallel=1, context=1024, chat_template=str(template)))
        messages = (
            *asked("Which port does the server listen on?"),
            Message("assistant", "", (ToolCall("c1", "search", '{"query": "port"}'),)),
            Message("tool", "The server listens on port 7070.", (), "c1", "search"),
        )
        try:
            answered = await model.respond(ModelRequest(messages, (search,), settings=FEW_TOKENS))
            called = await model.respond(ModelRequest(asked("Find cats."), (search,), "required", None, FEW_TOKENS))
        finally:
            await model.aclose()

        assert answered.content or answered.tool_calls
        assert search.decode(called.tool_calls[0].arguments)["query"]


class TestOutput:
    """Structured output."""

    async def test_fits_the_schema(self, weights: Path) -> None:
        """An agent with an output type gets a value of the type, with nested lists and choices."""
        settings = {"llamacpp": {"parallel": 1, "context": 1024}}
        agent = Agent(f"llamacpp:{weights}", output=Place, settings=ModelSettings(seed=1, temperature=0.0))
        async with Runtime(settings=settings) as runtime:
            result = await runtime.run(agent, "Describe Lisbon.")

        assert isinstance(result.output, Place)
        assert msgspec.json.decode(result.content, type=Place) == result.output

    @pytest.mark.parametrize(
        "type_",
        [
            tuple[int, str],
            Annotated[str, msgspec.Meta(min_length=2_000)],
            Annotated[list[int], msgspec.Meta(min_length=5_000)],
            Annotated[str, msgspec.Meta(pattern=r"^\\w{3,9000}$")],
            Literal[tuple(f"choice {at}" for at in range(3_000))],
            decimal.Decimal,
        ],
    )
    async def test_types_that_no_grammar_holds_to(self, model: LlamaModel, type_: Any) -> None:
        """For types outside grammars the answer is checked; the hint for a cut answer names the setting to raise."""
        agent = Agent(model, output=Output(type_, attempts=1), settings=ModelSettings(max_tokens=12, seed=1))
        hints: list[str] = []
        async with Runtime() as runtime:
            with trio.fail_after(120):
                try:
                    await runtime.run(agent, "Go.")
                except OutputError as exc:
                    hints.append(exc.hint)
        assert all("raise max_tokens" in hint for hint in hints)

    async def test_a_tuple_as_a_parameter(self, model: LlamaModel) -> None:
        """A tool with a tuple gets as many items as the tuple has."""

        @tool
        def mark(point: tuple[int, int]) -> str:
            """Mark a point."""
            return str(point)

        settings = ModelSettings(seed=1, max_tokens=80)
        response = await model.respond(ModelRequest(asked("Mark 3, 4."), (mark,), "required", None, settings))

        assert len(mark.decode(response.tool_calls[0].arguments)["point"]) == 2


class TestMarks:
    """Control tokens within texts."""

    @pytest.mark.parametrize(
        "conversation",
        [
            lambda text: (Message("user", text),),
            lambda text: (Message("system", text), Message("user", "Hi.")),
            lambda text: (Message("user", "Hi."), Message("assistant", text), Message("user", "Hi.")),
            lambda text: (Message("user", ("Hi.", media.file(text.encode(), name="a.md"))),),
            lambda text: (
                Message("user", "Hi."),
                Message("assistant", "", (ToolCall("c1", "search"),)),
                Message("tool", text, (), "c1", "search"),
            ),
        ],
    )
    async def test_are_no_marks_in_the_prompt(self, model: LlamaModel, conversation: Any) -> None:
        """Control tokens in a text are read letter by letter; as marks, each would be a single token."""
        one = ModelSettings(seed=1, max_tokens=1)

        async def count(text: str) -> int:
            return (await model.respond(ModelRequest(conversation(text), settings=one))).usage.input_tokens

        plain = await count("Hello.")
        for mark in ("<|im_end|>", "<|im_start|>", "<|endoftext|>"):
            assert await count(f"Hello.{mark * 10}") - plain > 40


class TestFailures:
    """Errors with cause and place."""

    async def test_missing_weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hello: ModelRequest) -> None:
        """The error for missing weights has the command to fetch them."""
        monkeypatch.setenv("AGNO_RT_CACHE", str(tmp_path))
        with pytest.raises(UsageError) as missing:
            await LlamaModel("smollm2").respond(hello)

        assert str(tmp_path) in missing.value.message
        assert "agno-rt llamacpp pull" in missing.value.hint

    async def test_a_file_that_is_not_there(self, hello: ModelRequest) -> None:
        """The error for a missing file has the path."""
        with pytest.raises(UsageError, match=r"'models/none\.gguf' does not exist"):
            await LlamaModel("models/none.gguf").respond(hello)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 something else", b"GGUF\x03\x00\x00\x00" + b"\xff" * 40])
    async def test_a_file_that_is_no_model(self, tmp_path: Path, content: bytes, hello: ModelRequest) -> None:
        """A file in another format than GGUF, or with a false header, is refused before llama.cpp sees the file."""
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        with pytest.raises(UsageError, match="not a GGUF model file"):
            await LlamaModel(str(path)).respond(hello)

    async def test_a_file_that_is_cut_off(self, half: Path, hello: ModelRequest) -> None:
        """llama.cpp refuses a model file that ends in the middle of the tensors."""
        with pytest.raises(ModelError, match="cannot load") as refused:
            await LlamaModel(str(half)).respond(hello)

        assert refused.value.provider == "llamacpp"

    async def test_a_prompt_too_long(self, model: LlamaModel, hello: ModelRequest) -> None:
        """The error for a long prompt has its length and the limit; the model goes on."""
        with pytest.raises(ModelError, match=r"prompt has \d+ tokens, and the context holds 1024"):
            await model.respond(ModelRequest(asked("word " * 3000)))
        assert (await model.respond(hello)).content

    async def test_a_name_that_is_nothing(self) -> None:
        """The error for an unknown name lists the known models."""
        async with Runtime() as runtime:
            with pytest.raises(NotFound, match="smollm2") as unknown:
                runtime.model("llamacpp:smollm3")
        assert "smollm3" in unknown.value.message

    async def test_settings_are_checked(self) -> None:
        """The error for an unknown key or a number out of range names the table."""
        for table in ({"contxt": 1}, {"context": 1}, {"parallel": "two"}):
            async with Runtime(settings={"llamacpp": table}) as runtime:
                with pytest.raises(ConfigError, match=r"plugins\.llamacpp"):
                    runtime.model("llamacpp:smollm2")
