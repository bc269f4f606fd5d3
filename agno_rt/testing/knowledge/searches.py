"""The part of `KnowledgeContract` on searches by words, and on filters."""

from __future__ import annotations

import pytest

from agno_rt.knowledge.documents import Chunk, Document, number_chunks
from agno_rt.knowledge.store import Filter, KnowledgeStore
from agno_rt.testing.knowledge.checks import KnowledgeChecks, find_sources, list_sources, put_text

__all__ = ["HOSTILE_QUERIES", "KnowledgeSearches"]

HOSTILE_QUERIES = (
    "BENCH-100821", "don't", "a::b", '"x', "(", ")", "NEAR", "NEAR(one two, 5)", "AND", "OR", "NOT", "one AND", "*",
    "-", "-one", "one*", "text:one", "{text} : one", "^one", "a+b", "%_", "100%", "\\", "';--", "one; DROP TABLE x",
    "@text:{one}", "$where", "[one]", "🦊", "~one|two", "<->", "!!", "&one&", "=>[KNN 2 @v $b]", "?", "co-op's",
)  # fmt: skip
"""Queries with characters and words that are syntax in the query language of one database or another."""

SCRIPTS = {
    "zh": ("机器学习需要大量的数据。", "大量", "天气"),
    "ja": ("東京の天気は晴れです。", "天気", "大量"),
    "th": ("วันนี้อากาศดีมาก", "อากาศ", "แมว"),
    "ko": ("오늘 날씨가 맑습니다.", "날씨", "고양이"),
    "de": ("Die Größe des Hauses.", "GRÖSSE", "Katze"),
    "el": ("Καλός καιρός στην Αθήνα", "ΑΘΉΝΑ", "γάτα"),
    "ru": ("Погода сегодня хорошая", "ПОГОДА", "кошка"),
    "ar": ("الطقس اليوم جميل", "الطقس", "قطة"),
    "hi": ("आज मौसम अच्छा है", "मौसम", "बिल्ली"),
    "high": ("𠮷野家 and 𐍈 are beyond the first plane", "𠮷野", "𡈽"),
}
"""Per script: a text, a query that finds it, and a query that does not."""


class KnowledgeSearches(KnowledgeChecks):
    """Rules for the searches by words, and for the filters, of every `KnowledgeStore`."""

    def test_finds_by_words(self) -> None:
        """A query finds the chunks with its words in any case; more of the words, and rarer words, come first."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "both", "A red fox ran through the forest.")
            await put_text(store, "one", "A red house stood in the red street.")
            await put_text(store, "none", "Nothing of the kind.")
            for number in range(5):
                await put_text(store, f"other{number}", f"Some red text {number}.")
            assert (await find_sources(store, "RED Fox?"))[0] == "both"
            assert await find_sources(store, "fox") == ["both"]
            assert await find_sources(store, "giraffe") == []
            hits = await store.search_words("red", limit=3)
            assert len(hits) == 3
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

        self._with_store(check)

    def test_words_stay_whole(self) -> None:
        """A part of a word in a script with spaces finds nothing."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "The cathedral is old.")
            assert await find_sources(store, "cat") == await find_sources(store, "thedra") == []
            assert await find_sources(store, "cathedral") == ["a"]

        self._with_store(check)

    def test_finds_by_headings(self) -> None:
        """The headings above a chunk are searched with its text."""

        async def check(store: KnowledgeStore) -> None:
            document = Document("a.md", "It takes a minute.")
            await store.put(document, number_chunks(document, [Chunk(document.text, headings=("Set up", "Linux"))]))
            (hit,) = await store.search_words("linux")
            assert (hit.chunk.text, hit.chunk.headings) == ("It takes a minute.", ("Set up", "Linux"))

        self._with_store(check)

    def test_no_query_is_syntax(self) -> None:
        """Every character of a query is literal: no error, and a hit where the text has the query."""

        async def check(store: KnowledgeStore) -> None:
            for at, query in enumerate(HOSTILE_QUERIES):
                await put_text(store, f"doc {at}", f"Before {query} after.")
            await put_text(store, "plain", "Nothing special here.")
            for at, query in enumerate(HOSTILE_QUERIES):
                found = await find_sources(store, query, limit=100)
                assert f"doc {at}" in found, f"{query!r} finds {found}"
                assert "plain" not in found, f"{query!r} finds the plain text"

        self._with_store(check)

    @pytest.mark.parametrize("query", ["", " ", "\n\t", "\u3000", "\x00", "\ud800", "\u200b"])
    def test_a_blank_query_finds_nothing(self, query: str) -> None:
        """A query without visible characters finds nothing, and raises nothing."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "Some text \x00 with \ud800 everything \u200b in it.")
            assert await store.search_words(query) == []

        self._with_store(check)

    def test_a_long_query(self) -> None:
        """A pasted book is a query as any other."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "The whale surfaced.")
            assert await find_sources(store, "whale " + "other words of a book " * 20_000) == ["a"]
            assert await find_sources(store, "whale" * 50_000) == []

        self._with_store(check)

    @pytest.mark.parametrize("script", sorted(SCRIPTS))
    def test_finds_in_every_script(self, script: str) -> None:
        """Words are found in scripts with and without spaces, and beyond the first plane of Unicode."""
        text, finds, misses = SCRIPTS[script]

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", text)
            await put_text(store, "b", "An English text.")
            assert await find_sources(store, finds) == ["a"]
            assert await find_sources(store, misses) == []
            (hit,) = await store.search_words(finds)
            assert hit.chunk.text == text

        self._with_store(check)

    def test_keeps_every_character(self) -> None:
        """Characters of all planes come back as they were; NUL and half surrogate pairs as U+FFFD."""
        text = "word " + "".join(chr(code) for code in range(1, 0x11_0000, 257) if not 0xD800 <= code < 0xE000)

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", text)
            await put_text(store, "b", "word with \x00 and \ud83d.", note="a\x00b")
            found = {hit.chunk.source: hit for hit in await store.search_words("word")}
            assert found["a"].chunk.text == text
            assert found["b"].chunk.text == "word with \ufffd and \ufffd."
            assert found["b"].metadata["note"] == "a\ufffdb"

        self._with_store(check)

    def test_filters_by_metadata(self) -> None:
        """A filter's values are compared exactly and by type; of a list of values, any fits."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "common", language="de", year=2024, draft=True, **{"a key.with-signs'": "x"})
            await put_text(store, "b", "common", language="en", year=2023, draft=False)
            await put_text(store, "c", "common", language="DE", year="2024", draft="True", share=0.5)
            await put_text(store, "d", "common")
            expected: list[tuple[Filter, list[str]]] = [
                (Filter(metadata={"language": "de"}), ["a"]),
                (Filter(metadata={"language": ("de", "en")}), ["a", "b"]),
                (Filter(metadata={"language": []}), []),
                (Filter(metadata={"year": 2024}), ["a"]),
                (Filter(metadata={"year": "2024"}), ["c"]),
                (Filter(metadata={"draft": True}), ["a"]),
                (Filter(metadata={"draft": False}), ["b"]),
                (Filter(metadata={"draft": 1}), []),
                (Filter(metadata={"share": 0.5}), ["c"]),
                (Filter(metadata={"language": "de", "year": 2023}), []),
                (Filter(metadata={"language": "de", "year": 2024}), ["a"]),
                (Filter(metadata={"missing": "x"}), []),
                (Filter(metadata={"a key.with-signs'": "x"}), ["a"]),
                (Filter(metadata={"language": "' OR 1=1 --"}), []),
                (Filter(), ["a", "b", "c", "d"]),
            ]
            for only, sources in expected:
                assert sorted(await find_sources(store, "common", only)) == sources, only
                assert await list_sources(store, only) == sources, only

        self._with_store(check)

    def test_filters_by_the_beginning_of_the_source(self) -> None:
        """A prefix is compared character by character: case counts, and no sign is a wildcard."""

        async def check(store: KnowledgeStore) -> None:
            for source in ("docs/a.md", "docs/sub/b.md", "Docs/c.md", "docs_x/d.md", "docs%/e.md", "*/f.md"):
                await put_text(store, source, "common")
            expected = {
                "docs/": ["docs/a.md", "docs/sub/b.md"],
                "docs_": ["docs_x/d.md"],
                "docs%": ["docs%/e.md"],
                "*/": ["*/f.md"],
                "docs/a.md": ["docs/a.md"],
                "none": [],
            }
            for prefix, sources in expected.items():
                assert sorted(await find_sources(store, "common", Filter(prefix=prefix))) == sources
                assert sorted(await list_sources(store, Filter(prefix=prefix))) == sources

        self._with_store(check)

    def test_a_filter_does_not_hide_hits_behind_others(self) -> None:
        """A filter applies before the limit: hundreds of better chunks of others do not push out a fitting chunk."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "mine", "fox and many other words make this chunk a worse one", user="ann", team="x")
            await put_text(store, "many", *["fox fox fox"] * 300, user="bob")
            for only in (Filter("ann"), Filter("ann", metadata={"team": "x"}), Filter("ann", prefix="mi")):
                assert await find_sources(store, "fox", only, limit=3) == ["mine"]

        self._with_store(check)

    def test_the_same_text_twice(self) -> None:
        """Equal texts, within one document and in two, are stored each; a removal takes the text of its document."""

        async def check(store: KnowledgeStore) -> None:
            await put_text(store, "a", "the same fox", "the same fox")
            await put_text(store, "b", "the same fox")
            size = await store.statistics()
            assert (size.documents, size.chunks) == (2, 3)
            hits = await store.search_words("fox")
            assert sorted((hit.chunk.source, hit.chunk.number) for hit in hits) == [("a", 0), ("a", 1), ("b", 0)]
            await store.remove(["a"])
            assert await find_sources(store, "fox") == ["b"]

        self._with_store(check)
