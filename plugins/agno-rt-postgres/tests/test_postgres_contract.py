"""`PostgresMemory` keeps every contract of memory backends, on a real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit

import pytest
from agno_rt_postgres.memory import PostgresMemory

from agno_rt.context_providers import SessionSearch
from agno_rt.testing import (
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
    MigrationContract,
    Proxy,
    RetentionContract,
    RunContract,
    SearchContract,
    SignalContract,
    open_proxy,
)

TABLES = "sessions", "facts", "cache", "runs", "approvals", "signals", "grants"


class OnServer:
    """Makes the backends of a contract's tests, each with empty tables."""

    @pytest.fixture(autouse=True)
    def place(self, make_memory: Callable[..., PostgresMemory], sql: Callable[[str], object], schema: str) -> None:
        """Note how to make backends."""
        self.make, self.sql, self.schema = make_memory, sql, schema

    def make_memory(self) -> PostgresMemory:
        """Make an empty backend."""
        return self.make(patience=1)

    def open_again(self) -> PostgresMemory:
        """Make another backend on the same schema."""
        return self.make()


class TestPostgresMemory(
    OnServer,
    MemoryContract,
    RunContract,
    SignalContract,
    FlowContract,
    FactContract,
    CacheContract,
    GrantContract,
    LeaseContract,
    EventLogContract,
    CopyContract,
    RetentionContract,
):
    """`PostgresMemory` under the contracts of memory backends."""

    def make_faults(self) -> Iterable[AbstractContextManager[object]]:
        """Take the tables away in two ways."""
        return [self.rename(f"SCHEMA {self.schema}"), self.rename(*(f"TABLE {self.schema}.{each}" for each in TABLES))]

    @contextmanager
    def rename(self, *things: str) -> Iterator[None]:
        """Rename things, and name them back."""
        names = {thing: thing.rpartition(" ")[2].rpartition(".")[2] for thing in things}
        self.sql(";".join(f"ALTER {thing} RENAME TO {name}_away" for thing, name in names.items()))
        try:
            yield
        finally:
            self.sql(";".join(f"ALTER {thing}_away RENAME TO {name}" for thing, name in names.items()))


class TestPostgresSearch(OnServer, SearchContract):
    """`PostgresMemory` under the contract of searches over sessions."""

    def test_is_a_search_by_the_backend(self) -> None:
        """The backend searches itself, without reading the sessions."""
        assert isinstance(self.make_memory(), SessionSearch)


class TestPostgresEndurance(OnServer, EnduranceContract):
    """`PostgresMemory` under the contract of large, long and shared stores, while connections are cut, too."""

    proxy: Proxy

    @pytest.fixture(autouse=True)
    def _a_proxy(self, server: str, url: str) -> Iterator[None]:
        parts = urlsplit(server)
        with open_proxy(parts.hostname or "127.0.0.1", parts.port or 5432) as self.proxy:
            self.url = re.sub(r"@[^/]+/", f"@127.0.0.1:{self.proxy.port}/", url)
            yield

    def make_memory(self) -> PostgresMemory:
        """Make an empty backend behind the proxy."""
        return self.make(url=self.url)

    def open_again(self) -> PostgresMemory:
        """Make another backend behind the proxy."""
        return self.make(url=self.url)

    def memory_url(self) -> str:
        """Return the URL by the proxy."""
        return self.url

    def make_interruptions(self) -> list[Callable[[], object]]:
        """Return a cut, a reset and a lost answer."""
        return [self.proxy.cut, lambda: self.proxy.cut(reset=True), self.proxy.lose_reply]


class TestPostgresLocks(OnServer, LockContract):
    """The locks of sessions among backends on one schema."""


class TestPostgresMigrations(MigrationContract):
    """The migrations of a schema that is not there yet."""

    @pytest.fixture(autouse=True)
    def place(self, make_memory: Callable[..., PostgresMemory], server: str, new_schema: str) -> None:
        """Note how to make a backend."""
        self.make, self.url = make_memory, f"{server}?schema={new_schema}"

    def make_memory(self) -> PostgresMemory:
        """Make a backend on a new schema."""
        return self.make(url=self.url)
