"""Makes the key and the stored bytes of a cached answer; both are the same in every process."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import attrs
import msgspec

from agno_rt.models import Model, ModelRequest, ModelResponse
from agno_rt.wrappers.base import Wrapper

__all__ = ["identity", "key_of", "pack", "unpack"]

FORMAT = "agno_rt cache 2"
"""Raise the number when the contents of a key or of a stored answer change."""

_UNFIT = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
"""The errors of msgspec for a value that MessagePack and JSON cannot carry."""

_DECODER = msgspec.msgpack.Decoder(tuple[Literal["agno_rt cache 2"], ModelResponse])


def identity(model: Model) -> list[Any]:
    """Return the identity of a model: the class, the name, its own `identity`, and the identities of inner models."""
    kind, own = type(model), getattr(model, "identity", "")
    within = [identity(one) for one in model.models()] if isinstance(model, Wrapper) else []
    return [f"{kind.__module__}.{kind.__qualname__}", model.name, own if isinstance(own, str) else "", within]


def key_of(model: list[Any], request: ModelRequest, *, shared: bool) -> str | None:
    """Return the key of the answer to a request; `None` for a request that cannot be encoded.

    The key covers everything that may change an answer: the model, the messages, the names, descriptions and schemas of
    the tools, the tool choice, the output's schema, the settings and, unless `shared`, the user. Nothing is sorted: the
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
    """Encode a response; `None` for anything else, and for a response that could not be decoded again."""
    if not isinstance(response, ModelResponse):
        return None
    try:
        value = msgspec.msgpack.encode((FORMAT, response))
    except _UNFIT:
        return None
    return value if unpack(value) is not None else None


def unpack(value: bytes) -> ModelResponse | None:
    """Decode a new response; `None` if the bytes are damaged or of another format."""
    try:
        _, response = _DECODER.decode(value)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return None
    return attrs.evolve(response, tool_calls=tuple(response.tool_calls))
