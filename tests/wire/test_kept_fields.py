"""Fields of chat completions that a service wants back: signatures of calls, and details of reasoning.

Bodies follow Gemini's guide "Thought signatures", on its compatibility with OpenAI, and OpenRouter's guide "Reasoning
tokens".
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt.messages import Message
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.wire.chat_completions import StreamedResponse, request_body, response

SIGNED = {"google": {"thought_signature": "c2ln"}}
CALLS: list[dict[str, Any]] = [
    {"index": 0, "id": "f1", "function": {"name": "weather", "arguments": "{}"}, "extra_content": SIGNED},
    {"index": 1, "id": "f2", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
]
DETAILS: list[dict[str, Any]] = [
    {"type": "reasoning.text", "text": "First, look.", "signature": "s1", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "eHl6", "id": "r1", "format": "openai-responses-v1", "index": 1},
    {"type": "reasoning.encrypted", "data": "enp6", "id": "r1", "format": "openai-responses-v1", "index": 1},
    {"type": "reasoning.text", "text": "Then, say.", "signature": "s2", "format": "anthropic-claude-v1", "index": 2},
    {"type": "reasoning.summary", "summary": "Looked and said.", "format": "openai-responses-v1", "index": 3},
]


def read(message: dict[str, Any], service: str = "s") -> ModelResponse:
    """Read a whole answer."""
    return response({"choices": [{"message": message, "finish_reason": "stop"}]}, service=service)


def read_stream(*deltas: dict[str, Any], service: str = "s") -> ModelResponse:
    """Read a streamed answer."""
    pieces = StreamedResponse(service=service)
    for delta in deltas:
        pieces.feed({"choices": [{"index": 0, "delta": delta}]})
    pieces.feed({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return pieces.response()


def answer_of(got: ModelResponse) -> Message:
    """Return the answer as a message of the conversation."""
    return Message("assistant", got.content, tuple(got.tool_calls), native=got.native)


def send_back(message: Message, service: str = "s") -> dict[str, Any]:
    """Return the body of an answer in the next request."""
    body: dict[str, Any] = request_body(ModelRequest([message]), "m", service=service)["messages"][0]
    return body


@pytest.mark.parametrize("stream", [False, True])
def test_a_signature_goes_back_with_its_call(stream: bool) -> None:
    """Gemini's signature stands at the call that had it, and at no other."""
    delta = {"role": "assistant", "content": "Well.", "tool_calls": CALLS}
    body = send_back(answer_of(read_stream(delta) if stream else read(delta)))
    assert [call.get("extra_content") for call in body["tool_calls"]] == [SIGNED, None]
    assert [call["id"] for call in body["tool_calls"]] == ["f1", "f2"]


@given(st.data())
def test_details_of_a_stream_are_those_of_the_whole(data: st.DataObject) -> None:
    """However the texts are cut, and whether a signature comes with or behind its text, the details go back whole."""
    deltas: list[dict[str, Any]] = []
    for detail in DETAILS:
        name = next((name for name in ("text", "summary") if name in detail), "")
        if not name:
            deltas.append({"reasoning_details": [detail]})
            continue
        said, signature = detail[name], detail.get("signature")
        bare = {key: value for key, value in detail.items() if key != "signature"}
        cut = data.draw(st.integers(0, len(said)))
        deltas += [{"reasoning_details": [{**bare, name: said[:cut], "signature": None}]}]
        last = {**bare, name: said[cut:]}
        if signature and data.draw(st.booleans()):
            deltas += [
                {"reasoning_details": [last]},
                {"reasoning_details": [{**bare, name: None, "signature": signature}]},
            ]
        else:
            deltas += [{"reasoning_details": [{**last, "signature": signature}]}]
    got = read_stream(*deltas, {"content": "Hi."})
    wanted = [{"signature": None, **detail} if "data" not in detail else detail for detail in DETAILS]
    assert send_back(answer_of(got))["reasoning_details"] == wanted


def test_details_of_a_whole_answer_go_back_as_they_came() -> None:
    """Nothing is joined or changed in a whole answer, also where no index tells details apart."""
    bare = [{key: value for key, value in detail.items() if key != "index"} for detail in DETAILS]
    for details in (DETAILS, bare):
        assert (
            send_back(answer_of(read({"content": "Hi.", "reasoning_details": details})))["reasoning_details"] == details
        )


@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_go_back(stream: bool) -> None:
    """A changed answer, another service, and a reader without a service send neither details nor signatures."""
    delta = {"content": "Hi.", "reasoning_details": DETAILS, "tool_calls": CALLS}

    def ask(service: str) -> Message:
        return answer_of(read_stream(delta, service=service) if stream else read(delta, service))

    changed = attrs.evolve(ask("s"), content="Ho.")
    for body in (send_back(changed), send_back(ask("s"), "other"), send_back(ask("s"), ""), send_back(ask(""), "s")):
        assert "reasoning_details" not in body
        assert not any("extra_content" in call for call in body["tool_calls"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reasoning_details": None},
        {"reasoning_details": {"text": "x"}},
        {"reasoning_details": [None, 3, {"text": 4}, {"summary": ["x"]}]},
        {"tool_calls": [{"id": "c", "function": {"name": "x", "arguments": ""}, "extra_content": None}]},
    ],
)
def test_nothing_to_keep(fields: dict[str, Any]) -> None:
    """An answer without such fields, or with fields of another shape, has nothing sealed to it."""
    assert read({"content": "Hi.", **fields}).native is None
    assert read_stream({"content": "Hi.", **fields}).native is None
