"""Deletes old things of one kind, after a look and a question: `agno-rt sessions prune`, `agno-rt runs prune`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from agno_rt.cli.open_memory import Place, confirm_deletion
from agno_rt.cli.report import notice
from agno_rt.cli.tables import counted, one_line
from agno_rt.errors import UsageError
from agno_rt.upkeep.ages import parse_age

if TYPE_CHECKING:
    from agno_rt.runtime import Runtime

__all__ = ["prune_stored"]


def prune_stored(
    kind: str,
    find_prune: Callable[[Runtime], Callable[..., Awaitable[list[str]]] | None],
    place: Place,
    bounds: tuple[str | None, int | None],
    *,
    dry_run: bool,
    yes: bool,
) -> int:
    """Delete things of a kind, and return the exit code.

    `find_prune` returns the memory backend's method, or `None` for a backend without one. `bounds` are the age as
    written, and the number to keep. Raises `UsageError` without bounds, and for such a backend.
    """
    older_than, keep = bounds
    if older_than is None and keep is None:
        raise UsageError(f"nothing says which {kind}s are old", hint="Give --older-than 30d, --keep 1000, or both.")
    age = None if older_than is None else parse_age(older_than, "--older-than")

    async def forget(runtime: Runtime, dry_run: bool) -> list[str]:
        prune: Any = find_prune(runtime)
        if prune is None:
            hint = f"Delete {kind}s by their ids: agno-rt {kind}s delete ID."
            raise UsageError(f"the memory backend {type(runtime.memory).__name__} cannot prune {kind}s", hint=hint)
        found: list[str] = await prune(older_than=age, keep=keep, dry_run=dry_run)
        return found

    found = place.open(lambda runtime: forget(runtime, True))
    if dry_run or not found:
        for each in found:
            click.echo(f"would delete {one_line(each)}")
        notice(f"{counted(len(found), kind)} would be deleted." if found else f"No {kind}s to delete.")
        return 0
    if not confirm_deletion(f"Delete {counted(len(found), kind)}?", yes=yes):
        return 1
    for each in place.open(lambda runtime: forget(runtime, False)):
        click.echo(f"deleted {one_line(each)}")
    return 0
