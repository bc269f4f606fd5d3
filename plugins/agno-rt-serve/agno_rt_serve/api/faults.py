"""Errors and failed steps: the part for clients, and the part for the log. Knows no route."""

from __future__ import annotations

import traceback

import msgspec

from agno_rt import AgnoError, Event, RunResult
from agno_rt.events import ModelEnded, RunEnded, ToolEnded, TurnRestarted
from agno_rt_serve import log
from agno_rt_serve.errors import HttpError, describe, is_inner, name_end, run_of

__all__ = ["Faults"]


class Faults:
    """Decides which part of an error leaves the server. With `show` all of it does, for the agents' developers."""

    def __init__(self, *, show: bool) -> None:
        self._show = show

    def describe(self, error: AgnoError, request: str) -> HttpError:
        """Return the error as an answer to the request of that id. Log the parts that the answer leaves out."""
        if is_inner(error):
            self._log(error, request)
        return describe(error, full=self._show, request=request)

    def _log(self, error: AgnoError, request: str) -> None:
        run, cause = run_of(error), error.__cause__
        known = {"run": run, "request": request, "code": error.code, "error": error.full_text}
        if cause is not None:
            # Unlike `str`, `format_exception_only` cannot fail for any exception.
            known["cause"] = "".join(traceback.format_exception_only(cause)).strip()
        if self._show:
            # As text: structlog's own rendering shows the local variables of every frame, keys among them.
            known["exception"] = "".join(traceback.format_exception(error)).rstrip()
        log.write(
            "error", "run failed" if run else "request failed", **{name: text for name, text in known.items() if text}
        )

    def event(self, event: Event, result: RunResult | None) -> Event:
        """Return the event as a client may see it. `result` is the run's result, once the run is over."""
        if self._show:
            return event
        match event:
            case RunEnded() if event.error is not None:
                error = None if result is None else result.error
                return msgspec.structs.replace(event, error=_describe_end(error, event))
            case ModelEnded() if event.error is not None:
                return msgspec.structs.replace(event, error="the model gave no answer")
            case TurnRestarted():
                return msgspec.structs.replace(event, reason="the model is asked again")
            case ToolEnded(status="failed"):
                log.write("warning", "tool failed", run=event.run_id, tool=event.call.name, error=event.content)
                told = f"{event.call.name} failed. The server's log says why: run {event.run_id}."
                return msgspec.structs.replace(event, content=told)
        return event


def _describe_end(error: BaseException | None, event: RunEnded) -> str:
    if isinstance(error, AgnoError):
        told = describe(error)
        return f"{told.message}\n{told.hint}".rstrip()
    return f"{name_end(event.code or '', event.error or '')}\nThe server's log says why: run {event.run_id}."
