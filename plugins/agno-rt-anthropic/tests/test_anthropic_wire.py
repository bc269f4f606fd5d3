"""Requests in the messages format, as bytes: what each setting and each part of a conversation becomes.

Reference: Anthropic's API reference, "Create a Message", and the guides that the tests name.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec
import pytest
from agno_rt_anthropic.facts import OTHER, Facts, known
from agno_rt_anthropic.wire import SERVICE, Dialect, header_betas, request_bytes

from agno_rt import Message, ModelRequest, ModelSettings, ToolCall, media, tool
from agno_rt.errors import UsageError
from agno_rt.messages import Native
from agno_rt.wire.native import seal_native

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
"""One red pixel."""
PDF = b"%PDF-1.4\n%%EOF\n"
HI = Message("user", "Hi.")


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


@tool(name="time now!")
def clock() -> str:
    """The current time."""
    return "noon"


def dialect(model: str = "m", **settings: Any) -> Dialect:
    """Make a dialect for a model with its known facts; facts among the settings override them."""
    names = {field.name for field in attrs.fields(Facts)}
    facts = Facts(**{name: settings.pop(name) for name in list(settings) if name in names})
    return Dialect(model=model, facts=facts.over(known(model)).over(OTHER), **{"cache": "off", **settings})


def body(request: ModelRequest, wire: Dialect | None = None, *, stream: bool = False) -> dict[str, Any]:
    """Return the body of the request as a value."""
    value: dict[str, Any] = msgspec.json.decode(request_bytes(request, wire or dialect(), stream=stream))
    return value


def said(*messages: Message, wire: Dialect | None = None, **request: Any) -> list[dict[str, Any]]:
    """Return the messages of a body."""
    messages_: list[dict[str, Any]] = body(ModelRequest(messages, **request), wire)["messages"]
    return messages_


def text(words: str) -> dict[str, Any]:
    """Make a block of text."""
    return {"type": "text", "text": words}


def sealed(model: str, blocks: Sequence[Mapping[str, Any]], content: str, calls: Sequence[ToolCall] = ()) -> Native:
    """Seal blocks as an answer of the model."""
    data = msgspec.json.encode({"model": model, "content": blocks})
    return seal_native(SERVICE, data, content, calls)


class TestBody:
    """The parameters beside the conversation."""

    def test_the_least(self) -> None:
        """A plain question has the model, the most tokens, and the message."""
        assert body(ModelRequest((HI,))) == {
            "model": "m",
            "max_tokens": 16_000,
            "messages": [{"role": "user", "content": [text("Hi.")]}],
        }

    def test_streams_on_request(self) -> None:
        """Only the caller decides about the stream, and the conversation stands last."""
        asked = body(ModelRequest((HI,), settings=ModelSettings(extra={"stream": False})), stream=True)
        assert asked["stream"] is True
        assert list(asked)[-1] == "messages"
        assert "stream" not in body(ModelRequest((HI,), settings=ModelSettings(extra={"stream": True})))

    def test_settings(self) -> None:
        """Settings take the format's names; the format has no seed."""
        settings = ModelSettings(temperature=0.0, max_tokens=9, seed=1, stop=("END",), extra={"top_k": 3})
        asked = body(ModelRequest((HI,), settings=settings))
        assert (asked["temperature"], asked["max_tokens"], asked["top_k"]) == (0.0, 9, 3)
        assert asked["stop_sequences"] == ["END"]
        assert "seed" not in asked

    @pytest.mark.parametrize(
        "wire", [dialect("claude-opus-5-5"), dialect(version="2026-10-21"), dialect("claude-haiku-4-5", thinking=2_000)]
    )
    def test_no_temperature_where_it_is_refused(self, wire: Dialect) -> None:
        """Newer models and versions refuse any temperature ("Migrating to API version 2026-10-21", "Thinking")."""
        assert "temperature" not in body(ModelRequest((HI,), settings=ModelSettings(temperature=1.0)), wire)

    def test_extra_wins(self) -> None:
        """Extra fields override; the configuration of the output keeps its other keys."""
        schema = {"type": "object", "properties": {}, "additionalProperties": False}
        settings = ModelSettings(extra={"output_config": {"effort": "low"}, "max_tokens": 1})
        asked = body(ModelRequest((HI,), output=schema, settings=settings))
        assert asked["max_tokens"] == 1
        assert asked["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": schema}}

    def test_what_json_cannot_say(self) -> None:
        """An object in `extra` that JSON cannot carry is the caller's mistake."""
        with pytest.raises(UsageError, match="cannot be written as JSON"):
            body(ModelRequest((HI,), settings=ModelSettings(extra={"metadata": object()})))

    def test_half_a_character(self) -> None:
        """Half a surrogate pair becomes the replacement character."""
        assert said(Message("user", "a\ud800b")) == [{"role": "user", "content": [text("a\ufffdb")]}]


class TestThinking:
    """Each model gets the fields that it accepts: "Thinking", "Effort" and "Preserved thinking"."""

    def test_summaries_of_models_that_think_unasked(self) -> None:
        """Models that think by themselves are asked for summaries, and to drop thinking whose history has changed."""
        wire = dialect("claude-sonnet-5-5")
        binding = {"prefix_mismatch_behavior": "drop_block"}
        asked = body(ModelRequest((HI,)), wire)
        assert asked["thinking"] == {"type": "adaptive", "display": "summarized", "block_binding": binding}
        assert header_betas(wire) == ("thinking-binding-controls-2026-08-01",)

    def test_an_error_for_changed_history_on_request(self) -> None:
        """With `drop_stale_thinking` off, nothing of it is sent."""
        wire = dialect("claude-sonnet-5-5", drop_stale_thinking=False, show_thinking=False)
        assert body(ModelRequest((HI,)), wire)["thinking"] == {"type": "adaptive"}
        assert header_betas(wire) == ()

    @pytest.mark.parametrize(
        ("model", "thinking", "sent"),
        [
            ("m", "auto", None),
            ("claude-opus-4-8", "auto", None),
            ("claude-opus-4-8", "adaptive", {"type": "adaptive", "display": "summarized"}),
            ("claude-haiku-4-5", 2_000, {"type": "enabled", "budget_tokens": 2_000, "display": "summarized"}),
            ("claude-sonnet-5", "off", {"type": "disabled"}),
            ("claude-sonnet-5-5", "off", {"type": "between_tools"}),
            ("m", "off", {"type": "disabled"}),
        ],
    )
    def test_forms(self, model: str, thinking: Any, sent: dict[str, Any] | None) -> None:
        """Each model gets its own form of the same wish."""
        assert body(ModelRequest((HI,)), dialect(model, thinking=thinking)).get("thinking") == sent

    @pytest.mark.parametrize(
        ("model", "thinking"),
        [("claude-opus-5-5", "off"), ("claude-opus-5-5", 2_000), ("claude-haiku-4-5", "adaptive")],
    )
    def test_refused_before_sending(self, model: str, thinking: Any) -> None:
        """A wish that the model refuses is an error with a remedy."""
        with pytest.raises(UsageError) as caught:
            body(ModelRequest((HI,)), dialect(model, thinking=thinking))
        assert caught.value.hint

    def test_a_budget_beside_the_answer(self) -> None:
        """The budget counts towards max_tokens, so the default grows by it, within the model's limit."""
        assert body(ModelRequest((HI,)), dialect("claude-haiku-4-5", thinking=8_000))["max_tokens"] == 24_000
        assert body(ModelRequest((HI,)), dialect("claude-haiku-4-5", thinking=60_000))["max_tokens"] == 64_000
        short = ModelRequest((HI,), settings=ModelSettings(max_tokens=100))
        with pytest.raises(UsageError, match="may think for 8000 tokens"):
            body(short, dialect("claude-haiku-4-5", thinking=8_000))

    def test_effort(self) -> None:
        """Effort is part of the output's configuration."""
        assert body(ModelRequest((HI,)), dialect(effort="low"))["output_config"] == {"effort": "low"}


class TestTools:
    """Tools and the choice of a tool: "Define tools" and "Handle tool calls"."""

    def test_declared(self) -> None:
        """Tools have a name within the format, a description and a schema."""
        first, second = body(ModelRequest((HI,), (weather, clock)))["tools"]
        assert first["name"] == "weather"
        assert first["description"] == "Current weather in a city."
        assert first["input_schema"] == weather.parameters
        assert second["name"].startswith("time_now_")

    @pytest.mark.parametrize(
        ("choice", "parallel", "sent"),
        [
            ("auto", True, None),
            ("none", True, {"type": "none"}),
            ("required", True, {"type": "any"}),
            ("weather", True, {"type": "tool", "name": "weather"}),
            ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
            ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ],
    )
    def test_choice(self, choice: str, parallel: bool, sent: dict[str, Any] | None) -> None:
        """Each choice has its form; the default goes without saying."""
        wire = dialect(parallel_tools=parallel)
        assert body(ModelRequest((HI,), (weather,), choice), wire).get("tool_choice") == sent

    def test_a_chosen_tool_has_its_sent_name(self) -> None:
        """A tool with another name in the request is chosen by that name."""
        asked = body(ModelRequest((HI,), (clock,), "time now!"))
        assert asked["tool_choice"] == {"type": "tool", "name": asked["tools"][0]["name"]}

    @pytest.mark.parametrize("wire", [dialect("claude-opus-5-5"), dialect("claude-haiku-4-5", thinking=2_000)])
    def test_models_that_cannot_be_forced(self, wire: Dialect) -> None:
        """A request to a model that refuses forced calls asks in words, after the mark for the cache."""
        wire = attrs.evolve(wire, cache="5m")
        asked = body(ModelRequest((HI,), (weather,), "weather"), wire)
        assert asked["tool_choice"] == {"type": "auto"}
        first, wish = asked["messages"][0]["content"]
        assert "cache_control" in first
        assert wish == text("Call the tool weather now.")

    def test_without_tools_after_calls(self) -> None:
        """A conversation with calls that goes on without tools declares them, and forbids more calls."""
        call = ToolCall("c1", "weather", '{"city": "Seoul"}')
        history = (HI, Message("assistant", "", (call,)), Message("tool", "Sun", (), "c1", "weather"), HI)
        asked = body(ModelRequest(history))
        assert asked["tools"] == [{"name": "weather", "input_schema": {"type": "object"}}]
        assert asked["tool_choice"] == {"type": "none"}

    def test_server_tools(self) -> None:
        """Tools that the service runs follow the agent's own."""
        search = {"type": "web_search_20250305", "name": "web_search"}
        asked = body(ModelRequest((HI,), (weather,)), dialect(server_tools=(search,)))
        assert asked["tools"][1] == search


class TestConversation:
    """Messages as blocks."""

    def test_system_apart(self) -> None:
        """System messages leave the conversation, wherever they stand."""
        asked = body(ModelRequest((Message("system", "Be brief."), HI, Message("system", "Rhyme."))))
        assert asked["system"] == [text("Be brief."), text("Rhyme.")]
        assert len(asked["messages"]) == 1

    def test_calls_and_results(self) -> None:
        """All results of a turn are in one message of the user, before the user's next words."""
        calls = (ToolCall("c1", "weather", '{"city": "Seoul"}'), ToolCall("c2", "time now!", ""))
        user, answer, results = said(
            HI,
            Message("assistant", "Let me see.", calls),
            Message("tool", "Sun", (), "c1", "weather"),
            Message("tool", "noon", (), "c2", "time now!"),
            Message("user", "Thanks."),
            tools=(weather, clock),
        )
        assert (user["role"], answer["role"], results["role"]) == ("user", "assistant", "user")
        first, second, third = answer["content"]
        assert first == text("Let me see.")
        assert second == {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Seoul"}}
        assert (third["input"], third["name"][:9]) == ({}, "time_now_")
        assert results["content"] == [
            {"type": "tool_result", "tool_use_id": "c1", "content": [text("Sun")]},
            {"type": "tool_result", "tool_use_id": "c2", "content": [text("noon")]},
            text("Thanks."),
        ]

    @pytest.mark.parametrize("arguments", ["", "{", "null", "[1]", "nonsense"])
    def test_broken_arguments_become_an_object(self, arguments: str) -> None:
        """The format demands an object as input, whatever the model wrote."""
        [answer] = said(Message("assistant", "", (ToolCall("c1", "weather", arguments),)), tools=(weather,))
        assert answer["content"][0]["input"] == {}

    def test_ids_of_other_services(self) -> None:
        """An id outside the format becomes the same allowed id in the call and in its result."""
        call = ToolCall("functions.weather:0", "weather", "{}")
        result_message = Message("tool", "Sun", (), call.id, "weather")
        answer, result = said(Message("assistant", "", (call,)), result_message, tools=(weather,))
        id_ = answer["content"][0]["id"]
        assert id_ == result["content"][0]["tool_use_id"]
        assert id_.startswith("toolu_")

    def test_blank_texts_are_left_out(self) -> None:
        """The API refuses empty texts and empty messages."""
        assert said(Message("user", ("", "Hi.")), Message("assistant", " \n"), Message("user", "?")) == [
            {"role": "user", "content": [text("Hi."), text("?")]}
        ]
        call = ToolCall("c1", "weather", "{}")
        _, result = said(Message("assistant", "", (call,)), Message("tool", "", (), "c1", "weather"), tools=(weather,))
        assert result["content"] == [{"type": "tool_result", "tool_use_id": "c1"}]


class TestMedia:
    """Images and documents: "Vision" and "PDF support"."""

    def test_of_the_user(self) -> None:
        """Images and PDF go as bytes or addresses; text files as text."""
        content = (
            media.image(PNG),
            media.image("https://example.com/cat.png"),
            media.file(PDF, name="a.pdf"),
            media.file("https://example.com/b.pdf", name="b.pdf"),
            media.file(b"Hello!", name="c.txt"),
        )
        [message] = said(Message("user", content))
        image, linked, pdf, linked_pdf, words = message["content"]
        data = base64.b64encode(PNG).decode()
        assert image == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        assert linked == {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}}
        assert (pdf["type"], pdf["source"]["media_type"], pdf["title"]) == ("document", "application/pdf", "a.pdf")
        assert linked_pdf["source"] == {"type": "url", "url": "https://example.com/b.pdf"}
        assert words == text("c.txt:\n\nHello!")

    def test_of_a_tool(self) -> None:
        """Media in a result stay in the result."""
        call = ToolCall("c1", "weather", "{}")
        _, result = said(
            Message("assistant", "", (call,)),
            Message("tool", ("Look:", media.image(PNG)), (), "c1", "weather"),
            tools=(weather,),
        )
        assert [block["type"] for block in result["content"][0]["content"]] == ["text", "image"]

    @pytest.mark.parametrize("part", [media.audio(b"ID3\4abc", name="a.mp3"), media.file(b"\0\1\2", name="a.bin")])
    def test_what_the_format_cannot_carry(self, part: Any) -> None:
        """Sound and unknown bytes are refused before anything is sent."""
        with pytest.raises(UsageError, match="cannot be sent as"):
            said(Message("user", (part,)))

    @pytest.mark.parametrize("role", ["system", "assistant"])
    def test_only_in_messages_of_the_user(self, role: Any) -> None:
        """No other message can hold an image."""
        with pytest.raises(UsageError, match=f"of the role {role} holds"):
            said(Message(role, ("Look.", media.image(PNG))))


THOUGHTS = [
    {"type": "thinking", "thinking": "One é\u2028", "signature": "c2ln+/=="},
    text("Let me see."),
    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Seoul"}},
    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
    {"type": "thinking", "thinking": "", "signature": "second"},
    {"type": "tool_use", "id": "c2", "name": "weather", "input": {}},
]
CALLS = (ToolCall("c1", "weather", '{"city": "Seoul"}'), ToolCall("c2", "weather", "{}"))


class TestReplay:
    """Thinking goes back unmodified and in order: "Thinking", section "Preserving thinking blocks"."""

    def answer(self, model: str = "m", content: str = "Let me see.") -> Message:
        """Make an answer with two thoughts, a redacted one, and two calls."""
        return Message("assistant", content, CALLS, native=sealed(model, THOUGHTS, "Let me see.", CALLS))

    def test_byte_for_byte(self) -> None:
        """The blocks of the answer are in the request as the very bytes that were sealed."""
        sent = request_bytes(ModelRequest((HI, self.answer())), dialect(), stream=False)
        assert msgspec.json.encode(THOUGHTS) in sent

    def test_by_another_model(self) -> None:
        """Another model gets plain blocks: it may not read the thinking."""
        _, answer = said(HI, self.answer("other"))
        assert [block["type"] for block in answer["content"]] == ["text", "tool_use", "tool_use"]

    def test_after_a_change(self) -> None:
        """A message that a hook changed is rendered from what it says now."""
        _, answer = said(HI, self.answer(content="Changed."))
        assert answer["content"][0] == text("Changed.")


class TestCache:
    """Four marks, and one of them where the previous request had its last: "Prompt caching"."""

    def marked(self, asked: dict[str, Any]) -> list[tuple[str, int, int]]:
        """Return the places of the marks, and take them out of the body."""
        places: list[tuple[str, int, int]] = []
        lists = [("tools", 0, asked.get("tools", [])), ("system", 0, asked.get("system", []))]
        lists += [("messages", at, message["content"]) for at, message in enumerate(asked["messages"])]
        for name, at, blocks in lists:
            for number, block in enumerate(blocks):
                if block.pop("cache_control", None) is not None:
                    places.append((name, at, number))
        return places

    @pytest.mark.parametrize("calls", [1, 12])
    def test_a_mark_stays(self, calls: int) -> None:
        """Each request of a growing conversation marks the end of the previous one, with equal bytes up to there."""
        messages: list[Message] = [Message("system", "Be brief."), HI]
        before: tuple[list[tuple[str, int, int]], bytes] | None = None
        for turn in range(4):
            asked = body(ModelRequest(tuple(messages), (weather,)), dialect(cache="5m"))
            places = self.marked(asked)
            assert len(places) <= 4
            assert {name for name, _, _ in places} == {"tools", "system", "messages"}
            plain = msgspec.json.encode({name: asked[name] for name in ("tools", "system", "messages")})
            if before is not None:
                assert before[0][-1] in places
                assert plain.startswith(before[1].removesuffix(b"]}"))
            before = places, plain
            called = tuple(ToolCall(f"c{turn}_{number}", "weather", '{"city": "Seoul"}') for number in range(calls))
            messages.append(Message("assistant", "", called))
            messages += [Message("tool", "Sun", (), call.id, "weather") for call in called]

    def test_lifetimes(self) -> None:
        """Five minutes are the default; an hour is named; off sets no marks, and marks of one's own replace these."""
        request = ModelRequest((HI,))
        [five] = said(HI, wire=dialect(cache="5m"))
        assert five["content"][0]["cache_control"] == {"type": "ephemeral"}
        [hour] = said(HI, wire=dialect(cache="1h"))
        assert hour["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
        assert self.marked(body(request, dialect(cache="off"))) == []
        own = ModelSettings(extra={"cache_control": {"type": "ephemeral"}})
        assert self.marked(body(attrs.evolve(request, settings=own), dialect(cache="5m"))) == []


class TestBetas:
    """The header for betas: "Beta headers" and "Context editing"."""

    def test_edits_bring_their_betas(self) -> None:
        """Each edit adds the beta that it needs, once, after those of the settings."""
        edits = {"edits": [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}]}
        wire = dialect(context_management=edits, betas=("files-api-2025-04-14",))
        assert header_betas(wire) == ("files-api-2025-04-14", "context-management-2025-06-27")
        assert body(ModelRequest((HI,)), wire)["context_management"] == edits
        assert header_betas(dialect()) == ()


class TestOutput:
    """Output types: "Structured outputs"."""

    def test_a_schema_within_the_subset(self) -> None:
        """The schema is the format of the output."""
        schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
        asked = body(ModelRequest((HI,), output=schema))
        sent = asked["output_config"]["format"]
        assert sent["type"] == "json_schema"
        assert sent["schema"]["properties"]["n"] == {"type": "integer", "description": "(at most 9)"}
        assert sent["schema"]["additionalProperties"] is False
        assert "system" not in asked

    def test_a_schema_beyond_the_subset(self) -> None:
        """A schema that the API refuses goes into the system prompt."""
        schema = {"type": "object", "additionalProperties": {"type": "integer"}}
        asked = body(ModelRequest((Message("system", "Be brief."), HI), output=schema))
        assert "output_config" not in asked
        assert asked["system"][1]["text"].endswith(msgspec.json.encode(schema).decode())
