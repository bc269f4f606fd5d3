"""Cuts a CEL expression into tokens. Pure."""

from __future__ import annotations

import re
from typing import Any

import attrs

__all__ = ["CelFault", "NeedsEngine", "Token", "cut"]

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*)+)
    |(?P<string>[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''
        |"(?:\\.|[^"\\\n\r])*"|'(?:\\.|[^'\\\n\r])*'))
    |(?P<double>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>0x[0-9a-fA-F]+[uU]?|\d+[uU]?)
    |(?P<name>[_a-zA-Z][_a-zA-Z0-9]*|`[^`]*`)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = re.compile(r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL)
_LETTERS = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))


class CelFault(ValueError):
    """A fault in an expression, with the column where the fault is, counted from 1."""

    def __init__(self, reason: str, column: int) -> None:
        super().__init__(reason)
        self.column = column


class NeedsEngine(CelFault):
    """A part of CEL for the engine alone."""


@attrs.frozen
class Token:
    """A token: `kind` is string, double, int, name, sign or end; `value` is the constant, or the text."""

    kind: str
    value: Any
    column: int


def cut(text: str) -> list[Token]:
    """Return the tokens of the text, the end as the last. Raises `CelFault`."""
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise CelFault(f"cannot read {text[at : at + 10]!r}", at + 1)
        kind, written = str(found.lastgroup), found.group()
        if kind != "space":
            tokens.append(Token(kind, _read_token(kind, written, at + 1), at + 1))
        at = found.end()
    return [*tokens, Token("end", "the end", len(text) + 1)]


def _read_token(kind: str, written: str, column: int) -> Any:
    if kind == "double":
        return float(written)
    if kind == "int":
        if written[-1] in "uU":
            raise NeedsEngine(f"{written} is an unsigned number", column)
        return int(written, 16 if written.startswith("0x") else 10)
    if kind == "string":
        return _read_string(written, column)
    if written.startswith("`"):
        raise NeedsEngine(f"{written} is a quoted name", column)
    return written


def _read_string(written: str, column: int) -> str:
    start = min(written.index(quote) for quote in "\"'" if quote in written)
    prefix, body = written[:start].lower(), written[start:]
    if prefix:
        raise NeedsEngine(f"{written:.20} is a raw string or bytes", column)
    width = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    body = body[width:-width]

    def read_escape(found: re.Match[str]) -> str:
        code = found.group(1)
        if len(code) == 1:
            if code not in _LETTERS:
                raise CelFault(f"\\{code} is not an escape", column)
            return _LETTERS[code]
        number = int(code, 8) if code[0].isdigit() else int(code[1:], 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise CelFault(f"\\{code} is not a character", column)
        return chr(number)

    return _ESCAPES.sub(read_escape, body)
