"""The wire format from recorded bytes: event streams in any pieces, completions, statuses, Retry-After."""

from __future__ import annotations

import itertools
import json
import re
import traceback
from typing import Any

import attrs
import pytest
from agno_rt_openai.wire import ChatFormat, Dialect, request_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_rt import Message, ModelRequest, ModelResponse, ModelSettings, ToolCall, Usage, tool
from agno_rt.errors import ModelError, UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta
from agno_rt.wire.answers import AnswerStream, read_answer
from agno_rt.wire.deltas import split_response
from agno_rt.wire.refusals import Peer, refusal

SECRET = "sk-0123456789abcdef"
PEER = Peer(
    name="openai:m",
    provider="openai",
    model="m",
    url="http://host/v1/chat/completions",
    key_source="the environment variable OPENAI_API_KEY",
    secrets=(SECRET,),
)
OTHER = Dialect(think_tags="start")
OFFICIAL = Dialect(official=True, tool_choice="name", max_tokens_field="max_completion_tokens")
HELLO = b"".join(
    b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]}\n\n' % each
    for each in (("Hé".encode(), b"null"), ("👋".encode(), b'"stop"'))
)
HELLO += b"data: [DONE]\n\n"
WHOLE = '{"choices":[{"message":{"content":"Hé👋"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3}}'.encode()
HEADER = "hdr-9876543210"
NOON = 1_767_268_800.0
"""1 January 2026, 12:00 GMT."""


def completion(
    body: bytes, peer: Peer, dialect: Dialect, content_type: str = "", names: dict[str, str] | None = None
) -> ModelResponse:
    """Read a whole completion."""
    return read_answer(body, peer, ChatFormat(dialect, names or {}), content_type)


def begin_stream(peer: Peer, dialect: Dialect, names: dict[str, str] | None = None) -> AnswerStream:
    """Begin a chat stream."""
    return AnswerStream(peer, ChatFormat(dialect, names or {}))


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> bytes:
    """Make an event of a chat stream."""
    body = {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def streamed(*chunks: bytes) -> AnswerStream:
    """Parse a chat stream to its end."""
    stream = begin_stream(PEER, OTHER)
    for data in chunks:
        list(stream.feed(data))
    list(stream.end())
    return stream


class TestChatStream:
    """Chat streams to responses."""

    def test_collects_text_and_usage(self) -> None:
        """Deltas come at once; usage comes after the finish reason."""
        stream = begin_stream(PEER, OTHER)
        body = chunk({"role": "assistant", "content": "Hé"}) + chunk({"content": "llo"}) + chunk(finish="stop")
        usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
        assert list(stream.feed(body + usage)) == [TextDelta("Hé"), TextDelta("llo")]
        assert stream.done
        assert stream.response().content == "Héllo"
        assert stream.response().usage == Usage(3, 2)

    @given(st.data())
    def test_any_cut_gives_the_same_response(self, data: st.DataObject) -> None:
        """A stream in any pieces gives the same response."""
        call = {"index": 0, "id": "c1", "function": {"name": "t", "arguments": '{"a":'}}
        rest = {"index": 0, "function": {"arguments": '"ü"}'}}
        body = chunk({"content": "a👋"}) + chunk({"tool_calls": [call]}) + b": x\r\n" + chunk({"tool_calls": [rest]})
        body += chunk(finish="tool_calls") + b"data: [DONE]\n\n"
        at = data.draw(st.integers(0, len(body)))
        response = streamed(body[:at], body[at:]).response()
        assert response.content == "a👋"
        assert response.tool_calls == (ToolCall("c1", "t", '{"a":"ü"}'),)

    @pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b""])
    @pytest.mark.parametrize(
        ("texts", "deltas"),
        [
            (["<thi", "nk>hm", "</think>\n", "so"], [ReasoningDelta("hm"), TextDelta("so")]),
            (["<thi"], [TextDelta("<thi")]),
            (["<think>hm</th"], [ReasoningDelta("hm"), ReasoningDelta("</th")]),
        ],
    )
    def test_splits_off_what_is_thought(self, texts: list[str], deltas: list[Delta], end: bytes) -> None:
        """Reasoning in tags is separate from the answer; held text comes at the end, however the end is marked."""
        stream = begin_stream(PEER, OTHER)
        body = b"".join(chunk({"content": text}) for text in texts) + chunk(finish="stop") + end
        assert [*stream.feed(body), *stream.end()] == deltas
        assert stream.response().reasoning + stream.response().content in ("hmso", "<thi", "hm</th")

    def test_leaves_the_tags_where_told_to(self) -> None:
        """With tags off, or with a server that splits reasoning off, tags belong to the answer."""
        stream = begin_stream(PEER, Dialect())
        assert list(stream.feed(chunk({"content": "<think>"}))) == [TextDelta("<think>")]
        stream = begin_stream(PEER, OTHER)
        both = chunk({"reasoning_content": "hm"}) + chunk({"content": "<think>"})
        assert list(stream.feed(both)) == [ReasoningDelta("hm"), TextDelta("<think>")]

    @pytest.mark.parametrize(
        "body",
        [
            b"\xef\xbb\xbf" + HELLO,
            HELLO.replace(b"\n", b"\r\n"),
            HELLO.replace(b"\n", b"\r"),
            HELLO.replace(b"data: ", b"data:"),
            HELLO.replace(b"\n\n", b"\n"),
            HELLO.removesuffix(b"\n\n"),
            HELLO.removesuffix(b"data: [DONE]\n\n"),
            HELLO.removesuffix(b"\n\ndata: [DONE]\n\n"),
            HELLO.replace(b"[DONE]", b'"[DONE]"'),
            b": keep-alive\n\n" + HELLO.replace(b"\n\n", b"\n\n: still there\n\n"),
            b"\n\n" + HELLO,
            b"event: message\nid: 1\n" + HELLO,
            b"retry: 5\n\n" + HELLO,
            HELLO + b"data: {not JSON, and too late}\n\n",
        ],
    )
    def test_events_in_every_form(self, body: bytes) -> None:
        """BOM, line ends, comments, a missing space, line or end: the text is the same, in any pieces."""
        for size in (len(body), 1, 7):
            stream = begin_stream(PEER, OTHER)
            parts = [body[at : at + size] for at in range(0, len(body), size)]
            got = [delta for part in parts if not stream.done for delta in stream.feed(part)] + list(stream.end())
            assert "".join(delta.text for delta in got if isinstance(delta, TextDelta)) == "Hé👋"
            assert stream.response().content == "Hé👋"

    @pytest.mark.parametrize(
        "pieces",
        [
            (b'"\\ud83d"', b'"\\udc4b"'),
            ("👋".encode()[:1].join((b'"', b'"')), "👋".encode()[1:].join((b'"', b'"'))),
            ("👋".encode()[:3].join((b'"', b'"')), "👋".encode()[3:].join((b'"', b'"'))),
        ],
    )
    def test_half_characters(self, pieces: tuple[bytes, bytes]) -> None:
        """Half a character at the end of a chunk waits for the other half; alone, the half is replaced."""
        sent = [b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % each for each in pieces]
        end = chunk(finish="stop")
        stream = begin_stream(PEER, OTHER)

        assert list(stream.feed(sent[0])) == []
        assert list(stream.feed(sent[1])) == [TextDelta("👋")]
        assert streamed(sent[0], end).response().content == "\ufffd"

    @pytest.mark.parametrize("body", [WHOLE, b"\xef\xbb\xbf" + WHOLE, b"\r\n " + WHOLE, WHOLE + b"\n"])
    def test_a_whole_answer_for_a_stream(self, body: bytes) -> None:
        """JSON instead of events is read as a whole body, in any pieces."""
        for size in (len(body), 1, 10):
            stream = begin_stream(PEER, OTHER)
            for at in range(0, len(body), size):
                assert list(stream.feed(body[at : at + size])) == []
            assert list(stream.end()) == [TextDelta("Hé👋")]
            assert stream.response() == completion(WHOLE, PEER, OTHER)

    @pytest.mark.parametrize(
        ("body", "said", "retryable"),
        [
            (b'{"error": {"message": "context is full", "code": 400}}', "context is full", False),
            (b'{"error": {"message": "try later", "code": "503"}}', "try later", True),
            (b'{"detail": "no such model"}', "no such model", False),
            (b"<html><title>Sign in</title></html>", "a web page", False),
            (b"Internal error\n", "without any answer: 'Internal error'", True),
            (b'{"choices": [', "not with JSON", False),
        ],
    )
    def test_something_else_for_a_stream(self, body: bytes, said: str, retryable: bool) -> None:
        """An error under the content type of a stream is raised with the server's words."""
        with pytest.raises(ModelError, match=re.escape(said)) as caught:
            streamed(body)
        assert caught.value.retryable is retryable

    def test_bounds_what_is_no_stream(self) -> None:
        """A body collected until the end has a bound."""
        stream = begin_stream(PEER, OTHER)
        with pytest.raises(ModelError, match="bytes that are not a stream"):
            list(itertools.chain.from_iterable(stream.feed(b"{" * 100_000) for _ in range(100)))

    def test_needs_no_done_after_a_finish_reason(self) -> None:
        """A stream that ends after its finish reason is whole."""
        assert streamed(chunk({"content": "a"}), chunk(finish="stop")).response().content == "a"

    def test_an_unfinished_stream_is_broken_off(self) -> None:
        """A stream that ends before its finish reason is worth a retry."""
        with pytest.raises(ModelError, match="broke off its stream") as caught:
            streamed(chunk({"content": "a"}), b'data: {"choi')
        assert caught.value.retryable

    @pytest.mark.parametrize("body", [b"", b"data: [DONE]\n\n", b": ping\n\n", b"Internal error\n"])
    def test_an_empty_stream_is_no_answer(self, body: bytes) -> None:
        """A stream without a chunk is an error, not an empty answer."""
        with pytest.raises(ModelError, match="without any answer"):
            streamed(body)

    @pytest.mark.parametrize(
        ("payload", "said"),
        [
            (b'{"choices": [', "broken JSON in its stream"),
            (b"<html>", "broken JSON in its stream"),
            (b"\xff\xfe", "broken JSON in its stream"),
            (b"[1]", "it is list, not an object"),
            (b'{"choices": {}}', "choices is dict, not a list"),
            (b'{"choices": [{"delta": {"content": 7}}]}', "content is int"),
            (b'{"choices": [{"delta": {"tool_calls": [{"index": "x"}]}}]}', "index"),
        ],
    )
    def test_nonsense_is_said_to_be(self, payload: bytes, said: str) -> None:
        """Text before the nonsense is delivered; then the error describes the nonsense."""
        stream = begin_stream(PEER, OTHER)
        got: list[Delta] = []
        with pytest.raises(ModelError, match=re.escape(said)) as caught:
            got.extend(stream.feed(chunk({"content": "a"}) + b"data: " + payload + b"\n\n"))
        assert got == [TextDelta("a")]
        assert not caught.value.retryable

    @pytest.mark.parametrize(
        ("error", "status", "retryable"),
        [
            ({"message": "upstream died", "code": 502}, 502, True),
            ({"message": "upstream died", "type": "server_error", "code": None}, None, True),
            ({"message": "upstream died", "code": 400}, 400, False),
            ({"message": "upstream died", "code": "502"}, 502, True),
            ({"message": "upstream died", "code": "rate_limit_exceeded"}, None, True),
            ({"message": "upstream died", "type": "overloaded_error"}, None, True),
            ({"message": "upstream died", "code": "insufficient_quota"}, None, False),
            ({"message": "upstream died", "status": 503}, 503, True),
            ({"detail": "upstream died", "code": 7}, None, False),
            ("upstream died", None, False),
        ],
    )
    def test_an_error_within_the_stream(self, error: Any, status: int | None, retryable: bool) -> None:
        """An error object in a stream ends the stream, with the server's words and status."""
        with pytest.raises(ModelError, match="reported an error: upstream died") as caught:
            streamed(chunk({"content": "a"}), b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
        assert (caught.value.status, caught.value.retryable) == (status, retryable)

    @pytest.mark.parametrize(
        ("payload", "status", "retryable"),
        [
            ({"message": "upstream died", "code": "500", "object": "error"}, 500, True),
            ({"detail": "upstream died"}, None, False),
            ([{"error": {"message": "upstream died", "code": 429}}], 429, True),
            ({"type": "error", "error": {"type": "overloaded_error", "message": "upstream died"}}, None, True),
            (
                {
                    "choices": [
                        {"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "upstream died"}}
                    ]
                },
                502,
                True,
            ),
        ],
    )
    def test_an_error_in_other_places(self, payload: Any, status: int | None, retryable: bool) -> None:
        """An error without the key `error`, or within a choice, is an error too."""
        with pytest.raises(ModelError, match="reported an error: upstream died") as caught:
            streamed(chunk({"content": "a"}), b"data: " + json.dumps(payload).encode() + b"\n\n")
        assert (caught.value.status, caught.value.retryable) == (status, retryable)

    @pytest.mark.parametrize("content", ["", "The answer is"])
    def test_a_model_that_was_lost(self, content: str) -> None:
        """An answer that ends with an error is worth a retry; its text so far is dropped."""
        with pytest.raises(ModelError, match="finish_reason 'error'") as caught:
            streamed(chunk({"content": content}), chunk(finish="error"))
        assert caught.value.retryable

    def test_a_null_error_is_none(self) -> None:
        """`error: null`, as some servers send with every chunk, is ignored."""
        assert streamed(chunk({"content": "a"}, error=None), chunk(finish="stop", error=None)).response().content == "a"


class TestCompletion:
    """Whole bodies to responses."""

    def test_reads_a_completion(self) -> None:
        """Text, usage and finish reason are read; the deltas have the same text."""
        message = {"role": "assistant", "content": "Hi.", "reasoning_content": "Hm."}
        body = {"choices": [{"message": message, "finish_reason": "length"}], "usage": {"prompt_tokens": 1}}
        response = completion(json.dumps(body).encode(), PEER, OTHER)
        assert (response.content, response.finish_reason, response.usage) == ("Hi.", "length", Usage(1, 0))
        assert len(list(split_response(response))) == 2

    def test_splits_off_what_is_thought(self) -> None:
        """A whole body with reasoning in tags is split like a stream, and its tokens are counted."""
        usage = {
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "completion_tokens_details": {"reasoning_tokens": 3},
            "prompt_tokens_details": {"cached_tokens": 8},
        }
        choice = {"message": {"content": "why</think>so"}, "finish_reason": "stop"}
        body = json.dumps({"choices": [choice], "usage": usage}).encode()
        response = completion(body, PEER, Dialect(think_tags="opened"))
        assert (response.reasoning, response.content, response.usage) == ("why", "so", Usage(9, 5, 3, 8))

    @pytest.mark.parametrize(
        ("body", "content_type", "said"),
        [
            (b"<!DOCTYPE html><title>Sign in</title>", "text/html", "answered with a web page, not with JSON"),
            (b"", "application/json", "answered with nothing"),
            (b"OK", "text/plain", "answered with text, not with JSON: 'OK'"),
            (b'{"choices"', "application/json", "not with JSON"),
            (b"[" * 100_000, "application/json", "not with JSON"),
            (b"[]", "application/json", "it is list, not an object"),
            (b"{}", "application/json", "choices is missing or empty"),
            (b'{"choices": [{}]}', "application/json", "message"),
            (b'{"error": {"message": "model is loading", "code": 503}}', "", "reported an error: model is loading"),
        ],
    )
    def test_nonsense_is_said_to_be(self, body: bytes, content_type: str, said: str) -> None:
        """The error for anything but a completion describes the body."""
        with pytest.raises(ModelError, match=re.escape(said)) as caught:
            completion(body, PEER, OTHER, content_type)
        assert caught.value.provider == "openai"
        assert len(caught.value.full_text) < 1000

    @pytest.mark.parametrize(
        "body", [HELLO, HELLO.replace(b"data: ", b"").replace(b"[DONE]", b""), b": ok\n\n" + HELLO]
    )
    def test_a_stream_that_nobody_asked_for(self, body: bytes) -> None:
        """Events, or JSON in lines, are accepted instead of a whole body."""
        assert completion(body, PEER, OTHER, "application/json").content == "Hé👋"

    @given(st.data())
    @settings(deadline=None)
    def test_mangled_bytes_are_an_answer_or_an_error(self, data: st.DataObject) -> None:
        """Bytes of an answer, cut, doubled or out of order, are an answer or a `ModelError`."""
        call = {"index": 0, "id": "a", "function": {"name": "t", "arguments": '{"a": 1}'}}
        stream = chunk({"content": "Hé👋"}) + chunk({"tool_calls": [call]}) + chunk(finish="tool_calls") + HELLO[-14:]
        body = data.draw(st.sampled_from([stream, WHOLE, HELLO]))
        for _ in range(data.draw(st.integers(1, 4))):
            start, end = sorted(data.draw(st.integers(0, len(body))) for _ in range(2))
            put = data.draw(
                st.sampled_from([b"", b"\n", b"\r", b"\xff", b"null", b"{}", b"[", b'"', body[start:end] * 2])
            )
            body = body[:start] + put + body[end:]
        for is_stream in (False, True):
            try:
                answer = streamed(body).response() if is_stream else completion(body, PEER, OTHER)
            except ModelError:
                continue
            assert answer.content.encode().decode() == answer.content

    @given(st.binary(max_size=200))
    @settings(deadline=None)
    def test_no_bytes_raise_anything_else(self, body: bytes) -> None:
        """Any bytes are a response or a `ModelError`, whole or as a stream."""
        for read in (lambda: completion(body, PEER, OTHER), lambda: streamed(b"data: " + body), lambda: streamed(body)):
            with pytest.raises(ModelError):
                read()


class TestSecrets:
    """Secrets in what a server sends."""

    @pytest.mark.parametrize(
        "quoted",
        [
            SECRET,
            f"?key={SECRET}&x=1",
            "x" * 490 + SECRET,
            f"Bearer {HEADER}",
            "s3cr%2Ft+0123",
            "s3cr/t 0123",
        ],
    )
    def test_no_secret_in_any_spelling(self, quoted: str) -> None:
        """A secret, from the key, a header or an address, is removed in any spelling, even where the text is cut."""
        peer = attrs.evolve(PEER, secrets=(SECRET, f"Bearer {HEADER}", "s3cr/t 0123"))
        body = json.dumps({"error": {"message": f"Bad: {quoted}."}}).encode()
        chunk_ = b"data: " + body + b"\n\n"

        errors = [refusal(peer, 400, {"location": quoted}, text, NOON) for text in (body, body[:-1], quoted.encode())]
        for read in (
            lambda: completion(body, peer, OTHER),
            lambda: completion(quoted.encode(), peer, OTHER),
            lambda: list(begin_stream(peer, OTHER).feed(chunk_)),
            lambda: list(begin_stream(peer, OTHER).feed(chunk_[:-4] + b"\n\n")),
            lambda: list(begin_stream(peer, OTHER).feed(chunk({"tool_calls": [{"index": quoted}]}))),
            lambda: completion(json.dumps({"choices": [{"message": {"tool_calls": quoted}}]}).encode(), peer, OTHER),
        ):
            with pytest.raises(ModelError) as caught:
                read()
            errors.append(caught.value)
        for error in errors:
            said = f"{error!r} {error.hint} {''.join(traceback.format_exception(error))}"
            assert not any(part in said for part in ("0123", "sk-", "s3cr", HEADER[:6])), said


class TestRequest:
    """Requests to bytes."""

    def body(self, request: ModelRequest, *, stream: bool = False, official: bool = False) -> dict[str, Any]:
        """Return the request's body, parsed."""
        body: dict[str, Any] = json.loads(
            request_bytes(request, "m", OFFICIAL if official else Dialect(), stream=stream)
        )
        return body

    def test_gives_back_what_was_thought(self) -> None:
        """Reasoning of earlier turns goes into the field of a server that expects reasoning."""
        request = ModelRequest((Message("user", "Hi."), Message("assistant", "Hi.", reasoning="Hm.")))
        dialect = Dialect(reasoning_field="reasoning_content")
        [_, said] = json.loads(request_bytes(request, "m", dialect, stream=False))["messages"]
        assert said == {"role": "assistant", "content": "Hi.", "reasoning_content": "Hm."}
        assert "reasoning_content" not in self.body(request)["messages"][1]

    def test_asks_for_usage_in_a_stream(self) -> None:
        """A stream asks the server to count tokens, unless `extra` says otherwise."""
        asked = (Message("user", "Hi."),)
        assert self.body(ModelRequest(asked), stream=True)["stream_options"] == {"include_usage": True}
        assert "stream" not in self.body(ModelRequest(asked))
        extra = ModelSettings(extra={"stream_options": {"x": 1}, "stream": False, "top_k": 5})
        body = self.body(ModelRequest(asked, settings=extra), stream=True)
        assert (body["stream"], body["stream_options"], body["top_k"]) == (True, {"x": 1}, 5)

    def test_openai_calls_max_tokens_by_another_name(self) -> None:
        """OpenAI gets the new name of max_tokens, other servers the old name."""
        request = ModelRequest((Message("user", "Hi."),), settings=ModelSettings(max_tokens=5))
        assert self.body(request)["max_tokens"] == 5
        official = self.body(request, official=True)
        assert "max_tokens" not in official
        assert official["max_completion_tokens"] == 5

    def test_carries_tools_and_output(self) -> None:
        """Tools, the choice among them and the output's schema are in the body."""

        @tool
        def weather(city: str) -> str:
            """Weather."""
            return city

        body = self.body(ModelRequest((Message("user", "Hi."),), (weather,), "required", {"type": "object"}))
        assert body["tools"][0]["function"]["name"] == "weather"
        assert body["tool_choice"] == "required"
        assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}

    def test_says_it_so_that_other_servers_understand(self) -> None:
        """A tool chosen by name becomes the only, required tool; invalid arguments become an empty object."""

        @tool
        def clock() -> str:
            """The time."""
            return "noon"

        @tool
        def weather(city: str) -> str:
            """Weather."""
            return city

        calls = (
            *(ToolCall("a", "clock", '{"x": '), ToolCall("b", "clock", ""), ToolCall("c", "clock", '{"y": 1}')),
            ToolCall("d", "clock", '{"z": "\\ud83d"}'),
        )
        request = ModelRequest((Message("assistant", "", calls),), (clock, weather), "weather")
        other, official = self.body(request), self.body(request, official=True)
        assert (other["tool_choice"], [each["function"]["name"] for each in other["tools"]]) == (
            "required",
            ["weather"],
        )
        sent = [call["function"]["arguments"] for call in other["messages"][0]["tool_calls"]]
        assert sent == ["{}", "{}", '{"y": 1}', '{"z": "\ufffd"}']
        assert official["tool_choice"]["function"]["name"] == "weather"
        assert len(official["tools"]) == 2

    def test_what_json_cannot_carry(self) -> None:
        """Odd objects raise the caller's error."""
        settings = ModelSettings(extra={"x": object()})
        with pytest.raises(UsageError, match="cannot be written as JSON"):
            self.body(ModelRequest((Message("user", "Hi."),), settings=settings))

    def test_texts_that_are_not_unicode(self) -> None:
        """Half a character is replaced everywhere: in a message, a name, a call, a schema, a setting."""

        @tool(name="look\udcff", description="L\ud83dook.")
        def look(where: str) -> str:
            """Look."""
            return where

        asked = ModelRequest(
            (
                Message("system", "\udc00"),
                Message("user", "a\ud800b", name="\udfff"),
                Message("assistant", "", (ToolCall("c\ud800", "look\udcff", '{"where": "\udce4"}'),)),
                Message("tool", ("smile \ud83d\ude00", "\udcc3\udca4"), (), "c\ud800", "look\udcff"),
            ),
            (look,),
            settings=ModelSettings(stop="\ud800", extra={"x\ud800": ["\ud800"]}),
        )

        body = self.body(asked)
        assert body["messages"][1] == {"role": "user", "content": "a\ufffdb", "name": "\ufffd"}
        assert body["messages"][3]["content"] == "smile \U0001f600\n\nä"
        assert body["messages"][2]["tool_calls"][0]["id"] == body["messages"][3]["tool_call_id"] == "c\ufffd"
        assert (body["stop"], body["x\ufffd"]) == (["\ufffd"], ["\ufffd"])
