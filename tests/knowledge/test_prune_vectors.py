"""Vectors of embedders that are not used any more are removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agno_rt import Knowledge, Runtime
from agno_rt.errors import UsageError
from agno_rt.knowledge import Document
from agno_rt.testing.knowledge.word_embedder import WordEmbedder


async def fill(store: str, *embedders: Any) -> None:
    """Store two passages with the vectors of the embedders."""
    async with Runtime() as rt:
        for embedder in embedders:
            opened = rt.knowledge(Knowledge(store, embedder=embedder))
            await opened.add(Document("a", "The fox."), Document("b", "The car."))
            await opened.embedded()


async def test_keeps_the_vectors_in_use(tmp_path: Path) -> None:
    """The knowledge's own vectors stay, and the named ones; a dry run counts and removes nothing."""
    store, new = f"sqlite:///{tmp_path}/kb.db", WordEmbedder(8, name="words:new")
    await fill(store, WordEmbedder(4, name="words:old"), WordEmbedder(6, name="words:kept"), new)
    async with Runtime() as rt:
        opened = rt.knowledge(Knowledge(store, embedder=new))
        assert await opened.prune_vectors(dry_run=True) == {"words:kept": 2, "words:old": 2}
        assert await opened.prune_vectors(keep=["words:kept"]) == {"words:old": 2}
        assert await opened.prune_vectors() == {"words:kept": 2}
        assert await opened.prune_vectors() == {}
        assert (await opened.status()).embedded == 2
        assert [hit.chunk.source for hit in await opened.search("fox", by="vectors", limit=1)] == ["a"]


async def test_an_embedder_out_of_reach_keeps_its_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the default embedder cannot be used, nothing is removed by mistake; `None` removes all."""
    monkeypatch.setenv("AGNO_RT_CACHE", str(tmp_path))  # no weights there
    store = f"sqlite:///{tmp_path}/kb.db"
    await fill(store, WordEmbedder(4, name="llamacpp:minilm"))
    async with Runtime() as rt:
        with pytest.raises(UsageError, match="cannot be used"):
            await rt.knowledge(Knowledge(store)).prune_vectors()
        everything = Knowledge(store, embedder=None)
        assert await rt.knowledge(everything).prune_vectors() == {"llamacpp:minilm": 2}
