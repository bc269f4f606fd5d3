"""Expressions of declared workflows in CEL, such as `output.approved` or `state.count > 3`.

With the extra `agno-rt[cel]` the engine of the CEL project reads and computes an expression. Without it the reader here
does, which has the usual part of CEL and refuses the rest by name. Both get plain values, as JSON would carry them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypeAlias

import attrs
import msgspec

from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import UsageError
from agno_rt.failures import must_pass, named
from agno_rt.workflows._cel_engine import compile_text, find_engine
from agno_rt.workflows._cel_parts import Part
from agno_rt.workflows._cel_reader import read_part
from agno_rt.workflows._cel_tokens import CelFault, NeedsEngine
from agno_rt.workflows._cel_types import Type, show_type
from agno_rt.workflows._cel_values import CelError

__all__ = ["Expression", "Wanted"]

Wanted: TypeAlias = Literal["a condition", "a list", "a value"]
"""The use of an expression. A condition is true or false, and nothing else counts as either."""

_MOST_CHARACTERS = 500
"""The longest expression: longer ones belong into a function."""

_HINT = (
    "Write CEL: output.approved, state.count > 3, size(output.parts) == 0 || !output.ready, output.kind in ['a', 'b'], "
    "has(output.title). For more, give a function of (output, state)."
)
_ENGINE_HINT = "Only the engine has this: pip install 'agno-rt[cel]'. Or give a function of (output, state)."
_PYTHON = re.compile(r"\b(and|or|not|is|None|True|False|len)\b")
_PYTHON_HINT = "CEL has && for and, || for or, ! for not, true, false and null, size(x) for len(x), == for is."
_USES = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?<![\w.])([a-zA-Z]\w*)\b(?:\s*\.\s*(\w+)\b(?!\s*\())?""")
_PLAIN = (str, bool, int, float, list, tuple, Mapping, type(None))


@attrs.frozen
class Expression:
    """An expression, read: `text` as written, and in `uses` the fields of each name.

    A field `""` stands for the whole value.
    """

    text: str
    uses: Mapping[str, Collection[str]]
    _what: str
    _wanted: Wanted
    _own: Part | None = attrs.field(repr=False, eq=False)
    _value: Callable[[Mapping[str, Any]], Any] = attrs.field(repr=False, eq=False)

    @classmethod
    def read(
        cls, text: str, what: str, wanted: Wanted = "a value", names: Collection[str] = ("output", "state")
    ) -> Expression:
        """Read an expression about the names. Raises `UsageError`; `what` is the place for errors."""
        own, value = _read_text(text, what, wanted, dict.fromkeys(names, "dyn"))
        return cls(text, _list_uses(text, names), what, wanted, own, value)

    def check(self, state: Type, place: str) -> None:
        """Raise `UsageError` if the expression does not fit the type of the state; `place` names the workflow."""
        _read_text(self.text, f"{place}, {self._what}", self._wanted, {"output": "dyn", "state": state})

    def evaluate(self, names: Mapping[str, Any], place: str) -> Any:
        """Return the value. Raises `UsageError` with the place and the expression."""
        try:
            if self._wanted == "a list" and self._own is not None and self._own.path is not None:
                return _follow(names, self._own.path)
            given = {name: _make_plain(names[name], fields) for name, fields in self.uses.items()}
            value = self._compute(given)
        except BaseException as exc:  # fields of the values are code of others
            if must_pass(exc):
                raise
            reason = str(exc) if isinstance(exc, CelError) else named(exc)
            hint = "Look at the output of the node before, and at the fields of the state."
            raise UsageError(f"{place}: the expression {self.text!r} failed: {reason}", hint=hint) from exc
        if self._wanted == "a condition" and not isinstance(value, bool):
            problem = f"{place}: the expression {self.text!r} is {value!r:.80}, and a condition is true or false"
            raise UsageError(problem, hint="Compare: output.title != '', size(output.parts) > 0, state.count > 0.")
        return value

    def _compute(self, given: Mapping[str, Any]) -> Any:
        try:
            return self._value(given)
        except CelError:
            # The own reader names the value without the field; the engine does not.
            if self._own is not None:
                self._own.value(given)
            raise


def _read_text(
    text: str, what: str, wanted: Wanted, names: Mapping[str, Type]
) -> tuple[Part | None, Callable[[Mapping[str, Any]], Any]]:
    """Return the expression as read here, if possible, and the function to compute it. Raises `UsageError`."""
    own, fault = None, None
    try:
        if len(text) > _MOST_CHARACTERS:
            raise CelFault(f"it has {len(text)} characters, of at most {_MOST_CHARACTERS}", _MOST_CHARACTERS + 1)
        own = read_part(text, names)
    except CelFault as exc:
        fault = exc
    engine = find_engine() if fault is None or isinstance(fault, NeedsEngine) else None
    if engine is not None:
        try:
            type_, value = compile_text(engine, text, names)
        except CelFault as exc:
            raise _refuse(text, what, exc) from exc
    elif own is None or fault is not None:
        raise _refuse(text, what, fault) from fault
    else:
        type_, value = show_type(own.type), own.value
    if wanted == "a condition" and type_ not in ("bool", "dyn"):
        raise _refuse(text, what, CelFault(f"it is of type {type_}, and a condition is true or false", 1))
    return own, value


def _refuse(text: str, what: str, fault: CelFault | None) -> UsageError:
    hint = _ENGINE_HINT if isinstance(fault, NeedsEngine) else _PYTHON_HINT if _PYTHON.search(text) else _HINT
    column = 1 if fault is None else fault.column
    return UsageError(f"{what}: cannot read the expression {text!r} at column {column}: {fault}", hint=hint)


def _list_uses(text: str, names: Collection[str]) -> dict[str, set[str]]:
    """Return the fields of each name in the text."""
    uses: dict[str, set[str]] = {}
    for name, field in _USES.findall(text):
        if name in names:
            uses.setdefault(name, set()).add(field)
    return uses


def _make_plain(value: Any, fields: Collection[str]) -> Any:
    """Return a value as JSON would carry it; of an object only the fields in use."""
    if isinstance(value, _PLAIN):
        return _convert(value)
    found = {name: _convert(getattr(value, name)) for name in fields if _is_field(value, name)}
    if found and "" not in fields:
        return found
    whole = _convert(value)
    return whole | found if isinstance(whole, dict) else whole


def _convert(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=_convert_object)


def _convert_object(value: Any) -> Any:
    """Return an object unknown to msgspec in a plain form; a kept failure becomes a text."""
    return f"failed: {named(value)}" if isinstance(value, BaseException) else plain_value(value)


def _is_field(value: Any, name: str) -> bool:
    # A method is not a field, and what a class keeps for itself is not there.
    return (
        bool(name) and not name.startswith("_") and hasattr(value, name) and not inspect.isroutine(getattr(value, name))
    )


def _follow(names: Mapping[str, Any], path: tuple[Any, ...]) -> Any:
    """Return the value at the end of the path unchanged: a list keeps its objects. Raises `CelError`."""
    value, written = names[path[0]], str(path[0])
    for key in path[1:]:
        if isinstance(value, Mapping):
            found = [value[key]] if key in value else []
        elif isinstance(key, int):
            is_list = isinstance(value, list | tuple)
            found = [value[key]] if is_list and 0 <= key < len(value) else []
        else:
            found = [getattr(value, key)] if _is_field(value, key) else []
        if not found:
            raise CelError(f"{written} is a {type(value).__name__} without {key!r}")
        value, written = found[0], f"{written}.{key}" if isinstance(key, str) else f"{written}[{key}]"
    return value
