"""Expressions of declared workflows, such as `output.approved` or `state.count > 3`. Pure.

An expression is a part of Python's syntax: names, fields, items, constants, comparisons, `and`, `or`, `not`, `len()`.
Nothing else is called, and no name with a leading underscore is read, so that a file may hold expressions safely.
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import attrs

from agno_rt.errors import UsageError
from agno_rt.failures import must_pass, named

__all__ = ["Expression"]

Value: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""A part of an expression: the names' values in, the part's value out."""

_MOST_CHARACTERS = 500
"""The longest expression: Python's parser takes more memory for deeper ones."""

_HINT = (
    "Write fields, constants and comparisons: output.approved, state.count > 3, len(output.parts) == 0 or not "
    'output.kind in ["a", "b"]. For more, give a function of (output, state).'
)
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda part, whole: part in whole,
    ast.NotIn: lambda part, whole: part not in whole,
}
_CONSTANTS = {"true": True, "false": False, "null": None}


@attrs.frozen
class Expression:
    """An expression that was read: `text` as it was written, and the fields of the state that it names."""

    text: str
    state_fields: tuple[str, ...]
    _value: Value = attrs.field(repr=False, eq=False)

    @classmethod
    def read(cls, text: str, what: str, names: Collection[str] = ("output", "state")) -> Expression:
        """Read an expression about the names. Raises `UsageError`; `what` says where the expression is."""
        try:
            if len(text) > _MOST_CHARACTERS:
                raise SyntaxError(f"it has {len(text)} characters, of at most {_MOST_CHARACTERS}")
            tree = ast.parse(text.strip(), mode="eval").body
            value = _read_part(tree, names)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
            reason = getattr(exc, "msg", None) or str(exc)
            raise UsageError(f"{what}: cannot read the expression {text!r}: {reason}", hint=_HINT) from exc
        fields = [
            each.attr
            for each in ast.walk(tree)
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "state"
        ]
        return cls(text, tuple(fields), value)

    def evaluate(self, names: Mapping[str, Any], place: str) -> Any:
        """Return the value. Raises `UsageError` with the place and the expression."""
        try:
            return self._value(names)
        except BaseException as exc:  # fields and comparisons of the values are code of others
            if must_pass(exc):
                raise
            reason = str(exc) if type(exc) is LookupError else named(exc)
            hint = "Look at the output of the node before, and at the fields of the state."
            raise UsageError(f"{place}: the expression {self.text!r} failed: {reason}", hint=hint) from exc


def _read_part(tree: ast.expr, names: Collection[str]) -> Value:
    """Return the part as a function. Raises `SyntaxError` for a part that expressions do not have."""
    reader = _READERS.get(type(tree))
    if reader is None:
        raise SyntaxError(f"{ast.unparse(tree)!r} is nothing that an expression may have")
    return reader(tree, names)


def _read_name(tree: ast.Name, names: Collection[str]) -> Value:
    name = tree.id
    if name in names:
        return lambda given: given[name]
    if name in _CONSTANTS:
        constant = _CONSTANTS[name]
        return lambda given: constant
    raise SyntaxError(f"there is no {name!r}, only {', '.join(names)}")


def _read_field(tree: ast.Attribute, names: Collection[str]) -> Value:
    whole, name, written = _read_part(tree.value, names), tree.attr, ast.unparse(tree.value)
    if name.startswith("_"):
        raise SyntaxError(f"{name!r} is private")
    return lambda given: _find_field(whole(given), name, written)


def _read_item(tree: ast.Subscript, names: Collection[str]) -> Value:
    whole, at = _read_part(tree.value, names), ast.literal_eval(tree.slice)
    if not isinstance(at, int | str):
        raise SyntaxError("an item is named by a whole number or a text")
    return lambda given: whole(given)[at]


def _read_constant(tree: ast.expr, names: Collection[str]) -> Value:
    constant = ast.literal_eval(tree)
    return lambda given: constant


def _read_unary(tree: ast.UnaryOp, names: Collection[str]) -> Value:
    if not isinstance(tree.op, ast.Not):
        return _read_constant(tree, names)
    part = _read_part(tree.operand, names)
    return lambda given: not part(given)


def _read_bool(tree: ast.BoolOp, names: Collection[str]) -> Value:
    parts, is_or = [_read_part(each, names) for each in tree.values], isinstance(tree.op, ast.Or)

    def join(given: Mapping[str, Any]) -> Any:
        value: Any = None
        for part in parts:
            value = part(given)
            if bool(value) is is_or:
                break
        return value

    return join


def _read_comparison(tree: ast.Compare, names: Collection[str]) -> Value:
    first = _read_part(tree.left, names)
    rest = [(_COMPARISONS[type(op)], _read_part(to, names)) for op, to in zip(tree.ops, tree.comparators, strict=True)]

    def compare(given: Mapping[str, Any]) -> bool:
        ours = first(given)
        for holds, part in rest:
            theirs = part(given)
            if not holds(ours, theirs):
                return False
            ours = theirs
        return True

    return compare


def _read_list(tree: ast.List | ast.Tuple, names: Collection[str]) -> Value:
    parts = [_read_part(each, names) for each in tree.elts]
    return lambda given: [part(given) for part in parts]


def _read_length(tree: ast.Call, names: Collection[str]) -> Value:
    if not isinstance(tree.func, ast.Name) or tree.func.id != "len" or len(tree.args) != 1 or tree.keywords:
        raise SyntaxError(f"{ast.unparse(tree)!r} calls something else than len(...)")
    part = _read_part(tree.args[0], names)
    return lambda given: len(part(given))


_READERS: dict[type[ast.expr], Callable[[Any, Collection[str]], Value]] = {
    ast.Name: _read_name,
    ast.Attribute: _read_field,
    ast.Subscript: _read_item,
    ast.Constant: _read_constant,
    ast.UnaryOp: _read_unary,
    ast.BoolOp: _read_bool,
    ast.Compare: _read_comparison,
    ast.List: _read_list,
    ast.Tuple: _read_list,
    ast.Call: _read_length,
}


def _find_field(value: Any, name: str, written: str) -> Any:
    """Return a field of an object, or an entry of a dict."""
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
    elif hasattr(value, name):
        found = getattr(value, name)
        # A method is true whatever it would return: `output.title` of a text is a mistake.
        if not inspect.isroutine(found):
            return found
    raise LookupError(f"{written} is a {type(value).__name__} without {name!r}")
