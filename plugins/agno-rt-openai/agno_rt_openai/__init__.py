"""The plugin `openai`: models behind chat completions or the responses API, from OpenAI or any other server.

Imports nothing slow: the HTTP client comes with the first model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_openai.client import OpenAIModel as OpenAIModel
    from agno_rt_openai.embeddings import OpenAIEmbedder as OpenAIEmbedder
    from agno_rt_openai.profile import Server as Server
    from agno_rt_openai.rerank import OpenAIReranker as OpenAIReranker

__all__ = [
    "OpenAIEmbedder",
    "OpenAIModel",
    "OpenAIReranker",
    "Server",
    "agno_rt_register_embedders",
    "agno_rt_register_models",
    "agno_rt_register_rerankers",
]


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer every model name: `openai:MODEL`, and `openai:SERVER:MODEL` for a server named in the settings."""
    from agno_rt_openai.suggest import suggest

    text = "Any model of OpenAI, or of a server that speaks its format."
    register("*", _make_model, text, examples=_list_examples, suggest=suggest)


@hookimpl
def agno_rt_register_embedders(register: Register) -> None:
    """Offer every embedding model: `openai:MODEL`, `openai:MODEL@DIMENSIONS`, and `openai:SERVER:MODEL`."""
    text = "Any embedding model of OpenAI, or of a server that speaks its format."
    register("*", _make_embedder, text, examples=_list_embedders)


@hookimpl
def agno_rt_register_rerankers(register: Register) -> None:
    """Offer the rerankers of servers with `/rerank`: `openai:SERVER:MODEL`."""
    register("*", _make_reranker, "Any reranker of a server with /rerank: Jina, vLLM.", examples=_list_rerankers)


def _list_examples(settings: Mapping[str, Any]) -> Iterator[str]:
    yield from ("gpt-5", "gpt-5-mini", "groq:MODEL")
    servers = settings.get("servers", {})
    yield from (f"{name}:MODEL" for name in (servers if isinstance(servers, Mapping) else ()))


def _make_model(spec: str, settings: Mapping[str, Any]) -> OpenAIModel:
    from agno_rt_openai.client import OpenAIModel
    from agno_rt_openai.profile import choose

    model, server_name, server = choose(spec, settings)
    return OpenAIModel(model, server, server_name=server_name)


def _list_embedders(settings: Mapping[str, Any]) -> Iterator[str]:
    from agno_rt_openai.embedding_facts import SERVICES

    yield from (f"{name}:{model}" if name else model for name, each in SERVICES.items() for model in each.example)
    servers = settings.get("servers", {})
    yield from (f"{name}:MODEL" for name in (servers if isinstance(servers, Mapping) else ()))


def _list_rerankers(settings: Mapping[str, Any]) -> Iterator[str]:
    from agno_rt_openai.embedding_facts import SERVICES

    for name, each in SERVICES.items():
        if each.rerank:
            yield from (f"{name}:{model}" for model in each.rerankers or ("MODEL",))


def _make_embedder(spec: str, settings: Mapping[str, Any]) -> OpenAIEmbedder:
    from agno_rt_openai.embeddings import OpenAIEmbedder, choose_service

    model, server_name, server, service = choose_service(spec, settings)
    return OpenAIEmbedder(model, server, server_name=server_name, service=service)


def _make_reranker(spec: str, settings: Mapping[str, Any]) -> OpenAIReranker:
    from agno_rt_openai.embeddings import choose_service
    from agno_rt_openai.rerank import OpenAIReranker, find_service

    model, server_name, server, service = choose_service(spec, settings)
    service = find_service(spec, server_name, server, service)
    return OpenAIReranker(model, server, server_name=server_name, service=service)


def __getattr__(name: str) -> Any:
    if name == "OpenAIModel":
        from agno_rt_openai.client import OpenAIModel

        return OpenAIModel
    if name == "OpenAIEmbedder":
        from agno_rt_openai.embeddings import OpenAIEmbedder

        return OpenAIEmbedder
    if name == "OpenAIReranker":
        from agno_rt_openai.rerank import OpenAIReranker

        return OpenAIReranker
    if name == "Server":
        from agno_rt_openai.profile import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
