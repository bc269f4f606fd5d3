"""A folder of text and Markdown files as knowledge: the context provider `files:documents:FOLDER`.

The model gets a tool `search`, as small models use it best: without parameters but the words, and with the file's name
above each passage. Each search takes up changed files first. The passages are among the run's citations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import attrs
import msgspec
import trio

from agno_rt.context import RunContext
from agno_rt.defaults.folder import FilesSettings, Folder, choose_words
from agno_rt.errors import UsageError
from agno_rt.providers import Context
from agno_rt.tools import Tool, tool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agno_rt.knowledge.documents import Hit
    from agno_rt.library.open import OpenKnowledge

__all__ = ["NOTHING_FOUND", "FolderContext", "format_hits", "search_tool"]

CHUNKER = "markdown:400"
"""A small model answers best from short passages."""

NOTHING_FOUND = "No document has any of these words."


def search_tool(folder: Folder, passages: int) -> Tool:
    """Make the tool `search` over a folder. The index is in memory, and follows the files at each search."""
    from agno_rt._retrieval.chunkers import make_chunker
    from agno_rt.defaults.sqlite.knowledge import SQLiteKnowledge
    from agno_rt.knowledge.documents import number_chunks

    store, lock, chunker = SQLiteKnowledge(None), trio.Lock(), make_chunker(CHUNKER)

    @tool(check_ready=folder.check_ready)
    async def search(
        query: Annotated[str, msgspec.Meta(description="The words to look for.", min_length=1, max_length=200)],
    ) -> str:
        """Search the folder of documents. Returns the passages that fit best, each with the name of its file."""
        async with lock:
            changed, gone = await trio.to_thread.run_sync(folder.read_changes)
            await store.remove(gone)
            for document in changed:
                await store.put(document, number_chunks(document, await trio.to_thread.run_sync(chunker.cut, document)))
        return format_hits(await store.search_words(choose_words(query), limit=passages)) or NOTHING_FOUND

    return search


@attrs.frozen(eq=False)
class FolderContext:
    """A context provider with a tool to search the folder `root`. `bound` makes the provider of a runtime."""

    root: Path
    settings: FilesSettings
    name: str = "files:documents"

    def check_ready(self) -> str:
        """Return the number of documents. Raises `UsageError` for a folder without documents."""
        return Folder(self.root, self.settings).check_ready()

    async def provide(self, context: RunContext) -> Context | None:
        """Raise `UsageError`: only a copy for a runtime, from `bound`, can search."""
        hint = "Name it in an agent's memory: context = ['files:documents:docs']."
        raise UsageError("this folder of documents has no runtime", hint=hint)

    def bound(self, runtime: Any) -> _BoundFolder:
        """Return the provider for a runtime."""
        return _BoundFolder(self, runtime)


class _BoundFolder:
    """A `FolderContext` with the knowledge of a runtime."""

    def __init__(self, asked: FolderContext, runtime: Any) -> None:
        from agno_rt.defaults.sqlite.knowledge import SQLiteKnowledge
        from agno_rt.knowledge.base import Knowledge

        self.name = asked.name
        self.check_ready = asked.check_ready
        self._limit = asked.settings.passages
        self._folder = Folder(asked.root, asked.settings)
        # A store of its own: all knowledge of `memory:` in a runtime is one store.
        store = SQLiteKnowledge(None)
        knowledge = Knowledge(store, embedder=asked.settings.embedder, chunker=CHUNKER, root=str(asked.root))
        self._opened: OpenKnowledge = runtime.knowledge(knowledge)
        self._lock = trio.Lock()
        # Made once: the model's provider caches tools that stay the same.
        self._tools = (self._make_tool(),)

    async def provide(self, context: RunContext) -> Context:
        """See `ContextProvider.provide`."""
        return Context(tools=self._tools)

    async def _search(self, context: RunContext, query: str) -> str:
        # Each search sees the files as they are; another search waits for the end of this look at them.
        async with self._lock:
            changed, gone = await trio.to_thread.run_sync(self._folder.read_changes)
            await self._opened.remove(*gone)
            await self._opened.add(*changed)
        hits = await self._opened.search(choose_words(query), limit=self._limit)
        self._opened.show(context.run_id, hits)
        return format_hits(hits) or NOTHING_FOUND

    def _make_tool(self) -> Tool:
        @tool(idempotent=True)
        async def search(
            query: Annotated[str, msgspec.Meta(description="The words to look for.", min_length=1, max_length=200)],
            context: RunContext,
        ) -> str:
            """Search the folder of documents. Returns the passages that fit best, each with the name of its file."""
            return await self._search(context, query)

        return search


def format_hits(hits: Sequence[Hit]) -> str:
    """Return passages as a small model reads them best: below the names of their files."""
    return "\n\n".join(f"From {hit.chunk.source}:\n{hit.chunk.text}" for hit in hits)
