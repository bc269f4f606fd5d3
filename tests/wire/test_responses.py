"""The responses format: requests, whole answers and events, as OpenAI's API reference has them, and sloppier ones.

Bodies follow the pages "Create a model response" and "Streaming events" of the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agno_rt import Message, ModelRequest, ModelSettings, ToolCall, Usage, media, tool
from agno_rt.errors import UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.wire.chat_completions import ReportedError
from agno_rt.wire.responses import Answered, StreamedAnswer, answered, request_body

Json = dict[str, Any]
PNG = b"\x89PNG\r\n\x1a\n"


@tool(name="get weather")
def weather(city: str) -> str:
    """The weather."""
    return city


def message(*texts: str, id_: str = "msg_1", **more: Any) -> Json:
    """Make an item with texts."""
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"id": id_, "type": "message", "role": "assistant", "status": "completed", "content": parts, **more}


def call(name: str, arguments: str, id_: str = "call_1") -> Json:
    """Make an item with a call."""
    return {"id": f"fc_{id_}", "type": "function_call", "call_id": id_, "name": name, "arguments": arguments}


def thought(*summary: str, **more: Any) -> Json:
    """Make an item with reasoning."""
    parts = [{"type": "summary_text", "text": text} for text in summary]
    return {"id": "rs_1", "type": "reasoning", "summary": parts, **more}


def response(*output: Json, **more: Any) -> Json:
    """Make a whole response."""
    usage = {
        "input_tokens": 36,
        "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 4},
        "output_tokens": 87,
        "output_tokens_details": {"reasoning_tokens": 64},
        "total_tokens": 123,
    }
    body = {"id": "resp_1", "object": "response", "status": "completed", "error": None, "output": list(output)}
    return {**body, "incomplete_details": None, "usage": usage, **more}


def event(type_: str, **more: Any) -> Json:
    """Make an event of a stream."""
    return {"type": f"response.{type_}", "sequence_number": 1, **more}


def streamed(*events: Json, names: Mapping[str, str] | None = None) -> tuple[list[Delta], Answered]:
    """Read the events to their end."""
    stream = StreamedAnswer("off", names or {})
    deltas = [delta for each in events for delta in stream.feed(each)] + stream.end()
    assert stream.finished
    return deltas, stream.answered()


class TestRequest:
    """The body of a request."""

    def test_a_conversation_as_items(self) -> None:
        """System messages at the start are instructions; answers, calls and results are items without ids."""
        conversation = (
            Message("system", "Be brief."),
            Message("system", "Be kind."),
            Message("user", "Weather in Oslo?"),
            Message("assistant", "I look.", (ToolCall("c1", "get weather", '{"city": "Oslo"}'), ToolCall("c2", "x"))),
            Message("tool", "Sun.", (), "c1", "get weather"),
            Message("tool", "None.", (), "c2", "x"),
            Message("system", "Use Celsius."),
            Message("assistant", " "),
        )
        body = request_body(ModelRequest(conversation), "gpt-5")
        name = body["input"][2]["name"]
        assert body["instructions"] == "Be brief.\n\nBe kind."
        assert body["input"] == [
            {"role": "user", "content": "Weather in Oslo?"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "c1", "name": name, "arguments": '{"city": "Oslo"}'},
            {"type": "function_call", "call_id": "c2", "name": "x", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "Sun."},
            {"type": "function_call_output", "call_id": "c2", "output": "None."},
            {"role": "system", "content": "Use Celsius."},
        ]
        assert name.startswith("get_weather_")

    def test_all_system_messages_first(self) -> None:
        """With `system_first`, later system messages are instructions, too."""
        conversation = (Message("system", "A."), Message("user", "Hi."), Message("system", "B."))
        body = request_body(ModelRequest(conversation), "m", system_first=True)
        assert (body["instructions"], len(body["input"])) == ("A.\n\nB.", 1)

    def test_tools_choice_and_output(self) -> None:
        """Tools are flat, not strict unless asked, and a schema is the format of the text."""
        schema = {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
            "additionalProperties": False,
        }
        request = ModelRequest((Message("user", "Hi."),), (weather,), "get weather", schema)
        body = request_body(request, "m")
        [asked] = body["tools"]
        assert (asked["type"], asked["strict"], asked["description"]) == ("function", False, "The weather.")
        assert body["tool_choice"] == {"type": "function", "name": asked["name"]}
        assert body["text"] == {"format": {"type": "json_schema", "name": "output", "schema": schema, "strict": True}}

    def test_settings_have_their_own_names(self) -> None:
        """The most tokens have another name than in chat completions, and `extra` overrides everything."""
        settings = ModelSettings(0.5, 9, extra={"reasoning": {"effort": "low"}, "temperature": 0.1})
        body = request_body(ModelRequest((Message("user", "Hi."),), settings=settings), "m")
        assert body == {
            "model": "m",
            "input": [{"role": "user", "content": "Hi."}],
            "temperature": 0.1,
            "max_output_tokens": 9,
            "reasoning": {"effort": "low"},
        }

    def test_media_in_questions_and_results(self) -> None:
        """Images, files by bytes and by URL, and sound are parts; results of tools can hold them, too."""
        pdf = media.file(b"%PDF-1.4", name="a.pdf")
        parts = ("Look:", media.image("https://host/cat.png"), pdf, media.file("https://host/b.pdf"))
        conversation = (
            Message("user", parts),
            Message("assistant", "", (ToolCall("c1", "x"),)),
            Message("tool", (media.image(PNG), "A dot."), (), "c1", "x"),
            Message("user", (media.audio(b"RIFF\0\0\0\0WAVE"),)),
        )
        asked, _, result, sound = request_body(ModelRequest(conversation), "m")["input"]
        assert [part["type"] for part in asked["content"]] == ["input_text", "input_image", "input_file", "input_file"]
        assert asked["content"][1]["image_url"] == "https://host/cat.png"
        assert asked["content"][2]["filename"] == "a.pdf"
        assert asked["content"][2]["file_data"].startswith("data:application/pdf;base64,")
        assert asked["content"][3]["file_url"] == "https://host/b.pdf"
        assert result["output"][0]["image_url"].startswith("data:image/png;base64,")
        assert sound["content"][0]["input_audio"]["format"] == "wav"

    @pytest.mark.parametrize(
        "conversation",
        [
            (Message("user", (media.video("https://host/a.mp4"),)),),
            (Message("user", (media.audio("https://host/a.wav"),)),),
            (Message("system", (media.image(PNG),)),),
        ],
    )
    def test_media_outside_the_format(self, conversation: Sequence[Message]) -> None:
        """Video, sound by a URL, and media of system messages raise the caller's error."""
        with pytest.raises(UsageError):
            request_body(ModelRequest(conversation), "m")

    def test_keeps_items_and_leaves_out_what_the_server_has(self) -> None:
        """Kept items go out unchanged, and known messages not at all; instructions always do."""
        kept = [thought(encrypted_content="x"), message("Hi.")]
        conversation = (
            Message("system", "Be brief."),
            Message("user", "1"),
            Message("assistant", "Hi."),
            Message("user", "2"),
        )
        request = ModelRequest(conversation)
        assert request_body(request, "m", keep=lambda message: kept)["input"][1:3] == kept
        body = request_body(request, "m", known=2)
        assert (body["input"], body["instructions"]) == ([{"role": "user", "content": "2"}], "Be brief.")


class TestWhole:
    """Whole responses."""

    def test_a_response_with_everything(self) -> None:
        """Text, calls, reasoning, usage, id and items, in one response."""
        output = [
            thought("First.", "Second.", encrypted_content="gAAA"),
            message("It is ", "sunny."),
            call("get_weather", '{"city":"Oslo"}'),
            call("wire", "", "call_2"),
            {"id": "ws_1", "type": "web_search_call", "status": "completed"},
        ]
        got = answered(response(*output), names={"wire": "get weather"})
        said = got.response
        assert (said.content, said.reasoning) == ("It is sunny.", "First.\n\nSecond.")
        assert said.tool_calls == (
            ToolCall("call_1", "get_weather", '{"city":"Oslo"}'),
            ToolCall("call_2", "get weather", ""),
        )
        assert said.usage == Usage(36, 87, 64, 10, cache_write_tokens=4)
        assert (said.finish_reason, got.id, got.output) == ("tool_calls", "resp_1", output)

    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({}, "stop"),
            ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
            ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
            ({"status": "incomplete"}, "length"),
        ],
    )
    def test_the_reason_of_the_end(self, more: Json, reason: str) -> None:
        """An incomplete response has the details' reason."""
        assert answered(response(message("Hi."), **more)).response.finish_reason == reason

    def test_a_refusal_is_the_text(self) -> None:
        """The words of a refusal are the answer."""
        item = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
        assert answered(response(item)).response.content == "No."

    def test_open_reasoning_and_tags(self) -> None:
        """Reasoning is read from its content rather than its summary, and from tags in the text of open models."""
        open_ = thought("Short.", content=[{"type": "reasoning_text", "text": "Long."}])
        assert answered(response(open_, message("So."))).response.reasoning == "Long."
        tagged = answered(response(message("<think>hm</think>so")), "start").response
        assert (tagged.reasoning, tagged.content) == ("hm", "so")

    @pytest.mark.parametrize(
        "body",
        [
            response(status="failed", error={"code": "server_error", "message": "Boom."}),
            response(message("Hi."), status="cancelled"),
            response(error={"code": "rate_limit_exceeded", "message": "Slow."}),
            {"error": {"message": "Boom."}},
        ],
    )
    def test_an_error_in_a_body(self, body: Json) -> None:
        """A failed or cancelled response is an error, whatever its status."""
        with pytest.raises(ReportedError):
            answered(body)

    @pytest.mark.parametrize(
        "body",
        [
            {"object": "list"},
            response(),
            response(output="Hi."),
            response(output=[1]),
            response(call("x", "{}") | {"name": 7}),
            response({"type": "message", "content": 7}),
        ],
    )
    def test_anything_else(self, body: Json) -> None:
        """A body of another shape is a `ValueError`, not an empty answer."""
        with pytest.raises(ValueError, match=r"is \w+, not|missing|empty|contradict|before their call") as caught:
            answered(body)
        assert not isinstance(caught.value, ReportedError)


class TestStream:
    """Events of a stream."""

    def test_pieces_add_up(self) -> None:
        """Reasoning, text and two calls come in pieces, and are the response of the last event."""
        output = [thought("Hm.", "So."), message("Hé👋"), call("wire", '{"a":1}'), call("y", "{}", "call_2")]
        deltas, got = streamed(
            event("created", response=response(status="in_progress")),
            event("output_item.added", output_index=0, item=thought()),
            event("reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta="Hm."),
            event("reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=1, delta="So."),
            event("output_item.done", output_index=0, item=output[0]),
            event("output_item.added", output_index=1, item=message()),
            event("output_text.delta", item_id="msg_1", output_index=1, content_index=0, delta="Hé\ud83d"),
            event("output_text.delta", item_id="msg_1", output_index=1, content_index=0, delta="\udc4b"),
            event("output_item.done", output_index=1, item=output[1]),
            event("output_item.added", output_index=2, item=call("wire", "")),
            event("output_item.added", output_index=3, item=call("y", "", "call_2")),
            event("function_call_arguments.delta", item_id="fc_call_1", output_index=2, delta='{"a"'),
            event("function_call_arguments.delta", item_id="fc_call_2", output_index=3, delta="{}"),
            event("function_call_arguments.delta", item_id="fc_call_1", output_index=2, delta=":1}"),
            event("function_call_arguments.done", item_id="fc_call_1", output_index=2, arguments='{"a":1}'),
            event("output_item.done", output_index=2, item=output[2]),
            event("output_item.done", output_index=3, item=output[3]),
            event("completed", response=response(*output)),
            names={"wire": "get weather"},
        )
        assert deltas == [
            ReasoningDelta("Hm."),
            ReasoningDelta("\n\nSo."),
            TextDelta("Hé"),
            TextDelta("👋"),
            ToolCallDelta(0, "call_1", "get weather"),
            ToolCallDelta(1, "call_2", "y"),
            ToolCallDelta(0, arguments='{"a"'),
            ToolCallDelta(1, arguments="{}"),
            ToolCallDelta(0, arguments=":1}"),
        ]
        whole = answered(response(*output), names={"wire": "get weather"})
        assert got == whole

    @pytest.mark.parametrize("with_output", [True, False])
    def test_events_that_a_server_leaves_out(self, with_output: bool) -> None:
        """Without pieces, the answer comes from finished items or from the last event, and is told in deltas."""
        output = [thought("Hm."), message("Hi."), call("x", "{}")]
        items = [event("output_item.done", output_index=at, item=item) for at, item in enumerate(output)]
        last = event("completed", response=response(*(output if with_output else ())))
        deltas, got = streamed(*(() if with_output else items), last)
        assert got.response == answered(response(*output)).response
        assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "Hi."
        assert [delta.name for delta in deltas if isinstance(delta, ToolCallDelta) and delta.name] == ["x"]
        assert "".join(delta.arguments for delta in deltas if isinstance(delta, ToolCallDelta)) == "{}"

    def test_reasoning_and_its_summary_count_once(self) -> None:
        """A server that streams the reasoning and its summary gives the reasoning once."""
        deltas, _ = streamed(
            event("reasoning_text.delta", output_index=0, content_index=0, delta="Long."),
            event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Short."),
            event("completed", response=response(message("Hi."))),
        )
        assert [delta.text for delta in deltas if isinstance(delta, ReasoningDelta)] == ["Long."]

    @pytest.mark.parametrize(
        "events",
        [
            (event("failed", response=response(status="failed", error={"code": "server_error", "message": "Boom."})),),
            ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow.", "param": None},),
            ({"error": {"message": "Boom."}},),
        ],
    )
    def test_an_error_in_a_stream(self, events: Sequence[Json]) -> None:
        """A failed response and an error event are errors in the middle of a stream."""
        with pytest.raises(ReportedError):
            streamed(*events)

    @pytest.mark.parametrize(
        "events",
        [
            (event("output_text.delta", delta=7),),
            (event("function_call_arguments.delta", output_index=0, delta="{"),),
            (event("output_item.added", output_index=0, item=None),),
            (event("output_text.delta", delta="A"), event("completed", response=response(message("B")))),
            (
                event("output_item.added", output_index=0, item=call("x", '{"a')),
                event("output_item.done", output_index=0, item=call("x", '{"b": 1}')),
            ),
        ],
    )
    def test_events_of_another_shape(self, events: Sequence[Json]) -> None:
        """Malformed and contradicting events are a `ValueError`."""
        with pytest.raises(ValueError, match=r"is \w+, not|missing|empty|contradict|before their call"):
            streamed(*events)

    def test_is_not_finished_before_the_last_event(self) -> None:
        """A stream without its last event is not an answer."""
        stream = StreamedAnswer()
        stream.feed(event("output_text.delta", delta="A"))
        stream.feed(event("output_text.done", text="A"))
        assert not stream.finished
