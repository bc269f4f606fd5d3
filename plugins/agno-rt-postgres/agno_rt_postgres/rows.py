"""Reads lists of rows, and goes on after damaged rows. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from agno_rt_postgres.faults import Damaged
from agno_rt_postgres.statements import Row, Rows

__all__ = ["Listed", "read_rows"]

T = TypeVar("T")
Listed: TypeAlias = tuple[list[T], list[Damaged]]
"""The rows that could be read, and the damage of the others."""


def read_rows(rows: Rows, read: Callable[[Row], T]) -> Listed[T]:
    """Convert rows with `read`, which raises `Damaged` for a damaged one."""
    found: list[T] = []
    damaged: list[Damaged] = []
    for row in rows:
        try:
            found.append(read(row))
        except Damaged as exc:
            damaged.append(exc)
    return found, damaged
