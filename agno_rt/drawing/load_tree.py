"""Loads a stored run together with the runs within, for pictures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

from agno_rt.drawing.stored_run import StoredRun
from agno_rt.errors import BackendError
from agno_rt.run_store import Approval, Entry, RunRecord, RunStore

__all__ = ["load_run_tree"]

FindStopped: TypeAlias = Callable[[Sequence[RunRecord]], Awaitable[Collection[str]]]
"""Finds the runs whose process is gone, as `Runtime.find_stopped` does."""

_MANY = 1_000_000


async def load_run_tree(
    store: RunStore,
    record: RunRecord,
    entries: Sequence[Entry],
    find_stopped: FindStopped,
    *,
    warn: Callable[[str, str], object] | None = None,
) -> StoredRun:
    """Return the run, with the stored runs within.

    Damaged approvals do not hide the steps: `warn` gets the message and the hint.
    """
    children = await _list_children(store, record)

    async def load(record: RunRecord, entries: Sequence[Entry]) -> StoredRun:
        within = [await load(*await store.load_run(child.id)) for child in children.get(record.id, ())]
        is_gone = bool(await find_stopped([record]))
        return StoredRun(record, entries, await _load_approvals(store, record.id, warn), within, is_gone)

    return await load(record, entries)


async def _list_children(store: RunStore, record: RunRecord) -> dict[str, list[RunRecord]]:
    """Return the runs within of each run of the tree. One look into the store serves a level."""
    children: dict[str, list[RunRecord]] = {}
    known, level = {record.id}, [record.id]
    while level:
        found = await store.runs_within(level)
        level = []
        for each in found:
            # The runs within belong to the same user; another user's run with a forged parent does not show.
            if each.parent is not None and each.user == record.user and each.id not in known:
                children.setdefault(each.parent, []).append(each)
                known.add(each.id)
                level.append(each.id)
    return children


async def _load_approvals(store: RunStore, run: str, warn: Callable[[str, str], object] | None) -> list[Approval]:
    try:
        return await store.approvals(run=run, limit=_MANY)
    except BackendError as exc:
        if warn is not None:
            warn(exc.message, exc.hint)
        return []
