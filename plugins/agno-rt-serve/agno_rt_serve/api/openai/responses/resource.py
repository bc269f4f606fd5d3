"""The response object: in an answer, within events, and in the store. Pure.

Reference: the OpenAI API reference, "The response object", and the Open Responses specification.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agno_rt import Agent, RunResult, Usage
from agno_rt.agent import settings_of
from agno_rt.runnable import Runnable
from agno_rt_serve.api.openai.responses.body import ResponseBody

__all__ = ["incomplete_reason", "make_resource", "render_usage"]

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def make_resource(asked: ResponseBody, agent: Runnable, created: int) -> dict[str, Any]:
    """Return the object of a new response; the id comes with the run."""
    settings = settings_of(agent.settings) if isinstance(agent, Agent) else None
    temperature = asked.temperature if settings is None else settings.temperature
    text = asked.text
    return {
        "id": "",
        "object": "response",
        "created_at": created,
        "completed_at": None,
        "status": "in_progress",
        "background": bool(asked.background),
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": None,
        "model": asked.model,
        "output": [],
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": asked.previous_response_id,
        "prompt_cache_key": asked.prompt_cache_key,
        "reasoning": {"effort": None, "summary": None if asked.reasoning is None else asked.reasoning.summary},
        "safety_identifier": asked.safety_identifier,
        "service_tier": "default",
        "store": asked.is_stored,
        "temperature": 1.0 if temperature is None else temperature,
        "text": {"format": {"type": "text"} if text is None or text.format is None else _render_format(text.format)},
        "tool_choice": asked.tool_choice or "auto",
        "tools": [_render_tool(tool) for tool in asked.tools or []],
        "top_logprobs": 0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "truncation": "disabled",
        "usage": None,
        "user": asked.user,
        "metadata": asked.metadata or {},
    }


def incomplete_reason(result: RunResult) -> str | None:
    """Return the reason for an incomplete answer, or `None` for a whole answer."""
    return _REASONS.get(result.finish_reason)


def render_usage(usage: Usage) -> dict[str, Any]:
    """Return the tokens in the form of a response."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _render_format(given: msgspec.Struct) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(given).items() if value is not None}


def _render_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"description": None, "parameters": None, "strict": None, **tool}
