"""Runs and their journals in the file of `SQLiteMemory`: each function is one operation, within a batch's transaction.

Each operation checks everything before it writes, so that a refusal changes nothing.
"""

from __future__ import annotations

import operator
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
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
from agno_rt.defaults.sqlite import approvals as _approvals
from agno_rt.defaults.sqlite import sessions as _sessions
from agno_rt.defaults.sqlite.batches import Together
from agno_rt.defaults.sqlite.faults import Damaged
from agno_rt.defaults.sqlite.rows import Listed, read_row, read_rows
from agno_rt.defaults.sqlite.sessions import NewMessages
from agno_rt.errors import AgnoError
from agno_rt.run_store import Approval, Entry, EntryKind, Renewal, RunChange, RunRecord, RunStatus, Signal, unknown_run

__all__ = [
    "WantedRuns",
    "add_approvals",
    "add_run",
    "cancel_run",
    "change_run",
    "claim_run",
    "count_signals",
    "create_run",
    "delete_run",
    "find_cancelled",
    "find_due",
    "list_of_request",
    "list_runs",
    "list_signals",
    "load_run",
    "prune_runs",
    "read_records",
    "renew_run",
    "send_signal",
    "write_entries",
]

_FIELDS = tuple(field.name for field in attrs.fields(RunRecord))
_values_of = operator.attrgetter(*_FIELDS)
_SELECT = f"SELECT {', '.join(_FIELDS)} FROM runs"
_INSERT = (
    # `changed` is a column of older versions, without a use: see `file`.
    f"INSERT INTO runs ({', '.join(_FIELDS)}, changed) VALUES ({', '.join('?' * len(_FIELDS))}, 0)"
)
_NEWEST_FIRST = "ORDER BY updated_at DESC, id DESC"

_DELETE_TREE = """
DELETE FROM runs WHERE id IN (
    WITH RECURSIVE tree (id) AS (
        VALUES (?)
        UNION SELECT runs.id FROM runs JOIN tree ON runs.parent = tree.id
        UNION SELECT runs.id FROM runs JOIN tree ON runs.continued_by = tree.id
    )
    SELECT id FROM tree
)
"""
"""Deletes a run with the runs within it, and the runs that keep earlier journals of these."""

_INSERT_ENTRY = "INSERT INTO entries VALUES (?, ?, ?, ?, ?)"
_TEXTS = frozenset(range(len(_FIELDS)))
_KINDS = frozenset(get_args(EntryKind))
_AT_ONCE = 500
"""Ids in one statement: old versions of SQLite take 999 parameters at most (https://sqlite.org/limits.html)."""


def create_run(connection: sqlite3.Connection, run: RunRecord, entries: Sequence[Entry], now: float) -> None:
    """Store a new run with the beginning of its journal."""
    record = new_record(run, now, len(entries))
    if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run.id,)).fetchone() is not None:
        raise run_taken(run.id)
    add_run(connection, record, entries)


def add_run(connection: sqlite3.Connection, record: RunRecord, entries: Sequence[Entry]) -> None:
    """Store a record as it is, with its journal, as the run changed last. Raises `RunConflict` for a gap in `seq`."""
    check_order(record.id, 0, entries)
    connection.execute(_INSERT, _values_of(record))
    _add_entries(connection, record.id, entries)


def _write_journals(connection: sqlite3.Connection, calls: Sequence[tuple[Any, ...]]) -> list[Exception | None]:
    """Add entries to the journals of runs: for each call its run, the entries, the owner and the time.

    Return the refusal of each call, or None.
    """
    runs = msgspec.json.encode(list(dict.fromkeys(run for run, *_ in calls))).decode()
    query = "SELECT id, owner, entries FROM runs WHERE id IN (SELECT value FROM json_each(?))"
    known = {run: (owned_by, count) for run, owned_by, count in connection.execute(query, (runs,))}
    refusals: list[Exception | None] = []
    rows: list[tuple[Any, ...]] = []
    times: dict[str, float] = {}
    for run, entries, owner, now in calls:
        refusal = _refuse_entries(run, known.get(run), entries, owner)
        refusals.append(refusal)
        if refusal is None:
            owned_by, count = known[run]
            known[run], times[run] = (owned_by, count + len(entries)), now
            rows += [(run, each.seq, each.kind, each.body, zlib.crc32(each.body)) for each in entries]
    connection.executemany(_INSERT_ENTRY, rows)
    connection.executemany(
        "UPDATE runs SET entries = ?, updated_at = ? WHERE id = ?",
        [(known[run][1], now, run) for run, now in times.items()],
    )
    return refusals


def _refuse_entries(
    run: str, known: tuple[str | None, int] | None, entries: Sequence[Entry], owner: str
) -> AgnoError | None:
    """Return the error for entries that cannot be added to a run with this owner and number of entries."""
    try:
        if known is None:
            raise unknown_run(run)
        check_owner(run, known[0], owner)
        check_order(run, known[1], entries)
    except AgnoError as exc:
        return exc
    return None


write_entries = Together(_write_journals)
"""Add entries to the journal of a run; any number of calls in a batch takes three statements."""


def change_run(
    connection: sqlite3.Connection, run: str, asked: RunChange, append: NewMessages | None, owner: str, now: float
) -> int | None:
    """End the ownership of a run with its new status; `append` holds the run's messages for its session."""
    count, signals = _count_entries(connection, run, owner, _SIGNALS)
    check_order(run, count, asked.entries)
    check_signals(run, signals, asked.signals)
    approvals = _approvals.select_new(connection, run, asked.approvals, now)
    if asked.waits_for:
        check_decided(run, _approvals.select_known(connection, asked.waits_for), now)
    # The last step that may refuse: an append checks its session before it writes.
    version = None if append is None else _sessions.append_messages(connection, append)
    _add_entries(connection, run, asked.entries)
    _approvals.add_approvals(connection, approvals)
    if asked.withdrawn:
        _approvals.withdraw_approvals(connection, asked.withdrawn, now)
    ended = asked.status, asked.content, asked.error, asked.code, count + len(asked.entries), now, asked.wakes_at
    connection.execute(
        "UPDATE runs SET status = ?, content = ?, error = ?, code = ?, owner = NULL, entries = ?, updated_at = ?,"
        " wakes_at = ? WHERE id = ?",
        (*ended, run),
    )
    return version


def claim_run(connection: sqlite3.Connection, run: str, owner: str, held_by: str | None, now: float) -> RunRecord:
    """Make `owner` the owner of a run that `held_by` owns."""
    record = _load_record(connection, run)
    check_claim(run, record.status, record.owner, held_by)
    connection.execute(
        "UPDATE runs SET status = 'running', owner = ?, error = NULL, code = NULL, cancel_requested = 0,"
        " wakes_at = NULL, updated_at = ?, takeovers = ? WHERE id = ?",
        (owner, now, takeovers := count_takeovers(record), run),
    )
    changes: dict[str, Any] = {"error": None, "code": None, "cancel_requested": False, "wakes_at": None}
    changes["takeovers"] = takeovers
    return attrs.evolve(record, status="running", owner=owner, updated_at=now, **changes)


def add_approvals(connection: sqlite3.Connection, run: str, asked: Sequence[Approval], owner: str, now: float) -> None:
    """Store approvals of a run under way."""
    _count_entries(connection, run, owner)
    _approvals.add_approvals(connection, _approvals.select_new(connection, run, asked, now))


def renew_run(connection: sqlite3.Connection, run: str, renewal: Renewal, owner: str, now: float) -> None:
    """Move the journal of a run to another run, and begin a new one."""
    count, _ = _count_entries(connection, run, owner)
    check_order(run, count, [renewal.last])
    check_order(run, 0, [renewal.first])
    record, to = _load_record(connection, run), renewal.archive
    archive = archive_record(record, renewal, count + 1, now)
    if connection.execute("SELECT 1 FROM runs WHERE id = ?", (to,)).fetchone() is not None:
        raise run_taken(to)
    connection.execute("UPDATE runs SET continued_by = ? WHERE continued_by = ?", (to, run))
    connection.execute("UPDATE runs SET parent = ? WHERE parent = ?", (to, run))
    connection.execute(_INSERT, _values_of(archive))
    connection.execute("UPDATE entries SET run = ? WHERE run = ?", (to, run))
    _add_entries(connection, to, [renewal.last])
    _add_entries(connection, run, [renewal.first])
    _approvals.hand_over(connection, run, to, now)
    _renumber_signals(connection, run, renewal)
    new = renewed_record(record, renewal, now)
    connection.execute(
        "UPDATE runs SET entries = 1, takeovers = 0, input = ?, continues = ?, updated_at = ? WHERE id = ?",
        (new.input, new.continues, now, run),
    )


def _renumber_signals(connection: sqlite3.Connection, run: str, renewal: Renewal) -> None:
    """Move the taken signals to the run with the journal before, and number the others from 1."""
    taken = [(renewal.archive, run, seq) for seq in renewal.taken]
    connection.executemany("UPDATE signals SET run = ? WHERE run = ? AND seq = ?", taken)
    left = connection.execute("SELECT seq FROM signals WHERE run = ? ORDER BY seq", (run,)).fetchall()
    # In the order of the numbers, each at most as high as before: no two are ever the same.
    changed = [(seq, run, old) for seq, (old,) in enumerate(left, 1)]
    connection.executemany("UPDATE signals SET seq = ? WHERE run = ? AND seq = ?", changed)


def find_due(connection: sqlite3.Connection, agents: Sequence[str], before: float, limit: int) -> Listed[RunRecord]:
    """List the paused runs of the agents with a time to wake before `before`, the earliest first."""
    # The agents are few, and their number unknown: as JSON, one statement does for all.
    where = (
        "wakes_at <= ? AND status = 'paused' AND agent IN (SELECT value FROM json_each(?)) ORDER BY wakes_at LIMIT ?"
    )
    return read_records(connection, where, (before, msgspec.json.encode(list(agents)).decode(), limit))


def read_records(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> Listed[RunRecord]:
    """List the runs of a condition, which may have an order and a limit."""
    query = f"{_SELECT} WHERE {where}"
    return read_rows(lambda: connection.execute(query, tuple(values)), _decode_record, "runs", _TEXTS)


def load_run(connection: sqlite3.Connection, run: str) -> tuple[RunRecord, list[Entry]]:
    """Return the record and the whole journal."""
    record = _load_record(connection, run)
    rows = connection.execute("SELECT seq, kind, body, seal FROM entries WHERE run = ? ORDER BY seq", (run,))
    entries = [_decode_entry(run, at, row) for at, row in enumerate(rows)]
    if len(entries) != record.entries:
        raise Damaged("entries", f"entry {len(entries)} of run {run!r}", f"it is missing, of {record.entries}")
    return record, entries


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
"""The conditions of the indexes of runs, word for word: SQLite uses a partial index for no other wording."""


def list_runs(connection: sqlite3.Connection, wanted: WantedRuns) -> Listed[RunRecord]:
    """List the runs changed last. A page costs the same at any depth: the runs under way, and the page."""
    asked: dict[str, Any] = {"status": wanted.status, "session": wanted.session, "user": wanted.user}
    filters = {name: value for name, value in asked.items() if value is not None}
    terms, values = [f"{name} = ?" for name in filters], list(filters.values())
    if wanted.unowned and wanted.user is None:
        terms.append("user IS NULL")
    if wanted.before is not None:
        terms.append("(updated_at, id) < (?, ?)")
        values += wanted.before
    parts = [_UNDER_WAY] if wanted.status == "running" else [_AT_REST] if wanted.status else [_UNDER_WAY, _AT_REST]
    query = " UNION ALL ".join(f"{_SELECT} WHERE {' AND '.join([part, *terms])}" for part in parts)
    given = (*values * len(parts), wanted.limit)
    return read_rows(
        lambda: connection.execute(f"{query} {_NEWEST_FIRST} LIMIT ?", given), _decode_record, "runs", _TEXTS
    )


def list_of_request(connection: sqlite3.Connection, request: str, limit: int) -> Listed[RunRecord]:
    """List the runs that began in a request."""
    return read_records(connection, f"request = ? {_NEWEST_FIRST} LIMIT ?", (request, limit))


def list_within(connection: sqlite3.Connection, parents: Sequence[str]) -> Listed[RunRecord]:
    """List the runs within the runs, oldest first."""
    query = f"{_SELECT} WHERE parent IN (SELECT value FROM json_each(?)) ORDER BY created_at, id"
    given = (msgspec.json.encode(parents).decode(),)
    return read_rows(lambda: connection.execute(query, given), _decode_record, "runs", _TEXTS)


def cancel_run(connection: sqlite3.Connection, run: str, now: float) -> bool:
    """Request the cancellation of a run; a run without an owner is cancelled at once."""
    row = connection.execute("SELECT status, owner FROM runs WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise unknown_run(run)
    status, owner = row
    if status in OVER:
        return False
    connection.execute(
        "UPDATE runs SET status = ?, cancel_requested = 1, updated_at = ? WHERE id = ?",
        (status if owner is not None else "cancelled", now, run),
    )
    return True


def find_cancelled(connection: sqlite3.Connection, asked: Sequence[str]) -> set[str]:
    """Return the ids in `asked` whose cancellation was requested; unknown ids are ignored."""
    rows = _select_among(connection, "SELECT id FROM runs WHERE cancel_requested AND id IN ({})", asked)
    return {run for (run,) in rows}


def count_signals(connection: sqlite3.Connection, asked: Sequence[str]) -> dict[str, int]:
    """Return the number of signals of each run in `asked` that has any."""
    query = "SELECT run, max(seq) FROM signals WHERE run IN ({}) GROUP BY run"
    return dict(_select_among(connection, query, asked))


def _select_among(connection: sqlite3.Connection, query: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Run a query about some ids, with `{}` for the marks, as often as the number of ids demands."""
    for at in range(0, len(ids), _AT_ONCE):
        some = tuple(ids[at : at + _AT_ONCE])
        yield from connection.execute(query.format(", ".join("?" * len(some))), some)


def send_signal(connection: sqlite3.Connection, run: str, name: str, value: bytes, now: float) -> RunStatus:
    """Store a signal for the run, and return the run's status."""
    status = _read_status(connection, run)
    check_signalled(run, status, name)
    query = "INSERT INTO signals SELECT ?, coalesce(max(seq), 0) + 1, ?, ?, ? FROM signals WHERE run = ?"
    connection.execute(query, (run, name, value, now, run))
    return status


def list_signals(connection: sqlite3.Connection, run: str, after: int) -> list[Signal]:
    """Return the run's signals above a number, in order."""
    _read_status(connection, run)
    query = "SELECT run, seq, name, value, sent_at FROM signals WHERE run = ? AND seq > ? ORDER BY seq"
    return [Signal(*row) for row in connection.execute(query, (run, after))]


def _read_status(connection: sqlite3.Connection, run: str) -> RunStatus:
    row = connection.execute("SELECT status FROM runs WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise unknown_run(run)
    status: RunStatus = row[0]
    return status


def delete_run(connection: sqlite3.Connection, run: str) -> bool:
    """Forget the run with the runs within it and the runs with its earlier journals."""
    return connection.execute(_DELETE_TREE, (run,)).rowcount > 0


def prune_runs(
    connection: sqlite3.Connection, older_than: float | None, keep: int | None, now: float, *, dry_run: bool
) -> list[str]:
    """Forget old finished runs, and return their ids."""
    rows = connection.execute(f"SELECT id, status, parent, updated_at FROM runs {_NEWEST_FIRST}")
    known = {run: (status, parent, changed) for run, status, parent, changed in rows}
    found = select_forgotten(known, None if older_than is None else now - older_than, keep)
    if not dry_run:
        connection.executemany(_DELETE_TREE, [(run,) for run in found])
    return found


_SIGNALS = "(SELECT coalesce(max(seq), 0) FROM signals WHERE run = id)"
"""The number of a run's signals: they are numbered without gaps, and deleted only with their run."""


def _count_entries(connection: sqlite3.Connection, run: str, owner: str, signals: str = "0") -> tuple[int, int]:
    """Return the numbers of entries and, with `_SIGNALS`, of signals. Raises `RunConflict` for another `owner`."""
    row = connection.execute(f"SELECT owner, entries, {signals} FROM runs WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise unknown_run(run)
    check_owner(run, row[0], owner)
    return int(row[1]), int(row[2])


def _add_entries(connection: sqlite3.Connection, run: str, entries: Sequence[Entry]) -> None:
    rows = [(run, entry.seq, entry.kind, entry.body, zlib.crc32(entry.body)) for entry in entries]
    connection.executemany(_INSERT_ENTRY, rows)


def _decode_entry(run: str, at: int, row: tuple[Any, ...]) -> Entry:
    seq, kind, body, seal = row
    if seq != at:
        raise Damaged("entries", f"entry {at} of run {run!r}", "it is missing")
    if not isinstance(body, bytes) or zlib.crc32(body) != seal or kind not in _KINDS:
        raise Damaged("entries", f"entry {seq} of run {run!r}", "its checksum or kind is wrong")
    return Entry(seq, kind, body)


def _load_record(connection: sqlite3.Connection, run: str) -> RunRecord:
    row = read_row(connection, f"{_SELECT} WHERE id = ?", run, "runs")
    if row is None:
        raise unknown_run(run)
    return _decode_record(row)


def _decode_record(row: tuple[Any, ...]) -> RunRecord:
    values = dict(zip(_FIELDS, row, strict=True))
    values["cancel_requested"] = bool(values["cancel_requested"])
    try:
        return msgspec.convert(values, RunRecord)
    except msgspec.ValidationError as exc:
        raise Damaged("runs", f"run {values['id']!r}", exc) from exc
