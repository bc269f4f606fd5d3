"""A conversation as values: messages and their parts, tool calls, token counts. Knows nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

from agno_rt.errors import UsageError

__all__ = ["Content", "Media", "MediaKind", "Message", "Native", "Part", "Role", "ToolCall", "Usage"]

Role = Literal["system", "user", "assistant", "tool"]
MediaKind = Literal["image", "audio", "video", "file"]


@attrs.define(init=False)
class ToolCall:
    """A model's request to call a tool. `arguments` is the JSON text as the model wrote it, valid or not.

    Arguments given as a dict are encoded. Raises `UsageError` for arguments that are neither a dict nor text.
    """

    id: str
    name: str
    arguments: str = "{}"

    # Written by hand, since an attrs converter would cost a function call for each of a model's calls.
    def __init__(self, id: str, name: str, arguments: str | Mapping[str, Any] = "{}") -> None:
        self.id = id
        self.name = name
        self.arguments = arguments if type(arguments) is str else _encode_arguments(arguments)


def _encode_arguments(arguments: object) -> str:
    if isinstance(arguments, str):
        return arguments
    try:
        if isinstance(arguments, Mapping):
            import json  # needed only by programs that write tool calls themselves

            return json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise UsageError(f"arguments of a tool call cannot be JSON: {exc}", hint=_ARGUMENTS) from exc
    raise UsageError(f"arguments of a tool call are {arguments!r}", hint=_ARGUMENTS)


_ARGUMENTS = "Give a dict of what JSON can carry, or JSON text."


@attrs.define
class Media:
    """An image, a piece of audio or video, or a file, within a message: its bytes as `data`, or its `url`.

    `media_type` is the MIME type. Make one with `agno_rt.media`, which finds and checks the type.
    """

    kind: MediaKind
    media_type: str
    data: bytes | None = attrs.field(default=None, repr=lambda data: "None" if data is None else f"<{len(data)} bytes>")
    url: str | None = None
    name: str | None = None


Part: TypeAlias = str | Media
Content: TypeAlias = str | tuple[Part, ...]


@attrs.frozen
class Native:
    """An answer as its provider wrote it, kept for the provider's plugin alone: blocks in order, signatures, item ids.

    `data` is in the form that the plugin chose, and nothing else reads `data`. `digest` tells the text and the calls of
    the answer, so that a changed message is noticed. Make one with `agno_rt.wire.native.seal_native`, and read one with
    `native_for`.
    """

    provider: str
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    digest: bytes = attrs.field(default=b"", repr=False)


@attrs.define(weakref_slot=False)
class Message:
    """One message of a conversation. `content` is text, or a tuple of texts and `Media`, in order.

    An assistant's message may carry `tool_calls`. Each call is answered by one message of role `tool` with the call's
    `id` as its `tool_call_id` and the tool's name as its `name`. The `name` of an assistant's message is the member who
    answered for a team. `reasoning` is the model's thinking, which is not part of the answer. `native` is the answer in
    its provider's own form, for the next request to the same provider. Read-only by convention: histories share
    messages.
    """

    role: Role
    content: Content = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str = ""
    native: Native | None = None

    @property
    def text(self) -> str:
        """The texts of the content, joined by line breaks, without media."""
        content = self.content
        return content if isinstance(content, str) else "\n".join(part for part in content if isinstance(part, str))

    @property
    def media(self) -> tuple[Media, ...]:
        """The media of the content."""
        content = self.content
        return () if isinstance(content, str) else tuple(part for part in content if isinstance(part, Media))


@attrs.define
class Usage:
    """A model's use of tokens and money. Usages add up with `+`.

    `input_tokens` is the whole input. `cached_tokens` is the part of the input that the provider read from its cache,
    and `cache_write_tokens` the part that the provider wrote to its cache; `reasoning_tokens` is the part of the output
    that was reasoning. `cost` is in the unit of the model's `Price` (US dollars in every plugin here), or 0 without a
    known price.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    cache_write_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cost + other.cost,
            self.cache_write_tokens + other.cache_write_tokens,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.reasoning_tokens - other.reasoning_tokens,
            self.cached_tokens - other.cached_tokens,
            self.cost - other.cost,
        )
