"""The protocol of a store of runs for several processes and hosts, where each owner of runs has a lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from agno_rt.run_store.records import RunRecord
from agno_rt.run_store.stores import RunStore

__all__ = ["LeaseStore"]


@runtime_checkable
class LeaseStore(RunStore, Protocol):
    """The protocol of a `RunStore` with leases. Each runtime has one lease for all of its runs.

    A lease belongs to an owner, as in `RunRecord.owner`, and ends at a time by the store's clock. The owner renews the
    lease as long as the owner has runs. Without a lease, the runs of the owner are lost, and another runtime may take
    a run over with `claim_run(run, owner, held_by=...)`. The name of the owner is the fence: later writes of the former
    owner raise `RunConflict`.

    An ended lease cannot be renewed: the runtime gives up the runs of the old name, and takes another name.

    `lease_seconds` is the length of a runtime's lease, and 0 for a store within one process, where runtimes need no
    lease.
    """

    lease_seconds: float

    async def renew_lease(self, owner: str, *, seconds: float) -> bool:
        """Let the owner's lease end in `seconds` from now, and return True. The first call takes the lease.

        Returns False, and changes nothing, if the lease has ended.
        """
        ...

    async def release_lease(self, owner: str) -> None:
        """End the owner's lease at once. The runs of the owner are lost then."""
        ...

    async def find_leased(self, owners: Sequence[str]) -> set[str]:
        """Return the names in `owners` with a lease now; unknown names are ignored."""
        ...

    async def find_lost(self, agents: Sequence[str], *, limit: int = 100) -> list[RunRecord]:
        """List the running runs of the agents without a lease of the owner, the least recently changed first.

        A run within a running or paused run is left out, because the run around it goes on with both.
        """
        ...
