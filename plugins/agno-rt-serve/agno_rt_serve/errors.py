"""Errors over HTTP, and the part of an agent's error that clients may see. Pure: knows neither sockets nor routes.

Clients are told all of an error that they can mend or wait out. Any other error is inner: its text may hold paths,
addresses and other details of the server. The client is told the kind of error, and where to find it in the log.
"""

from __future__ import annotations

import math
from http import HTTPStatus

import msgspec

from agno_rt.errors import (
    AgnoError,
    BackendError,
    Blocked,
    ConfigError,
    ContextOverflow,
    DeadlineExceeded,
    Forbidden,
    JournalMismatch,
    LimitExceeded,
    ModelError,
    NotFound,
    OutputError,
    Overloaded,
    RunCancelled,
    RunInterrupted,
    RunRolledBack,
    SessionBusy,
    SessionConflict,
    StepUncertain,
    ToolDefinitionError,
    Unanswered,
    UsageError,
)
from agno_rt.run_store import RunConflict

__all__ = ["BrokenAgent", "HttpError", "Problem", "describe", "describe_end", "error_body", "is_inner", "run_of"]

_TOLD = (UsageError, LimitExceeded, Blocked, RunCancelled, SessionBusy)
_INNER = (ConfigError, ToolDefinitionError)
"""Usage errors of the agents' author, not of the client."""


class HttpError(Exception):
    """A request that is answered with an error: an HTTP status, a stable code, the fault and the remedy.

    `headers` go out with the answer (`Allow`, `Retry-After`); `run_id` is the id of the failed run, or empty.
    """

    def __init__(
        self, status: int, code: str, message: str, hint: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.headers = headers
        self.run_id = ""


class ErrorDetail(msgspec.Struct):
    """An error for programs (`code`) and people: what happened, and what to do next. `run_id` is the failed run."""

    code: str
    message: str
    hint: str
    run_id: str | msgspec.UnsetType = msgspec.UNSET


class Problem(msgspec.Struct):
    """The body of an error: problem details of RFC 9457, with the rest in the extension member `error`.

    The type is always `about:blank`, which says that the title is the status in words.
    """

    status: int
    title: str
    detail: str
    error: ErrorDetail
    type: str = "about:blank"


class BrokenAgent(AgnoError):
    """An agent that cannot run as it stands; its cause says why."""

    code = "broken_agent"


_KINDS: tuple[tuple[type[AgnoError], str], ...] = (
    (OutputError, "the model's answer does not fit the agent's output type"),
    (ContextOverflow, "the conversation does not fit into the model's context"),
    (RunConflict, "the run is under way already, or over"),
    (SessionConflict, "another run changed the session meanwhile, so this run was not stored in it"),
    (BackendError, "the server's stored data could not be read or written"),
    (ConfigError, "the server lacks a setting that the run needs"),
    (BrokenAgent, "the agent cannot run as it stands"),
    (StepUncertain, "a step of the workflow had begun when its program ended, and nobody knows whether it was done"),
    (JournalMismatch, "the workflow has changed since the run began, and cannot go on with it"),
    (Unanswered, "a person refused to answer the workflow's question, or did not answer in time"),
)
"""The message for an inner error; the first kind that fits counts."""

_REMEDIES: dict[str, str] = {
    ContextOverflow.code: "Send less, or begin a new session.",
    StepUncertain.code: "See whether the step took effect: GET /runs/ID shows which one began and did not end. Then "
    "POST /runs/ID/fork at its path, with the `result` if it is not to be taken again, and resume the fork.",
    JournalMismatch.code: "Fork the run before the change with POST /runs/ID/fork, and resume the fork; or begin anew.",
    Unanswered.code: "Begin the run anew, and answer.",
}
"""Remedies for inner errors that the client can mend, by code. Such an error keeps its status."""

_TOLD_CODES = frozenset(
    kind.code for kind in (*_TOLD, NotFound, Forbidden, RunInterrupted, RunRolledBack) if kind is not LimitExceeded
)


_LIMITS: tuple[tuple[type[LimitExceeded], str], ...] = (
    (Overloaded, "the server has too much to do right now"),
    (DeadlineExceeded, "the answer took too long, so the run was stopped"),
    (LimitExceeded, "the run reached a limit for one run, and was stopped"),
)
"""The message for a limit, written for users of a page, who cannot raise limits; the hint is for developers."""


_TITLES: dict[int, str] = {each.value: each.phrase for each in HTTPStatus}


def error_body(error: HttpError) -> bytes:
    """Return the JSON of an error, for every route outside /v1."""
    told = ErrorDetail(error.code, error.message, error.hint, error.run_id or msgspec.UNSET)
    return msgspec.json.encode(Problem(error.status, _TITLES.get(error.status, ""), error.message, told))


def is_inner(error: AgnoError) -> bool:
    """Return whether the error's text is for the log alone."""
    return not isinstance(error, _TOLD) or isinstance(error, _INNER)


def run_of(error: AgnoError) -> str:
    """Return the id of the run that the error ended; empty if no run had begun."""
    return "" if error.result is None else str(error.result.run_id)


def describe(error: AgnoError, *, full: bool = False, request: str = "") -> HttpError:
    """Return the error as an answer, with `Retry-After` if the request may be sent again.

    For an inner error the answer has only its kind and where the log has the rest, unless `full` is true.
    """
    status, message, hint = error.http_status, error.message, error.hint
    run = run_of(error)
    if isinstance(error, LimitExceeded):
        hint = f"{message}. {hint}".rstrip()
        message = next(text for kind, text in _LIMITS if isinstance(error, kind))
    if not full and is_inner(error):
        place = f"run {run}" if run else f"request {request}" if request else ""
        message, hint = _name_kind(error), f"The server's log says why{place and ': '}{place}."
        if isinstance(error, SessionConflict) or getattr(error, "retryable", False):
            hint = f"Send it again. {hint}"
        elif error.code in _REMEDIES:
            hint = f"{_REMEDIES[error.code]} {hint}"
        elif status < 500 and not isinstance(error, RunConflict):  # the client cannot mend the error
            status = 500
    described = HttpError(status, error.code, message, hint, _retry_after(error))
    described.run_id = run
    return described


def describe_end(code: str, error: str, run: str) -> str:
    """Return the text for the end of a run of which only the code and the text are known, as from a stored record.

    An error that the client can mend or wait out is told in full. An inner error has its kind alone.
    """
    if code in _TOLD_CODES:
        return error
    for kind, text in _LIMITS:
        if code == kind.code:
            problem, _, hint = error.partition("\n")
            return f"{text}\n{problem}. {hint}".rstrip()
    hint = f"{_REMEDIES.get(code, '')} The server's log says why: run {run}.".lstrip()
    return f"{_name_code(code)}\n{hint}"


def _name_code(code: str) -> str:
    for kind, text in _KINDS:
        if code == kind.code:
            return text
    return _name_model_kind(None) if code == ModelError.code else "the run failed in the server"


def _name_kind(error: AgnoError) -> str:
    for kind, text in _KINDS:
        if isinstance(error, kind):
            return text
    return _name_model_kind(error.status) if isinstance(error, ModelError) else "the run failed in the server"


def _name_model_kind(status: int | None) -> str:
    match status:
        case None:
            return "the model gave no answer"
        case 429:
            return "the model's service does not accept more requests for now"
        case 408 | 504:
            return "the model's service did not answer in time"
    return "the model's service is out of order" if status >= 500 else "the model's service refused the request"


def _retry_after(error: AgnoError) -> tuple[tuple[bytes, bytes], ...]:
    seconds = 1.0 if isinstance(error, Overloaded) else getattr(error, "retry_after", None)
    return () if seconds is None else ((b"retry-after", b"%d" % max(1, math.ceil(seconds))),)
