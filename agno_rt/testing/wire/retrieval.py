"""The contracts of embedder and reranker plugins over the wire: requests, answers and failures."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from typing import Any, ClassVar

import attrs
import pytest
import trio

from agno_rt.errors import ModelError
from agno_rt.testing._checks import TEST_SECONDS
from agno_rt.testing.clocks import JumpingClock
from agno_rt.testing.wire.server import Ending, WireReply, WireServer, open_wire_server
from agno_rt.testing.wire.suite import JUMPED_SECONDS, hurrying

__all__ = ["EmbedderWireContract", "RerankerWireContract", "VectorFormat"]

TEXTS = ("The cat sleeps.", "Grüße — 맑음 👋", "Taxes are due.")
VECTORS = ((0.6, 0.8, 0.0), (0.0, 0.6, 0.8), (0.8, 0.0, 0.6))
SCORES = (0.25, 0.75, 0.5)
BEST = [1, 2, 0]
_REQUEST_ID = "req_0123456789"
_CROWD = 30


class VectorFormat:
    """Renders vectors, rankings and errors in a provider's format. Subclass it, with the provider's reference.

    Attributes:
        id_header: the header with the id of a request; empty if the format has none
        has_index: each vector stands beside the place of its text, so vectors may come in any order
        counts: the format tells the tokens read
    """

    id_header = "x-request-id"
    has_index = False
    counts = True

    def render_vectors(self, vectors: Sequence[Any], indices: Sequence[int], tokens: int) -> bytes:
        """Return the body with vectors, and beside each vector the index of a text."""
        raise NotImplementedError("override render_vectors")

    def render_ranking(self, ranked: Sequence[tuple[int, float]]) -> bytes:
        """Return the body with places and scores."""
        raise NotImplementedError("override render_ranking")

    def render_error(self, status: int, message: str) -> bytes:
        """Return the body of a refusal."""
        raise NotImplementedError("override render_error")


class _RetrievalWire:
    """Rules for failures: each is a `ModelError` with provider and retryability, and leaves no connection behind.

    Set `wire` to a `VectorFormat`; override `make(base_url)`, which makes the part with the API key `key`, and
    `make_impatient` for a part with a read timeout.
    """

    wire: ClassVar[VectorFormat]
    key: ClassVar[str] = "sk-contract-0123456789abcdef"
    refusals: ClassVar[dict[int, bool]] = {
        400: False,
        401: False,
        404: False,
        413: False,
        429: True,
        500: True,
        503: True,
    }

    def make(self, base_url: str) -> Any:
        """Make the part for the server at `base_url` (`http://127.0.0.1:PORT`) with the API key `key`."""
        raise NotImplementedError("override make")

    def make_impatient(self, base_url: str) -> Any:
        """Make the same part with a read timeout, as for a model; `None` for a plugin without one."""
        return None

    async def call(self, part: Any) -> Any:
        """Ask the part about `TEXTS`."""
        raise NotImplementedError

    def render_good(self) -> WireReply:
        """Return the right answer."""
        raise NotImplementedError

    def check_good(self, found: Any) -> None:
        """Check the part's reading of the right answer."""
        raise NotImplementedError

    def test_sends_all_texts(self) -> None:
        """Each text and the key are in the request, in order, with every letter; the answer is read."""

        async def check(part: Any, server: WireServer) -> None:
            self.check_good(await self.call(part))
            (request,) = server.requests
            sent = str(request.json())
            places = [sent.find(text) for text in TEXTS]
            assert places == sorted(places)
            assert places[0] >= 0
            assert self.key in f"{request.path} {request.headers}"

        self._with_server(check)

    def test_maps_refusals(self) -> None:
        """Each refusal is a `ModelError` with provider, status, request id, retryability and the server's words."""

        async def check(part: Any, server: WireServer) -> None:
            for status, retryable in self.refusals.items():
                server.play(self._render_refusal(status, f"the reason for {status}"))
                error = await self._fail(part)
                assert (error.status, error.retryable) == (status, retryable)
                assert error.provider
                assert f"the reason for {status}" in error.message
                if self.wire.id_header:
                    assert error.request_id == _REQUEST_ID
            await self._check_recovery(part, server)

        self._with_server(check)

    def test_reads_how_long_to_wait(self) -> None:
        """`Retry-After` arrives as seconds, whether the server sends seconds or a date."""

        async def check(part: Any, server: WireServer) -> None:
            server.play(self._render_refusal(429, "too fast", {"retry-after": "7"}))
            assert (await self._fail(part)).retry_after == 7.0
            # An hour ahead: a slow machine takes seconds off, and nothing more.
            server.play(
                self._render_refusal(503, "closed", {"retry-after": formatdate(time.time() + 3_600, usegmt=True)})
            )
            waits = (await self._fail(part)).retry_after
            assert waits is not None
            assert 1_800 < waits <= 3_601

        self._with_server(check)

    def test_never_shows_the_key(self) -> None:
        """A key quoted in a refusal or in a body does not get into an error."""

        async def check(part: Any, server: WireServer) -> None:
            for reply in (self._render_refusal(401, f"wrong key {self.key}"), WireReply((f"no {self.key}".encode(),))):
                server.play(reply)
                error = await self._fail(part)
                assert self.key not in f"{error} {error.hint} {error!r} {getattr(error, '__notes__', '')}"
            assert self.key not in repr(part)

        self._with_server(check)

    @pytest.mark.parametrize(
        "body", [b'{"half": ', b"", b"<html>busy</html>", b"[]", b"{}", b"null", b"\xff\xfe", b"7"]
    )
    def test_a_broken_body_is_an_error(self, body: bytes) -> None:
        """A body with status 200 and no answer is a `ModelError` of the provider."""

        async def check(part: Any, server: WireServer) -> None:
            server.play(WireReply((body,)))
            assert (await self._fail(part)).provider
            await self._check_recovery(part, server)

        self._with_server(check)

    @pytest.mark.parametrize("ending", ["cut", "reset"])
    def test_a_truncated_body_is_an_error(self, ending: Ending) -> None:
        """A broken answer may be tried again."""

        async def check(part: Any, server: WireServer) -> None:
            good = self.render_good()
            for kept in (len(good.pieces[0]) // 2, len(good.pieces[0])):
                server.play(attrs.evolve(good, pieces=(good.pieces[0][:kept],), ending=ending))
                assert (await self._fail(part)).retryable
            await self._check_recovery(part, server)

        self._with_server(check)

    def test_gives_up_on_a_silent_server(self) -> None:
        """After the read timeout, silence is a failure to try again."""
        clock = JumpingClock()

        async def check(part: Any, server: WireServer) -> None:
            if self.make_impatient(server.url) is None:
                return
            good = self.render_good()
            endings: tuple[Ending, ...] = ("silent", "stall")
            for ending in endings:
                server.play(attrs.evolve(good, pieces=(good.pieces[0][:9],), ending=ending))
                async with hurrying(clock):
                    assert (await self._fail(part)).retryable
            await self._check_recovery(part, server)

        self._with_server(check, lambda url: self.make_impatient(url) or self.make(url), clock)

    def test_can_be_cancelled_anywhere(self) -> None:
        """A cancellation before the first byte, and in the middle of the answer, closes the connection at once."""

        async def check(part: Any, server: WireServer) -> None:
            good = self.render_good()
            endings: tuple[Ending, ...] = ("silent", "stall")
            for count, ending in enumerate(endings, 1):
                server.play(attrs.evolve(good, pieces=(good.pieces[0][:9],), ending=ending))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.call, part)
                    await server.wait_stalled(count)
                    nursery.cancel_scope.cancel()
                await server.wait_idle()
            await self._check_recovery(part, server)

        self._with_server(check)

    def test_a_crowd_of_failures_leaves_no_connection(self) -> None:
        """After many refusals and broken answers, the pool is as empty as before."""

        async def check(part: Any, server: WireServer) -> None:
            good = self.render_good()
            broken = attrs.evolve(good, pieces=(good.pieces[0][:9],), ending="cut")
            server.play(*(self._render_refusal(429, "slow down"), broken) * (_CROWD // 2))
            async with trio.open_nursery() as nursery:
                for _ in range(_CROWD):
                    nursery.start_soon(self._fail, part)
            await self._check_recovery(part, server)

        self._with_server(check)

    def _render(self, body: bytes) -> WireReply:
        return WireReply((body,), headers=self._make_headers())

    def _render_refusal(self, status: int, message: str, headers: dict[str, str] | None = None) -> WireReply:
        return WireReply(
            (self.wire.render_error(status, message),), status, headers=self._make_headers() | (headers or {})
        )

    def _make_headers(self) -> dict[str, str]:
        return {self.wire.id_header: _REQUEST_ID} if self.wire.id_header else {}

    async def _fail(self, part: Any) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await self.call(part)
        return caught.value

    async def _check_recovery(self, part: Any, server: WireServer) -> None:
        server.play(self.render_good())
        self.check_good(await self.call(part))
        await server.wait_idle()
        for limit in part.statistics():
            assert (limit.in_use, limit.waiting) == (0, 0), limit
            assert server.most_connections <= limit.total, limit

    def _with_server(
        self,
        check: Callable[[Any, WireServer], Awaitable[None]],
        make: Callable[[str], Any] | None = None,
        clock: JumpingClock | None = None,
    ) -> None:
        async def main() -> None:
            async with open_wire_server() as server:
                part = (make or self.make)(server.url)
                server.play(self.render_good())
                try:
                    with trio.fail_after(TEST_SECONDS if clock is None else JUMPED_SECONDS):
                        await check(part, server)
                finally:
                    await part.aclose()

        trio.run(main, clock=clock)


class EmbedderWireContract(_RetrievalWire):
    """Rules for an embedder plugin, tested over a real socket against a server with the provider's format.

    Subclass it in a test file: set `wire` to a `VectorFormat`, and override `make` and `make_impatient`. Set
    `tells_purpose` for a format with words for queries.
    """

    tells_purpose: ClassVar[bool] = False

    async def call(self, part: Any) -> Any:
        """Embed the texts."""
        return await part.embed(TEXTS)

    def render_good(self) -> WireReply:
        """Return the vectors of the texts."""
        return self._render(self.wire.render_vectors(VECTORS, (0, 1, 2), 12))

    def check_good(self, found: Any) -> None:
        """Check the vectors and the usage."""
        assert [[round(value, 5) for value in vector] for vector in found.vectors] == [list(each) for each in VECTORS]
        assert all(isinstance(vector, array) and vector.typecode == "f" for vector in found.vectors)
        assert found.usage.input_tokens == (12 if self.wire.counts else 0)

    def test_vectors_get_the_length_one(self) -> None:
        """Vectors of another length are made unit vectors, whatever the service sends."""

        async def check(part: Any, server: WireServer) -> None:
            server.play(self._render(self.wire.render_vectors([[3, 4, 0], [0, 0, 9.5], [1e-3, 0, 0]], (0, 1, 2), 12)))
            found = await self.call(part)
            assert [round(math.hypot(*vector), 4) for vector in found.vectors] == [1.0, 1.0, 1.0]
            assert part.dimensions == 3

        self._with_server(check)

    def test_vectors_belong_to_their_texts(self) -> None:
        """Shuffled vectors are put in the texts' order, by index."""
        if not self.wire.has_index:
            return

        async def check(part: Any, server: WireServer) -> None:
            order = (2, 0, 1)
            server.play(self._render(self.wire.render_vectors([VECTORS[at] for at in order], order, 12)))
            self.check_good(await self.call(part))

        self._with_server(check)

    @pytest.mark.parametrize(
        ("vectors", "said"),
        [
            (VECTORS[:2], "2 vectors for 3 texts"),
            ((*VECTORS, VECTORS[0]), "4 vectors for 3 texts"),
            (((1.0, 0.0), *VECTORS[1:]), "several lengths: 2, 3"),
            (((0.0, 0.0, 0.0), *VECTORS[1:]), "all zeros"),
            ((("a", "b", "c"), *VECTORS[1:]), "something other than"),
            (((), *VECTORS[1:]), "something other than"),
        ],
        ids=["short", "long", "ragged", "zeros", "letters", "empty"],
    )
    def test_vectors_that_do_not_fit(self, vectors: Sequence[Sequence[Any]], said: str) -> None:
        """Too few or too many vectors, ragged ones, zeros and words are errors with the counts, and are not used."""

        async def check(part: Any, server: WireServer) -> None:
            indices = tuple(range(len(vectors)))
            server.play(self._render(self.wire.render_vectors([list(each) for each in vectors], indices, 12)))
            assert said in (await self._fail(part)).message
            await self._check_recovery(part, server)

        self._with_server(check)

    def test_an_index_that_does_not_fit(self) -> None:
        """An index without a text, or used twice, is an error."""
        if not self.wire.has_index:
            return

        async def check(part: Any, server: WireServer) -> None:
            for indices in ((0, 1, 1), (1, 2, 3), (-1, 0, 1)):
                server.play(self._render(self.wire.render_vectors(VECTORS, indices, 12)))
                assert "index" in (await self._fail(part)).message
            await self._check_recovery(part, server)

        self._with_server(check)

    def test_vectors_of_another_length_than_before(self) -> None:
        """Vectors of a new length are an error, because stored vectors cannot be compared with new vectors."""

        async def check(part: Any, server: WireServer) -> None:
            self.check_good(await self.call(part))
            server.play(self._render(self.wire.render_vectors([[0.6, 0.8]] * 3, (0, 1, 2), 12)))
            assert "vectors of 2 numbers, where 3" in (await self._fail(part)).message

        self._with_server(check)

    def test_tells_the_purpose(self) -> None:
        """Queries and documents are told apart, if the format has words for them; otherwise requests are alike."""

        async def check(part: Any, server: WireServer) -> None:
            await part.embed(TEXTS, purpose="document")
            await part.embed(TEXTS, purpose="query")
            document, query = (request.body for request in server.requests)
            assert (document != query) == self.tells_purpose

        self._with_server(check)

    def test_no_texts_need_no_request(self) -> None:
        """An empty list asks nobody."""

        async def check(part: Any, server: WireServer) -> None:
            assert list((await part.embed([])).vectors) == []
            assert server.requests == []

        self._with_server(check)


class RerankerWireContract(_RetrievalWire):
    """Rules for a reranker plugin, tested over a real socket against a server with the provider's format.

    Subclass it in a test file: set `wire` to a `VectorFormat`, and override `make` and `make_impatient`.
    """

    async def call(self, part: Any) -> Any:
        """Rank the texts."""
        return await part.rerank("What does the cat do?", TEXTS)

    def render_good(self) -> WireReply:
        """Return the scores of the texts, in the texts' order."""
        return self._render(self.wire.render_ranking(list(enumerate(SCORES))))

    def check_good(self, found: Any) -> None:
        """Check the places and the scores."""
        assert [each.place for each in found] == BEST
        assert [each.score for each in found] == [SCORES[at] for at in BEST]

    def test_sends_the_query_and_the_number(self) -> None:
        """The query is in the request, and of many texts the best ones come back, however many the server sends."""

        async def check(part: Any, server: WireServer) -> None:
            found = await part.rerank("What does the cat do?", TEXTS, top=2)
            assert [each.place for each in found] == BEST[:2]
            assert "What does the cat do?" in str(server.requests[0].json())

        self._with_server(check)

    @pytest.mark.parametrize(
        "ranked",
        [
            [(0, 0.5), (1, 0.4)],
            [(0, 0.5), (1, 0.4), (1, 0.3)],
            [(0, 0.5), (1, 0.4), (3, 0.3)],
            [(-1, 1.0), (0, 0.5), (1, 0.4)],
        ],
        ids=["short", "twice", "beyond", "before"],
    )
    def test_a_ranking_that_does_not_fit(self, ranked: list[tuple[int, float]]) -> None:
        """Too few texts, a text twice and an unknown text are errors."""

        async def check(part: Any, server: WireServer) -> None:
            server.play(self._render(self.wire.render_ranking(ranked)))
            assert "3" in (await self._fail(part)).message
            await self._check_recovery(part, server)

        self._with_server(check)

    def test_blank_texts_are_the_worst(self) -> None:
        """Blank texts are not sent, and stand behind the others."""

        async def check(part: Any, server: WireServer) -> None:
            server.play(self._render(self.wire.render_ranking([(0, 0.2), (1, 0.9)])))
            found = await part.rerank("cat", ["", "a dog", " \n", "a cat"])
            assert [each.place for each in found] == [3, 1, 0, 2]
            assert len(await part.rerank("cat", ["", " "])) == 2
            assert len(server.requests) == 1

        self._with_server(check)
