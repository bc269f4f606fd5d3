"""The protocol of what moves stored things of one kind, and the errors of moving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from agno_rt.cli.transfer.lines import Line
from agno_rt.errors import AgnoError, UsageError

__all__ = ["AT_ONCE", "Outcome", "Skipped", "Store", "Transfer", "check_owner"]

AT_ONCE = 200
"""The most messages to read at once: each may have megabytes."""

Outcome: TypeAlias = Literal["stored", "same"]
Store: TypeAlias = Any
"""The memory, or the open knowledge. Which protocols it has is checked at run time."""


class Skipped(AgnoError):
    """The reason why a line is not stored. The other lines are."""


class Transfer(Protocol):
    """What moves stored things of one kind. Each is known by a key that its own `find` returned."""

    kind: str
    """The kind in each line, and the noun for people."""
    line: type[Line]

    async def find(self, store: Store, ids: Sequence[str], user: str | None) -> list[Any]:
        """Return the keys of the things with these ids or beginnings of ids, or of all things without ids.

        Raises `NotFound` for an unknown id, and `UsageError` for a store that cannot export.
        """
        ...

    async def export(self, store: Store, key: Any, write: Callable[[bytes], object]) -> bool:
        """Write a thing as one or more lines; return False for a thing that is gone meanwhile.

        Raises `Skipped` for a thing that cannot be exported now.
        """
        ...

    async def load(self, store: Store, line: Any, user: str | None) -> Outcome:
        """Store the thing of a line, unless it is there. Raises `Skipped`, and `BackendError` for a broken store."""
        ...


def check_owner(owner: str | None, user: str | None) -> str | None:
    """Return the owner of an imported thing: its own, or the `user` for a thing without an owner. Raises `Skipped`."""
    if user is not None and owner not in (None, user):
        raise Skipped("it belongs to another user", hint="Leave the line out, or --user.")
    return user if owner is None else owner


def no_copies(store: Store) -> UsageError:
    """Return the error for a memory backend without copies."""
    hint = "Use one of the memories that `agno-rt memory copy` copies."
    return UsageError(f"the memory backend {type(store).__name__} cannot export and import", hint=hint)
