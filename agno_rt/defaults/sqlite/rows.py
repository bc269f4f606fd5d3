"""Reads lists of rows, and goes on after damaged rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias, TypeVar

from agno_rt.defaults.sqlite.faults import Damaged

__all__ = ["Listed", "read_row", "read_rows"]

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
Listed: TypeAlias = tuple[list[T], list[Damaged]]
"""The rows that could be read, and the damage of the others."""


def read_rows(
    rows: Callable[[], sqlite3.Cursor], read: Callable[[Row], T], table: str, texts: Collection[int]
) -> Listed[T]:
    """Convert the rows of a query with `read`, which raises `Damaged` for a damaged row.

    The first column is the row's id; `texts` are the indexes of the columns of text. `rows` makes the query, and may be
    called twice: all rows at once first, then one by one if a row is damaged.
    """
    try:
        return [read(row) for row in rows()], []
    except Damaged:
        pass
    except sqlite3.OperationalError as exc:
        if "decode" not in str(exc):
            raise
    return _read_one_by_one(rows(), read, table, texts)


def read_row(connection: sqlite3.Connection, query: str, id: str, table: str) -> Row | None:
    """Return the row of the id, or None. Raises `Damaged` if a text in the row is not Unicode."""
    try:
        row: Row | None = connection.execute(query, (id,)).fetchone()
    except sqlite3.OperationalError as exc:
        if "decode" not in str(exc):
            raise
        raise Damaged(table, f"{table.removesuffix('s')} {id!r}", exc) from exc
    return row


def _read_one_by_one(cursor: sqlite3.Cursor, read: Callable[[Row], T], table: str, texts: Collection[int]) -> Listed[T]:
    """Read rows with damage among them. Text is decoded here, because `sqlite3` gives up at the first bad text."""
    connection = cursor.connection
    found: list[T] = []
    damaged: list[Damaged] = []
    before, connection.text_factory = connection.text_factory, bytes
    try:
        rows: Sequence[Row] = cursor.fetchall()
    finally:
        connection.text_factory = before
    for row in rows:
        try:
            found.append(read(tuple(_decode_text(value) if at in texts else value for at, value in enumerate(row))))
        except UnicodeDecodeError as exc:
            name = row[0].decode("utf-8", "backslashreplace") if isinstance(row[0], bytes) else row[0]
            damaged.append(Damaged(table, f"{table.removesuffix('s')} {name!r}", exc))
        except Damaged as exc:
            damaged.append(exc)
    return found, damaged


def _decode_text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value
