"""Knowledge in a Redis server keeps the contract of knowledge stores: by words on any server, by vectors on Redis 8."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from agno_rt_redis import make_knowledge
from agno_rt_redis.address import read_url
from agno_rt_redis.knowledge import RedisKnowledge

from agno_rt.errors import BackendError
from agno_rt.knowledge import Chunk, Document, Filter
from agno_rt.knowledge.documents import number_chunks
from agno_rt.testing import KnowledgeContract


class TestRedisKnowledge(KnowledgeContract):
    """`redis:` keeps the contract of knowledge stores, on a server with vector sets."""

    server: str
    url: str

    @pytest.fixture(autouse=True)
    def _a_server(self, vector_server: str) -> Iterator[None]:
        self.server = vector_server
        yield
        trio.run(self._flush)

    async def _flush(self) -> None:
        store = make_knowledge(self.server)
        await store._link().call(b"FLUSHALL")
        await store.aclose()

    def make_store(self) -> RedisKnowledge:
        """Make a store with a prefix of its own."""
        self.url = f"{self.server}?prefix=k{secrets.token_hex(8)}"
        return make_knowledge(self.url)

    def open_again(self) -> RedisKnowledge:
        """Open the store as another process would."""
        return make_knowledge(self.url)


async def _put_document(store: RedisKnowledge, source: str, *parts: str) -> None:
    document = Document(source, "\n".join(parts))
    await store.put(document, number_chunks(document, [Chunk(part) for part in parts]))


async def test_a_server_without_vectors(own_server: Any) -> None:
    """Words are searched on an older server; a warning tells once that vectors are not."""
    store = make_knowledge(own_server.url)
    await _put_document(store, "a", "The fox runs.")
    assert [hit.chunk.source for hit in await store.search_words("fox")] == ["a"]
    if await _has_command(store, b"VADD"):
        pytest.skip("this server has vector sets")
    with pytest.warns(RuntimeWarning, match="Redis 8"):
        assert await store.pending("toy/2") == []
    assert await store.search_vectors([0.0, 1.0], "toy/2") == []
    with pytest.raises(BackendError, match="vector sets"):
        await store.add_vectors("toy/2", {"x": [0.0, 1.0]})
    assert "words" in await store.check_ready()
    await store.aclose()


async def test_many_vectors(vector_server: str) -> None:
    """By the server's graph, the nearest chunks are found, and a filter does not hide fitting chunks."""
    chance = random.Random(1)
    store = RedisKnowledge(read_url(f"{vector_server}?prefix=many"), exact=0)
    vectors = {f"chunk {at}": [chance.gauss(0, 1) for _ in range(8)] for at in range(500)}
    await _put_document(store, "docs", *vectors)
    document = Document("mine", "far away")
    await store.put(document, number_chunks(document, [Chunk("far away")]), user="ann")
    vectors["far away"] = [-value for value in vectors["chunk 7"]]
    while texts := await store.pending("toy/8"):
        await store.add_vectors("toy/8", {text.key: vectors[text.text] for text in texts})
    (hit,) = await store.search_vectors(vectors["chunk 7"], "toy/8", limit=1)
    assert (hit.chunk.text, round(hit.score, 2)) == ("chunk 7", 1.0)
    (hit,) = await store.search_vectors(vectors["chunk 7"], "toy/8", Filter("ann", shared=False), limit=3)
    assert (hit.chunk.text, round(hit.score, 2)) == ("far away", -1.0)
    await store.aclose()


async def _has_command(store: RedisKnowledge, name: bytes) -> bool:
    return bool((await store._link().call(b"COMMAND", b"INFO", name))[0])


async def test_old_documents_leave_nothing(own_server: Any) -> None:
    """Replaced and removed documents leave no key behind, whatever their words."""
    store = make_knowledge(own_server.url)
    link = store._link()
    await _put_document(store, "keep", "The fox runs.")
    before = set(await link.call(b"KEYS", b"*kw:*"))
    for at in range(5):
        await _put_document(store, "old", *(f"word{at} x{number}" for number in range(700)))
    await store.remove(["old"])
    assert set(await link.call(b"KEYS", b"*kw:*")) == before
    assert await link.call(b"ZCARD", store._prefix + b"kz:") == 1
    assert await link.call(b"KEYS", b"*kc:*") == [store._prefix + b"kc:1"]
    await store.aclose()
