"""Logs the runs of a runtime through structlog, once its observer is asked for: `observers = ["log"]`.

One line when a run ends, or pauses; one when a model or a tool fails, when a turn begins anew, and when a guardrail
trips: a warning where it blocks. How lines look and where they go is structlog's configuration, which belongs to the
application; without one they go to standard error.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from agno_rt.events import (
    ApprovalAsked,
    Event,
    GuardTripped,
    ModelEnded,
    RunEnded,
    RunStarted,
    ToolEnded,
    TurnRestarted,
)
from agno_rt.hookspecs import Observer, hookimpl

__all__ = ["make_observer"]


def make_observer(logger: Any) -> Observer:
    """An observer that writes to a structlog logger."""
    runs: dict[str, dict[str, Any]] = {}

    def observe(event: Event) -> None:
        match event:
            case RunStarted():
                runs[event.run_id] = _begun(event)
            case ModelEnded() if event.status == "failed":
                logger.warning("model failed", run=event.run_id, model=event.model, error=event.error)
            case ToolEnded() if event.status == "failed":
                logger.warning("tool failed", run=event.run_id, tool=event.call.name, error=event.content)
            case TurnRestarted():
                logger.info("turn restarted", run=event.run_id, reason=event.reason)
            case GuardTripped():
                _log_guard(logger, event)
            case ApprovalAsked():
                run = runs[event.run_id]
                run["approvals"] = run.get("approvals", 0) + 1
            case RunEnded():
                _log_end(logger, event, runs.pop(event.run_id))
            case _:
                pass

    return observe


def _begun(event: RunStarted) -> dict[str, Any]:
    """What the line at the run's end says of its beginning: what there is not always, where there is any."""
    begun: dict[str, Any] = {"run": event.run_id, "agent": event.agent}
    if event.parent is not None:
        begun["parent"] = event.parent
    if event.resumed:
        begun["resumed"] = True
    return begun


def _log_guard(logger: Any, event: GuardTripped) -> None:
    log = logger.warning if event.action == "blocked" else logger.info
    log(f"guard {event.action}", run=event.run_id, guard=event.guard, where=event.where, reason=event.reason)


def _log_end(logger: Any, event: RunEnded, run: dict[str, Any]) -> None:
    log = logger.error if event.status in ("failed", "limited") else logger.info
    usage = event.usage
    tokens: dict[str, float] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    rest: dict[str, float] = {
        "reasoning_tokens": usage.reasoning_tokens,
        "cached_tokens": usage.cached_tokens,
        "cost": usage.cost,
    }
    tokens |= {name: count for name, count in rest.items() if count}
    error = {} if event.error is None else {"code": event.code, "error": event.error}
    log(f"run {event.status}", **run, **tokens, **error)


class _Lines:
    """Writes lines to standard error, as it is now; to nowhere where there is none, or it cannot be written."""

    def msg(self, message: str) -> None:
        """Write a line."""
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{message}\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


class _Logger:
    """The application's structlog where it has configured that; else one that leaves standard output to answers."""

    def __init__(self) -> None:
        import structlog

        is_terminal = sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
        processors: list[Any] = [
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=is_terminal and not os.environ.get("NO_COLOR")),
        ]
        self._plain = structlog.wrap_logger(_Lines(), processors=processors)
        self._of_application = structlog.get_logger("agno_rt")
        self._is_configured = structlog.is_configured

    def __getattr__(self, level: str) -> Any:
        return getattr(self._of_application if self._is_configured() else self._plain, level)


@hookimpl
def agno_rt_observe(runtime: Any) -> Observer:
    """Log through structlog."""
    return make_observer(_Logger())
