"""Ollama's chat format and the steps of its downloads, for the servers of tests.

Reference: Ollama's documentation, "API" (sections "Generate a chat completion" and "Pull a model"), "Streaming",
"Thinking" and "Errors".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agno_rt.testing import WireAnswer, WireFormat
from agno_rt.testing.wire.server import WireReply

__all__ = ["PULLED", "PULL_STEPS", "OllamaFormat"]

ENVELOPE = {"model": "m", "created_at": "2026-11-30T08:00:00.123456789Z"}


class OllamaFormat(WireFormat):
    """The format of chat answers: one JSON object, or one in each line."""

    stream_type = "application/x-ndjson"

    def render_answer(self, answer: WireAnswer) -> bytes:
        """Return the object of a whole answer."""
        message = make_message(answer.text, "".join(thought.text for thought in answer.thoughts))
        if answer.tool_calls:
            message["tool_calls"] = make_calls(answer)
        return json.dumps({**ENVELOPE, "message": message, **make_end(answer)}).encode()

    def render_stream(self, answer: WireAnswer) -> Sequence[bytes]:
        """Return the lines: thoughts, words, each call alone, then the end with the counts."""
        messages = [make_message("", thought.text) for thought in answer.thoughts]
        messages += [make_message(piece) for piece in answer.text_pieces]
        messages += [{**make_message(""), "tool_calls": [call]} for call in make_calls(answer)]
        lines: list[dict[str, Any]] = [{**ENVELOPE, "message": message, "done": False} for message in messages]
        return [render_line(value) for value in (*lines, {**ENVELOPE, "message": make_message(""), **make_end(answer)})]

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error object of a refused request."""
        return json.dumps({"error": message}).encode()

    def render_stream_error(self, message: str) -> bytes:
        """Return the line with the error."""
        return render_line({"error": message})


def make_message(text: str, thinking: str = "") -> dict[str, Any]:
    """Return a message of the assistant."""
    return {"role": "assistant", "content": text, **({"thinking": thinking} if thinking else {})}


def make_calls(answer: WireAnswer) -> list[dict[str, Any]]:
    """Return the calls of an answer without ids, as older servers send them."""
    return [{"function": {"name": call.name, "arguments": json.loads(call.arguments)}} for call in answer.tool_calls]


def make_end(answer: WireAnswer) -> dict[str, Any]:
    """Return the fields of the last value. The server says `stop` after calls, too."""
    reason = "stop" if answer.finish_reason == "tool_calls" else answer.finish_reason
    counts = {"prompt_eval_count": answer.usage.input_tokens, "eval_count": answer.usage.output_tokens}
    durations = {"total_duration": 5, "load_duration": 1, "prompt_eval_duration": 1, "eval_duration": 3}
    return {"done": True, "done_reason": reason, **counts, **durations}


def render_line(value: dict[str, Any]) -> bytes:
    """Return the value as a line."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


PULL_STEPS = (
    {"status": "pulling manifest"},
    {"status": "pulling 74701a8c35f6", "digest": "sha256:74701a8c35f6", "total": 100, "completed": 60},
    {"status": "success"},
)
PULLED = WireReply(tuple(render_line(step) for step in PULL_STEPS), content_type=OllamaFormat.stream_type)
