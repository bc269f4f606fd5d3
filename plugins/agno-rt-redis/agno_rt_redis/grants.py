"""Standing approvals in Redis: a part of `RedisMemory`."""

from __future__ import annotations

from typing import Any

import msgspec

from agno_rt.defaults.rules import check_names
from agno_rt.run_store import MOST_GRANTS, Grant, too_many_grants
from agno_rt_redis.store import Damaged, Store, load_script

__all__ = ["RedisGrants"]

_GRANTS = load_script("grants")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Grant).decode


class RedisGrants(Store):
    """A `GrantStore`."""

    async def add_grant(self, grant: Grant) -> None:
        """See `GrantStore.add_grant`."""
        check_names(grant.session, grant.user)
        answer = await self._write(
            _GRANTS,
            "add",
            id=grant.id,
            tool=grant.tool,
            user=grant.user,
            body=_encode(grant),
            created=repr(float(grant.created_at)),
            expires=None if grant.expires_at is None else repr(float(grant.expires_at)),
            most=MOST_GRANTS,
        )
        if answer[0] == b"full":
            raise too_many_grants(grant)

    async def grants(
        self, *, user: str | None = None, unowned: bool = False, tool: str | None = None, limit: int = 100
    ) -> list[Grant]:
        """See `GrantStore.grants`."""
        asked = {"user": user, "unowned": unowned and user is None, "tool": tool, "limit": limit}
        return self._read_all((await self._read(_GRANTS, "list", **asked))[1], _read_grant)

    async def revoke_grant(self, grant: str) -> bool:
        """See `GrantStore.revoke_grant`."""
        return bool((await self._write(_GRANTS, "revoke", id=grant))[1])


def _read_grant(row: list[Any]) -> Grant:
    grant, body = row
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, TypeError) as exc:
        name = grant.decode(errors="backslashreplace")
        raise Damaged(f"standing approval {name!r} cannot be read: {exc}") from exc
