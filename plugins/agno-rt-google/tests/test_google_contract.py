"""The wire contract for Gemini's format, by the Gemini API and by Vertex AI: answers, streams and failures.

Reference: the Gemini API reference, "Generating content", its guides "Thinking" and "Thought signatures", and the error
model of Google's APIs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import pytest
from agno_rt_google import GoogleModel, Server

from agno_rt.messages import Usage
from agno_rt.testing import ModelWireContract, WireAnswer, WireFormat

REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
STATUSES |= {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}


class ContentFormat(WireFormat):
    """The format of contents. `has_ids` renders the service's own ids of calls, which older models do not give."""

    id_header = ""

    def __init__(self, *, has_ids: bool = True) -> None:
        self.has_ids = has_ids

    def render_answer(self, answer: WireAnswer) -> bytes:
        """Return the whole answer."""
        return write(make_chunk(self.make_parts(answer), answer, is_last=True))

    def render_stream(self, answer: WireAnswer) -> Sequence[bytes]:
        """Return the events: one for each part, one for each word, and the finish reason with the counts."""
        parts: list[dict[str, Any]] = []
        for part in self.make_parts(answer):
            if part.get("text") == answer.text and answer.text:
                parts += [{"text": piece} for piece in answer.text_pieces]
            else:
                parts.append(part)
        chunks = [make_chunk([part], answer) for part in parts]
        return [event(chunk) for chunk in (*chunks, make_chunk([], answer, is_last=True))]

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error object of a refused request."""
        return write({"error": {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}})

    def render_stream_error(self, message: str) -> bytes:
        """Return the event of an overloaded server."""
        return event({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}})

    def make_parts(self, answer: WireAnswer) -> list[dict[str, Any]]:
        """Return the parts of an answer."""
        parts: list[dict[str, Any]] = [
            {"text": thought.text, "thought": True, "thoughtSignature": thought.signature}
            for thought in answer.thoughts
        ]
        if answer.text:
            parts.append({"text": answer.text})
        for call in answer.tool_calls:
            value = {"name": call.name, "args": json.loads(call.arguments)}
            parts.append({"functionCall": {"id": call.id, **value} if self.has_ids else value})
        return parts


def make_chunk(parts: Sequence[dict[str, Any]], answer: WireAnswer, *, is_last: bool = False) -> dict[str, Any]:
    """Return a value of the stream; the last has the finish reason and the counts."""
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"role": "model", "parts": list(parts)}
    if is_last:
        candidate["finishReason"] = REASONS[answer.finish_reason]
    chunk = {"candidates": [candidate], "modelVersion": "m", "responseId": answer.request_id}
    return {**chunk, "usageMetadata": make_usage(answer.usage)} if is_last else chunk


def make_usage(usage: Usage) -> dict[str, Any]:
    """Return the counts: the format counts thoughts beside the answer."""
    return {
        "promptTokenCount": usage.input_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "totalTokenCount": usage.total_tokens,
    }


def write(value: Any) -> bytes:
    """Return the value as JSON."""
    return json.dumps(value, ensure_ascii=False).encode()


def event(value: Any) -> bytes:
    """Return an event, with the line ends of Google's servers."""
    return b"data: %b\r\n\r\n" % write(value)


class TestGeminiApi(ModelWireContract):
    """The contract over the Gemini API."""

    wire: ClassVar[WireFormat] = ContentFormat()
    has_signatures = True

    def make_model(self, base_url: str) -> GoogleModel:
        """Make a model that asks the server."""
        return GoogleModel("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> GoogleModel:
        """Make a model that gives up after a moment."""
        return GoogleModel("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))


class TestWithoutIds(TestGeminiApi):
    """The contract over answers whose calls have no ids (trap M9: calls of one tool stay apart)."""

    wire = ContentFormat(has_ids=False)


class TestVertex(TestGeminiApi):
    """The contract over Vertex AI, with an access token."""

    token_env = "AGNO_RT_TEST_TOKEN"

    @pytest.fixture(autouse=True)
    def set_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the access token into the environment."""
        monkeypatch.setenv(self.token_env, self.key)

    def make_model(self, base_url: str) -> GoogleModel:
        """Make a model that asks the server as Vertex AI."""
        return GoogleModel("gemini-3.8-flash", self.make_server(base_url))

    def make_impatient(self, base_url: str) -> GoogleModel:
        """Make a model that gives up after a moment."""
        return GoogleModel("gemini-3.8-flash", attrs.evolve(self.make_server(base_url), read_timeout=30))

    def make_server(self, base_url: str) -> Server:
        """Make the settings of Vertex AI at the test's server."""
        return Server(
            base_url=base_url, vertex=True, project="p-1", location="europe-west4", access_token_env=self.token_env
        )
