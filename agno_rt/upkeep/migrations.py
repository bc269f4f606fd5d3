"""The protocol of a memory backend with a schema for each version."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import attrs

__all__ = ["MigratingStore", "Migration"]


@attrs.frozen
class Migration:
    """A change of a backend's schema.

    Attributes:
        number: the place of the migration, from 1
        name: the additions, in a few words
        sql: the statements to carry out; other commands for a store without SQL
        applied: True if the store has the change already
    """

    number: int
    name: str
    sql: str
    applied: bool = False


@runtime_checkable
class MigratingStore(Protocol):
    """The protocol of a memory backend with migrations. A backend may also migrate at the first use."""

    async def migrations(self) -> list[Migration]:
        """Return every migration, in order. Changes nothing, and creates nothing.

        Raises `BackendError` for a store migrated by a newer version.
        """
        ...

    async def migrate(self) -> list[Migration]:
        """Apply the missing migrations, in order, and return them. Of two processes at once, one applies a migration.

        Raises `BackendError`; the migrations before the failed one stay applied, or all are undone.
        """
        ...
