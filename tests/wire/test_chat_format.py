"""The chat completions format: requests to bodies, bodies and chunks to responses; anything else is a `ValueError`."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agno_rt import media
from agno_rt.errors import UsageError
from agno_rt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Message, Part, ToolCall, Usage
from agno_rt.models import ModelRequest, ModelResponse, ModelSettings
from agno_rt.tools import tool
from agno_rt.wire.chat_completions import StreamedResponse, request_body, response
from tests.samples import BINARIES, PDF, PNG, WAV


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return city


def b64(data: bytes) -> str:
    """Return the bytes in base64."""
    return base64.b64encode(data).decode()


def closed_object(schema: Any) -> dict[str, Any]:
    """Return the schema of an object with the property, in the form of strict mode."""
    return {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}


def nested_lists(levels: int) -> dict[str, Any]:
    """Return the schema of nested lists in an object."""
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels - 1):
        schema = {"type": "array", "items": schema}
    return closed_object(schema)


class TestRequest:
    """Request bodies."""

    def test_a_plain_question(self) -> None:
        """A bare question has a model and messages, and no other key."""
        assert request_body(ModelRequest([Message("user", "hi")]), "m") == {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
        }

    def test_a_conversation_with_calls(self) -> None:
        """Calls and results have their ids; a user's name is sent, a tool's and a team member's are not."""
        conversation = [
            Message("user", "hi", name="ann"),
            Message("assistant", "", (ToolCall("c1", "weather", '{"city": "x"}'),)),
            Message("tool", "sun", (), "c1", "weather"),
            Message("assistant", "It is sunny.", name="back office"),
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
            {"role": "assistant", "content": "It is sunny."},
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
        """Tools are sent with their schema, and the choice as a word or a name."""
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
            ({"type": "object", "properties": {}, "additionalProperties": False}, True),
            (closed_object({"type": "integer", "minimum": 1}), True),
            (closed_object({"type": "string", "format": "date"}), True),
            (closed_object({"type": "string", "enum": ["a"], "description": "A."}), True),
            (closed_object({"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}}), True),
            ({**closed_object({"$ref": "#/$defs/A"}), "$defs": {"A": closed_object({"$ref": "#/$defs/A"})}}, True),
            ({"type": "integer"}, False),
            ({"anyOf": [{"type": "object"}]}, False),
            ({"type": "object", "properties": {}}, False),
            ({**closed_object({"type": "integer"}), "required": []}, False),
            ({**closed_object({"$ref": "#/$defs/A"}), "$defs": {"A": {"type": "object"}}}, False),
            (closed_object({}), False),
            (closed_object({"enum": ["a", 1]}), False),
            (closed_object({"type": "array"}), False),
            (closed_object({"type": "array", "prefixItems": [{"type": "integer"}], "items": False}), False),
            (closed_object({"type": "array", "items": {"anyOf": [{"type": "integer"}, {}]}}), False),
            (closed_object({"type": "string", "format": "decimal"}), False),
            (closed_object({"type": "string", "contentEncoding": "base64"}), False),
            (closed_object({"type": "string", "minLength": 1}), False),
            (closed_object({"type": "integer", "default": 1}), False),
            (closed_object({"type": "object", "additionalProperties": {"type": "integer"}}), False),
            (closed_object({"type": "string", "enum": [str(choice) for choice in range(2_000)]}), False),
            (nested_lists(9), True),
            (nested_lists(11), False),
        ],
    )
    def test_an_output_schema(self, schema: dict[str, Any], strict: bool) -> None:
        """A schema is strict where OpenAI accepts strict ones: closed objects with supported keywords."""
        sent = request_body(ModelRequest([], output=schema), "m")["response_format"]

        assert sent["type"] == "json_schema"
        assert sent["json_schema"]["schema"] == schema
        assert sent["json_schema"].get("strict", False) is strict

    def test_settings(self) -> None:
        """Given settings are sent, zero included, and `extra` overrides all keys."""
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


def sent_messages(*messages: Message, **options: Any) -> list[Any]:
    """Return the messages of the request's body."""
    bodies: list[Any] = request_body(ModelRequest(messages), "m", **options)["messages"]
    return bodies


class TestMedia:
    """Media in request bodies."""

    @pytest.mark.parametrize(
        ("part", "body"),
        [
            ("What is this?", {"type": "text", "text": "What is this?"}),
            (media.image(PNG), {"type": "image_url", "image_url": {"url": media.data_url(media.image(PNG))}}),
            (media.image("https://host/cat"), {"type": "image_url", "image_url": {"url": "https://host/cat"}}),
            (media.video("https://host/v"), {"type": "video_url", "video_url": {"url": "https://host/v"}}),
            (media.audio(WAV), {"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "wav"}}),
            (
                media.audio(BINARIES["mp3"][0]),
                {"type": "input_audio", "input_audio": {"data": b64(BINARIES["mp3"][0]), "format": "mp3"}},
            ),
            (
                media.file(PDF, name="a.pdf"),
                {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{b64(PDF)}"}},
            ),
            (
                media.file(PDF),
                {"type": "file", "file": {"filename": "file", "file_data": f"data:application/pdf;base64,{b64(PDF)}"}},
            ),
        ],
    )
    def test_parts_of_a_user_s_message(self, part: Part, body: dict[str, Any]) -> None:
        """Each part of a user's message has its form, in order."""
        image = {"type": "image_url", "image_url": {"url": "https://host/x"}}

        assert sent_messages(Message("user", (part, media.image("https://host/x")))) == [
            {"role": "user", "content": [body, image]}
        ]

    def test_files_of_text_are_text(self) -> None:
        """A text file is sent as text, readable for any model, in any role."""
        notes = media.file(b"Port 7070.", name="a.md")

        assert sent_messages(Message("user", ("Which port?", notes)), Message("system", (notes,))) == [
            {"role": "user", "content": "Which port?\n\na.md:\n\nPort 7070."},
            {"role": "system", "content": "a.md:\n\nPort 7070."},
        ]

    def test_what_tools_return(self) -> None:
        """A tool's media follow all results of the turn, each with the tool's name; the result describes the media."""
        conversation = [
            Message("user", "Look."),
            Message("assistant", "", (ToolCall("c1", "camera"), ToolCall("c2", "clock"))),
            Message("tool", ("Taken.", media.image(PNG, name="now.png")), (), "c1", "camera"),
            Message("tool", "noon", (), "c2", "clock"),
        ]
        shown = {
            "role": "user",
            "content": [
                {"type": "text", "text": "camera returned [image now.png, 69 bytes]:"},
                {"type": "image_url", "image_url": {"url": media.data_url(media.image(PNG))}},
            ],
        }

        assert sent_messages(*conversation)[2:] == [
            {"role": "tool", "content": "Taken.\n[image now.png, 69 bytes]", "tool_call_id": "c1"},
            {"role": "tool", "content": "noon", "tool_call_id": "c2"},
            shown,
        ]
        again = [*conversation, Message("assistant", "A dot."), Message("user", "Thanks.")]
        assert [body["role"] for body in sent_messages(*again)] == [
            *("user", "assistant", "tool", "tool", "user"),
            *("assistant", "user"),
        ]

    def test_a_tool_without_a_name(self) -> None:
        """A result without a tool's name shows its media, too."""
        [_, shown] = sent_messages(Message("tool", (media.image(PNG),), (), "c1"))

        assert shown["content"][0]["text"] == "A tool returned [image image/png, 69 bytes]:"

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            (Message("system", (media.image(PNG),)), "a message of the role system holds [image image/png, 69 bytes]"),
            (Message("assistant", ("a", media.image(PNG))), "a message of the role assistant holds"),
            (Message("user", (media.audio("https://host/a.wav"),)), "[audio a.wav] cannot be sent by its URL"),
            (Message("user", (media.audio(BINARIES["flac"][0]),)), "cannot be sent as audio/flac"),
            (Message("user", (media.file("https://host/a.pdf"),)), "[file a.pdf] cannot be sent by its URL"),
        ],
    )
    def test_what_the_format_cannot_carry(self, message: Message, said: str) -> None:
        """Unsupported media raise an error with a hint for the caller."""
        with pytest.raises(UsageError) as caught:
            sent_messages(message)
        assert said in caught.value.message
        assert caught.value.hint

    def test_earlier_reasoning(self) -> None:
        """Earlier reasoning is left out, unless the server wants the text in a field of its own."""
        turns = [Message("user", "hi", reasoning="?"), Message("assistant", "hello", reasoning="hm")]

        assert sent_messages(*turns) == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
        assert sent_messages(*turns, reasoning_field="reasoning_content")[1] == {
            "role": "assistant",
            "content": "hello",
            "reasoning_content": "hm",
        }


def completion(message: Any, **more: Any) -> dict[str, Any]:
    """Return a completion's body with the message."""
    return {"choices": [{"message": message, **more}]}


class TestResponse:
    """Responses from whole bodies."""

    def test_text(self) -> None:
        """Content, reasoning, usage and finish reason are read."""
        body = completion({"content": "hi", "reasoning_content": "hm"}, finish_reason="length")
        body["usage"] = {"prompt_tokens": 3, "completion_tokens": 4}

        assert response(body) == ModelResponse("hi", (), "hm", Usage(3, 4), "length")

    def test_calls(self) -> None:
        """Calls are read; a call without an id gets one, and calls decide the finish reason."""
        calls = [{"id": "c1", "function": {"name": "a", "arguments": "{}"}}, {"function": {"name": "b"}}]
        answer = response(completion({"content": None, "tool_calls": calls}))

        assert answer.tool_calls == (ToolCall("c1", "a", "{}"), ToolCall("call_1", "b", ""))
        assert answer.finish_reason == "tool_calls"

    def test_little(self) -> None:
        """Missing values and nulls are empty; an unknown finish reason is `stop`; `reasoning` is an alias."""
        assert response(completion({"reasoning": "hm"}, finish_reason="eos")) == ModelResponse(reasoning="hm")

    def test_content_in_parts(self) -> None:
        """Reasoning and text may be parts of the content; parts of other types are ignored."""
        parts = [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm, "}, {"type": "reference"}]},
            {"type": "thinking", "thinking": "so"},
            {"type": "text", "text": "hi "},
            {"type": "reference", "ids": [1]},
            {"type": "output_text", "text": "there"},
            {"type": "refusal", "refusal": "!"},
        ]

        answer = response(completion({"content": parts}))
        assert (answer.reasoning, answer.content) == ("hm, so", "hi there!")

    def test_a_refusal_is_what_the_model_said(self) -> None:
        """A refusal is the answer's text, streamed or not."""
        stream = StreamedResponse()
        assert stream.feed({"choices": [{"delta": {"refusal": "No."}}]}) == [TextDelta("No.")]

        assert response(completion({"content": None, "refusal": "No."})).content == "No."
        assert stream.response().content == "No."

    @pytest.mark.parametrize(
        ("usage", "counted"),
        [
            ({"prompt_tokens": 9, "completion_tokens": 5}, Usage(9, 5)),
            (
                {
                    "prompt_tokens": 9,
                    "completion_tokens": 5,
                    "total_tokens": 14,
                    "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
                    "prompt_tokens_details": {"cached_tokens": 8},
                },
                Usage(9, 5, 3, 8),
            ),
            # Some servers omit reasoning tokens from the completion and count them in the total: they are added back.
            (
                {
                    "prompt_tokens": 9,
                    "completion_tokens": 5,
                    "total_tokens": 17,
                    "completion_tokens_details": {"reasoning_tokens": 3},
                },
                Usage(9, 8, 3),
            ),
            ({"prompt_tokens": 9, "completion_tokens": 5, "prompt_cache_hit_tokens": 4}, Usage(9, 5, 0, 4)),
            ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 99}}, Usage(9, 0, 0, 9)),
            ({"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 99}}, Usage(0, 5, 5)),
            ({"prompt_tokens": 9, "completion_tokens_details": None, "prompt_tokens_details": [1]}, Usage(9)),
            (None, Usage()),
            ("much", Usage()),
        ],
    )
    def test_tokens(self, usage: Any, counted: Usage) -> None:
        """Reasoning and cached tokens are read, and never exceed the whole."""
        stream = StreamedResponse()
        stream.feed({"choices": [], "usage": usage})

        assert response(completion({"content": "x"}) | {"usage": usage}).usage == counted
        assert stream.response().usage == counted

    @pytest.mark.parametrize(
        ("body", "complaint"),
        [
            ({}, "choices is missing or empty"),
            ({"choices": []}, "choices is missing or empty"),
            ({"choices": {}}, "choices is dict, not a list"),
            ({"choices": ["x"]}, r"choices\[\] is str, not an object"),
            ({"choices": [{}]}, r"choices\[0\].message is NoneType"),
            (completion({"content": 5}), "content is int, not a string"),
            (completion({"content": [5]}), r"content\[\] is int, not an object"),
            (completion({"content": [{"type": "thinking", "thinking": 5}]}), "thinking is int, not a string"),
            (completion({"tool_calls": [{}]}), r"tool_calls\[\].function is NoneType"),
            (completion({"tool_calls": [{"function": {"name": 1}}]}), "name is int, not a string"),
            (completion({"tool_calls": "x"}), "tool_calls is str, not a list"),
        ],
    )
    def test_another_shape_is_an_error_that_says_where(self, body: Any, complaint: str) -> None:
        """The error names the place, the actual and the expected type."""
        with pytest.raises(ValueError, match=complaint):
            response(body)


class TestStream:
    """Responses from chunks."""

    def test_text_in_pieces(self) -> None:
        """Each chunk yields its delta, and together they make the response."""
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
        """Interleaved calls are separated by their index; the first piece has id and name."""
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
        """Without an index, the position in the list counts."""
        stream = StreamedResponse()
        stream.feed(
            {"choices": [{"delta": {"tool_calls": [{"function": {"name": "a"}}, {"function": {"name": "b"}}]}}]}
        )

        assert [call.name for call in stream.response().tool_calls] == ["a", "b"]

    def test_one_index_for_several_calls(self) -> None:
        """With index 0 for each call, the ids separate the calls, later pieces included."""
        stream = StreamedResponse()
        for id_, arguments in (("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")):
            piece = {"index": 0, "id": id_, "function": {"arguments": arguments}}
            stream.feed({"choices": [{"delta": {"tool_calls": [piece]}}]})

        assert [(call.id, call.arguments) for call in stream.response().tool_calls] == [("a", "13"), ("b", "24")]

    def test_an_error_in_the_middle(self) -> None:
        """An error in a chunk is raised."""
        with pytest.raises(ValueError, match=r"broke off with an error: .*out of memory"):
            StreamedResponse().feed({"error": {"message": "out of memory"}})

    def test_an_index_that_is_no_number(self) -> None:
        """An index of another type is an error."""
        with pytest.raises(ValueError, match="index is 'x', not a number"):
            StreamedResponse().feed({"choices": [{"delta": {"tool_calls": [{"index": "x"}]}}]})

    def test_a_chunk_without_choices_brings_nothing(self) -> None:
        """Chunks without choices yield no deltas."""
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


@settings(deadline=None)
@given(bodies)
@example([])
@example(completion({}, finish_reason=[]))
@example({**completion({}), "usage": {"prompt_tokens": [1]}})
@example({**completion({}), "usage": {"prompt_tokens": float("inf")}})
@example({**completion({}), "usage": {"prompt_tokens": "many"}})
def test_any_body_is_a_response_or_a_value_error(body: Any) -> None:
    """Any JSON body is a response or a `ValueError`."""
    try:
        answer = response(body)
    except ValueError:
        return
    assert isinstance(answer, ModelResponse)


@settings(deadline=None)
@given(st.lists(bodies, max_size=3))
@example([[]])
@example([{"choices": [{"finish_reason": []}]}, {"choices": [{"finish_reason": [1]}]}])
@example([{"usage": {"completion_tokens": {"a": 1}}}])
def test_any_chunks_are_a_response_or_a_value_error(chunks: list[Any]) -> None:
    """Any chunks are a response or a `ValueError`."""
    stream = StreamedResponse()
    try:
        for chunk in chunks:
            stream.feed(chunk)
        answer = stream.response()
    except ValueError:
        return
    assert isinstance(answer, ModelResponse)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b ", "é", "👋"]), max_size=8), st.data())
def test_a_stream_says_what_one_piece_says(words: list[str], data: st.DataObject) -> None:
    """Any cut of a text into chunks gives the same response."""
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    stream = StreamedResponse()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        stream.feed({"choices": [{"delta": {"content": text[start:end]}}]})

    assert stream.response() == response(completion({"content": text}))
