"""Answers `agno-rt top` for a runtime, once the observer is asked for: `observers = ["inspect"]`.

Nothing of a run is recorded. The runtime is looked at when somebody asks, and only processes of the same user on the
same machine can ask.
"""

from __future__ import annotations

from typing import Any

from agno_rt._watch.socket import Inspection
from agno_rt.events import Event
from agno_rt.hookspecs import hookimpl

__all__ = ["Inspector", "inspect"]


class Inspector(Inspection):
    """Answers `agno-rt top` for one runtime, until it is closed. `path` is its socket.

    The observer asks for no events (`hears`), so it costs runs nothing.
    """

    hears = False

    def __call__(self, event: Event) -> None:
        """Ignore the event."""


def inspect(runtime: Any) -> Inspector:
    """Answer `agno-rt top` for this open runtime from here on, until the returned object's `close()`.

    To be called under trio, in the thread of the runtime. Raises `BackendError` if no socket can be made, and
    `UsageError` if the system has none.
    """
    return Inspector(runtime.tasks, runtime.origin)


@hookimpl
def agno_rt_observe(runtime: Any) -> Inspector:
    """Answer `agno-rt top` as long as the runtime is open."""
    return inspect(runtime)
