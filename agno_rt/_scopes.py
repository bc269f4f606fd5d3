"""What trio's scopes and groups mean to whoever called: a deadline by its name, one cause for a group, a status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from weakref import WeakKeyDictionary

import trio

from agno_rt.errors import DeadlineExceeded, LimitExceeded, UsageError
from agno_rt.events import Status
from agno_rt.failures import leaves, let_pass, passing

__all__ = ["DEADLINES", "cause", "check_in_trio", "deadline", "ended_as", "raise_cause"]

let_pass(trio.Cancelled)

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
            raise_cause(group)
    if scope.cancelled_caught:
        raise DeadlineExceeded(
            f"{what} {did} {seconds:g} s",
            limit=limit,
            hint=f"Raise Limits({limit}=...) if it should take longer.",
        )


def cause(exc: BaseException) -> BaseException:
    """The exception that stands for a group; the group itself where several failed for reasons of their own.

    An interrupt comes first. Then a cancellation: what else went wrong while being cancelled is not the news, and trio
    must get its `Cancelled` back. Then a failure, if it is the only one.
    """
    parts = list(leaves(exc))
    ends = list(passing(exc))
    if ends:
        return next((leaf for leaf in ends if not isinstance(leaf, trio.Cancelled)), ends[0])
    return parts[0] if len(parts) == 1 else exc


def raise_cause(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Raise the exception that stands for the group, with the cause that it has itself."""
    exc = cause(group)
    try:
        raise exc from exc.__cause__
    finally:
        # Else the exception would hold this frame, which holds the exception, until the collector comes by.
        del exc


def ended_as(exc: BaseException) -> Status:
    """The status of what was ended by this exception, or by this group."""
    exc = cause(exc)
    if isinstance(exc, trio.Cancelled):
        return "cancelled"
    return "limited" if isinstance(exc, LimitExceeded) else "failed"


def check_in_trio(what: str) -> None:
    """Raise `UsageError` where trio does not run: under asyncio, or under no event loop."""
    if trio.lowlevel.in_trio_run():
        return
    raise UsageError(
        f"{what} was used outside of trio",
        hint=(
            "In an asyncio program, use agno_rt.from_asyncio.AsyncioRuntime in its place; else begin the program with "
            "trio.run(main). For one run from synchronous code there is agno_rt.run(agent, input)."
        ),
    )
