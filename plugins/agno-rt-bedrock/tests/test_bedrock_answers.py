"""Answers of Converse, whole and streamed, and beside botocore's own reading of the same bytes.

Reference: Amazon Bedrock's API reference, "Converse", "ConverseStream" and "ReasoningContentBlock".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import botocore.eventstream
import botocore.loaders
import botocore.model
import botocore.parsers
import pytest
from agno_rt_bedrock.answers import ConverseFormat, read_error
from agno_rt_bedrock.event_stream import StreamValues
from agno_rt_bedrock.wire import Dialect, request_bytes

from agno_rt import Message, ModelRequest
from agno_rt.errors import ModelError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import ToolCall, Usage
from agno_rt.models import ModelResponse
from agno_rt.wire.answers import AnswerStream, read_answer
from agno_rt.wire.refusals import Peer
from tests.servers.converse import event, stream_events, whole_body

PEER = Peer(name="bedrock:m", provider="bedrock", model="m", url="http://127.0.0.1", read_error=read_error)
FORMAT = ConverseFormat(model="m")
SERVICE = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2"))
CALL = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Seoul"}}}
REDACTED = {"reasoningContent": {"redactedContent": base64.b64encode(b"\xff\0hidden").decode()}}


def thought(text: str, signature: str = "") -> dict[str, Any]:
    """Return a block of thinking."""
    signed = {"signature": signature} if signature else {}
    return {"reasoningContent": {"reasoningText": {"text": text, **signed}}}


def read(blocks: Sequence[Any], reason: str = "end_turn", usage: Any = None) -> ModelResponse:
    """Return the response in a whole answer."""
    return read_answer(whole_body(blocks, reason, usage), PEER, FORMAT)


def read_events(events: Sequence[bytes]) -> tuple[ModelResponse, list[Delta]]:
    """Return the response in a stream, and its deltas."""
    stream = AnswerStream(PEER, FORMAT, StreamValues(PEER))
    deltas = [delta for data in events for delta in stream.feed(data)]
    deltas += stream.end()
    return stream.response(), deltas


def read_both(blocks: Sequence[Any], reason: str = "end_turn") -> ModelResponse:
    """Return the response in an answer, which is the same whole and streamed."""
    whole = read(blocks, reason)
    streamed, deltas = read_events(list(stream_events(blocks, reason)))
    assert attrs.evolve(streamed, native=None) == attrs.evolve(whole, native=None)
    assert sent_back(streamed) == sent_back(whole)
    assert "".join(each.text for each in deltas if isinstance(each, TextDelta)) == whole.content
    assert "".join(each.text for each in deltas if isinstance(each, ReasoningDelta)) == whole.reasoning
    for at, call in enumerate(whole.tool_calls):
        pieces = [each for each in deltas if isinstance(each, ToolCallDelta) and each.index == at]
        assert json.loads("".join(each.arguments for each in pieces)) == json.loads(call.arguments)
    return streamed


def sent_back(response: ModelResponse, model: str = "m", **changes: Any) -> Any:
    """Return the blocks of the answer in the next request."""
    calls = tuple(response.tool_calls)
    said = Message("assistant", response.content, calls, None, None, response.reasoning, response.native)
    request = ModelRequest((Message("user", "Q"), attrs.evolve(said, **changes), Message("user", "Go on.")))
    body = json.loads(request_bytes(request, Dialect(model=model), stream=False))
    return body["messages"][1]["content"]


class TestBotocore:
    """The bodies of these tests are the service's, as botocore reads them."""

    BLOCKS = (thought("Hm.", "sig"), {"text": "Sun in Seoul, 맑음."}, CALL)

    def test_whole(self) -> None:
        """A whole body has the same text, call and counts for both."""
        body = whole_body(self.BLOCKS, "tool_use")
        parser = botocore.parsers.create_parser("rest-json")
        shape = SERVICE.operation_model("Converse").output_shape
        theirs = parser.parse({"status_code": 200, "headers": {}, "body": body, "context": {}}, shape)
        ours = read(self.BLOCKS, "tool_use")
        [reasoning, text, call] = theirs["output"]["message"]["content"]
        assert reasoning["reasoningContent"]["reasoningText"] == {"text": ours.reasoning, "signature": "sig"}
        assert text["text"] == ours.content
        assert call["toolUse"]["input"] == json.loads(ours.tool_calls[0].arguments)
        assert theirs["usage"]["inputTokens"] == ours.usage.input_tokens

    def test_stream(self) -> None:
        """A stream has the same pieces for both."""
        events = list(stream_events(self.BLOCKS, "tool_use"))
        shape = SERVICE.operation_model("ConverseStream").output_shape.members["stream"]
        parser = botocore.parsers.create_parser("rest-json")._event_stream_parser
        theirs = list(botocore.eventstream.EventStream(Raw(events), shape, parser, "ConverseStream"))
        ours, deltas = read_events(events)
        pieces = [each["contentBlockDelta"]["delta"] for each in theirs if "contentBlockDelta" in each]
        assert [each["text"] for each in pieces if "text" in each] == [
            each.text for each in deltas if isinstance(each, TextDelta)
        ]
        given = "".join(each["toolUse"]["input"] for each in pieces if "toolUse" in each)
        assert given == ours.tool_calls[0].arguments
        assert theirs[-1]["metadata"]["usage"]["outputTokens"] == ours.usage.output_tokens


class Raw:
    """A body as botocore wants it."""

    def __init__(self, data: Sequence[bytes]) -> None:
        self.data = data

    def stream(self) -> Iterator[bytes]:
        """Yield the pieces."""
        yield from self.data

    def close(self) -> None:
        """Close nothing."""


class TestReading:
    """Texts, thinking, calls, reasons and counts."""

    def test_plain(self) -> None:
        """A plain answer has a text, and no form of its own to keep."""
        response = read_both([{"text": "Hello, you."}])
        assert (response.content, response.finish_reason, response.native) == ("Hello, you.", "stop", None)
        assert response.usage == Usage(12, 5)

    def test_calls(self) -> None:
        """Calls have their arguments; a call without any has an empty object."""
        empty = {"toolUse": {"toolUseId": "t2", "name": "clock", "input": {}}}
        response = read_both([{"text": "I look."}, CALL, empty], "tool_use")
        assert [(call.id, call.name) for call in response.tool_calls] == [("t1", "weather"), ("t2", "clock")]
        assert [json.loads(call.arguments) for call in response.tool_calls] == [{"city": "Seoul"}, {}]
        assert response.native is None

    def test_names_that_were_replaced(self) -> None:
        """A tool whose name cannot be sent comes back under its own name."""
        format_ = ConverseFormat(model="m", names={"weather": "the weather"})
        response = read_answer(whole_body([CALL], "tool_use"), PEER, format_)
        assert response.tool_calls[0].name == "the weather"

    @pytest.mark.parametrize(
        ("word", "reason", "raw"),
        [
            ("end_turn", "stop", ""),
            ("stop_sequence", "stop", "stop_sequence"),
            ("max_tokens", "length", ""),
            ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
            ("guardrail_intervened", "content_filter", "guardrail_intervened"),
            ("content_filtered", "content_filter", "content_filtered"),
            ("something_new", "stop", "something_new"),
            ("tool_use", "stop", "tool_use"),
        ],
    )
    def test_reasons(self, word: str, reason: str, raw: str) -> None:
        """Each stop reason has its finish reason, and its word where that says more."""
        response = read_both([{"text": "Well."}], word)
        assert (response.finish_reason, response.raw_finish_reason) == (reason, raw)

    def test_counts(self) -> None:
        """The input includes what was read from the cache and written to it; odd counts are none."""
        counts = {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20}
        assert read([{"text": "A"}], usage=counts).usage == Usage(130, 5, cached_tokens=100, cache_write_tokens=20)
        assert read([{"text": "A"}], usage={"inputTokens": None, "outputTokens": -1}).usage == Usage()

    def test_texts_around_a_call_are_paragraphs(self) -> None:
        """The texts of an answer with a call between them do not run into each other."""
        assert read_both([{"text": "One."}, CALL, {"text": "Two."}], "tool_use").content == "One.\n\nTwo."

    def test_citations(self) -> None:
        """The text of a citation is part of the answer."""
        cited = {"citationsContent": {"content": [{"text": "Blue."}], "citations": [{"title": "Sky"}]}}
        response = read([{"text": "It is: "}, cited])
        assert response.content == "It is: Blue."
        assert sent_back(response) == [{"text": "It is: "}, {"text": "Blue."}]

    def test_unknown_events_and_blocks(self) -> None:
        """Parts that are not in the reference yet are passed over."""
        [start, *rest] = stream_events([{"text": "Hi."}])
        news = [
            event("somethingNew", {"a": 1}),
            event("contentBlockDelta", {"contentBlockIndex": 7, "delta": {"x": {}}}),
        ]
        assert read_events([start, *news, *rest])[0].content == "Hi."
        assert read([{"text": "Hi."}, {"somethingNew": {}}]).content == "Hi."
        server_call = {"toolUse": {**CALL["toolUse"], "type": "server_tool_use"}}
        assert read([server_call, {"text": "Hi."}]).tool_calls == ()

    def test_half_characters(self) -> None:
        """Half a surrogate pair is replaced."""
        body = whole_body([{"text": "a?"}]).replace(b"a?", b"a\\ud800")
        assert read_answer(body, PEER, FORMAT).content == "a\ufffd"


class TestThinking:
    """Reasoning and its signatures."""

    def test_signed_thinking_goes_back(self) -> None:
        """Thoughts, redacted thoughts, texts and calls go back in order, byte for byte."""
        blocks = [thought("Hm.", "s1"), REDACTED, {"text": "So."}, thought("Then.", "s2"), CALL]
        response = read_both(blocks, "tool_use")
        assert (response.reasoning, response.content) == ("Hm.\n\nThen.", "So.")
        assert sent_back(response) == blocks

    def test_redacted_pieces_are_joined(self) -> None:
        """Redacted thinking that comes in several pieces is one block, whose bytes are joined."""
        parts = [base64.b64encode(part).decode() for part in (b"one", b"two!")]
        deltas = [
            event(
                "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"redactedContent": each}}}
            )
            for each in parts
        ]
        [start, *rest] = stream_events([])
        response = read_events([start, *deltas, *rest])[0]
        [block] = sent_back(response)
        assert base64.b64decode(block["reasoningContent"]["redactedContent"]) == b"onetwo!"

    def test_changed_answers_and_other_models(self) -> None:
        """A changed answer, and one of another model, go out as plain text and calls."""
        response = read_both([thought("Hm.", "s1"), {"text": "So."}, CALL], "tool_use")
        plain = [{"text": "So."}, CALL]
        assert sent_back(response, model="other") == plain
        assert sent_back(response, content="Other.") == [{"text": "Other."}, CALL]
        calls = (ToolCall("t1", "weather", '{"city": "Oslo"}'),)
        assert sent_back(response, tool_calls=calls)[1]["toolUse"]["input"] == {"city": "Oslo"}

    def test_unsigned_thinking_stays(self) -> None:
        """Thinking without a signature is in the reasoning, and is not sent back."""
        response = read_both([thought("Hm."), {"text": "So."}])
        assert (response.reasoning, response.native) == ("Hm.", None)
        assert sent_back(response) == [{"text": "So."}]

    def test_the_order_of_texts_and_calls(self) -> None:
        """A text behind a call goes back there."""
        blocks = [CALL, {"text": "Done."}]
        assert sent_back(read_both(blocks, "tool_use")) == blocks

    def test_broken_arguments_are_not_kept(self) -> None:
        """Arguments that are not JSON reach the run as they are, and never a later request."""
        events = list(stream_events([thought("Hm.", "s1"), CALL], "tool_use"))
        half = [each for each in events if b"Seoul" not in each]
        assert len(half) < len(events)
        response = read_events(half)[0]
        assert response.tool_calls[0].arguments == '{"ci'
        assert response.native is None
        assert sent_back(response)[-1]["toolUse"]["input"] == {}


class TestFaults:
    """Bodies and streams without an answer."""

    @pytest.mark.parametrize(
        "body",
        [
            b'{"message": "no"}',
            b'{"output": {"message": {"content": 3}}, "stopReason": "end_turn"}',
            b'{"output": {"message": {"content": [{"text": 3}]}}, "stopReason": "end_turn"}',
            b'{"output": {"message": {"content": []}}}',
            b'{"output": null, "stopReason": "end_turn"}',
        ],
    )
    def test_bodies(self, body: bytes) -> None:
        """A body of another shape is a `ModelError` of the provider."""
        with pytest.raises(ModelError, match="something other than a message") as caught:
            read_answer(body, PEER, FORMAT)
        assert caught.value.provider == "bedrock"

    @pytest.mark.parametrize(
        ("type_", "value"),
        [
            ("contentBlockDelta", {"contentBlockIndex": 0}),
            ("contentBlockDelta", {"contentBlockIndex": "0", "delta": {"text": "a"}}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": None}}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"redactedContent": "%"}}}),
            ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t"}}}),
            ("messageStop", {}),
        ],
    )
    def test_events(self, type_: str, value: Any) -> None:
        """An event of another shape is an error that names the event."""
        with pytest.raises(ModelError, match=f"not part of a message: the event '{type_}'"):
            read_events([event(type_, value)])

    def test_a_cut_stream(self) -> None:
        """A stream that ends anywhere before the stop reason is unfinished, and may be tried again."""
        events = list(stream_events([{"text": "One two."}, CALL], "tool_use"))
        stops = next(at for at, each in enumerate(events) if b"messageStop" in each)
        for kept in range(stops + 1):
            half = events[kept][: len(events[kept]) // 2]
            with pytest.raises(ModelError, match=r"broke off|without any answer") as caught:
                read_events([*events[:kept], half])
            assert caught.value.retryable
        assert read_events(events[: stops + 1])[0].content == "One two."

    def test_error_objects(self) -> None:
        """The words of an error are found in both spellings."""
        assert read_error({"message": "a", "__type": "X"}) == ("a", "X")
        assert read_error({"Message": "b"}) == ("b", "")
        assert read_error("c") == ("", "")
