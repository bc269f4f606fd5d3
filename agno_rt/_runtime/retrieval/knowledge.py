"""The knowledge of a runtime: each opened once, with its store, embedder, chunker and readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import trio

from agno_rt._retrieval.chunkers import make_chunker
from agno_rt._runtime.check_parts import wrong_product_error
from agno_rt._runtime.retrieval.embedders import Retrieval
from agno_rt._runtime.toolkits import not_open_error
from agno_rt.config import read_settings
from agno_rt.errors import AgnoError, NotFound
from agno_rt.knowledge.base import DEFAULT_EMBEDDER, Knowledge
from agno_rt.knowledge.embedders import Embedder
from agno_rt.knowledge.reading import Reader
from agno_rt.knowledge.store import KnowledgeStore
from agno_rt.library.citations import Citation, list_citations
from agno_rt.library.open import OpenKnowledge
from agno_rt.library.parts import KnowledgeParts as Parts
from agno_rt.library.text_reader import TextReader

if TYPE_CHECKING:
    from agno_rt.plugins import PluginHost
    from agno_rt.result import RunResult

__all__ = ["KnowledgeParts"]

_TEXTS = frozenset({"application/json", "application/jsonl", "application/toml", "application/xml", "application/x-sh"})
"""Media types that are text, besides `text/*`."""
_NOT_AS_TEXT = frozenset({"text/html"})
"""Text that is hardly readable as it is: a reader has to be installed."""


class KnowledgeParts:
    """Opens the knowledge of one runtime."""

    def __init__(self, plugins: PluginHost, settings: Mapping[str, Mapping[str, Any]], retrieval: Retrieval) -> None:
        self._plugins = plugins
        self._settings = settings
        self._retrieval = retrieval
        self._named: dict[str, Knowledge] = {}
        # The knowledge is kept beside what it opened, so that no other object can get the same id.
        self._opened: dict[int, tuple[Knowledge, OpenKnowledge]] = {}
        self._stores: dict[str, KnowledgeStore] = {}
        self._readers: dict[str, Reader | None] = {}

    def open(self, knowledge: str | Knowledge, nursery: trio.Nursery | None) -> OpenKnowledge:
        """Return the open knowledge. See `Runtime.knowledge`."""
        if nursery is None:
            raise not_open_error()
        if isinstance(knowledge, str):
            knowledge = self._find(knowledge)
        if id(knowledge) not in self._opened:
            self._opened[id(knowledge)] = knowledge, OpenKnowledge(self._make_parts(knowledge, nursery))
        return self._opened[id(knowledge)][1]

    def citations(self, result: RunResult) -> list[Citation]:
        """Return the passages shown to the run by any opened knowledge. See `Runtime.citations`."""
        opened = [each for _, each in self._opened.values()]
        if shown := [each for each in opened if each.has_shown(result.run_id)]:
            return [citation for each in shown for citation in each.citations(result)]
        # Of a run of long ago, messages tell, whatever knowledge was searched.
        tools = {name for each in opened for name in each.tools}
        return list_citations(result.messages, result.content, tools=tools)

    def stop(self) -> None:
        """End all embedding in the background."""
        for _, opened in self._opened.values():
            opened.stop()

    def release(self) -> list[Any]:
        """Forget everything, and return the stores and readers that were made, to close them."""
        made = [*self._stores.values(), *(reader for reader in self._readers.values() if reader is not None)]
        self._opened.clear()
        self._stores.clear()
        self._readers.clear()
        return [each for each in made if hasattr(each, "aclose")]

    def _find(self, name: str) -> Knowledge:
        """Return the knowledge of a table `[knowledge.NAME]`."""
        tables = self._settings.get("knowledge", {})
        if name not in tables:
            hint = "" if tables else f"Describe it in agno-rt.toml: [knowledge.{name}] with store = 'sqlite:///kb.db'."
            raise NotFound("knowledge", name, tables, hint=hint)
        if name not in self._named:
            table: Any = tables[name]
            is_made = isinstance(table, Knowledge)
            self._named[name] = table if is_made else read_settings(Knowledge, table, f"[knowledge.{name}]")
        return self._named[name]

    def _make_parts(self, knowledge: Knowledge, nursery: trio.Nursery) -> Parts:
        embedder, notice = self._find_embedder(knowledge.embedder)
        reranker = None if knowledge.reranker is None else self._retrieval.reranker(knowledge.reranker)

        def start(work: Callable[[], Any]) -> None:
            nursery.start_soon(work, name="embedding of knowledge")

        return Parts(
            self._find_store(knowledge.store),
            make_chunker(knowledge.chunker),
            embedder,
            reranker,
            self._find_reader,
            start,
            knowledge.root,
            notice,
        )

    def _find_store(self, store: str | KnowledgeStore) -> KnowledgeStore:
        if not isinstance(store, str):
            return store
        if store not in self._stores:
            made = self._plugins.knowledge(store, self._settings)
            if not isinstance(made, KnowledgeStore):
                raise wrong_product_error(store, made, "KnowledgeStore")
            self._stores[store] = made
        return self._stores[store]

    def _find_embedder(self, wanted: str | Embedder | None) -> tuple[Embedder | None, str]:
        """Return the embedder; for `auto`, None and the reason if the default cannot be used."""
        if wanted is None or wanted == "none":  # a TOML file has no null
            return None, ""
        if wanted != "auto":
            return self._retrieval.embedder(wanted), ""
        try:
            found = self._retrieval.embedder(DEFAULT_EMBEDDER)
            found.check_ready()
        except AgnoError as exc:
            return None, f"Searches are by words alone, because {DEFAULT_EMBEDDER} cannot be used: {exc.full_text}"
        return found, ""

    def _find_reader(self, name: str) -> Reader | None:
        if not name:
            return None
        if name not in self._readers:
            made = self._plugins.reader(name, self._settings)
            if made is None and _is_text(name):
                made = TextReader()
            if made is not None and not isinstance(made, Reader):
                raise wrong_product_error(name, made, "Reader")
            self._readers[name] = made
        return self._readers[name]


def _is_text(name: str) -> bool:
    return (name.startswith("text/") and name not in _NOT_AS_TEXT) or name in _TEXTS
