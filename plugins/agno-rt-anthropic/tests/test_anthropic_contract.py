"""The wire contract for the messages format: answers, streams and failures as Anthropic's API reference has them.

Reference: Anthropic's API reference, "Create a Message" and "Errors", and its guides "Streaming messages" and
"Thinking".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agno_rt_anthropic import AnthropicModel, Server

from agno_rt.messages import Usage
from agno_rt.testing import ModelWireContract, WireAnswer, WireFormat
from tests.servers.messages_server import Turn, event, events, message_value

REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
KINDS |= {413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}


class MessagesFormat(WireFormat):
    """The format of messages."""

    id_header = "request-id"

    def render_answer(self, answer: WireAnswer) -> bytes:
        """Return the message object."""
        return json.dumps(message_value(make_turn(answer)), ensure_ascii=False).encode()

    def render_stream(self, answer: WireAnswer) -> Sequence[bytes]:
        """Return the events: start, blocks with their pieces, end with the counts, stop."""
        return [event(value) for value in events(make_turn(answer))]

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error object of a refused request."""
        error = {"type": KINDS.get(status, "api_error"), "message": message}
        return json.dumps({"type": "error", "error": error, "request_id": WireAnswer().request_id}).encode()

    def render_stream_error(self, message: str) -> bytes:
        """Return the error event of an overloaded server."""
        return event({"type": "error", "error": {"type": "overloaded_error", "message": message}})

    def drop_marks(self, body: Any) -> Any:
        """Return the body without `cache_control`."""
        if isinstance(body, dict):
            return {name: self.drop_marks(value) for name, value in body.items() if name != "cache_control"}
        return [self.drop_marks(value) for value in body] if isinstance(body, list) else body


def make_turn(answer: WireAnswer) -> Turn:
    """Return the blocks, the stop reason and the counts of an answer."""
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": thought.text, "signature": thought.signature} for thought in answer.thoughts
    ]
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in answer.tool_calls
    ]
    return Turn(blocks, REASONS[answer.finish_reason], make_usage(answer.usage))


def make_usage(usage: Usage) -> dict[str, Any]:
    """Return the usage object: the format counts what the cache had and took beside the input."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


class TestMessages(ModelWireContract):
    """The contract over messages."""

    wire = MessagesFormat()
    has_signatures = True
    counts = ("input_tokens", "output_tokens", "reasoning_tokens", "cached_tokens", "cache_write_tokens")

    def make_model(self, base_url: str) -> AnthropicModel:
        """Make a model that asks the server."""
        return AnthropicModel("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> AnthropicModel:
        """Make a model that gives up after a moment."""
        return AnthropicModel("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))
