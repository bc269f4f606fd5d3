"""Lets `agno-rt top` ask a runtime what it does, once its observer is asked for: `observers = ["inspect"]`.

It observes nothing of a run: it looks when somebody asks, and only this user's processes on this machine can.
"""

from __future__ import annotations

from typing import Any

from agno_rt._watch.socket import Inspection
from agno_rt.events import Event
from agno_rt.hookspecs import hookimpl

__all__ = ["Inspector", "inspect"]


class Inspector(Inspection):
    """Answers `agno-rt top` for one runtime, until it is closed. `path` is its socket.

    As an observer it asks for no events (`hears`), so that runs need not tell it any.
    """

    hears = False

    def __call__(self, event: Event) -> None:
        """Let it pass."""


def inspect(runtime: Any) -> Inspector:
    """Let `agno-rt top` ask this runtime, which is open, from here on. Close what it returns with `close()`.

    Call it under trio, in the thread of the runtime. Raises `BackendError` where no socket can be made, and
    `UsageError` where the system has none.
    """
    return Inspector(runtime.tasks, runtime.origin)


@hookimpl
def agno_rt_observe(runtime: Any) -> Inspector:
    """Answer `agno-rt top` as long as the runtime is open."""
    return inspect(runtime)
