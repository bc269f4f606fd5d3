"""Runs, their journals and signals in Redis: a part of `RedisMemory`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, get_args

import attrs
import msgspec
import trio

from agno_rt.defaults.rules import (
    OVER,
    archive_record,
    check_claim,
    check_decided,
    check_order,
    check_owner,
    check_signalled,
    check_signals,
    new_record,
    place_of,
    run_taken,
    select_forgotten,
)
from agno_rt.errors import BackendError
from agno_rt.run_store import (
    Approval,
    Entry,
    EntryKind,
    Renewal,
    RunChange,
    RunRecord,
    RunStatus,
    Signal,
    unknown_run,
)
from agno_rt.upkeep import KEEP_ALL, forget_old
from agno_rt_redis.approvals import RUNS, RedisApprovals, encode_approvals, read_approval, refuse_approval
from agno_rt_redis.sessions import encode_append, refuse_append
from agno_rt_redis.store import Damaged, read_text

__all__ = ["AT_ONCE", "RedisRuns", "encode_entries", "encode_record", "read_record", "refuse"]

PRUNE_SECONDS = 60.0
"""Seconds between two looks for old runs, where the URL tells how long to keep them: each reads the list of runs."""

AT_ONCE = 1_000
"""Ids in one call: Lua passes some 8,000 values to a function at most, and a long call would hold up the server."""

_FIELDS = {field.name: field.type for field in attrs.fields(RunRecord)}
_COUNTED = ("id", "entries", "created_at", "updated_at")
_NUMBERS = ("created_at", "updated_at", "wakes_at")
_WHOLE = ("entries", "takeovers")
_NAMES = {b"created": "created_at", b"updated": "updated_at"}
_KINDS = frozenset(get_args(EntryKind))


def encode_record(run: RunRecord) -> list[str]:
    """Return the fields of a record that have a value, as names and values in turn."""
    found: list[str] = []
    for name in _FIELDS:
        value = getattr(run, name)
        if name not in _COUNTED and value is not None and value is not False and (value or name not in _WHOLE):
            found += [name, repr(value) if name in (*_NUMBERS, *_WHOLE) else "1" if value is True else value]
    return found


def read_record(run: bytes | str, fields: list[bytes]) -> RunRecord:
    """Return the record of a run's fields. Raises `Damaged`."""
    name = run if isinstance(run, str) else run.decode(errors="backslashreplace")
    what = f"run {name!r}"
    values: dict[str, Any] = {"id": name}
    try:
        for at in range(0, len(fields), 2):
            field = _NAMES.get(fields[at]) or fields[at].decode()
            text = read_text(fields[at + 1], what)
            if field in _WHOLE:
                values[field] = int(text or "")
            elif field in _NUMBERS:
                values[field] = float(text or "")
            elif field in _FIELDS:
                values[field] = text
        values["cancel_requested"] = "cancel_requested" in values
        return msgspec.convert(values, RunRecord)
    except (msgspec.MsgspecError, UnicodeError, ValueError) as exc:
        raise Damaged(f"{what} cannot be read: {exc}") from exc


def encode_entries(entries: Sequence[Entry]) -> list[bytes]:
    """Return entries of a journal as they are stored."""
    return [entry.kind.encode() + b" " + entry.body for entry in entries]


def _read_entry(run: str, seq: int, stored: bytes) -> Entry:
    kind, found, body = stored.partition(b" ")
    name = kind.decode(errors="replace")
    if not found or name not in _KINDS:
        raise Damaged(f"entry {seq} of run {run!r} is of an unknown kind")
    return Entry(seq, name, body)  # type: ignore[arg-type]


def _read_signal(run: str, seq: int, stored: bytes) -> Signal:
    try:
        at, length, rest = stored.split(b" ", 2)
        size = int(length)
        return Signal(run, seq, rest[:size].decode(), rest[size:], float(at))
    except (ValueError, UnicodeError) as exc:
        raise Damaged(f"signal {seq} of run {run!r} cannot be read: {exc}") from exc


def refuse(answer: list[Any], run: str, owner: str, entries: Sequence[Entry] = ()) -> NoReturn:
    """Raise the error of a write by the owner of a run that was refused."""
    match answer[0]:
        case b"unknown":
            raise unknown_run(run)
        case b"owner":
            check_owner(run, None if answer[1] is None else answer[1].decode(errors="replace"), owner)
        case b"order":
            check_order(run, int(answer[1]), entries)
        case b"approval":
            raise refuse_approval(answer[1], run)
    raise BackendError(f"run {run!r}: the server refused a write: {answer!r}", hint="Report this as a fault.")


class RedisRuns(RedisApprovals):
    """A `FlowStore`, and so a `RunStore` and a `SignalStore`."""

    _prune_at: float

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """See `RunStore.create_run`."""
        record = new_record(run, 0.0)
        check_order(run.id, 0, entries)
        answer = await self._write(
            RUNS,
            "create",
            run=run.id,
            fields=encode_record(record),
            created=repr(run.created_at) if run.created_at else None,
            updated=repr(run.updated_at) if run.updated_at else None,
            entries=encode_entries(entries),
        )
        if answer[0] != b"ok":
            raise run_taken(run.id)

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """See `RunStore.write_run`."""
        first = _check_sequence(run, entries)
        answer = await self._write(RUNS, "write", run=run, owner=owner, first=first, entries=encode_entries(entries))
        if answer[0] != b"ok":
            refuse(answer, run, owner, entries)

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """See `RunStore.change_run`."""
        more, append = change.append, None
        if more is not None:
            append = encode_append(more.session, more.messages, more.version, more.user, more.data, more.agent)
            if self.address.sessions_older_than is not None:
                append["ttl"] = self.address.sessions_older_than
        fields = ["content", change.content]
        for name, value in (("error", change.error), ("code", change.code)):
            fields += [] if value is None else [name, value]
        wakes_at = None if change.wakes_at is None else repr(change.wakes_at)
        fields += [] if wakes_at is None else ["wakes_at", wakes_at]
        answer = await self._write(
            RUNS,
            "change",
            run=run,
            owner=owner,
            status=change.status,
            fields=fields,
            first=_check_sequence(run, change.entries),
            entries=encode_entries(change.entries),
            signals=change.signals,
            approvals=encode_approvals(change.approvals),
            waits_for=list(change.waits_for),
            withdrawn=list(change.withdrawn),
            append=append,
            wakes_at=wakes_at,
        )
        match answer[0]:
            case b"ok":
                await self._prune_sometimes(change.status)
                return None if answer[1] is None else int(answer[1])
            case b"signals":
                check_signals(run, int(answer[1]), change.signals)
            case b"decided":
                check_decided(run, [read_approval(answer[1])], float(answer[2]))
            case b"foreign" | b"moved" if more is not None:
                refuse_append(answer, more.session, more.version, more.user)
        refuse(answer, run, owner, change.entries)

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """See `RunStore.claim_run`."""
        answer = await self._write(RUNS, "claim", run=run, owner=owner, held_by=held_by)
        if answer[0] == b"unknown":
            raise unknown_run(run)
        if answer[0] == b"claim":
            status: Any = answer[1].decode()
            check_claim(run, status, None if answer[2] is None else answer[2].decode(errors="replace"), held_by)
        return self._read_run(run, answer[1])

    async def load_run(self, run: str) -> tuple[RunRecord, list[Entry]]:
        """See `RunStore.load_run`."""
        _, fields, stored = await self._read(RUNS, "load", run=run)
        if not fields:
            raise unknown_run(run)
        record = self._read_run(run, fields)
        try:
            if len(stored) != record.entries:
                raise Damaged(f"the journal of run {run!r} has {len(stored)} entries, not {record.entries}")
            return record, [_read_entry(run, seq, body) for seq, body in enumerate(stored)]
        except Damaged as exc:
            raise self._explain_damage(exc) from exc

    async def runs(
        self,
        *,
        status: RunStatus | None = None,
        session: str | None = None,
        user: str | None = None,
        unowned: bool = False,
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """See `RunStore.runs`."""
        asked = {"status": status, "session": session, "user": user, "unowned": unowned and user is None}
        # The time as text, since a number of the script may lose digits on the way.
        place: list[Any] | None = None if before is None else [repr(float(before[0])), before[1]]
        found: list[RunRecord] = []
        is_over = False
        while not is_over and len(found) < limit:
            answer = await self._read(RUNS, "list", **asked, limit=limit - len(found), before=place)
            place, is_over = answer[1], answer[1] is None
            found += self._read_all(answer[2], lambda row: read_record(*row))
        return found

    async def runs_of_request(self, request: str, *, limit: int = 100) -> list[RunRecord]:
        """See `RunStore.runs_of_request`."""
        answer = await self._read(RUNS, "of_request", request=request)
        found = self._read_all(answer[1], lambda row: read_record(*row))
        return sorted(found, key=place_of, reverse=True)[:limit]

    async def runs_within(self, parents: Sequence[str]) -> list[RunRecord]:
        """See `RunStore.runs_within`."""
        found: list[RunRecord] = []
        asked = list(dict.fromkeys(parents))
        for at in range(0, len(asked), AT_ONCE):
            answer = await self._read(RUNS, "within", runs=asked[at : at + AT_ONCE])
            found += self._read_all(answer[1], lambda row: read_record(*row))
        return sorted(found, key=lambda record: (record.created_at, record.id))

    async def cancel_run(self, run: str) -> bool:
        """See `RunStore.cancel_run`."""
        answer = await self._write(RUNS, "cancel", run=run)
        if answer[0] != b"ok":
            raise unknown_run(run)
        return bool(answer[1])

    async def cancels(self, runs: Sequence[str]) -> set[str]:
        """See `RunStore.cancels`."""
        found: set[str] = set()
        for at in range(0, len(runs), AT_ONCE):
            some = list(runs[at : at + AT_ONCE])
            _, asked = await self._read(RUNS, "cancels", runs=some)
            found.update(run for run, is_asked in zip(some, asked, strict=True) if is_asked)
        return found

    async def send_signal(self, run: str, name: str, value: bytes) -> RunStatus:
        """See `SignalStore.send_signal`."""
        check_signalled(run, "running", name)
        # The script counts the bytes of the name, so that a name may have any character.
        answer = await self._write(RUNS, "send", run=run, name=name, value=value)
        if answer[0] == b"unknown":
            raise unknown_run(run)
        if answer[0] == b"completed":
            check_signalled(run, "completed", name)
        status: RunStatus = answer[1].decode()
        return status

    async def signals(self, run: str, *, after: int = 0) -> list[Signal]:
        """See `SignalStore.signals`."""
        answer = await self._read(RUNS, "signals", run=run, after=after)
        if answer[0] != b"ok":
            raise unknown_run(run)
        try:
            return [_read_signal(run, seq, body) for seq, body in enumerate(answer[1], after + 1)]
        except Damaged as exc:
            raise self._explain_damage(exc) from exc

    async def count_signals(self, runs: Sequence[str]) -> dict[str, int]:
        """See `SignalStore.count_signals`."""
        found: dict[str, int] = {}
        for at in range(0, len(runs), AT_ONCE):
            some = list(runs[at : at + AT_ONCE])
            _, counts = await self._read(RUNS, "count", runs=some)
            found.update({run: count for run, count in zip(some, counts, strict=True) if count})
        return found

    async def add_approvals(self, run: str, approvals: Sequence[Approval], *, owner: str) -> None:
        """See `FlowStore.add_approvals`."""
        answer = await self._write(RUNS, "ask", run=run, owner=owner, approvals=encode_approvals(approvals))
        if answer[0] != b"ok":
            refuse(answer, run, owner)

    async def withdraw_approvals(self, approvals: Sequence[str]) -> None:
        """See `WithdrawStore.withdraw_approvals`."""
        if approvals:
            await self._write(RUNS, "withdraw", approvals=list(dict.fromkeys(approvals)))

    async def renew_run(self, run: str, renewal: Renewal, *, owner: str) -> None:
        """See `FlowStore.renew_run`."""
        check_order(run, 0, [renewal.first])
        archive_record(RunRecord(run, ""), renewal, 0, 0.0)
        last, first = encode_entries([renewal.last, renewal.first])
        answer = await self._write(
            RUNS,
            "renew",
            run=run,
            owner=owner,
            archive=renewal.archive,
            first=renewal.last.seq,
            last=last,
            next=first,
            input=renewal.input,
            taken=list(renewal.taken),
        )
        if answer[0] == b"taken":
            raise run_taken(renewal.archive)
        if answer[0] != b"ok":
            refuse(answer, run, owner, [renewal.last])

    async def find_due(self, agents: Sequence[str], *, before: float, limit: int = 100) -> list[RunRecord]:
        """See `FlowStore.find_due`."""
        answer = await self._read(RUNS, "due", agents=list(dict.fromkeys(agents)), before=repr(before), limit=limit)
        return self._read_all(answer[1], lambda row: read_record(*row))

    async def delete_run(self, run: str) -> bool:
        """See `RunStore.delete_run`."""
        return bool((await self._write(RUNS, "delete", run=run))[1])

    async def prune_runs(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """See `FlowStore.prune_runs`."""
        known: dict[str, tuple[RunStatus, str | None, float]] = {}
        place: list[bytes] | None = None
        is_over, now = False, 0.0
        while not is_over:
            answer = await self._read(RUNS, "outline", after=place)
            now, place, is_over = float(answer[1]), answer[2], answer[2] is None
            for run, (status, parent, updated) in answer[3]:
                if status is not None:
                    around = None if parent is None else parent.decode(errors="replace")
                    known[run.decode(errors="replace")] = status.decode(), around, float(updated)
        found = select_forgotten(known, None if older_than is None else now - older_than, keep)
        if dry_run:
            return found
        forgotten: list[str] = []
        for at in range(0, len(found), 100):
            _, some = await self._write(RUNS, "prune", runs=found[at : at + 100])
            forgotten += [run.decode() for run in some]
        return forgotten

    async def _prune_sometimes(self, status: RunStatus) -> None:
        """Forget old runs and sessions after the end of a run, where the URL says so."""
        bounds = self.address.keeps
        if bounds == KEEP_ALL or status not in OVER or trio.current_time() < self._prune_at:
            return
        self._prune_at = trio.current_time() + PRUNE_SECONDS
        with trio.CancelScope(shield=True):
            try:
                await forget_old(self, bounds)
            except BackendError:
                return  # the run's end is stored; the next look tries again

    def _read_run(self, run: str, fields: list[bytes]) -> RunRecord:
        try:
            return read_record(run, fields)
        except Damaged as exc:
            raise self._explain_damage(exc) from exc


def _check_sequence(run: str, entries: Sequence[Entry]) -> int:
    """Return the number of the first entry. Raises `RunConflict` for a gap among the entries."""
    if not entries:
        return 0
    check_order(run, entries[0].seq, entries)
    return entries[0].seq
