"""Embeds texts in the background while searches by words answer already."""

from __future__ import annotations

from collections.abc import Callable

import trio

from agno_rt.errors import AgnoError
from agno_rt.knowledge.embedders import Embedder
from agno_rt.knowledge.store import KnowledgeStore

__all__ = ["BackgroundEmbedding"]

TEXTS = 64
"""The texts to embed before their vectors are stored: what a crash may cost."""


class BackgroundEmbedding:
    """A task that embeds the store's texts without vectors until none is left; at most a single task at a time.

    A text refused by the embedder is left without a vector; another failure ends the task, and the next `wake` tries
    again. Everything is remembered in the store alone, so a new process goes on where the last process stopped.
    """

    def __init__(
        self, store: KnowledgeStore, embedder: Embedder, start: Callable[[Callable[[], object]], None]
    ) -> None:
        self.error: AgnoError | None = None
        self.done = 0
        self._store = store
        self._embedder = embedder
        self._start = start
        self._scope: trio.CancelScope | None = None
        self._is_asked = False
        self._idle = trio.Event()
        self._idle.set()
        self._refused: set[str] = set()

    def wake(self) -> None:
        """Look for texts without vectors, in the background."""
        self._is_asked = True
        if self._scope is None:
            self._scope = trio.CancelScope()
            self._idle = trio.Event()
            self._start(self._work)

    def stop(self) -> None:
        """End the task; finished texts have their vectors."""
        if self._scope is not None:
            self._scope.cancel()

    async def wait(self) -> None:
        """Wait until every text has a vector. Raises the embedder's or the store's error."""
        await self._idle.wait()
        if self.error is not None:
            raise self.error

    async def _work(self) -> None:
        assert self._scope is not None
        try:
            with self._scope:
                await self._embed_all()
        finally:
            self._scope = None
            self._idle.set()

    async def _embed_all(self) -> None:
        self.error = None
        while self._is_asked:
            self._is_asked = False
            try:
                while texts := await self._find_texts():
                    await self._embed(texts)
            except AgnoError as exc:
                self.error = exc

    async def _find_texts(self) -> dict[str, str]:
        found = await self._store.pending(self._embedder.name, limit=TEXTS + len(self._refused))
        return {text.key: text.text for text in found if text.key not in self._refused}

    async def _embed(self, texts: dict[str, str]) -> None:
        keys = list(texts)
        try:
            answer = await self._embedder.embed([texts[key] for key in keys])
        except AgnoError as exc:
            if exc.http_status != 400 or len(keys) == 1:  # not a refusal of a text
                if exc.http_status != 400:
                    raise
                self._refused.update(keys)
                self.error = exc
                return
            half = len(keys) // 2
            await self._embed({key: texts[key] for key in keys[:half]})
            await self._embed({key: texts[key] for key in keys[half:]})
            return
        self.done += await self._store.add_vectors(self._embedder.name, dict(zip(keys, answer.vectors, strict=True)))
