"""The base of the contract for knowledge stores, and documents to store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from agno_rt.knowledge.documents import Chunk, Document, Value, number_chunks
from agno_rt.knowledge.store import EVERYTHING, Filter, KnowledgeStore
from agno_rt.testing._checks import run_check

__all__ = ["KnowledgeChecks", "find_sources", "list_sources", "make_document", "put_text"]


class KnowledgeChecks:
    """The base of the parts of `KnowledgeContract`: each check gets an empty store, which is closed afterwards."""

    def make_store(self) -> KnowledgeStore:
        """Make an empty store; it is closed after each test."""
        raise NotImplementedError("override make_store")

    def open_again(self) -> KnowledgeStore | None:
        """Open the store of the last `make_store` once more. Override for a store that outlasts its backend.

        The two may be open at the same time. None for a store that forgets everything when closed.
        """
        return None

    def _with_store(self, check: Callable[[KnowledgeStore], Awaitable[None]]) -> None:
        run_check(self.make_store, check)

    def _with_store_again(
        self,
        check: Callable[[KnowledgeStore], Awaitable[None]],
        then: Callable[[KnowledgeStore], Awaitable[None]],
    ) -> None:
        """Run `check`; then run `then` with the reopened store, if the store outlasts its backend."""
        run_check(self.make_store, check)
        again = self.open_again()
        if again is not None:
            run_check(lambda: again, then)


def make_document(source: str, parts: Sequence[str], **metadata: Value) -> tuple[Document, tuple[Chunk, ...]]:
    """Make a document of parts, one chunk each."""
    text = "\n\n".join(parts)
    document = Document(source, text, title=f"About {source}", metadata=metadata)
    chunks, start = [], 0
    for part in parts:
        chunks.append(Chunk(part, start=start, end=start + len(part)))
        start += len(part) + 2
    return document, number_chunks(document, chunks)


async def put_text(store: KnowledgeStore, source: str, *parts: str, user: str | None = None, **metadata: Value) -> None:
    """Store a document of parts, one chunk each."""
    await store.put(*make_document(source, parts, **metadata), user=user)


async def find_sources(store: KnowledgeStore, query: str, filter: Filter = EVERYTHING, *, limit: int = 10) -> list[str]:
    """Return the sources of the hits of a search by words, the best first, each once."""
    found = await store.search_words(query, filter, limit=limit)
    return list(dict.fromkeys(hit.chunk.source for hit in found))


async def list_sources(store: KnowledgeStore, filter: Filter = EVERYTHING) -> list[str]:
    """Return the sources of the documents of a list."""
    return [info.source for info in await store.documents(filter)]
