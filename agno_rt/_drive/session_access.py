"""The access of a run to its session. Knows storage only by the protocols in `memory`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import trio

from agno_rt.limiter import Limiter
from agno_rt.memory import MemoryBackend

if TYPE_CHECKING:
    from agno_rt._drive.session_order import SharedLock

__all__ = ["Crowd", "SessionAccess"]


class Crowd(msgspec.Struct, eq=False):
    """The runs behind the holder of a session, in order of arrival, and the scopes of runs by id, for cancelling."""

    waiting: list[Any] = []
    scopes: dict[str, trio.CancelScope] = {}


class SessionAccess(msgspec.Struct, eq=False, weakref=True):
    """The session that a run reads and appends to, with the lock for runs of this process.

    `shared` is set if the memory backend also orders the runs of other processes. `holder` is the run with the
    session, `crowd` has the other runs, if there were any. `cached` has the agent and the model of the last request
    with listeners, and the number of its tokens that the model's provider has cached.
    """

    id: str
    memory: MemoryBackend
    lock: Limiter
    shared: SharedLock | None = None
    holder: Any = None
    crowd: Crowd | None = None
    cached: tuple[str, str, int] | None = None

    @classmethod
    def of(cls, session: str, memory: Any) -> SessionAccess:
        """Make the access to a session of the memory backend."""
        access = cls(session, memory, Limiter(f"session {session!r}", 1))
        if hasattr(memory, "lock_session"):  # isinstance() with the protocol would take microseconds
            from agno_rt._drive.session_order import SharedLock  # only for backends that lock sessions

            access.shared = SharedLock(session, memory)
        return access
