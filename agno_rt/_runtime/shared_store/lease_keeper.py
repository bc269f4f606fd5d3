"""Holds the lease of a runtime on its stored runs, and gives the runs up before others may take them over.

Knows the runs only as functions: whether there are any, and how to give them up.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from agno_rt._drive.write_journal import END_SECONDS
from agno_rt._runtime.shared_store.owners import new_owner
from agno_rt.errors import AgnoError
from agno_rt.failures import must_pass
from agno_rt.run_store import LeaseStore, RunStore

__all__ = ["LeaseKeeper", "lease_store"]

RENEW_SHARE = 0.25
"""The share of a lease after which it is renewed: three more tries before the end."""

GIVE_UP_SHARE = 0.8
"""The share of a lease, without a renewal, after which the runs are given up: the rest is for their cancellation."""


def lease_store(store: RunStore) -> LeaseStore | None:
    """Return the store if its runtimes need leases, else None."""
    return store if isinstance(store, LeaseStore) and store.lease_seconds > 0 else None


class LeaseKeeper:
    """The lease of one runtime. `owner` is the runtime's present name: a lost lease makes another one necessary.

    Args:
        give_up: called with the former name when the lease is lost, to end the runs of that name
    """

    def __init__(self, give_up: Callable[[str], None]) -> None:
        self.owner = new_owner()
        self._give_up = give_up
        self._renewing = trio.Lock()
        self._store: LeaseStore | None = None
        # By trio's clock, and from before the call: the store's time begins later, and so ends later.
        self._renewed_at = float("-inf")

    async def hold(self, leases: LeaseStore) -> str:
        """Return the owner's name, with a lease that does not end soon. Raises the errors of the store."""
        while trio.current_time() >= self._renewed_at + RENEW_SHARE * leases.lease_seconds:
            async with self._renewing:
                await self._renew(leases)
        return self.owner

    async def _renew(self, leases: LeaseStore) -> None:
        now = trio.current_time()
        if now < self._renewed_at + RENEW_SHARE * leases.lease_seconds:
            return  # another task has renewed the lease meanwhile
        owner, self._store = self.owner, leases
        if await leases.renew_lease(owner, seconds=leases.lease_seconds):
            if owner == self.owner:
                self._renewed_at = now
        elif owner == self.owner:
            self._lose()

    def _lose(self) -> None:
        """Take another name, and give up the runs of the present one."""
        lost, self.owner, self._renewed_at = self.owner, new_owner(), float("-inf")
        self._give_up(lost)

    async def keep(self, leases: LeaseStore) -> None:
        """Renew the lease until cancelled, and give up the runs in time when renewals fail."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_renewing, leases)
            while True:
                await trio.sleep(RENEW_SHARE * leases.lease_seconds / 2)
                # Beside the renewals, because a store out of reach may let them wait for long.
                taken = self._renewed_at > float("-inf")
                if taken and trio.current_time() >= self._renewed_at + GIVE_UP_SHARE * leases.lease_seconds:
                    self._lose()

    async def _keep_renewing(self, leases: LeaseStore) -> None:
        while True:
            await trio.sleep(RENEW_SHARE * leases.lease_seconds / 2)
            if self._renewed_at == float("-inf"):
                continue  # no run of the present name
            try:
                await self.hold(leases)
            except BaseException as exc:
                if must_pass(exc):
                    raise
                # Tried again soon, until it is too late.

    async def release(self) -> None:
        """End the lease for a bounded time, shielded. What cannot be released ends by itself."""
        store, self._store = self._store, None
        if store is None:
            return
        released = self.owner
        self._lose()  # an ended lease cannot be renewed: a runtime that is opened again, in any trio run, takes another
        with trio.move_on_after(END_SECONDS, shield=True):
            with suppress(AgnoError):
                await store.release_lease(released)
