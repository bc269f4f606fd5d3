"""Contract suite for the migrations of a memory backend."""

from __future__ import annotations

from typing import Any

import trio

from agno_rt.messages import Message
from agno_rt.testing._checks import StoreContract
from agno_rt.upkeep import MigratingStore, Migration

__all__ = ["MigrationContract"]


class MigrationContract(StoreContract):
    """Rules for every `MigratingStore`. Override `make_memory`: each test gets a store that nobody has used yet."""

    def test_lists_migrations(self) -> None:
        """A new store has no migration applied, and a list changes nothing. Each has number, name and statements."""

        async def check(memory: Any) -> None:
            assert isinstance(memory, MigratingStore)
            for _ in range(2):
                found = await memory.migrations()
                assert [each.number for each in found] == list(range(1, len(found) + 1))
                assert found
                assert all(each.name and each.sql.strip() and not each.applied for each in found)
            assert len({each.name for each in found}) == len(found)

        self._with_memory(check)

    def test_applies_migrations(self) -> None:
        """`migrate` applies and returns the missing migrations, once; the store works then."""

        async def check(memory: Any) -> None:
            before = await memory.migrations()
            applied = await memory.migrate()
            assert [(each.number, each.name) for each in applied] == [(each.number, each.name) for each in before]
            assert all(each.applied for each in [*applied, *await memory.migrations()])
            assert await memory.migrate() == []
            assert await memory.append("s", [Message("user", "hi")], version=0) == 1

        self._with_memory(check)

    def test_two_that_migrate_at_once(self) -> None:
        """Each migration is applied by one of two calls at once, and both return when all are applied."""

        async def check(memory: Any) -> None:
            applied: list[Migration] = []

            async def migrate() -> None:
                applied.extend(await memory.migrate())
                assert all(each.applied for each in await memory.migrations())

            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(migrate)
            assert sorted(each.number for each in applied) == [each.number for each in await memory.migrations()]

        self._with_memory(check)

    def test_the_first_use_migrates(self) -> None:
        """A store that was used has every migration."""

        async def check(memory: Any) -> None:
            await memory.append("s", [Message("user", "hi")], version=0)
            assert all(each.applied for each in await memory.migrations())
            assert await memory.migrate() == []
            assert (await memory.load("s")).total == 1

        self._with_memory(check)
