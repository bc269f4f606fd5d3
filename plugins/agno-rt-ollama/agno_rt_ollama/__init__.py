"""The plugin `ollama`: models of an Ollama server, and the command that fetches and lists them.

Imports nothing slow: the HTTP client comes with the first request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_ollama.client import OllamaModel as OllamaModel
    from agno_rt_ollama.embeddings import OllamaEmbedder as OllamaEmbedder
    from agno_rt_ollama.profile import Server as Server

__all__ = [
    "OllamaEmbedder",
    "OllamaModel",
    "Server",
    "agno_rt_register_commands",
    "agno_rt_register_embedders",
    "agno_rt_register_models",
]


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer every model name: `ollama:MODEL`, and `ollama:SERVER:MODEL` for a server named in the settings."""
    register("*", _make_model, "A model of an Ollama server.", examples=_list_examples)


@hookimpl
def agno_rt_register_embedders(register: Register) -> None:
    """Offer every embedding model: `ollama:MODEL`, and `ollama:SERVER:MODEL` for a server named in the settings."""
    text = "An embedding model of an Ollama server."
    register("*", _make_embedder, text, examples=lambda _: ["nomic-embed-text", "all-minilm"])


@hookimpl
def agno_rt_register_commands(register: Register) -> None:
    """Offer `agno-rt ollama`."""
    register("ollama", _load_command, help="Fetch models to an Ollama server, or list the models of the server.")


def _list_examples(settings: Mapping[str, Any]) -> Iterator[str]:
    from agno_rt_ollama.library import list_quickly
    from agno_rt_ollama.profile import read_all

    for name, server in read_all(settings).items():
        prefix = f"{name}:" if name else ""
        yield from (f"{prefix}{model}" for model in list_quickly(server) or ["MODEL"])


def _make_model(spec: str, settings: Mapping[str, Any]) -> OllamaModel:
    from agno_rt_ollama.client import OllamaModel
    from agno_rt_ollama.profile import choose

    model, server_name, server = choose(spec, settings)
    return OllamaModel(model, server, server_name=server_name)


def _make_embedder(spec: str, settings: Mapping[str, Any]) -> OllamaEmbedder:
    from agno_rt_ollama.embeddings import OllamaEmbedder
    from agno_rt_ollama.profile import choose

    model, server_name, server = choose(spec, settings)
    return OllamaEmbedder(model, server, server_name=server_name)


def _load_command() -> Any:
    from agno_rt_ollama.commands import ollama

    return ollama


def __getattr__(name: str) -> Any:
    if name == "OllamaModel":
        from agno_rt_ollama.client import OllamaModel

        return OllamaModel
    if name == "OllamaEmbedder":
        from agno_rt_ollama.embeddings import OllamaEmbedder

        return OllamaEmbedder
    if name == "Server":
        from agno_rt_ollama.profile import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
