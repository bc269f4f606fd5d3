"""Reads CEL without the engine, in part, and turns an expression into a function. Pure.

The answers are those of the engine: types are checked as its checker does, and `||` and `&&` absorb errors. Other forms
of CEL are refused by name (`NeedsEngine`), so that no expression has two meanings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from agno_rt.workflows import _cel_values as values
from agno_rt.workflows._cel_parts import (
    ORDERED,
    TEXT_METHODS,
    Given,
    Part,
    apply_operator,
    find_item_type,
    go_through,
    has_field,
    join_logic,
    judge_texts,
    measure_part,
    mismatch_fault,
    relate_parts,
    select_part,
    unknown_call_fault,
)
from agno_rt.workflows._cel_tokens import CelFault, NeedsEngine, Token, cut
from agno_rt.workflows._cel_types import Type, find_sum, fits, join_types
from agno_rt.workflows._cel_values import CelError, require_bool

__all__ = ["read_part"]

_DEEPEST = 24
"""The most levels of an expression; the engine takes 32, and Python's stack has an end."""

_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_CONSTANTS: dict[str, tuple[Type, Any]] = {
    "true": ("bool", True),
    "false": ("bool", False),
    "null": ("null_type", None),
}
_RELATIONS = ("==", "!=", *ORDERED, "in")
_NUMBERS = ("int", "double")
_ARITHMETIC: dict[str, tuple[Callable[[Any, Any], Any], tuple[str, ...]]] = {
    "+": (values.add, ("int", "double", "string", "list", "null_type")),
    "-": (values.subtract, (*_NUMBERS, "null_type")),
    "*": (values.multiply, _NUMBERS),
    "/": (values.divide, _NUMBERS),
    "%": (values.remainder, ("int",)),
}
_TYPE_NAMES = frozenset(
    ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type", "google"]
)
_MACROS = ("all", "exists", "exists_one", "filter", "map")


def read_part(text: str, names: Mapping[str, Type]) -> Part:
    """Return the expression, read. Raises `CelFault`, or `NeedsEngine` for a form of the engine alone."""
    reader = _Reader(text, names)
    part = reader.read_choice()
    if reader.peek.kind != "end":
        raise CelFault(f"{reader.peek.value!r} is too much", reader.peek.column)
    return reader.take_value(part, 1)


class _Reader:
    """Reads the tokens in order, from the loosest operator to the tightest."""

    def __init__(self, text: str, names: Mapping[str, Type]) -> None:
        self._text = text
        self._tokens = cut(text)
        self._at = 0
        self._names = dict(names)
        self._depth = 0
        self._is_in_macro = False

    @property
    def peek(self) -> Token:
        """The next token."""
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self.peek
        self._at += token.kind != "end"
        return token

    def _is_sign(self, *signs: str) -> bool:
        token = self.peek
        return token.kind in ("sign", "name") and token.value in signs

    def _skip(self, sign: str) -> bool:
        if self._is_sign(sign):
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._skip(sign):
            raise CelFault(f"{sign!r} is missing before {self.peek.value!r}", self.peek.column)

    def take_value(self, part: Part, column: int) -> Part:
        """Return the part. Raises `CelFault` for an object of the state as a whole: CEL has no type for objects."""
        if isinstance(part.type, dict):
            raise CelFault(f"{part.text} is an object: name a field, one of {', '.join(part.type)}", column)
        return part

    def read_choice(self) -> Part:
        """Read `a ? b : c`, or an operator of a tighter kind."""
        self._depth += 1
        column = self.peek.column
        if self._depth > _DEEPEST:
            raise NeedsEngine("the expression is nested too deeply", column)
        part = self._read_either()
        if self._is_sign("?"):
            at = self._next().column
            yes = self._read_either()
            self._expect(":")
            part = self._choose(part, yes, self.read_choice(), at)
        self._depth -= 1
        return part

    def _choose(self, test: Part, yes: Part, no: Part, column: int) -> Part:
        if not fits(test.type, "bool") or not fits(yes.type, no.type):
            raise mismatch_fault("?:", column, test, yes, no)

        def choose(given: Given) -> Any:
            return yes.value(given) if require_bool(test.value(given), "?:") else no.value(given)

        return Part(join_types([yes.type, no.type]), choose)

    def _read_either(self) -> Part:
        return self._read_logic("||", self._read_both, True)

    def _read_both(self) -> Part:
        return self._read_logic("&&", self._read_relation, False)

    def _read_logic(self, sign: str, read: Callable[[], Part], decisive: bool) -> Part:
        part = read()
        while self._is_sign(sign):
            column = self._next().column
            other = read()
            if not fits(part.type, "bool") or not fits(other.type, "bool"):
                raise mismatch_fault(sign, column, part, other)
            part = Part("bool", join_logic(sign, part.value, other.value, decisive))
        return part

    def _read_relation(self) -> Part:
        part = self._read_sum()
        while self._is_sign(*_RELATIONS):
            token = self._next()
            part = relate_parts(token.value, part, self._read_sum(), token.column)
        return part

    def _read_sum(self) -> Part:
        return self._read_arithmetic(("+", "-"), self._read_product)

    def _read_product(self) -> Part:
        return self._read_arithmetic(("*", "/", "%"), self._read_unary)

    def _read_arithmetic(self, signs: tuple[str, ...], read: Callable[[], Part]) -> Part:
        part = read()
        while self._is_sign(*signs):
            token = self._next()
            ours, other = part, read()
            work, takes = _ARITHMETIC[token.value]
            type_ = find_sum(ours.type, other.type, takes)
            if type_ is None:
                raise mismatch_fault(token.value, token.column, ours, other)
            part = Part(type_, apply_operator(work, ours.value, other.value))
        return part

    def _read_unary(self) -> Part:
        token, count = self.peek, 0
        if not self._is_sign("!", "-"):
            return self._read_member()
        while self._skip(token.value):
            count += 1
        if token.value == "-" and count == 1:
            count -= self._take_sign()
        elif token.value == "!" and self._skip("-") and not self._take_sign():
            raise CelFault("'-' stands after '!'", token.column)
        part = self._read_member()
        if count % 2 == 0:
            return part
        if token.value == "!":
            if not fits(part.type, "bool"):
                raise mismatch_fault("!", token.column, part)
            return Part("bool", lambda given: not require_bool(part.value(given), "!"))
        if part.type not in (*_NUMBERS, "dyn"):
            raise mismatch_fault("-", token.column, part)
        return Part(part.type, lambda given: values.negate(part.value(given)))

    def _take_sign(self) -> bool:
        """Make a constant negative, if a constant is next: the least int has no positive counterpart."""
        if self.peek.kind not in ("int", "double"):
            return False
        self._tokens[self._at] = attrs.evolve(self.peek, value=-self.peek.value)
        return True

    def _read_member(self) -> Part:
        column = self.peek.column
        part = self._read_primary()
        while self._is_sign(".", "[", "{"):
            token = self._next()
            if token.value == "{":
                raise NeedsEngine("a message is made", token.column)
            part = self._read_item(part, token.column) if token.value == "[" else self._read_after_dot(part, column)
        return part

    def _read_item(self, whole: Part, column: int) -> Part:
        if self._is_sign("?"):
            raise NeedsEngine("'[?' is an optional index", column)
        start, constant = self._at, self.peek
        at = self.take_value(self.read_choice(), constant.column)
        is_constant = self._at == start + 1 and constant.kind in ("int", "string")
        self._expect("]")
        type_ = find_item_type(whole, at, column)
        path = (*whole.path, constant.value) if whole.path is not None and is_constant else None
        return Part(type_, apply_operator(values.find_item, whole.value, at.value), f"{whole.text}[{at.text}]", path)

    def _read_after_dot(self, whole: Part, column: int) -> Part:
        token = self._next()
        if token.value == "?":
            raise NeedsEngine("'.?' is an optional field", token.column)
        name = token.value
        if token.kind != "name" or name in ("in", *_CONSTANTS):
            raise CelFault(f"{name!r} is not the name of a field", token.column)
        if self._skip("("):
            return self._read_method(whole, token, column)
        return select_part(whole, name, token.column)

    def _read_method(self, whole: Part, token: Token, column: int) -> Part:
        self.take_value(whole, column)
        name = token.value
        if name in _MACROS:
            return self._read_macro(whole, token)
        arguments = self._read_list(")")
        if name == "size" and not arguments:
            return measure_part(whole, token.column)
        if name in TEXT_METHODS and len(arguments) == 1:
            part = arguments[0]
            if not fits(whole.type, "string") or not fits(part.type, "string"):
                raise mismatch_fault(name, token.column, whole, part)
            return Part("bool", apply_operator(judge_texts(name), whole.value, part.value))
        raise unknown_call_fault(name, token.column)

    def _read_macro(self, whole: Part, token: Token) -> Part:
        """Read `list.all(each, condition)` and its kin, over the items."""
        name = token.value
        if self._is_in_macro:
            raise NeedsEngine(f"{name!r} stands within another all, exists, exists_one, filter or map", token.column)
        if name in ("filter", "map") and isinstance(whole.type, tuple) and whole.type[0] == "map":
            raise NeedsEngine(f"{name!r} goes through a map, which has no order", token.column)
        if not fits(whole.type, ("list", "dyn")) and not fits(whole.type, ("map", "dyn", "dyn")):
            raise mismatch_fault(name, token.column, whole)
        each = self._next()
        if each.kind != "name" or each.value in (*_CONSTANTS, *_RESERVED, "in"):
            raise CelFault(f"{name} needs a name for the item: {name}(each, ...)", each.column)
        self._expect(",")
        item = whole.type[1] if isinstance(whole.type, tuple) else "dyn"
        outer, self._names, self._is_in_macro = self._names, {**self._names, each.value: item}, True
        body = self.take_value(self.read_choice(), each.column)
        self._names, self._is_in_macro = outer, False
        if self._is_sign(","):
            raise NeedsEngine(f"{name!r} has three arguments", self.peek.column)
        self._expect(")")
        if name != "map" and not fits(body.type, "bool"):
            raise mismatch_fault(name, token.column, body)
        types = {"map": ("list", body.type), "filter": ("list", item)}
        return Part(types.get(name, "bool"), go_through(name, whole.value, each.value, body.value))

    def _read_list(self, end: str) -> list[Part]:
        found: list[Part] = []
        while not self._is_sign(end):
            column = self.peek.column
            if self._is_sign("?"):
                raise NeedsEngine("'?' is an optional item", column)
            found.append(self.take_value(self.read_choice(), column))
            if not self._skip(","):
                break
        self._expect(end)
        return found

    def _read_primary(self) -> Part:
        token = self._next()
        match token.kind, token.value:
            case ("int" | "double" | "string") as kind, constant:
                if kind == "int" and not -(2**63) <= constant < 2**63:
                    raise CelFault(f"{constant} has more than 64 bits", token.column)
                return Part(kind, lambda given: constant, repr(constant))
            case "sign", "(":
                part = self.read_choice()
                self._expect(")")
                return part
            case "sign", "[":
                parts = self._read_list("]")
                type_: Type = ("list", join_types([part.type for part in parts]))
                return Part(type_, lambda given: [part.value(given) for part in parts])
            case "sign", "{":
                return self._read_map(token.column)
            case "name", name:
                return self._read_name(token, name)
            case "sign", ",":
                raise NeedsEngine("nothing stands before ','", token.column)
        raise CelFault(f"{token.value!r} is not the beginning of a value", token.column)

    def _read_map(self, column: int) -> Part:
        pairs: list[tuple[Part, Part]] = []
        while not self._is_sign("}"):
            if self._is_sign("?"):
                raise NeedsEngine("'?' is an optional entry", self.peek.column)
            key = self.take_value(self.read_choice(), self.peek.column)
            self._expect(":")
            pairs.append((key, self.take_value(self.read_choice(), self.peek.column)))
            if not self._skip(","):
                break
        self._expect("}")
        if any(key.type not in ("dyn", "int", "bool", "string") for key, _ in pairs):
            raise NeedsEngine("a map has keys other than int, bool and string", column)
        if len({key.type for key, _ in pairs}) > 1:
            raise NeedsEngine("a map has keys of several types", column)

        def make(given: Given) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for key, part in pairs:
                name = key.value(given)
                if not isinstance(name, int | str) or name in made:
                    raise CelError(f"{name!r:.80} cannot be a key, or is there twice")
                made[name] = part.value(given)
            return made

        keys, parts = (join_types([pair[at].type for pair in pairs]) for at in (0, 1))
        return Part(("map", keys, parts), make)

    def _read_name(self, token: Token, name: str) -> Part:
        if name in _CONSTANTS:
            type_, constant = _CONSTANTS[name]
            return Part(type_, lambda given: constant, name)
        if name in self._names and not self._is_sign("("):
            return Part(self._names[name], lambda given: given[name], name, (name,))
        if not self._skip("("):
            if name in _TYPE_NAMES:
                raise NeedsEngine(f"{name!r} is the name of a type", token.column)
            raise CelFault(f"there is no {name!r}, only {', '.join(self._names)}", token.column)
        if name not in ("has", "size"):
            raise unknown_call_fault(name, token.column)
        arguments = self._read_list(")")
        if len(arguments) != 1:
            raise CelFault(f"{name} has {len(arguments)} arguments, of 1", token.column)
        return (has_field if name == "has" else measure_part)(arguments[0], token.column)
