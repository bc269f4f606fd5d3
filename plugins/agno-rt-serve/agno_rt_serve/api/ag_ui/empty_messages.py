"""Keeps messages without content out of requests: a turn that only called tools of the client has left one behind."""

from __future__ import annotations

import attrs

from agno_rt import Hook, Message, ModelRequest, RunContext

__all__ = ["NoEmptyMessages"]


class NoEmptyMessages(Hook):
    """Leaves out messages of the assistant without text and calls, which some providers refuse."""

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelRequest | None:
        """Return the request without such messages."""
        messages = [each for each in request.messages if not _is_empty(each)]
        return attrs.evolve(request, messages=messages) if len(messages) < len(request.messages) else None


def _is_empty(message: Message) -> bool:
    return message.role == "assistant" and not message.content and not message.tool_calls
