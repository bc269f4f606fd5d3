"""Reducers of a workflow's state: functions that join the changes of two branches to one field. Pure.

A field names its reducer in its type: `notes: Annotated[list[str], append]`. A reducer gets the value `before` the
branches, and the values of two branches, in the order of their declaration; any function of these three is a reducer.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["Reducer", "add", "append", "last", "union"]

Reducer: TypeAlias = Callable[[Any, Any, Any], Any]


def add(before: Any, ours: Any, theirs: Any) -> Any:
    """Add what both branches added to a number."""
    return ours + (theirs - before)


def append(before: Any, ours: Any, theirs: Any) -> Any:
    """Append what both branches appended to a list, a tuple or a text. Raises `ValueError` for other changes."""
    if theirs[: len(before)] != before or ours[: len(before)] != before:
        raise ValueError("a branch did not only append")
    return ours + theirs[len(before) :]


def union(before: Any, ours: Any, theirs: Any) -> Any:
    """Join what both branches put into a set or a dict; of one key, the later branch's value remains."""
    if isinstance(before, Mapping):
        gone = [key for key in before if key not in theirs or key not in ours]
        changed = {key: value for key, value in theirs.items() if key not in before or before[key] != value}
        return {key: value for key, value in {**ours, **changed}.items() if key not in gone}
    return (ours & theirs) | (ours - before) | (theirs - before)


def last(before: Any, ours: Any, theirs: Any) -> Any:
    """Keep the value of the later branch, in the order of declaration."""
    return theirs


def find_reducer(note: Any) -> Reducer | None:
    """Return the reducer that a note in `Annotated[...]` is, or None. `operator.add` adds or appends, by the value."""
    if note is operator.add:
        return _add_or_append
    return note if callable(note) and not isinstance(note, type) else None


def _add_or_append(before: Any, ours: Any, theirs: Any) -> Any:
    return (append if hasattr(before, "__len__") else add)(before, ours, theirs)
