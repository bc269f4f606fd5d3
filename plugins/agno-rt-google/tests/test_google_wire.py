"""Requests in Gemini's format as pure values: contents, tools, thinking, output types, media, signatures."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
import pytest
from agno_rt_google import GoogleModel, Server
from agno_rt_google.answers import Reading, read_content
from agno_rt_google.wire import UNSIGNED, request_bytes

from agno_rt import Message, ModelRequest, ModelSettings, ToolCall, media, tool
from agno_rt.errors import UsageError
from agno_rt.wire.refusals import Peer

GIF = base64.b64decode("R0lGODlhAQABAIAAAP8AAAAAACwAAAAAAQABAAACAkQBADs=")
PDF = b"%PDF-1.4\n%%EOF\n"
FLASH = "gemini-3.8-flash"
OLD = "gemini-2.5-flash"
HI = (Message("user", "Hi."),)


@tool
def weather(city: str, days: int = 1) -> str:
    """Current weather in a city."""
    return f"Sun in {city} for {days} days"


@tool(name="now.here")
def now() -> str:
    """The time."""
    return "noon"


def make_body(request: ModelRequest, model: str = FLASH, **settings: Any) -> dict[str, Any]:
    """Return the body of the request to a model of the Gemini API."""
    body: dict[str, Any] = json.loads(request_bytes(request, GoogleModel(model, Server(**settings)).dialect))
    return body


def read(parts: list[dict[str, Any]], model: str = FLASH) -> Message:
    """Return the message of an answer with these parts."""
    body = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "responseId": "r1"}
    dialect = GoogleModel(model).dialect
    peer = Peer(name="m", provider="m", model="m", url="u")
    said = read_content(json.dumps(body).encode(), Reading(peer=peer, model=model, service=dialect.service))
    return Message("assistant", said.content, tuple(said.tool_calls), native=said.native)


def test_settings_of_the_answer() -> None:
    """Each setting has its place in `generationConfig`, and settings that nobody made are absent."""
    settings = ModelSettings(temperature=0.0, max_tokens=50, seed=7, stop=("END", "STOP"))
    made = make_body(ModelRequest(HI, settings=settings), show_thinking=False)
    assert made["generationConfig"] == {
        "temperature": 0.0,
        "maxOutputTokens": 50,
        "seed": 7,
        "stopSequences": ["END", "STOP"],
    }
    assert make_body(ModelRequest(HI), show_thinking=False) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi."}]}]
    }


def test_extra_fields_go_into_the_body() -> None:
    """Extra fields win; those of `generationConfig` and `toolConfig` join the others, and the contents stay last."""
    extra = {"generationConfig": {"topK": 3, "temperature": 1}, "cachedContent": "cachedContents/c1"}
    made = make_body(ModelRequest(HI, settings=ModelSettings(temperature=0.5, max_tokens=9, extra=extra)))
    assert made["generationConfig"]["topK"] == 3
    assert (made["generationConfig"]["temperature"], made["generationConfig"]["maxOutputTokens"]) == (1, 9)
    assert made["cachedContent"] == "cachedContents/c1"
    assert list(made)[-1] == "contents"
    cached = make_body(
        ModelRequest((Message("system", "Be brief."), *HI), (weather,), "none", settings=ModelSettings(extra=extra))
    )
    assert {"tools", "toolConfig", "systemInstruction"}.isdisjoint(cached)
    replaced = {"contents": [{"role": "user", "parts": [{"text": "Else."}]}]}
    assert make_body(ModelRequest(HI, settings=ModelSettings(extra=replaced)))["contents"] == replaced["contents"]


@pytest.mark.parametrize(
    ("model", "thinking", "expected"),
    [
        (FLASH, "auto", {"includeThoughts": True}),
        (FLASH, "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
        (OLD, 512, {"thinkingBudget": 512, "includeThoughts": True}),
        (OLD, "off", {"thinkingBudget": 0}),
        ("gemini-4-new", "high", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-2.0-flash", "auto", None),
        ("unknown", "auto", None),
    ],
)
def test_thinking(model: str, thinking: Any, expected: Any) -> None:
    """Levels and budgets go to the models that take them, and only thinking models are asked for thoughts."""
    made = make_body(ModelRequest(HI), model, thinking=thinking)
    assert made.get("generationConfig", {}).get("thinkingConfig") == expected


@pytest.mark.parametrize(
    ("model", "thinking"), [(FLASH, "off"), (FLASH, 512), (FLASH, "minimal"), (OLD, "low"), ("gemini-2.0-flash", 1)]
)
def test_refused_thinking_is_an_error_at_once(model: str, thinking: Any) -> None:
    """A choice that the model is known to refuse is a `UsageError` with the model's choices."""
    with pytest.raises(UsageError, match="does not accept thinking") as caught:
        make_body(ModelRequest(HI), model, thinking=thinking)
    assert caught.value.hint


def test_tools() -> None:
    """Tools are function declarations with their schema; one without parameters has no schema; odd names are mended."""
    made = make_body(ModelRequest(HI, (weather, now)), server_tools=({"googleSearch": {}},))
    [own, search] = made["tools"]
    first, second = own["functionDeclarations"]
    assert (first["name"], first["description"]) == ("weather", "Current weather in a city.")
    assert first["parametersJsonSchema"]["required"] == ["city"]
    assert "parametersJsonSchema" not in second
    assert second["name"].startswith("now_here_")
    assert search == {"googleSearch": {}}
    assert "toolConfig" not in made


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("weather", {"mode": "ANY", "allowedFunctionNames": ["weather"]}),
    ],
)
def test_tool_choice(choice: str, expected: dict[str, Any]) -> None:
    """Each choice is a mode of function calling; a tool's name is the only allowed name."""
    made = make_body(ModelRequest(HI, (weather, now), choice))
    assert made["toolConfig"] == {"functionCallingConfig": expected}


def test_output_types() -> None:
    """The schema of the output is sent as JSON Schema; older models with tools read it in the system instruction."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    made = make_body(ModelRequest(HI, (weather,), output=schema))
    assert made["generationConfig"]["responseMimeType"] == "application/json"
    assert made["generationConfig"]["responseJsonSchema"] == schema
    assert "responseJsonSchema" in make_body(ModelRequest(HI, output=schema), OLD)["generationConfig"]
    old = make_body(ModelRequest(HI, (weather,), output=schema), OLD)
    assert "responseJsonSchema" not in old["generationConfig"]
    assert '"integer"' in old["systemInstruction"]["parts"][-1]["text"]


def test_conversation() -> None:
    """System messages are one instruction; results of a turn are in one content, with the user's next words."""
    calls = (ToolCall("x/1", "weather", '{"city": "Seoul"}'), ToolCall("x/2", "weather", "broken"))
    history = (
        Message("system", "Be brief."),
        Message("user", ("Look.", " ")),
        Message("assistant", "I look.", calls),
        Message("tool", "Sun", (), "x/1", "weather"),
        Message("tool", "Rain", (), "x/2", "weather"),
        Message("user", "Thanks."),
        Message("assistant", ""),
        Message("system", "Be kind."),
    )
    made = make_body(ModelRequest(history, (weather,)), OLD)
    assert made["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert made["contents"] == [
        {"role": "user", "parts": [{"text": "Look."}]},
        {
            "role": "model",
            "parts": [
                {"text": "I look."},
                {"functionCall": {"name": "weather", "args": {"city": "Seoul"}}},
                {"functionCall": {"name": "weather", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "weather", "response": {"output": "Sun"}}},
                {"functionResponse": {"name": "weather", "response": {"output": "Rain"}}},
                {"text": "Thanks."},
            ],
        },
    ]


def test_calls_of_another_model_are_marked_as_unsigned() -> None:
    """A model that wants signatures gets the documented mark for calls it did not make: on the first of a turn."""
    calls = (ToolCall("a", "weather", '{"city": "Seoul"}'), ToolCall("b", "weather", '{"city": "Oslo"}'))
    history = (*HI, Message("assistant", "", calls))
    [_, content] = make_body(ModelRequest(history, (weather,)))["contents"]
    assert [part.get("thoughtSignature") for part in content["parts"]] == [UNSIGNED, None]
    assert UNSIGNED.encode() not in request_bytes(ModelRequest(history), GoogleModel(OLD).dialect)


def test_own_answers_go_back_unchanged() -> None:
    """The parts of an answer go back with signatures, ids and their order; the results carry the service's ids."""
    parts: list[dict[str, Any]] = [
        {"text": "A summary.", "thought": True},
        {"text": "Let me see.", "thoughtSignature": "c2ln+/=="},
        {"functionCall": {"id": "f1", "name": "weather", "args": {"city": "Séoul", "deep": [1.0, 2]}}},
        {"functionCall": {"name": "weather", "args": {}}, "thoughtSignature": "bW9yZQ=="},
        {"text": "", "thoughtSignature": "ZW5k"},
    ]
    said = read(parts)
    results = [Message("tool", "Sun", (), call.id, call.name) for call in said.tool_calls]
    [_, content, answers] = make_body(ModelRequest((*HI, said, *results), (weather,)))["contents"]
    assert content == {"role": "model", "parts": parts[1:]}
    assert [part["functionResponse"].get("id") for part in answers["parts"]] == ["f1", None]
    other = make_body(ModelRequest((*HI, said, *results)), OLD)["contents"]
    assert "c2ln" not in json.dumps(other)
    assert "f1" not in json.dumps(other)
    changed = attrs.evolve(said, content="Else.")
    assert "c2ln" not in json.dumps(make_body(ModelRequest((*HI, changed, *results))))


def test_media() -> None:
    """Bytes go inline, addresses as file data; a type that the address does not tell is left to the service."""
    parts = (
        "Look:",
        media.image(GIF),
        media.file(PDF, name="a.pdf"),
        media.audio(b"RIFF\x24\x00\x00\x00WAVEfmt ", media_type="audio/wav"),
        media.image("https://example.com/cat.png"),
        media.video("https://example.com/watch?v=1"),
        media.file(b"plain words", name="a.txt"),
    )
    [content] = make_body(ModelRequest((Message("user", parts),)), "unknown")["contents"]
    kinds = [next(iter(part)) for part in content["parts"]]
    assert kinds == ["text", "inlineData", "inlineData", "inlineData", "fileData", "fileData", "text"]
    assert content["parts"][1]["inlineData"] == {"mimeType": "image/gif", "data": base64.b64encode(GIF).decode()}
    assert content["parts"][2]["inlineData"]["mimeType"] == "application/pdf"
    assert content["parts"][4]["fileData"] == {"mimeType": "image/png", "fileUri": "https://example.com/cat.png"}
    assert content["parts"][5]["fileData"] == {"fileUri": "https://example.com/watch?v=1"}
    assert "plain words" in content["parts"][6]["text"]


def test_media_in_results() -> None:
    """Newer models get images within the result; for older ones they follow all results of the turn."""
    calls = (ToolCall("a", "weather", '{"city": "Seoul"}'), ToolCall("b", "weather", '{"city": "Oslo"}'))
    history = (
        *HI,
        Message("assistant", "", calls),
        Message("tool", ("Here:", media.image(GIF)), (), "a", "weather"),
        Message("tool", "Sun", (), "b", "weather"),
    )
    new = make_body(ModelRequest(history, (weather,)))["contents"][-1]["parts"]
    assert [next(iter(part)) for part in new] == ["functionResponse", "functionResponse"]
    assert new[0]["functionResponse"]["parts"][0]["inlineData"]["mimeType"] == "image/gif"
    old = make_body(ModelRequest(history, (weather,)), OLD)["contents"][-1]["parts"]
    assert [next(iter(part)) for part in old] == ["functionResponse", "functionResponse", "inlineData"]
    assert old[0]["functionResponse"]["response"] == {"output": "Here:"}


def test_media_outside_the_format_are_refused() -> None:
    """Media in a system message, in an answer, and of a type that no model reads, are `UsageError`s with a remedy."""
    picture = media.image(GIF)
    archive = media.file(b"PK\x03\x04" + b"\0" * 30, name="a.zip")
    for message in (
        Message("system", ("A", picture)),
        Message("assistant", ("A", picture)),
        Message("user", ("A", archive)),
    ):
        with pytest.raises(UsageError) as caught:
            make_body(ModelRequest((*HI, message)))
        assert caught.value.hint


def test_values_outside_json_are_refused() -> None:
    """An object that JSON cannot carry is a `UsageError`; half a character is replaced."""
    with pytest.raises(UsageError, match="JSON"):
        make_body(ModelRequest(HI, settings=ModelSettings(extra={"labels": object()})))
    assert make_body(ModelRequest((Message("user", "a\udc80"),)))["contents"][0]["parts"][0]["text"] == "a\ufffd"


def test_a_conversation_that_begins_with_an_answer() -> None:
    """Messages of the user stand before the first answer, which a bound on the history may make the first message.

    The service wants a call behind the user or behind results: diegosouzapw/OmniRoute PR#13573.
    """
    call = ToolCall("c1", "weather", '{"city": "Oslo"}')
    cut = (
        Message("system", "Be brief."),
        Message("assistant", "", (call,)),
        Message("tool", "Sun.", (), "c1", "weather"),
    )
    contents = make_body(ModelRequest((*cut, Message("assistant", "Sunny."), *HI), (weather,)))["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user", "model", "user"]
    assert contents[0]["parts"] == [{"text": "(Earlier messages are left out.)"}]
    assert "functionCall" in contents[1]["parts"][0]
