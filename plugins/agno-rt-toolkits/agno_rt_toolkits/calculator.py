"""The toolkit `calculator`: add, subtract, multiply, divide, and calculate expressions. Results are exact."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from msgspec import Meta

from agno_rt.tools import ToolArgumentError, Toolkit, tool
from agno_rt_toolkits.expressions import MOST_CHARACTERS, evaluate
from agno_rt_toolkits.numbers import MOST_DIGITS, Number, combine, show_number

__all__ = ["calculator_tools"]

_OPTIONS: dict[str, Any] = {"inline": True, "read_only": True, "destructive": False, "idempotent": True}


def calculator_tools() -> Toolkit:
    """Make the tools of the calculator. Numbers are decimals and fractions, so that 0.1 + 0.2 is 0.3."""
    return Toolkit("calculator", (add, subtract, multiply, divide, calculate))


@tool(**_OPTIONS)
def add(a: Decimal, b: Decimal) -> str:
    """Add two numbers together.

    Args:
        a: first number
        b: second number
    """
    return _apply("+", a, b)


@tool(**_OPTIONS)
def subtract(a: Decimal, b: Decimal) -> str:
    """Subtract the second number from the first number.

    Args:
        a: first number
        b: second number
    """
    return _apply("-", a, b)


@tool(**_OPTIONS)
def multiply(a: Decimal, b: Decimal) -> str:
    """Multiply two numbers.

    Args:
        a: first number
        b: second number
    """
    return _apply("*", a, b)


@tool(**_OPTIONS)
def divide(a: Decimal, b: Decimal) -> str:
    """Divide the first number by the second number.

    Args:
        a: numerator
        b: denominator
    """
    return _apply("/", a, b)


@tool(**_OPTIONS)
def calculate(expression: Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS)]) -> str:
    """Calculate an expression, such as 2 * (3 + 4) ** 2 or round(1000 * 1.035 ** 10, 2).

    It may have + - * / // % **, parentheses, abs, ceil, exp, factorial, floor, ln, log, log10, log2, max, min, round,
    sqrt, sin, cos, tan, asin, acos, atan, degrees, radians, pi and e.

    Args:
        expression: the expression
    """
    return show_number(evaluate(expression))


def _apply(operator: str, a: Decimal, b: Decimal) -> str:
    return show_number(combine(operator, _read_decimal(a), _read_decimal(b)))


def _read_decimal(number: Decimal) -> Number:
    if not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS:
        raise ToolArgumentError(f"{str(number)[:50]} has more than {MOST_DIGITS:,} digits, or is not a number.")
    return Number(Fraction(number))
