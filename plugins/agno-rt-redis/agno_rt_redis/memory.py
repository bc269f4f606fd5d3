"""Memory in a Redis server: sessions, runs, facts, cached answers and locks, shared by any number of processes."""

from __future__ import annotations

from typing import Any

import trio
from coredis.exceptions import RedisError

from agno_rt.errors import BackendError
from agno_rt.limits import LimitStatistics
from agno_rt_redis.address import Address
from agno_rt_redis.facts import RedisCache
from agno_rt_redis.grants import RedisGrants
from agno_rt_redis.locks import LOCK_SECONDS, RedisLocks
from agno_rt_redis.sharing import RedisSharing
from agno_rt_redis.store import CLOSE_SECONDS
from agno_rt_redis.upkeep import RedisUpkeep

__all__ = ["RedisMemory"]

OLDEST = (6, 2)
"""The first version of Redis with all commands of the scripts."""


class RedisMemory(RedisUpkeep, RedisSharing, RedisCache, RedisGrants, RedisLocks):
    """Sessions, runs, facts, cached answers and locks in the server at the address.

    The first call connects. A call with a lost connection connects again and is repeated, but never done twice; after
    `address.timeout` seconds the call raises `BackendError`. Times are the server's. One trio run at a time uses a
    memory. `lock_seconds` is the life of a session's lock without word of its process.
    """

    def __init__(self, address: Address, *, lock_seconds: float | None = None) -> None:
        super().__init__(address)
        # A run that is taken over waits for its session: a lock longer than the lease would make the takeover late.
        self.lock_seconds = min(LOCK_SECONDS, address.lease) if lock_seconds is None else lock_seconds
        self.lease_seconds = address.lease
        self._locks = trio.lowlevel.RunVar("locks", default=None)
        self._listeners = trio.lowlevel.RunVar("listener", default=None)
        self._asked = {}
        self._prune_at = float("-inf")

    async def check_ready(self) -> str:
        """Return a line on the server. Raises `BackendError` for a server that cannot be used or may lose writes.

        Such a server is out of reach, is too old, keeps nothing on disk, or may evict keys when the memory is full.
        """
        link = self._link()
        try:
            info = _read_info(await link.call(b"INFO", b"everything"))
            policy = await self._read_config(b"maxmemory-policy", info.get("maxmemory_policy", "noeviction"))
            saves = await self._read_config(b"save", "")
            fsync = await self._read_config(b"appendfsync", "")
        except RedisError as exc:
            raise link.explain(exc) from exc
        version = info.get("redis_version", "0")
        if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST:
            hint = f"Use Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey."
            raise BackendError(f"{self.address} is Redis {version}", hint=hint)
        if policy != "noeviction" and info.get("maxmemory", "0") != "0":
            hint = "Set maxmemory-policy to noeviction."
            raise BackendError(f"{self.address} may evict keys when its memory is full: {policy}", hint=hint)
        appends = info.get("aof_enabled") == "1"
        if not appends and not saves:
            hint = "Set appendonly to yes in the server's configuration."
            raise BackendError(f"{self.address} keeps nothing on disk: a restart forgets everything", hint=hint)
        how = f"appendonly, fsync {fsync or 'unknown'}" if appends else f"snapshots ({saves}), no appendonly"
        return f"Redis {version} at {self.address}: {how}"

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the number of connections in use, and of calls that wait for a connection."""
        link = self._links.get()
        at_work, waiting = (0, 0) if link is None else link.statistics()
        return (LimitStatistics(str(self.address), self.address.connections, at_work, waiting),)

    async def aclose(self) -> None:
        """Release all locks, and close the connections. A later call opens them again."""
        if self._links.get() is not None:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._release_all()
                await self._stop_listening()
        await self._close_link()

    async def _read_config(self, name: bytes, default: str) -> str:
        """Return a setting of the server; `default` where the server does not tell, as many hosted ones."""
        try:
            found: Any = await self._link().call(b"CONFIG", b"GET", name)
        except RedisError:
            return default
        values = list(found.values()) if isinstance(found, dict) else found[1::2]
        return values[0].decode(errors="replace") if values else default


def _read_info(text: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    return {name: value for name, found, value in lines if found}
