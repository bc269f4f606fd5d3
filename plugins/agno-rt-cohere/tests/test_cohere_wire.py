"""Requests and answers in Cohere's chat format, without a connection.

References: Cohere's API reference, "Chat" and "Chat with streaming"; its guide "Streaming for tool use".
"""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from agno_rt_cohere.answers import ChatFormat
from agno_rt_cohere.facts import Facts
from agno_rt_cohere.wire import request_bytes

from agno_rt import Message, ModelRequest, ModelResponse, ModelSettings, ToolCall, tool
from agno_rt.errors import UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Media
from agno_rt.wire.chat_completions import ReportedError

DOT = Media("image", "image/png", b"\x89PNG dot")
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
CITATION = {"start": 0, "end": 3, "text": "Sun", "sources": [{"type": "tool", "id": "a:0"}], "type": "TEXT_CONTENT"}
CALL = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Seoul"}'}}
USAGE = {"billed_units": {"input_tokens": 5, "output_tokens": 10}, "tokens": {"input_tokens": 15, "output_tokens": 10}}


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


def event(type_: str, index: int | None = None, **message: Any) -> dict[str, Any]:
    """Return an event with a piece of a message."""
    return {"type": type_, "index": index, "delta": {"message": message}}


def end(reason: str = "COMPLETE", **fields: Any) -> dict[str, Any]:
    """Return the last event."""
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": USAGE, **fields}}


def read(*events: dict[str, Any], names: dict[str, str] | None = None) -> tuple[ModelResponse, list[Delta]]:
    """Return the response and the deltas of a stream."""
    pieces = ChatFormat(names or {}).begin()
    deltas = [delta for each in events for delta in pieces.feed(each)]
    deltas += pieces.end()
    assert pieces.finished
    return pieces.response(), deltas


def say(response: ModelResponse) -> Message:
    """Return the message that a run keeps of a response."""
    calls = tuple(response.tool_calls)
    return Message("assistant", response.content, calls, None, None, response.reasoning, response.native)


class TestRequests:
    """Requests to bodies."""

    def test_a_plain_request(self) -> None:
        """Without settings, the body has the model, the mode and the messages."""
        assert body() == {"model": "m", "stream": False, "messages": [{"role": "user", "content": "Hi."}]}
        assert body(stream=True)["stream"] is True

    def test_settings(self) -> None:
        """Parameters have the service's names; `extra` wins, but not over the mode."""
        settings = ModelSettings(0.0, 64, 7, "END", extra={"p": 0.9, "seed": 8, "stream": True})
        sent = body(settings=settings)
        assert {
            name: sent[name] for name in ("temperature", "max_tokens", "seed", "stop_sequences", "p", "stream")
        } == {
            "temperature": 0.0,
            "max_tokens": 64,
            "seed": 8,
            "stop_sequences": ["END"],
            "p": 0.9,
            "stream": False,
        }

    @pytest.mark.parametrize(
        ("thinking", "sent"),
        [
            (True, {"type": "enabled"}),
            (False, {"type": "disabled"}),
            (500, {"type": "enabled", "token_budget": 500}),
        ],
    )
    def test_thinking(self, thinking: bool | int, sent: dict[str, Any]) -> None:
        """Thinking is on, off, or bounded."""
        assert body(facts=Facts(thinking=thinking))["thinking"] == sent

    def test_options_of_the_service(self) -> None:
        """Citations, safety and strict tools have values in capitals, and only where they apply."""
        facts = Facts(citations="off", safety_mode="strict", strict_tools=True)
        sent = body(facts=facts, tools=(clock,))
        assert (sent["citation_options"], sent["safety_mode"], sent["strict_tools"]) == (
            {"mode": "OFF"},
            "STRICT",
            True,
        )
        assert "strict_tools" not in body(facts=facts)

    def test_calls_and_results(self) -> None:
        """Calls have the form of chat completions; results are blocks; an empty text is left out."""
        calls = (ToolCall("a", "weather", '{"city": "Seoul"}'),)
        sent = body(Message("assistant", "", calls, reasoning="Hm."), Message("tool", "Sun", (), "a", "weather"))
        assert sent["messages"] == [
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "content": [{"type": "text", "text": "Sun"}], "tool_call_id": "a"},
        ]

    def test_names_of_people_are_not_sent(self) -> None:
        """The format has no names."""
        assert body(Message("user", "Hi.", name="Ada"))["messages"] == [{"role": "user", "content": "Hi."}]

    def test_images(self) -> None:
        """Images are parts; those of a result follow in a message of the user."""
        [sent] = body(Message("user", ("See:", DOT)))["messages"]
        assert [part["type"] for part in sent["content"]] == ["text", "image_url"]
        result = body(Message("tool", ("See:", DOT), (), "a", "weather"))["messages"]
        assert [each["role"] for each in result] == ["tool", "user"]

    @pytest.mark.parametrize("media", [Media("audio", "audio/wav", b"RIFF"), Media("file", "application/pdf", b"%PDF")])
    def test_refuses_other_media(self, media: Media) -> None:
        """Content outside the format is refused before any request."""
        with pytest.raises(UsageError, match="cannot be sent to Cohere"):
            body(Message("user", (media,)))

    @pytest.mark.parametrize(
        ("choice", "offered", "sent"),
        [
            ("auto", ["weather", "clock"], None),
            ("none", ["weather", "clock"], "NONE"),
            ("required", ["weather", "clock"], "REQUIRED"),
            ("clock", ["clock"], "REQUIRED"),
        ],
    )
    def test_tool_choice(self, choice: str, offered: list[str], sent: str | None) -> None:
        """The format cannot name a tool, so a named one is offered alone."""
        asked = body(tools=(weather, clock), tool_choice=choice)
        assert [each["function"]["name"] for each in asked["tools"]] == offered
        assert asked.get("tool_choice") == sent

    def test_a_schema(self) -> None:
        """The schema is the response format; beside tools it is in words, because the service refuses both at once."""
        assert body(output=SCHEMA)["response_format"] == {"type": "json_object", "json_schema": SCHEMA}
        sent = body(Message("system", "Be brief."), Message("user", "Hi."), output=SCHEMA, tools=(clock,))
        assert "response_format" not in sent
        assert [each["role"] for each in sent["messages"]] == ["system", "system", "user"]
        assert '"sum"' in sent["messages"][1]["content"]


class TestAnswers:
    """Bodies and events to responses."""

    def test_a_plan_and_calls(self) -> None:
        """The plan before the calls is reasoning; the pieces of arguments are joined by index."""
        response, deltas = read(
            {"type": "message-start", "id": "x1", "delta": {"message": {"role": "assistant"}}},
            event("tool-plan-delta", tool_plan="I look"),
            event("tool-plan-delta", tool_plan=" it up."),
            event("tool-call-start", 0, tool_calls={**CALL, "function": {"name": "weather", "arguments": ""}}),
            event("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"city": '}}),
            event("tool-call-delta", 0, tool_calls={"function": {"arguments": '"Seoul"}'}}),
            {"type": "tool-call-end", "index": 0},
            event("tool-call-start", 1, tool_calls={"id": "b", "function": {"name": "clock", "arguments": ""}}),
            event("tool-call-delta", 1, tool_calls={"function": {"arguments": "{}"}}),
            end("TOOL_CALL"),
        )
        assert response.reasoning == "I look it up."
        assert list(response.tool_calls) == [
            ToolCall("a", "weather", '{"city": "Seoul"}'),
            ToolCall("b", "clock", "{}"),
        ]
        assert (response.finish_reason, response.request_id, response.content) == ("tool_calls", "x1", "")
        assert [each.index for each in deltas if isinstance(each, ToolCallDelta)] == [0, 0, 0, 1, 1]

    def test_citations_stay_out_of_the_text(self) -> None:
        """Citations are in the service's own form of the message only, whole and streamed."""
        streamed, deltas = read(
            event("content-start", 0, content={"type": "text", "text": ""}),
            event("content-delta", 0, content={"text": "Sun"}),
            event("citation-start", 0, citations=CITATION),
            {"type": "citation-end", "index": 0},
            event("content-delta", 0, content={"text": "."}),
            end(),
        )
        message = {"role": "assistant", "content": [{"type": "text", "text": "Sun."}], "citations": [CITATION]}
        whole = ChatFormat().read({"message": message, "finish_reason": "COMPLETE", "usage": USAGE})
        assert deltas == [TextDelta("Sun"), TextDelta(".")]
        assert whole == streamed
        assert whole.content == "Sun."
        assert whole.native is not None
        assert json.loads(whole.native.data) == message

    def test_thinking_goes_back(self) -> None:
        """Thinking, plan, calls and citations return as they came; a changed message is sent as text."""
        response, deltas = read(
            event("content-delta", 0, content={"thinking": "Hm."}),
            event("content-delta", 1, content={"text": "Look."}),
            event("tool-call-start", 0, tool_calls=CALL),
            end("TOOL_CALL"),
        )
        assert deltas[:2] == [ReasoningDelta("Hm."), TextDelta("Look.")]
        said = say(response)
        assert body(Message("user", "Hi."), said)["messages"][1] == {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Look."}],
            "tool_calls": [CALL],
        }
        changed = attrs.evolve(said, content="Other.")
        assert body(changed)["messages"] == [{"role": "assistant", "content": "Other.", "tool_calls": [CALL]}]

    def test_renamed_tools_go_back_under_the_sent_name(self) -> None:
        """The service knows a renamed tool by the name that was sent."""
        sent = {**CALL, "function": {"name": "odd_name", "arguments": "{}"}}
        response, _ = read(
            event("tool-plan-delta", tool_plan="Hm."),
            event("tool-call-start", 0, tool_calls=sent),
            end("TOOL_CALL"),
            names={"odd_name": "odd name"},
        )
        assert response.tool_calls[0].name == "odd name"
        assert response.native is not None
        assert json.loads(response.native.data)["tool_calls"] == [sent]

    def test_a_plain_answer_has_no_form_of_its_own(self) -> None:
        """Text and calls alone are in the message already."""
        response, _ = read(event("content-delta", 0, content={"text": "Hi."}), end())
        assert response.native is None

    def test_counts(self) -> None:
        """The tokens of the model count; billed units are a fallback."""
        usage = {**USAGE, "cached_tokens": 4.0}
        response, _ = read(event("content-delta", 0, content={"text": "Hi."}), end(usage=usage))
        assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.cached_tokens) == (15, 10, 4)
        billed, _ = read(
            event("content-delta", 0, content={"text": "Hi."}), end(usage={"billed_units": {"input_tokens": 5}})
        )
        assert billed.usage.input_tokens == 5

    @pytest.mark.parametrize(
        ("word", "reason"),
        [("COMPLETE", "stop"), ("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("ERROR_TOXIC", "content_filter")],
    )
    def test_reasons(self, word: str, reason: str) -> None:
        """Each word of the service has its finish reason."""
        response, _ = read(event("content-delta", 0, content={"text": "Hi."}), end(word))
        assert response.finish_reason == reason

    @pytest.mark.parametrize(
        "broken",
        [
            end("ERROR", error="out of memory"),
            end("TIMEOUT"),
            {"type": "message-end", "delta": {"error": "out of memory"}},
            {"message": "too many tokens"},
        ],
    )
    def test_failures(self, broken: dict[str, Any]) -> None:
        """A failure in the middle of an answer is an error, and not half an answer."""
        pieces = ChatFormat().begin()
        pieces.feed(event("content-delta", 0, content={"text": "Hi."}))
        with pytest.raises(ReportedError):
            pieces.feed(broken)

    def test_unknown_events_are_passed_over(self) -> None:
        """New events and blocks may appear at any time."""
        response, _ = read(
            {"type": "debug", "prompt": "x"},
            event("content-start", 0, content={"type": "sound", "sound": "x"}),
            event("content-delta", 1, content={"text": "Hi."}),
            end(),
        )
        assert response.content == "Hi."

    @pytest.mark.parametrize(
        "broken",
        [
            {"type": "content-delta"},
            event("content-delta", 0, content=[]),
            event("content-delta", 0, content={"text": 7}),
            event("tool-plan-delta", tool_plan=7),
            event("tool-call-start", 0),
            {"type": "message-end"},
            {"index": 0},
        ],
    )
    def test_other_shapes_are_refused(self, broken: dict[str, Any]) -> None:
        """Anything but an event is a `ValueError`, which the reader turns into a `ModelError`."""
        with pytest.raises(ValueError, match=r"delta|text|tool_plan|tool_calls|type"):
            ChatFormat().begin().feed(broken)

    @pytest.mark.parametrize(
        "value", [{}, {"id": "x"}, {"message": {"content": "text"}}, {"message": {"tool_calls": {}}}]
    )
    def test_other_bodies_are_refused(self, value: dict[str, Any]) -> None:
        """A body without a message is not an answer."""
        with pytest.raises(ValueError, match=r"message|content|tool_calls"):
            ChatFormat().read(value)
