"""A knowledge that a runtime has opened: add, search, list, remove."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, TypeAlias

import attrs
import trio

from agno_rt._drive.scopes import raise_first
from agno_rt._retrieval.fuse import VECTORS_WEIGHT, fuse, merge_equal
from agno_rt._retrieval.languages import share_of_vectors
from agno_rt.errors import ModelError, UsageError
from agno_rt.knowledge.copies import DocumentCopy, DocumentCopyStore
from agno_rt.knowledge.documents import DocumentInfo, Hit, Metadata
from agno_rt.knowledge.embedders import embedder_profile
from agno_rt.knowledge.store import Filter
from agno_rt.knowledge.words import query_words
from agno_rt.library.adding import Item, add_items
from agno_rt.library.citations import TOOL, Citation, ShownPassages, list_citations
from agno_rt.library.embedding import BackgroundEmbedding
from agno_rt.library.parts import Added, KnowledgeParts, KnowledgeStatus, OnProgress
from agno_rt.result import RunResult

__all__ = ["OpenKnowledge", "Ranker"]

Ranker: TypeAlias = Literal["both", "words", "vectors"]

CANDIDATES = 50
"""The hits of each ranker that are fused."""
RERANKED = 30
"""The best hits that a reranker sorts once more."""
RUNS = 1_000
"""The runs whose passages are remembered with offsets and metadata."""
MAX_QUERY = 2_000
"""The most characters of a query to embed: a small embedder reads no more."""


class OpenKnowledge:
    """A `Knowledge` as a runtime has opened it: `rt.knowledge(kb)`. Any number of tasks may share it.

    Every method raises `BackendError` if the store cannot be used.
    """

    def __init__(self, parts: KnowledgeParts) -> None:
        self._parts = parts
        self._embedding: BackgroundEmbedding | None = None
        if parts.embedder is not None:
            self._embedding = BackgroundEmbedding(parts.store, parts.embedder, parts.start)
            self._embedding.wake()
        self._shown: OrderedDict[str, ShownPassages] = OrderedDict()
        self.tools = {TOOL}
        self._failure = ""

    async def add(
        self,
        *items: Item,
        user: str | None = None,
        metadata: Metadata | None = None,
        on_progress: OnProgress | None = None,
    ) -> Added:
        """Add files, folders, URLs and documents, for everyone or for a `user`, and return the outcomes.

        A pattern such as `docs/**/*.md` adds its files. Bytes from elsewhere, such as an upload, are added as
        `Unread("a.pdf", data=b"...")`. Unchanged files are neither read nor stored again; files missing from an added
        folder are removed, and those of a pattern are not. A file that cannot be read is among the `failed`, and the
        others are added all the same.
        Words are found at once; vectors follow in the background (see `embedded`).

        Raises `NotFound` for a path that does not exist, and `UsageError` for a user or metadata that cannot be stored.
        """
        added = await add_items(self._parts, items, user, metadata or {}, on_progress)
        # After a failure, also if nothing has changed: whoever adds again wants the vectors.
        if self._embedding is not None and (added.added or self._embedding.error is not None):
            self._embedding.wake()
        return added

    async def search(
        self, query: str, filter: Filter | None = None, *, limit: int = 8, by: Ranker = "both"
    ) -> list[Hit]:
        """Return the passages that fit the query best, among the documents for everyone, or as the `filter` says.

        `by` names a single ranker, to compare. Passages of the same text are a single hit with all sources. If the
        embedder fails, the search is by words alone, and `status` says so.

        Raises `UsageError` for a limit below 1, and for a search by vectors without an embedder.
        """
        if type(limit) is not int or limit < 1:
            raise UsageError(f"the limit of a search is {limit!r}", hint="Give a whole number of at least 1.")
        if by not in ("both", "words", "vectors"):
            raise UsageError(f"by of a search is {by!r}", hint="Give 'both', 'words' or 'vectors'.")
        if by == "vectors" and self._parts.embedder is None:
            raise UsageError("this knowledge has no embedder", hint=self._parts.notice or "Name one: embedder=....")
        if not query.strip():
            return []
        count = max(CANDIDATES, limit)
        rankings = await self._rank(query, filter or Filter(), count, by)
        hits = merge_equal(rankings[0][0]) if len(rankings) == 1 else fuse(rankings, count)
        if self._parts.reranker is not None:
            hits = await self._rerank(query, hits[:RERANKED])
        return hits[:limit]

    async def documents(
        self, filter: Filter | None = None, *, after: tuple[str, str | None] | None = None, limit: int = 100
    ) -> list[DocumentInfo]:
        """List the documents for everyone, or as the `filter` says, by source; see `KnowledgeStore.documents`."""
        return await self._parts.store.documents(filter or Filter(), after=after, limit=limit)

    async def export_document(self, source: str, *, user: str | None = None) -> DocumentCopy | None:
        """Return a document for everyone, or of the `user`, with all passages; None for an unknown document.

        Raises `UsageError` for a store that gives no document away.
        """
        store = self._parts.store
        if not isinstance(store, DocumentCopyStore):
            hint = "Add the files to the other store: agno-rt knowledge add PATH."
            raise UsageError(f"the store {type(store).__name__} cannot export documents", hint=hint)
        return await store.export_document(source, user=user)

    async def import_document(self, copy: DocumentCopy) -> bool:
        """Store a document of another store, with its passages and digest; return whether the document was new.

        Vectors follow in the background (see `embedded`). Raises `UsageError` for a user that cannot be stored, and,
        changing nothing, if the user has another version of the source.
        """
        info, store = copy.info, self._parts.store
        known = await store.digests([info.source], user=info.user)
        if info.source in known:
            if known[info.source] == info.digest:
                return False
            hint = "Delete that version first, or leave the line out."
            raise UsageError(f"another version of {info.source!r} is there", hint=hint)
        await store.put(copy.document, copy.chunks, digest=info.digest, user=info.user)
        if self._embedding is not None:
            self._embedding.wake()
        return True

    async def remove(self, *sources: str, user: str | None = None) -> int:
        """Remove documents for everyone, or of the `user`, by sources; return the number of documents."""
        return await self._parts.store.remove(sources, user=user)

    async def status(self) -> KnowledgeStatus:
        """Return the numbers of documents and chunks, and how many can be found by meaning."""
        size, embedder = await self._parts.store.statistics(), self._parts.embedder
        name = "" if embedder is None else embedder.name
        notice = self._parts.notice or self._failure
        if self._embedding is not None and self._embedding.error is not None:
            notice = self._embedding.error.full_text
        return KnowledgeStatus(size.documents, size.chunks, size.vectors.get(name, 0), name, notice)

    async def prune_vectors(self, *, keep: Collection[str] = (), dry_run: bool = False) -> dict[str, int]:
        """Remove the vectors of every embedder but this knowledge's and those named in `keep`.

        Returns the number of passages by embedder. With `dry_run`, nothing is removed. Without an embedder, all vectors
        are removed. Raises `UsageError`, changing nothing, if the wanted embedder cannot be used and `keep` is empty:
        its vectors would be lost.
        """
        embedder = self._parts.embedder
        if embedder is None and self._parts.notice and not keep:
            hint = "Name the embedder to keep, or embedder=None to remove all vectors."
            raise UsageError("the embedder of this knowledge cannot be used, so its vectors are not known", hint=hint)
        kept = {*keep, *(() if embedder is None else (embedder.name,))}
        vectors = (await self._parts.store.statistics()).vectors
        found = {space: count for space, count in sorted(vectors.items()) if space not in kept}
        if dry_run:
            return found
        return {space: await self._parts.store.remove_vectors(space) for space in found}

    async def embedded(self) -> None:
        """Wait until every passage has a vector; return at once without an embedder.

        Raises the embedder's error if it failed.
        """
        await trio.lowlevel.checkpoint()
        if self._embedding is not None:
            await self._embedding.wait()

    def show(self, run_id: str, hits: Sequence[Hit]) -> list[tuple[int, Hit]]:
        """Return the hits with numbers in the run, from 1, and remember the hits for `citations`."""
        return self._passages_of(run_id).number(hits)

    def take_up(self, run_id: str, texts: Iterable[str]) -> None:
        """Continue the numbers of a run that was stored: `texts` are the passages that its model has seen."""
        if run_id not in self._shown:
            self._passages_of(run_id).read(texts)

    def has_shown(self, run_id: str) -> bool:
        """Return whether this process remembers passages that the run was shown."""
        return run_id in self._shown

    def citations(self, result: RunResult) -> list[Citation]:
        """Return the passages shown to the run, by number, each marked as used if the answer names the number.

        A process remembers its last thousand runs. For other runs the passages are read from the results of the search
        tool among the messages, whatever knowledge was searched; see `list_citations`.
        """
        if result.run_id in self._shown:
            return self._shown[result.run_id].cite(result.content)
        return list_citations(result.messages, result.content, tools=self.tools)

    def cite_tool(self, name: str) -> None:
        """Let `citations` read the results of a tool of that name."""
        self.tools.add(name)

    def stop(self) -> None:
        """End the embedding in the background; a runtime does so when it closes."""
        if self._embedding is not None:
            self._embedding.stop()

    def _passages_of(self, run_id: str) -> ShownPassages:
        shown = self._shown.pop(run_id, None) or ShownPassages()
        self._shown[run_id] = shown
        while len(self._shown) > RUNS:
            self._shown.popitem(last=False)
        return shown

    async def _rank(self, query: str, filter: Filter, count: int, by: Ranker) -> list[tuple[list[Hit], float]]:
        """Return the hits of each ranker with its share."""
        rankings: dict[str, tuple[list[Hit], float]] = {}

        async def rank_words() -> None:
            rankings["words"] = await self._parts.store.search_words(query, filter, limit=count), 1.0

        async def rank_vectors(share: float) -> None:
            rankings["vectors"] = await self._search_vectors(query, filter, count, by), share

        share = self._share(query) if by == "both" else 1.0
        if by == "words" or not share:
            await rank_words()
        elif by == "vectors":
            await rank_vectors(share)
        else:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(rank_words)
                    nursery.start_soon(rank_vectors, share)
            except BaseExceptionGroup as group:
                raise_first(group)
        return [rankings[name] for name in ("words", "vectors") if name in rankings]

    def _share(self, query: str) -> float:
        embedder = self._parts.embedder
        if embedder is None or not query_words(query):
            return 0.0
        return VECTORS_WEIGHT * share_of_vectors(query, embedder_profile(embedder).languages)

    async def _search_vectors(self, query: str, filter: Filter, count: int, by: Ranker) -> list[Hit]:
        embedder = self._parts.embedder
        assert embedder is not None
        try:
            answer = await embedder.embed([query[:MAX_QUERY]], purpose="query")
        except (ModelError, UsageError) as exc:
            if by == "vectors":
                raise
            self._failure = exc.full_text
            return []
        self._failure = ""
        return await self._parts.store.search_vectors(answer.vectors[0], embedder.name, filter, limit=count)

    async def _rerank(self, query: str, hits: list[Hit]) -> list[Hit]:
        assert self._parts.reranker is not None
        if len(hits) < 2:
            return hits
        try:
            order = await self._parts.reranker.rerank(query, [hit.chunk.searched_text for hit in hits])
        except ModelError as exc:
            self._failure = exc.full_text
            return hits
        return [attrs.evolve(hits[place], score=score) for place, score in order]
