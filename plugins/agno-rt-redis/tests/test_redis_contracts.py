"""The memory in a Redis server keeps every contract of `agno_rt.testing`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from agno_rt_redis import make_memory
from agno_rt_redis.memory import RedisMemory

from agno_rt.testing import Proxy, SearchContract, open_proxy
from agno_rt.testing.contracts import (
    CacheContract,
    CopyContract,
    EnduranceContract,
    EventLogContract,
    FactContract,
    FlowContract,
    GrantContract,
    LeaseContract,
    LockContract,
    MemoryContract,
    RetentionContract,
    RunContract,
    SignalContract,
)


class _Shared:
    """Makes memories with a prefix of the test's own."""

    url: str

    @pytest.fixture(autouse=True)
    def _a_prefix(self, redis_url: str) -> None:
        self.url = redis_url

    def make_memory(self) -> RedisMemory:
        """Make a memory with the prefix."""
        return make_memory(self.url)

    def open_again(self) -> RedisMemory:
        """Make another memory with the same prefix, as another process would."""
        return make_memory(self.url)


class TestSessions(_Shared, MemoryContract, FactContract, CacheContract, LockContract):
    """`redis:` keeps the contracts for sessions, facts, cached answers and locks."""


class TestRuns(_Shared, RunContract, SignalContract, FlowContract, GrantContract, LeaseContract, EventLogContract):
    """`redis:` keeps the contracts for runs."""


class TestUpkeep(_Shared, CopyContract, RetentionContract):
    """`redis:` keeps the contracts for copies, sizes and old sessions."""


class TestSearch(_Shared, SearchContract):
    """`redis:` keeps the contract for searches over sessions."""


class TestEndurance(_Shared, EnduranceContract):
    """`redis:` keeps the contract for large, long and shared stores, also while connections are cut and reset."""

    proxy: Proxy

    @pytest.fixture(autouse=True)
    def _a_proxy(self, redis_url: str) -> Iterator[None]:
        address = make_memory(redis_url).address
        with open_proxy(address.host, address.port) as self.proxy:
            yield

    def make_memory(self) -> RedisMemory:
        """Make a memory behind the proxy."""
        return make_memory(self.memory_url())

    def open_again(self) -> RedisMemory:
        """Make another memory behind the proxy."""
        return make_memory(self.memory_url())

    def memory_url(self) -> str:
        """Return the URL by the proxy."""
        return f"redis://127.0.0.1:{self.proxy.port}/0?prefix={make_memory(self.url).address.prefix}&timeout=5"

    def make_interruptions(self) -> list[Callable[[], object]]:
        """Return a cut, a reset and a lost answer."""
        return [self.proxy.cut, lambda: self.proxy.cut(reset=True), self.proxy.lose_reply]
