"""The contract suite for knowledge stores. Subclass it in a test file, override `make_store`, run pytest."""

from __future__ import annotations

import attrs
import pytest
import trio

from agno_rt.errors import UsageError
from agno_rt.knowledge.copies import DocumentCopyStore
from agno_rt.knowledge.documents import Chunk, Document, Mark, Value, number_chunks
from agno_rt.knowledge.store import EVERYTHING, Filter, KnowledgeStore
from agno_rt.testing._checks import TEST_SECONDS
from agno_rt.testing._ownership import REFUSED_NAMES
from agno_rt.testing.cancelling import CancelPoint, cancel_everywhere
from agno_rt.testing.knowledge.checks import find_sources, list_sources, make_document, put_text
from agno_rt.testing.knowledge.searches import KnowledgeSearches
from agno_rt.testing.knowledge.vectors import KnowledgeVectors

__all__ = ["KnowledgeContract"]

SECTIONS = [f"Section {number} tells of {animal}." for number, animal in enumerate(
    ("ants", "bears", "cranes", "deer", "eagles", "foxes", "geese", "hares", "ibises", "jackals")
)]  # fmt: skip


class KnowledgeContract(KnowledgeSearches, KnowledgeVectors):
    """Rules for every `KnowledgeStore`. Override `make_store`: each test gets a new, empty store.

    Override `open_again` for a store that outlasts the backend, or is shared by several processes.
    """

    def test_is_a_knowledge_store(self) -> None:
        """The store has the methods of the protocol, and is empty at first."""

        async def check(store: KnowledgeStore) -> None:
            assert isinstance(store, KnowledgeStore)
            assert await store.documents() == []
            assert await store.search_words("anything") == []
            assert await store.search_vectors([1.0, 0.0], "toy/2") == []
            assert await store.pending("toy/2") == []
            assert await store.remove(["nothing"]) == 0
            size = await store.statistics()
            assert (size.documents, size.chunks, dict(size.vectors)) == (0, 0, {})

        self._with_store(check)

    def test_keeps_all_of_a_document(self) -> None:
        """Lists and hits have every field of the document and its chunk."""
        metadata: dict[str, Value] = {"language": "de", "year": 2024, "share": 0.5, "draft": False}
        text = "Erste Seite.\n\nZweite Seite über Füchse 🦊."
        document = Document(
            "docs/a b.md",
            text,
            title="Ein Titel",
            media_type="text/markdown",
            metadata=metadata,
            marks=[Mark(0, "page 1"), Mark(14, "page 2")],
        )
        second = Chunk(text[14:], start=14, end=len(text), headings=("Tiere", "Wild"))
        chunks = number_chunks(document, [Chunk("Erste Seite.", start=0, end=12), second])

        async def check(store: KnowledgeStore) -> None:
            await store.put(document, chunks, digest="abc")
            (info,) = await store.documents()
            assert (info.source, info.user, info.title) == ("docs/a b.md", None, "Ein Titel")
            assert (info.media_type, dict(info.metadata)) == ("text/markdown", metadata)
            assert [type(value) for value in info.metadata.values()] == [str, int, float, bool]
            assert (info.digest, info.chunks, info.characters) == ("abc", 2, len(text))
            assert info.added_at > 1_700_000_000
            (hit,) = await store.search_words("füchse")
            assert hit.chunk == chunks[1]
            assert hit.chunk.place == "page 2"
            assert (hit.user, hit.title, dict(hit.metadata)) == (None, "Ein Titel", metadata)
            assert "words" in hit.found_by

        self._with_store(check)

    def test_exports_documents(self) -> None:
        """A `DocumentCopyStore` returns a document as stored, of the right user, and puts it into a store again."""
        text = "One two.\n\nTwo three. 🦊\0"
        document = Document("a", text, title="T", metadata={"n": 1}, marks=[Mark(10, "page 2")])
        parts = [Chunk("One two.", start=0, end=8), Chunk("Two three. 🦊\0", start=10, end=23, headings=("H",))]
        many = [Chunk(f"part {number}", start=7 * number, end=7 * number + 6) for number in range(1_200)]

        async def check(store: KnowledgeStore) -> None:
            if not isinstance(store, DocumentCopyStore):
                pytest.skip("the store is not a DocumentCopyStore")
            await store.put(document, number_chunks(document, parts), digest="d", user="ann")
            await store.put(Document("a", "for everyone"), [])
            await store.put(Document("many", "x" * 8_400), number_chunks(Document("many", ""), many))
            found = await store.export_document("a", user="ann")
            assert found is not None
            assert (found.info, found.chunks) == (
                (await store.documents(Filter("ann", shared=False)))[0],
                list(number_chunks(document, parts)),
            )
            assert found.document == attrs.evolve(document, text=text.replace("\n", " "), marks=())
            shared = await store.export_document("a")
            assert shared is not None
            assert (shared.info.user, list(shared.chunks)) == (None, [])
            assert await store.export_document("a", user="bob") is None
            long = await store.export_document("many")
            assert long is not None
            assert [each.text for each in long.chunks] == [each.text for each in many]
            await store.put(found.document, found.chunks, digest="d", user="bob")
            copied = await store.export_document("a", user="bob")
            assert copied is not None
            assert list(copied.chunks) == list(found.chunks)
            assert copied.info == attrs.evolve(found.info, user="bob", added_at=copied.info.added_at)

        self._with_store(check)

    def test_a_document_without_chunks(self) -> None:
        """A blank document is listed, with its digest, and never found."""

        async def check(store: KnowledgeStore) -> None:
            await store.put(Document("empty.md", " "), (), digest="1")
            assert [(info.source, info.chunks) for info in await store.documents()] == [("empty.md", 0)]
            assert await store.digests(["empty.md"]) == {"empty.md": "1"}

        self._with_store(check)

    def test_a_new_version_replaces_the_old_one(self) -> None:
        """After a put of the same source, nothing of the old version is found or counted, however long it was."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a.md", *SECTIONS)
            await put_text(store, "other.md", "Jackals again.")
            await put_text(store, "a.md", *SECTIONS[:3])
            assert await find_sources(store, "jackals ibises") == ["other.md"]
            assert await find_sources(store, "cranes") == ["a.md"]
            size = await store.statistics()
            assert (size.documents, size.chunks) == (2, 4)
            await put_text(store, "a.md", *SECTIONS)
            await put_text(store, "a.md", " ".join(SECTIONS[:5]), " ".join(SECTIONS[5:]))
            assert (await store.statistics()).chunks == 3
            hits = await store.search_words("jackals", limit=50)
            assert sorted((hit.chunk.source, hit.chunk.number) for hit in hits) == [("a.md", 1), ("other.md", 0)]

        self._with_store(check)

    def test_digests_tell_what_changed(self) -> None:
        """Digests are returned by source for one user; unknown sources, and other users' documents, are left out."""

        async def check(store: KnowledgeStore) -> None:
            for number in range(30):
                await store.put(*make_document(f"{number}.md", ["text"]), digest=f"d{number}")
            await store.put(*make_document("1.md", ["text"]), digest="of ann", user="ann")
            sources = [f"{number}.md" for number in range(40)]
            found = await store.digests(sources)
            assert found == {f"{number}.md": f"d{number}" for number in range(30)}
            assert await store.digests(sources, user="ann") == {"1.md": "of ann"}
            assert await store.digests([]) == {}
            await store.put(*make_document("1.md", ["text"]), digest="new")
            assert await store.digests(["1.md"]) == {"1.md": "new"}

        self._with_store(check)

    def test_removes_documents(self) -> None:
        """Removed documents are gone from lists and searches, and others stay."""

        async def check(store: KnowledgeStore) -> None:
            for name in "abc":
                await put_text(store, name, f"The letter {name * 3}.")
            assert await store.remove(["a", "b", "missing", "a"]) == 2
            assert await list_sources(store) == ["c"]
            assert await find_sources(store, "letter") == ["c"]
            assert await store.remove(["a"]) == await store.remove([]) == 0
            assert (await store.statistics()).chunks == 1
            await put_text(store, "a", "Back again.")
            assert await list_sources(store) == ["a", "c"]

        self._with_store(check)

    def test_users_have_nothing_in_common(self) -> None:
        """Nobody lists, finds or removes another user's documents, even with equal sources or similar names."""
        others = ("bob", "Ann", "ann ", "ann%", "a_n", "an", "{ann}", "ann|bob", "*")

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "notes", "The secret of ann.", user="ann")
            for other in others:
                assert await store.search_words("secret", Filter(other)) == []
                assert await store.documents(Filter(other)) == []
                assert await store.digests(["notes"], user=other) == {}
                assert await store.remove(["notes"], user=other) == 0
            assert await store.search_words("secret", Filter()) == []
            assert await store.documents(Filter()) == []
            assert await store.remove(["notes"]) == 0
            await put_text(store, "notes", "The secret of bob.", user="bob")
            await put_text(store, "notes", "The secret of all.")
            assert (await store.statistics()).documents == 3
            await self._check_sight(store)
            assert await store.remove(["notes"], user="bob") == 1
            assert sorted(hit.user or "" for hit in await store.search_words("secret")) == ["", "ann"]

        self._with_store(check)

    async def _check_sight(self, store: KnowledgeStore) -> None:
        """Check the sight of each user on the documents of ann, of bob and for everyone."""
        seen: list[tuple[Filter, set[str | None]]] = [
            (Filter(), {None}),
            (Filter("ann"), {None, "ann"}),
            (Filter("ann", shared=False), {"ann"}),
            (EVERYTHING, {None, "ann", "bob"}),
        ]
        for only, users in seen:
            hits = await store.search_words("secret", only)
            assert {hit.user for hit in hits} == users
            assert {info.user for info in await store.documents(only)} == users
            assert all(hit.chunk.text == f"The secret of {hit.user or 'all'}." for hit in hits)

    def test_refuses_names_that_are_none(self) -> None:
        """Users' names that `check_name` refuses are refused, and nothing is stored."""

        async def check(store: KnowledgeStore) -> None:
            for name in REFUSED_NAMES:
                with pytest.raises(UsageError):
                    await put_text(store, "a", "text", user=name)
            assert await store.documents() == []

        self._with_store(check)

    def test_lists_in_pages(self) -> None:
        """Lists have the order of code points, the document for everyone before those of users, and go on."""
        sources = sorted(["B", "a", "a b", "a/b", "a_b", "á", "z", "Ω", "東京", "🦊", "10", "9"])

        async def check(store: KnowledgeStore) -> None:
            for source in reversed(sources):
                await put_text(store, source, "text")
            for user in ("zoe", "ann"):
                await put_text(store, "a", "text", user=user)
            whole = await store.documents(limit=100)
            assert list(dict.fromkeys(info.source for info in whole)) == sources
            assert [info.user for info in whole if info.source == "a"] == [None, "ann", "zoe"]
            paged, after = [], None
            while page := await store.documents(after=after, limit=5):
                assert len(page) <= 5
                paged += page
                after = page[-1].source, page[-1].user
            assert paged == whole
            assert len(await store.documents(Filter("ann"))) == len(sources) + 1

        self._with_store(check)

    def test_concurrent_adds_leave_one_whole_version(self) -> None:
        """Twenty concurrent puts of two versions of a source leave exactly one of the two, whole."""
        versions = [f"old {part}" for part in SECTIONS], [f"new {part}" for part in SECTIONS[:4]]

        async def check(store: KnowledgeStore) -> None:
            again = self.open_again() or store
            try:
                async with trio.open_nursery() as nursery:
                    for at in range(20):
                        put = (store, again)[at // 2 % 2].put
                        nursery.start_soon(put, *make_document("a.md", versions[at % 2]))
                hits = await store.search_words("section", limit=100)
                found = {hit.chunk.number: hit.chunk.text for hit in hits}
                assert len(found) == len(hits)
                assert [found[number] for number in sorted(found)] in versions
                assert (await store.statistics()).chunks == len(hits)
                assert [info.chunks for info in await store.documents()] == [len(hits)]
            finally:
                if again is not store:
                    await again.aclose()

        self._with_store(check)

    def test_a_cancelled_put_leaves_one_whole_version(self) -> None:
        """Cancelled at any point, a put has stored the whole new version or left the whole old one."""

        async def scenario(point: CancelPoint) -> None:
            store = self.make_store()
            try:
                with trio.fail_after(TEST_SECONDS):
                    await put_text(store, "a.md", *SECTIONS)
                    with point:
                        await put_text(store, "a.md", *SECTIONS[:3])
                    hits = await store.search_words("section", limit=100)
                    assert len(hits) in ((3, 10) if point.caught else (3,))
                    assert (await store.statistics()).chunks == len(hits)
                    await put_text(store, "a.md", *SECTIONS[:5])
                    assert (await store.statistics()).chunks == 5
            finally:
                await store.aclose()

        cancel_everywhere(scenario)

    def test_a_cancelled_removal_leaves_all_or_nothing(self) -> None:
        """Cancelled at any point, a removal has removed all named documents, or none."""

        async def scenario(point: CancelPoint) -> None:
            store = self.make_store()
            try:
                with trio.fail_after(TEST_SECONDS):
                    for name in "abc":
                        await put_text(store, name, f"The letter {name}.")
                    with point:
                        await store.remove(["a", "b"])
                    left = await list_sources(store)
                    assert left in ([["c"], ["a", "b", "c"]] if point.caught else [["c"]])
                    assert await find_sources(store, "letter") == left or set(left) == {"a", "b", "c"}
            finally:
                await store.aclose()

        cancel_everywhere(scenario)

    def test_a_large_document(self) -> None:
        """A document of 2,000 chunks, and a chunk of a megabyte, are stored and found whole."""
        long = "lorem ipsum " * 80_000

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "many", *(f"part p{number} of many" for number in range(2_000)))
            await put_text(store, "long", f"{long}needle")
            (hit,) = await store.search_words("p1999")
            assert hit.chunk.number == 1_999
            assert len(await store.search_words("many", limit=50)) == 50
            (hit,) = await store.search_words("needle")
            assert hit.chunk.text == f"{long}needle"

        self._with_store(check)

    def test_documents_outlast_the_backend(self) -> None:
        """In a lasting store, documents and vectors are there after a reopening, and texts without vectors, too."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "first text", "second text", user="ann")
            texts = await store.pending("toy/2")
            (first,) = [pending for pending in texts if pending.text == "first text"]
            await store.add_vectors("toy/2", {first.key: [0.0, 1.0]})

        async def then(store: KnowledgeStore) -> None:
            assert [pending.text for pending in await store.pending("toy/2")] == ["second text"]
            (hit,) = await store.search_vectors([0.0, 1.0], "toy/2", Filter("ann"))
            assert (hit.chunk.text, hit.user) == ("first text", "ann")
            assert len(await store.search_words("text", Filter("ann"))) == 2

        self._with_store_again(check, then)
