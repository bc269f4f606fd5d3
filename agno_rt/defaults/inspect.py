"""Answers `agno-rt top` for a runtime, once the observer is asked for: `observers = ["inspect"]`.

Nothing of a run is recorded. The runtime is looked at when somebody asks, and only processes of the same user on the
same machine can ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agno_rt.hookspecs import hookimpl

if TYPE_CHECKING:
    from agno_rt._watch.inspector import Inspector

__all__ = ["Inspector", "agno_rt_observe", "inspect"]


def inspect(runtime: Any) -> Inspector:
    """Answer `agno-rt top` for this open runtime from here on, until the returned object's `close()`.

    To be called under trio, in the thread of the runtime. Raises `BackendError` if no socket can be made, and
    `UsageError` if the system has none.
    """
    from agno_rt._watch.inspector import Inspector  # sockets and threads, which every command would pay for

    return Inspector(runtime.tasks, runtime.origin)


@hookimpl
def agno_rt_observe(runtime: Any) -> Inspector:
    """Answer `agno-rt top` as long as the runtime is open."""
    return inspect(runtime)


def __getattr__(name: str) -> Any:
    if name == "Inspector":
        from agno_rt._watch.inspector import Inspector

        return Inspector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
