"""The noun for users: a `Knowledge` names a store, an embedder, a chunker and a reranker, and opens nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from agno_rt.errors import UsageError
from agno_rt.knowledge.embedders import Embedder
from agno_rt.knowledge.reading import Chunker
from agno_rt.knowledge.rerankers import Reranker
from agno_rt.knowledge.store import KnowledgeStore

__all__ = ["DEFAULT_EMBEDDER", "Knowledge"]

DEFAULT_EMBEDDER = "llamacpp:minilm"
"""The embedder of a knowledge without a named embedder, where the plugin and the weights are installed."""

if TYPE_CHECKING:
    StoreOrURL: TypeAlias = KnowledgeStore | str
    EmbedderOrSpec: TypeAlias = Embedder | str | None
    ChunkerOrName: TypeAlias = Chunker | str
    RerankerOrSpec: TypeAlias = Reranker | str | None
else:
    # msgspec reads the class from agno-rt.toml, too, and cannot handle protocols.
    StoreOrURL = EmbedderOrSpec = ChunkerOrName = RerankerOrSpec = Any


@attrs.frozen(eq=False)
class Knowledge:
    """Documents to look things up in: `Knowledge("sqlite:///kb.db")`. Inert, as an agent: a runtime opens it.

    `await rt.knowledge(kb).add("docs")`, `.search("...")`, `.documents()` and `.remove(...)` use it. Several may
    name one store. Raises `UsageError` for a part of the wrong kind.

    Attributes:
        store: a URL such as `sqlite:///kb.db` or `memory:`, or a `KnowledgeStore`
        embedder: a spec such as `llamacpp:minilm`, an `Embedder`, or None to search by words alone; `auto` for
            `llamacpp:minilm` where installed, and words alone elsewhere
        chunker: the name of a chunker, such as `markdown:900`, or a `Chunker`
        reranker: a spec such as `cohere:rerank-v3.5`, or a `Reranker`, to sort the best hits once more
        root: the folder for the relative sources of files; by default the current folder
    """

    store: StoreOrURL = "memory:"
    embedder: EmbedderOrSpec = attrs.field(default="auto", kw_only=True)
    chunker: ChunkerOrName = attrs.field(default="markdown", kw_only=True)
    reranker: RerankerOrSpec = attrs.field(default=None, kw_only=True)
    root: str = attrs.field(default=".", kw_only=True)

    def __attrs_post_init__(self) -> None:
        parts: tuple[tuple[str, Any, tuple[type, ...], str], ...] = (
            ("store", self.store, (KnowledgeStore,), "a URL such as 'sqlite:///kb.db', or a KnowledgeStore"),
            (
                "embedder",
                self.embedder,
                (Embedder, type(None)),
                "a spec such as 'llamacpp:minilm', an Embedder or None",
            ),
            ("chunker", self.chunker, (Chunker,), "a name such as 'markdown:900', or a Chunker"),
            ("reranker", self.reranker, (Reranker, type(None)), "a spec, a Reranker or None"),
        )
        for name, given, kinds, wanted in parts:
            if isinstance(given, type) or not isinstance(given, (str, *kinds)):
                raise UsageError(f"the {name} of a Knowledge is {given!r}", hint=f"Give {wanted}.")
