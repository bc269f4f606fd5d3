"""The plugin `google`: Gemini models, by the Gemini API and by Vertex AI.

Imports nothing slow: the HTTP client comes with the first request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_google.client import GoogleModel as GoogleModel
    from agno_rt_google.embeddings import GoogleEmbedder as GoogleEmbedder
    from agno_rt_google.profile import Server as Server

__all__ = ["GoogleEmbedder", "GoogleModel", "Server", "agno_rt_register_embedders", "agno_rt_register_models"]


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer every model name: `google:MODEL`, `google:vertex:MODEL`, and `google:SERVER:MODEL` for a named server."""
    from agno_rt_google.suggest import suggest

    text = "Any Gemini model, by the Gemini API or by Vertex AI."
    register("*", _make_model, text, examples=_list_examples, suggest=suggest)


@hookimpl
def agno_rt_register_embedders(register: Register) -> None:
    """Offer every embedding model: `google:MODEL`, `google:MODEL@DIMENSIONS`, and `google:vertex:MODEL`."""
    names = ("gemini-embedding-001", "vertex:gemini-embedding-001", "vertex:text-embedding-005")
    register("*", _make_embedder, "An embedding model of Google.", examples=lambda _: names)


def _list_examples(settings: Mapping[str, Any]) -> Iterator[str]:
    yield from ("gemini-3.8-flash", "gemini-3.1-pro-preview", "vertex:gemini-3.8-flash")
    servers = settings.get("servers", {})
    yield from (f"{name}:MODEL" for name in (servers if isinstance(servers, Mapping) else ()))


def _make_model(spec: str, settings: Mapping[str, Any]) -> GoogleModel:
    from agno_rt_google.client import GoogleModel
    from agno_rt_google.profile import choose

    model, server_name, server = choose(spec, settings)
    return GoogleModel(model, server, server_name=server_name)


def _make_embedder(spec: str, settings: Mapping[str, Any]) -> GoogleEmbedder:
    from agno_rt_google.embeddings import GoogleEmbedder
    from agno_rt_google.profile import choose

    model, server_name, server = choose(spec, settings)
    return GoogleEmbedder(model, server, server_name=server_name)


def __getattr__(name: str) -> Any:
    if name == "GoogleModel":
        from agno_rt_google.client import GoogleModel

        return GoogleModel
    if name == "GoogleEmbedder":
        from agno_rt_google.embeddings import GoogleEmbedder

        return GoogleEmbedder
    if name == "Server":
        from agno_rt_google.profile import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
