"""Logs of events in the file of `SQLiteMemory`: each function is one operation, within a batch's transaction.

A row holds the events of one call, so that the pieces of an answer cost little.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence

import msgspec

from agno_rt.defaults.rules import check_logged, skip_logged
from agno_rt.defaults.sqlite.faults import Damaged
from agno_rt.run_store import unknown_run

__all__ = ["EventsNow", "add_events", "list_events", "log_events", "read_events_now"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode

_LAST = (
    "SELECT runs.owner, coalesce(first + count - 1, 0), events.owner FROM runs LEFT JOIN events ON run = id"
    " WHERE id = ? ORDER BY first DESC LIMIT 1"
)


class EventsNow(msgspec.Struct, array_like=True):
    """A run's owner, the number of the last event, and the owner at that event."""

    owner: str | None
    last: int
    writer: str | None


def read_events_now(connection: sqlite3.Connection, run: str) -> EventsNow:
    """Return the state of a run's log. Raises `NotFound`."""
    row = connection.execute(_LAST, (run,)).fetchone()
    if row is None:
        raise unknown_run(run)
    return EventsNow(*row)


def log_events(connection: sqlite3.Connection, run: str, events: Sequence[bytes], first: int, owner: str) -> None:
    """Add events to the log of a run."""
    now = read_events_now(connection, run)
    check_logged(run, now.owner, now.writer, owner)
    new = events[skip_logged(run, now.last, now.writer, first, owner) :]
    add_events(connection, run, new, now.last + 1, owner)


def add_events(connection: sqlite3.Connection, run: str, events: Sequence[bytes], first: int, owner: str) -> None:
    """Store events as a row."""
    if events:
        body = _encode(events)
        connection.execute(
            "INSERT INTO events (run, first, count, owner, body, seal) VALUES (?, ?, ?, ?, ?, ?)",
            (run, first, len(events), owner, body, zlib.crc32(body)),
        )


def list_events(connection: sqlite3.Connection, run: str, after: int, limit: int) -> list[tuple[int, bytes]]:
    """Return events of a run above a number, in order."""
    read_events_now(connection, run)
    # The row of the event after that number begins at most there.
    rows = connection.execute(
        "SELECT first, body, seal FROM events WHERE run = ? AND first >="
        " (SELECT coalesce(max(first), 0) FROM events WHERE run = ? AND first <= ?) ORDER BY first",
        (run, run, after + 1),
    )
    found: list[tuple[int, bytes]] = []
    for first, body, seal in rows:
        if not isinstance(body, bytes) or zlib.crc32(body) != seal:
            raise Damaged("events", f"event {first} of run {run!r}", "its checksum is wrong")
        found += [(seq, event) for seq, event in enumerate(_decode(body), first) if seq > after]
        if len(found) >= limit:
            break
    return found[:limit]
