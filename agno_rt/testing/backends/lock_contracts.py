"""The contract suite for memory backends that lock sessions among processes."""

from __future__ import annotations

import trio

from agno_rt.memory import SessionLocks
from agno_rt.testing._checks import StoreContract

__all__ = ["LockContract"]


class LockContract(StoreContract):
    """Rules for every `SessionLocks`. Override `make_memory`, and `open_again` for the view of another process.

    The locks of a killed process are not covered: test them with a process of your own.
    """

    def test_locks_sessions(self) -> None:
        """A locked session cannot be locked again, here or elsewhere, until unlocked; other sessions can."""

        async def check(memory: SessionLocks) -> None:
            assert isinstance(memory, SessionLocks)
            other = self._another(memory)
            assert await memory.lock_session("s", wait=False)
            for each in (memory, other):
                assert not await each.lock_session("s", wait=False)
            assert await other.lock_session("t", wait=False)
            assert not await memory.lock_session("t", wait=False)
            await memory.unlock_session("s")
            assert await other.lock_session("s", wait=False)
            await other.unlock_session("s")
            await other.unlock_session("t")
            assert await memory.lock_session("t", wait=True)
            await memory.unlock_session("t")

        self._with_memory(check)

    def test_waits_for_a_session(self) -> None:
        """Waiting callers get the lock one at a time, and all of them in the end."""

        async def check(memory: SessionLocks) -> None:
            other, inside, most, had = self._another(memory), 0, 0, 0

            async def use(locks: SessionLocks) -> None:
                nonlocal inside, most, had
                assert await locks.lock_session("s", wait=True)
                inside += 1
                most, had = max(most, inside), had + 1
                await trio.lowlevel.checkpoint()
                inside -= 1
                await locks.unlock_session("s")

            async with trio.open_nursery() as nursery:
                for locks in (memory, other) * 4:
                    nursery.start_soon(use, locks)
            assert (most, had) == (1, 8)

        self._with_memory(check)

    def test_a_wait_that_is_cancelled(self) -> None:
        """A caller that is cancelled while waiting has no lock, and does not keep others from it."""

        async def check(memory: SessionLocks) -> None:
            other = self._another(memory)
            assert await memory.lock_session("s", wait=False)
            with trio.move_on_after(0.05) as scope:
                await other.lock_session("s", wait=True)
            assert scope.cancelled_caught
            await memory.unlock_session("s")
            assert await memory.lock_session("s", wait=False)
            await memory.unlock_session("s")

        self._with_memory(check)

    def test_unlocks_while_it_is_cancelled(self) -> None:
        """Unlocking works in a cancelled scope."""

        async def check(memory: SessionLocks) -> None:
            assert await memory.lock_session("s", wait=False)
            with trio.CancelScope() as scope:
                scope.cancel()
                await memory.unlock_session("s")
            assert await self._another(memory).lock_session("s", wait=False)

        self._with_memory(check)

    def test_what_is_closed_holds_nothing(self) -> None:
        """Closing a backend releases its locks."""

        async def check(memory: SessionLocks) -> None:
            other = self._another(memory)
            assert await memory.lock_session("s", wait=False)
            await memory.aclose()  # type: ignore[attr-defined]  # of a memory backend
            assert await other.lock_session("s", wait=False)
            await other.unlock_session("s")

        self._with_memory(check)

    def _another(self, memory: SessionLocks) -> SessionLocks:
        """Return another backend on the same store, or the same backend if `open_again` has none."""
        other: SessionLocks | None = self.open_again()
        return memory if other is None else other
