"""Errors and failed steps: the part for clients, and the part for the log. Knows no route."""

from __future__ import annotations

import traceback

import attrs
import msgspec

from agno_rt import AgnoError, Event, RunResult
from agno_rt.events import ModelEnded, RunEnded, ToolEnded, TurnRestarted
from agno_rt.run_store import RunRecord
from agno_rt.steps import Step
from agno_rt_serve import log
from agno_rt_serve.errors import HttpError, describe, describe_end, is_inner, run_of

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

    def record(self, record: RunRecord) -> RunRecord:
        """Return the record of a stored run as a client may see it: with the same error as the run's last event."""
        if self._show or record.error is None:
            return record
        return attrs.evolve(record, error=describe_end(record.code or "", record.error, record.id))

    def step(self, step: Step, record: RunRecord) -> Step:
        """Return a step of a stored run as a client may see it: without the text of a failure."""
        if self._show or (step.error is None and step.status != "failed"):
            return step
        match step.kind:
            case "called":
                told = f"{step.name} failed."
                return attrs.evolve(step, text=f"turn {step.turn}: {told}", content=told)
            case "checked":
                return attrs.evolve(step, text="the answer was refused", error="the answer was refused")
            case "step_ended":
                return attrs.evolve(step, text=f"{step.name}: failed", error="the step failed")
        # An earlier end of a run that was resumed: its code is not kept.
        code = record.code if step.error == record.error else None
        error = describe_end(code or "", step.error or "", record.id)
        return attrs.evolve(step, text=f"{step.status}: {error.splitlines()[0]}", error=error)


def _describe_end(error: BaseException | None, event: RunEnded) -> str:
    if isinstance(error, AgnoError):
        told = describe(error)
        return f"{told.message}\n{told.hint}".rstrip()
    return describe_end(event.code or "", event.error or "", event.run_id)
