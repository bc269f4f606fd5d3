"""Contract suite for the standing approvals of a memory backend."""

from __future__ import annotations

import time
from typing import Any

import attrs
import pytest
import trio

from agno_rt.errors import UsageError
from agno_rt.run_store import MOST_GRANTS, Grant, GrantStore
from agno_rt.testing._checks import StoreContract

__all__ = ["GrantContract"]


def _make_grant(id: str, **fields: Any) -> Grant:
    return Grant(id, **{"tool": "send", "definition": "d", "created_at": float(len(id)), **fields})


class GrantContract(StoreContract):
    """Rules for every `GrantStore`. Override `make_memory`: each test gets an empty store of its own."""

    def test_keeps_grants(self) -> None:
        """A grant comes back with all fields; the newest grant is first."""
        full = Grant(
            "a",
            "send",
            "digest",
            user="änn",
            agent="helper",
            session="s",
            arguments='{"to":"ö"}',
            pattern={"to": "*@x", "count": 3, "all": [True, None]},
            created_at=5.5,
            expires_at=time.time() + 3_600.5,
            by="bob",
            approval="r.1",
        )

        async def check(store: Any) -> None:
            assert isinstance(store, GrantStore)
            assert await store.grants() == []
            await store.add_grant(full)
            await store.add_grant(attrs.evolve(full, id="b", created_at=7, expires_at=None))
            await store.add_grant(attrs.evolve(full, id="c", created_at=6.0))
            assert [each.id for each in await store.grants()] == ["b", "c", "a"]
            assert (await store.grants())[2] == full
            assert [each.id for each in await store.grants(limit=2)] == ["b", "c"]

        self._with_memory(check)

    def test_selects_by_user_and_tool(self) -> None:
        """A list has the grants of a user, of nobody, or of a tool; names differ by case."""

        async def check(store: Any) -> None:
            for number, user in enumerate(("ann", "Ann", None, "ann")):
                await store.add_grant(_make_grant(f"g{number}", user=user, tool=f"tool{number % 2}", created_at=number))
            assert [each.id for each in await store.grants(user="ann")] == ["g3", "g0"]
            assert [each.id for each in await store.grants(user="ann", tool="tool0")] == ["g0"]
            assert [each.id for each in await store.grants(unowned=True)] == ["g2"]
            assert [each.id for each in await store.grants(tool="tool1")] == ["g3", "g1"]
            assert await store.grants(user="ann", tool="none") == await store.grants(user="nobody") == []

        self._with_memory(check)

    def test_ended_grants_are_gone(self) -> None:
        """A grant is in lists until its end, and not after."""

        async def check(store: Any) -> None:
            await store.add_grant(_make_grant("now", expires_at=time.time() + 3_600))
            await store.add_grant(_make_grant("old", expires_at=time.time() - 1))
            assert [each.id for each in await store.grants()] == ["now"]
            assert [each.id for each in await store.grants(unowned=True, tool="send")] == ["now"]

        self._with_memory(check)

    def test_revokes(self) -> None:
        """A revoked grant is gone at once; of two that revoke at once, one is told so; others stay."""

        async def check(store: Any) -> None:
            await store.add_grant(_make_grant("a", user="ann"))
            await store.add_grant(_make_grant("b", user="ann"))
            told: list[bool] = []

            async def revoke() -> None:
                told.append(await store.revoke_grant("a"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(revoke)
                nursery.start_soon(revoke)
            assert sorted(told) == [False, True]
            assert [each.id for each in await store.grants(user="ann")] == ["b"]
            assert not await store.revoke_grant("none")

        self._with_memory(check)

    def test_a_user_has_a_bounded_number(self) -> None:
        """One grant too many of a user for a tool is refused; ended ones do not count, nor other users and tools."""

        async def check(store: Any) -> None:
            await store.add_grant(_make_grant("ended", user="ann", expires_at=1.0))
            for number in range(MOST_GRANTS):
                await store.add_grant(_make_grant(f"g{number}", user="ann"))
            with pytest.raises(UsageError, match="send"):
                await store.add_grant(_make_grant("more", user="ann"))
            await store.add_grant(_make_grant("other", user="bob"))
            await store.add_grant(_make_grant("another", user="ann", tool="other"))
            assert len(await store.grants(user="ann", tool="send", limit=2 * MOST_GRANTS)) == MOST_GRANTS

        self._with_memory(check)

    def test_refuses_names(self) -> None:
        """A user or session without a name, or with an endless one, has no grants."""

        async def check(store: Any) -> None:
            for fields in ({"user": ""}, {"session": ""}, {"user": "x" * 1_000}):
                with pytest.raises(UsageError):
                    await store.add_grant(_make_grant("a", **fields))
            assert await store.grants() == []

        self._with_memory(check)
