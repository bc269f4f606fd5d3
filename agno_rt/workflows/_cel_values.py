"""The operators of CEL on plain values, as the CEL specification defines them. Pure.

Values are null, bool, int (64 bits), double, string, list and map. A bool is not a number. Int and double do not mix in
arithmetic; in comparisons they are points of one line of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

__all__ = ["CelError", "add", "compare", "divide", "equal", "find_item", "find_key", "measure", "multiply", "negate"]
__all__ += ["contain", "remainder", "require_bool", "select_field", "subtract"]

_LEAST, _MOST = -(2**63), 2**63 - 1


class CelError(Exception):
    """An error as the value of an expression, such as a division by zero. `||` and `&&` may absorb it."""


def name_type(value: Any) -> str:
    """Return CEL's name for the type of a value."""
    names: dict[type, str] = {bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _raise_mismatch(operator: str, *values: Any) -> Any:
    types = ", ".join(map(name_type, values))
    raise CelError(f"{operator} does not take ({types})")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(ours: Any, theirs: Any) -> bool:
    """Return whether two values are equal; values of unlike types are not."""
    if _is_number(ours) and _is_number(theirs):
        return bool(ours == theirs)
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    if isinstance(ours, dict):
        if len(ours) != len(theirs):
            return False
        pairs = ((value, find_key(theirs, key)) for key, value in ours.items())
        return all(found is not None and equal(value, found[0]) for value, found in pairs)
    return bool(ours == theirs)


def compare(operator: str, holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Return the comparison `operator` of numbers, strings and bools. It raises `CelError` for another type."""

    def judge(ours: Any, theirs: Any) -> bool:
        alike = type(ours) is type(theirs) and isinstance(ours, str | bool)
        if alike or (_is_number(ours) and _is_number(theirs)):
            return holds(ours, theirs)
        return bool(_raise_mismatch(operator, ours, theirs))

    return judge


def require_bool(value: Any, operator: str) -> bool:
    """Return a bool. Raises `CelError` for another value."""
    return value if isinstance(value, bool) else _raise_mismatch(operator, value)


def _check_bits(value: int) -> int:
    if not _LEAST <= value <= _MOST:
        raise CelError("integer overflow")
    return value


def _are(kind: type, ours: Any, theirs: Any) -> bool:
    return type(ours) is kind and type(theirs) is kind


def add(ours: Any, theirs: Any) -> Any:
    """Return the sum of two numbers of one type, or two strings or lists joined. Raises `CelError`."""
    if _are(int, ours, theirs):
        return _check_bits(ours + theirs)
    if any(_are(kind, ours, theirs) for kind in (float, str, list)):
        return ours + theirs
    return _raise_mismatch("+", ours, theirs)


def subtract(ours: Any, theirs: Any) -> Any:
    """Return the difference of two numbers of one type. Raises `CelError`."""
    if _are(int, ours, theirs):
        return _check_bits(ours - theirs)
    return ours - theirs if _are(float, ours, theirs) else _raise_mismatch("-", ours, theirs)


def multiply(ours: Any, theirs: Any) -> Any:
    """Return the product of two numbers of one type. Raises `CelError`."""
    if _are(int, ours, theirs):
        return _check_bits(ours * theirs)
    return ours * theirs if _are(float, ours, theirs) else _raise_mismatch("*", ours, theirs)


def divide(ours: Any, theirs: Any) -> Any:
    """Return the quotient of two numbers of one type; of ints, cut towards zero. Raises `CelError`."""
    if _are(int, ours, theirs):
        if theirs == 0:
            raise CelError("division by zero")
        quotient = abs(ours) // abs(theirs)
        return _check_bits(quotient if (ours < 0) is (theirs < 0) else -quotient)
    if not _are(float, ours, theirs):
        return _raise_mismatch("/", ours, theirs)
    if theirs == 0:
        sign = math.copysign(1, ours) * math.copysign(1, theirs)
        return math.nan if ours == 0 or math.isnan(ours) else math.copysign(math.inf, sign)
    return ours / theirs


def remainder(ours: Any, theirs: Any) -> Any:
    """Return the remainder of two ints, with the sign of the first. Raises `CelError`."""
    if not _are(int, ours, theirs):
        return _raise_mismatch("%", ours, theirs)
    if theirs == 0:
        raise CelError("modulus by zero")
    _check_bits(-ours if theirs == -1 else ours)
    rest = abs(ours) % abs(theirs)
    return -rest if ours < 0 else rest


def negate(value: Any) -> Any:
    """Return the number with the other sign. Raises `CelError`."""
    if type(value) is int:
        return _check_bits(-value)
    return -value if type(value) is float else _raise_mismatch("-", value)


def measure(value: Any) -> int:
    """Return the characters of a string, or the items of a list or map. Raises `CelError`."""
    return len(value) if isinstance(value, str | list | dict) else _raise_mismatch("size", value)


def find_key(entries: dict[Any, Any], key: Any) -> tuple[Any] | None:
    """Return the entry of a key in a tuple, or `None`. Python takes 1 and true for the same key, CEL does not."""
    if isinstance(key, str):
        return (entries[key],) if key in entries else None
    return next(((value,) for each, value in entries.items() if equal(each, key)), None)


def find_item(whole: Any, at: Any) -> Any:
    """Return an item of a list, or an entry of a map. Raises `CelError`."""
    if isinstance(whole, dict) and not isinstance(at, list | dict | None):
        found = find_key(whole, at)
        if found is None:
            raise CelError(f"there is no key {at!r:.80}")
        return found[0]
    if isinstance(whole, list) and _is_number(at) and at == at // 1:
        if 0 <= at < len(whole):
            return whole[int(at)]
        raise CelError(f"there is no item {at} in a list of {len(whole)}")
    return _raise_mismatch("[]", whole, at)


def select_field(whole: Any, name: str, written: str) -> Any:
    """Return a field of a map. Raises `CelError`, with the text of the map."""
    if not isinstance(whole, dict):
        raise CelError(f"{written} is a {name_type(whole)} without {name!r}")
    if name not in whole:
        raise CelError(f"{written} has no {name!r}")
    return whole[name]


def contain(whole: Any, part: Any) -> bool:
    """Return whether a list has the value, or a map the key. Raises `CelError`."""
    if isinstance(whole, dict) and not isinstance(part, list | dict | None):
        return find_key(whole, part) is not None
    if isinstance(whole, list):
        return any(equal(each, part) for each in whole)
    return bool(_raise_mismatch("in", part, whole))
