"""Changes between two JSON values as JSON Patch (RFC 6902). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agno_rt_serve.api.ag_ui.events import PatchOperation

__all__ = ["list_changes"]


def list_changes(before: Any, after: Any, path: str = "") -> Iterator[PatchOperation]:
    """List the operations that make `after` of `before`. Lists are compared from their beginning."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() - after.keys():
            yield PatchOperation(op="remove", path=f"{path}/{_escape(key)}")
        for key, value in after.items():
            place = f"{path}/{_escape(key)}"
            if key in before:
                yield from list_changes(before[key], value, place)
            else:
                yield PatchOperation(op="add", path=place, value=value)
    elif isinstance(before, list) and isinstance(after, list):
        common = min(len(before), len(after))
        for at in range(common):
            yield from list_changes(before[at], after[at], f"{path}/{at}")
        for at in range(len(before) - 1, common - 1, -1):
            yield PatchOperation(op="remove", path=f"{path}/{at}")
        for value in after[common:]:
            yield PatchOperation(op="add", path=f"{path}/-", value=value)
    elif type(before) is not type(after) or before != after:
        yield PatchOperation(op="replace", path=path, value=after)


def _escape(key: Any) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
