"""Facts about embedders and rerankers of the services with OpenAI's format, from their public references.

Facts of 30 November 2026. A provider without a row has no embeddings behind this format, or does not document them; a
row says `embeddings: False` where the service has rerankers only. Local servers embed with the model that they hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from agno_rt.models import Price

__all__ = ["AS_OF", "RETRIEVAL_PROVIDERS", "SERVICES", "EmbeddingFacts", "Service", "known"]

AS_OF = "2026-11-30"


@attrs.frozen
class EmbeddingFacts:
    """Facts about an embedding model.

    dimensions  the length of a vector, unless the spec asks for another
    max_tokens  the most tokens of a text
    price       US dollars for a million tokens
    """

    dimensions: int | None = None
    max_tokens: int | None = None
    price: float | None = None

    def make_price(self) -> Price | None:
        """Return the price of tokens, if known."""
        return None if self.price is None else Price(self.price, 0.0, as_of=AS_OF)


@attrs.frozen(kw_only=True)
class Service:
    """The habits of a service with embeddings or rerankers.

    embeddings    the service has embeddings behind OpenAI's format
    example       the names of embedding models, for lists
    rerank        the path of rerankers below the base URL; empty without rerankers
    rerankers     the names of rerankers, for lists
    batch_texts   the most texts of a request
    batch_tokens  the most tokens of a request
    purposes      the field that tells queries from documents, with the word for each: none by default
    dimensions    the field that asks for the length of vectors
    top           the field of a reranker's request with the number of texts
    base64        ask for base64, which is a third of the bytes and of the work; any service may answer so
    """

    embeddings: bool = True
    example: tuple[str, ...] = ()
    rerank: str = ""
    rerankers: tuple[str, ...] = ()
    batch_texts: int = 96
    batch_tokens: int | None = None
    purposes: tuple[str, str, str] = ("", "", "")
    dimensions: str = "dimensions"
    top: str = "top_n"
    base64: bool = False


_LOCAL = Service(rerank="rerank", batch_texts=64)
_PASSAGES = ("input_type", "passage", "query")

SERVICES: Mapping[str, Service] = {
    # OpenAI API reference, "Create embeddings": 2,048 inputs, and 300,000 tokens, a request.
    "": Service(
        example=("text-embedding-3-small", "text-embedding-3-large"), batch_texts=512, batch_tokens=100_000, base64=True
    ),
    "azure": Service(batch_texts=512, batch_tokens=100_000, base64=True),
    "dashscope": Service(example=("text-embedding-v4",), batch_texts=10),
    "dashscope-cn": Service(example=("text-embedding-v4",), batch_texts=10),
    "fireworks": Service(example=("nomic-ai/nomic-embed-text-v1.5",), rerank="rerank"),
    "gemini": Service(example=("gemini-embedding-001",), batch_texts=100),
    "jina": Service(
        example=("jina-embeddings-v3",),
        rerank="rerank",
        rerankers=("jina-reranker-v2-base-multilingual",),
        purposes=("task", "retrieval.passage", "retrieval.query"),
    ),
    "litellm": Service(rerank="rerank"),
    "llama-server": _LOCAL,
    "lmstudio": Service(batch_texts=64),
    "mistral": Service(example=("mistral-embed",), batch_tokens=12_000, dimensions="output_dimension"),
    "nvidia": Service(example=("nvidia/nv-embedqa-e5-v5",), purposes=_PASSAGES),
    "ollama": Service(batch_texts=64),
    "openrouter": Service(example=("openai/text-embedding-3-small",)),
    "portkey": Service(),
    "sambanova": Service(example=("E5-Mistral-7B-Instruct",), batch_texts=32),
    "together": Service(example=("intfloat/multilingual-e5-large-instruct",), rerank="rerank"),
    "vercel": Service(example=("openai/text-embedding-3-small",)),
    "vllm": _LOCAL,
    "voyage": Service(
        example=("voyage-3.5",),
        rerank="rerank",
        rerankers=("rerank-2.5",),
        batch_texts=128,
        batch_tokens=100_000,
        purposes=("input_type", "document", "query"),
        dimensions="output_dimension",
        top="top_k",
    ),
    "zhipu": Service(example=("embedding-3",), rerank="rerank", rerankers=("rerank",), batch_texts=64),
}
"""Services by the names of `PROVIDERS` and `RETRIEVAL_PROVIDERS`; OpenAI itself has the name ""."""

RETRIEVAL_PROVIDERS: Mapping[str, Mapping[str, Any]] = {
    "jina": {"title": "Jina AI", "base_url": "https://api.jina.ai/v1", "api_key_env": "JINA_API_KEY"},
    "voyage": {"title": "Voyage AI", "base_url": "https://api.voyageai.com/v1", "api_key_env": "VOYAGE_API_KEY"},
}
"""Services that have embeddings and rerankers, and no chat."""

_MODELS: Mapping[str, EmbeddingFacts] = {
    "text-embedding-3-small": EmbeddingFacts(1536, 8192, 0.02),
    "text-embedding-3-large": EmbeddingFacts(3072, 8192, 0.13),
    "text-embedding-ada-002": EmbeddingFacts(1536, 8192, 0.10),
}


def known(model: str) -> EmbeddingFacts:
    """Return the facts about a model of OpenAI; no facts about another."""
    return _MODELS.get(model, EmbeddingFacts())
