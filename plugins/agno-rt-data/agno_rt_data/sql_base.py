"""The protocol of databases, and the values that databases return. Knows no engine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import attrs

from agno_rt.errors import UsageError, suggest

__all__ = ["Database", "DatabaseError", "DatabaseTable", "Rows", "TableColumn", "name_missing"]


class DatabaseError(UsageError):
    """A statement that the database or a limit refuses. The text is for the model as well, and has no password."""


@attrs.frozen
class TableColumn:
    """A column of a table."""

    name: str
    type: str
    is_nullable: bool = True
    default: str = ""
    notes: str = ""


@attrs.frozen
class DatabaseTable:
    """A table or a view; `rows` is the number of rows, or an estimate, or `None` for not known."""

    name: str
    kind: str = "table"
    rows: int | None = None


@attrs.frozen
class Rows:
    """The rows of a query as texts, `None` for NULL. `cut` names the limit that ended the rows, if any.

    Attributes:
        columns: the names of the columns
        rows: the rows; long values are cut already
        cut: `rows` or `bytes` for an incomplete answer, or empty
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    cut: str = ""


@runtime_checkable
class Database(Protocol):
    """A database for agents. Any number of tasks use a database at once.

    A cancelled call has ended at the database, too, when the cancellation has passed. Methods raise `DatabaseError` for
    whatever the model may have got wrong.
    """

    @property
    def name(self) -> str:
        """The name for people and errors, without a password."""
        ...

    @property
    def can_write(self) -> bool:
        """False for a database that refuses all changes."""
        ...

    async def list_tables(self) -> Sequence[DatabaseTable]:
        """Return the tables and views, by name."""
        ...

    async def describe_table(self, table: str) -> Sequence[TableColumn]:
        """Return the columns of a table, in order."""
        ...

    async def query(self, sql: str, limit: int) -> Rows:
        """Return the first rows of one query, which cannot change anything."""
        ...

    async def execute(self, sql: str) -> int:
        """Carry out one statement in a transaction of its own. Return the number of changed rows; -1 if unknown."""
        ...


_MISSING = (
    (
        "table",
        re.compile(r"no such table: (?:\w+\.)?(\S+)|relation \"([^\"]+)\" does not exist|Table with name (\S+) does"),
    ),
    (
        "column",
        re.compile(
            r"no such column: (?:\w+\.)?\"?([^\"\s]+)|column (?:\w+\.)?\"?([^\"\s]+?)\"? does not exist"
            r"|Referenced column \"([^\"]+)\""
        ),
    ),
)


def name_missing(message: str, tables: Sequence[str], columns: Sequence[str]) -> str:
    """Return a hint with the nearest names for an error about an unknown table or column; empty for other errors."""
    for kind, pattern in _MISSING:
        match = pattern.search(message)
        if match is not None:
            name = next(part for part in match.groups() if part)
            return suggest(kind, name.rpartition(".")[2], tables if kind == "table" else columns)
    return ""
