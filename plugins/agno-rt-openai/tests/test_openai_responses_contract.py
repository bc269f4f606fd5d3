"""The wire contract for the responses API, stateless and stored.

Reference: OpenAI API reference, "The response object" and "Streaming events", and the guide "Reasoning models".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from agno_rt_openai import OpenAIModel, Server

from agno_rt import Usage
from agno_rt.testing import ModelWireContract, WireAnswer, WireFormat

_DETAILS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesFormat(WireFormat):
    """The format of responses; a signature is the encrypted content of reasoning."""

    def render_answer(self, answer: WireAnswer) -> bytes:
        """Return the response object."""
        return json.dumps(make_response(answer), ensure_ascii=False).encode()

    def render_stream(self, answer: WireAnswer) -> Sequence[bytes]:
        """Return the events: created, then added, pieces and done for each item, then the last event."""
        body = make_response(answer)
        events: list[dict[str, Any]] = [{"type": "response.created", "response": {**body, "output": []}}]
        for at, item in enumerate(body["output"]):
            place = {"output_index": at, "item_id": item["id"]}
            events.append({"type": "response.output_item.added", "output_index": at, "item": make_empty(item)})
            events += [{**event, **place} for event in list_pieces(item, answer)]
            events.append({"type": "response.output_item.done", "output_index": at, "item": item})
        events.append({"type": f"response.{body['status']}", "response": body})
        return [render_event({**event, "sequence_number": at}) for at, event in enumerate(events)]

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error object of a refused request."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        return json.dumps({"error": error}).encode()

    def render_stream_error(self, message: str) -> bytes:
        """Return the error event of a server that fails in the middle of a stream."""
        return render_event({"type": "error", "code": "server_error", "message": message, "param": None})


def make_response(answer: WireAnswer) -> dict[str, Any]:
    """Return the response object of an answer."""
    details = _DETAILS.get(answer.finish_reason)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "incomplete" if details else "completed",
        "error": None,
        "incomplete_details": {"reason": details} if details else None,
        "model": "m",
        "output": make_items(answer),
        "usage": make_usage(answer.usage),
    }


def make_items(answer: WireAnswer) -> list[dict[str, Any]]:
    """Return the items of an answer: reasoning, message, calls."""
    items: list[dict[str, Any]] = []
    for at, thought in enumerate(answer.thoughts):
        summary = [{"type": "summary_text", "text": thought.text}]
        signed = {"encrypted_content": thought.signature} if thought.signature else {}
        items.append({"id": f"rs_{at}", "type": "reasoning", "summary": summary, **signed})
    if answer.text:
        content = [{"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}]
        message = {"type": "message", "status": "completed", "role": "assistant", "content": content}
        items.append({"id": "msg_1", **message})
    for at, call in enumerate(answer.tool_calls):
        said = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
        items.append({"id": f"fc_{at}", "type": "function_call", "status": "completed", **said})
    return items


def make_empty(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as it is added: without the parts that follow."""
    parts = {"summary": [], "content": [], "arguments": "", "encrypted_content": ""}
    return item | {key: value for key, value in parts.items() if key in item} | {"status": "in_progress"}


def list_pieces(item: dict[str, Any], answer: WireAnswer) -> list[dict[str, Any]]:
    """Return the events for the pieces of an item."""
    if item["type"] == "message":
        texts = [
            {"type": "response.output_text.delta", "content_index": 0, "delta": each} for each in answer.text_pieces
        ]
        return [*texts, {"type": "response.output_text.done", "content_index": 0, "text": answer.text}]
    if item["type"] == "reasoning":
        text = item["summary"][0]["text"]
        return [{"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": text}]
    arguments = item["arguments"]
    pieces = [piece for piece in (arguments[:4], arguments[4:]) if piece]
    deltas = [{"type": "response.function_call_arguments.delta", "delta": piece} for piece in pieces]
    return [*deltas, {"type": "response.function_call_arguments.done", "arguments": arguments}]


def make_usage(usage: Usage) -> dict[str, Any]:
    """Return the usage object."""
    read = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": read,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def render_event(value: dict[str, Any]) -> bytes:
    """Return the value as a server-sent event with its type."""
    return f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


class TestResponses(ModelWireContract):
    """The contract over the responses API of a server that forgets."""

    wire = ResponsesFormat()
    has_signatures = True
    counts: ClassVar[Sequence[str]] = (*ModelWireContract.counts, "cache_write_tokens")
    settings: ClassVar[dict[str, Any]] = {"api": "responses", "encrypted_reasoning": True}

    def make_model(self, base_url: str) -> OpenAIModel:
        """Make a model that asks the server."""
        return OpenAIModel("m", Server(base_url=f"{base_url}/v1", api_key=self.key, **self.settings))

    def make_impatient(self, base_url: str) -> OpenAIModel:
        """Make a model that gives up after a moment."""
        server = Server(base_url=f"{base_url}/v1", api_key=self.key, read_timeout=30, **self.settings)
        return OpenAIModel("m", server)


class TestStoredResponses(TestResponses):
    """The contract over the responses API of a server that stores answers, and needs no signatures back."""

    has_signatures = False
    settings: ClassVar[dict[str, Any]] = {"api": "responses", "store": True}
