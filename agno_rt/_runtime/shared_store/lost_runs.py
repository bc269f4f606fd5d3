"""Tells which stored runs nobody carries out any more, and sets runs aside whose processes die again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agno_rt._drive.write_journal import Journal
from agno_rt.run_store import LeaseStore, RunRecord, RunSetAside

__all__ = ["find_gone", "set_aside"]


async def find_gone(
    records: Iterable[RunRecord], leases: LeaseStore | None, is_alive: Callable[[str, str], bool | None]
) -> set[str]:
    """Return the ids of the runs whose owner does not carry them out any more, or that nobody owns.

    `is_alive` returns whether an owner carries out a run, as far as this process can tell, and None for an owner out of
    sight: then the owner's lease tells, and in a store without leases the owner is taken to live.
    """
    gone: set[str] = set()
    unsure: dict[str, str] = {}
    for record in records:
        alive = False if record.owner is None else is_alive(record.id, record.owner)
        if alive is False:
            gone.add(record.id)
        elif alive is None and record.owner is not None:
            unsure[record.id] = record.owner
    if unsure and leases is not None:
        leased = await leases.find_leased(list(dict.fromkeys(unsure.values())))
        gone.update(run for run, owner in unsure.items() if owner not in leased)
    return gone


async def set_aside(journal: Journal) -> RunSetAside:
    """Store a run that was just taken over as failed, and return the error."""
    record = journal.record
    error = RunSetAside(
        f"run {record.id!r} was set aside: its processes died {record.takeovers} times in a row",
        hint=f"See what it did last: agno-rt runs show {record.id}. Resume it to try again.",
    )
    await journal.broken_off("failed", record.content, error)
    return error
