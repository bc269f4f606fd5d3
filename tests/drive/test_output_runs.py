"""Runs with an output type, through the public interface: three modes, corrections, checks, failures."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Limits, ModelRequest, ModelResponse, Output, RunContext, Runtime, ToolCall, Usage, tool
from agno_rt.errors import HookError, LimitExceeded, NotFound, OutputError, UsageError
from agno_rt.events import TextDelta
from agno_rt.models import ModelProfile, OutputMode
from agno_rt.testing import ScriptedModel
from tests.helpers import echo

MODES: tuple[OutputMode, ...] = ("schema", "tool", "prompt")


@attrs.define
class Sale:
    """A sale."""

    item: str
    price: float = attrs.field(validator=attrs.validators.gt(0))


@dataclasses.dataclass
class Nothing:
    """A reason for the lack of a sale."""

    reason: str


def answered(mode: OutputMode, text: str) -> ModelResponse:
    """Make a response with the JSON, as a model of the mode answers."""
    usage = Usage(10, 5)
    if mode == "tool":
        calls = (ToolCall("a1", "final_answer", text),)
        return ModelResponse(tool_calls=calls, usage=usage, finish_reason="tool_calls")
    return ModelResponse(text if mode == "schema" else f"Here:\n```json\n{text}\n```", usage=usage)


def scripted(mode: OutputMode, *texts: str) -> ScriptedModel:
    """Make a model of the mode with these answers in turn."""
    return ScriptedModel([answered(mode, text) for text in texts], profile=ModelProfile(output=mode))


def told(request: ModelRequest) -> str:
    """Return the last message to the model."""
    return request.messages[-1].text


@pytest.mark.parametrize("mode", MODES)
class TestEachMode:
    """Behaviour common to all modes."""

    async def test_valid(self, mode: OutputMode) -> None:
        """A valid answer becomes the run's output. The content is only the JSON."""
        with scripted(mode, '{"item": "tea", "price": 3}') as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, output=Sale), "What was sold?")

        assert (result.status, result.output) == ("completed", Sale("tea", 3.0))
        assert result.content == '{"item": "tea", "price": 3}'
        assert [message.role for message in result.messages] == ["user", "assistant"]
        assert not result.messages[-1].tool_calls

    async def test_how_the_model_is_told(self, mode: OutputMode) -> None:
        """The model gets the type in one way only: the request's schema, a required tool, or the system message."""
        with scripted(mode, '{"item": "tea", "price": 3}') as model:
            async with Runtime() as rt:
                await rt.run(Agent(model, instructions="Be brief.", tools=[echo], output=Sale), "What was sold?")

        request = model.requests[0]
        names = [each.name for each in request.tools]
        assert (request.output is not None) == (mode == "schema")
        assert names == (["echo", "final_answer"] if mode == "tool" else ["echo"])
        assert request.tool_choice == ("required" if mode == "tool" else "auto")
        assert ("JSON Schema" in request.messages[0].text) == (mode == "prompt")

    async def test_corrected(self, mode: OutputMode) -> None:
        """An invalid answer goes back with every fault, and a later answer counts. Usage adds up."""
        with scripted(
            mode, '{"item": 1, "price": "free"}', '{"item": "tea", "price": 0}', '{"item": "a", "price": 1}'
        ) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, output=Sale), "What was sold?")

        assert result.output == Sale("a", 1.0)
        assert "`$.item`" in told(model.requests[1])
        assert "`$.price`" in told(model.requests[1])
        assert "'price' must be > 0" in told(model.requests[2])
        assert result.usage == Usage(30, 15)
        assert [message.role for message in result.messages] == ["user", *["assistant", "user"] * 2, "assistant"]

    async def test_never_right(self, mode: OutputMode) -> None:
        """The run fails after the last attempt, with all messages in the result."""
        with scripted(mode, '{"item": 1}', '{"item": 2}') as model:
            async with Runtime() as rt:
                with pytest.raises(OutputError, match=r"does not fit the output type: .*`price`") as caught:
                    await rt.run(Agent(model, output=Output(Sale, attempts=2)), "What was sold?")

        result = caught.value.result
        assert result is not None
        assert (result.status, result.output) == ("failed", None)
        assert [message.role for message in result.messages] == ["user", "assistant", "user", "assistant"]
        assert "2 attempts" in caught.value.hint

    async def test_a_union_is_picked(self, mode: OutputMode) -> None:
        """The answer picks a member of a union. The wrapping object is removed from the result."""
        sold, nothing = '{"value": {"item": "tea", "price": 3}}', '{"value": {"reason": "closed"}}'
        with scripted(mode, sold, nothing) as model:
            async with Runtime() as rt:
                agent = Agent(model, output=Sale | Nothing)
                results = [await rt.run(agent, "What was sold?") for _ in range(2)]

        assert [result.output for result in results] == [Sale("tea", 3.0), Nothing("closed")]
        assert results[1].content == '{"reason": "closed"}'

    async def test_a_plain_type(self, mode: OutputMode) -> None:
        """A list of plain values is unwrapped."""
        with scripted(mode, '{"value": ["x"]}', '{"value": [1, 2]}') as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, output=list[int]), "Count.")

        assert (result.output, result.content) == ([1, 2], "[1, 2]")
        assert "`$.value[0]`" in told(model.requests[1])

    async def test_tools_come_first(self, mode: OutputMode) -> None:
        """A run may call tools before the answer."""
        call = ToolCall("c1", "echo", '{"text": "tea"}')
        steps: list[Any] = [call, answered(mode, '{"item": "tea", "price": 3}')]
        with ScriptedModel(steps, profile=ModelProfile(output=mode)) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, tools=[echo], output=Sale), "What was sold?")

        assert result.output == Sale("tea", 3.0)
        assert [message.role for message in result.messages] == ["user", "assistant", "tool", "assistant"]

    async def test_cut_off(self, mode: OutputMode) -> None:
        """A model whose answer was cut is asked to be briefer. The final error says to raise max_tokens."""
        cut = attrs.evolve(answered("tool" if mode == "tool" else "schema", '{"item": "te'), finish_reason="length")
        with ScriptedModel([cut, cut, cut], profile=ModelProfile(output=mode)) as model:
            async with Runtime() as rt:
                with pytest.raises(OutputError, match="cut off") as caught:
                    await rt.run(Agent(model, output=Sale), "What was sold?")

        assert "briefer" in told(model.requests[1])
        assert "max_tokens" in caught.value.hint
        assert caught.value.result is not None
        assert caught.value.result.finish_reason == "length"

    async def test_in_a_session(self, mode: OutputMode) -> None:
        """A session goes on after a typed answer, without the request for the type."""
        text = '{"item": "tea", "price": 3}'
        with scripted(mode, text, text) as model:
            async with Runtime() as rt:
                agent = Agent(model, output=Sale)
                for _ in range(2):
                    await rt.run(agent, "What was sold?", session="s")

        said = [message for message in model.requests[1].messages if message.role != "system"]
        assert [(message.role, message.tool_calls) for message in said] == [
            ("user", ()),
            ("assistant", ()),
            ("user", ()),
        ]
        assert said[1].text == text

    async def test_streamed(self, mode: OutputMode) -> None:
        """A stream ends with the same result."""
        with scripted(mode, '{"item": "tea", "price": 3}') as model:
            async with Runtime() as rt:
                async with rt.stream(Agent(model, output=Sale), "What was sold?") as events:
                    streamed = "".join([event.text async for event in events if isinstance(event, TextDelta)])
                result = events.result

        assert result is not None
        assert result.output == Sale("tea", 3.0)
        assert json.loads(result.content) == {"item": "tea", "price": 3}
        assert ("tea" in streamed) == (mode != "tool")


class TestCutNumbers:
    """Numbers cut by a limit of tokens."""

    @pytest.mark.parametrize(("type_", "text"), [(int, "1234"), (float, "2.5"), (int | bool, " 12")])
    async def test_is_no_answer(self, type_: Any, text: str) -> None:
        """A number cut off is refused, and the error says to raise max_tokens."""
        cut = ModelResponse(text, finish_reason="length")
        async with Runtime() as rt:
            with pytest.raises(OutputError, match="may be the beginning of a longer number") as caught:
                await rt.run(Agent(ScriptedModel([cut]), output=Output(type_, attempts=1)), "How many?")
        assert "raise max_tokens" in caught.value.hint

    @pytest.mark.parametrize(
        ("type_", "text", "value"),
        [
            (int, '{"value": 12}', 12),
            (int, "12", 12),
            (str, "There are 12", "There are 12"),
            (list[int], "[1, 2]\nThe first is 1", [1, 2]),
        ],
    )
    async def test_what_is_whole(self, type_: Any, text: str, value: Any) -> None:
        """An answer with a clear end, a text, and an uncut answer are accepted."""
        said = ModelResponse(text, finish_reason="stop" if text == "12" else "length")
        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel([said]), output=Output(type_, attempts=1)), "How many?")
        assert result.output == value


class TestModes:
    """Selection of the mode."""

    async def test_the_output_goes_before_the_profile(self) -> None:
        """The mode of the output overrides the model's profile."""
        with ScriptedModel([answered("tool", '{"value": 1}')], profile=ModelProfile(output="prompt")) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, output=Output(int, mode="tool")), "Count.")

        assert result.output == 1

    async def test_one_agent_type_on_models_of_several_modes(self) -> None:
        """Each model gets the type in its own mode, in one runtime."""
        models = [scripted(mode, '{"value": 1}') for mode in MODES]
        async with Runtime() as rt:
            results = [await rt.run(Agent(model, output=int), "Count.") for model in models]

        assert [result.output for result in results] == [1, 1, 1]
        assert [model.requests[0].output is not None for model in models] == [True, False, False]

    async def test_free_text(self) -> None:
        """A model with output `str` gets no schema, and any text is valid."""
        with ScriptedModel(["[1, it is"], profile=ModelProfile(output="tool")) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, output=str), "Say it.")

        assert (result.content, result.output) == ("[1, it is", "[1, it is")
        assert (model.requests[0].output, model.requests[0].tools) == (None, ())

    async def test_the_answer_beside_another_call(self) -> None:
        """An answer beside another tool call is not taken. The model gets the reason and answers again."""
        calls = [ToolCall("1", "final_answer", '{"value": 1}'), ToolCall("2", "echo", '{"text": "2"}')]
        steps: list[Any] = [calls, answered("tool", '{"value": 2}')]
        with ScriptedModel(steps, profile=ModelProfile(output="tool")) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, tools=[echo], output=int), "Count.")

        assert result.output == 2
        results = [message for message in result.messages if message.role == "tool"]
        assert ["Not taken" in message.text for message in results] == [True, False]

    async def test_a_tool_called_as_the_answer(self) -> None:
        """An agent's own tool `final_answer` stays usable."""

        @tool(inline=True)
        def final_answer(text: str) -> str:
            """Say it."""
            return text

        steps: list[Any] = [
            ToolCall("1", "final_answer", '{"text": "x"}'),
            ToolCall("2", "final_answer_", '{"value": 2}'),
        ]
        with ScriptedModel(steps, profile=ModelProfile(output="tool")) as model:
            async with Runtime() as rt:
                result = await rt.run(Agent(model, tools=[final_answer], output=int), "Count.")

        assert result.output == 2

    async def test_a_type_that_json_cannot_carry(self) -> None:
        """An output type unknown to JSON fails the run before the model is asked."""
        with ScriptedModel([]) as model:
            async with Runtime() as rt:
                with pytest.raises(UsageError, match="complex"):
                    await rt.run(Agent(model, output=complex), "Count.")

    async def test_what_is_no_type(self) -> None:
        """A value in place of a type is a usage error."""
        wrong: list[Any] = [[int], {"a": int}, 5]
        with ScriptedModel([]) as model:
            async with Runtime() as rt:
                for nonsense in wrong:
                    with pytest.raises(UsageError):
                        await rt.run(Agent(model, output=nonsense), "Count.")

    async def test_turns_end_a_run_that_is_never_right(self) -> None:
        """The limit of turns bounds attempts too, and the error has the fault of the last attempt."""
        with scripted("schema", '"a"', '"b"') as model:
            async with Runtime() as rt:
                agent = Agent(model, output=Output(int, attempts=9), limits=Limits(turns=2))
                with pytest.raises(LimitExceeded, match="turns") as caught:
                    await rt.run(agent, "Count.")

        assert "Expected `int`" in caught.value.hint


def positive(value: int) -> str | None:
    """Refuse a number of zero or less with a reason."""
    return None if value > 0 else "It must be above zero."


async def positive_later(value: int) -> str | None:
    """Refuse with a reason after a checkpoint."""
    await trio.lowlevel.checkpoint()
    return positive(value)


def positive_or_raise(value: int) -> None:
    """Refuse by raising."""
    if value <= 0:
        raise ValueError("It must be above zero.")


def positive_or_not(value: int) -> bool:
    """Refuse without a reason."""
    return value > 0


def positive_in(value: int, context: RunContext) -> str | None:
    """Refuse with a reason for the run's user."""
    return None if value > 0 else f"It must be above zero for {context.user}, in {context.agent}."


class Bound:
    """The check as a method and as a callable object."""

    async def method(self, value: int) -> str | None:
        """Refuse a number of zero or less."""
        return positive(value)

    def __call__(self, value: int) -> str | None:
        """Refuse a number of zero or less."""
        return positive(value)


class TestChecks:
    """Checks of valid answers."""

    @pytest.mark.parametrize(
        ("check", "reason"),
        [
            (positive, "It must be above zero"),
            (positive_later, "It must be above zero"),
            (positive_or_raise, "It must be above zero"),
            (positive_or_not, "positive_or_not refused it"),
            (positive_in, "It must be above zero for ann, in counter"),
            (Bound().method, "It must be above zero"),
            (Bound(), "It must be above zero"),
        ],
    )
    async def test_refuses(self, check: Any, reason: str) -> None:
        """The model gets the reason and answers again, and the first accepted answer is the output."""
        with scripted("schema", '{"value": 0}', '{"value": 4}') as model:
            async with Runtime() as rt:
                agent = Agent(model, "counter", output=Output(int, check=check))
                result = await rt.run(agent, "Count.", user="ann")

        assert result.output == 4
        assert reason in told(model.requests[1])

    async def test_refuses_to_the_end(self) -> None:
        """Attempts refused by type and by check count together."""
        with scripted("schema", '{"value": "x"}', '{"value": 0}') as model:
            async with Runtime() as rt:
                agent = Agent(model, output=Output(int, attempts=2, check=positive))
                with pytest.raises(OutputError, match="above zero"):
                    await rt.run(agent, "Count.")

    async def test_of_text(self) -> None:
        """Free text may be checked too."""
        with ScriptedModel(["Well, well.", "Yes."]) as model:
            async with Runtime() as rt:
                check = Output(str, check=lambda text: "One word." if " " in text else None)
                result = await rt.run(Agent(model, output=check), "Is it?")

        assert result.output == "Yes."

    async def test_fails(self) -> None:
        """A broken check fails the run by name, with the bug as the cause."""

        def broken(value: int) -> None:
            raise LookupError("nowhere")

        with scripted("schema", '{"value": 1}') as model:
            async with Runtime() as rt:
                with pytest.raises(HookError, match=r"check broken failed: .*nowhere") as caught:
                    await rt.run(Agent(model, output=Output(int, check=broken)), "Count.")

        assert isinstance(caught.value.__cause__, LookupError)
        assert caught.value.hook == "broken"
        assert caught.value.result is not None

    async def test_returns_nonsense(self) -> None:
        """A wrong return value of a check is an error with a hint."""
        with scripted("schema", '{"value": 1}') as model:
            async with Runtime() as rt:
                agent = Agent(model, output=Output(int, check=lambda value: value + 1))
                with pytest.raises(HookError, match="returned a int") as caught:
                    await rt.run(agent, "Count.")

        assert "text" in caught.value.hint

    async def test_ends_the_run_by_an_error_of_ours(self) -> None:
        """A check may end the run with an `AgnoError`."""

        def gone(value: int) -> None:
            raise NotFound("number", str(value), ["2"])

        with scripted("schema", '{"value": 1}') as model:
            async with Runtime() as rt:
                with pytest.raises(NotFound, match="unknown number '1'"):
                    await rt.run(Agent(model, output=Output(int, check=gone)), "Count.")

    async def test_is_cancelled_with_its_run(self, autojump_clock: trio.testing.MockClock) -> None:
        """The run's deadline bounds a waiting check."""

        async def waiting(value: int) -> None:
            await trio.sleep_forever()

        with scripted("schema", '{"value": 1}') as model:
            async with Runtime() as rt:
                agent = Agent(model, output=Output(int, check=waiting), limits=Limits(run_timeout=5))
                with pytest.raises(LimitExceeded, match="run"):
                    await rt.run(agent, "Count.")


class TestSharing:
    """Concurrent runs with an output type."""

    async def test_runs_of_one_agent_share_nothing(self) -> None:
        """Each run has its own attempts and output."""

        def answer(request: ModelRequest) -> ModelResponse:
            number = int(request.messages[0].text)
            right = len(request.messages) > number
            return answered("schema", f'{{"value": {number if right else "null"}}}')

        outputs: dict[int, Any] = {}
        async with Runtime() as rt:
            agent = Agent(ScriptedModel(answer), output=Output(int, attempts=4))

            async def ask(number: int) -> None:
                outputs[number] = (await rt.run(agent, str(number))).output

            async with trio.open_nursery() as nursery:
                for number in range(1, 7):
                    nursery.start_soon(ask, number)

        assert outputs == {number: number for number in range(1, 7)}
