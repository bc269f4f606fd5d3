"""Logs the runs of a runtime through structlog, once its observer is asked for: `observers = ["log"]`.

One line is written for each run that ends or pauses (duration, model, turns, tool calls, tokens), failing model or
tool, turn that begins anew, guardrail that trips (a warning if the guardrail blocks), and toolkit whose connection
changes. The application's structlog configuration decides how and where; without one, lines go to standard error.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs

from agno_rt.events import (
    ApprovalAsked,
    ApprovalReviewed,
    CacheMissed,
    ContextCompacted,
    Event,
    GuardTripped,
    ModelEnded,
    RunEnded,
    RunStarted,
    ToolEnded,
    ToolkitChanged,
    TurnRestarted,
)
from agno_rt.hookspecs import Observer, hookimpl

__all__ = ["make_observer"]


def make_observer(logger: Any, clock: Callable[[], float] = time.perf_counter) -> Observer:
    """Make an observer that writes to a structlog logger; `clock` gives seconds."""
    runs: dict[str, _Run] = {}

    def observe(event: Event) -> None:
        match event:
            case RunStarted():
                runs[event.run_id] = _Run(event, clock())
            case ModelEnded() | ToolEnded():
                _log_step(logger, event, runs[event.run_id])
            case CacheMissed():
                logger.info(
                    "prompt cache missed",
                    run=event.run_id,
                    model=event.model,
                    turn=event.turn,
                    before=event.before,
                    cached=event.cached,
                )
            case ContextCompacted():
                logger.info(
                    "conversation compacted",
                    run=event.run_id,
                    turn=event.turn,
                    before=event.before,
                    after=event.after,
                    messages=event.messages,
                )
            case TurnRestarted():
                logger.info("turn restarted", run=event.run_id, reason=event.reason)
            case GuardTripped() | ApprovalReviewed() | ToolkitChanged():
                _log_note(logger, event)
            case ApprovalAsked():
                runs[event.run_id].approvals += 1
            case RunEnded():
                run = runs.pop(event.run_id)
                _log_end(logger, event, run, clock() - run.began)
            case _:
                pass

    return observe


@attrs.define
class _Run:
    """Notes on a run under way, for the line at its end."""

    started: RunStarted
    began: float
    models: list[str] = attrs.Factory(list)
    turns: int = 0
    tools: int = 0
    approvals: int = 0

    def fields(self) -> dict[str, Any]:
        """Return the fields of the line; counts of zero and other empty fields are left out."""
        started, models = self.started, ", ".join(self.models)
        counts = {"tools": self.tools, "approvals": self.approvals}
        return {
            **({"model": models} if models else {}),
            "turns": self.turns,
            **{name: count for name, count in counts.items() if count},
            **({"parent": started.parent} if started.parent is not None else {}),
            **({"resumed": True} if started.resumed else {}),
        }


def _log_step(logger: Any, event: ModelEnded | ToolEnded, run: _Run) -> None:
    """Count a step of the run, and log one that failed."""
    if isinstance(event, ToolEnded):
        run.tools += 1
        if event.status == "failed":
            name = event.call.name
            logger.warning(
                "tool failed", run=event.run_id, tool=name, error=event.content.removeprefix(f"{name} failed: ")
            )
        return
    # A call beside the turns, for a summary, has the number 0.
    run.turns = max(run.turns, event.turn)
    if event.model and event.model not in run.models:
        run.models.append(event.model)
    if event.status == "failed":
        request = {"request": event.request_id} if event.request_id else {}
        logger.warning("model failed", run=event.run_id, model=event.model, error=event.error, **request)


def _log_note(logger: Any, event: GuardTripped | ApprovalReviewed | ToolkitChanged) -> None:
    """Log a guardrail that tripped, a review of a call, or a toolkit's connection that was opened, lost or given up."""
    if isinstance(event, GuardTripped):
        note = logger.warning if event.action == "blocked" else logger.info
        note(f"guard {event.action}", run=event.run_id, guard=event.guard, where=event.where, reason=event.reason)
        return
    if isinstance(event, ApprovalReviewed):
        more = {name: value for name, value in (("grant", event.grant), ("reason", event.reason)) if value}
        fields: dict[str, Any] = {"tool": event.call.name, "approved": event.approved, "by": event.by, **more}
        logger.info("call reviewed", run=event.run_id, **fields)
        return
    about = {"error": event.error, "retry_in": event.retry_in, "tools": event.tools}
    log = logger.warning if event.state in ("lost", "failed") else logger.info
    log(f"toolkit {event.state}", toolkit=event.toolkit, **{key: value for key, value in about.items() if value})


def _log_end(logger: Any, event: RunEnded, run: _Run, seconds: float) -> None:
    log = logger.error if event.status in ("failed", "limited") else logger.info
    usage = event.usage
    tokens: dict[str, float] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    rest: dict[str, float] = {
        "reasoning_tokens": usage.reasoning_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cost": usage.cost,
    }
    tokens |= {name: count for name, count in rest.items() if count}
    error = {} if event.error is None else {"code": event.code, "error": event.error}
    first = {"seconds": round(seconds, 3), "agent": run.started.agent}
    log(f"run {event.status}", **first, **run.fields(), **tokens, **error, run=event.run_id)


class _Lines:
    """A logger that writes to the current standard error, or nowhere if that is missing, closed or broken."""

    def msg(self, message: str) -> None:
        """Write a line."""
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{message}\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


class _Logger:
    """The application's structlog if it is configured; else a logger that leaves standard output to answers."""

    def __init__(self) -> None:
        import structlog  # here, because a program that logs nothing should not pay for the import

        is_terminal = sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
        processors: list[Any] = [
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=is_terminal and not os.environ.get("NO_COLOR"), sort_keys=False),
        ]
        self._plain = structlog.wrap_logger(_Lines(), processors=processors)
        self._of_application = structlog.get_logger("agno_rt")
        self._is_configured = structlog.is_configured

    def __getattr__(self, level: str) -> Any:
        # Asked at each line, because the application may configure structlog after the runtime is open.
        return getattr(self._of_application if self._is_configured() else self._plain, level)


@hookimpl
def agno_rt_observe(runtime: Any) -> Observer:
    """Log through structlog."""
    return make_observer(_Logger())
