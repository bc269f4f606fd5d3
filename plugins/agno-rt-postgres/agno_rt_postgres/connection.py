"""A connection to PostgreSQL under trio: statements in pipelines, over psycopg's interface to libpq.

`psycopg.pq` is documented, and needs neither a thread nor an event loop to send and receive: trio waits for the socket
(https://www.psycopg.org/psycopg3/docs/api/pq.html). Only `connect` blocks, in a thread, since libpq looks up names
there. The connection is in pipeline mode, so that all statements of a call take one round trip
(https://www.postgresql.org/docs/current/libpq-pipeline-mode.html).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import psycopg
import trio
from psycopg import pq

from agno_rt_postgres.statements import Rows, Statement
from agno_rt_postgres.values import DECODERS, encode_value

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

__all__ = ["Connection", "Lost", "Refused"]

_GONE = ("08", "57P01", "57P02", "57P03", "57P05")
"""The beginnings of the codes of errors that end a connection: see PostgreSQL's appendix A."""
_STALE_PLAN = "0A000"
"""A prepared statement whose table was changed by a migration meanwhile."""
_NOT_FATAL = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.PIPELINE_SYNC)
MOST_SENT = 64
"""The statements to put into the buffer before the first are sent, so that the server begins meanwhile."""


@attrs.define(eq=False)
class Lost(Exception):
    """The connection broke, or the server did not answer in time (`is_stall`).

    `was_used` tells a connection that had worked before from a fresh one.
    """

    message: str
    was_used: bool = False
    is_stall: bool = False

    def __str__(self) -> str:
        return self.message


@attrs.define(eq=False)
class Refused(Exception):
    """The server refused a statement. `code` is PostgreSQL's code of the error, five characters."""

    code: str
    message: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class Connection:
    """An open connection in pipeline mode. One task at a time may use it; a failed connection is of no more use.

    `epoch` counts how often its pool had been closed before. `name` is unique among all connections, and `commits`
    counts the transactions to store.
    """

    epoch = 0
    commits = 0

    def __init__(self, conn: PGconn) -> None:
        self.name = secrets.token_hex(12)
        self._conn = conn
        self._names: dict[str, bytes] = {}
        self._prepared = 0
        self._was_used = False
        conn.nonblocking = 1
        conn.enter_pipeline_mode()

    @property
    def is_open(self) -> bool:
        """Whether the connection can be used."""
        return bool(self._conn.status == pq.ConnStatus.OK)

    def close(self) -> None:
        """Close the connection at once."""
        self._conn.finish()

    def has_ended(self) -> bool:
        """Return true for an idle connection known to be closed by the server."""
        if not self.is_open:
            return True
        try:
            self._conn.consume_input()
        except psycopg.OperationalError:
            return True
        return not self.is_open

    async def exchange(self, statements: Sequence[Statement], seconds: float) -> list[Rows]:
        """Send the statements in one pipeline, and return the rows of each.

        Raises `Refused` if the server refuses a statement, and `Lost` if the connection breaks, or the server is silent
        for `seconds`. `UnicodeEncodeError` for a text that is not Unicode: then nothing was sent.
        """
        encoded = [[encode_value(value) for value in each.params] for each in statements]
        new: list[str] = []
        try:
            answers = await self._send(statements, encoded, new, seconds)
        except psycopg.Error as exc:
            self.close()
            raise Lost(_one_line(str(exc)), self._was_used) from exc
        except BaseException:
            # A cancelled or failed exchange leaves answers on the way.
            self.close()
            raise
        finally:
            self._was_used = True
        refusal = next((each for each in answers if each.status not in _NOT_FATAL), None)
        if refusal is not None:
            for sql in new:  # prepared or not: unknown
                self._names.pop(sql, None)
            self._raise(refusal)
        return [_decode_rows(each) for each in answers]

    async def notifications(self) -> list[bytes]:
        """Wait for notifications, and return their payloads. Raises `Lost`."""
        found: list[bytes] = []
        try:
            while True:
                self._conn.consume_input()
                while (note := self._conn.notifies()) is not None:
                    found.append(note.extra)
                if found:
                    return found
                await trio.lowlevel.wait_readable(self._conn.socket)
        except psycopg.Error as exc:
            self.close()
            raise Lost(_one_line(str(exc)), self._was_used) from exc

    async def _send(
        self,
        statements: Sequence[Statement],
        encoded: Sequence[Sequence[bytes | None]],
        new: list[str],
        seconds: float,
    ) -> list[PGresult]:
        conn = self._conn
        prepared: set[int] = set()  # the indexes of the answers to preparations
        count = 0
        for each, params in zip(statements, encoded, strict=True):
            name = self._names.get(each.sql)
            if name is None:
                self._prepared += 1
                name = self._names[each.sql] = b"s%d" % self._prepared
                new.append(each.sql)
                conn.send_prepare(name, each.sql.encode())
                prepared.add(count)
                count += 1
            conn.send_query_prepared(name, params, [pq.Format.BINARY] * len(params), pq.Format.BINARY)
            count += 1
            if count % MOST_SENT == 0:
                conn.flush()
        conn.pipeline_sync()
        answers = await self._collect(seconds)
        return [each for at, each in enumerate(answers) if at not in prepared or each.status not in _NOT_FATAL]

    async def _collect(self, seconds: float) -> list[PGresult]:
        """Return one answer for each statement, up to the end of the pipeline."""
        conn = self._conn
        answers: list[PGresult] = []
        while True:
            while not conn.is_busy():
                answer = conn.get_result()
                if answer is None:
                    continue  # the end of one statement's answers; each has exactly one
                if answer.status == pq.ExecStatus.PIPELINE_SYNC:
                    return answers
                answers.append(answer)
            unsent = conn.flush()
            with trio.move_on_after(seconds) as scope:
                await _wait_ready(conn.socket, to_write=bool(unsent))
            if scope.cancelled_caught:
                raise Lost(f"the server did not answer within {seconds:g} seconds", self._was_used, is_stall=True)
            conn.consume_input()

    def _raise(self, answer: PGresult) -> None:
        code = (answer.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        message = _one_line((answer.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode("utf-8", "replace"))
        if code.startswith(_GONE) or not code:
            self.close()
            raise Lost(message or _one_line(answer.error_message.decode("utf-8", "replace")), was_used=True)
        if code == _STALE_PLAN:
            self.close()
        detail = (answer.error_field(pq.DiagnosticField.MESSAGE_DETAIL) or b"").decode("utf-8", "replace")
        raise Refused(code, message, _one_line(detail))


async def _wait_ready(socket: int, *, to_write: bool) -> None:
    """Wait until the socket can be read or, with `to_write`, written."""
    if not to_write:
        await trio.lowlevel.wait_readable(socket)
        return
    # Both at once: a server that waits to be read from reads nothing meanwhile.
    async with trio.open_nursery() as nursery:

        async def wait(ready: Any) -> None:
            await ready(socket)
            nursery.cancel_scope.cancel()

        nursery.start_soon(wait, trio.lowlevel.wait_readable)
        nursery.start_soon(wait, trio.lowlevel.wait_writable)


def _decode_rows(answer: PGresult) -> Rows:
    count = answer.ntuples
    if not count:
        return []
    get = answer.get_value
    columns = [(at, DECODERS[answer.ftype(at)]) for at in range(answer.nfields)]
    return [
        tuple(None if (data := get(row, at)) is None else decode(data) for at, decode in columns)
        for row in range(count)
    ]


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.strip().splitlines() if line.strip())
