"""Every error that agno_rt raises, sorted by who can mend it. Knows nothing else.

The caller mends a `UsageError`, the model's side a `ModelError`, a plugin's author a `PluginError`, whoever
operates the storage a `BackendError`; a `LimitExceeded` names the limit that was reached. Each carries a stable
`code`, a `hint` that says what to do, and the `http_status` with which it is served.
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
    "DeadlineExceeded",
    "Forbidden",
    "HookError",
    "LimitExceeded",
    "ModelError",
    "NotFound",
    "OutputError",
    "Overloaded",
    "PluginError",
    "RunCancelled",
    "SessionConflict",
    "ToolDefinitionError",
    "UsageError",
    "code_of",
    "suggest",
]


class AgnoError(Exception):
    """The base of every error here; catch it, but raise one of its subclasses.

    `message` says what went wrong, and is the error's text; `hint` says what to do about it. A traceback shows both,
    the hint as a note; `full_text` is both in one text. When the error ended a run, `result` is the `RunResult` so
    far: its messages and usage are not lost.
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500

    # Of the class, and the message set by `__new__`: a subclass elsewhere may have an `__init__` of its own.
    message: str
    hint: str = ""
    result: Any = None
    _placed: bool = False

    def __new__(cls, *args: Any, **named: Any) -> Self:
        made = super().__new__(cls, *args, **named)
        said = args[0] if args else cls.__name__
        set_attribute(made, "message", said if isinstance(said, str) else repr_of(said))
        return made

    def __init__(self, message: str, *, hint: str = "") -> None:
        if type(self) is AgnoError:
            raise TypeError("AgnoError is a base class; raise one of its subclasses")
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            add_note(self, hint)

    def at(self, place: str) -> Self:
        """Say where the cause was written, in front of the message, unless that is said already; returns itself."""
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
    """A name that nothing goes by. The hint offers the nearest name and lists what there is.

    `where` says where the name was written (a file, a table of it, a flag); it may be empty.
    """

    code = "not_found"
    http_status = 404

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "", hint: str = "") -> None:
        place = f" ({where})" if where else ""
        missing = "no such file:" if kind == "file" else f"unknown {kind}"
        super().__init__(f"{missing} {_shortened(name)}{place}", hint=hint or suggest(kind, name, known))
        self.kind = kind
        self.name = name


class Forbidden(UsageError):
    """What was asked for belongs to another user. Nothing was read of it, and nothing changed."""

    code = "forbidden"
    http_status = 403


class ConfigError(UsageError):
    """A configuration file that cannot be used; the message names the file, the line and the key."""

    code = "config"


class ToolDefinitionError(UsageError):
    """A function that cannot be described to a model, found when it is made a tool."""

    code = "tool_definition"


class ModelError(AgnoError):
    """A model did not give an answer that can be used.

    `provider` names the model or its service, `status` is the HTTP status where there was one, `retryable` says
    whether the same request may succeed later, and `retry_after` is the wait that the service asked for, in seconds.
    """

    code = "model"
    http_status = 502

    provider: str = ""
    status: int | None = None
    retryable: bool = False
    retry_after: float | None = None

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


class OutputError(ModelError):
    """The model's answer does not fit the agent's output type, after every attempt it was given."""

    code = "output"


class PluginError(AgnoError):
    """A plugin failed to load, or broke the plugin interface; `plugin` names it."""

    code = "plugin"

    def __init__(self, message: str, *, plugin: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin


class LimitExceeded(AgnoError):
    """A run reached one of its limits; `limit` names it as `Limits` does."""

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
    """Refused at once, because the queue in front of a limit is full. The same call may succeed later."""

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
    """A hook or a guardrail failed, with an exception of its own that is this one's cause; `hook` names it."""

    code = "hook"

    def __init__(self, message: str, *, hook: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.hook = hook


class RunCancelled(AgnoError):
    """The run was cancelled by its id, from elsewhere; what there is of it is stored, and can be resumed."""

    code = "cancelled"
    http_status = 409


class BackendError(AgnoError):
    """A memory backend cannot read or write; the message names the URL or the file."""

    code = "backend"
    http_status = 503


class SessionConflict(BackendError):
    """Another process wrote to the session since it was read; nothing of this run was stored in it."""

    code = "session_conflict"
    http_status = 409


_COMPARED = 100
"""How many characters of a name that is not known are shown and compared."""


def _shortened(name: str) -> str:
    """The name as an error shows it."""
    shown = repr(name)
    return shown if len(shown) <= 5 * _COMPARED else f"{shown[:_COMPARED]}... of {len(name):,} characters"


def code_of(exc: BaseException) -> str:
    """Return the code of an error: its own if it is one of these, `internal` for any other exception."""
    return exc.code if isinstance(exc, AgnoError) else "internal"


def suggest(kind: str, name: str, known: Iterable[str]) -> str:
    """The hint for a name that is not among `known`: the nearest one, and the list."""
    names = sorted(set(known))
    if not names:
        return f"There are no {kind}s." if kind != "file" else "Check the name, and the folder that it is in."
    # Comparing takes the product of both lengths, and whoever sent the name chose one of them.
    close = difflib.get_close_matches(str(name)[:_COMPARED], names, n=1)
    nearest = f"Did you mean {close[0]!r}? " if close else ""
    # To leave out a single one would save nothing.
    count = len(names) if len(names) <= 13 else 12
    shown = ", ".join(names[:count]) + (f", and {len(names) - count} more" if len(names) > count else "")
    return f"{nearest}Known: {shown}."
