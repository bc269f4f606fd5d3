"""Carries out batches of operations in transactions, with as few round trips as the longest operation has.

A broken connection is replaced. Each transaction leaves a mark in the table `commits`. If a connection breaks during a
commit, the mark shows the outcome: a write is neither lost nor done twice. `pg_xact_status` alone would not do: after a
crash, a server may give the number of a lost transaction to another transaction.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
import trio

from agno_rt_postgres.connection import Connection, Lost, Refused
from agno_rt_postgres.lanes import Item
from agno_rt_postgres.pool import CannotConnect, Pool
from agno_rt_postgres.statements import Operation, Rows, Statement

__all__ = ["Transactions", "Unknown"]

_BEGIN = Statement("BEGIN")
_COMMIT = Statement("COMMIT")
_ROLLBACK = Statement("ROLLBACK")
_READ = Statement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
_NUMBER = Statement("SELECT pg_current_xact_id()::text")
_MARK = (
    "INSERT INTO commits VALUES ($1, $2, now())"
    " ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"
)
_STATUS = "SELECT pg_xact_status($1::text::xid8)"
_IS_MARKED = "SELECT 1 FROM commits WHERE writer = $1 AND number = $2"

_WORTH_ANOTHER_TRY = frozenset(
    (
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "23505",  # unique_violation: another process has made the row meanwhile, and the next look finds it
        "0A000",  # a plan from before a migration
    )
)
MOST_TRIES = 4
FIRST_PAUSE = 0.02
MOST_PAUSE = 0.5
FATE_SECONDS = 2.0
"""The least time to ask for the outcome of a transaction."""


class Unknown(Exception):
    """The connection broke during a commit, and PostgreSQL could not be asked for the outcome."""


class _Aborted(Exception):
    """An operation failed after a write: nothing of the transaction may be stored."""


@attrs.define(eq=False)
class _Attempt:
    """A transaction under way: the number once known, the mark, and the state of the commit."""

    number: str = ""
    mark: tuple[str, int] = ("", 0)
    is_committing: bool = False


class Transactions:
    """Carries out batches over the connections of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def write(self, batch: list[Item]) -> None:
        """Carry out and store the operations of the batch."""
        await self._carry_out(batch, writes=True)

    async def read(self, batch: list[Item]) -> None:
        """Carry out operations of reading, each round on one state of the database."""
        await self._carry_out(batch, writes=False)

    async def _carry_out(self, batch: list[Item], *, writes: bool) -> None:
        try:
            await self._persist(batch, writes=writes)
        except (Lost, CannotConnect, Unknown) as exc:
            for item in batch:
                item.value, item.error = None, exc
        except Exception as exc:
            if len(batch) == 1:
                item = batch[0]
                item.value = None
                # A failed operation has an error already.
                item.error = item.error if isinstance(exc, _Aborted) else exc
                return
            # One operation is at fault. Each alone is stored, or gets an error of its own.
            for item in batch:
                item.value = item.error = None
                await self._carry_out([item], writes=writes)

    async def _persist(self, batch: list[Item], *, writes: bool) -> None:
        """Carry out the batch, again where the connection or another process was in the way."""
        since = trio.current_time()
        pause, tries = FIRST_PAUSE, 0
        while True:
            attempt, tries = _Attempt(), tries + 1
            try:
                await self._try_once(batch, attempt, writes=writes)
                return
            except (Lost, CannotConnect) as exc:
                if attempt.is_committing and await self._is_committed(attempt, exc):
                    return
                if trio.current_time() - since > self._pool.patience or not self._pool.may_return(exc):
                    raise
            except Refused as exc:
                if len(batch) > 1 or exc.code not in _WORTH_ANOTHER_TRY or tries == MOST_TRIES:
                    raise
            for item in batch:
                item.value = item.error = None
            await trio.sleep(pause)
            pause = min(2 * pause, MOST_PAUSE)

    async def _try_once(self, batch: list[Item], attempt: _Attempt, *, writes: bool) -> None:
        connection = await self._pool.take()
        try:
            if writes:
                await self._write(connection, batch, attempt)
            else:
                await self._read(connection, batch)
        except (Refused, _Aborted):
            if connection.is_open:
                await connection.exchange([_ROLLBACK], self._pool.seconds)
            raise
        except BaseException:
            # An operation of ours failed outside `_advance`: the state of the transaction is unclear.
            connection.close()
            raise
        finally:
            self._pool.put(connection)

    async def _write(self, connection: Connection, batch: list[Item], attempt: _Attempt) -> None:
        rounds = _Rounds()
        for item in batch:
            rounds.begin(item)
        # The number of the transaction comes with the first answers, before anything can be committed.
        head = [_BEGIN, _NUMBER]
        while rounds.asked:
            rows = await self._ask(connection, rounds, head)
            if head:
                attempt.number = rows[1][0][0]
            rounds.go_on(rows[len(head) :])
            head = []
        if head and not rounds.final:
            return
        if head:
            ((), ((attempt.number,),)) = await connection.exchange(head, self._pool.seconds)
        connection.commits += 1
        attempt.mark = connection.name, connection.commits
        attempt.is_committing = True
        last = [*rounds.final, Statement(_MARK, attempt.mark), _COMMIT]
        await connection.exchange(last, self._pool.seconds)

    async def _read(self, connection: Connection, batch: list[Item]) -> None:
        rounds = _Rounds()
        for item in batch:
            rounds.begin(item)
        while rounds.asked:
            rows = await connection.exchange([_READ, *rounds.statements(), _COMMIT], self._pool.seconds)
            rounds.go_on(rows[1:-1])

    async def _ask(self, connection: Connection, rounds: _Rounds, head: list[Statement]) -> list[Rows]:
        """Send the statements of a round, first the statements with locks, in the order of the rows."""
        statements = rounds.statements()
        order = sorted(range(len(statements)), key=lambda at: (not statements[at].lock, statements[at].lock))
        sent = await connection.exchange([*head, *(statements[at] for at in order)], self._pool.seconds)
        rows: list[Rows] = [[]] * len(statements)
        for at, answer in zip(order, sent[len(head) :], strict=True):
            rows[at] = answer
        return [*sent[: len(head)], *rows]

    async def _is_committed(self, attempt: _Attempt, cause: Exception) -> bool:
        """Return the outcome of a transaction after a broken commit. Raises `Unknown` if the server is away."""
        until = trio.current_time() + max(self._pool.patience, FATE_SECONDS)
        pause = FIRST_PAUSE
        while trio.current_time() < until:
            with suppress(Lost, CannotConnect):
                if not await self._is_under_way(attempt):
                    (found,) = await self._look(Statement(_IS_MARKED, attempt.mark))
                    return bool(found)
            await trio.sleep(pause)
            pause = min(2 * pause, MOST_PAUSE)
        raise Unknown(f"the connection broke while a write was being stored: {cause}") from cause

    async def _is_under_way(self, attempt: _Attempt) -> bool:
        """Return true while the server works on the transaction: the server may not know of the broken connection."""
        try:
            (((status,),),) = await self._look(Statement(_STATUS, (attempt.number,)))
        except Refused:  # a number from the future: the server has crashed, and the transaction with it
            return False
        return bool(status == "in progress")

    async def _look(self, statement: Statement) -> list[Rows]:
        connection = await self._pool.take()
        try:
            return await connection.exchange([statement], self._pool.seconds)
        finally:
            self._pool.put(connection)


class _Rounds:
    """The operations of a batch with statements to send, and the statements to send with the commit."""

    def __init__(self) -> None:
        self.asked: list[tuple[Item, Operation[Any], list[Statement]]] = []
        self.final: list[Statement] = []

    def begin(self, item: Item) -> None:
        """Take in an operation."""
        self._advance(item, item.make(), None)

    def statements(self) -> list[Statement]:
        """Return the statements of the next round."""
        return [each for _, _, statements in self.asked for each in statements]

    def go_on(self, rows: list[Rows]) -> None:
        """Give each operation its rows. Raises `_Aborted` if an operation fails after a write."""
        asked, self.asked = self.asked, []
        at = 0
        for item, operation, statements in asked:
            mine, at = rows[at : at + len(statements)], at + len(statements)
            self._advance(item, operation, mine)
            if item.error is not None and any(each.writes for each in statements):
                raise _Aborted

    def _advance(self, item: Item, operation: Operation[Any], rows: list[Rows] | None) -> None:
        try:
            asked = next(operation) if rows is None else operation.send(rows)
        except StopIteration as stop:
            item.value = stop.value.value
            self.final += stop.value.statements
        except Exception as exc:
            item.error = exc
        else:
            self.asked.append((item, operation, list(asked)))
