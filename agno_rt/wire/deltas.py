"""The pieces of a whole response, for a server that answers without a stream. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.models import ModelResponse

__all__ = ["split_response"]


def split_response(response: ModelResponse) -> Iterator[Delta]:
    """Yield a whole response as the deltas of a stream: reasoning, text, then calls."""
    if response.reasoning:
        yield ReasoningDelta(response.reasoning)
    if response.content:
        yield TextDelta(response.content)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)
