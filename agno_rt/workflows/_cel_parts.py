"""The parts of a CEL expression as functions, with their types checked. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from agno_rt.workflows import _cel_values as values
from agno_rt.workflows._cel_tokens import CelFault, NeedsEngine
from agno_rt.workflows._cel_types import Type, fits, show_type
from agno_rt.workflows._cel_values import CelError, equal, require_bool

__all__ = [
    "ORDERED",
    "TEXT_METHODS",
    "Given",
    "Part",
    "apply_operator",
    "find_item_type",
    "go_through",
    "has_field",
    "join_logic",
    "judge_texts",
    "measure_part",
    "mismatch_fault",
    "relate_parts",
    "select_part",
    "unknown_call_fault",
]

Given: TypeAlias = Mapping[str, Any]

ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
TEXT_METHODS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda whole, part: part in whole,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}
_ENGINE_CALLS = frozenset(
    [
        "matches",
        "int",
        "uint",
        "double",
        "string",
        "bool",
        "bytes",
        "type",
        "dyn",
        "duration",
        "timestamp",
        "existsOne",
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
    ]
)


@attrs.frozen
class Part:
    """A part of an expression. `value` computes the part from the values of the names.

    Attributes:
        type: the type, as far as it is known
        value: the function
        text: the part as people write it, for errors
        path: the name, fields and constant indices, if the part is nothing else
        field: the map and the field's name, if the part is a field
    """

    type: Type
    value: Callable[[Given], Any]
    text: str = "the value"
    path: tuple[Any, ...] | None = None
    field: tuple[Part, str] | None = None


def mismatch_fault(sign: str, column: int, *parts: Part) -> CelFault:
    types = ", ".join(show_type(part.type) for part in parts)
    reason = f"{sign!r} does not take ({types})"
    if {"int", "double"} <= {part.type for part in parts if isinstance(part.type, str)}:
        reason += "; write 3.0 for a double"
    return CelFault(reason, column)


def unknown_call_fault(name: str, column: int) -> CelFault:
    if name in _ENGINE_CALLS:
        return NeedsEngine(f"{name}() is called", column)
    return CelFault(f"there is no function {name}() with these arguments", column)


def apply_operator(
    work: Callable[[Any, Any], Any], ours: Callable[[Given], Any], theirs: Callable[[Given], Any]
) -> Any:
    return lambda given: work(ours(given), theirs(given))


def join_logic(sign: str, ours: Callable[[Given], Any], theirs: Callable[[Given], Any], decisive: bool) -> Any:
    def join(given: Given) -> bool:
        try:
            if require_bool(ours(given), sign) is decisive:
                return decisive
        except CelError:
            # The other side may decide, whatever is wrong with this one.
            if require_bool(theirs(given), sign) is decisive:
                return decisive
            raise
        return require_bool(theirs(given), sign)

    return join


def relate_parts(sign: str, ours: Part, theirs: Part, column: int) -> Part:
    if sign == "in":
        whole = theirs.type
        key = whole[1] if isinstance(whole, tuple) else whole
        if (whole != "dyn" and not isinstance(whole, tuple)) or not fits(ours.type, key):
            raise mismatch_fault(sign, column, ours, theirs)
        return Part("bool", lambda given: _contain(ours.value(given), theirs.value(given)))
    is_ordered = sign in ORDERED
    if not fits(ours.type, theirs.type) or (is_ordered and not (_has_order(ours) and _has_order(theirs))):
        raise mismatch_fault(sign, column, ours, theirs)
    if is_ordered:
        return Part("bool", apply_operator(values.compare(sign, ORDERED[sign]), ours.value, theirs.value))
    if sign == "==":
        return Part("bool", apply_operator(equal, ours.value, theirs.value))
    return Part("bool", lambda given: not equal(ours.value(given), theirs.value(given)))


def _contain(part: Any, whole: Any) -> bool:
    return values.contain(whole, part)


def _has_order(part: Part) -> bool:
    return part.type in ("dyn", "int", "double", "string", "bool", "null_type")  # null may stand for a time


def find_item_type(whole: Part, at: Part, column: int) -> Type:
    kind = whole.type
    if kind == "dyn":
        return "dyn"
    if isinstance(kind, tuple):
        key = "int" if kind[0] == "list" else kind[1]
        if fits(at.type, key):
            found: Type = kind[-1]
            return found
    raise mismatch_fault("[]", column, whole, at)


def select_part(whole: Part, name: str, column: int) -> Part:
    kind, text = whole.type, f"{whole.text}.{name}"
    if isinstance(kind, dict):
        if name not in kind:
            raise CelFault(f"{whole.text} does not have {name!r}, only {', '.join(kind)}", column)
        type_: Type = kind[name]
    elif isinstance(kind, tuple) and kind[0] == "map":
        type_ = kind[2]
    elif kind == "dyn":
        type_ = "dyn"
    else:
        raise mismatch_fault(f".{name}", column, whole)
    path = None if whole.path is None else (*whole.path, name)

    def select(given: Given) -> Any:
        return values.select_field(whole.value(given), name, whole.text)

    return Part(type_, select, text, path, (whole, name))


def has_field(part: Part, column: int) -> Part:
    if part.field is None:
        raise CelFault("has(...) takes a field, as in has(output.title)", column)
    whole, name = part.field
    if isinstance(whole.type, dict):
        raise CelFault(f"{part.text} is always there: leave has(...) out", column)

    def find(given: Given) -> bool:
        found = whole.value(given)
        if not isinstance(found, dict):
            values.select_field(found, name, whole.text)
        return name in found

    return Part("bool", find)


def measure_part(part: Part, column: int) -> Part:
    if part.type not in ("dyn", "string") and not isinstance(part.type, tuple):
        raise mismatch_fault("size", column, part)
    return Part("int", lambda given: values.measure(part.value(given)))


def judge_texts(name: str) -> Callable[[Any, Any], bool]:
    holds = TEXT_METHODS[name]

    def judge(whole: Any, part: Any) -> bool:
        if isinstance(whole, str) and isinstance(part, str):
            return holds(whole, part)
        raise CelError(f"{name} takes strings")

    return judge


def go_through(name: str, whole: Callable[[Given], Any], each: str, body: Callable[[Given], Any]) -> Any:
    """Return the function of a macro. `all` and `exists` absorb errors like `&&` and `||`."""

    def go(given: Given) -> Any:
        items = whole(given)
        if not isinstance(items, list | dict):
            raise CelError(f"{name} takes a list or a map")
        if name in ("filter", "map") and isinstance(items, dict):
            raise CelError(f"{name} goes through a map, which has no order: pip install 'agno-rt[cel]'")
        if name == "map":
            return [body({**given, each: item}) for item in items]
        if name == "filter":
            return [item for item in items if require_bool(body({**given, each: item}), name)]
        if name == "exists_one":
            return sum([require_bool(body({**given, each: item}), name) for item in items]) == 1
        return _decide_all(items, lambda item: require_bool(body({**given, each: item}), name), name == "exists")

    return go


def _decide_all(items: Any, judge: Callable[[Any], bool], decisive: bool) -> bool:
    first: CelError | None = None
    for item in items:
        try:
            if judge(item) is decisive:
                return decisive
        except CelError as exc:
            first = first or exc
    if first is not None:
        raise first
    return not decisive
