"""Reads and evaluates arithmetic expressions, such as `2 * (3 + 4) ** 2` or `round(100 / 3, 2)`. Pure.

The reader knows numbers, operators, functions and constants, and nothing else: there is no name of Python to reach.
"""

from __future__ import annotations

import re
from fractions import Fraction

from agno_rt.errors import suggest
from agno_rt.tools import ToolArgumentError
from agno_rt_toolkits.numbers import CONSTANTS, FUNCTIONS, MOST_DIGITS, Number, combine, negate

__all__ = ["MOST_CHARACTERS", "evaluate"]

MOST_CHARACTERS = 2_000
MOST_DEPTH = 50
"""The deepest nesting, far below the depth at which Python's stack ends."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|//|[-+*/%^(),\u00d7\u00f7\u2212\u00b7]))"
)
_SAME = {"^": "**", "\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-"}
"""Signs of people for those of programs: times, the dot, the division sign and the long minus."""
_LEVELS = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2}


def evaluate(expression: str) -> Number:
    """Return the value of an expression. Raises `ToolArgumentError`, whose text is for the model."""
    if len(expression) > MOST_CHARACTERS:
        raise ToolArgumentError(f"The expression has more than {MOST_CHARACTERS:,} characters. Split it.")
    return _Reader(expression).read_all()


class _Reader:
    """Reads an expression from left to right: the usual order of operators, powers from the right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._kind, self._token = "", ""
        self._begin = 0
        self._advance()

    def read_all(self) -> Number:
        """Return the value of the whole text."""
        value = self._read_sum(1)
        if self._kind != "end":
            raise self._fail("is not expected here")
        return value

    def _advance(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is not None:
            self._kind = str(match.lastgroup)
            self._token = _SAME.get(match[self._kind], match[self._kind])
            self._begin, self._at = match.start(self._kind), match.end()
            return
        rest = self._text[self._at :].lstrip()
        self._begin, self._token, self._kind = len(self._text) - len(rest), rest[:1], "end"
        if rest:
            raise self._fail("is not part of an expression")

    def _fail(self, problem: str) -> ToolArgumentError:
        where = f"{self._token!r} at character {self._begin + 1}" if self._token else "The end of the expression"
        known = f"Use numbers, + - * / // % **, parentheses, and {', '.join(sorted(FUNCTIONS))}, pi, e."
        return ToolArgumentError(f"{where} {problem}. {known}")

    def _read_sum(self, level: int) -> Number:
        """Read operands joined by operators of this level and above."""
        left = self._read_signed()
        while (own := _LEVELS.get(self._token, 0) if self._kind == "sign" else 0) >= level:
            operator = self._token
            self._advance()
            left = combine(operator, left, self._read_sum(own + 1))
        return left

    def _read_signed(self) -> Number:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise ToolArgumentError(f"The expression is nested more than {MOST_DEPTH} deep. Split it.")
        try:
            if self._kind == "sign" and self._token in "+-":
                is_minus = self._token == "-"
                self._advance()
                value = self._read_signed()
                return negate(value) if is_minus else value
            return self._read_power()
        finally:
            self._depth -= 1

    def _read_power(self) -> Number:
        base = self._read_atom()
        if self._kind == "sign" and self._token == "**":
            self._advance()
            return combine("**", base, self._read_signed())  # -2**2 is -4, and 2**-1 is allowed
        return base

    def _read_atom(self) -> Number:
        kind, token = self._kind, self._token
        if kind == "number":
            self._advance()
            return _read_number(token)
        if kind == "name":
            return self._read_name(token)
        if kind == "sign" and token == "(":
            self._advance()
            value = self._read_sum(1)
            self._close()
            return value
        raise self._fail("is not expected here: a number is missing")

    def _read_name(self, name: str) -> Number:
        begin = self._begin
        self._advance()
        called = self._kind == "sign" and self._token == "("
        if not called and name in CONSTANTS:
            return CONSTANTS[name]
        if name not in FUNCTIONS or not called:
            known = FUNCTIONS if called else [*CONSTANTS, *FUNCTIONS]
            problem = "is not a function" if called else "is not a number"
            raise ToolArgumentError(f"{name[:50]!r} at character {begin + 1} {problem}. {suggest('name', name, known)}")
        arguments = self._read_arguments()
        fewest, most, function = FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            raise ToolArgumentError(f"{name} takes {count} numbers, and has {len(arguments)}.")
        return function(*arguments)

    def _read_arguments(self) -> list[Number]:
        self._advance()
        arguments = list[Number]()
        if not (self._kind == "sign" and self._token == ")"):
            arguments.append(self._read_sum(1))
            while self._kind == "sign" and self._token == ",":
                self._advance()
                arguments.append(self._read_sum(1))
        self._close()
        return arguments

    def _close(self) -> None:
        if not (self._kind == "sign" and self._token == ")"):
            raise self._fail("stands where ')' is missing")
        self._advance()


def _read_number(text: str) -> Number:
    text = text.replace("_", "")
    exponent = text.lower().partition("e")[2]
    # Before the number is made: 1e999999999 would fill the memory.
    if len(exponent) > 6 or len(text) + abs(int(exponent or 0)) > MOST_DIGITS:
        raise ToolArgumentError(f"{text[:50]!r} has more than {MOST_DIGITS:,} digits. Use smaller numbers.")
    return Number(Fraction(text))
