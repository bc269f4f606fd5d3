"""The plugin `cohere`: Cohere's Command models, and servers with the same chat format.

Imports nothing slow: the HTTP client comes with the first request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_cohere.client import CohereModel as CohereModel
    from agno_rt_cohere.embeddings import CohereEmbedder as CohereEmbedder
    from agno_rt_cohere.profile import Server as Server
    from agno_rt_cohere.rerank import CohereReranker as CohereReranker

__all__ = [
    "CohereEmbedder",
    "CohereModel",
    "CohereReranker",
    "Server",
    "agno_rt_register_embedders",
    "agno_rt_register_models",
    "agno_rt_register_rerankers",
]


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer every model name: `cohere:MODEL`, and `cohere:SERVER:MODEL` for a server named in the settings."""
    register("*", _make_model, "A Command model of Cohere.", examples=_list_examples, suggest=_suggest_spec)


@hookimpl
def agno_rt_register_embedders(register: Register) -> None:
    """Offer every embedding model: `cohere:MODEL`, `cohere:MODEL@DIMENSIONS`, and `cohere:SERVER:MODEL`."""
    names = ("embed-v4.0", "embed-english-v3.0", "embed-multilingual-v3.0")
    register("*", _make_embedder, "An embedding model of Cohere.", examples=lambda _: names)


@hookimpl
def agno_rt_register_rerankers(register: Register) -> None:
    """Offer every reranker: `cohere:MODEL`, and `cohere:SERVER:MODEL` for a server named in the settings."""
    register("*", _make_reranker, "A reranker of Cohere.", examples=lambda _: ("rerank-v3.5",))


def _list_examples(settings: Mapping[str, Any]) -> Iterator[str]:
    yield from ("command-a-03-2025", "command-r7b-12-2024")
    servers = settings.get("servers", {})
    yield from (f"{name}:MODEL" for name in (servers if isinstance(servers, Mapping) else ()))


def _suggest_spec(spec: str) -> str:
    return f"Write cohere:{spec}." if spec.startswith(("command-", "c4ai-")) else ""


def _make_model(spec: str, settings: Mapping[str, Any]) -> CohereModel:
    from agno_rt_cohere.client import CohereModel
    from agno_rt_cohere.profile import choose

    model, server_name, server = choose(spec, settings)
    return CohereModel(model, server, server_name=server_name)


def _make_embedder(spec: str, settings: Mapping[str, Any]) -> CohereEmbedder:
    from agno_rt_cohere.embeddings import CohereEmbedder
    from agno_rt_cohere.profile import choose

    model, server_name, server = choose(spec, settings)
    return CohereEmbedder(model, server, server_name=server_name)


def _make_reranker(spec: str, settings: Mapping[str, Any]) -> CohereReranker:
    from agno_rt_cohere.profile import choose
    from agno_rt_cohere.rerank import CohereReranker

    model, server_name, server = choose(spec, settings)
    return CohereReranker(model, server, server_name=server_name)


def __getattr__(name: str) -> Any:
    if name == "CohereModel":
        from agno_rt_cohere.client import CohereModel

        return CohereModel
    if name == "CohereEmbedder":
        from agno_rt_cohere.embeddings import CohereEmbedder

        return CohereEmbedder
    if name == "CohereReranker":
        from agno_rt_cohere.rerank import CohereReranker

        return CohereReranker
    if name == "Server":
        from agno_rt_cohere.profile import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
