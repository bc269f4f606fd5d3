"""An embedder with vectors to tell by hand: a dimension for each topic."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import trio

from agno_rt.errors import ModelError, UsageError
from agno_rt.knowledge.embedders import EmbedderProfile, Embeddings, Purpose

TOPICS = ("animal", "vehicle", "food")
WORDS = {
    "fox": "animal", "cat": "animal", "creature": "animal", "car": "vehicle", "automobile": "vehicle",
    "soup": "food", "dish": "food",
}  # fmt: skip


class ToyEmbedder:
    """Counts the words of three topics. A gate holds requests back until it is opened; `failures` fail first."""

    name = "toy:topics"
    dimensions = len(TOPICS)

    def __init__(self, *, languages: Sequence[str] = (), gate: trio.Event | None = None, failures: int = 0) -> None:
        self.profile = EmbedderProfile(languages=tuple(languages))
        self.texts: list[str] = []
        self.queries: list[str] = []
        self.gate = gate
        self.failures = failures

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """See `Embedder.embed`."""
        await trio.lowlevel.checkpoint()
        if self.gate is not None and purpose == "document":
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise ModelError("the toy is broken")
        if any("unembeddable" in text for text in texts):
            raise UsageError("a text is unembeddable")
        (self.queries if purpose == "query" else self.texts).extend(texts)
        return Embeddings([_count_topics(text) for text in texts])


def _count_topics(text: str) -> array[float]:
    topics = [WORDS.get(word.strip(".,?!#").lower(), "") for word in text.split()]
    counts = [float(topics.count(topic)) for topic in TOPICS]
    return array("f", counts if any(counts) else [1.0] * len(TOPICS))
