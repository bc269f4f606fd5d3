"""Runs, journals and signals in PostgreSQL: each function is one operation.

Each operation checks everything before it writes, so that a refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, get_args

import attrs
import msgspec

from agno_rt.defaults.rules import (
    OVER,
    archive_record,
    check_claim,
    check_decided,
    check_order,
    check_owner,
    check_signalled,
    check_signals,
    count_takeovers,
    new_record,
    renewed_record,
    run_taken,
    select_forgotten,
)
from agno_rt.run_store import Approval, Entry, EntryKind, Renewal, RunChange, RunRecord, RunStatus, Signal, unknown_run
from agno_rt_postgres.approvals import (
    hand_over,
    insert_approvals,
    lock_approval,
    read_known,
    select_new,
    withdraw_approvals,
)
from agno_rt_postgres.faults import Damaged
from agno_rt_postgres.listener import CALLS, notify
from agno_rt_postgres.rows import Listed, read_rows
from agno_rt_postgres.sessions import NewMessages, lock_session, place_messages
from agno_rt_postgres.statements import Done, Operation, Row, Rows, Statement

__all__ = [
    "WantedRuns",
    "add_approvals",
    "cancel_run",
    "change_run",
    "claim_run",
    "count_signals",
    "create_run",
    "delete_run",
    "find_cancelled",
    "find_due",
    "insert_run",
    "insert_signal",
    "list_of_request",
    "list_runs",
    "list_signals",
    "load_run",
    "lock_run",
    "make_run_list",
    "prune_runs",
    "read_records",
    "renew_run",
    "select_records",
    "send_signal",
    "write_entries",
]

_FIELDS = tuple(field.name for field in attrs.fields(RunRecord))
_TEXTS = frozenset(("input", "content", "error"))
"""The columns that may hold any character, as bytes."""
_TIMES = frozenset(("created_at", "updated_at", "wakes_at"))
_COLUMNS = ", ".join(f'"{name}"' for name in _FIELDS)
_SELECT = f"SELECT {_COLUMNS} FROM runs"
_INSERT = f"INSERT INTO runs ({_COLUMNS}) VALUES ({', '.join(f'${at + 1}' for at in range(len(_FIELDS)))})"
_LOCK = "SELECT owner, entries, status FROM runs WHERE id = $1 FOR UPDATE"
_SIGNALS = "SELECT coalesce(max(seq), 0) FROM signals WHERE run = $1"
"""The number of a run's signals: they are numbered without gaps, and deleted only with their run."""
_NEWEST_FIRST = 'ORDER BY updated_at DESC, id COLLATE "C" DESC'

_ADD = (
    "INSERT INTO entries SELECT $1, $2::bigint + at - 1, kind, body"
    " FROM unnest($3::text[], $4::bytea[]) WITH ORDINALITY AS new (kind, body, at)"
)
_ADD_ONE = "INSERT INTO entries VALUES ($1, $2, $3, $4)"
_WRITE = """
WITH changed AS (
    UPDATE runs SET entries = entries + cardinality($3::text[]), updated_at = $5
    WHERE id = $1 AND entries = $2::bigint AND owner = $6 RETURNING id
), added AS (
    INSERT INTO entries SELECT id, $2::bigint + at - 1, kind, body
    FROM changed, unnest($3::text[], $4::bytea[]) WITH ORDINALITY AS new (kind, body, at)
) SELECT count(*) FROM changed
"""
"""Adds entries in one step to a run in the expected state, the usual case; otherwise does nothing."""
_COUNT = "UPDATE runs SET entries = $2, updated_at = $3 WHERE id = $1"
_END = (
    "UPDATE runs SET status = $2, content = $3, error = $4, code = $5, owner = NULL, entries = $6, updated_at = $7,"
    " wakes_at = $8 WHERE id = $1"
)
_CLAIM = (
    "UPDATE runs SET status = 'running', owner = $2, error = NULL, code = NULL, cancel_requested = false,"
    " wakes_at = NULL, updated_at = $3, takeovers = $4 WHERE id = $1"
)
_DELETE_TREE = """
WITH RECURSIVE tree (id) AS (
    SELECT unnest($1::text[])
    UNION SELECT runs.id FROM runs JOIN tree ON runs.parent = tree.id OR runs.continued_by = tree.id
) DELETE FROM runs WHERE id IN (SELECT id FROM tree) RETURNING id
"""
"""Deletes runs with the runs within them, and the runs that keep earlier journals of these."""
_NOTIFY_FOLLOWERS = (
    "SELECT pg_notify(current_schema(), 'events ' || $1) WHERE EXISTS (SELECT 1 FROM events WHERE run = $1)"
)
_KINDS = frozenset(get_args(EntryKind))


def create_run(run: RunRecord, entries: Sequence[Entry], now: float) -> Operation[None]:
    """Store a new run with the beginning of its journal."""
    record = new_record(run, now, len(entries))
    check_order(run.id, 0, entries)
    (rows,) = yield [lock_run(run.id)]
    if rows:
        raise run_taken(run.id)
    return Done(None, insert_run(record, entries))


def insert_run(record: RunRecord, entries: Sequence[Entry]) -> list[Statement]:
    """Return the statements that store a new run."""
    return [_insert_record(record), *_add_entries(record.id, entries)]


def write_entries(run: str, entries: Sequence[Entry], owner: str, now: float) -> Operation[None]:
    """Add entries to the journal of a run."""
    if entries:
        first = entries[0].seq
        check_order(run, first, entries)
        values = run, first, [each.kind for each in entries], [each.body for each in entries], now, owner
        (((done,),),) = yield [Statement(_WRITE, values, lock=f"run {run}")]
        if done:
            return Done(None)
    (rows,) = yield [lock_run(run)]
    count = _count_entries(rows, run, owner)
    check_order(run, count, entries)
    update = Statement(_COUNT, (run, count + len(entries), now), writes=True)
    return Done(None, [*_add_entries(run, entries), update])


def change_run(run: str, asked: RunChange, append: NewMessages | None, owner: str, now: float) -> Operation[int | None]:
    """End the ownership of a run with its new status; `append` holds the run's messages for its session."""
    ids = [each.id for each in asked.approvals], list(asked.waits_for), list(asked.withdrawn)
    locked, signals, session, *answers = yield [
        lock_run(run),
        Statement(_SIGNALS, (run,)),
        Statement("SELECT") if append is None else lock_session(append.session),
        *(lock_approval(approval) for some in ids for approval in some),
    ]
    count = _count_entries(locked, run, owner)
    check_order(run, count, asked.entries)
    check_signals(run, signals[0][0], asked.signals)
    answer = iter(answers)
    stored, waits_for, withdrawn = (list(islice(answer, len(some))) for some in ids)
    approvals = select_new(run, asked.approvals, stored, now)
    check_decided(run, read_known(waits_for), now)
    placed: Done[Any] = Done(None) if append is None else place_messages(session, append)
    wakes_at = None if asked.wakes_at is None else float(asked.wakes_at)
    error = None if asked.error is None else asked.error.encode()
    end = (asked.status, asked.content.encode(), error, asked.code, count + len(asked.entries), now, wakes_at)
    return Done(
        placed.value,
        [
            *placed.statements,
            *_add_entries(run, asked.entries),
            *insert_approvals(approvals),
            *withdraw_approvals(read_known(withdrawn), now),
            Statement(_END, (run, *end), writes=True),
            # Followers of the events learn of the end.
            Statement(_NOTIFY_FOLLOWERS, (run,)),
        ],
    )


def claim_run(run: str, owner: str, held_by: str | None, now: float) -> Operation[RunRecord]:
    """Make `owner` the owner of a run that `held_by` owns."""
    _, rows = yield [lock_run(run), Statement(f"{_SELECT} WHERE id = $1", (run,))]
    record = _read_record(rows, run)
    check_claim(run, record.status, record.owner, held_by)
    changes: dict[str, Any] = {"error": None, "code": None, "cancel_requested": False, "wakes_at": None}
    changes["takeovers"] = takeovers = count_takeovers(record)
    claimed = attrs.evolve(record, status="running", owner=owner, updated_at=now, **changes)
    return Done(claimed, [Statement(_CLAIM, (run, owner, now, takeovers), writes=True)])


def add_approvals(run: str, asked: Sequence[Approval], owner: str, now: float) -> Operation[None]:
    """Store approvals of a run under way."""
    locked, *stored = yield [lock_run(run), *(lock_approval(each.id) for each in asked)]
    _count_entries(locked, run, owner)
    return Done(None, insert_approvals(select_new(run, asked, stored, now)))


def renew_run(run: str, renewal: Renewal, owner: str, now: float) -> Operation[None]:
    """Move the journal of a run to another run, and begin a new one."""
    to = renewal.archive
    locked, rows, taken, approvals, signals = yield [
        lock_run(run),
        Statement(f"{_SELECT} WHERE id = $1", (run,)),
        Statement("SELECT 1 FROM runs WHERE id = $1", (to,)),
        Statement("SELECT id, run, body FROM approvals WHERE run = $1 ORDER BY id FOR UPDATE", (run,)),
        Statement("SELECT seq FROM signals WHERE run = $1 ORDER BY seq", (run,)),
    ]
    count = _count_entries(locked, run, owner)
    check_order(run, count, [renewal.last])
    check_order(run, 0, [renewal.first])
    record = _read_record(rows, run)
    archive = archive_record(record, renewal, count + 1, now)
    if taken:
        raise run_taken(to)
    new = renewed_record(record, renewal, now)
    statements = [
        Statement("UPDATE runs SET continued_by = $2 WHERE continued_by = $1", (run, to), writes=True),
        Statement("UPDATE runs SET parent = $2 WHERE parent = $1", (run, to), writes=True),
        _insert_record(archive),
        Statement("UPDATE entries SET run = $2 WHERE run = $1", (run, to), writes=True),
        *_add_entries(to, [renewal.last]),
        *_add_entries(run, [renewal.first]),
        *hand_over(approvals, to, now),
        *_renumber_signals(run, renewal, [seq for (seq,) in signals]),
        Statement(
            "UPDATE runs SET entries = 1, takeovers = 0, input = $2, continues = $3, updated_at = $4 WHERE id = $1",
            (run, new.input.encode(), new.continues, now),
            writes=True,
        ),
    ]
    return Done(None, statements)


def _renumber_signals(run: str, renewal: Renewal, stored: Sequence[int]) -> Iterator[Statement]:
    """Move the taken signals to the run with the journal before, and number the others from 1."""
    for seq in renewal.taken:
        yield Statement(
            "UPDATE signals SET run = $3 WHERE run = $1 AND seq = $2", (run, seq, renewal.archive), writes=True
        )
    # In the order of the numbers, each at most as high as before: no two are ever the same.
    left = [seq for seq in stored if seq not in renewal.taken]
    for seq, old in enumerate(left, 1):
        yield Statement("UPDATE signals SET seq = $3 WHERE run = $1 AND seq = $2", (run, old, seq), writes=True)


def find_due(agents: Sequence[str], before: float, limit: int) -> Operation[Listed[RunRecord]]:
    """List the paused runs of the agents with a time to wake before `before`, the earliest first."""
    where = "wakes_at <= $1 AND status = 'paused' AND agent = ANY($2) ORDER BY wakes_at LIMIT $3"
    (rows,) = yield [select_records(where, (float(before), list(agents), limit))]
    return Done(read_records(rows))


def select_records(where: str, values: Sequence[Any]) -> Statement:
    """Return the statement that lists the runs of a condition, which may have an order and a limit."""
    return Statement(f"{_SELECT} WHERE {where}", values)


def read_records(rows: Rows) -> Listed[RunRecord]:
    """Return the runs of the rows of `select_records`."""
    return read_rows(rows, _decode_record)


def load_run(run: str) -> Operation[tuple[RunRecord, list[Entry]]]:
    """Return the record and the whole journal."""
    rows, found = yield [
        Statement(f"{_SELECT} WHERE id = $1", (run,)),
        Statement("SELECT seq, kind, body FROM entries WHERE run = $1 ORDER BY seq", (run,)),
    ]
    record = _read_record(rows, run)
    entries = [_decode_entry(run, at, row) for at, row in enumerate(found)]
    if len(entries) != record.entries:
        raise Damaged(f"entry {len(entries)} of run {run!r}", f"it is missing, of {record.entries}")
    return Done((record, entries))


@attrs.frozen
class WantedRuns:
    """The filters of a list of runs; None for all."""

    status: RunStatus | None
    session: str | None
    user: str | None
    unowned: bool
    before: tuple[float, str] | None
    limit: int


_UNDER_WAY, _AT_REST = "status = 'running'", "status <> 'running'"
"""The conditions of the indexes of runs."""


def list_runs(wanted: WantedRuns) -> Operation[Listed[RunRecord]]:
    """List the runs changed last. A page costs the same at any depth: the runs under way, and the page."""
    (rows,) = yield [make_run_list(wanted)]
    return Done(read_rows(rows, _decode_record))


def make_run_list(wanted: WantedRuns) -> Statement:
    """Return the statement that lists runs."""
    asked: dict[str, Any] = {"status": wanted.status, "session": wanted.session, '"user"': wanted.user}
    filters = {name: value for name, value in asked.items() if value is not None}
    terms, values = [f"{name} = ${at}" for at, name in enumerate(filters, 1)], list(filters.values())
    if wanted.unowned and wanted.user is None:
        terms.append('"user" IS NULL')
    if wanted.before is not None:
        at, run = wanted.before
        terms.append(f'(updated_at, id COLLATE "C") < (${len(values) + 1}, ${len(values) + 2})')
        values += [float(at), run]
    page = f"{_NEWEST_FIRST} LIMIT ${len(values) + 1}"
    parts = [_UNDER_WAY] if wanted.status == "running" else [_AT_REST] if wanted.status else [_UNDER_WAY, _AT_REST]
    # Each part with its own limit, for the planner to read its index in order and to stop.
    lists = " UNION ALL ".join(f"({_SELECT} WHERE {' AND '.join([part, *terms])} {page})" for part in parts)
    return Statement(f"SELECT * FROM ({lists}) AS listed {page}", (*values, wanted.limit))


def list_of_request(request: str, limit: int) -> Operation[Listed[RunRecord]]:
    """List the runs that began in a request."""
    (rows,) = yield [select_records(f"request = $1 {_NEWEST_FIRST} LIMIT $2", (request, limit))]
    return Done(read_records(rows))


def list_within(parents: Sequence[str]) -> Operation[Listed[RunRecord]]:
    """List the runs within the runs, oldest first."""
    query = f'{_SELECT} WHERE parent = ANY($1) ORDER BY created_at, id COLLATE "C"'
    (rows,) = yield [Statement(query, (list(parents),))]
    return Done(read_rows(rows, _decode_record))


def cancel_run(run: str, now: float) -> Operation[bool]:
    """Request the cancellation of a run; a run without an owner is cancelled at once."""
    (rows,) = yield [lock_run(run)]
    if not rows:
        raise unknown_run(run)
    owner, _, status = rows[0]
    if status in OVER:
        return Done(False)
    update = "UPDATE runs SET status = $2, cancel_requested = true, updated_at = $3 WHERE id = $1"
    values = run, status if owner is not None else "cancelled", now
    return Done(True, [Statement(update, values, writes=True), notify(CALLS, run)])


def find_cancelled(asked: Sequence[str]) -> Operation[set[str]]:
    """Return the ids in `asked` whose cancellation was requested; unknown ids are ignored."""
    (rows,) = yield [Statement("SELECT id FROM runs WHERE cancel_requested AND id = ANY($1)", (list(asked),))]
    return Done({run for (run,) in rows})


def count_signals(asked: Sequence[str]) -> Operation[dict[str, int]]:
    """Return the number of signals of each run in `asked` that has any."""
    query = "SELECT run, max(seq) FROM signals WHERE run = ANY($1) GROUP BY run"
    (rows,) = yield [Statement(query, (list(asked),))]
    return Done(dict(rows))


def send_signal(run: str, name: str, value: bytes, now: float) -> Operation[RunStatus]:
    """Store a signal for the run, and return the run's status."""
    locked, (((count,)),) = yield [lock_run(run), Statement(_SIGNALS, (run,))]
    if not locked:
        raise unknown_run(run)
    status: RunStatus = locked[0][2]
    check_signalled(run, status, name)
    return Done(status, [insert_signal(Signal(run, count + 1, name, value, now)), notify(CALLS, run)])


def insert_signal(signal: Signal) -> Statement:
    """Return the statement that stores a signal."""
    values = signal.run, signal.seq, signal.name, signal.value, float(signal.sent_at)
    return Statement("INSERT INTO signals VALUES ($1, $2, $3, $4, $5)", values, writes=True)


def list_signals(run: str, after: int) -> Operation[list[Signal]]:
    """Return the run's signals above a number, in order."""
    known, rows = yield [
        Statement("SELECT 1 FROM runs WHERE id = $1", (run,)),
        Statement(
            "SELECT run, seq, name, value, sent_at FROM signals WHERE run = $1 AND seq > $2 ORDER BY seq", (run, after)
        ),
    ]
    if not known:
        raise unknown_run(run)
    return Done([Signal(*row) for row in rows])


def delete_run(run: str) -> Operation[bool]:
    """Forget the run with the runs within it and the runs with its earlier journals."""
    (gone,) = yield [Statement(_DELETE_TREE, ([run],), writes=True)]
    return Done(bool(gone), _delete_parts(gone))


def _delete_parts(gone: Rows) -> list[Statement]:
    """Return the statements that delete the journals and events of deleted runs: nobody can add to them any more."""
    ids = [run for (run,) in gone]
    tables = ("entries", "events") if ids else ()
    return [Statement(f"DELETE FROM {table} WHERE run = ANY($1)", (ids,), writes=True) for table in tables]


_EVERY_RUN = Statement(f"SELECT id, status, parent, updated_at FROM runs {_NEWEST_FIRST}")
_NO_OTHERS = Statement("LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE")


def prune_runs(older_than: float | None, keep: int | None, now: float, *, dry_run: bool) -> Operation[list[str]]:
    """Forget old finished runs, and return their ids."""
    # Nobody may take up a run between the look and the deletion.
    *_, rows = yield [_EVERY_RUN] if dry_run else [_NO_OTHERS, _EVERY_RUN]
    known = {run: (status, parent, changed) for run, status, parent, changed in rows}
    found = select_forgotten(known, None if older_than is None else now - older_than, keep)
    if dry_run or not found:
        return Done(found)
    (gone,) = yield [Statement(_DELETE_TREE, (found,), writes=True)]
    return Done(found, _delete_parts(gone))


def lock_run(run: str) -> Statement:
    """Return the statement that locks a run: its rows have the owner, the number of entries and the status."""
    return Statement(_LOCK, (run,), lock=f"run {run}")


def _count_entries(rows: Rows, run: str, owner: str) -> int:
    """Return the number of entries of the locked run. Raises `RunConflict` for another `owner`."""
    if not rows:
        raise unknown_run(run)
    owned_by, count, _ = rows[0]
    check_owner(run, owned_by, owner)
    return int(count)


def _add_entries(run: str, entries: Sequence[Entry]) -> list[Statement]:
    if not entries:
        return []
    if len(entries) == 1:
        (entry,) = entries
        return [Statement(_ADD_ONE, (run, entry.seq, entry.kind, entry.body), writes=True)]
    values = run, entries[0].seq, [each.kind for each in entries], [each.body for each in entries]
    return [Statement(_ADD, values, writes=True)]


def _insert_record(record: RunRecord) -> Statement:
    values = attrs.asdict(record, recurse=False)
    for names, convert in ((_TEXTS, str.encode), (_TIMES, float)):
        values.update({name: convert(values[name]) for name in names if values[name] is not None})
    return Statement(_INSERT, tuple(values.values()), writes=True)


def _decode_entry(run: str, at: int, row: Row) -> Entry:
    seq, kind, body = row
    if seq != at:
        raise Damaged(f"entry {at} of run {run!r}", "it is missing")
    if kind not in _KINDS:
        raise Damaged(f"entry {seq} of run {run!r}", f"its kind is {kind!r}")
    return Entry(seq, kind, body)


def _read_record(rows: Rows, run: str) -> RunRecord:
    if not rows:
        raise unknown_run(run)
    return _decode_record(rows[0])


def _decode_record(row: Row) -> RunRecord:
    values = dict(zip(_FIELDS, row, strict=True))
    try:
        for name in _TEXTS:
            values[name] = None if values[name] is None else values[name].decode()
        return msgspec.convert(values, RunRecord)
    except (msgspec.ValidationError, UnicodeError) as exc:
        raise Damaged(f"run {values['id']!r}", exc) from exc
