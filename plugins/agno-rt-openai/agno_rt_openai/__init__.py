"""The plugin `openai`: models behind the chat completions format, from OpenAI or any other server.

Imports nothing slow: the HTTP client comes with the first model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_openai.client import OpenAIModel as OpenAIModel
    from agno_rt_openai.profile import Server as Server

__all__ = ["OpenAIModel", "Server", "agno_rt_register_models"]


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer every model name: `openai:MODEL`, and `openai:SERVER:MODEL` for a server named in the settings."""
    from agno_rt_openai.suggest import suggest

    text = "Any model of OpenAI, or of a server that speaks its format."
    register("*", _make_model, text, examples=_list_examples, suggest=suggest)


def _list_examples(settings: Mapping[str, Any]) -> Iterator[str]:
    yield from ("gpt-5", "gpt-5-mini", "groq:MODEL")
    servers = settings.get("servers", {})
    yield from (f"{name}:MODEL" for name in (servers if isinstance(servers, Mapping) else ()))


def _make_model(spec: str, settings: Mapping[str, Any]) -> OpenAIModel:
    from agno_rt_openai.client import OpenAIModel
    from agno_rt_openai.profile import choose

    model, server_name, server = choose(spec, settings)
    return OpenAIModel(model, server, server_name=server_name)


def __getattr__(name: str) -> Any:
    if name == "OpenAIModel":
        from agno_rt_openai.client import OpenAIModel

        return OpenAIModel
    if name == "Server":
        from agno_rt_openai.profile import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
