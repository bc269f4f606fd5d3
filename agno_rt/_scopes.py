"""What trio's scopes and groups mean to whoever called: a deadline by its name, one cause for a group, a status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import trio

from agno_rt.errors import DeadlineExceeded, LimitExceeded
from agno_rt.events import Status

__all__ = ["DEADLINES", "cause", "deadline", "ended_as", "leaves", "named"]

DEADLINES: WeakKeyDictionary[trio.CancelScope, str] = WeakKeyDictionary()
"""Which limit each deadline under way is, for whoever asks what a run does."""


@contextmanager
def deadline(seconds: float, limit: str, what: str, did: str = "took longer than") -> Iterator[trio.CancelScope]:
    """Cancel what is inside after so many seconds, and raise `DeadlineExceeded` with the limit's name."""
    with trio.move_on_after(seconds) as scope:
        DEADLINES[scope] = limit
        try:
            yield scope
        except BaseExceptionGroup as group:
            # Before the scope takes its Cancelled out of the group and leaves the rest standing for a failure.
            raise cause(group) from None
    if scope.cancelled_caught:
        raise DeadlineExceeded(
            f"{what} {did} {seconds:g} s",
            limit=limit,
            hint=f"Raise Limits({limit}=...) if it should take longer.",
        )


def cause(exc: BaseException) -> BaseException:
    """The exception that stands for a group; the group itself where several failed for reasons of their own.

    An interrupt or an exit comes first. Then a cancellation: what else went wrong while being cancelled is not the
    news, and trio must get its `Cancelled` back. Then a failure, if it is the only one.
    """
    parts = list(leaves(exc))
    ends = [leaf for leaf in parts if not isinstance(leaf, Exception | trio.Cancelled)]
    cancelled = [leaf for leaf in parts if isinstance(leaf, trio.Cancelled)]
    if ends or cancelled:
        return (ends or cancelled)[0]
    return parts[0] if len(parts) == 1 else exc


def leaves(exc: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, however deep; the exception itself where it is none."""
    if not isinstance(exc, BaseExceptionGroup):
        yield exc
        return
    for part in exc.exceptions:
        yield from leaves(part)


def ended_as(exc: BaseException) -> Status:
    """The status of what was ended by this exception, or by this group."""
    exc = cause(exc)
    if isinstance(exc, trio.Cancelled):
        return "cancelled"
    return "limited" if isinstance(exc, LimitExceeded) else "failed"


def named(exc: BaseException) -> str:
    """The exception in a line: its type, and its text if it has one."""
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
