"""Reads lists of rows of which some may be damaged: the others are read all the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias, TypeVar

from agno_rt.defaults.sqlite.faults import Damaged

__all__ = ["Listed", "read_row", "read_rows"]

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
Listed: TypeAlias = tuple[list[T], list[Damaged]]
"""What could be read, and what could not."""


def read_rows(
    rows: Callable[[], sqlite3.Cursor], read: Callable[[Row], T], table: str, texts: Collection[int]
) -> Listed[T]:
    """Read the rows that a query gives, each by `read`, which raises `Damaged`.

    The first column is the row's id; `texts` are the columns that hold text. `rows` makes the query, and may be asked
    twice.
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
    """Read the row of the id. Raises `Damaged` where a text in it is not Unicode."""
    try:
        row: Row | None = connection.execute(query, (id,)).fetchone()
    except sqlite3.OperationalError as exc:
        if "decode" not in str(exc):
            raise
        raise Damaged(table, f"{table.removesuffix('s')} {id!r}", exc) from exc
    return row


def _read_one_by_one(cursor: sqlite3.Cursor, read: Callable[[Row], T], table: str, texts: Collection[int]) -> Listed[T]:
    """Read rows of which at least one is damaged: text is decoded here, since SQLite's module gives up at the first."""
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
            found.append(read(tuple(_decoded(value) if at in texts else value for at, value in enumerate(row))))
        except UnicodeDecodeError as exc:
            name = row[0].decode("utf-8", "backslashreplace") if isinstance(row[0], bytes) else row[0]
            damaged.append(Damaged(table, f"{table.removesuffix('s')} {name!r}", exc))
        except Damaged as exc:
            damaged.append(exc)
    return found, damaged


def _decoded(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value
