"""Names for OpenTelemetry: the attributes of its conventions for generative AI, our own attributes, and providers.

The conventions are still in development: their next version changes only this module.
"""

from __future__ import annotations

import functools
from typing import Final

__all__ = [
    "AGENT_NAME",
    "ANSWER",
    "ARGUMENTS",
    "CACHED_TOKENS",
    "CALL_ID",
    "CONVERSATION",
    "COST",
    "ERROR_TYPE",
    "FINISH_REASONS",
    "INPUT",
    "INPUT_TOKENS",
    "MODEL",
    "OPERATION",
    "OUTPUT_TOKENS",
    "PARENT",
    "PROVIDER",
    "REASONING_TOKENS",
    "RESULT",
    "RESUMED",
    "RUN",
    "STATUS",
    "TOOL_NAME",
    "TOOL_TYPE",
    "TURN",
    "provider_and_model",
]

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION: Final = "gen_ai.conversation.id"
REQUEST_ID: Final = "agno_rt.model.request_id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
CALL_ID: Final = "gen_ai.tool.call.id"
ARGUMENTS: Final = "gen_ai.tool.call.arguments"
RESULT: Final = "gen_ai.tool.call.result"
INPUT: Final = "gen_ai.input.messages"
ANSWER: Final = "gen_ai.output.messages"
ERROR_TYPE: Final = "error.type"

RUN: Final = "agno_rt.run.id"
PARENT: Final = "agno_rt.run.parent"
RESUMED: Final = "agno_rt.run.resumed"
STATUS: Final = "agno_rt.status"
TURN: Final = "agno_rt.turn"
COST: Final = "agno_rt.usage.cost"

_UNKNOWN = "_OTHER"
_SAME = ("anthropic", "cohere", "deepseek", "groq", "openai", "perplexity")
_PROVIDERS = {name: name for name in _SAME} | {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Providers with a name in the conventions, by the names of plugins and servers."""


@functools.lru_cache(maxsize=1_000)
def provider_and_model(name: str) -> tuple[str, str]:
    """Split the name of a model, such as `openai:gpt-5` or `openai:groq:llama-3.3-70b`, into provider and model.

    Several models in one name (`one or another`) get a provider only if all share the provider.
    """
    several = name.split(" or ")
    if len(several) > 1:
        providers = {provider_and_model(one)[0] for one in several}
        return (providers.pop() if len(providers) == 1 else _UNKNOWN), name
    plugin, colon, model = name.partition(":")
    if not colon:
        return _UNKNOWN, name
    server, colon, rest = model.partition(":")
    if colon and server in _PROVIDERS:
        return _PROVIDERS[server], rest
    return _PROVIDERS.get(plugin, plugin), model
