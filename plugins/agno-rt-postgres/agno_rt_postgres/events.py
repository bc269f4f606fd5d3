"""Logs of the events of runs in PostgreSQL: each function is one operation.

A row holds the events of one call, so that the pieces of an answer cost little.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import msgspec

from agno_rt.defaults.rules import check_logged, skip_logged
from agno_rt.run_store import unknown_run
from agno_rt_postgres.faults import Damaged
from agno_rt_postgres.listener import EVENTS, notify
from agno_rt_postgres.statements import Done, Operation, Rows, Statement

__all__ = ["EventsNow", "insert_events", "list_events", "log_events", "read_events_now"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode

_OWNER = "SELECT owner FROM runs WHERE id = $1"
_LAST = "SELECT first + count - 1, owner FROM events WHERE run = $1 ORDER BY first DESC LIMIT 1"
_INSERT = "INSERT INTO events (run, first, count, owner, body) VALUES ($1, $2, $3, $4, $5)"
_LIST = (
    "SELECT first, body FROM events WHERE run = $1 AND first >="
    # The row of the event after that number begins at most there.
    " (SELECT coalesce(max(first), 0) FROM events WHERE run = $1 AND first <= $2) ORDER BY first LIMIT $3"
)


@attrs.frozen
class EventsNow:
    """A run's owner, the number of its last event, and the owner that logged this event."""

    owner: str | None
    last: int
    writer: str | None


def read_events_now(run: str) -> Operation[EventsNow]:
    """Return the state of a run's log. Raises `NotFound`."""
    known, rows = yield [Statement(_OWNER, (run,)), Statement(_LAST, (run,))]
    return Done(_read_now(run, known, rows))


def log_events(run: str, events: Sequence[bytes], first: int, owner: str) -> Operation[None]:
    """Add events to the log of a run."""
    locked, rows = yield [
        Statement(f"{_OWNER} FOR UPDATE", (run,), lock=f"run {run}"),
        Statement(_LAST, (run,)),
    ]
    now = _read_now(run, locked, rows)
    check_logged(run, now.owner, now.writer, owner)
    new = list(events[skip_logged(run, now.last, now.writer, first, owner) :])
    return Done(None, [*insert_events(run, new, now.last + 1, owner), *([notify(EVENTS, run)] if new else [])])


def insert_events(run: str, events: Sequence[bytes], first: int, owner: str) -> list[Statement]:
    """Return the statements that store events."""
    if not events:
        return []
    return [Statement(_INSERT, (run, first, len(events), owner, _encode(list(events))), writes=True)]


def list_events(run: str, after: int, limit: int) -> Operation[list[tuple[int, bytes]]]:
    """Return events of a run above a number, in order."""
    # Each row has at least one event, the first perhaps none above the number.
    known, rows = yield [Statement(_OWNER, (run,)), Statement(_LIST, (run, after + 1, limit + 1))]
    if not known:
        raise unknown_run(run)
    found: list[tuple[int, bytes]] = []
    for first, body in rows:
        try:
            events = _decode(body)
        except msgspec.MsgspecError as exc:
            raise Damaged(f"event {first} of run {run!r}", exc) from exc
        found += [(seq, event) for seq, event in enumerate(events, first) if seq > after]
        if len(found) >= limit:
            break
    return Done(found[:limit])


def _read_now(run: str, known: Rows, rows: Rows) -> EventsNow:
    if not known:
        raise unknown_run(run)
    last, writer = rows[0] if rows else (0, None)
    return EventsNow(known[0][0], last, writer)
