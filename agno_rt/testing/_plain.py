"""Requests and answers as JSON that people read: what is as it always is stays out, and lines stay short."""

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

__all__ = ["plain", "plain_request", "pretty"]

WIDTH = 110


def plain_request(request: ModelRequest) -> dict[str, Any]:
    """What of a request changes its answer. Raises `UsageError` for settings that JSON cannot carry.

    The ids of tool calls are numbered: they differ each time where a model has none of its own.
    """
    made: dict[str, Any] = plain(request)
    made.pop("turn", None)
    ids: dict[str, str] = {}
    for message in made["messages"]:
        for call in message.get("tool_calls", ()):
            call["id"] = ids.setdefault(call["id"], f"call {len(ids) + 1}")
        if "tool_call_id" in message:
            known = message["tool_call_id"]
            message["tool_call_id"] = ids.setdefault(known, f"call {len(ids) + 1}")
    return made


def plain(value: Any) -> Any:
    """The value as JSON has it; of our own values, the fields that are not as by default."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else _fields(value)


def _fields(value: Any) -> dict[str, Any]:
    match value:
        case Tool():
            return {"name": value.name, "description": value.description, "parameters": plain(value.parameters)}
        case msgspec.Struct():
            return {name: item for name, item in msgspec.to_builtins(value).items() if item not in ("", None)}
        case bytes():
            # A test has the bytes itself; what matters is whether they are the same.
            return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if not attrs.has(type(value)):
        hint = "Give settings that JSON can carry."
        raise UsageError(f"{value!r} within a request cannot be written to a cassette", hint=hint)
    fields = ((field, getattr(value, field.name)) for field in attrs.fields(type(value)))
    return {field.name: plain(item) for field, item in fields if item != _default(field.default)}


def _default(default: Any) -> Any:
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def pretty(value: Any, indent: str = "", room: int = WIDTH) -> str:
    """JSON text, in which whatever fits into a line is on one."""
    short = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(short) <= room or not isinstance(value, dict | list) or not value:
        return short
    inner = f"{indent}  "
    if isinstance(value, list):
        lines = [pretty(item, inner) for item in value]
        begin, end = "[]"
    else:
        keys = {key: f"{json.dumps(key, ensure_ascii=False)}: " for key in value}
        lines = [f"{keys[key]}{pretty(item, inner, WIDTH - len(keys[key]))}" for key, item in value.items()]
        begin, end = "{}"
    body = ",\n".join(f"{inner}{line}" for line in lines)
    return f"{begin}\n{body}\n{indent}{end}"
