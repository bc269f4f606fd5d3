"""Turns values of a workflow into the input of a run: results of runs become texts, other values JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agno_rt._decide.input import Input, are_messages
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import UsageError
from agno_rt.failures import named
from agno_rt.messages import Media, Message
from agno_rt.result import RunResult

__all__ = ["input_for_run"]


def input_for_run(value: Any) -> Input:
    """Return the value as the input of a run. Raises `UsageError` for a value that JSON cannot carry."""
    if isinstance(value, str | Media | Message):
        return value if isinstance(value, str) else (value,)
    if isinstance(value, RunResult):
        return value.content
    if are_messages(value):
        return value
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        return _encode_value(value)
    if any(isinstance(part, str | Media | RunResult | BaseException) for part in value):
        return [_part_of(part) for part in value]
    return _encode_value(value)


def _part_of(value: Any) -> str | Media:
    if isinstance(value, str | Media):
        return value
    if isinstance(value, RunResult):
        return value.content
    return f"failed: {named(value)}" if isinstance(value, BaseException) else _encode_value(value)


def _encode_value(value: Any) -> str:
    try:
        return msgspec.json.encode(value, enc_hook=plain_value).decode()
    except (TypeError, ValueError) as exc:
        hint = "Give text, messages, results of runs, or a value that JSON can carry."
        raise UsageError(f"the input of a run is a {type(value).__name__}: {named(exc)}", hint=hint) from exc
