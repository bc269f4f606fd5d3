"""The wire contract catches faults: for each fault of a plugin, a test of the contract fails."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import attrs
import pytest
import trio
from agno_rt_openai import OpenAIModel, Server

from agno_rt.errors import ModelError
from agno_rt.events import TextDelta
from agno_rt.limits import LimitStatistics
from agno_rt.messages import Media, Message
from agno_rt.models import NO_USAGE, Emit, ModelRequest, ModelResponse
from agno_rt.testing import ChatFormat, ModelWireContract, WireAnswer
from agno_rt.testing.wire.contract import CALLS
from agno_rt.wire.native import native_for, seal_native

Fault: TypeAlias = Callable[[OpenAIModel, ModelRequest, Emit | None], Awaitable[ModelResponse]]


class Good(ModelWireContract):
    """The contract of a good model."""

    wire = ChatFormat()

    def make_model(self, base_url: str) -> Any:
        """Make a model that asks the server."""
        return OpenAIModel("m", base_url=f"{base_url}/v1", api_key=self.key)

    def make_impatient(self, base_url: str) -> Any:
        """Make a model that gives up after a moment."""
        return OpenAIModel("m", Server(base_url=f"{base_url}/v1", api_key=self.key, read_timeout=30))


class Faulty:
    """A good model with one fault."""

    def __init__(self, model: OpenAIModel, fault: Fault) -> None:
        self.name, self.profile, self.aclose = model.name, model.profile, model.aclose
        self.statistics = model.statistics
        self._model, self._fault = model, fault

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer with the fault."""
        return await self._fault(self._model, request, emit)


def change_answer(**fields: Any) -> Fault:
    """Return the fault of an answer with other fields."""

    async def fault(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        return attrs.evolve(await model.respond(request, emit), **fields)

    return fault


def change_request(change: Callable[[ModelRequest], ModelRequest]) -> Fault:
    """Return the fault of a request that is not sent as it is."""

    async def fault(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        return await model.respond(change(request), emit)

    return fault


def change_error(**fields: Any) -> Fault:
    """Return the fault of an error with other attributes."""

    async def fault(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        try:
            return await model.respond(request, emit)
        except ModelError as exc:
            for name, value in fields.items():
                setattr(exc, name, value)
            raise

    return fault


async def swallow_errors(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
    """Take a failure for an empty answer."""
    try:
        return await model.respond(request, emit)
    except ModelError:
        return ModelResponse()


async def stream_nothing(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
    """Ask without streaming, and emit the text at once."""
    response = await model.respond(request)
    if emit is not None:
        await emit(TextDelta(response.content))
    return response


async def merge_calls(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
    """Return the last call of each tool alone."""
    response = await model.respond(request, emit)
    by_name = {call.name: call for call in response.tool_calls}
    return attrs.evolve(response, tool_calls=tuple(by_name.values()))


async def mix_reasoning(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
    """Put the reasoning into the text."""
    response = await model.respond(request, emit)
    return attrs.evolve(response, content=response.reasoning + response.content)


async def lose_patience(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
    """Give up at the first wait."""
    with trio.move_on_after(0):
        return await model.respond(request, emit)
    raise ModelError("too slow", provider="m")


async def swallow_readers_error(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
    """Take an exception of the reader for an end."""
    try:
        return await model.respond(request, emit)
    except ZeroDivisionError:
        return ModelResponse()


def put_turn_first(request: ModelRequest) -> ModelRequest:
    """Tell the model the turn in the first message."""
    first, *rest = request.messages
    return attrs.evolve(request, messages=(Message("system", f"Turn {request.turn}. {first.text}"), *rest))


def turn_tools(request: ModelRequest) -> ModelRequest:
    """Send the tools in another order in each turn."""
    tools = list(request.tools)
    return attrs.evolve(request, tools=tools[:: 1 if request.turn % 2 else -1])


def drop_images(request: ModelRequest) -> ModelRequest:
    """Send the texts alone."""
    return attrs.evolve(request, messages=tuple(_drop_media(message) for message in request.messages))


def _drop_media(message: Message) -> Message:
    content = message.content
    if isinstance(content, str):
        return message
    return attrs.evolve(message, content=tuple(part for part in content if not isinstance(part, Media)))


FAULTS: list[tuple[str, Fault, tuple[Any, ...]]] = [
    ("answers_whole_and_streamed_alike", change_answer(request_id=""), ()),
    ("answers_whole_and_streamed_alike", stream_nothing, ()),
    ("reads_tool_calls", merge_calls, (CALLS[:2],)),
    ("tells_why_an_answer_ended", change_answer(finish_reason="stop"), ()),
    ("counts_tokens", change_answer(usage=NO_USAGE), ()),
    ("keeps_reasoning_apart", mix_reasoning, ()),
    ("sends_the_conversation", change_request(lambda each: attrs.evolve(each, messages=each.messages[:-1])), ()),
    ("sends_the_conversation", change_request(lambda each: attrs.evolve(each, tools=())), ()),
    ("sends_the_tool_choice", change_request(lambda each: attrs.evolve(each, tool_choice="auto")), ()),
    ("sends_the_output_schema", change_request(lambda each: attrs.evolve(each, output=None)), ()),
    ("sends_images", change_request(drop_images), ()),
    ("requests_of_a_session_begin_alike", change_request(put_turn_first), (1,)),
    ("requests_of_a_session_begin_alike", change_request(turn_tools), (12,)),
    ("maps_refusals", change_error(retryable=True), ()),
    ("maps_refusals", change_error(status=500), ()),
    ("maps_refusals", change_error(provider=""), ()),
    ("maps_refusals", change_error(request_id=""), ()),
    ("reads_how_long_to_wait", change_error(retry_after=None), ()),
    ("never_shows_the_key", change_error(hint=f"The key is {ModelWireContract.key}."), ()),
    ("an_error_within_a_stream_is_an_error", swallow_errors, ()),
    ("an_error_within_a_stream_is_an_error", change_error(retryable=False), ()),
    ("a_broken_body_is_an_error", swallow_errors, (b"[]",)),
    ("a_truncated_stream_is_an_error", swallow_errors, ("cut",)),
    ("a_truncated_body_is_an_error", swallow_errors, ("reset",)),
    ("waits_for_a_slow_first_byte", lose_patience, ()),
    ("gives_up_on_a_silent_server", change_error(retryable=False), ()),
    ("a_reader_that_fails_leaves_no_connection", swallow_readers_error, ()),
]


@pytest.mark.parametrize(("test", "fault", "given"), FAULTS)
def test_the_contract_catches(test: str, fault: Fault, given: tuple[Any, ...]) -> None:
    """Each test of the contract fails for a plugin with the fault."""

    class Contract(Good):
        def make_model(self, base_url: str) -> Any:
            return Faulty(super().make_model(base_url), fault)

        def make_impatient(self, base_url: str) -> Any:
            return Faulty(super().make_impatient(base_url), fault)

    with pytest.raises((AssertionError, ModelError, pytest.fail.Exception)):
        getattr(Contract(), f"test_{test}")(*given)


@pytest.mark.parametrize("test", ["can_be_cancelled_anywhere", "a_crowd_of_failures_leaves_no_connection"])
def test_the_contract_catches_lost_connections(test: str) -> None:
    """A connection that stays in use after a failure is found."""

    class Leaking(Faulty):
        used = 0

        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            self.used += 1
            response = await super().respond(request, emit)
            self.used -= 1  # not reached after a failure
            return response

    class Contract(Good):
        def make_model(self, base_url: str) -> Any:
            model = Leaking(super().make_model(base_url), OpenAIModel.respond)
            model.statistics = lambda: (LimitStatistics("connections", 100, model.used, 0),)
            return model

    with pytest.raises(AssertionError):
        getattr(Contract(), f"test_{test}")()


class SigningFormat(ChatFormat):
    """Chat completions of a server that puts the signatures behind the reasoning."""

    def render_answer(self, answer: WireAnswer) -> bytes:
        """Return the completion, with the signatures in the reasoning."""
        return super().render_answer(_join_signatures(answer))

    def render_stream(self, answer: WireAnswer) -> Sequence[bytes]:
        """Return the chunks, with the signatures in the reasoning."""
        return super().render_stream(_join_signatures(answer))


def _join_signatures(answer: WireAnswer) -> WireAnswer:
    signed = tuple(attrs.evolve(each, text=f"{each.text}|{each.signature}|") for each in answer.thoughts)
    return attrs.evolve(answer, thoughts=signed)


def send_signatures(*, careful: bool) -> Fault:
    """Return a model's way to keep signatures; a careless one sends them with a changed message, too."""

    async def respond(model: OpenAIModel, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        kept: list[str] = []
        for message in request.messages:
            data = message.native.data if message.native is not None and not careful else native_for(message, "m")
            kept += json.loads(data or b"[]")
        settings = attrs.evolve(request.settings, extra={"signatures": kept})
        response = await model.respond(attrs.evolve(request, settings=settings), emit)
        data = json.dumps(response.reasoning.split("|")[1::2]).encode()
        native = seal_native("m", data, response.content, response.tool_calls)
        return attrs.evolve(response, native=native, reasoning="")

    return respond


@pytest.mark.parametrize("careful", [True, False])
def test_the_contract_follows_signatures(careful: bool) -> None:
    """A plugin that sends signatures back passes, and a plugin that sends them with a changed message fails."""

    class Contract(Good):
        wire = SigningFormat()
        has_signatures = True

        def make_model(self, base_url: str) -> Any:
            return Faulty(super().make_model(base_url), send_signatures(careful=careful))

    if careful:
        Contract().test_sends_signatures_back()
    else:
        with pytest.raises(AssertionError):
            Contract().test_sends_signatures_back()


def test_a_format_without_a_feature_is_excused() -> None:
    """The flags excuse a plugin from what its format does not have."""

    class Contract(Good):
        has_thoughts = sends_choice = sends_schema = False

        def make_model(self, base_url: str) -> Any:
            raise AssertionError("not asked for")

    contract = Contract()
    contract.test_keeps_reasoning_apart()
    contract.test_sends_the_tool_choice()
    contract.test_sends_the_output_schema()
    contract.test_sends_signatures_back()
