"""The answers of the chat completions format: an agent is the model. Pure: knows neither transport nor trio.

Reference: the OpenAI API reference, "Chat Completions", "Models" and "Error codes"; for `reasoning_content`, which it
does not have, DeepSeek's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from agno_rt import RunResult, ToolCall, Usage
from agno_rt.errors import NotFound
from agno_rt.events import Event, ModelStarted, ReasoningDelta, TextDelta, TurnRestarted
from agno_rt_serve.api.openai.request import Refused
from agno_rt_serve.errors import HttpError

__all__ = [
    "DONE",
    "Chunks",
    "completion_body",
    "error_body",
    "model_body",
    "models_body",
    "paused",
    "unknown_model",
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

    This format cannot take text back. If a turn begins anew, text that repeats the sent text is held back, and new text
    after that is sent. If the turn says something else, the stream ends with an error.
    """

    def __init__(self, model: str, created: int, include_usage: bool) -> None:
        self._model = model
        self._created = created
        self._include_usage = include_usage
        self._run_id = ""
        self._said_before = False
        self._turn = ""
        self._again: str | None = None
        self._thought = ""
        self._thought_again: str | None = None

    def feed(self, event: Event) -> bytes:
        """Return the bytes that the event adds to the stream, often none. The run's first event opens the stream.

        Raises `HttpError` if text already sent turns out not to be the answer.
        """
        match event:
            case TextDelta():
                return self._add_text(event.text)
            case ReasoningDelta():
                return self._add_reasoning(event.text)
            case TurnRestarted():
                self._again = "" if self._turn else None
                self._thought_again = "" if self._thought else None
            case ModelStarted():
                self._thought, self._thought_again = "", None
                self._check_whole()
                self._said_before |= bool(self._turn)
                self._turn = ""
        if not self._run_id:
            self._run_id = event.run_id
            return self._render_chunk({"role": "assistant", "content": "", "refusal": None})
        return b""

    def end(self, result: RunResult, calls: Sequence[ToolCall] = ()) -> bytes:
        """Return the last pieces: text not streamed yet, calls of the client's tools, the reason, perhaps the usage."""
        try:
            rest = self._add_rest(result.content)
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

    def _add_rest(self, content: str) -> bytes:
        if self._again is not None:
            # The content repeats the restarted turn from its beginning.
            self._again = ""
        elif self._turn:
            return b""
        rest = self._add_text(content)
        self._check_whole()
        return rest

    def _add_text(self, text: str) -> bytes:
        if self._again is not None:
            text = self._skip_repeated(text)
        if not text:
            return b""
        # A blank line separates the texts of two turns, since tools were called in between.
        before = "\n\n" if self._said_before and not self._turn else ""
        self._turn += text
        return self._render_chunk({"content": before + text})

    def _add_reasoning(self, text: str) -> bytes:
        """Return the new part of the reasoning. Unlike the answer, reasoning may differ after a restart."""
        if self._thought_again is not None:
            again = self._thought_again + text
            if self._thought.startswith(again):
                self._thought_again = again
                return b""
            self._thought_again = None
            text = again.removeprefix(self._thought)
        self._thought += text
        return self._render_chunk({"reasoning_content": text}) if text else b""

    def _skip_repeated(self, text: str) -> str:
        """Return the new part of the text of a turn that began anew."""
        again = f"{self._again}{text}"
        if self._turn.startswith(again):
            self._again = again
            return ""
        if not again.startswith(self._turn):
            raise _taken_back_error()
        self._again = None
        return again[len(self._turn) :]

    def _check_whole(self) -> None:
        if self._again is not None and self._again != self._turn:
            raise _taken_back_error()
        self._again = None

    def _render_chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._render_data({"choices": [choice]} | ({"usage": None} if self._include_usage else {}))

    def _render_data(self, fields: dict[str, Any]) -> bytes:
        body = _make_envelope(self._run_id, "chat.completion.chunk", self._model, self._created) | fields
        return b"data: %b\n\n" % _encoder.encode(body)


def models_body(names: Iterable[str], created: int) -> bytes:
    """Return the list of agents, as models."""
    return _encoder.encode({"object": "list", "data": [_render_model(name, created) for name in names]})


def model_body(name: str, created: int) -> bytes:
    """Return one agent, as a model."""
    return _encoder.encode(_render_model(name, created))


def unknown_model(error: NotFound) -> HttpError:
    """Return the error for an unknown agent, with the code known to OpenAI's clients."""
    return HttpError(404, "model_not_found", error.message, error.hint)


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


def _taken_back_error() -> HttpError:
    hint = "Send the request again, or send it without `stream`."
    return HttpError(502, "taken_back", "the model began its answer anew after part of it had been streamed", hint)


def _find_param(error: HttpError) -> str | None:
    if isinstance(error, Refused):
        return error.param or None
    return "model" if error.code == "model_not_found" else None


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


def _render_model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "agno_rt"}
