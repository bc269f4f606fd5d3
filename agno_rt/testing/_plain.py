"""Requests and answers as readable JSON: without default values, in short lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from agno_rt.errors import UsageError
from agno_rt.models import ModelRequest
from agno_rt.tools import Tool

__all__ = ["format_json", "to_plain", "to_plain_request"]

WIDTH = 110


def to_plain_request(request: ModelRequest) -> dict[str, Any]:
    """Return the parts of a request that may change its answer. Raises `UsageError` for settings beyond JSON.

    Ids of tool calls are replaced by numbers: generated ids differ each time.
    """
    made: dict[str, Any] = to_plain(request)
    made.pop("turn", None)
    ids: dict[str, str] = {}
    for message in made["messages"]:
        for call in message.get("tool_calls", ()):
            call["id"] = ids.setdefault(call["id"], f"call {len(ids) + 1}")
        if "tool_call_id" in message:
            known = message["tool_call_id"]
            message["tool_call_id"] = ids.setdefault(known, f"call {len(ids) + 1}")
    return made


def to_plain(value: Any) -> Any:
    """Return the value as JSON; of agno_rt's classes, only fields without their default value."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, list | tuple) else _to_fields(value)


def _to_fields(value: Any) -> dict[str, Any]:
    match value:
        case Tool():
            return {"name": value.name, "description": value.description, "parameters": to_plain(value.parameters)}
        case msgspec.Struct():
            return {name: item for name, item in msgspec.to_builtins(value).items() if item not in ("", None)}
        case bytes():
            # A hash is enough: the test has the bytes, and the cassette only compares them.
            return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if not attrs.has(type(value)):
        hint = "Give settings that JSON can carry."
        raise UsageError(f"{value!r} within a request cannot be written to a cassette", hint=hint)
    fields = ((field, getattr(value, field.name)) for field in attrs.fields(type(value)))
    return {field.name: to_plain(item) for field, item in fields if item != _default_value(field.default)}


def _default_value(default: Any) -> Any:
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def format_json(value: Any, indent: str = "", room: int = WIDTH) -> str:
    """Return JSON text that puts each value on one line if it fits."""
    short = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(short) <= room or not isinstance(value, dict | list) or not value:
        return short
    inner = f"{indent}  "
    if isinstance(value, list):
        lines = [format_json(item, inner) for item in value]
        begin, end = "[]"
    else:
        keys = {key: f"{json.dumps(key, ensure_ascii=False)}: " for key in value}
        lines = [f"{keys[key]}{format_json(item, inner, WIDTH - len(keys[key]))}" for key, item in value.items()]
        begin, end = "{}"
    body = ",\n".join(f"{inner}{line}" for line in lines)
    return f"{begin}\n{body}\n{indent}{end}"
