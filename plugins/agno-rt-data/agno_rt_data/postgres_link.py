"""A connection to PostgreSQL under trio, for one call: opened, used, and closed. Nothing of it stays at the server.

`psycopg.pq` needs neither a thread nor an event loop to send and receive: trio waits for the socket. A statement in
progress is cancelled at the server before the connection is closed: a server that only loses its client goes on
computing.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import psycopg
import trio
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

__all__ = ["Link", "Refused", "open_link"]

CANCEL_SECONDS = 5.0
"""The time for a cancellation to arrive and to work; the connection is closed in any case."""
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
_DEFAULTS = {"application_name": "agno-rt-data", "keepalives_idle": "20", "keepalives_interval": "10"}


@attrs.define(eq=False)
class Refused(Exception):
    """The server refused a statement or a connection; `code` is PostgreSQL's code of the error, or empty."""

    code: str
    message: str
    hint: str = ""


class Link:
    """An open connection. One task uses it."""

    def __init__(self, conn: PGconn) -> None:
        self._conn = conn

    async def run_script(self, sql: str) -> None:
        """Execute statements of our own. Raises `Refused`."""
        await self._exchange(lambda: self._conn.send_query(sql.encode()))

    async def fetch(self, sql: str, *params: str) -> tuple[list[str], list[list[str | None]], int]:
        """Execute one statement, and return the names, the rows as texts, and the number of changed rows.

        The extended protocol refuses several statements. Raises `Refused`.
        """
        values = [param.encode() for param in params]
        [result] = await self._exchange(lambda: self._conn.send_query_params(sql.encode(), values or None))
        names = [_decode(result.fname(at)) or "" for at in range(result.nfields)]
        rows = [[_decode(result.get_value(row, at)) for at in range(result.nfields)] for row in range(result.ntuples)]
        return names, rows, result.command_tuples or 0

    async def describe(self, sql: str) -> list[str]:
        """Return the names of a statement's columns, without executing the statement. Raises `Refused`."""
        await self._exchange(lambda: self._conn.send_prepare(b"", sql.encode()))
        [result] = await self._exchange(lambda: self._conn.send_describe_prepared(b""))
        return [_decode(result.fname(at)) or "" for at in range(result.nfields)]

    async def close(self) -> None:
        """Cancel the statement in progress, if any, and close the connection. Cancellations wait for the end."""
        try:
            if self._conn.status == pq.ConnStatus.OK and self._conn.transaction_status == pq.TransactionStatus.ACTIVE:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + CANCEL_SECONDS):
                    await trio.to_thread.run_sync(self._send_cancel, abandon_on_cancel=True)
                    await self._drain_results()
        except psycopg.Error:
            pass  # the server is gone, and the statement with it
        finally:
            self._conn.finish()

    def _send_cancel(self) -> None:
        if pq.version() >= 170_000:  # encrypted like the connection
            self._conn.cancel_conn().blocking()
        else:
            self._conn.get_cancel().cancel()

    async def _exchange(self, send: Callable[[], None]) -> list[PGresult]:
        try:
            send()
            while self._conn.flush():
                await trio.lowlevel.wait_writable(self._conn.socket)
            results = await self._drain_results()
        except psycopg.Error as exc:
            raise Refused("", " ".join(str(exc).split())) from exc
        for result in results:
            if result.status not in _GOOD:
                raise _read_refusal(result)
        return results

    async def _drain_results(self) -> list[PGresult]:
        results = list[Any]()
        while True:
            while self._conn.is_busy():
                await trio.lowlevel.wait_readable(self._conn.socket)
                self._conn.consume_input()
            result = self._conn.get_result()
            if result is None:
                return results
            if result.status in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH):
                raise Refused("0A000", "COPY is not supported here")
            results.append(result)


@asynccontextmanager
async def open_link(url: str, seconds: float) -> AsyncIterator[Link]:
    """Open a connection, and close it at the end. Raises `Refused` if there is none within `seconds`."""
    conn = await trio.to_thread.run_sync(_connect, url, seconds, abandon_on_cancel=True)
    conn.nonblocking = 1
    link = Link(conn)
    try:
        yield link
    finally:
        await link.close()


def _connect(url: str, seconds: float) -> PGconn:
    """Connect, blocking this thread alone: libpq looks up names."""
    try:
        params: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(url), "client_encoding": "UTF8"}
    except psycopg.Error:
        # The text of the error may contain the password.
        raise Refused("", "the URL of the database is not valid") from None
    conn = pq.PGconn.connect_start(make_conninfo(**params).encode())
    try:
        _finish_greeting(conn, time.monotonic() + seconds)
        if conn.status != pq.ConnStatus.OK:
            text = " ".join(conn.error_message.decode("utf-8", "replace").split())
            secret = str(params.get("password") or "")
            raise Refused("", text.replace(secret, "...") if secret else text)
    except BaseException:
        conn.finish()
        raise
    return conn


def _finish_greeting(conn: PGconn, until: float) -> None:
    wanted = selectors.EVENT_WRITE
    while conn.status != pq.ConnStatus.BAD:
        left = until - time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(conn.socket, wanted)
            if left <= 0 or not selector.select(left):
                raise Refused("", "the server did not accept the connection in time")
        state = conn.connect_poll()
        if state in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            return
        wanted = selectors.EVENT_READ if state == pq.PollingStatus.READING else selectors.EVENT_WRITE


def _read_refusal(result: PGresult) -> Refused:
    fields: Sequence[Any] = (
        pq.DiagnosticField.SQLSTATE,
        pq.DiagnosticField.MESSAGE_PRIMARY,
        pq.DiagnosticField.MESSAGE_HINT,
    )
    code, message, hint = (_decode(result.error_field(field)) or "" for field in fields)
    return Refused(code, message or "the server refused the statement", hint)


def _decode(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
