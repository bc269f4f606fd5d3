"""The bounds of what a store keeps of runs and sessions, by number and by age, as its URL gives them."""

from __future__ import annotations

from typing import Any

import attrs

from agno_rt.errors import UsageError
from agno_rt.run_store import FlowStore
from agno_rt.upkeep.ages import parse_age
from agno_rt.upkeep.retention import SessionPruning

__all__ = ["KEEP_ALL", "Retention", "forget_old", "parse_bound"]


@attrs.frozen
class Retention:
    """The bounds of the finished runs and the sessions of a store: numbers to keep, ages in seconds.

    The names are those of the options of a URL: `sqlite:///agents.db?keep=1000&sessions_older_than=90d`.
    """

    keep: int | None = None
    older_than: float | None = None
    sessions_keep: int | None = None
    sessions_older_than: float | None = None


KEEP_ALL = Retention()
"""Keeps everything."""


def parse_bound(name: str, value: str, where: str) -> Any:
    """Return the value of an option of `Retention` in a URL: a number to keep, or an age in seconds.

    Raises `UsageError` that names the option and the place `where` it stands.
    """
    if name.endswith("older_than"):
        return parse_age(value, f"the option {name!r} in {where}")
    if not (value.isascii() and value.isdecimal()):
        raise UsageError(
            f"{value!r} is not a value of the option {name!r} in {where}", hint=f"Give a number: {name}=1000."
        )
    return int(value)


async def forget_old(store: object, bounds: Retention) -> None:
    """Forget the runs and sessions of the store that the bounds leave out. Raises the errors of the store."""
    if isinstance(store, FlowStore) and not bounds.keep is bounds.older_than is None:
        await store.prune_runs(older_than=bounds.older_than, keep=bounds.keep)
    if isinstance(store, SessionPruning) and not bounds.sessions_keep is bounds.sessions_older_than is None:
        await store.prune_sessions(older_than=bounds.sessions_older_than, keep=bounds.sessions_keep)
