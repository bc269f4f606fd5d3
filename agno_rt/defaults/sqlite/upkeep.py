"""Migrations, copies, sizes and old sessions: a part of `SQLiteMemory`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from agno_rt.defaults.sqlite import copies as _copies
from agno_rt.defaults.sqlite.faults import FAILURES, backend_error
from agno_rt.defaults.sqlite.file import SQLiteFile
from agno_rt.defaults.sqlite.sessions import encode_messages
from agno_rt.facts import known_user
from agno_rt.memory import Fact
from agno_rt.upkeep import CopyKind, Migration, RunCopy, SessionCopy, StoreSize

__all__ = ["SQLiteUpkeep"]

T = TypeVar("T")


class SQLiteUpkeep:
    """The upkeep of the file of `SQLiteMemory`."""

    _file: SQLiteFile
    _clock: Callable[[], float]

    if TYPE_CHECKING:

        async def _write(self, operation: Callable[..., T], *args: Any) -> T: ...

        async def _read(self, operation: Callable[..., T], *args: Any) -> T: ...

    async def migrations(self) -> list[Migration]:
        """See `MigratingStore.migrations`."""
        return await self._ask_file(self._file.list_migrations)

    async def migrate(self) -> list[Migration]:
        """See `MigratingStore.migrate`. The first use of the file does the same."""
        return await self._ask_file(self._file.migrate)

    async def _ask_file(self, operation: Callable[[], T]) -> T:
        try:
            return await trio.to_thread.run_sync(operation)
        except FAILURES as exc:
            raise backend_error(self._file.path, exc) from exc

    async def list_ids(self, kind: CopyKind) -> list[str]:
        """See `CopyStore.list_ids`."""
        return await self._read(_copies.list_ids, kind)

    async def export_session(self, session: str, *, after: int = 0, limit: int = 1000) -> SessionCopy | None:
        """See `CopyStore.export_session`."""
        return await self._read(_copies.export_session, session, after, limit)

    async def import_session(self, copy: SessionCopy) -> None:
        """See `CopyStore.import_session`."""
        await self._write(_copies.import_session, copy, encode_messages(copy.messages))

    async def import_facts(self, user: str, facts: Sequence[Fact]) -> int:
        """See `CopyStore.import_facts`."""
        return await self._write(_copies.import_facts, known_user(user), tuple(facts))

    async def import_run(self, copy: RunCopy) -> bool:
        """See `CopyStore.import_run`."""
        return await self._write(_copies.import_run, copy, self._clock())

    async def find_size(self) -> StoreSize:
        """See `SizedStore.find_size`."""
        return await self._read(_copies.find_size)

    async def prune_sessions(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """See `SessionPruning.prune_sessions`."""
        prune = functools.partial(_copies.prune_sessions, dry_run=dry_run)
        return await (self._read if dry_run else self._write)(prune, older_than, keep, self._clock())
