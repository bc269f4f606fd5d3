"""Migrations, copies, sizes and old sessions: a part of `PostgresMemory`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import trio

from agno_rt.errors import BackendError
from agno_rt.facts import known_user
from agno_rt.memory import Fact
from agno_rt.upkeep import KEEP_ALL, CopyKind, Migration, RunCopy, SessionCopy, StoreSize, forget_old
from agno_rt_postgres import copies as _copies
from agno_rt_postgres.faults import FAILURES, backend_error
from agno_rt_postgres.opening import apply_migrations, list_applied
from agno_rt_postgres.sessions import encode_messages
from agno_rt_postgres.statements import Make
from agno_rt_postgres.urls import Settings

__all__ = ["PostgresUpkeep"]

T = TypeVar("T")

PRUNE_SECONDS = 60.0
"""Seconds between two looks for old runs and sessions: each look reads the list of all runs."""


class PostgresUpkeep:
    """The upkeep of the database of `PostgresMemory`."""

    settings: Settings
    _clock: Callable[[], float]
    _prune_at: float

    if TYPE_CHECKING:

        async def _write(self, make: Make[T], *keys: str) -> T: ...

        async def _write_alone(self, make: Make[T]) -> T: ...

        async def _read(self, make: Make[T]) -> T: ...

    async def migrations(self) -> list[Migration]:
        """See `MigratingStore.migrations`."""
        return await self._in_thread(list_applied)

    async def migrate(self) -> list[Migration]:
        """See `MigratingStore.migrate`. The first use of the database migrates it, too, unless `migrate=off`."""
        return await self._in_thread(apply_migrations)

    async def list_ids(self, kind: CopyKind) -> list[str]:
        """See `CopyStore.list_ids`."""
        return await self._read(lambda: _copies.list_ids(kind))

    async def export_session(self, session: str, *, after: int = 0, limit: int = 1000) -> SessionCopy | None:
        """See `CopyStore.export_session`."""
        return await self._read(lambda: _copies.export_session(session, after, limit))

    async def import_session(self, copy: SessionCopy) -> None:
        """See `CopyStore.import_session`."""
        try:
            bodies = encode_messages(copy.messages)
        except FAILURES as exc:
            raise backend_error(self.settings.place, exc) from exc
        await self._write(lambda: _copies.import_session(copy, bodies), f"session {copy.id}")

    async def import_facts(self, user: str, facts: Sequence[Fact]) -> int:
        """See `CopyStore.import_facts`."""
        known_user(user)
        return await self._write(lambda: _copies.import_facts(user, facts), f"facts {user}")

    async def import_run(self, copy: RunCopy) -> bool:
        """See `CopyStore.import_run`."""
        now = self._clock()
        return await self._write_alone(lambda: _copies.import_run(copy, now))

    async def find_size(self) -> StoreSize:
        """See `SizedStore.find_size`."""
        return await self._read(_copies.find_size)

    async def prune_sessions(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """See `SessionPruning.prune_sessions`."""
        prune = functools.partial(_copies.prune_sessions, older_than, keep, self._clock(), dry_run=dry_run)
        return await (self._read if dry_run else self._write_alone)(prune)

    async def _forget_old(self) -> None:
        """Forget old runs and sessions, from time to time, where the URL says so."""
        if self.settings.keeps is KEEP_ALL or trio.current_time() < self._prune_at:
            return
        self._prune_at = trio.current_time() + PRUNE_SECONDS
        with suppress(BackendError):  # the run's end is stored; the next look tries again
            await forget_old(self, self.settings.keeps)

    async def _in_thread(self, function: Callable[[Settings], T]) -> T:
        try:
            return await trio.to_thread.run_sync(function, self.settings)
        except FAILURES as exc:
            raise backend_error(self.settings.place, exc) from exc
