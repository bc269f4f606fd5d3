"""Knowledge on one SQLite file: adding, and searches by words, by vectors and by both at 10,000 and 100,000 chunks.

Words have the frequencies of a natural language (Zipf's law), six to a query. Vectors are random, of 384 dimensions:
exact search takes the same time for any vectors.
"""

from __future__ import annotations

import itertools
import random
import statistics
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from agno_rt import Runtime

from .common import Parts, few, measured_in, sizes

with Parts() as setup:
    from agno_rt import Knowledge
    from agno_rt.knowledge import Chunk, Document
    from agno_rt.knowledge.documents import number_chunks
    from agno_rt.knowledge.store import KnowledgeStore
    from agno_rt.plugins import PluginHost

DIMENSIONS = 384
SPACE = "random/384"
TOGETHER = 100
QUERIES = few(40)
FILES, FILE_CHARACTERS = few(1_000, 50), 10_000

VOCABULARY = [f"word{number}" for number in range(50_000)]
WEIGHTS = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(VOCABULARY))))


def make_text(chance: random.Random, words: int) -> str:
    """Return a text of words with the frequencies of a natural language."""
    return " ".join(chance.choices(VOCABULARY, cum_weights=WEIGHTS, k=words))


def make_vector(chance: random.Random) -> array[float]:
    """Return a random vector."""
    return array("f", (chance.gauss(0, 1) for _ in range(DIMENSIONS)))


async def fill_store(store: KnowledgeStore, chunks: int) -> None:
    """Add documents of a hundred chunks, with vectors. A few vectors are used many times over."""
    chance = random.Random(0)
    vectors = [make_vector(chance) for _ in range(1_000)]

    async def put(number: int) -> None:
        parts = [make_text(chance, 100) for _ in range(TOGETHER)]
        document = Document(f"{number}.md", " ".join(parts))
        await store.put(document, number_chunks(document, [Chunk(part) for part in parts]))

    for at in range(0, chunks // TOGETHER, 50):
        async with trio.open_nursery() as nursery:
            for number in range(at, min(at + 50, chunks // TOGETHER)):
                nursery.start_soon(put, number)
    while texts := await store.pending(SPACE, limit=10_000):
        await store.add_vectors(SPACE, {text.key: chance.choice(vectors) for text in texts})


async def median_ms(search: Callable[[], Awaitable[object]]) -> float:
    """Return the median time of a search in milliseconds, after a first one that reads the file."""
    times = []
    for _ in range(QUERIES + 1):
        start = time.perf_counter()
        await search()
        times.append(time.perf_counter() - start)
    return 1_000 * statistics.median(times[1:])


class Searches:
    """One search at a time, 50 hits for each ranker."""

    params = sizes(10_000, 100_000)
    param_names = ("chunks",)
    timeout = 900

    def setup_cache(self) -> dict[int, str]:
        """Fill a file for each size."""
        folder = Path(tempfile.mkdtemp())
        urls = {chunks: f"sqlite:///{folder / f'{chunks}.db'}" for chunks in self.params}

        async def fill() -> None:
            for chunks, url in urls.items():
                store = PluginHost().knowledge(url, {})
                await fill_store(store, chunks)
                await store.aclose()

        trio.run(fill)
        return urls

    def _measure(self, url: str, *, words: bool, vectors: bool) -> float:
        async def main() -> float:
            store, chance = PluginHost().knowledge(url, {}), random.Random(1)
            vector = make_vector(chance)

            async def search() -> None:
                query = make_text(chance, 6)
                async with trio.open_nursery() as nursery:
                    if words:
                        nursery.start_soon(lambda: store.search_words(query, limit=50))
                    if vectors:
                        nursery.start_soon(lambda: store.search_vectors(vector, SPACE, limit=50))

            try:
                return await median_ms(search)
            finally:
                await store.aclose()

        return trio.run(main)

    @measured_in("ms")
    def track_words(self, urls: dict[int, str], chunks: int) -> float:
        """By words."""
        return self._measure(urls[chunks], words=True, vectors=False)

    @measured_in("ms")
    def track_vectors(self, urls: dict[int, str], chunks: int) -> float:
        """By vectors."""
        return self._measure(urls[chunks], words=False, vectors=True)

    @measured_in("ms")
    def track_both(self, urls: dict[int, str], chunks: int) -> float:
        """By words and by vectors, at the same time."""
        return self._measure(urls[chunks], words=True, vectors=True)


class Adding:
    """A folder of 1,000 Markdown files, 10 MB together, searched by words alone."""

    timeout = 300

    def setup(self) -> None:
        """Write the files."""
        self._folder = tempfile.TemporaryDirectory()
        chance = random.Random(0)
        for number in range(FILES):
            parts = [f"## Part {part}\n\n{make_text(chance, 110)}" for part in range(10)]
            Path(self._folder.name, f"{number}.md").write_text("\n\n".join(parts)[:FILE_CHARACTERS])

    def teardown(self) -> None:
        """Delete the files."""
        self._folder.cleanup()

    def _add(self, times: int) -> float:
        async def main() -> float:
            with tempfile.TemporaryDirectory() as folder:
                kb = Knowledge(f"sqlite:///{folder}/kb.db", embedder=None)
                async with Runtime() as runtime:
                    for _ in range(times):
                        start = time.perf_counter()
                        await runtime.knowledge(kb).add(self._folder.name)
                        taken = time.perf_counter() - start
                return taken

        return trio.run(main)

    @measured_in("s")
    def track_first_time(self) -> float:
        """Into an empty store."""
        return self._add(1)

    @measured_in("s")
    def track_again(self) -> float:
        """Once more, unchanged."""
        return self._add(2)
