"""The plugin `bedrock`: models of Amazon Bedrock, by Converse.

Imports nothing slow: the HTTP client comes with the first request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_bedrock.client import BedrockModel as BedrockModel
    from agno_rt_bedrock.embeddings import BedrockEmbedder as BedrockEmbedder
    from agno_rt_bedrock.profile import Server as Server

__all__ = ["BedrockEmbedder", "BedrockModel", "Server", "agno_rt_register_embedders", "agno_rt_register_models"]


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer every model id: `bedrock:MODEL`, and `bedrock:SERVER:MODEL` for a server named in the settings."""
    from agno_rt_bedrock.suggest import suggest

    text = "Any model of Amazon Bedrock: the id of a model or of an inference profile, or an ARN."
    register("*", _make_model, text, examples=_list_examples, suggest=suggest)


@hookimpl
def agno_rt_register_embedders(register: Register) -> None:
    """Offer the embedding models of Titan and Cohere: `bedrock:MODEL`, `bedrock:MODEL@DIMENSIONS`."""
    names = ("amazon.titan-embed-text-v2:0", "cohere.embed-multilingual-v3")
    register("*", _make_embedder, "An embedding model of Amazon Bedrock, by Titan or Cohere.", examples=lambda _: names)


def _list_examples(settings: Mapping[str, Any]) -> Iterator[str]:
    yield from ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0")
    servers = settings.get("servers", {})
    yield from (f"{name}:MODEL" for name in (servers if isinstance(servers, Mapping) else ()))


def _make_model(spec: str, settings: Mapping[str, Any]) -> BedrockModel:
    from agno_rt_bedrock.client import BedrockModel
    from agno_rt_bedrock.profile import choose

    model, server_name, server = choose(spec, settings)
    return BedrockModel(model, server, server_name=server_name)


def _make_embedder(spec: str, settings: Mapping[str, Any]) -> BedrockEmbedder:
    from agno_rt_bedrock.embeddings import BedrockEmbedder
    from agno_rt_bedrock.profile import choose

    model, server_name, server = choose(spec, settings)
    return BedrockEmbedder(model, server, server_name=server_name)


def __getattr__(name: str) -> Any:
    if name == "BedrockModel":
        from agno_rt_bedrock.client import BedrockModel

        return BedrockModel
    if name == "BedrockEmbedder":
        from agno_rt_bedrock.embeddings import BedrockEmbedder

        return BedrockEmbedder
    if name == "Server":
        from agno_rt_bedrock.profile import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
