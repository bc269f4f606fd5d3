"""Batches of operations on the file: writes together in one transaction, reads together in another.

An operation is called with the connection, within the batch's transaction. An operation that raises has changed
nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import attrs

from agno_rt.defaults.sqlite.faults import FAILURES, is_busy, needs_opening_again
from agno_rt.defaults.sqlite.thread import Item

__all__ = ["Openable", "Reading", "Together", "Writing"]


class Openable(Protocol):
    """A file to open: an `SQLiteFile`, or a database in memory."""

    def open(self, *, to_write: bool) -> sqlite3.Connection:
        """Open a connection for this thread."""
        ...

    def identity(self) -> tuple[int, int]:
        """Return the identity of the file, which a file in the same place does not have."""
        ...

    def may_be_read_on(self) -> bool:
        """Return whether the reading connection may stay open."""
        ...


@attrs.frozen(eq=False)
class Together:
    """An operation made once for the calls of a batch, after the batch's other operations.

    `carry_out` gets the arguments of each call, and returns the refusal of each call, or None. A refused call has
    changed nothing.
    """

    carry_out: Callable[[sqlite3.Connection, Sequence[tuple[Any, ...]]], list[Exception | None]]

    def __call__(self, connection: sqlite3.Connection, *args: Any) -> None:
        """Make one call."""
        [refusal] = self.carry_out(connection, [args])
        if refusal is not None:
            raise refusal


class _OnFile:
    """A connection that is opened on demand, and again after the file was replaced or at fault.

    `opened` is called after each opening.
    """

    writes: bool

    def __init__(self, file: Openable, opened: Callable[[], None] | None = None) -> None:
        self._file = file
        self._opened = opened
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # SQLite tidies up at the next opening
                connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._file.identity() != self._identity:
            self.close()
        if self._connection is None:
            self._connection = self._file.open(to_write=self.writes)
            self._identity = self._file.identity()
            if self._opened is not None:
                self._opened()
        return self._connection

    def _failed(self, batch: list[Item], exc: Exception) -> None:
        for item in batch:
            item.value, item.error = None, exc
        self._recover(exc)

    def _recover(self, exc: Exception) -> None:
        if self._connection is not None and self._connection.in_transaction:
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                self._connection.rollback()
        if needs_opening_again(exc):
            self.close()


class Writing(_OnFile):
    """Stores batches, each with one wait for the disk."""

    writes = True

    def carry_out(self, batch: list[Item]) -> None:
        """Carry out and store the operations. A failing item does not keep the others from being stored."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
        except FAILURES as exc:
            self._failed(batch, exc)
            return
        try:
            together: dict[Together, list[Item]] = {}
            for item in batch:
                if isinstance(item.operation, Together):
                    together.setdefault(item.operation, []).append(item)
                else:
                    _write_item(connection, item)
            for operation, items in together.items():
                refusals = operation.carry_out(connection, [item.args for item in items])
                for item, refusal in zip(items, refusals, strict=True):
                    item.error = refusal
            connection.execute("COMMIT")
            # A file that was deleted meanwhile takes writes as before: the data would be gone without an error.
            if self._file.identity() != self._identity:
                raise sqlite3.OperationalError("the file is gone, another is in its place")
        except Exception as exc:
            if len(batch) == 1:
                self._failed(batch, exc)
                return
            self._recover(exc)
            self._one_by_one(batch)

    def _one_by_one(self, batch: list[Item]) -> None:
        """Store each item alone, after a failure that may come from one item."""
        for at, item in enumerate(batch):
            item.value = item.error = None
            self.carry_out([item])
            # Each further item would wait just as long for the lock: give up on all of them.
            if item.error is not None and is_busy(item.error):
                self._failed(batch[at:], item.error)
                return


def _write_item(connection: sqlite3.Connection, item: Item) -> None:
    changes = connection.total_changes
    try:
        item.value = item.operation(connection, *item.args)
    except Exception as exc:
        # Most operations refuse before they write, and the rest of the batch can go on.
        if connection.total_changes != changes or not connection.in_transaction or isinstance(exc, sqlite3.Error):
            raise
        item.error = exc


class Reading(_OnFile):
    """Reads batches, beside writers."""

    writes = False

    def carry_out(self, batch: list[Item]) -> None:
        """Carry out the operations."""
        try:
            connection = self._connected()
            connection.execute("BEGIN")
        except FAILURES as exc:
            self._failed(batch, exc)
            return
        fault: Exception | None = None
        for item in batch:
            try:
                item.value = item.operation(connection, *item.args)
            except Exception as exc:
                item.error = exc
                fault = exc if needs_opening_again(exc) else fault
        try:
            connection.rollback()
        except sqlite3.Error as exc:
            fault = exc
        if fault is not None:
            self._recover(fault)
        if not self._file.may_be_read_on():
            self.close()
