"""The answers of the chat completions format: an agent is the model. Pure: knows neither transport nor trio.

Reference: the OpenAI API reference, "Chat Completions", "Models" and "Error codes"; for `reasoning_content`, which it
does not have, DeepSeek's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agno_rt import RunResult, ToolCall, Usage
from agno_rt.events import Event, ModelStarted, ReasoningDelta, TextDelta, TurnRestarted
from agno_rt_serve.api.openai.refused import Refused
from agno_rt_serve.api.openai.turn_text import TurnText
from agno_rt_serve.errors import HttpError

__all__ = [
    "DONE",
    "Chunks",
    "completion_body",
    "error_body",
    "paused",
]

# The last piece of every stream in OpenAI's format.
DONE = b"data: [DONE]\n\n"

_encoder = msgspec.json.Encoder()


def completion_body(result: RunResult, model: str, created: int, calls: Sequence[ToolCall] = ()) -> bytes:
    """Return the completion in one piece; `calls` are calls of the client's tools."""
    message: dict[str, Any] = {"role": "assistant", "content": result.content, "refusal": None}
    if calls:
        message |= {"content": result.content or None, "tool_calls": [_render_call(call) for call in calls]}
    if result.reasoning:
        message["reasoning_content"] = result.reasoning
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": result.finish_reason}
    body = _make_envelope(result.run_id, "chat.completion", model, created)
    return _encoder.encode(body | {"choices": [choice], "usage": _render_usage(result.usage)})


class Chunks:
    """The completion in pieces: feed the run's events, then ask for the `end`. The agent's own calls are not shown.

    `hold` keeps the texts of turns back, for answers that may be refused and asked for again; then the text comes at
    the end, whole.
    """

    def __init__(self, model: str, created: int, include_usage: bool, *, hold: bool = False) -> None:
        self._model = model
        self._created = created
        self._include_usage = include_usage
        self._hold = hold
        self._run_id = ""
        self._said_before = False
        self._turn = TurnText()

    def feed(self, event: Event) -> bytes:
        """Return the bytes that the event adds to the stream, often none. The run's first event opens the stream.

        Raises `HttpError` if text already sent turns out not to be the answer.
        """
        match event:
            case TextDelta():
                return b"" if self._hold else self._render_text(event.text)
            case ReasoningDelta():
                text = self._turn.add_reasoning(event.text)
                return self._render_chunk({"reasoning_content": text}) if text else b""
            case TurnRestarted():
                self._turn.restart()
            case ModelStarted():
                said = bool(self._turn.text)
                self._turn.begin()
                self._said_before |= said
        if not self._run_id:
            self._run_id = event.run_id
            return self._render_chunk({"role": "assistant", "content": "", "refusal": None})
        return b""

    def end(self, result: RunResult, calls: Sequence[ToolCall] = ()) -> bytes:
        """Return the last pieces: text not streamed yet, calls of the client's tools, the reason, perhaps the usage."""
        try:
            rest = self._separate(self._turn.finish(result.content))
        except HttpError as exc:
            return self.failed(exc)
        if calls:
            rest += self._render_chunk(
                {"tool_calls": [{"index": at} | _render_call(call) for at, call in enumerate(calls)]}
            )
        last = self._render_chunk({}, finish_reason=result.finish_reason)
        usage = self._render_data({"choices": [], "usage": _render_usage(result.usage)}) if self._include_usage else b""
        return rest + last + usage + DONE

    def failed(self, error: HttpError) -> bytes:
        """Return the last piece of a run that failed after the stream began."""
        return b"data: %b\n\n" % error_body(error)

    def _render_text(self, text: str) -> bytes:
        is_first = not self._turn.text
        return self._separate(self._turn.add_text(text), is_first=is_first)

    def _separate(self, text: str, *, is_first: bool | None = None) -> bytes:
        """Return the chunk of a text; a blank line separates the texts of two turns, as tools were called between."""
        if not text:
            return b""
        begins = self._turn.text == text if is_first is None else is_first
        return self._render_chunk({"content": "\n\n" + text if self._said_before and begins else text})

    def _render_chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._render_data({"choices": [choice]} | ({"usage": None} if self._include_usage else {}))

    def _render_data(self, fields: dict[str, Any]) -> bytes:
        body = _make_envelope(self._run_id, "chat.completion.chunk", self._model, self._created) | fields
        return b"data: %b\n\n" % _encoder.encode(body)


def paused(result: RunResult) -> HttpError:
    """Return the error for a run that waits for a person: the format has no answer for such a run."""
    names = ", ".join(sorted({approval.call.name for approval in result.approvals}))
    hint = (
        f"`agno-rt approvals` shows what run {result.run_id} waits for. "
        "Use POST /agents/NAME/runs for agents whose runs may wait."
    )
    error = HttpError(422, "paused", f"the run waits for a person, about {names}", hint)
    error.run_id = result.run_id
    return error


def error_body(error: HttpError) -> bytes:
    """Return the error as JSON in OpenAI's shape."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    message = f"{error.message}. {error.hint}" if error.hint else error.message
    return _encoder.encode(
        {"error": {"message": message, "type": kind, "code": error.code, "param": _find_param(error)}}
    )


def _render_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _find_param(error: HttpError) -> str | None:
    return error.param or None if isinstance(error, Refused) else None


def _make_envelope(run_id: str, kind: str, model: str, created: int) -> dict[str, Any]:
    return {"id": f"chatcmpl-{run_id}", "object": kind, "created": created, "model": model}


def _render_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
