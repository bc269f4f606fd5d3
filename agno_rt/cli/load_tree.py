"""Loads a stored run together with the runs within, for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agno_rt._draw.stored_run import StoredRun
from agno_rt.cli.open_memory import MANY
from agno_rt.cli.report import show_warning
from agno_rt.errors import BackendError
from agno_rt.run_store import Approval, Entry, RunRecord, RunStore

__all__ = ["load_tree"]


async def load_tree(
    store: RunStore, record: RunRecord, entries: Sequence[Entry], is_gone: Callable[[RunRecord], bool]
) -> StoredRun:
    """Return the run, with the runs within as far as they are stored."""
    # A store does not look up runs by the run around them: one list serves the whole tree.
    children: dict[str, list[RunRecord]] = {}
    for each in await store.runs(limit=MANY):
        # The runs within belong to the same user; another user's run with a forged parent does not show.
        if each.parent is not None and each.user == record.user:
            children.setdefault(each.parent, []).append(each)

    async def load(record: RunRecord, entries: Sequence[Entry]) -> StoredRun:
        own = sorted(children.pop(record.id, ()), key=lambda each: each.created_at)
        within = [await load(*await store.load_run(child.id)) for child in own]
        return StoredRun(record, entries, await _load_approvals(store, record.id), within, is_gone(record))

    return await load(record, entries)


async def _load_approvals(store: RunStore, run: str) -> list[Approval]:
    try:
        return await store.approvals(run=run, limit=MANY)
    except BackendError as exc:
        # Damaged approvals do not hide the steps.
        show_warning(exc.message, exc.hint)
        return []
