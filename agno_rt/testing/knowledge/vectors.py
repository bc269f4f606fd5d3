"""The part of `KnowledgeContract` on vectors."""

from __future__ import annotations

import math
import random
from array import array

import pytest

from agno_rt.errors import UsageError
from agno_rt.knowledge.store import EVERYTHING, Filter, KnowledgeStore
from agno_rt.testing.knowledge.checks import KnowledgeChecks, find_sources, put_text

__all__ = ["KnowledgeVectors"]

SPACE = "toy/2"
ANGLES = {"north": (0.0, 1.0), "east": (2.0, 0.0), "northeast": (0.1, 0.1), "south": (0.0, -3.0)}
"""Vectors by text, of different lengths: only their directions count."""


async def _embed_all(store: KnowledgeStore, space: str = SPACE) -> int:
    """Store the vectors of all texts without a vector, by the last word of the text."""
    done = 0
    while texts := await store.pending(space, limit=2):
        assert len(texts) <= 2
        done += await store.add_vectors(space, {text.key: ANGLES[text.text.split()[-1]] for text in texts})
    return done


async def _find(
    store: KnowledgeStore, vector: tuple[float, ...], filter: Filter = EVERYTHING, *, space: str = SPACE, limit: int = 9
) -> list[str]:
    return [hit.chunk.text for hit in await store.search_vectors(vector, space, filter, limit=limit)]


class KnowledgeVectors(KnowledgeChecks):
    """Rules for the vectors of every `KnowledgeStore`."""

    def test_finds_by_vectors(self) -> None:
        """The nearest chunks by angle come first, with the cosine as score, whatever the lengths of the vectors."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "north", "east", "northeast", "south")
            assert await _find(store, (0.0, 1.0)) == []
            assert await _embed_all(store) == 4
            hits = await store.search_vectors(array("f", (0.0, 5.0)), SPACE, limit=9)
            assert [hit.chunk.text for hit in hits] == ["north", "northeast", "east", "south"]
            assert [hit.score for hit in hits] == pytest.approx([1, math.sqrt(0.5), 0, -1], abs=0.01)
            assert all("vectors" in hit.found_by for hit in hits)
            assert hits[1].chunk.number == 2
            assert await _find(store, (3.0, 0.1), limit=1) == ["east"]
            assert dict((await store.statistics()).vectors) == {SPACE: 4}

        self._with_store(check)

    def test_pending_texts_are_those_without_vectors(self) -> None:
        """Texts wait for vectors, the first stored first; new texts wait again."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "north", "east")
            await put_text(store, "b", "south", user="ann")
            assert [text.text for text in await store.pending(SPACE)] == ["north", "east", "south"]
            assert [text.text for text in await store.pending(SPACE, limit=1)] == ["north"]
            await _embed_all(store)
            assert await store.pending(SPACE) == []
            await put_text(store, "c", "northeast")
            assert [text.text for text in await store.pending(SPACE)] == ["northeast"]

        self._with_store(check)

    def test_a_new_version_has_no_vectors_of_the_old(self) -> None:
        """The vectors of a replaced or removed text are gone; vectors that come too late are ignored."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "north", "east")
            await _embed_all(store)
            await put_text(store, "a", "one more south")
            assert await _find(store, (0.0, 1.0)) == []
            late = await store.pending(SPACE)
            await put_text(store, "a", "the third east")
            assert await store.add_vectors(SPACE, {text.key: (0.0, 1.0) for text in late}) == 0
            assert await _find(store, (0.0, 1.0)) == []
            await _embed_all(store)
            assert await _find(store, (1.0, 0.0)) == ["the third east"]
            await store.remove(["a"])
            assert await _find(store, (1.0, 0.0)) == []
            assert await store.pending(SPACE) == []
            assert (await store.statistics()).vectors.get(SPACE, 0) == 0

        self._with_store(check)

    def test_equal_texts_have_equal_vectors(self) -> None:
        """Every chunk of a text gets the vector; removing one leaves the other's."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "north", "north")
            await put_text(store, "b", "north")
            await put_text(store, "c", "east", "east")
            assert await _embed_all(store) == 5
            assert await _find(store, (0.0, 1.0), limit=3) == ["north"] * 3
            await store.remove(["a"])
            hits = await store.search_vectors((0.0, 1.0), SPACE, limit=1)
            assert [hit.chunk.source for hit in hits] == ["b"]

        self._with_store(check)

    def test_spaces_are_apart(self) -> None:
        """Vectors of different embedders are never compared."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "north")
            await _embed_all(store)
            assert await _find(store, (0.0, 1.0), space="other/2") == []
            assert [text.text for text in await store.pending("other/2")] == ["north"]
            (text,) = await store.pending("three/3")
            await store.add_vectors("three/3", {text.key: (1.0, 1.0, 0.0)})
            assert await _find(store, (1.0, 1.0, 0.0), space="three/3") == ["north"]

        self._with_store(check)

    def test_refuses_other_dimensions(self) -> None:
        """A vector with other dimensions than the space is refused, in a search too."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "north", "east")
            north, east = await store.pending(SPACE)
            await store.add_vectors(SPACE, {north.key: (0.0, 1.0)})
            with pytest.raises(UsageError):
                await store.add_vectors(SPACE, {east.key: (1.0, 0.0, 0.0)})
            with pytest.raises(UsageError):
                await store.search_vectors((1.0, 0.0, 0.0), SPACE)
            assert [text.text for text in await store.pending(SPACE)] == ["east"]
            assert await _find(store, (0.0, 1.0)) == ["north"]

        self._with_store(check)

    def test_removes_the_vectors_of_a_space(self) -> None:
        """A removed space is not found, its texts wait again, and other spaces stay; new vectors may be longer."""
        long = (0.0, 3.0, 4.0)

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "north", "north", "east")
            await put_text(store, "b", "south", user="ann")
            await _embed_all(store)
            await _embed_all(store, "other/2")
            assert await _find(store, (0.0, 1.0), limit=1) == ["north"]
            assert await store.remove_vectors("unknown/2") == 0
            assert await store.remove_vectors(SPACE) == 4
            assert await _find(store, (0.0, 1.0)) == []
            assert await _find(store, (0.0, 1.0), space="other/2", limit=2) == ["north"] * 2
            assert dict((await store.statistics()).vectors) == {"other/2": 4}
            assert {text.text for text in await store.pending(SPACE)} == {"north", "east", "south"}
            await store.add_vectors(SPACE, {text.key: long for text in await store.pending(SPACE)})
            (hit,) = await store.search_vectors(long, SPACE, Filter("ann", shared=False))
            assert (hit.chunk.text, round(hit.score, 3)) == ("south", 1.0)
            assert await store.remove_vectors(SPACE) == 4
            assert await store.remove_vectors(SPACE) == 0

        self._with_store(check)

    @pytest.mark.parametrize("dimensions", [384, 3_072])
    def test_many_dimensions(self, dimensions: int) -> None:
        """Vectors of small and of large embedders are stored and found, before and after a reopening."""
        chance = random.Random(1)
        vectors = {f"text {at}": [chance.gauss(0, 1) for _ in range(dimensions)] for at in range(40)}
        space = f"toy/{dimensions}"

        async def search(store: KnowledgeStore) -> None:
            for text in ("text 3", "text 39"):
                near = [value + 0.01 for value in vectors[text]]
                (hit,) = await store.search_vectors(near, space, limit=1)
                assert hit.chunk.text == text
                assert hit.score == pytest.approx(1, abs=0.02)

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", *vectors)
            texts = await store.pending(space)
            assert await store.add_vectors(space, {text.key: vectors[text.text] for text in texts}) == 40
            await search(store)

        self._with_store_again(check, search)

    def test_filters_searches_by_vectors(self) -> None:
        """User, metadata and prefix restrict the search before its limit; no user sees another's chunks."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "many", *["north"] * 200, user="bob", language="en")
            await put_text(store, "docs/a", "of ann northeast", user="ann", language="de")
            await put_text(store, "docs/b", "for all east", language="en")
            await _embed_all(store)
            expected = {
                "of ann northeast": Filter("ann"),
                "for all east": Filter(),
                "north": Filter("bob", metadata={"language": "en"}),
            }
            for text, only in expected.items():
                assert await _find(store, (0.0, 1.0), only, limit=1) == [text]
            assert await _find(store, (0.0, 1.0), Filter("ann", shared=False)) == ["of ann northeast"]
            assert await _find(store, (0.0, 1.0), Filter(metadata={"language": "de"})) == []
            both = await _find(store, (0.0, 1.0), Filter("ann", prefix="docs/"))
            assert both == ["of ann northeast", "for all east"]
            assert await find_sources(store, "north", Filter("ann")) == []

        self._with_store(check)
