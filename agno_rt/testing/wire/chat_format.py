"""The format of chat completions for the wire contract, as OpenAI's API reference has it.

Reference: OpenAI API reference, "Create chat completion", "The chat completion object", "The chat completion chunk
object", and the guide "Error codes". `reasoning_content` is DeepSeek's field for reasoning.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agno_rt.messages import Usage
from agno_rt.testing.wire.formats import WireAnswer, WireFormat

__all__ = ["ChatFormat"]


class ChatFormat(WireFormat):
    """The format of chat completions, with reasoning as DeepSeek sends it."""

    def render_answer(self, answer: WireAnswer) -> bytes:
        """Return the chat completion object."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
        if answer.thoughts:
            message["reasoning_content"] = "".join(thought.text for thought in answer.thoughts)
        if answer.tool_calls:
            message["tool_calls"] = make_calls(answer)
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
        body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return json.dumps(body | {"usage": make_usage(answer.usage)}).encode()

    def render_stream(self, answer: WireAnswer) -> Sequence[bytes]:
        """Return the chunk objects: role, reasoning, words, calls in two pieces each, reason, usage, end."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": thought.text} for thought in answer.thoughts]
        deltas += [{"content": piece} for piece in answer.text_pieces]
        for call in make_calls(answer):
            function = call["function"]
            begin, end = function["arguments"][:4], function["arguments"][4:]
            deltas.append({"tool_calls": [call | {"function": function | {"arguments": begin}}]})
            if end:
                deltas.append({"tool_calls": [{"index": call["index"], "function": {"arguments": end}}]})
        chunks = [make_chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        chunks.append(make_chunk([{"index": 0, "delta": {}, "finish_reason": answer.finish_reason}]))
        chunks.append(make_chunk([]) | {"usage": make_usage(answer.usage)})
        return [*(render_event(chunk) for chunk in chunks), b"data: [DONE]\n\n"]

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error object of a refused request."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        return json.dumps({"error": error}).encode()

    def render_stream_error(self, message: str) -> bytes:
        """Return the error object of a server that fails in the middle of a stream."""
        return render_event({"error": {"message": message, "type": "server_error", "param": None, "code": None}})


def make_calls(answer: WireAnswer) -> list[dict[str, Any]]:
    """Return the calls of an answer, each with its index."""
    return [
        {"index": at, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for at, call in enumerate(answer.tool_calls)
    ]


def make_usage(usage: Usage) -> dict[str, Any]:
    """Return the usage object."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def make_chunk(choices: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a chunk object."""
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}


def render_event(value: dict[str, Any]) -> bytes:
    """Return the value as a server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()
