"""Statements, and operations made of statements: values in, values out, without a connection. Pure.

An operation is a generator: a yield sends statements and receives rows, and the return value is the outcome with the
last statements. One transaction carries out many operations at once: see `transactions`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

__all__ = ["Done", "Make", "Operation", "Row", "Rows", "Statement"]

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = list[Row]


@attrs.frozen
class Statement:
    """An SQL statement with `$1` and so on for its parameters.

    Attributes:
        sql: the statement; a constant text, since each connection prepares the text once
        params: the parameters
        writes: true for a change of the database
        lock: the name of the locked row; the statements of one round are sent in the order of the names, so two
            transactions never wait for each other
    """

    sql: str
    params: Sequence[Any] = ()
    writes: bool = False
    lock: str = ""


@attrs.frozen
class Done(Generic[T]):
    """The outcome of an operation, and the last statements, without any need for rows."""

    value: T
    statements: Sequence[Statement] = ()


Operation: TypeAlias = Generator[Sequence[Statement], list[Rows], Done[T]]
Make: TypeAlias = Callable[[], Operation[T]]
"""Begins an operation; called again when a transaction must be repeated."""
