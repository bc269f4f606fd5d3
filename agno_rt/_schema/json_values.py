"""Explains values that JSON cannot carry: `nan` and the infinities, which msgspec writes as null, and coroutines."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

__all__ = ["check_numbers", "hint_await"]


def check_numbers(value: Any, encode: Callable[[Any], Any]) -> None:
    """Raise `ValueError` for a value with `nan` or an infinity. Only a value with null in its JSON can have any.

    `encode` turns parts that msgspec does not know into parts that it knows.
    """
    found = _find_odd_number(msgspec.to_builtins(value, enc_hook=encode), "")
    if found is not None:
        raise ValueError(f"the number {found} does not exist in JSON: use None or a text in its place")


def hint_await(exc: BaseException) -> str:
    """Return the hint for a value that msgspec refuses because of a coroutine in it; empty for other exceptions."""
    if "type coroutine" not in str(exc):
        return ""
    return "An `await` is missing: steps, flow.run and the like are called as in `await flow.run(...)`."


def _find_odd_number(value: Any, place: str) -> str | None:
    """Return the first number that JSON does not have, with its place; or None."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value}{f' at {place}' if place else ''}"
    if isinstance(value, dict):
        parts = [(f"{place}.{key}" if place else str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = [(f"{place}[{at}]", each) for at, each in enumerate(value)]
    else:
        return None
    return next((found for name, each in parts if (found := _find_odd_number(each, name)) is not None), None)
