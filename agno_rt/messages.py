"""What is said in a conversation, as values: messages and their parts, tool calls, token counts. Knows nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

from agno_rt.errors import UsageError

__all__ = ["Content", "Media", "MediaKind", "Message", "Part", "Role", "ToolCall", "Usage"]

Role = Literal["system", "user", "assistant", "tool"]
MediaKind = Literal["image", "audio", "video", "file"]


@attrs.define(init=False)
class ToolCall:
    """A model's request to call a tool. `arguments` is the JSON text as the model wrote it, valid or not.

    Arguments that are given as a dict are encoded. Raises `UsageError` for anything else that is not text.
    """

    id: str
    name: str
    arguments: str = "{}"

    # By hand, since a converter would cost each call of a model a function call.
    def __init__(self, id: str, name: str, arguments: str | Mapping[str, Any] = "{}") -> None:
        self.id = id
        self.name = name
        self.arguments = arguments if type(arguments) is str else _encoded(arguments)


def _encoded(arguments: object) -> str:
    if isinstance(arguments, str):
        return arguments
    try:
        if isinstance(arguments, Mapping):
            import json  # for those who write calls by hand

            return json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise UsageError(f"arguments of a tool call cannot be JSON: {exc}", hint=_ARGUMENTS) from exc
    raise UsageError(f"arguments of a tool call is {arguments!r}", hint=_ARGUMENTS)


_ARGUMENTS = "Give a dict of what JSON can carry, or JSON text."


@attrs.define
class Media:
    """An image, a piece of audio or video, or a file, within a message: its bytes as `data`, or its `url`.

    `media_type` is its MIME type. Make one with `agno_rt.media`, which finds the type out and checks it.
    """

    kind: MediaKind
    media_type: str
    data: bytes | None = attrs.field(default=None, repr=lambda data: "None" if data is None else f"<{len(data)} bytes>")
    url: str | None = None
    name: str | None = None


Part: TypeAlias = str | Media
Content: TypeAlias = str | tuple[Part, ...]


@attrs.define(weakref_slot=False)
class Message:
    """One message of a conversation. `content` is text, or a tuple of parts: texts and `Media`, in their order.

    An assistant's message may carry `tool_calls`; each is answered by one message of role `tool` whose
    `tool_call_id` is the call's `id` and whose `name` is the tool's. `reasoning` is what the model thought on the way,
    which is no part of the answer. Read-only by convention: histories share messages.
    """

    role: Role
    content: Content = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str = ""

    @property
    def text(self) -> str:
        """The content's text alone: its media left out, its texts joined by a line break."""
        content = self.content
        return content if isinstance(content, str) else "\n".join(part for part in content if isinstance(part, str))

    @property
    def media(self) -> tuple[Media, ...]:
        """The content's media alone."""
        content = self.content
        return () if isinstance(content, str) else tuple(part for part in content if isinstance(part, Media))


@attrs.define
class Usage:
    """What a model used. Usages add up with `+`.

    `reasoning_tokens` are those of the output that were reasoning, `cached_tokens` those of the input that the
    provider had cached. `cost` is money, in the unit of the model's `Price` (US dollars in every plugin here); 0 where
    no price is known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cost + other.cost,
        )
