"""Makes spans of the events of runs: one for a run, and within it one for each call of its model and its tools.

An observer is called in the task in which things happen, so what is current there is made current: a run begins under
the span of whoever asked for it, and what a model or a tool does itself, a run within a tool among it, is under theirs.
Tasks and threads that a tool starts inherit it. Knows nothing of the SDK.
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
    """A span that has not ended; `token` is there where it was made current."""

    __slots__ = ("context", "span", "token")

    def __init__(self, span: Span, context: Context, token: Token[Context] | None) -> None:
        self.span = span
        self.context = context
        self.token = token

    def end(self) -> None:
        """End the span; what was current before it is so again."""
        if self.token is not None:
            detach(self.token)
        self.span.end()


class _Run:
    """A run under way: its span, current since it started, and what is open within it by the turn or the call's id."""

    __slots__ = ("conversation", "open", "own")

    def __init__(self, own: _Open, conversation: str | None) -> None:
        self.own = own
        self.conversation = conversation
        self.open: dict[int | str, _Open] = {}


class Spans:
    """Traces runs through the tracer: `observe` is the observer. With `content`, spans have what was said."""

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
            TurnRestarted: self._turn_restarted,
            GuardTripped: self._guard_tripped,
            ApprovalAsked: self._approval_asked,
        }

    @property
    def open(self) -> int:
        """How many runs have a span that has not ended."""
        return len(self._runs)

    def observe(self, event: Event) -> None:
        """Begin or end a span, or note the event on one, if it is about that."""
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
            attributes[names.INPUT] = _message("user", event.input)
        around = get_current()
        name = f"invoke_agent {event.agent}" if event.agent else "invoke_agent"
        span = self._tracer.start_span(name, around, SpanKind.INTERNAL, attributes)
        if not span.is_recording():
            # One that is not sampled must be current all the same, or what is within it would be sampled by itself.
            # Where nothing is configured the span is the one around, or none: then there is nothing to do for the run.
            known = span.get_span_context()
            if not known.is_valid or known == get_current_span(around).get_span_context():
                return
        context = set_span_in_context(span, around)
        self._runs[event.run_id] = _Run(_Open(span, context, attach(context)), event.session)

    def _run_ended(self, event: RunEnded) -> None:
        run = self._runs.pop(event.run_id, None)
        if run is None:
            return
        while run.open:
            run.open.popitem()[1].end()
        span = run.own.span
        attributes = _used(event.usage)
        attributes[names.STATUS] = event.status
        if event.status in _ERRORS:
            attributes[names.ERROR_TYPE] = event.code or event.status
            span.set_status(StatusCode.ERROR, None if event.error is None else _text(event.error))
        if self._content and event.content:
            attributes[names.ANSWER] = _message("assistant", event.content)
        span.set_attributes(attributes)
        run.own.end()

    def _model_started(self, event: ModelStarted) -> None:
        run = self._runs.get(event.run_id)
        if run is None:
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
        attributes = _used(event.usage) if event.status == "completed" else {}
        attributes[names.STATUS] = event.status
        # Not every agno_rt says why a model stopped.
        if reason := getattr(event, "finish_reason", None):
            attributes[names.FINISH_REASONS] = (reason,)
        if event.status in _ERRORS:
            attributes[names.ERROR_TYPE] = "limit" if event.status == "limited" else "model"
            opened.span.set_status(StatusCode.ERROR, None if event.error is None else _text(event.error))
        opened.span.set_attributes(attributes)
        opened.end()

    def _tool_started(self, event: ToolStarted) -> None:
        run = self._runs.get(event.run_id)
        if run is None:
            return
        call, tool = event.call, _text(event.call.name)
        attributes: dict[str, Any] = {
            names.OPERATION: "execute_tool",
            names.TOOL_NAME: tool,
            names.TOOL_TYPE: "function",
            names.CALL_ID: _text(call.id),
        }
        if self._content:
            attributes[names.ARGUMENTS] = _text(call.arguments)
        span = self._tracer.start_span(f"execute_tool {tool}", run.own.context, SpanKind.INTERNAL, attributes)
        context = set_span_in_context(span, run.own.context)
        # The calls of a batch are one: they start one after another in the same task, and what it does is under the
        # first. Other calls at the same time have tasks of their own.
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
            opened.span.set_status(StatusCode.ERROR, _text(event.content) if self._content else None)
        if self._content:
            attributes[names.RESULT] = _text(event.content)
        opened.span.set_attributes(attributes)
        opened.end()

    def _turn_restarted(self, event: TurnRestarted) -> None:
        self._note(event.run_id, "agno_rt.turn_restarted", {"reason": event.reason})

    def _guard_tripped(self, event: GuardTripped) -> None:
        tripped = {"guard": event.guard, "where": event.where, "action": event.action, "reason": event.reason}
        self._note(event.run_id, "agno_rt.guard_tripped", tripped)

    def _approval_asked(self, event: ApprovalAsked) -> None:
        asked = {"approval": event.approval, "kind": event.kind, names.TOOL_NAME: _text(event.call.name)}
        self._note(event.run_id, "agno_rt.approval_asked", asked | {names.CALL_ID: _text(event.call.id)})

    def _note(self, run_id: str, name: str, attributes: Mapping[str, str]) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            run.own.span.add_event(name, attributes)


def _used(usage: Usage) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        names.INPUT_TOKENS: usage.input_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
    }
    # What there is not always, said where there is any.
    if usage.reasoning_tokens or usage.cached_tokens or usage.cost:
        rest = {
            names.REASONING_TOKENS: usage.reasoning_tokens,
            names.CACHED_TOKENS: usage.cached_tokens,
            names.COST: usage.cost,
        }
        attributes |= {name: count for name, count in rest.items() if count}
    return attributes


def _message(role: str, text: str) -> str:
    """A message in the form that the conventions give for attributes."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": _text(text)}]}], ensure_ascii=False)


def _text(text: str) -> str:
    """As it can be sent: a model may write what is no Unicode, and exporters then lose all that they send with it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
