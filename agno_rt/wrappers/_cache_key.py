"""What a cached answer goes by, and what is kept of it: bytes both, the same in every process."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import attrs
import msgspec

from agno_rt.models import Model, ModelRequest, ModelResponse
from agno_rt.wrappers.base import Wrapper

__all__ = ["identity", "key_of", "pack", "unpack"]

FORMAT = "agno_rt cache 1"
"""Raise the number when what a key covers, or what is kept under it, changes."""

_UNFIT = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What encoding raises for a value that JSON cannot carry either."""

_DECODER = msgspec.msgpack.Decoder(tuple[Literal["agno_rt cache 1"], ModelResponse])


def identity(model: Model) -> list[Any]:
    """What tells the model apart: its class, its name, its own `identity`, and the same of all models within it."""
    kind, own = type(model), getattr(model, "identity", "")
    within = [identity(one) for one in model.models()] if isinstance(model, Wrapper) else []
    return [f"{kind.__module__}.{kind.__qualname__}", model.name, own if isinstance(own, str) else "", within]


def key_of(model: list[Any], request: ModelRequest, *, shared: bool) -> str | None:
    """What the answer to this request goes by; `None` for a request that cannot be told apart from others for sure.

    It covers all that may change an answer: the model, the messages, the tools as the model is told of them, the tool
    choice, the output's schema, the settings and, unless it is shared, whom the run is for. Nothing is sorted: the
    order of a schema's properties changes answers too.
    """
    everything = (
        FORMAT,
        model,
        request.messages,
        [(tool.name, tool.description, tool.parameters) for tool in request.tools],
        request.tool_choice,
        request.output,
        request.settings,
        (False, request.user) if not shared else (True, None),
    )
    try:
        # MessagePack gives each value its type and length, so that no two requests have the same encoding.
        return hashlib.sha256(msgspec.msgpack.encode(everything)).hexdigest()
    except _UNFIT:
        return None


def pack(response: object) -> bytes | None:
    """The response as bytes; `None` for what is none, or would not come out of them again."""
    if not isinstance(response, ModelResponse):
        return None
    try:
        value = msgspec.msgpack.encode((FORMAT, response))
    except _UNFIT:
        return None
    return value if unpack(value) is not None else None


def unpack(value: bytes) -> ModelResponse | None:
    """A new response from the bytes; `None` where they hold none."""
    try:
        _, response = _DECODER.decode(value)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return None
    return attrs.evolve(response, tool_calls=tuple(response.tool_calls))
