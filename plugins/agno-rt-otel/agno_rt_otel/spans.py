"""Spans from the events of runs: one for a run, and inside it one for each call of the model and of tools.

An observer is called in the task of the event, so a span becomes current in the right task. A run begins under its
caller's span. Work inside a model or a tool, such as a run within a tool, begins under the call's span. Tasks and
threads started by a tool inherit the span. Knows nothing of the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextvars import Token
from typing import Any

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span, set_span_in_context

from agno_rt import Usage
from agno_rt.events import (
    ApprovalAsked,
    ApprovalReviewed,
    CacheMissed,
    ContextCompacted,
    Event,
    GuardTripped,
    ModelEnded,
    ModelStarted,
    RunEnded,
    RunStarted,
    ToolEnded,
    ToolStarted,
    TurnRestarted,
)
from agno_rt_otel import names

__all__ = ["Spans"]

_ERRORS = {"failed", "limited"}


class _Open:
    """An open span; `token` is set if the span was made current."""

    __slots__ = ("context", "span", "token")

    def __init__(self, span: Span, context: Context, token: Token[Context] | None) -> None:
        self.span = span
        self.context = context
        self.token = token

    def end(self) -> None:
        """End the span, and make the previous span current again."""
        if self.token is not None:
            detach(self.token)
        self.span.end()


class _Run:
    """A run in progress: its span, current since the start, and the open spans inside, by turn or by the call's id."""

    __slots__ = ("conversation", "open", "own")

    def __init__(self, own: _Open, conversation: str | None) -> None:
        self.own = own
        self.conversation = conversation
        self.open: dict[int | str, _Open] = {}


class Spans:
    """A tracer of runs: `observe` is the observer. With `content`, spans contain texts of the conversation."""

    def __init__(self, tracer: Tracer, *, content: bool = False) -> None:
        self._tracer = tracer
        self._content = content
        self._runs: dict[str, _Run] = {}
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            RunStarted: self._run_started,
            RunEnded: self._run_ended,
            ModelStarted: self._model_started,
            ModelEnded: self._model_ended,
            ToolStarted: self._tool_started,
            ToolEnded: self._tool_ended,
            CacheMissed: self._cache_missed,
            ContextCompacted: self._context_compacted,
            TurnRestarted: self._turn_restarted,
            GuardTripped: self._guard_tripped,
            ApprovalAsked: self._approval_asked,
            ApprovalReviewed: self._approval_reviewed,
        }

    @property
    def open(self) -> int:
        """Return the number of runs with an open span."""
        return len(self._runs)

    def observe(self, event: Event) -> None:
        """Begin or end a span, or note the event on a span; ignore other events."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _run_started(self, event: RunStarted) -> None:
        attributes: dict[str, Any] = {names.OPERATION: "invoke_agent", names.RUN: event.run_id}
        if event.agent:
            attributes[names.AGENT_NAME] = event.agent
        if event.session is not None:
            attributes[names.CONVERSATION] = event.session
        if event.parent is not None:
            attributes[names.PARENT] = event.parent
        if event.resumed:
            attributes[names.RESUMED] = True
        if self._content:
            attributes[names.INPUT] = _write_message("user", event.input)
        around = get_current()
        name = f"invoke_agent {event.agent}" if event.agent else "invoke_agent"
        span = self._tracer.start_span(name, around, SpanKind.INTERNAL, attributes)
        if not span.is_recording():
            # A span outside the sample must be current all the same, or the spans inside would be sampled on their own.
            # Without a configuration the span equals the surrounding span, or is invalid: then skip the run.
            known = span.get_span_context()
            if not known.is_valid or known == get_current_span(around).get_span_context():
                return
        context = set_span_in_context(span, around)
        self._runs[event.run_id] = _Run(_Open(span, context, attach(context)), event.session)

    def _run_ended(self, event: RunEnded) -> None:
        run = self._runs.pop(event.run_id, None)
        if run is None:
            return
        # Innermost first: each end makes the span around current again.
        while run.open:
            run.open.popitem()[1].end()
        span = run.own.span
        attributes = _list_usage(event.usage)
        attributes[names.STATUS] = event.status
        if event.status in _ERRORS:
            attributes[names.ERROR_TYPE] = event.code or event.status
            span.set_status(StatusCode.ERROR, None if event.error is None else _clean_text(event.error))
        if self._content and event.content:
            attributes[names.ANSWER] = _write_message("assistant", event.content)
        span.set_attributes(attributes)
        run.own.end()

    def _model_started(self, event: ModelStarted) -> None:
        run = self._runs.get(event.run_id)
        if run is None or not event.model:  # without a model a hook answers
            return
        provider, model = names.provider_and_model(event.model)
        attributes: dict[str, Any] = {
            names.OPERATION: "chat",
            names.PROVIDER: provider,
            names.MODEL: model,
            names.TURN: event.turn,
        }
        if run.conversation is not None:
            attributes[names.CONVERSATION] = run.conversation
        span = self._tracer.start_span(f"chat {model}", run.own.context, SpanKind.CLIENT, attributes)
        context = set_span_in_context(span, run.own.context)
        run.open[event.turn] = _Open(span, context, attach(context))

    def _model_ended(self, event: ModelEnded) -> None:
        run = self._runs.get(event.run_id)
        opened = None if run is None else run.open.pop(event.turn, None)
        if opened is None:
            return
        attributes = _list_usage(event.usage) if event.status == "completed" else {}
        attributes[names.STATUS] = event.status
        # Some versions of agno_rt do not report a finish reason.
        if reason := getattr(event, "finish_reason", None):
            attributes[names.FINISH_REASONS] = (reason,)
        if event.request_id:
            attributes[names.REQUEST_ID] = _clean_text(event.request_id)
        if event.status in _ERRORS:
            attributes[names.ERROR_TYPE] = "limit" if event.status == "limited" else "model"
            opened.span.set_status(StatusCode.ERROR, None if event.error is None else _clean_text(event.error))
        opened.span.set_attributes(attributes)
        opened.end()

    def _tool_started(self, event: ToolStarted) -> None:
        run = self._runs.get(event.run_id)
        if run is None:
            return
        call, tool = event.call, _clean_text(event.call.name)
        attributes: dict[str, Any] = {
            names.OPERATION: "execute_tool",
            names.TOOL_NAME: tool,
            names.TOOL_TYPE: "function",
            names.CALL_ID: _clean_text(call.id),
        }
        if self._content:
            attributes[names.ARGUMENTS] = _clean_text(call.arguments)
        span = self._tracer.start_span(f"execute_tool {tool}", run.own.context, SpanKind.INTERNAL, attributes)
        context = set_span_in_context(span, run.own.context)
        # A batch of calls starts one call after another in one task, and its work belongs to the first call's span. All
        # other simultaneous calls have tasks of their own.
        current = get_current()
        batched = any(each.context is current for each in run.open.values())
        run.open[call.id] = _Open(span, context, None if batched else attach(context))

    def _tool_ended(self, event: ToolEnded) -> None:
        run = self._runs.get(event.run_id)
        opened = None if run is None else run.open.pop(event.call.id, None)
        if opened is None:
            return
        attributes: dict[str, Any] = {names.STATUS: event.status}
        if event.status in _ERRORS:
            attributes[names.ERROR_TYPE] = "limit" if event.status == "limited" else "tool"
            opened.span.set_status(StatusCode.ERROR, _clean_text(event.content) if self._content else None)
        if self._content:
            attributes[names.RESULT] = _clean_text(event.content)
        opened.span.set_attributes(attributes)
        opened.end()

    def _cache_missed(self, event: CacheMissed) -> None:
        counts = {"before": event.before, "cached": event.cached, names.TURN: event.turn}
        self._add_event(event.run_id, "agno_rt.cache_missed", counts)

    def _context_compacted(self, event: ContextCompacted) -> None:
        counts = {"before": event.before, "after": event.after, "messages": event.messages, names.TURN: event.turn}
        self._add_event(event.run_id, "agno_rt.context_compacted", counts)

    def _turn_restarted(self, event: TurnRestarted) -> None:
        self._add_event(event.run_id, "agno_rt.turn_restarted", {"reason": event.reason})

    def _guard_tripped(self, event: GuardTripped) -> None:
        tripped = {"guard": event.guard, "where": event.where, "action": event.action, "reason": event.reason}
        self._add_event(event.run_id, "agno_rt.guard_tripped", tripped)

    def _approval_asked(self, event: ApprovalAsked) -> None:
        asked = {"approval": event.approval, "kind": event.kind, names.TOOL_NAME: _clean_text(event.call.name)}
        self._add_event(event.run_id, "agno_rt.approval_asked", asked | {names.CALL_ID: _clean_text(event.call.id)})

    def _approval_reviewed(self, event: ApprovalReviewed) -> None:
        reviewed: dict[str, str | int] = {
            "approved": event.approved,
            "by": event.by,
            names.TOOL_NAME: _clean_text(event.call.name),
        }
        more = {names.CALL_ID: _clean_text(event.call.id)} | ({"grant": event.grant} if event.grant else {})
        self._add_event(event.run_id, "agno_rt.approval_reviewed", reviewed | more)

    def _add_event(self, run_id: str, name: str, attributes: Mapping[str, str | int]) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            run.own.span.add_event(name, attributes)


def _list_usage(usage: Usage) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        names.INPUT_TOKENS: usage.input_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
    }
    # Only some models report these counts, so leave out zeros.
    if usage.reasoning_tokens or usage.cached_tokens or usage.cache_write_tokens or usage.cost:
        rest = {
            names.REASONING_TOKENS: usage.reasoning_tokens,
            names.CACHED_TOKENS: usage.cached_tokens,
            names.CACHE_WRITE_TOKENS: usage.cache_write_tokens,
            names.COST: usage.cost,
        }
        attributes |= {name: count for name, count in rest.items() if count}
    return attributes


def _write_message(role: str, text: str) -> str:
    """Write a message in the form of the conventions for attributes."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": _clean_text(text)}]}], ensure_ascii=False)


def _clean_text(text: str) -> str:
    """Replace invalid Unicode, as a model may write: an exporter would lose the whole batch of spans."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
