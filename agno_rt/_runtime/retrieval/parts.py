"""The base of `Runtime` for knowledge, embedders and rerankers, made and imported at the first use: few need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import trio

    from agno_rt._runtime.retrieval.embedders import Retrieval
    from agno_rt._runtime.retrieval.knowledge import KnowledgeParts
    from agno_rt.knowledge.base import Knowledge
    from agno_rt.knowledge.embedders import Embedder
    from agno_rt.knowledge.rerankers import Reranker
    from agno_rt.library.citations import Citation
    from agno_rt.library.open import OpenKnowledge
    from agno_rt.limits import LimitStatistics
    from agno_rt.plugins import PluginHost
    from agno_rt.result import RunResult
    from agno_rt.wrappers.batches import Batches, RerankerBatches

__all__ = ["RetrievalParts"]


class RetrievalParts:
    """The part of `Runtime` with knowledge, embedders and rerankers."""

    if TYPE_CHECKING:
        plugins: PluginHost
        settings: Mapping[str, Mapping[str, Any]]
        _nursery: trio.Nursery | None

    _retrieval_made: Retrieval | None = None
    _knowledge_made: KnowledgeParts | None = None

    def embedder(self, spec: str | Embedder) -> Batches:
        """Return the embedder of a spec, such as `llamacpp:minilm`, which takes any number of texts in one call.

        The embedder is made once, shared by all callers, and closed with the runtime; an embedder of yours stays open.
        Raises `UsageError` or `PluginError`.
        """
        return self._retrieval.embedder(spec)

    def reranker(self, spec: str | Reranker) -> RerankerBatches:
        """Return the reranker of a spec, such as `cohere:rerank-v3.5`; made, shared and closed as an embedder.

        Raises `UsageError` or `PluginError`.
        """
        return self._retrieval.reranker(spec)

    def knowledge(self, knowledge: str | Knowledge) -> OpenKnowledge:
        """Return the knowledge as this runtime opens it, once: a `Knowledge`, or a name of `[knowledge.NAME]`.

        The store is made of its URL and closed with the runtime; a store of yours stays open. Texts without vectors are
        embedded in the background as long as the runtime is open.

        Raises `UsageError`, `NotFound` or `PluginError`; `UsageError` also for a runtime that is not open.
        """
        return self._knowledge.open(knowledge, self._nursery)

    def citations(self, result: RunResult) -> list[Citation]:
        """Return the passages that the run was shown from any knowledge of this runtime, by number.

        Empty for a run that searched nothing. A process remembers the passages of its last thousand runs.
        """
        return [] if self._knowledge_made is None else self._knowledge_made.citations(result)

    @property
    def _knowledge(self) -> KnowledgeParts:
        if self._knowledge_made is None:
            from agno_rt._runtime.retrieval.knowledge import KnowledgeParts  # few runtimes have knowledge

            self._knowledge_made = KnowledgeParts(self.plugins, self.settings, self._retrieval)
        return self._knowledge_made

    def _stop_embedding(self) -> None:
        if self._knowledge_made is not None:
            self._knowledge_made.stop()

    @property
    def _retrieval(self) -> Retrieval:
        if self._retrieval_made is None:
            from agno_rt._runtime.retrieval.embedders import Retrieval  # few runtimes need embedders

            self._retrieval_made = Retrieval(self.plugins, self.settings)
        return self._retrieval_made

    def _list_retrieval_limits(self) -> Iterable[LimitStatistics]:
        return () if self._retrieval_made is None else self._retrieval_made.statistics()

    def _release_retrieval(self) -> list[Any]:
        stores = [] if self._knowledge_made is None else self._knowledge_made.release()
        return stores if self._retrieval_made is None else [*self._retrieval_made.release(), *stores]
