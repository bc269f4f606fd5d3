"""`PostgresKnowledge` keeps the contract of knowledge stores, on a server with pgvector."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from agno_rt_postgres.knowledge import PostgresKnowledge
from agno_rt_postgres.urls import parse_url

from agno_rt.errors import BackendError
from agno_rt.testing import KnowledgeContract
from tests.servers.postgres_server import run_sql


class TestPostgresKnowledge(KnowledgeContract):
    """`PostgresKnowledge` under the contract; each test has the emptied tables."""

    @pytest.fixture(autouse=True)
    def place(self, own_server: Any) -> None:
        """Note the server, and empty the tables."""
        self.url = f"{own_server.url}?pool=4&synchronous=normal"
        store = self.open_again()

        async def empty() -> None:
            documents = await store.documents(limit=100_000)
            for user in {each.user for each in documents}:
                await store.remove([each.source for each in documents], user=user)
            await store.aclose()

        trio.run(empty)

    def make_store(self) -> PostgresKnowledge:
        """Make an empty store."""
        return self.open_again()

    def open_again(self) -> PostgresKnowledge:
        """Make a store on the same tables."""
        return PostgresKnowledge(parse_url(self.url))


async def test_a_database_without_the_extension(own_server: Any) -> None:
    """Where pgvector is missing and cannot be made, the error says what an administrator has to do."""
    for query in ("CREATE ROLE reader LOGIN", "CREATE DATABASE bare"):
        run_sql(query, own_server.url)
    url = own_server.url.rpartition("/")[0] + "/bare"
    run_sql("CREATE SCHEMA agno_rt_knowledge AUTHORIZATION reader", url)
    store = PostgresKnowledge(parse_url(f"{url}?user=reader"))
    with pytest.raises(BackendError, match='extension "vector"') as caught:
        await store.statistics()
    await store.aclose()

    assert "CREATE EXTENSION vector" in caught.value.hint
