"""The wire contract for Converse: answers, streams and failures as Amazon Bedrock's API reference has them.

Reference: Amazon Bedrock's API reference, "Converse", "ConverseStream" and "Common Errors".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from agno_rt_bedrock import BedrockModel, Server

from agno_rt.messages import Usage
from agno_rt.testing import ModelWireContract, WireAnswer, WireFormat
from tests.servers.converse import exception, stream_events, whole_body

REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "guardrail_intervened",
}
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


class ConverseFormat(WireFormat):
    """The format of Converse."""

    id_header = "x-amzn-requestid"
    stream_type = "application/vnd.amazon.eventstream"

    def render_answer(self, answer: WireAnswer) -> bytes:
        """Return the body of Converse."""
        return whole_body(make_blocks(answer), REASONS[answer.finish_reason], make_usage(answer.usage))

    def render_stream(self, answer: WireAnswer) -> Sequence[bytes]:
        """Return the events of ConverseStream."""
        return list(stream_events(make_blocks(answer), REASONS[answer.finish_reason], make_usage(answer.usage)))

    def render_error(self, status: int, message: str) -> bytes:
        """Return the body of a refused request."""
        return json.dumps({"message": message}).encode()

    def render_stream_error(self, message: str) -> bytes:
        """Return the exception of an overloaded service."""
        return exception("serviceUnavailableException", message)

    def drop_marks(self, body: Any) -> Any:
        """Return the body without the blocks that mark the ends of prefixes."""
        if isinstance(body, dict):
            return {name: self.drop_marks(value) for name, value in body.items()}
        if isinstance(body, list):
            return [self.drop_marks(each) for each in body if not (isinstance(each, dict) and "cachePoint" in each)]
        return body


def make_blocks(answer: WireAnswer) -> list[dict[str, Any]]:
    """Return the blocks of an answer."""
    blocks: list[dict[str, Any]] = [
        {"reasoningContent": {"reasoningText": {"text": thought.text, "signature": thought.signature}}}
        for thought in answer.thoughts
    ]
    if answer.text:
        blocks.append({"text": answer.text})
    calls = ((call, json.loads(call.arguments)) for call in answer.tool_calls)
    return blocks + [{"toolUse": {"toolUseId": call.id, "name": call.name, "input": given}} for call, given in calls]


def make_usage(usage: Usage) -> dict[str, int]:
    """Return the usage object: the format counts what the cache had and took beside the input."""
    return {
        "inputTokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cacheReadInputTokens": usage.cached_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
    }


class ConverseContract(ModelWireContract):
    """The contract over Converse."""

    wire = ConverseFormat()
    has_signatures = True
    counts = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")


class TestConverse(ConverseContract):
    """The contract with an API key."""

    def make_model(self, base_url: str) -> BedrockModel:
        """Make a model of the server."""
        return BedrockModel(MODEL, base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> BedrockModel:
        """Make a model with a short patience."""
        return BedrockModel(MODEL, Server(base_url=base_url, api_key=self.key, read_timeout=30))


class TestSignedConverse(ConverseContract):
    """The contract with signed requests; the secret to keep out of errors is the session token."""

    @pytest.fixture(autouse=True)
    def set_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set temporary credentials and a region in the environment."""
        monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE123456")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        monkeypatch.setenv("AWS_SESSION_TOKEN", self.key)
        monkeypatch.setenv("AWS_REGION", "us-west-2")

    def make_model(self, base_url: str) -> BedrockModel:
        """Make a model of the server."""
        return BedrockModel(MODEL, base_url=base_url)
