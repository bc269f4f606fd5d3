"""The chat completions format: requests to bodies, bodies and chunks to responses; anything else is a `ValueError`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agno_rt.chat_format import StreamedResponse, request_body, response
from agno_rt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import ModelRequest, ModelResponse, ModelSettings
from agno_rt.tools import tool


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return city


class TestRequest:
    """What is sent."""

    def test_a_plain_question(self) -> None:
        """A question without anything else is a model and messages, and no key more."""
        assert request_body(ModelRequest([Message("user", "hi")]), "m") == {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
        }

    def test_a_conversation_with_calls(self) -> None:
        """Calls and results carry their ids; a name goes with every role but a tool's."""
        conversation = [
            Message("user", "hi", name="ann"),
            Message("assistant", "", (ToolCall("c1", "weather", '{"city": "x"}'),)),
            Message("tool", "sun", (), "c1", "weather"),
        ]

        assert request_body(ModelRequest(conversation), "m")["messages"] == [
            {"role": "user", "content": "hi", "name": "ann"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "x"}'}}
                ],
            },
            {"role": "tool", "content": "sun", "tool_call_id": "c1"},
        ]

    @pytest.mark.parametrize(
        ("choice", "sent"),
        [
            ("auto", "auto"),
            ("none", "none"),
            ("required", "required"),
            ("weather", {"type": "function", "function": {"name": "weather"}}),
        ],
    )
    def test_tools(self, choice: str, sent: Any) -> None:
        """Tools go with their schema, and the choice by word or by name."""
        body = request_body(ModelRequest([], [weather], choice), "m")

        assert body["tool_choice"] == sent
        assert body["tools"] == [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Current weather in a city.",
                    "parameters": weather.parameters,
                },
            }
        ]

    @pytest.mark.parametrize(
        ("schema", "strict"),
        [
            ({"type": "integer"}, True),
            ({"type": "object", "properties": {}, "additionalProperties": False}, True),
            ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
            ({"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": False}, False),
            ({"type": "object", "properties": {}}, False),
            ({"anyOf": [{"type": "integer", "default": 1}]}, False),
            ({"anyOf": [{"type": "object"}]}, False),
        ],
    )
    def test_an_output_schema(self, schema: dict[str, Any], strict: bool) -> None:
        """A schema is asked for, strictly where OpenAI would take it so: closed objects, everything required."""
        sent = request_body(ModelRequest([], output=schema), "m")["response_format"]

        assert sent["type"] == "json_schema"
        assert sent["json_schema"]["schema"] == schema
        assert sent["json_schema"].get("strict", False) is strict

    def test_settings(self) -> None:
        """Settings that are set go along, zero included, and `extra` has the last word."""
        settings = ModelSettings(0.0, 5, 0, ("a", "b"), extra={"top_p": 0.5, "model": "other"})

        assert request_body(ModelRequest([], settings=settings), "m") == {
            "model": "other",
            "messages": [],
            "temperature": 0.0,
            "max_tokens": 5,
            "seed": 0,
            "stop": ["a", "b"],
            "top_p": 0.5,
        }


def completion(message: Any, **more: Any) -> dict[str, Any]:
    """A completion's body around a message."""
    return {"choices": [{"message": message, **more}]}


class TestResponse:
    """What comes back in one piece."""

    def test_text(self) -> None:
        """Content, reasoning, usage and the reason to stop are taken over."""
        body = completion({"content": "hi", "reasoning_content": "hm"}, finish_reason="length")
        body["usage"] = {"prompt_tokens": 3, "completion_tokens": 4}

        assert response(body) == ModelResponse("hi", (), "hm", Usage(3, 4), "length")

    def test_calls(self) -> None:
        """Calls are taken over; a call without id gets one, and calls make the reason."""
        calls = [{"id": "c1", "function": {"name": "a", "arguments": "{}"}}, {"function": {"name": "b"}}]
        answer = response(completion({"content": None, "tool_calls": calls}))

        assert answer.tool_calls == (ToolCall("c1", "a", "{}"), ToolCall("call_1", "b", ""))
        assert answer.finish_reason == "tool_calls"

    def test_little(self) -> None:
        """What is absent or null is empty; an unknown reason is `stop`; the other name for reasoning is known."""
        assert response(completion({"reasoning": "hm"}, finish_reason="eos")) == ModelResponse(reasoning="hm")

    @pytest.mark.parametrize(
        ("body", "complaint"),
        [
            ({}, "choices is missing or empty"),
            ({"choices": []}, "choices is missing or empty"),
            ({"choices": {}}, "choices is dict, not a list"),
            ({"choices": ["x"]}, r"choices\[\] is str, not an object"),
            ({"choices": [{}]}, r"choices\[0\].message is NoneType"),
            (completion({"content": 5}), "content is int, not a string"),
            (completion({"tool_calls": [{}]}), r"tool_calls\[\].function is NoneType"),
            (completion({"tool_calls": [{"function": {"name": 1}}]}), "name is int, not a string"),
            (completion({"tool_calls": "x"}), "tool_calls is str, not a list"),
        ],
    )
    def test_another_shape_is_an_error_that_says_where(self, body: Any, complaint: str) -> None:
        """The error names the place, what is there and what was expected."""
        with pytest.raises(ValueError, match=complaint):
            response(body)


class TestStream:
    """What comes in pieces."""

    def test_text_in_pieces(self) -> None:
        """Each chunk yields its delta, and all of them make the response."""
        stream = StreamedResponse()
        deltas = [
            *stream.feed({"choices": [{"delta": {"role": "assistant", "reasoning_content": "hm"}}]}),
            *stream.feed({"choices": [{"delta": {"content": "he"}}]}),
            *stream.feed({"choices": [{"delta": {"content": "llo"}}]}),
        ]
        assert not stream.finished
        assert stream.feed({"choices": [{"delta": {}, "finish_reason": "stop"}]}) == []
        assert stream.feed({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}) == []

        assert stream.finished
        assert deltas == [ReasoningDelta("hm"), TextDelta("he"), TextDelta("llo")]
        assert stream.response() == ModelResponse("hello", (), "hm", Usage(1, 2), "stop")

    def test_calls_in_pieces(self) -> None:
        """Calls come interleaved, told apart by their index; the first piece has id and name."""
        stream = StreamedResponse()

        def feed(index: int, **piece: Any) -> list[Any]:
            return stream.feed({"choices": [{"delta": {"tool_calls": [{"index": index, **piece}]}}]})

        assert feed(1, id="c2", function={"name": "b"}) == [ToolCallDelta(1, "c2", "b", "")]
        feed(0, function={"name": "a", "arguments": '{"x'})
        feed(0, function={"arguments": '": 1}'})
        feed(1, function=None)

        answer = stream.response()
        assert answer.tool_calls == (ToolCall("call_0", "a", '{"x": 1}'), ToolCall("c2", "b", ""))
        assert answer.finish_reason == "tool_calls"

    def test_pieces_without_index_count_themselves(self) -> None:
        """Where a server leaves the index out, the place in the list stands for it."""
        stream = StreamedResponse()
        stream.feed(
            {"choices": [{"delta": {"tool_calls": [{"function": {"name": "a"}}, {"function": {"name": "b"}}]}}]}
        )

        assert [call.name for call in stream.response().tool_calls] == ["a", "b"]

    def test_one_index_for_several_calls(self) -> None:
        """Where a server sends the index 0 for each call, the ids tell them apart, for later pieces too."""
        stream = StreamedResponse()
        for id_, arguments in (("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")):
            piece = {"index": 0, "id": id_, "function": {"arguments": arguments}}
            stream.feed({"choices": [{"delta": {"tool_calls": [piece]}}]})

        assert [(call.id, call.arguments) for call in stream.response().tool_calls] == [("a", "13"), ("b", "24")]

    def test_an_error_in_the_middle(self) -> None:
        """A server that fails in mid-stream says so in a chunk, which is no answer."""
        with pytest.raises(ValueError, match=r"broke off with an error: .*out of memory"):
            StreamedResponse().feed({"error": {"message": "out of memory"}})

    def test_an_index_that_is_no_number(self) -> None:
        """An index of another type is an error."""
        with pytest.raises(ValueError, match="index is 'x', not a number"):
            StreamedResponse().feed({"choices": [{"delta": {"tool_calls": [{"index": "x"}]}}]})

    def test_a_chunk_without_choices_brings_nothing(self) -> None:
        """Keep-alives and usage chunks are no deltas."""
        assert StreamedResponse().feed({"choices": None}) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["choices", "message", "delta", "content", "tool_calls", "function", "name", "arguments", "id", "index"]
bodies = st.recursive(
    json_values,
    lambda inner: (
        st.dictionaries(
            st.sampled_from([*KEYS, "usage", "prompt_tokens", "finish_reason", "reasoning"]), inner, max_size=4
        )
        | st.lists(inner, max_size=2)
    ),
    max_leaves=12,
)


@given(bodies)
@example([])
@example(completion({}, finish_reason=[]))
@example({**completion({}), "usage": {"prompt_tokens": [1]}})
@example({**completion({}), "usage": {"prompt_tokens": float("inf")}})
@example({**completion({}), "usage": {"prompt_tokens": "many"}})
def test_any_body_is_a_response_or_a_value_error(body: Any) -> None:
    """Whatever JSON a server sends, a plugin has one kind of error to expect."""
    try:
        answer = response(body)
    except ValueError:
        return
    assert isinstance(answer, ModelResponse)


@given(st.lists(bodies, max_size=3))
@example([[]])
@example([{"choices": [{"finish_reason": []}]}, {"choices": [{"finish_reason": [1]}]}])
@example([{"usage": {"completion_tokens": {"a": 1}}}])
def test_any_chunks_are_a_response_or_a_value_error(chunks: list[Any]) -> None:
    """The same holds for a stream."""
    stream = StreamedResponse()
    try:
        for chunk in chunks:
            stream.feed(chunk)
        answer = stream.response()
    except ValueError:
        return
    assert isinstance(answer, ModelResponse)


@given(st.lists(st.sampled_from(["a", "b ", "é", "👋"]), max_size=8), st.data())
def test_a_stream_says_what_one_piece_says(words: list[str], data: st.DataObject) -> None:
    """However a text is cut into chunks, the response is the same."""
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    stream = StreamedResponse()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        stream.feed({"choices": [{"delta": {"content": text[start:end]}}]})

    assert stream.response() == response(completion({"content": text}))
