"""Chat completions of servers with deviations from the format: read in every form, or refused, never misread."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt.events import TextDelta, ToolCallDelta
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.tools import Tool, tool
from agno_rt.wire.chat_completions import ReportedError, StreamedResponse, request_body, response, tool_names

ROME = '{"city": "Rome"}'
WEATHER = ToolCall("a", "weather", ROME)


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    """Return a chunk with one choice."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def piece(name: Any = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """Return a chunk with one piece of a call."""
    return chunk({"tool_calls": [{**more, "function": {"name": name, "arguments": arguments}}]})


def stream_response(*chunks: dict[str, Any], finish: str | None = "stop", **options: Any) -> ModelResponse:
    """Return the response of a stream, after a check of its deltas."""
    stream = StreamedResponse(**options)
    deltas = [delta for each in (*chunks, chunk({}, finish)) for delta in stream.feed(each)] + stream.end()
    answer = stream.response()
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == answer.content
    assert all(
        (delta.id + delta.arguments).encode() for delta in deltas if isinstance(delta, ToolCallDelta) and delta.id
    )
    named = "".join(delta.name for delta in deltas if isinstance(delta, ToolCallDelta))
    assert named == "".join(call.name for call in answer.tool_calls)
    return answer


def whole_response(message: Any, finish: Any = "stop", **more: Any) -> ModelResponse:
    """Return the response of a body."""
    return response({"choices": [{"message": message, "finish_reason": finish}], **more})


class TestCalls:
    """Pieces of calls."""

    @pytest.mark.parametrize(
        "chunks",
        [
            [piece("weather", ROME, index=0, id="a")],
            [piece("weather", {"city": "Rome"}, index=0, id="a")],
            [piece("weather", None, index="0", id="a", type=None), piece(None, ROME, index=0.0, id=None)],
            [piece("weather", "", index=0, id="a"), piece("weather", '{"city":', id="a"), piece("weather", ' "Rome"}')],
            [piece("wea", "", index=0, id="a"), piece("ther", ROME, index=0)],
            [piece("weather", '{"ci', index=0, id="a"), piece(None, 'ty": "Rome"}', index=0, id="b")],
            [piece("weather", {}, index=0, id="a"), piece(None, ROME, index=0)],
            [piece("weather", [], index=0, id="a"), piece(None, ROME, index=0)],
            [piece("weather", "{}", index=0, id="a"), piece(None, ROME, index=0)],
            [piece("weather", ROME, index=0, id="a"), piece("weather", ROME, index=0, id="a")],
            [piece("weather", ROME, index=0, id="a"), piece(None, ROME, index=0)],
            [piece("weather", ROME, id="a"), piece("weather", "")],
            [piece("weather", f"{ROME}{ROME}", index=0, id="a")],
            [piece("weather", f"{ROME}\n{ROME}", index=0, id="a")],
            [chunk({"tool_calls": [{"id": "a", "name": "weather", "arguments": ROME}]})],
            [chunk({"tool_calls": [None, {"id": "a", "function": {"name": "weather", "arguments": ROME}}]})],
            [chunk(None, message={"tool_calls": [{"id": "a", "function": {"name": "weather", "arguments": ROME}}]})],
            [piece("weather", ROME, id="a"), chunk({"tool_calls": [{"index": 3, "id": "", "function": None}]})],
        ],
    )
    def test_one_call_however_it_is_written(self, chunks: list[dict[str, Any]]) -> None:
        """A call is read once, with its name and its arguments, even with missing or repeated pieces."""
        [call] = stream_response(*chunks).tool_calls

        assert (call.name, call.arguments.replace(" ", "")) == ("weather", ROME.replace(" ", ""))

    @pytest.mark.parametrize("index", [{}, {"index": 0}])
    @pytest.mark.parametrize("ids", [("a", "b"), ("a", None), (None, None)])
    def test_several_calls_without_an_index(self, index: dict[str, int], ids: tuple[Any, Any]) -> None:
        """Without a useful index, ids separate the calls; without ids, a new name after a complete call does."""
        pieces = [piece("weather", '{"city": ', id=ids[0], **index), piece(None, '"Rome"}', **index)]
        pieces += [piece("clock", '{"zone": ', id=ids[1], **index), piece(None, '"CET"}', **index)]

        calls = stream_response(*pieces).tool_calls

        assert [(call.name, call.arguments) for call in calls] == [("weather", ROME), ("clock", '{"zone": "CET"}')]
        assert len({call.id for call in calls}) == 2

    def test_calls_of_one_tool_that_differ(self) -> None:
        """A second call of the same tool with other arguments is separate."""
        calls = stream_response(piece("weather", ROME), piece("weather", '{"city": "Oslo"}')).tool_calls

        assert [call.arguments for call in calls] == [ROME, '{"city": "Oslo"}']

    @pytest.mark.parametrize(
        ("body", "call"),
        [
            ({"id": "a", "function": {"name": "weather", "arguments": {"city": "Rome"}}}, ROME),
            ({"id": 7, "function": {"name": "weather", "arguments": None}}, ""),
            ({"name": "weather", "arguments": ROME}, ROME),
            ({"id": None, "type": None, "index": None, "function": {"name": "weather", "arguments": ROME * 2}}, ROME),
        ],
    )
    def test_whole_calls(self, body: dict[str, Any], call: str) -> None:
        """Deviating calls in whole bodies are read, too."""
        [made] = whole_response({"content": None, "tool_calls": [body]}, "tool_calls").tool_calls

        assert (made.name, made.arguments.replace(" ", "")) == ("weather", call.replace(" ", ""))

    def test_the_older_call(self) -> None:
        """A `function_call` is a call."""
        old = {"function_call": {"name": "weather", "arguments": ROME}}

        assert whole_response(old, "function_call").tool_calls == (ToolCall("call_0", "weather", ROME),)
        assert stream_response(chunk(old), finish="function_call").tool_calls == (ToolCall("call_0", "weather", ROME),)

    @pytest.mark.parametrize("arguments", ['{"city": "Ro', f'{ROME}{{"city": "Oslo"}}', "[1]", "5"])
    def test_what_cannot_be_made_sense_of_stays(self, arguments: str) -> None:
        """Broken or doubled arguments are kept, for an error message to the model."""
        [call] = stream_response(piece("weather", arguments, index=0, id="a")).tool_calls

        assert call.arguments == arguments

    @pytest.mark.parametrize(
        ("chunks", "said"),
        [
            ([piece("weather", '{"ci', index=0, id="a"), piece("clock", "{}", index=0)], "in the middle"),
            ([piece("a", index="x")], "index is 'x'"),
            ([piece(["a"], index=0)], "name is list"),
            ([chunk({"tool_calls": [5]})], "tool_calls"),
        ],
    )
    def test_what_contradicts_itself_is_an_error(self, chunks: list[dict[str, Any]], said: str) -> None:
        """Contradicting pieces raise an error instead of a guessed call."""
        with pytest.raises(ValueError, match=said):
            stream_response(*chunks)

    def test_a_reason_without_its_call(self) -> None:
        """A finish reason of tool calls without a call or text raises an error; with text, the text is the answer."""
        with pytest.raises(ValueError, match="there is no call"):
            stream_response(finish="tool_calls")
        with pytest.raises(ValueError, match="there is no call"):
            whole_response({"content": ""}, "tool_calls")
        assert whole_response({"content": "Hi."}, "tool_calls") == ModelResponse("Hi.")


class TestTexts:
    """Texts and reasoning in every form."""

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            ({"content": ["Hel", "lo"]}, "Hello"),
            ({"content": [{"text": "Hello"}, None, {"type": None, "text": ""}]}, "Hello"),
            ({"content": {"type": "text", "text": "Hello"}}, "Hello"),
            ({"content": [{"type": "text", "text": {"value": "Hello"}}]}, "Hello"),
            ({"content": None, "refusal": "Hello"}, "Hello"),
            ({"content": "Hello", "tool_calls": None, "refusal": None, "reasoning": None, "role": None}, "Hello"),
        ],
    )
    def test_content(self, message: dict[str, Any], said: str) -> None:
        """A content may be a text, a part, or a list of both, with nulls anywhere."""
        assert whole_response(message).content == said
        assert stream_response(chunk(message)).content == said
        assert stream_response(chunk(None, message=message)).content == said

    @pytest.mark.parametrize(
        "field",
        [
            {"reasoning_content": "Hm."},
            {"reasoning": [{"text": "H"}, "m."]},
            {"reasoning": {"content": "Hm."}},
            {"reasoning": {"summary": [{"type": "summary_text", "text": "Hm."}]}},
            {"reasoning": "", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}, {"data": "xyz"}]},
            {"reasoning": "Hm.", "reasoning_content": "Hm."},
            {"content": [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Hello"}]},
        ],
    )
    def test_reasoning(self, field: dict[str, Any]) -> None:
        """Reasoning may be a text, a list or an object; the text is read once, apart from the answer."""
        message = {"content": "Hello", **field}

        for answer in (whole_response(message), stream_response(chunk(message))):
            assert (answer.reasoning, answer.content) == ("Hm.", "Hello")

    @pytest.mark.parametrize("odd", [5, True, {"effort": "low"}, [[[5]]], [None], {}])
    def test_reasoning_of_no_form(self, odd: Any) -> None:
        """Unreadable reasoning does not cost the answer."""
        assert whole_response({"content": "Hello", "reasoning": odd}) == ModelResponse("Hello")

    def test_the_older_completions(self) -> None:
        """A choice may have its text without a message."""
        choice = {"text": "Hello", "index": 0, "finish_reason": "stop"}

        assert response({"choices": [choice]}).content == "Hello"
        assert stream_response({"choices": [choice]}).content == "Hello"

    @pytest.mark.parametrize(
        "chunks",
        [
            [{"content": "Hel"}, {"content": "lo"}, {"message": {"content": "Hello"}}],
            [{"role": "assistant"}, {"message": {"content": "Hello"}}],
            [{"content": "Hel"}, {"message": {"content": "Hello"}}],
            [{"message": {"content": "Hel"}}, {"message": {"content": "lo"}}],
        ],
    )
    def test_whole_messages_in_a_stream(self, chunks: list[dict[str, Any]]) -> None:
        """A message instead of a delta is a piece; a message after all deltas repeats their text."""
        sent = [chunk(None, **each) if "message" in each else chunk(each) for each in chunks]

        assert stream_response(*sent).content == "Hello"

    def test_a_closing_message_with_reasoning(self) -> None:
        """A closing message does not repeat reasoning as an answer, with or without tags."""
        for pieces in ([{"content": "<think>Hm.</think>"}], [{"content": "<think>Hm.</think>"}, {"content": "So."}]):
            closing = chunk(None, message={"content": "<think>Hm.</think>So."})
            answer = stream_response(*map(chunk, pieces), closing, think_tags="start")
            assert (answer.reasoning, answer.content) == ("Hm.", "So.")

    @pytest.mark.parametrize(
        "message",
        [
            {"content": "Goodbye"},
            {"content": "Hello", "tool_calls": [{"function": {"name": "clock", "arguments": "{}"}}]},
        ],
    )
    def test_a_closing_message_that_says_otherwise(self, message: dict[str, Any]) -> None:
        """A closing message in contradiction to the pieces raises an error."""
        with pytest.raises(ValueError, match="at the end of the stream"):
            stream_response(chunk({"content": "Hello"}), piece("weather", ROME, index=0), chunk(None, message=message))

    def test_several_choices(self) -> None:
        """One choice is the answer, never a mixture; without an end of the choice there is no answer."""
        chunks = [
            {"choices": [{"index": at, "delta": {"content": text}, "finish_reason": end}]}
            for at, text, end in [(1, "two ", None), (0, "one ", None), (1, "two", None), (0, "one", "stop")]
        ]
        stream = StreamedResponse()
        assert [delta for each in chunks for delta in stream.feed(each)] == [TextDelta("two "), TextDelta("two")]

        with pytest.raises(ValueError, match="several choices"):
            stream.response()
        stream.feed({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]})
        assert stream.response().content == "two two"

    @given(st.text(max_size=12), st.data())
    def test_half_characters_meet_again(self, text: str, data: st.DataObject) -> None:
        """A text cut between the bytes of a character, or in a surrogate pair, is joined again."""
        raw = data.draw(st.sampled_from(["bytes", "units"]))
        encoded = text.encode("utf-8" if raw == "bytes" else "utf-16-le")
        step = 1 if raw == "bytes" else 2
        cuts = sorted({0, len(encoded), *(data.draw(st.lists(st.integers(0, len(encoded) // step))))})
        bounds = [min(cut * step, len(encoded)) if cut < len(encoded) else len(encoded) for cut in cuts]
        parts = [encoded[start:end] for start, end in itertools.pairwise(sorted({0, *bounds, len(encoded)}))]
        pieces = [
            part.decode("utf-8", "surrogateescape") if raw == "bytes" else part.decode("utf-16-le", "surrogatepass")
            for part in parts
        ]

        assert stream_response(*(chunk({"content": each}) for each in pieces)).content == text

    @pytest.mark.parametrize("broken", ["\ud83d", "a\udcffb", "\udce2\udc82"])
    def test_half_characters_that_stay_alone(self, broken: str) -> None:
        """An incomplete character is replaced, in every text of a response."""
        body = {"id": broken, "function": {"name": broken, "arguments": f'{{"a": "{broken}"}}'}}
        message = {"content": broken, "reasoning": broken, "tool_calls": [body]}

        for answer in (
            whole_response(message),
            stream_response(chunk(message)),
            stream_response(chunk({"content": broken, **message})),
        ):
            [call] = answer.tool_calls
            said = (answer.content, answer.reasoning, call.id, call.name, call.arguments)
            assert all("\ufffd" in each and each.encode() for each in said)


class TestReasonsAndCounts:
    """Finish reasons, errors and counts."""

    @pytest.mark.parametrize(
        ("word", "reason"),
        [
            ("stop", "stop"),
            ("eos_token", "stop"),
            ("end_turn", "stop"),
            ("STOP", "stop"),
            ("max_tokens", "length"),
            ("MAX_TOKENS", "length"),
            ("model-length", "length"),
            ("SAFETY", "content_filter"),
            ("tool_use", "stop"),
            (None, "stop"),
            (["stop"], "stop"),
            (5, "stop"),
        ],
    )
    def test_reasons_in_other_words(self, word: Any, reason: str) -> None:
        """A cut or filtered answer is recognised by the words of several servers."""
        assert whole_response({"content": "Hi."}, word).finish_reason == reason
        assert stream_response(chunk({"content": "Hi."}, word), finish=None).finish_reason == reason

    @pytest.mark.parametrize("word", [None, "", "null", "None", False])
    def test_reasons_that_are_none(self, word: Any) -> None:
        """Empty finish reasons do not end a stream."""
        stream = StreamedResponse()
        stream.feed(chunk({"content": "Hi."}, word))
        assert not stream.finished

    @pytest.mark.parametrize("word", ["error", "ERROR", "network_error", "aborted", "insufficient_system_resource"])
    @pytest.mark.parametrize("content", ["", "The answer is"])
    def test_a_server_that_lost_the_model(self, word: str, content: str) -> None:
        """A partial answer after a server's error is not an answer, whole or in pieces."""
        with pytest.raises(ReportedError, match=word):
            whole_response({"content": content}, word)
        with pytest.raises(ReportedError, match=word):
            stream_response(chunk({"content": content}), finish=word)

    @pytest.mark.parametrize(
        "body",
        [
            {"error": {"message": "full"}},
            {"error": "full"},
            {"object": "error", "message": "full", "code": 400},
            {"type": "error", "code": "400"},
            {"detail": "full"},
            {"detail": [{"msg": "full"}]},
            {"errors": ["full"]},
            {"choices": [], "message": "full"},
            {"choices": None, "error_msg": "full"},
            {"choices": [{"delta": {"content": "a"}, "message": {"content": "a"}, "error": {"message": "full"}}]},
        ],
    )
    def test_errors_in_the_place_of_an_answer(self, body: dict[str, Any]) -> None:
        """An error is found with and without the key `error`, and is kept in the server's form."""
        for read in (response, StreamedResponse().feed):
            with pytest.raises(ReportedError) as caught:
                read(body)
            assert "full" in str(caught.value.error) or caught.value.error == body

    def test_an_error_that_is_none(self) -> None:
        """Empty errors, and notes of success, are ignored."""
        assert stream_response({"choices": [], "code": 0, "message": "ok"}, chunk({"content": "Hi."})).content == "Hi."
        assert stream_response({"choices": [], "usage": {"prompt_tokens": 1}, "msg": "done"}).usage == Usage(1)
        assert whole_response({"content": "Hi."}, error={"message": "", "code": 0}).content == "Hi."
        assert stream_response({**chunk({"content": "Hi."}), "error": {"message": None}}).content == "Hi."

    @pytest.mark.parametrize(
        ("tokens", "counted"),
        [
            *((3.0, 3), (3.7, 3), ("3", 3), ("3.0", 3), (-1, 0), ("", 0), ("many", 0), (None, 0), (True, 0), ([3], 0)),
            *((float("nan"), 0), (float("inf"), 0), (10**30, 0), ({"n": 3}, 0)),
        ],
    )
    def test_counts(self, tokens: Any, counted: int) -> None:
        """A count is a whole number of at least 0; other values do not cost the answer."""
        usage = {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": tokens}
        details = {"prompt_tokens_details": {"cached_tokens": tokens}}

        assert whole_response({"content": "Hi."}, usage=usage | details).usage == Usage(counted, 2, 0, counted)
        assert stream_response({"choices": [], "usage": usage}).usage == Usage(counted, 2)

    @pytest.mark.parametrize(
        "chunks",
        [
            [{"choices": [], "usage": {"input_tokens": 3, "output_tokens": 2}}],
            [chunk({}, usage={"prompt_tokens": 3, "completion_tokens": 2})],
            [{"choices": [], "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}}],
            [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": count}} for count in (1, 2)],
            [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, {"choices": [], "usage": {}}],
        ],
    )
    def test_counts_in_other_places(self, chunks: list[dict[str, Any]]) -> None:
        """The last meaningful usage counts, in any place."""
        assert stream_response(*chunks).usage == Usage(3, 2)


def make_tool(name: str) -> Tool:
    """Make a tool with the name."""

    @tool(name=name)
    def look() -> str:
        """Look."""
        return "seen"

    return look


ODD = ["my tool!", " ", "été", "a" * 65, "a.b", "a/b", "天気", "weather "]


class TestNames:
    """Tools with names outside of the format."""

    @pytest.mark.parametrize("name", ODD)
    def test_there_and_back(self, name: str) -> None:
        """Names are sent in an allowed form, in tools, choice and history; a response has the original name."""
        asked = ModelRequest(
            (Message("assistant", "", (ToolCall("a", name),)),), (make_tool(name), make_tool("plain")), name
        )
        body = request_body(asked, "m")
        wire = body["tools"][0]["function"]["name"]
        call = {"id": "b", "function": {"name": wire, "arguments": "{}"}}

        assert wire.isascii()
        assert wire.replace("_", "").replace("-", "").isalnum()
        assert len(wire) <= 64
        assert wire == body["tool_choice"]["function"]["name"]
        assert wire == body["messages"][0]["tool_calls"][0]["function"]["name"]
        assert body["tools"][1]["function"]["name"] == "plain"
        for answer in (
            response({"choices": [{"message": {"tool_calls": [call]}}]}, names=tool_names(asked)),
            stream_response(chunk({"tool_calls": [call]}), names=tool_names(asked)),
            stream_response(*(piece(part, index=0, id="b") for part in (wire[:3], wire[3:])), names=tool_names(asked)),
        ):
            assert [made.name for made in answer.tool_calls] == [name]

    def test_names_stay_apart(self) -> None:
        """Sent names are unique, and a tool has the same name in every request."""
        tools = [*map(make_tool, ODD), make_tool("a_b")]
        taken = request_body(ModelRequest((), [make_tool("my tool!")]), "m")["tools"][0]["function"]["name"]
        together = request_body(ModelRequest((), [*tools, make_tool(taken)]), "m")["tools"]
        sent = [each["function"]["name"] for each in together]

        assert len(set(sent)) == len(sent)
        assert sent[1:9] == [
            each["function"]["name"] for each in request_body(ModelRequest((), tools), "m")["tools"][1:]
        ]
        names = tool_names(ModelRequest((), [*tools, make_tool(taken)]))
        assert sorted(names.get(each, each) for each in sent) == sorted([*ODD, "a_b", taken])

    def test_allowed_names_are_left(self) -> None:
        """Allowed names are sent unchanged."""
        assert tool_names(ModelRequest((), [make_tool("get_weather-2")])) == {}


class TestSent:
    """Details of request bodies."""

    def test_answers_of_nothing_are_left_out(self) -> None:
        """An assistant's empty message is not sent, except with reasoning for a server with such a field."""
        history = [
            Message("user", "One?"),
            Message("assistant", "", reasoning="Hm."),
            Message("assistant", " \n"),
            Message("user", "Two?"),
        ]

        assert [body["role"] for body in request_body(ModelRequest(history), "m")["messages"]] == ["user", "user"]
        kept = request_body(ModelRequest(history), "m", reasoning_field="reasoning")["messages"]
        assert [body.get("reasoning") for body in kept] == [None, "Hm.", None]

    @pytest.mark.parametrize("arguments", ["", " ", "\n"])
    def test_blank_arguments_in_the_history(self, arguments: str) -> None:
        """Blank arguments in the history are sent as an empty object, for servers that parse them."""
        body = request_body(ModelRequest((Message("assistant", "", (ToolCall("a", "b", arguments),)),)), "m")

        assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == "{}"

    def test_system_messages_first(self) -> None:
        """With `system_first`, all system messages are joined at the beginning; otherwise they stay in place."""
        said = [Message("system", "A."), Message("user", "Hi."), Message("system", ""), Message("system", "B.")]

        first = request_body(ModelRequest(said), "m", system_first=True)["messages"]
        assert first == [{"role": "system", "content": "A.\n\nB."}, {"role": "user", "content": "Hi."}]
        assert [body["role"] for body in request_body(ModelRequest(said), "m")["messages"]] == [
            *("system", "user", "system", "system")
        ]


PIECES = [
    piece("weather", "", index=0, id="a"),
    piece(None, '{"city"', index=0),
    piece(None, ': "Rome"}', index=0),
    piece("clock", "{}", index=1, id="b"),
]
SHAPES = ["plain", "as a message", "without an index", "named again", "with nulls", "as a list of parts"]
JUNK: list[dict[str, Any]] = [
    {},
    {"choices": []},
    {"choices": None, "usage": None},
    {"choices": [{"index": 1, "delta": {"content": "other"}}]},
    {"choices": [{"index": 0, "delta": {"content": 5}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 9}]}}]},
    {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
    {"choices": "x"},
    {"error": None},
    {"error": {"message": "full"}},
    {"choices": [{"index": 0, "finish_reason": "error"}]},
]


def mangle(chunks: Iterable[dict[str, Any]], data: st.DataObject) -> list[dict[str, Any]]:
    """Return the chunks in odd shapes, with junk in between, perhaps cut off."""
    result: list[dict[str, Any]] = []
    for each in chunks:
        result += data.draw(st.lists(st.sampled_from(JUNK), max_size=1))
        result.append(_reshape_chunk(each, data.draw(st.sampled_from(SHAPES))))
    return result[: data.draw(st.integers(0, len(result)) | st.just(len(result)))]


def _reshape_chunk(each: dict[str, Any], shape: str) -> dict[str, Any]:
    choice = each["choices"][0]
    delta = {**choice["delta"]}
    match shape:
        case "as a message":
            return {"choices": [{**choice, "delta": None, "message": delta}]}
        case "without an index":
            return {"choices": [{"delta": delta}]}
        case "named again" if "tool_calls" in delta:
            call = delta["tool_calls"][0]
            name = call["function"]["name"] or "weather"
            return chunk({"tool_calls": [{**call, "function": {**call["function"], "name": name}}]})
        case "with nulls":
            return {**each, "usage": None, "error": None, "choices": [{**choice, "logprobs": None, "x": None}, None]}
        case "as a list of parts":
            return chunk({**delta, "content": [{"type": "text", "text": ""}, None]})
    return each


@given(st.data())
def test_a_mangled_stream_is_an_answer_or_an_error(data: st.DataObject) -> None:
    """No damage to a stream yields a call that the model did not make."""
    stream = StreamedResponse()
    try:
        for each in mangle([*PIECES, chunk({}, "tool_calls")], data):
            stream.feed(each)
        calls = stream.response().tool_calls
    except ValueError:
        return
    made = {(call.name, call.arguments) for call in calls}
    whole_calls = {each for each in made if each[1].endswith("}")}
    assert whole_calls <= {("weather", ROME), ("clock", "{}")}
    assert not stream.finished or whole_calls == {("weather", ROME), ("clock", "{}")}
