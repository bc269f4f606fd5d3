"""The plugin `anthropic`: Claude, and models of other servers behind the messages format.

Imports nothing slow: the HTTP client comes with the first request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_anthropic.client import AnthropicModel as AnthropicModel
    from agno_rt_anthropic.profile import Server as Server

__all__ = ["AnthropicModel", "Server", "agno_rt_register_models"]


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer every model name: `anthropic:MODEL`, and `anthropic:SERVER:MODEL` for a server named in the settings."""
    from agno_rt_anthropic.suggest import suggest

    text = "Any Claude model, or a model behind Anthropic's format."
    register("*", _make_model, text, examples=_list_examples, suggest=suggest)


def _list_examples(settings: Mapping[str, Any]) -> Iterator[str]:
    yield from ("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5")
    servers = settings.get("servers", {})
    yield from (f"{name}:MODEL" for name in (servers if isinstance(servers, Mapping) else ()))


def _make_model(spec: str, settings: Mapping[str, Any]) -> AnthropicModel:
    from agno_rt_anthropic.client import AnthropicModel
    from agno_rt_anthropic.profile import choose

    model, server_name, server = choose(spec, settings)
    return AnthropicModel(model, server, server_name=server_name)


def __getattr__(name: str) -> Any:
    if name == "AnthropicModel":
        from agno_rt_anthropic.client import AnthropicModel

        return AnthropicModel
    if name == "Server":
        from agno_rt_anthropic.profile import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
