"""What is said in a conversation, as values: messages, tool calls and token counts. Knows nothing else."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["Message", "Role", "ToolCall", "Usage"]

Role = Literal["system", "user", "assistant", "tool"]


@attrs.define
class ToolCall:
    """A model's request to call a tool. `arguments` is the JSON text as the model wrote it, valid or not."""

    id: str
    name: str
    arguments: str = "{}"


@attrs.define
class Message:
    """One message of a conversation.

    An assistant's message may carry `tool_calls`; each is answered by one message of role `tool` whose
    `tool_call_id` is the call's `id` and whose `name` is the tool's. Read-only by convention: histories share messages.
    """

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@attrs.define
class Usage:
    """Tokens that went into a model and came out of it. Usages add up with `+`."""

    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)
