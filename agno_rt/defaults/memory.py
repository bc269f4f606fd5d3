"""The plugin `memory`: memory and knowledge in this process, gone when it ends: `memory:`. Each runtime has its own.

Imports nothing slow: the code of the memory comes with the first one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.defaults.in_process.bounds import MemoryBounds
    from agno_rt.defaults.in_process.memory import InProcessMemory
    from agno_rt.providers import ContextProvider

__all__ = [
    "InProcessMemory",
    "MemoryBounds",
    "agno_rt_register_context",
    "agno_rt_register_knowledge",
    "agno_rt_register_memory",
]


def _make_in_process(url: str, settings: Mapping[str, Any]) -> InProcessMemory:
    from agno_rt.defaults.in_process.memory import InProcessMemory

    return InProcessMemory()


@hookimpl
def agno_rt_register_memory(register: Register) -> None:
    """Offer `memory:`."""
    register("memory", _make_in_process, help="Sessions, runs and facts in this process, gone when it ends.")


def _make_knowledge(url: str, settings: Mapping[str, Any]) -> Any:
    from agno_rt.defaults.sqlite.knowledge import make_memory_knowledge  # not needed for sessions alone

    return make_memory_knowledge(url, settings)


@hookimpl
def agno_rt_register_knowledge(register: Register) -> None:
    """Offer `memory:`."""
    register("memory", _make_knowledge, help="Documents in this process, gone when it ends.")


def _make_past_sessions(rest: str, settings: Mapping[str, Any]) -> ContextProvider:
    from agno_rt.context_providers import PastSessions
    from agno_rt.errors import UsageError

    if rest and not rest.isdecimal():
        hint = "Write memory:past-sessions, or memory:past-sessions:3 to show three messages that fit the input."
        raise UsageError(f"{rest!r} is not a number of messages", hint=hint)
    return PastSessions(int(rest or 0))


@hookimpl
def agno_rt_register_context(register: Register) -> None:
    """Offer `memory:past-sessions`."""
    register("past-sessions", _make_past_sessions, help="Search and read the user's earlier sessions.")


def __getattr__(name: str) -> Any:
    if name in ("InProcessMemory", "MemoryBounds"):
        from agno_rt.defaults.in_process import memory

        return getattr(memory, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
