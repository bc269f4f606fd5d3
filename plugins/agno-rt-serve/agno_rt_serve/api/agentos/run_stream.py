"""A run as AgentOS's server-sent events: `run_start`, `token`, `tool_call`, `reasoning`, `step_start`, ... Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from typing import Any

import attrs
import msgspec

from agno_rt import RunResult
from agno_rt.events import (
    Event,
    ModelStarted,
    ReasoningDelta,
    StepEnded,
    StepStarted,
    TextDelta,
    ToolEnded,
    TurnRestarted,
)
from agno_rt_serve.api.agentos.shapes import OSMedia, render_usage
from agno_rt_serve.api.openai.turn_text import TurnText
from agno_rt_serve.errors import HttpError

__all__ = ["AgentOSStream"]

_encode = msgspec.json.Encoder().encode


@attrs.frozen
class Envelope:
    """The common fields of events."""

    agent_id: str
    session_id: str
    run_context_id: str
    model: str = ""


class AgentOSStream:
    """The events of a run: feed the run's events, then call `end` once. `types` are the wanted events, empty for all.

    Unlike in AgentOS, tokens keep blanks and line ends, and calls of tools and steps have events.
    """

    def __init__(
        self,
        envelope: Envelope,
        types: Collection[str],
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._envelope = envelope
        self._types = types
        self._clock = clock
        self._turn = TurnText()
        self._turns = 0
        self._tokens = 0
        self._steps: list[str] = []

    def begin(self, text: str, media: Collection[OSMedia]) -> bytes:
        """Return the event of the run's start."""
        data: dict[str, Any] = {"input": text}
        if self._envelope.session_id:
            data["session_id"] = self._envelope.session_id
        if media:
            data["media"] = list(media)
        return self._render("run_start", data)

    def feed(self, event: Event) -> bytes:
        """Return the bytes that the event adds to the stream, often none.

        Raises `HttpError` if text already sent turns out not to be the answer.
        """
        sent = b""
        match event:
            case TextDelta():
                sent = self._send_token(self._turn.add_text(event.text))
            case ReasoningDelta():
                self._turn.add_reasoning(event.text)
            case TurnRestarted():
                self._turn.restart()
            case ModelStarted():
                sent = self._send_reasoning(self._turn.reasoning)
                self._turns += 1
                self._turn.begin()
            case ToolEnded():
                call = {"tool_name": event.call.name, "arguments": _read_arguments(event.call.arguments)}
                sent = self._render("tool_call", call | {"result": event.content})
            case StepStarted():
                self._steps.append(event.path)
                sent = self._send_step("step_start", event.path)
            case StepEnded():
                sent = self._send_step("step_end", event.path, event.status)
        return sent

    def end(self, end: RunResult | HttpError) -> bytes:
        """Return the last events: the reasoning and `complete`, or `error`."""
        if isinstance(end, HttpError):
            return self._fail(end)
        try:
            rest = self._send_token(self._turn.finish(end.content))
        except HttpError as exc:
            return self._fail(exc)
        reasoning = self._turn.reasoning or end.reasoning
        usage = render_usage(end.usage)
        data: dict[str, Any] = {
            "output": end.content,
            "duration": end.duration,
            "token_count": usage.total_tokens,
            "usage": usage,
            "status": end.status,
            "run_id": end.run_id,
        }
        if reasoning:
            data["reasoning"] = {"content": reasoning, "model": self._envelope.model}
        return rest + self._send_reasoning(reasoning) + self._render("complete", data)

    def _fail(self, error: HttpError) -> bytes:
        message = f"{error.message}. {error.hint}" if error.hint else error.message
        return self._render("error", {"error": message, "code": error.code.upper()})

    def _send_token(self, text: str) -> bytes:
        if not text:
            return b""
        self._tokens += 1
        return self._render("token", {"token": text, "index": self._tokens - 1})

    def _send_reasoning(self, text: str) -> bytes:
        if not text:
            return b""
        at = max(0, self._turns - 1)
        return self._render("reasoning", {"content": text, "message_index": at, "model": self._envelope.model})

    def _send_step(self, kind: str, path: str, status: str = "") -> bytes:
        at = self._steps.index(path) if path in self._steps else len(self._steps)
        data: dict[str, Any] = {"step_name": path, "step_index": at}
        return self._render(kind, data | ({"description": status} if status else {}))

    def _render(self, kind: str, data: dict[str, Any]) -> bytes:
        if self._types and kind not in self._types:
            return b""
        envelope = self._envelope
        body: dict[str, Any] = {
            "type": kind,
            "timestamp": self._clock().isoformat().replace("+00:00", "Z"),
            "data": data,
        }
        ids = {
            "session_id": envelope.session_id,
            "agent_id": envelope.agent_id,
            "run_context_id": envelope.run_context_id,
        }
        body |= {name: value for name, value in ids.items() if value}
        return b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), _encode(body))


def _read_arguments(text: str) -> Any:
    try:
        return msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {"": text}  # as the model wrote them, which is not JSON
