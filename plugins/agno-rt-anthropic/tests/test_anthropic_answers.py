"""Answers in the messages format: whole bodies and streams, cut in every place.

References: Anthropic's API reference, "Create a Message", and the guides that the tests name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from agno_rt_anthropic.answers import MessagesFormat, continue_request, join_responses, read_error
from agno_rt_anthropic.wire import Dialect, request_bytes

from agno_rt import Message, ModelRequest, ToolCall
from agno_rt.errors import ModelError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Usage
from agno_rt.models import ModelResponse
from agno_rt.wire.answers import AnswerStream, read_answer
from agno_rt.wire.refusals import Peer
from tests.servers.messages_server import USAGE, Turn, event, events

PEER = Peer(name="anthropic:m", provider="anthropic", model="m", url="http://host/v1/messages", read_error=read_error)
FORMAT = MessagesFormat(model="m")
DIALECT = Dialect(model="m", cache="off")


def text(words: str, **more: Any) -> dict[str, Any]:
    """Make a block of text."""
    return {"type": "text", "text": words, **more}


def thinking(words: str, signature: str = "c2ln") -> dict[str, Any]:
    """Make a block of thinking."""
    return {"type": "thinking", "thinking": words, "signature": signature}


def use(id_: str, name: str, **arguments: Any) -> dict[str, Any]:
    """Make a block with a call."""
    return {"type": "tool_use", "id": id_, "name": name, "input": arguments}


def body(turn: Turn, **more: Any) -> bytes:
    """Return a turn as a whole body."""
    value: dict[str, Any] = {
        "type": "message",
        "role": "assistant",
        "content": turn.blocks,
        "stop_reason": turn.stop_reason,
    }
    value |= {"usage": turn.usage, "stop_details": turn.stop_details, **more}
    return json.dumps(value, ensure_ascii=False).encode()


def whole(turn: Turn) -> ModelResponse:
    """Read a turn from a whole body."""
    return read_answer(body(turn), PEER, FORMAT)


def feed(data: bytes, size: int = 1_000_000) -> tuple[ModelResponse, list[Delta]]:
    """Read a stream in chunks of `size` bytes."""
    stream = AnswerStream(PEER, FORMAT)
    got: list[Delta] = []
    for at in range(0, len(data), size):
        got += stream.feed(data[at : at + size])
    got += stream.end()
    return stream.response(), got


def streamed(turn: Turn, size: int = 1_000_000) -> tuple[ModelResponse, list[Delta]]:
    """Read a turn from a stream in chunks of `size` bytes."""
    return feed(b"".join(map(event, events(turn))), size)


def joined(got: list[Delta]) -> ModelResponse:
    """Add deltas up to a response."""
    content = "".join(delta.text for delta in got if isinstance(delta, TextDelta))
    reasoning = "".join(delta.text for delta in got if isinstance(delta, ReasoningDelta))
    calls: dict[int, ToolCall] = {}
    for delta in got:
        if isinstance(delta, ToolCallDelta):
            call = calls.setdefault(delta.index, ToolCall("", "", ""))
            call.id, call.name = call.id + delta.id, call.name + delta.name
            call.arguments += delta.arguments
    return ModelResponse(content, tuple(calls[index] for index in sorted(calls)), reasoning)


TURNS = {
    "text": Turn((text("Hé\u2028llo, 🌊!"),)),
    "calls": Turn((text("Let me see."), use("a", "weather", city="Séoul"), use("b", "clock")), "tool_use"),
    "call without arguments": Turn((use("a", "weather"),), "tool_use"),
    "thoughts": Turn(
        (
            thinking("First, é.", "c2lnbmF0dXJl+/=="),
            text("Let me see."),
            use("a", "weather", city="Seoul"),
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            thinking("Second.", "second"),
            text("And now."),
            use("b", "weather", city="Paris"),
        ),
        "tool_use",
    ),
    "hidden thoughts": Turn((thinking("", "only a signature"), text("Four."))),
    "compaction": Turn(({"type": "compaction", "content": "Before: é."}, text("Four."))),
    "signed compaction": Turn(
        (
            {"type": "compaction", "content": "Before.", "encrypted_content": "b3BhcXVl", "signature": "c2ln"},
            text("Four."),
        )
    ),
    "search": Turn(
        (
            text("I search."),
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "rivers"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result"}]},
            text("The Nile", citations=[{"type": "web_search_result_location", "url": "https://example.com"}]),
            text(" is long."),
        )
    ),
}


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
class TestBothWays:
    """Each answer, whole and streamed."""

    def test_the_stream_adds_up(self, turn: Turn) -> None:
        """The deltas add up to the response, and the response is the same as from a whole body."""
        response, got = streamed(turn)
        one = whole(turn)
        assert (response.content, response.reasoning) == (one.content, one.reasoning)
        assert [(call.id, call.name) for call in response.tool_calls] == [(c.id, c.name) for c in one.tool_calls]
        assert [json.loads(call.arguments) for call in response.tool_calls] == [
            json.loads(call.arguments) for call in one.tool_calls
        ]
        assert (response.usage, response.finish_reason) == (one.usage, one.finish_reason)
        sums = joined(got)
        assert (sums.content, sums.reasoning) == (response.content, response.reasoning)
        assert sums.tool_calls == response.tool_calls

    def test_cut_anywhere(self, turn: Turn) -> None:
        """Chunks of a few bytes, within characters too, give the same."""
        assert streamed(turn, 3) == streamed(turn, 1) == streamed(turn)

    def test_goes_back_as_it_came(self, turn: Turn) -> None:
        """The next request has the same blocks in the same order, from a stream and from a whole body."""
        for response in (streamed(turn)[0], whole(turn)):
            answer = Message("assistant", response.content, tuple(response.tool_calls), native=response.native)
            sent = msgspec.json.decode(request_bytes(ModelRequest((answer,)), DIALECT, stream=False))
            assert sent["messages"][0]["content"] == [dict(block) for block in turn.blocks]


class TestStopReasons:
    """Each stop reason: "Stop reasons and fallback"."""

    @pytest.mark.parametrize(
        ("reason", "finish", "raw"),
        [
            ("end_turn", "stop", ""),
            ("stop_sequence", "stop", "stop_sequence"),
            ("max_tokens", "length", ""),
            ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
            ("pause_turn", "length", "pause_turn"),
            ("compaction", "length", "compaction"),
            ("refusal", "content_filter", "refusal"),
            ("something_new", "stop", "something_new"),
            ("tool_use", "stop", "tool_use"),
        ],
    )
    def test_of_a_text(self, reason: str, finish: str, raw: str) -> None:
        """The finish reason is the nearest; the service's word is kept where it says more."""
        turn = Turn((text("So"),), reason)
        for response in (whole(turn), streamed(turn)[0]):
            assert (response.finish_reason, response.raw_finish_reason) == (finish, raw)

    def test_of_calls(self) -> None:
        """A call is a call, whatever the reason says."""
        for reason in ("tool_use", "end_turn"):
            assert whole(Turn((use("a", "weather"),), reason)).finish_reason == "tool_calls"

    def test_a_refusal_is_explained(self) -> None:
        """A refusal without a text has the service's explanation, also in the stream."""
        turn = Turn((), "refusal", stop_details={"type": "refusal", "category": "bio", "explanation": "Not this."})
        response, got = streamed(turn)
        assert response.content == whole(turn).content == "Not this."
        assert got == [TextDelta("Not this.")]


class TestUsage:
    """Counts: "Create a Message", `usage`."""

    def test_cached_input_counts_as_input(self) -> None:
        """The format counts cached input apart; the whole input includes it."""
        counts = {"input_tokens": 3, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 100}
        details = {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 40}}
        usage = whole(Turn((text("."),), usage={**counts, **details})).usage
        assert usage == Usage(123, 50, 40, 20, 0.0, 100)

    def test_compactions_are_paid_for(self) -> None:
        """The tokens of a compaction stand beside the counts of the answer, and count; those of its rounds do not."""
        rounds = [
            {"type": "compaction", "input_tokens": 180, "output_tokens": 35, "cache_read_input_tokens": 20},
            {"type": "message", "input_tokens": 23, "output_tokens": 10},
            "odd",
        ]
        turn = Turn((text("."),), usage={"input_tokens": 23, "output_tokens": 10, "iterations": rounds})
        for response in (whole(turn), streamed(turn)[0]):
            assert response.usage == Usage(223, 45, 0, 20)

    def test_the_split_of_the_last_event(self) -> None:
        """The parts of the input come from one event: the start said 8834 in all, the end 18 and 8831 cached."""
        turn = Turn(
            (text("."),),
            usage={"input_tokens": 18, "cache_read_input_tokens": 8_831, "output_tokens": 7},
            start_usage={"input_tokens": 8_834},
        )
        assert streamed(turn)[0].usage == Usage(8_849, 7, 0, 8_831)

    def test_counts_of_the_start_alone(self) -> None:
        """An end with the output alone keeps the input of the start."""
        turn = Turn((text("."),), usage={"output_tokens": 7}, start_usage={"input_tokens": 5})
        assert streamed(turn)[0].usage == Usage(5, 7)

    @pytest.mark.parametrize("usage", [None, {}, {"input_tokens": "many", "output_tokens": -1}])
    def test_unusable_counts(self, usage: Any) -> None:
        """Counts that are missing or impossible are 0."""
        assert read_answer(body(Turn((text("."),)), usage=usage), PEER, FORMAT).usage == Usage()


class TestStreams:
    """Streams as the guide "Streaming messages" shows them, and worse ones."""

    def test_new_events_are_passed_over(self) -> None:
        """The versioning policy allows new events and new pieces; an answer with an unknown piece is not sealed."""
        values = list(events(Turn((thinking("Hm."), text("So.")))))
        values.insert(2, {"type": "something_new", "index": 0})
        assert feed(b"".join(map(event, values)))[0].native is not None
        values.insert(4, {"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta", "x": 1}})
        response = feed(b"".join(map(event, values)))[0]
        assert response.content == "So."
        assert response.native is None

    def test_comments_and_line_ends(self) -> None:
        """Comments, CRLF and a U+2028 within a line do not end an event."""
        data = b": hello\r\n" + b"".join(map(event, events(TURNS["text"]))).replace(b"\n", b"\r\n")
        assert feed(data)[0].content == "Hé\u2028llo, 🌊!"

    def test_an_error_event(self) -> None:
        """An error in the middle has the status of its kind, and is retryable where the kind passes."""
        values = list(events(TURNS["text"]))[:5]
        fault = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_9"}
        with pytest.raises(ModelError, match="Overloaded") as caught:
            feed(b"".join(map(event, [*values, fault])))
        assert (caught.value.status, caught.value.retryable) == (529, True)
        fault = {"type": "error", "error": {"type": "invalid_request_error", "message": "Too long"}}
        with pytest.raises(ModelError) as caught:
            feed(b"".join(map(event, [*values, fault])))
        assert (caught.value.status, caught.value.retryable) == (400, False)

    @pytest.mark.parametrize("kept", range(len(list(events(TURNS["calls"]))) - 2))
    def test_broken_off(self, kept: int) -> None:
        """A stream that ends before the stop reason is an error worth a retry: no half call gets out."""
        with pytest.raises(ModelError, match=r"broke off|without any answer") as caught:
            feed(b"".join(map(event, list(events(TURNS["calls"]))[:kept])))
        assert caught.value.retryable

    def test_without_the_last_event(self) -> None:
        """After the stop reason the answer is complete."""
        assert feed(b"".join(map(event, list(events(TURNS["text"]))[:-1])))[0].finish_reason == "stop"

    @pytest.mark.parametrize(
        "value",
        [
            {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "?"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 7}},
            {"type": "content_block_delta", "index": 0},
            {"type": "content_block_start", "index": "a", "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "a"}},
            {"type": "message_start"},
        ],
    )
    def test_unreadable_events(self, value: Mapping[str, Any]) -> None:
        """A known event without its fields is an error that names the event."""
        with pytest.raises(ModelError, match=f"not part of a message: the event '{value['type']}'"):
            feed(b"".join(map(event, [*list(events(TURNS["text"]))[:2], value])))

    def test_input_in_the_start(self) -> None:
        """Some servers send the whole input with the start of the block."""
        values = list(events(Turn((use("a", "weather"),), "tool_use")))
        values[1]["content_block"]["input"] = {"city": "Seoul"}
        response, got = feed(b"".join(map(event, values)))
        assert json.loads(response.tool_calls[0].arguments) == {"city": "Seoul"}
        assert joined(got).tool_calls == response.tool_calls

    def test_broken_input(self) -> None:
        """Arguments cut by the limit of tokens reach the run as they are, and no later request holds them."""
        values = list(events(Turn((thinking("Hm."), use("a", "weather", city="Seoul")), "max_tokens")))
        pieces = [value for value in values if value.get("delta", {}).get("type") == "input_json_delta"]
        values.remove(pieces[-1])
        response = feed(b"".join(map(event, values)))[0]
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(response.tool_calls[0].arguments)
        assert response.native is None
        assert response.finish_reason == "length"

    def test_a_whole_body_in_place_of_a_stream(self) -> None:
        """A message in JSON is read, and yields its deltas at the end."""
        response, got = feed(body(TURNS["calls"]))
        assert joined(got).tool_calls == response.tool_calls
        assert response.content == "Let me see."


class TestWholeBodies:
    """Bodies without a stream."""

    @pytest.mark.parametrize("data", [b"[]", b'"hello"', b"{}", b'{"content": 7}', b'{"content": [{"text": "?"}]}'])
    def test_anything_but_a_message(self, data: bytes) -> None:
        """Other JSON is an error of the model."""
        with pytest.raises(ModelError, match="something other than a message"):
            read_answer(data, PEER, FORMAT)

    def test_a_web_page(self) -> None:
        """A page of a proxy is named with its title."""
        with pytest.raises(ModelError, match="web page"):
            read_answer(b"<html><title>Sorry</title></html>", PEER, FORMAT, "text/html")

    def test_an_error_with_status_200(self) -> None:
        """An error body is an error in any case."""
        with pytest.raises(ModelError, match="Busy") as caught:
            read_answer(b'{"type": "error", "error": {"type": "api_error", "message": "Busy"}}', PEER, FORMAT)
        assert (caught.value.status, caught.value.retryable) == (500, True)

    def test_a_stream_nobody_asked_for(self) -> None:
        """Some servers always send events."""
        assert read_answer(b"".join(map(event, events(TURNS["text"]))), PEER, FORMAT).content == "Hé\u2028llo, 🌊!"


def test_names_are_mapped_back() -> None:
    """A tool that was sent under another name is called by its own."""
    format_ = MessagesFormat(names={"time_now_1": "time now!"})
    response = read_answer(body(Turn((use("a", "time_now_1"),), "tool_use")), PEER, format_)
    assert [call.name for call in response.tool_calls] == ["time now!"]


def test_a_code_of_an_error() -> None:
    """The stable code of an error stands behind its words."""
    error = {"type": "invalid_request_error", "message": "Too long", "details": {"error_code": "prompt_too_long"}}
    assert read_error(error) == ("Too long (prompt_too_long)", "invalid_request_error")
    assert read_error("?") == ("", "")


def test_a_paused_answer_goes_on() -> None:
    """The continuation has the blocks so far at its end; the joined answer has the blocks and counts of both."""
    paused = whole(Turn(TURNS["search"].blocks[:3], "pause_turn"))
    request = continue_request(ModelRequest((Message("user", "?"),)), paused)
    sent = msgspec.json.decode(request_bytes(request, DIALECT, stream=False))
    assert sent["messages"][1]["content"] == list(TURNS["search"].blocks[:3])
    format_ = MessagesFormat(model="m", names={"time_now_1": "time now!"})
    call = use("a", "time_now_1")
    rest = read_answer(body(Turn((text("The Nile."), call), "tool_use")), PEER, format_)
    response = join_responses(paused, rest, format_)
    assert response.content == "I search.The Nile."
    assert response.finish_reason == "tool_calls"
    assert response.usage == Usage(2 * USAGE["input_tokens"], 2 * USAGE["output_tokens"])
    answer = Message("assistant", response.content, tuple(response.tool_calls), native=response.native)
    sent = msgspec.json.decode(request_bytes(ModelRequest((answer,)), DIALECT, stream=False))
    assert sent["messages"][0]["content"] == [*TURNS["search"].blocks[:3], text("The Nile."), call]
