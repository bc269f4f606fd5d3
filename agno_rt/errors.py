"""Every error that agno_rt raises, sorted by who can fix it. Knows nothing else.

The caller fixes a `UsageError`, the model's side a `ModelError`, a plugin's author a `PluginError`, and the
operator of the storage a `BackendError`. A `LimitExceeded` names the limit that was reached. Each error has a stable
`code`, a `hint` with a remedy, and the `http_status` of its HTTP response.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from agno_rt.failures import add_note, repr_of, set_attribute

__all__ = [
    "AgnoError",
    "BackendError",
    "Blocked",
    "ConfigError",
    "ContextOverflow",
    "DeadlineExceeded",
    "Forbidden",
    "HookError",
    "JournalMismatch",
    "LimitExceeded",
    "ModelError",
    "NotFound",
    "OutputError",
    "Overloaded",
    "PluginError",
    "RunCancelled",
    "RunInterrupted",
    "RunRolledBack",
    "SessionBusy",
    "SessionConflict",
    "StateConflict",
    "StepFailed",
    "StepUncertain",
    "ToolDefinitionError",
    "Unanswered",
    "UsageError",
    "WorkflowError",
    "code_of",
    "suggest",
]


class AgnoError(Exception):
    """The base class of these errors. Catch it, but raise one of its subclasses.

    `message` is the error's text: the problem. `hint` is the remedy. A traceback shows both, with the hint as a note;
    `full_text` has both in one text. If the error ended a run, `result` is the `RunResult` so far, so that messages and
    usage are not lost.
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500

    # Defaults of the class, and `message` set in `__new__`: a subclass's `__init__` might not call this one.
    message: str
    hint: str = ""
    result: Any = None
    _placed: bool = False

    def __new__(cls, *args: Any, **named: Any) -> Self:
        error = super().__new__(cls, *args, **named)
        message = args[0] if args else cls.__name__
        set_attribute(error, "message", message if isinstance(message, str) else repr_of(message))
        return error

    def __init__(self, message: str, *, hint: str = "") -> None:
        if type(self) is AgnoError:
            raise TypeError("AgnoError is a base class; raise one of its subclasses")
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            add_note(self, hint)

    def at(self, place: str) -> Self:
        """Put the cause's place in front of the message, unless there is a place already; return the error."""
        if place and not self._placed:
            self.message = f"{place}: {self.message}"
            self._placed = True
        return self

    @property
    def full_text(self) -> str:
        """The message, and the hint on a line of its own."""
        return f"{self}\n{self.hint}" if self.hint else str(self)

    def __str__(self) -> str:
        return self.message


class UsageError(AgnoError):
    """The call cannot be carried out as it was made; the caller can mend it."""

    code = "usage"
    http_status = 400


class NotFound(UsageError):
    """An unknown name. The hint offers the nearest name and lists the known names.

    `where` is the place of the name (a file, a table in a file, a flag), or empty.
    """

    code = "not_found"
    http_status = 404

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "", hint: str = "") -> None:
        place = f" ({where})" if where else ""
        missing = "no such file:" if kind == "file" else f"unknown {kind}"
        super().__init__(f"{missing} {_shorten_name(name)}{place}", hint=hint or suggest(kind, name, known))
        self.kind = kind
        self.name = name


class Forbidden(UsageError):
    """The requested item, such as a session, belongs to another user. Nothing was read or changed."""

    code = "forbidden"
    http_status = 403


class ConfigError(UsageError):
    """A configuration file with an error; the message names the file, the line and the key."""

    code = "config"


class ToolDefinitionError(UsageError):
    """A function that cannot be described to a model, or with conflicting options; raised when the tool is made."""

    code = "tool_definition"


class ModelError(AgnoError):
    """A model did not give a usable answer.

    `provider` names the model or its service. `status` is the HTTP status, if any. `retryable` says whether
    the same request may succeed later. `retry_after` is the wait requested by the service, in seconds. `request_id` is
    the provider's name for the request, or empty.
    """

    code = "model"
    http_status = 502

    provider: str = ""
    status: int | None = None
    retryable: bool = False
    retry_after: float | None = None
    request_id: str = ""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        provider: str = "",
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after

    def of_request(self, request_id: str) -> Self:
        """Set `request_id`, and return the error."""
        self.request_id = request_id
        return self


class OutputError(ModelError):
    """The model's answer does not fit the agent's output type, after all attempts."""

    code = "output"


class ContextOverflow(ModelError):
    """A request is too large for the model's context, and no compaction makes it fit.

    A model plugin raises this error for a service's refusal; a run with a `Summary` then compacts once and asks again.
    """

    code = "context_overflow"
    http_status = 413


class PluginError(AgnoError):
    """A plugin failed to load, or broke the plugin interface; `plugin` names it."""

    code = "plugin"

    def __init__(self, message: str, *, plugin: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin


class LimitExceeded(AgnoError):
    """A run reached one of its limits; `limit` is the name as in `Limits`."""

    code = "limit"
    http_status = 422

    limit: str = ""

    def __init__(self, message: str, *, limit: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.limit = limit


class DeadlineExceeded(LimitExceeded):
    """A run reached one of its deadlines."""

    code = "deadline"
    http_status = 504


class Overloaded(LimitExceeded):
    """The call was refused at once because the queue of a limit is full. The same call may succeed later."""

    code = "overloaded"
    http_status = 503


class Blocked(AgnoError):
    """A guardrail or a hook refused a run's input, output or one of its steps; `guard` names it, `reason` says why."""

    code = "blocked"
    http_status = 422

    def __init__(self, message: str, *, guard: str, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.guard = guard
        self.reason = reason


class HookError(AgnoError):
    """A hook or a guardrail failed with an exception of its own, the cause of this error; `hook` names the hook."""

    code = "hook"

    def __init__(self, message: str, *, hook: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.hook = hook


class RunCancelled(AgnoError):
    """The run was cancelled by its id, from elsewhere. The finished steps are stored, and the run can be resumed."""

    code = "cancelled"
    http_status = 409


class RunInterrupted(RunCancelled):
    """Another run on the session, with `busy="interrupt"`, stopped the run. Its finished steps are in the session."""

    code = "interrupted"


class RunRolledBack(RunInterrupted):
    """Another run on the session, with `busy="rollback"`, took the run's place. Nothing of it is in the session."""

    code = "rolled_back"


class WorkflowError(AgnoError):
    """A workflow cannot go on at `path`: the place of a step, as `scope/name#n`."""

    code = "workflow"

    def __init__(self, message: str, *, path: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class StepFailed(WorkflowError):
    """A step of a workflow raised an exception of its own; the message names the exception."""

    code = "step_failed"


class StepUncertain(WorkflowError):
    """A step had begun when the program ended: nobody knows whether it was done. It was not done again."""

    code = "step_uncertain"
    http_status = 409


class JournalMismatch(WorkflowError):
    """A resumed workflow does something else than its journal says: the code has changed, or depends on chance."""

    code = "journal_mismatch"
    http_status = 409


class StateConflict(WorkflowError):
    """Two branches of a workflow changed one field of the state, and the field has no reducer that can join them."""

    code = "state_conflict"

    field: str = ""


class Unanswered(WorkflowError):
    """A person refused to answer a workflow's question, or did not answer in time; `reason` is the person's."""

    code = "unanswered"
    http_status = 409

    reason: str = ""


class BackendError(AgnoError):
    """A memory backend cannot read or write; the message names the URL or the file."""

    code = "backend"
    http_status = 503


class SessionConflict(BackendError):
    """Another process wrote to the session after it was read; nothing of this run was stored in the session."""

    code = "session_conflict"
    http_status = 409


class SessionBusy(SessionConflict):
    """The session is in use, and the caller chose `busy="reject"`. Nothing was done.

    `session` is the session, `run` the id of the run that has it; `None` for a run of another user.
    """

    code = "session_busy"

    def __init__(self, message: str, *, session: str, run: str | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.session = session
        self.run = run


_COMPARED = 100
"""The most characters of an unknown name to show and to compare."""


def _shorten_name(name: str) -> str:
    """Return the name's repr for an error, shortened."""
    shown = repr(name)
    return shown if len(shown) <= 5 * _COMPARED else f"{shown[:_COMPARED]}... of {len(name):,} characters"


def code_of(exc: BaseException) -> str:
    """Return the error's code, or `internal` for an exception that is not an `AgnoError`."""
    return exc.code if isinstance(exc, AgnoError) else "internal"


def suggest(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the hint for an unknown name: the nearest of the `known` names, and a list of them."""
    names = sorted(set(known))
    if not names:
        return f"There are no {kind}s." if kind != "file" else "Check the name, and the folder that it is in."
    # difflib takes time in proportion to both lengths, and a client may have sent a very long name.
    close = difflib.get_close_matches(str(name)[:_COMPARED], names, n=1)
    nearest = f"Did you mean {close[0]!r}? " if close else ""
    # Leaving out a single name would save no room.
    count = len(names) if len(names) <= 13 else 12
    shown = ", ".join(names[:count]) + (f", and {len(names) - count} more" if len(names) > count else "")
    return f"{nearest}Known: {shown}."
