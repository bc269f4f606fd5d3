"""Answers in Gemini's format as pure values: parts, thoughts, calls, counts, reasons and everything that fails.

References: the Gemini API reference, "Generating content", its guide "Troubleshooting", and the error model of Google's
APIs.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno_rt_google.answers import ContentStream, Reading, read_content, refuse

from agno_rt import Message
from agno_rt.errors import ContextOverflow, ModelError
from agno_rt.events import Delta, ToolCallDelta
from agno_rt.messages import Usage
from agno_rt.models import ModelResponse
from agno_rt.wire.native import native_for
from agno_rt.wire.refusals import Peer

PEER = Peer(name="google:m", provider="google", model="m", url="u", key_source="the setting api_key")
READING = Reading(peer=PEER, model="m", names={"odd_1234": "odd name"})


def make_chunk(parts: Any, reason: str = "", **more: Any) -> dict[str, Any]:
    """Return a value with one candidate."""
    candidate = {"content": {"role": "model", "parts": parts}, **({"finishReason": reason} if reason else {})}
    return {"candidates": [candidate], "responseId": "r1", **more}


def read(value: Any) -> ModelResponse:
    """Return the response in a whole body."""
    return read_content(json.dumps(value).encode(), READING)


def stream(*chunks: Any) -> tuple[ModelResponse, list[Delta]]:
    """Return the response in a stream, and its deltas."""
    reader = ContentStream(READING)
    deltas: list[Delta] = []
    for chunk in chunks:
        deltas += reader.feed(b"data: %b\r\n\r\n" % json.dumps(chunk).encode())
    deltas += reader.end()
    return reader.response(), deltas


def fail(*chunks: Any) -> list[ModelError]:
    """Return the errors of the values as a whole body, if there is one value, and as a stream."""
    errors = []
    for ask in (lambda: read(chunks[0]), lambda: stream(*chunks)) if len(chunks) == 1 else (lambda: stream(*chunks),):
        with pytest.raises(ModelError) as caught:
            ask()
        errors.append(caught.value)
    return errors


def test_calls_of_one_tool_stay_apart() -> None:
    """Calls of one tool without ids, in one chunk and in several, are calls of their own with ids of their own (M9)."""
    cities = ("Seoul", "Oslo", "Lima", "Bern")
    parts = [{"functionCall": {"name": "odd_1234", "args": {"city": city}}} for city in cities]
    for response, deltas in (stream(make_chunk(parts[:2]), make_chunk(parts[2:3]), make_chunk(parts[3:], "STOP")),):
        assert [json.loads(call.arguments) for call in response.tool_calls] == [{"city": city} for city in cities]
        assert [call.name for call in response.tool_calls] == ["odd name"] * 4
        assert len({call.id for call in response.tool_calls}) == 4
        assert response.finish_reason == "tool_calls"
        pieces = [each for each in deltas if isinstance(each, ToolCallDelta)]
        assert [each.index for each in pieces] == [0, 1, 2, 3]
        assert response == read(make_chunk(parts, "STOP"))
    other = read({**make_chunk(parts, "STOP"), "responseId": "r2"})
    assert {call.id for call in other.tool_calls}.isdisjoint(call.id for call in response.tool_calls)


def test_parts_go_back_as_they_came() -> None:
    """Pieces of a text are joined, signed parts stay alone, unknown parts are kept, and thoughts are left out."""
    chunks = (
        make_chunk([{"text": "**Plan**", "thought": True}, {"text": "One"}]),
        make_chunk([{"text": " two."}]),
        make_chunk([{"executableCode": {"language": "PYTHON", "code": "1"}}, {"text": "Three."}]),
        make_chunk([{"text": "", "thoughtSignature": "c2ln+/=="}], "STOP"),
    )
    response, _ = stream(*chunks)
    assert (response.content, response.reasoning) == ("One two.\n\nThree.", "**Plan**")
    said = Message("assistant", response.content, tuple(response.tool_calls), native=response.native)
    sealed = json.loads(native_for(said, READING.service) or b"null")
    assert sealed == {
        "model": "m",
        "ids": [],
        "parts": [
            {"text": "One two."},
            {"executableCode": {"language": "PYTHON", "code": "1"}},
            {"text": "Three."},
            {"text": "", "thoughtSignature": "c2ln+/=="},
        ],
    }
    assert read(make_chunk([{"text": "Plain."}, {"functionCall": {"name": "f"}}], "STOP")).native is None


def test_counts() -> None:
    """Thoughts count as output, results of server tools as input; the last counts of a stream are the whole."""
    counts = {"promptTokenCount": 10, "toolUsePromptTokenCount": 5, "cachedContentTokenCount": 4}
    last = {**counts, "candidatesTokenCount": 3, "thoughtsTokenCount": 20, "totalTokenCount": 38}
    first = make_chunk([{"text": "A"}], usageMetadata={**counts, "candidatesTokenCount": 1})
    response, _ = stream(first, make_chunk([{"text": "B"}], "STOP", usageMetadata=last))
    assert response.usage == Usage(15, 23, 20, 4)
    assert read(make_chunk([{"text": "A"}], "STOP", usageMetadata={"promptTokenCount": "x"})).usage == Usage()


@pytest.mark.parametrize(
    ("reason", "expected", "raw"),
    [
        ("STOP", "stop", ""),
        ("MAX_TOKENS", "length", ""),
        ("SAFETY", "content_filter", "SAFETY"),
        ("RECITATION", "content_filter", "RECITATION"),
        ("PROHIBITED_CONTENT", "content_filter", "PROHIBITED_CONTENT"),
        ("OTHER", "stop", "OTHER"),
        ("SOMETHING_NEW", "stop", "SOMETHING_NEW"),
    ],
)
def test_reasons(reason: str, expected: str, raw: str) -> None:
    """Each reason with some text is a finish reason; the service's word stays if it says more."""
    response = read(make_chunk([{"text": "Well."}], reason))
    assert (response.content, response.finish_reason, response.raw_finish_reason) == ("Well.", expected, raw)
    assert response.request_id == "r1"


def test_an_answer_that_is_all_thought_has_reached_its_limit() -> None:
    """Thinking may use up all tokens: the finish reason says so, and the thoughts are there."""
    response = read(make_chunk([{"text": "Hm.", "thought": True}], "MAX_TOKENS"))
    assert (response.content, response.reasoning, response.finish_reason) == ("", "Hm.", "length")


@pytest.mark.parametrize(
    ("value", "said", "retryable"),
    [
        (make_chunk(None, "MALFORMED_FUNCTION_CALL"), "MALFORMED_FUNCTION_CALL", True),
        (make_chunk([{"text": "Let me"}], "MALFORMED_FUNCTION_CALL"), "MALFORMED_FUNCTION_CALL", True),
        (make_chunk([], "UNEXPECTED_TOOL_CALL"), "UNEXPECTED_TOOL_CALL", True),
        (make_chunk([], "MISSING_THOUGHT_SIGNATURE"), "MISSING_THOUGHT_SIGNATURE", False),
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, "PROHIBITED_CONTENT", False),
        ({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no"}, "candidates": []}, "SAFETY", False),
        ({"candidates": [{"content": {}, "finishReason": "STOP", "index": 0}]}, "STOP", True),
        (make_chunk(None, "STOP"), "STOP", True),
        (make_chunk([{"text": ""}], "STOP"), "STOP", True),
        (make_chunk([{"text": "Hm.", "thought": True}], "STOP"), "STOP", True),
        ({"candidates": [{"finishReason": "SAFETY"}]}, "SAFETY", False),
        ({"candidates": [{"finishReason": "OTHER", "finishMessage": "odd"}]}, "odd", True),
    ],
)
def test_answers_without_an_answer(value: Any, said: str, retryable: bool) -> None:
    """A malformed call, a blocked prompt and an empty answer are errors with the reason, whole and streamed (M10)."""
    for error in fail(value):
        assert said in error.message
        assert (error.provider, error.retryable) == ("google", retryable)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"candidates": 3},
        {"candidates": [3]},
        {"candidates": [{"content": []}]},
        make_chunk({"text": "A"}, "STOP"),
        make_chunk(["A"], "STOP"),
        make_chunk([{"text": 3}], "STOP"),
        make_chunk([{"functionCall": {"args": {}}}], "STOP"),
        make_chunk([{"functionCall": {"name": "f", "args": [1]}}], "STOP"),
        make_chunk([{"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "$.a"}]}}], "STOP"),
        make_chunk([{"text": "A"}], 3),  # type: ignore[arg-type]
        {**make_chunk([{"text": "A"}], "STOP"), "usageMetadata": 3},
    ],
    ids=str,
)
def test_values_of_another_shape(value: Any) -> None:
    """Whatever is not of the format is a `ModelError` of the provider, and never a `TypeError`."""
    for error in fail(value):
        assert error.provider == "google"


def test_a_body_without_candidates_is_an_error() -> None:
    """Counts alone are not an answer, but may come alone in a stream."""
    counts = {"usageMetadata": {"promptTokenCount": 3}}
    with pytest.raises(ModelError, match="no finish reason"):
        read(counts)
    response, _ = stream(counts, make_chunk([{"text": "A"}], "STOP"), {"usageMetadata": {"candidatesTokenCount": 1}})
    assert response.usage == Usage(3, 1)


def test_only_the_first_candidate_counts() -> None:
    """With several candidates, the others do not get into the answer."""
    value = make_chunk([{"text": "First."}], "STOP")
    value["candidates"].append({"index": 1, "content": {"parts": [{"text": "Second."}]}, "finishReason": "STOP"})
    assert read(value).content == "First."


QUOTA: dict[str, Any] = {
    "code": 429,
    "message": "You exceeded your current quota.",
    "status": "RESOURCE_EXHAUSTED",
    "details": [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerMinute"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"},
    ],
}


def test_the_wait_in_a_refusal() -> None:
    """`RetryInfo` of a refusal is the wait, and a header with a wait goes first; so it is within a stream."""
    body = json.dumps({"error": QUOTA}).encode()
    error = refuse(PEER, 429, {}, body, 0.0)
    assert (error.status, error.retryable, error.retry_after) == (429, True, 34.074824224)
    assert "exceeded your current quota" in error.message
    assert refuse(PEER, 429, {"retry-after": "2"}, body, 0.0).retry_after == 2.0
    assert refuse(PEER, 429, {}, b"[%b]" % body, 0.0).retry_after == 34.074824224
    [within] = fail(make_chunk([{"text": "A"}]), {"error": QUOTA})
    assert (within.status, within.retryable, within.retry_after) == (429, True, 34.074824224)


@pytest.mark.parametrize("details", [None, 3, ["x"], [{"retryDelay": "soon"}, {"violations": [3]}, {"violations": {}}]])
def test_odd_details_are_passed_over(details: Any) -> None:
    """Details of another shape do not hide the refusal."""
    error = refuse(PEER, 503, {}, json.dumps({"error": {**QUOTA, "details": details}}).encode(), 0.0)
    assert (error.status, error.retry_after) == (503, None)


def test_remedies_of_refusals() -> None:
    """A refused key has status 400 here, and a day's quota does not come back by waiting: the hints say so."""
    bad_key = {"code": 400, "message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}
    assert "the setting api_key" in refuse(PEER, 400, {}, json.dumps({"error": bad_key}).encode(), 0.0).hint
    daily = {**QUOTA, "details": [{"violations": [{"quotaId": "RequestsPerDayPerProject"}]}]}
    assert "day" in refuse(PEER, 429, {}, json.dumps({"error": daily}).encode(), 0.0).hint


def test_a_request_above_the_context_is_told_apart() -> None:
    """A refusal for the size of the request keeps its class, after which a run with a `Summary` compacts."""
    said = "The input token count (1196265) exceeds the maximum number of tokens allowed (1048576)."
    body = json.dumps({"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}).encode()
    error = refuse(PEER, 400, {"x-goog-request-id": "r9"}, body, 0.0)
    assert type(error) is ContextOverflow
    assert (error.status, error.retryable, error.request_id) == (400, False, "r9")
