"""Cohere's chat format (v2), for the servers of tests.

References: Cohere's API reference, "Chat" and "Chat with streaming", and its guide "Streaming for tool use".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agno_rt.messages import Usage
from agno_rt.testing import WireAnswer, WireFormat

__all__ = ["CohereFormat", "render_event"]

REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}


class CohereFormat(WireFormat):
    """The format of chat answers: a message with blocks, or events with their pieces."""

    id_header = ""

    def render_answer(self, answer: WireAnswer) -> bytes:
        """Return the object of a whole answer."""
        content: list[dict[str, Any]] = [{"type": "thinking", "thinking": each.text} for each in answer.thoughts]
        if answer.text:
            content.append({"type": "text", "text": answer.text})
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if answer.tool_calls:
            message["tool_calls"] = make_calls(answer)
        end = {"finish_reason": REASONS[answer.finish_reason], "usage": make_usage(answer.usage)}
        return json.dumps({"id": answer.request_id, "message": message, **end}, ensure_ascii=False).encode()

    def render_stream(self, answer: WireAnswer) -> Sequence[bytes]:
        """Return the events: start, blocks in pieces, calls in two pieces each, end with the counts."""
        start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        events = [{"id": answer.request_id, **make_event("message-start", start)}]
        blocks = [("thinking", [thought.text]) for thought in answer.thoughts]
        blocks += [("text", answer.text_pieces)] if answer.text else []
        for at, (kind, pieces) in enumerate(blocks):
            events.append(make_event("content-start", {"content": {"type": kind, kind: ""}}, at))
            events += [make_event("content-delta", {"content": {kind: piece}}, at) for piece in pieces]
            events.append({"type": "content-end", "index": at})
        for at, call in enumerate(make_calls(answer)):
            arguments = call["function"]["arguments"]
            begin = {**call, "function": {**call["function"], "arguments": ""}}
            events.append(make_event("tool-call-start", {"tool_calls": begin}, at))
            for piece in filter(None, (arguments[:4], arguments[4:])):
                events.append(make_event("tool-call-delta", {"tool_calls": {"function": {"arguments": piece}}}, at))
            events.append({"type": "tool-call-end", "index": at})
        end = {"finish_reason": REASONS[answer.finish_reason], "usage": make_usage(answer.usage)}
        events.append({"id": answer.request_id, "type": "message-end", "delta": end})
        return [*map(render_event, events), b"data: [DONE]\n\n"]

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error object of a refused request."""
        return json.dumps({"id": WireAnswer().request_id, "message": message}).encode()

    def render_stream_error(self, message: str) -> bytes:
        """Return the end of a stream that failed."""
        return render_event({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": message}})


def make_event(type_: str, message: dict[str, Any], index: int | None = None) -> dict[str, Any]:
    """Return an event with a piece of a message."""
    return {"type": type_, **({} if index is None else {"index": index}), "delta": {"message": message}}


def make_calls(answer: WireAnswer) -> list[dict[str, Any]]:
    """Return the calls of an answer."""
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]


def make_usage(usage: Usage) -> dict[str, Any]:
    """Return the usage object: billed units leave out what the service adds to the prompt."""
    tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    billed = {"input_tokens": max(0, usage.input_tokens - 5), "output_tokens": usage.output_tokens}
    return {"billed_units": billed, "tokens": tokens, "cached_tokens": usage.cached_tokens}


def render_event(value: dict[str, Any]) -> bytes:
    """Return the value as a server-sent event with the name of its type."""
    return f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()
