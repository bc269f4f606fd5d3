"""Contract suites for embedders and rerankers. Subclass one in a test file, override its factory, run pytest."""

from __future__ import annotations

import math
from array import array
from collections.abc import Awaitable, Callable, Sequence
from operator import mul
from typing import ClassVar

import pytest
import trio

from agno_rt.errors import UsageError
from agno_rt.knowledge.embedders import Embedder, Embeddings, Vector, embedder_profile
from agno_rt.knowledge.rerankers import Reranker
from agno_rt.testing._checks import run_check

__all__ = ["EmbedderContract", "RerankerContract"]

CAT = "The cat sleeps on the warm sofa."
KITTEN = "A kitten naps on the couch."
TAXES = "Tax forms are due at the end of the quarter."
WORDS = ("héllo\n wörld", "\0 and \x1b", "맑음 👋", "a" * 300, "()[]{}<|endoftext|>", "x")
"""Texts of several scripts, with control characters, and without blanks."""


class EmbedderContract:
    """Rules for every embedder. Override `make_embedder`.

    Attributes:
        knows_meaning: related texts get nearer vectors than others; false for an untrained embedder
        tolerance: the most that two vectors of one text may differ in a number
    """

    knows_meaning: ClassVar[bool] = True
    tolerance: ClassVar[float] = 1e-3

    def make_embedder(self) -> Embedder:
        """Make an embedder ready for calls; `aclose`, if any, is called after each test."""
        raise NotImplementedError("override make_embedder")

    def test_has_a_name(self) -> None:
        """An embedder has a name, for its vectors, and a fitting profile."""

        async def check(embedder: Embedder) -> None:
            assert isinstance(embedder, Embedder)
            assert embedder.name
            assert embedder_profile(embedder).too_long in ("cut", "refuse")

        self._with_embedder(check)

    def test_returns_a_vector_for_each_text(self) -> None:
        """Vectors are 32-bit floats, all of the length in `dimensions`, and of length 1 unless the profile differs."""

        async def check(embedder: Embedder) -> None:
            known = embedder.dimensions
            found = await embedder.embed([CAT, TAXES, *WORDS])
            assert isinstance(found, Embeddings)
            assert len(found.vectors) == 2 + len(WORDS)
            for vector in found.vectors:
                assert isinstance(vector, array)
                assert vector.typecode == "f"
                assert len(vector) == embedder.dimensions
                assert all(map(math.isfinite, vector))
                if embedder_profile(embedder).unit:
                    assert abs(math.hypot(*vector) - 1.0) < 1e-3
            assert known in (None, embedder.dimensions)

        self._with_embedder(check)

    def test_keeps_the_order(self) -> None:
        """The vector of a text is the same alone, at each place among others, and twice in one call."""

        async def check(embedder: Embedder) -> None:
            alone = [(await embedder.embed([text])).vectors[0] for text in (CAT, TAXES, KITTEN)]
            for order in ((0, 1, 2), (2, 0, 1), (1, 1, 0)):
                found = await embedder.embed([(CAT, TAXES, KITTEN)[at] for at in order])
                for vector, at in zip(found.vectors, order, strict=True):
                    assert _differ(vector, alone[at]) <= self.tolerance

        self._with_embedder(check)

    def test_a_query_finds_its_document(self) -> None:
        """Vectors for queries and for documents can be compared; the related text is nearer."""

        async def check(embedder: Embedder) -> None:
            documents = await embedder.embed([TAXES, KITTEN], purpose="document")
            query = (await embedder.embed([CAT], purpose="query")).vectors[0]
            assert len(query) == len(documents.vectors[0])
            if self.knows_meaning:
                taxes, kitten = (sum(map(mul, query, vector)) for vector in documents.vectors)
                assert kitten > taxes

        self._with_embedder(check)

    def test_no_texts_have_no_vectors(self) -> None:
        """An empty list gives an empty answer, without an error."""

        async def check(embedder: Embedder) -> None:
            assert list((await embedder.embed([])).vectors) == []

        self._with_embedder(check)

    @pytest.mark.parametrize("texts", [[CAT, ""], [CAT, " \n"], [CAT, None]], ids=repr)
    def test_refuses_a_blank_text(self, texts: Sequence[str]) -> None:
        """A text without words is a `UsageError` with the place; no vector stands for a blank."""

        async def check(embedder: Embedder) -> None:
            with pytest.raises(UsageError, match="text 1 "):
                await embedder.embed(texts)

        self._with_embedder(check)

    def test_refuses_a_text_in_place_of_a_list(self) -> None:
        """A string is a `UsageError`: each letter would get a vector."""

        async def check(embedder: Embedder) -> None:
            with pytest.raises(UsageError, match="one string"):
                await embedder.embed(CAT)

        self._with_embedder(check)

    def test_does_as_declared_with_long_texts(self) -> None:
        """A text beyond `max_tokens` is cut and named in `cut`, or refused by its place, as the profile declares."""

        async def check(embedder: Embedder) -> None:
            profile = embedder_profile(embedder)
            if profile.max_tokens is None:
                return
            # Numbers: each is a token at least, in every vocabulary.
            long = " ".join(str(number) for number in range(profile.max_tokens + 10))
            if profile.too_long == "cut":
                found = await embedder.embed([CAT, long, TAXES])
                assert len(found.vectors) == 3
                assert found.cut == (1,)
                alone = (await embedder.embed([TAXES])).vectors[0]
                assert _differ(found.vectors[2], alone) <= self.tolerance
                return
            with pytest.raises(UsageError, match="text 1 "):
                await embedder.embed([CAT, long])

        self._with_embedder(check)

    def test_can_be_cancelled(self) -> None:
        """A cancelled call lets `Cancelled` through at once, and the embedder answers the next call."""

        async def check(embedder: Embedder) -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                await embedder.embed([CAT] * 8)
            assert scope.cancelled_caught
            assert len((await embedder.embed([CAT])).vectors) == 1

        self._with_embedder(check)

    def test_embeds_for_several_tasks(self) -> None:
        """Calls at the same time each get their own vectors."""

        async def check(embedder: Embedder) -> None:
            texts = [CAT, TAXES, KITTEN, *WORDS[:3]]
            alone = [(await embedder.embed([text])).vectors[0] for text in texts]
            found: dict[int, Vector] = {}

            async def embed(at: int) -> None:
                found[at] = (await embedder.embed([texts[at]])).vectors[0]

            async with trio.open_nursery() as nursery:
                for at in range(len(texts)):
                    nursery.start_soon(embed, at)
            assert all(_differ(found[at], alone[at]) <= self.tolerance for at in range(len(texts)))

        self._with_embedder(check)

    def _with_embedder(self, check: Callable[[Embedder], Awaitable[None]]) -> None:
        run_check(self.make_embedder, check)


class RerankerContract:
    """Rules for every reranker. Override `make_reranker`; set `knows_meaning` to False for a reranker without model."""

    knows_meaning: ClassVar[bool] = True

    def make_reranker(self) -> Reranker:
        """Make a reranker ready for calls; `aclose`, if any, is called after each test."""
        raise NotImplementedError("override make_reranker")

    def test_ranks_all_texts(self) -> None:
        """Each text has a place, the best first, with falling scores; the related text comes first."""

        async def check(reranker: Reranker) -> None:
            assert isinstance(reranker, Reranker)
            assert reranker.name
            ranked = await reranker.rerank(CAT, [TAXES, KITTEN, "Stones."])
            assert sorted(each.place for each in ranked) == [0, 1, 2]
            assert [each.score for each in ranked] == sorted((each.score for each in ranked), reverse=True)
            assert all(math.isfinite(each.score) for each in ranked)
            if self.knows_meaning:
                assert ranked[0].place == 1

        self._with_reranker(check)

    def test_returns_the_best(self) -> None:
        """`top` texts come back, the first ones of all; all texts for a larger `top`."""

        async def check(reranker: Reranker) -> None:
            texts = [TAXES, KITTEN, "Stones."]
            whole = [each.place for each in await reranker.rerank(CAT, texts)]
            for top in (1, 2, 3, 9):
                assert [each.place for each in await reranker.rerank(CAT, texts, top=top)] == whole[:top]

        self._with_reranker(check)

    def test_no_texts_have_no_ranking(self) -> None:
        """An empty list gives an empty answer, without an error."""

        async def check(reranker: Reranker) -> None:
            assert await reranker.rerank(CAT, []) == []

        self._with_reranker(check)

    def test_refuses_what_cannot_be_ranked(self) -> None:
        """A blank query, a string in place of texts, a number as text and a `top` below 1 each raise `UsageError`."""

        async def check(reranker: Reranker) -> None:
            for query, texts, top in ((" ", [CAT], None), (CAT, CAT, None), (CAT, [None], None), (CAT, [CAT], 0)):
                with pytest.raises(UsageError):
                    await reranker.rerank(query, texts, top=top)  # type: ignore[arg-type]

        self._with_reranker(check)

    def test_can_be_cancelled(self) -> None:
        """A cancelled call lets `Cancelled` through at once, and the reranker answers the next call."""

        async def check(reranker: Reranker) -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                await reranker.rerank(CAT, [KITTEN, TAXES])
            assert scope.cancelled_caught
            assert len(await reranker.rerank(CAT, [KITTEN, TAXES])) == 2

        self._with_reranker(check)

    def _with_reranker(self, check: Callable[[Reranker], Awaitable[None]]) -> None:
        run_check(self.make_reranker, check)


def _differ(one: Vector, other: Vector) -> float:
    """Return the largest difference of two vectors in a number."""
    return max((abs(a - b) for a, b in zip(one, other, strict=True)), default=0.0)
