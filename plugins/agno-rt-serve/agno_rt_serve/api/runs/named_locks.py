"""Locks by name, among the tasks of this process and the processes that share the memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from agno_rt import Runtime
from agno_rt.memory import SessionLocks

__all__ = ["NamedLocks"]

UNLOCK_SECONDS = 5.0


class NamedLocks:
    """Locks by name."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._locks: dict[str, trio.Lock] = {}

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of the name in this process, and among the processes that share the memory."""
        memory = self._runtime.memory
        lock = self._locks.setdefault(name, trio.Lock())
        try:
            async with lock:
                is_shared = isinstance(memory, SessionLocks) and await memory.lock_session(name, wait=True)
                try:
                    yield
                finally:
                    if is_shared:
                        # A memory that hangs must keep neither the caller nor the next in line for ever.
                        with trio.move_on_after(UNLOCK_SECONDS, shield=True):
                            await memory.unlock_session(name)  # type: ignore[attr-defined]
        finally:
            if not lock.locked():
                self._locks.pop(name, None)
