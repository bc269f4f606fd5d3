"""`ChromaKnowledge` keeps the contract of knowledge stores, on a real Chroma server."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import trio
from agno_rt_chroma import make_knowledge, versions
from agno_rt_chroma.address import read_url
from agno_rt_chroma.knowledge import ChromaKnowledge
from agno_rt_chroma.wire import Wire

from agno_rt.errors import BackendError, UsageError
from agno_rt.knowledge import EVERYTHING
from agno_rt.testing import KnowledgeContract
from agno_rt.testing.knowledge.checks import find_sources, list_sources, put_text

PARTS = [f"part {name}" for name in ("one", "two", "three", "four")]
MOST_REQUESTS = 40


class CountedWire(Wire):
    """Calls `act` at the request with the number `at`, from 0; counts all."""

    def __init__(self, url: str) -> None:
        super().__init__(read_url(url))
        self.watch(-1)

    def watch(self, at: int, act: Callable[[], object] = list) -> None:
        """Begin to count, and call `act` at that request."""
        self.count, self.at, self.act = 0, at, act

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """See `Wire.ask`."""
        self.count += 1
        if self.count == self.at + 1:
            self.act()
        return await super().ask(method, path, body)


def make_store(url: str) -> tuple[ChromaKnowledge, CountedWire]:
    """Make a store whose requests are counted."""
    wire = CountedWire(url)
    return ChromaKnowledge(wire.address, wire), wire


def new_prefix(server: Any) -> str:
    """Return a URL with a new prefix."""
    return f"{server.url}?prefix=k{secrets.token_hex(8)}"


class TestChromaKnowledge(KnowledgeContract):
    """`chroma:` under the contract.

    The contract cancels a put at each step of trio; over HTTP there are hundreds. Here each request is cancelled.
    """

    @pytest.fixture(autouse=True)
    def _use_server(self, chroma_server: Any) -> None:
        self._server = chroma_server
        self._url = ""

    def make_store(self) -> ChromaKnowledge:
        """Make a store with a prefix of its own."""
        self._url = new_prefix(self._server)
        return make_knowledge(self._url)

    def open_again(self) -> ChromaKnowledge:
        """Open the store as another process would."""
        return make_knowledge(self._url)

    def test_a_cancelled_put_leaves_one_whole_version(self) -> None:
        """Cancelled before or within any request, a put has stored the whole new version or left the old one."""

        async def check() -> None:
            store, wire = make_store(new_prefix(self._server))
            for at in range(MOST_REQUESTS):
                await put_text(store, "a", *PARTS)
                with trio.CancelScope() as scope:
                    wire.watch(at, scope.cancel)
                    await put_text(store, "a", *PARTS[:2])
                    wire.watch(-1)
                hits = await store.search_words("part", limit=100)
                assert len(hits) in ((2, 4) if scope.cancelled_caught else (2,))
                assert (await store.statistics()).chunks == len(hits)
                if not scope.cancel_called:
                    assert at > 3
                    break
            else:
                pytest.fail("a put has more requests than were tried")
            await store.aclose()

        trio.run(check)

    def test_a_cancelled_removal_leaves_all_or_nothing(self) -> None:
        """Cancelled before or within any request, a removal has removed all named documents, or none."""

        async def check() -> None:
            store, wire = make_store(new_prefix(self._server))
            left: list[str] = []
            for at in range(MOST_REQUESTS):
                for name in sorted({"a", "b", "c"} - set(left)):
                    await put_text(store, name, f"part {name}")
                with trio.CancelScope() as scope:
                    wire.watch(at, scope.cancel)
                    await store.remove(["a", "b"])
                    wire.watch(-1)
                left = await list_sources(store)
                assert left in ([["c"], ["a", "b", "c"]] if scope.cancelled_caught else [["c"]])
                assert sorted(await find_sources(store, "part")) == left
                if not scope.cancel_called:
                    break
            else:
                pytest.fail("a removal has more requests than were tried")
            await store.aclose()

        trio.run(check)


async def test_a_put_that_breaks_off_is_never_seen(chroma_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the failure of any request, one whole version is seen; a put an hour later deletes the remains."""
    url = new_prefix(chroma_server)
    store, wire = make_store(url)

    def fail() -> None:
        raise BackendError("the process died")

    await put_text(store, "other", "part of another")
    for at in range(MOST_REQUESTS):
        await put_text(store, "a", *PARTS)
        wire.watch(at, fail)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                await put_text(store, "a", *PARTS[:2])
            except BackendError:
                assert at < 3  # before the version is visible
            else:
                assert bool(told) == (wire.count > at)
        done = wire.count <= at
        wire.watch(-1)
        hits = [hit for hit in await store.search_words("part", limit=100) if hit.chunk.source == "a"]
        assert [hit.chunk.text for hit in sorted(hits, key=lambda hit: hit.chunk.number)] in (PARTS, PARTS[:2])
        assert (await store.statistics()).chunks == len(hits) + 1
        if done:
            break
    assert not await store._versions.is_clean()
    monkeypatch.setattr(versions, "STALE_SECONDS", 0.0)
    await put_text(store, "other", "part of another")
    assert await store._versions.is_clean()
    assert await store._collections.chunks.count() == (await store.statistics()).chunks == 3
    await store.aclose()


async def test_acknowledged_documents_outlast_a_killed_server(own_server: Any) -> None:
    """After kill -9 and a restart, documents and vectors are there; a call in between waits for the server."""
    store = make_knowledge(own_server.url)
    await put_text(store, "a", "the fox", user="ann")
    (text,) = await store.pending("toy/2")
    await store.add_vectors("toy/2", {text.key: [0.0, 1.0]})
    own_server.kill()
    found: list[str] = []

    async def search() -> None:
        found.extend(await find_sources(store, "fox"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(search)
        await trio.to_thread.run_sync(own_server.start)
    assert found == ["a"]
    assert [hit.score for hit in await store.search_vectors([0.0, 1.0], "toy/2", EVERYTHING)] == [1.0]
    await store.aclose()


async def test_a_server_out_of_reach(chroma_server: Any) -> None:
    """Without a server, and with a wrong database, the error names the address and not the token."""
    for url, problem in (
        ("chroma://:secret@127.0.0.1:9?timeout=0.2", r"127\.0\.0\.1:9/"),
        (f"{chroma_server.url.replace('//', '//:secret@')}/default_tenant/nowhere", "does not exist"),
    ):
        store = make_knowledge(url)
        with pytest.raises(BackendError, match=problem) as caught:
            await store.search_words("fox")
        assert "secret" not in str(caught.value)
        await store.aclose()


def test_reads_urls() -> None:
    """A URL names the server; a wrong URL is an error without the token."""
    address = read_url("chromas://:t%40k@chroma.example/one/two?prefix=shop&timeout=5&connections=2")
    assert (address.origin, address.password, address.username) == ("https://chroma.example:443", "t@k", None)
    assert (address.tenant, address.database, address.prefix, address.timeout) == ("one", "two", "shop", 5.0)
    assert str(address) == "chromas://chroma.example:443/one/two"
    for url in ("chroma:", "chroma://h/tenant", "chroma://h:x", "chroma://h?prefix=a b", "chroma://h?timeuot=1"):
        with pytest.raises(UsageError):
            read_url(url)


async def test_stores_with_similar_prefixes_are_apart(chroma_server: Any) -> None:
    """A store whose prefix begins with that of another is neither counted nor found there."""
    url = new_prefix(chroma_server)
    one, other = make_knowledge(url), make_knowledge(f"{url}-vectors-")
    await put_text(other, "b", "fox")
    (text,) = await other.pending("toy/2")
    await other.add_vectors("toy/2", {text.key: [0.0, 1.0]})
    await put_text(one, "a", "fox")
    assert await find_sources(one, "fox") == ["a"]
    assert dict((await one.statistics()).vectors) == {}
    assert dict((await other.statistics()).vectors) == {"toy/2": 1}
    await one.aclose()
    await other.aclose()
