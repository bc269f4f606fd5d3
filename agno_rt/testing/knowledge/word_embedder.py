"""An embedder and a reranker without a model, for tests: texts with the same words are near each other."""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Sequence

import trio

from agno_rt.knowledge.embedders import EmbedderProfile, Embeddings, Purpose, check_texts, unit_vector
from agno_rt.knowledge.rerankers import Ranked, check_ranking
from agno_rt.messages import Usage

__all__ = ["WordEmbedder", "WordReranker"]

_WORD = re.compile(r"\w+")


class WordEmbedder:
    """An embedder that counts words: each word has one of `dimensions` places, by its checksum.

    The same text has the same vector in every process. `calls` has the texts of each call. With `max_tokens`, longer
    texts are cut at as many words.
    """

    def __init__(self, dimensions: int = 64, *, name: str = "", max_tokens: int | None = None) -> None:
        self.name = name or f"words:{dimensions}"
        self.dimensions = dimensions
        self.profile = EmbedderProfile(max_tokens=max_tokens, too_long="cut", note="Counts words, for tests.")
        self.calls: list[tuple[str, ...]] = []

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """Return the vectors of the texts. Raises `UsageError` for a blank text."""
        check_texts(texts)
        await trio.lowlevel.checkpoint()
        self.calls.append(tuple(texts))
        words = [split_words(text) for text in texts]
        most = self.profile.max_tokens
        cut = () if most is None else tuple(at for at, each in enumerate(words) if len(each) > most)
        usage = Usage(input_tokens=sum(len(each[:most]) for each in words))
        return Embeddings([self._count(each[:most]) for each in words], usage, cut)

    def _count(self, words: Sequence[str]) -> array[float]:
        counts = [0.0] * self.dimensions
        for word in words:
            counts[zlib.crc32(word.encode("utf-8", "replace")) % self.dimensions] += 1.0
        return unit_vector(counts)


class WordReranker:
    """A reranker that counts the words which a text shares with the query. `calls` has each query with its texts."""

    def __init__(self, name: str = "words:rerank") -> None:
        self.name = name
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    async def rerank(self, query: str, texts: Sequence[str], *, top: int | None = None) -> list[Ranked]:
        """Return the best texts. Raises `UsageError` for a blank query."""
        check_ranking(query, texts, top)
        await trio.lowlevel.checkpoint()
        self.calls.append((query, tuple(texts)))
        asked = set(split_words(query))
        ranked = [Ranked(at, len(asked.intersection(split_words(text))) / len(asked)) for at, text in enumerate(texts)]
        return sorted(ranked, key=lambda each: -each.score)[:top]


def split_words(text: str) -> list[str]:
    """Return the words of a text in small letters; the whole text if it has none."""
    return _WORD.findall(text.lower()) or [text]
