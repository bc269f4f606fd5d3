"""Requests and answers in Ollama's chat format, without a connection.

Reference: Ollama's documentation, "API" (section "Generate a chat completion"), "Tool calling" and "Thinking".
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from agno_rt_ollama.profile import Facts
from agno_rt_ollama.wire import ChatFormat, request_bytes

from agno_rt import Message, ModelRequest, ModelSettings, ToolCall, tool
from agno_rt.errors import UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Media
from agno_rt.wire.chat_completions import ReportedError

DOT = Media("image", "image/png", b"\x89PNG dot")
CODED = base64.b64encode(b"\x89PNG dot").decode()
END = {"model": "m", "created_at": "t", "message": {"role": "assistant", "content": ""}, "done": True}
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


@tool
def clock() -> str:
    """The time."""
    return "noon"


def body(*messages: Message, facts: Facts | None = None, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """Return the body of a request."""
    asked = ModelRequest(messages or (Message("user", "Hi."),), **fields)
    value: dict[str, Any] = json.loads(request_bytes(asked, "m", facts or Facts(), stream=stream))
    return value


def value(**message: Any) -> dict[str, Any]:
    """Return a value of a stream."""
    return {"model": "m", "created_at": "t", "message": {"role": "assistant", **message}, "done": False}


class TestRequests:
    """Requests to bodies."""

    def test_a_plain_request(self) -> None:
        """Without settings, the body has the model, the mode and the messages."""
        assert body() == {"model": "m", "stream": False, "messages": [{"role": "user", "content": "Hi."}]}
        assert body(stream=True)["stream"] is True

    def test_settings_become_options(self) -> None:
        """Options come from the server's settings, then from the request, then from `extra`."""
        settings = ModelSettings(0.0, 64, 7, "END", extra={"options": {"top_k": 5, "seed": 8}, "truncate": False})
        facts = Facts(num_ctx=8_192, keep_alive=-1, think="low", options={"top_k": 20, "num_gpu": 0})
        sent = body(settings=settings, facts=facts)
        assert sent["options"] == {
            "top_k": 5,
            "num_gpu": 0,
            "num_ctx": 8_192,
            "temperature": 0.0,
            "num_predict": 64,
            "seed": 8,
            "stop": ["END"],
        }
        assert (sent["keep_alive"], sent["think"], sent["truncate"]) == (-1, "low", False)

    def test_extra_does_not_change_the_mode(self) -> None:
        """The plugin reads what it asked for, so `stream` in `extra` does not count."""
        assert body(settings=ModelSettings(extra={"stream": True}))["stream"] is False

    def test_thinking_can_be_off(self) -> None:
        """False is sent, and is not the same as no setting."""
        assert body(facts=Facts(think=False))["think"] is False
        assert "think" not in body()

    def test_calls_and_results(self) -> None:
        """Arguments are objects; results name their tool and their call; reasoning goes back."""
        calls = (ToolCall("a", "weather", '{"city": "Seoul"}'), ToolCall("b", "clock", ""))
        said = Message("assistant", "", calls, reasoning="Two of them.")
        sent = body(Message("user", "Hi."), said, Message("tool", "Sun", (), "a", "weather"))["messages"]
        assert sent[1:] == [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "a", "function": {"name": "weather", "arguments": {"city": "Seoul"}}},
                    {"id": "b", "function": {"name": "clock", "arguments": {}}},
                ],
                "thinking": "Two of them.",
            },
            {"role": "tool", "content": "Sun", "tool_name": "weather", "tool_call_id": "a"},
        ]

    @pytest.mark.parametrize("arguments", ["", "[1]", '{"city": ', "nonsense", '"text"'])
    def test_broken_arguments_become_an_object(self, arguments: str) -> None:
        """The server refuses a conversation with arguments of another type."""
        said = Message("assistant", "", (ToolCall("a", "weather", arguments),))
        assert body(said)["messages"][0]["tool_calls"][0]["function"]["arguments"] == {}

    def test_empty_answers_are_left_out(self) -> None:
        """An answer without text and calls says nothing to the model."""
        assert [each["role"] for each in body(Message("assistant", " "), Message("user", "Hi."))["messages"]] == [
            "user"
        ]

    def test_images_keep_their_place(self) -> None:
        """An image after a text begins a new message, because the server shows images first."""
        sent = body(Message("user", (DOT, "One.", "Two.", DOT, DOT, "Three.")))["messages"]
        assert sent == [
            {"role": "user", "images": [CODED], "content": "One.\nTwo."},
            {"role": "user", "images": [CODED, CODED], "content": "Three."},
        ]

    def test_images_in_results(self) -> None:
        """Each part of a result with images belongs to the call."""
        sent = body(Message("tool", ("Before.", DOT), (), "a", "weather"))["messages"]
        assert sent == [
            {"role": "tool", "content": "Before.", "tool_name": "weather", "tool_call_id": "a"},
            {"role": "tool", "images": [CODED], "content": "", "tool_name": "weather", "tool_call_id": "a"},
        ]

    @pytest.mark.parametrize(
        ("role", "media", "said"),
        [
            ("user", Media("image", "image/png", None, "https://host/dot.png"), "by its URL"),
            ("user", Media("audio", "audio/wav", b"RIFF"), "cannot be sent to Ollama"),
            ("system", DOT, "role system"),
            ("assistant", DOT, "role assistant"),
        ],
    )
    def test_refuses_other_media(self, role: Any, media: Media, said: str) -> None:
        """Content outside the format is refused before any request."""
        with pytest.raises(UsageError, match=said):
            body(Message(role, (media,)))

    def test_tools(self) -> None:
        """Tools have the form of chat completions."""
        [sent] = body(tools=(weather,))["tools"]
        assert (sent["type"], sent["function"]["name"]) == ("function", "weather")
        assert sent["function"]["parameters"]["required"] == ["city"]

    @pytest.mark.parametrize(
        ("choice", "offered", "asked"),
        [
            ("auto", ["weather", "clock"], "Hi."),
            ("none", [], "Hi."),
            ("required", ["weather", "clock"], "Hi.\n\nCall one of your tools now."),
            ("clock", ["clock"], "Hi.\n\nCall the tool clock now."),
        ],
    )
    def test_tool_choice(self, choice: str, offered: list[str], asked: str) -> None:
        """The format has no choice, so the tools that are offered and the words of the user tell it."""
        sent = body(tools=(weather, clock), tool_choice=choice)
        assert [each["function"]["name"] for each in sent.get("tools", ())] == offered
        assert sent["messages"][-1]["content"] == asked

    def test_a_schema_is_the_format(self) -> None:
        """Without tools the server holds the model to the schema."""
        assert body(output=SCHEMA)["format"] == SCHEMA

    def test_a_schema_beside_tools_is_in_words(self) -> None:
        """A model under a grammar cannot call tools, so the schema follows the instructions."""
        sent = body(Message("system", "Be brief."), Message("user", "Hi."), output=SCHEMA, tools=(clock,))
        assert "format" not in sent
        assert [each["role"] for each in sent["messages"]] == ["system", "system", "user"]
        assert '"sum"' in sent["messages"][1]["content"]
        assert body(output=SCHEMA, tools=(clock,), tool_choice="none")["format"] == SCHEMA

    def test_unusual_values_are_refused(self) -> None:
        """The error for a value outside JSON names the place to look."""
        with pytest.raises(UsageError, match="cannot be written as JSON") as caught:
            body(settings=ModelSettings(extra={"odd": object()}))
        assert "extra" in caught.value.hint


class TestAnswers:
    """Values to responses."""

    def read(self, *values: dict[str, Any], tags: Any = "off") -> tuple[Any, list[Delta]]:
        """Return the response and the deltas of a stream."""
        pieces = ChatFormat(tags).begin()
        deltas = [delta for each in values for delta in pieces.feed(each)]
        deltas += pieces.end()
        assert pieces.finished
        return pieces.response(), deltas

    def test_thinking_text_and_counts(self) -> None:
        """Thinking and text are separate; the counts are in the last value."""
        end = {**END, "done_reason": "length", "prompt_eval_count": 26, "eval_count": 9}
        response, deltas = self.read(value(content="", thinking="Hm."), value(content="Yes"), value(content="."), end)
        assert deltas == [ReasoningDelta("Hm."), TextDelta("Yes"), TextDelta(".")]
        assert (response.content, response.reasoning, response.finish_reason) == ("Yes.", "Hm.", "length")
        assert (response.usage.input_tokens, response.usage.output_tokens) == (26, 9)

    def test_a_cached_prompt_has_no_count(self) -> None:
        """Older servers leave out the count of a prompt that they had cached."""
        response, _ = self.read(value(content="Yes."), {**END, "eval_count": 9})
        assert (response.usage.input_tokens, response.usage.output_tokens) == (0, 9)

    def test_tags_in_the_text(self) -> None:
        """With a template unknown to the server, reasoning is within the text."""
        response, _ = self.read(value(content="<think>Hm."), value(content="</think>Yes."), END, tags="start")
        assert (response.content, response.reasoning) == ("Yes.", "Hm.")

    def test_calls_are_never_merged(self) -> None:
        """Equal calls, in one value and in several, are calls of their own, whatever the server's numbers say."""
        call = {"function": {"index": 0, "name": "clock", "arguments": {}}}
        response, deltas = self.read(
            value(content="", tool_calls=[call, call]),
            value(content="", tool_calls=[call]),
            {**END, "done_reason": "stop"},
        )
        assert [each.name for each in response.tool_calls] == ["clock"] * 3
        assert len({each.id for each in response.tool_calls}) == 3
        assert response.finish_reason == "tool_calls"
        assert [each.index for each in deltas if isinstance(each, ToolCallDelta)] == [0, 1, 2]

    def test_ids_of_the_server_stay(self) -> None:
        """Newer servers give ids; without them, another answer has other ids."""
        call = {"function": {"name": "clock", "arguments": {}}}
        given, _ = self.read(value(content="", tool_calls=[{"id": "call_x", **call}]), END)
        first, _ = self.read(value(content="", tool_calls=[call]), END)
        later, _ = self.read({**value(content="", tool_calls=[call]), "created_at": "u"}, END)
        assert given.tool_calls[0].id == "call_x"
        assert first.tool_calls[0].id != later.tool_calls[0].id

    def test_a_cut_answer_with_calls(self) -> None:
        """An answer that ran out of tokens says so, even after a call."""
        call = {"function": {"name": "clock", "arguments": {}}}
        response, _ = self.read(value(content="", tool_calls=[call]), {**END, "done_reason": "length"})
        assert response.finish_reason == "length"

    def test_a_value_without_a_message_may_end_a_stream(self) -> None:
        """The last value needs no message."""
        response, _ = self.read(value(content="Yes."), {"done": True, "done_reason": "stop"})
        assert response.content == "Yes."

    def test_errors_are_reported(self) -> None:
        """An error in place of a value is not a broken value."""
        with pytest.raises(ReportedError) as caught:
            ChatFormat().begin().feed({"error": "the model has crashed"})
        assert caught.value.error["message"] == "the model has crashed"

    @pytest.mark.parametrize(
        "broken",
        [
            {"model": "m"},
            {**END, "message": "text"},
            value(content=7),
            value(content="", tool_calls={"function": {}}),
            value(content="", tool_calls=[{"name": "clock"}]),
            {**END, "done": False},
        ],
    )
    def test_other_shapes_are_refused(self, broken: dict[str, Any]) -> None:
        """Anything but an answer is a `ValueError`, which the reader turns into a `ModelError`."""
        with pytest.raises(ValueError, match=r"message|content|tool_calls|done"):
            ChatFormat().read(broken)
