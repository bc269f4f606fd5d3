"""Copies everything of a memory into another: sessions, facts, standing approvals, and runs with all of theirs.

A second copy goes on where the first one was cut, and brings what has changed since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import attrs

from agno_rt._runtime.shared_store.owners import seems_alive
from agno_rt.cli.damage import collect_damage
from agno_rt.errors import BackendError, Forbidden, NotFound, SessionConflict, UsageError
from agno_rt.facts import MAX_FACTS
from agno_rt.memory import CacheStore, FactStore, MemoryBackend
from agno_rt.run_store import (
    MOST_APPROVALS,
    EventLog,
    Grant,
    GrantStore,
    LeaseStore,
    RunConflict,
    RunStore,
    SignalStore,
)
from agno_rt.upkeep import CopyKind, CopyStore, MigratingStore, RunCopy, SessionCopy

__all__ = ["CopyReport", "Refused", "check_stored", "copy_memory", "is_same_time", "read_run"]

AT_ONCE = 200
"""The most messages in one import: each may have megabytes."""

MANY = 2**31 - 1
"""The most standing approvals to list: all."""

CLOCK_SECONDS = 0.01
"""The difference between two backends' forms of the same time, at most."""

Show: TypeAlias = Callable[[str, int], Callable[[], None]]
Outcome: TypeAlias = Literal["copied", "same"]
KINDS: tuple[CopyKind, ...] = ("sessions", "facts", "runs")


def is_same_time(one: float, other: float) -> bool:
    """Return whether two backends may mean the same time: each rounds times in its own way."""
    return abs(one - other) <= CLOCK_SECONDS


@attrs.define
class CopyReport:
    """What a copy has done: the numbers of copied things by kind, of those that were there already, and the rest."""

    copied: dict[str, int] = attrs.Factory(lambda: dict.fromkeys((*KINDS, "grants"), 0))
    same: int = 0
    left: list[str] = attrs.Factory(list)
    """What was not copied, each with its reason."""
    damaged: list[str] = attrs.Factory(list)
    """The facts and standing approvals, among others, that lists of the source left out with a `DamagedWarning`."""


class Refused(Exception):
    """The reason why something is not copied."""


async def check_stored(memory: MemoryBackend, url: str) -> None:
    """Raise `UsageError` for a store that nobody has used yet, instead of making one."""
    if isinstance(memory, MigratingStore) and not any(each.applied for each in await memory.migrations()):
        raise UsageError(f"there is no memory at {url!r}", hint="See whether the address is right.")


async def copy_memory(source: MemoryBackend, target: MemoryBackend, show: Show) -> CopyReport:
    """Copy everything of the source into the target, and report.

    `show(kind, total)` is called for each kind, and returns a function to call for each thing that is done. Raises
    `UsageError` for a backend that cannot be copied, and the errors of the target, which end the copy.
    """
    for memory in (source, target):
        if not isinstance(memory, CopyStore):
            hint = "Copy its sessions: agno-rt sessions export | agno-rt sessions import -."
            raise UsageError(f"the memory backend {type(memory).__name__} cannot be copied", hint=hint)
    report = CopyReport()
    with collect_damage() as damaged:
        await _copy_all(source, target, report, show)
    report.damaged = list(dict.fromkeys(damaged))
    return report


async def _copy_all(source: MemoryBackend, target: MemoryBackend, report: CopyReport, show: Show) -> None:
    copiers = {"sessions": (_copy_session, CopyStore), "facts": (_copy_facts, FactStore), "runs": (_copy_run, RunStore)}
    for kind in KINDS:
        copy, needed = copiers[kind]
        if not isinstance(source, needed):
            continue
        ids = await source.list_ids(kind)  # type: ignore[attr-defined]  # a CopyStore, as was checked
        if ids and not isinstance(target, needed):
            report.left.append(f"{len(ids)} {kind}: {type(target).__name__} keeps none")
            continue
        advance = show(kind, len(ids))
        for each in ids:
            try:
                outcome: Outcome = await copy(source, target, each)
            except Refused as exc:
                report.left.append(f"{kind.removesuffix('s')} {each!r}: {exc}")
            else:
                report.copied[kind] += outcome == "copied"
                report.same += outcome == "same"
            advance()
    await _copy_grants(source, target, report, show)
    if isinstance(source, CacheStore):
        report.left.append("cached answers: they are made anew")


async def _copy_grants(source: MemoryBackend, target: MemoryBackend, report: CopyReport, show: Show) -> None:
    if not isinstance(source, GrantStore):
        return
    try:
        grants: list[Grant] = await _read(source.grants(limit=MANY))
    except Refused as exc:
        report.left.append(f"standing approvals: {exc}")
        return
    if grants and not isinstance(target, GrantStore):
        report.left.append(f"{len(grants)} standing approvals: {type(target).__name__} keeps none")
    if not grants or not isinstance(target, GrantStore):
        return
    advance = show("standing approvals", len(grants))
    known = {each.id for each in await target.grants(limit=MANY)}
    for grant in grants:
        if grant.id in known:
            report.same += 1
        else:
            try:
                await target.add_grant(grant)
                report.copied["grants"] += 1
            except UsageError as exc:
                report.left.append(f"standing approval {grant.id!r}: {exc.message}")
        advance()


async def _copy_session(source: Any, target: Any, session: str) -> Outcome:
    here = await _read(source.export_session(session, limit=0))
    there = await target.export_session(session, limit=0)
    if here is None:
        return "same"  # deleted meanwhile
    after = 0
    if there is not None:
        _check_same_session(here, there)
        if _without_times(here) == _without_times(there):
            return "same"
        after = there.total
    while True:
        part = await _read(source.export_session(session, after=after, limit=AT_ONCE))
        if part is None:
            raise Refused("it was deleted meanwhile")
        try:
            await target.import_session(part)
        except (SessionConflict, Forbidden) as exc:
            raise Refused(exc.message) from exc
        after += len(part.messages)
        if not part.messages or after >= part.total:
            return "copied"


def _check_same_session(here: SessionCopy, there: SessionCopy) -> None:
    if (
        here.user != there.user
        or not is_same_time(here.created_at, there.created_at)
        or there.version > here.version
        or there.total > here.total
    ):
        raise Refused("another session has its id there")


def _without_times(session: SessionCopy) -> SessionCopy:
    return attrs.evolve(session, created_at=0.0, updated_at=0.0, messages=())


async def _copy_facts(source: Any, target: Any, user: str) -> Outcome:
    facts = await _read(source.facts(user, limit=MAX_FACTS))
    new = await target.import_facts(user, facts)
    return "copied" if new else "same"


async def _copy_run(source: Any, target: Any, run: str) -> Outcome:
    try:
        copy = await read_run(source, run)
    except NotFound:
        return "same"  # deleted meanwhile
    try:
        made = await target.import_run(copy)
    except RunConflict as exc:
        raise Refused(exc.message) from exc
    return "copied" if made else "same"


async def read_run(source: Any, run: str) -> RunCopy:
    """Read a run with all that belongs to it. Raises `NotFound`, and `Refused` for a run under way or damaged."""
    with collect_damage() as damaged:
        copy = await _read_whole_run(source, run)
    if damaged:
        raise Refused(damaged[0])
    return copy


async def _read_whole_run(source: Any, run: str) -> RunCopy:
    record, entries = await _read(source.load_run(run))
    if record.status == "running" and record.owner is not None:
        leased = isinstance(source, LeaseStore) and source.lease_seconds > 0
        alive = await source.find_leased([record.owner]) if leased else seems_alive(record.owner)
        if alive and seems_alive(record.owner):
            raise Refused("it is under way: try again when it is over")
    approvals = await _read(source.approvals(run=run, limit=MOST_APPROVALS))
    signals = await _read(source.signals(run)) if isinstance(source, SignalStore) else ()
    events: list[bytes] = []
    if isinstance(source, EventLog):
        while page := await _read(source.load_events(run, after=len(events))):
            events += [event for _, event in page]
    # An expired approval is stored as pending: its time says the rest.
    asked = [attrs.evolve(each, status="pending") if each.status == "expired" else each for each in approvals]
    return RunCopy(record, entries, asked, signals, events)


async def _read(reading: Any) -> Any:
    """Read from the source. What is damaged there is left out, and the copy goes on."""
    try:
        return await reading
    except NotFound:
        raise
    except BackendError as exc:
        raise Refused(exc.message) from exc
