"""Exact numbers with bounds: fractions, and roots and logarithms as decimals with a known number of right digits.

No function takes long or much memory: the bound on digits is checked before a number is computed. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from fractions import Fraction

import attrs

from agno_rt.tools import ToolArgumentError

__all__ = ["CONSTANTS", "FUNCTIONS", "Number", "combine", "negate", "show_number"]

MOST_DIGITS = 1_000
"""The most digits of a number, before the point and after. Larger results help nobody, and 9**9**9 never ends."""
MOST_BITS = int(MOST_DIGITS * math.log2(10))
RIGHT_DIGITS = 30
"""The digits shown of a number that has no end, such as a third or a root."""
FLOAT_DIGITS = 14
"""The digits after the point that are right in sines and their kin, which the machine's floats compute."""
_EXACT = 10_000
_CONTEXT = Context(prec=RIGHT_DIGITS + 10, Emax=MOST_DIGITS * 10, Emin=-MOST_DIGITS * 10)


@attrs.frozen
class Number:
    """A number, and how many of its digits are right."""

    value: Fraction
    digits: int = _EXACT


def combine(operator: str, left: Number, right: Number) -> Number:
    """Apply an operator: `+ - * / // % **`. Raises `ToolArgumentError` for a division by zero and a huge result."""
    if operator == "**":
        return _raise_power(left, right)
    if operator in ("/", "//", "%") and right.value == 0:
        raise ToolArgumentError("Division by zero. Check the divisor.")
    return _bound_number(_OPERATORS[operator](left.value, right.value), min(left.digits, right.digits))


def negate(number: Number) -> Number:
    """Return the number with the other sign."""
    return Number(-number.value, number.digits)


def show_number(number: Number) -> str:
    """Return the number as a decimal: whole if it ends within the bound, else rounded, with its fraction."""
    value, digits = number.value, min(number.digits, RIGHT_DIGITS)
    if number.digits == _EXACT:
        shown = _show_exactly(value)
        if shown is not None:
            return shown
    rounded = Context(prec=digits).divide(Decimal(value.numerator), Decimal(value.denominator))
    text = _show_decimal(rounded)
    fraction = f"{value.numerator}/{value.denominator}"
    if number.digits == _EXACT and len(fraction) <= 60:
        return f"{text} (rounded to {digits} digits; exactly {fraction})"
    return f"{text} (rounded to {digits} digits)"


def _show_exactly(value: Fraction) -> str | None:
    if value.denominator == 1:
        return str(value.numerator)
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places > 100:
        return None
    text = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{text[:-places]}.{text[-places:]}"


def _show_decimal(value: Decimal) -> str:
    value = value.normalize(Context(prec=RIGHT_DIGITS))
    return f"{value:f}" if -20 < value.adjusted() < RIGHT_DIGITS else f"{value:E}"


def _bound_number(value: Fraction, digits: int) -> Number:
    """Return a number of bounded size: a long fraction is rounded. Raises `ToolArgumentError` for a huge number."""
    if _count_bits(value) <= MOST_BITS:
        return Number(value, digits)
    if value.denominator == 1:
        raise _refuse_size()
    return _approximate(lambda: _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator)), digits)


def _count_bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _refuse_size() -> ToolArgumentError:
    problem = f"The result, or a step to it, has more than {MOST_DIGITS:,} digits."
    return ToolArgumentError(f"{problem} Use smaller numbers, or logarithms.")


_OPERATORS: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: Fraction(a // b),
    "%": lambda a, b: a % b,
}


def _raise_power(base: Number, exponent: Number) -> Number:
    digits = min(base.digits, exponent.digits)
    if base.value == 0 and exponent.value < 0:
        raise ToolArgumentError("Division by zero: zero to a negative power. Check the exponent.")
    if exponent.value.denominator == 1:
        power = int(exponent.value)
        if abs(base.value) in (0, 1):  # every power is small
            return Number(base.value ** (power % 2 if base.value else power), digits)
        if abs(power) * _count_bits(base.value) <= MOST_BITS:
            return Number(base.value**power, digits)
        if base.value.denominator == 1 and power > 0 and power * (_count_bits(base.value) - 1) > MOST_BITS:
            raise _refuse_size()
        # Such as compound interest: 1.035 ** 360 has a thousand digits, of which 30 are plenty.
        return _approximate(lambda: _CONTEXT.power(_to_decimal(base), Decimal(power)), digits)
    if base.value < 0:
        raise ToolArgumentError("A negative number to a fractional power is not a real number. Check the base.")
    return _approximate(lambda: _CONTEXT.power(_to_decimal(base), _to_decimal(exponent)), digits)


def _to_decimal(number: Number) -> Decimal:
    return _CONTEXT.divide(Decimal(number.value.numerator), Decimal(number.value.denominator))


def _approximate(compute: Callable[[], Decimal], digits: int = RIGHT_DIGITS) -> Number:
    """Return a decimal with 30 right digits at most. Raises `ToolArgumentError` for a huge or impossible result."""
    try:
        found = compute()
    except ArithmeticError as exc:
        raise ToolArgumentError("The result is too large, too small or not a real number. Check the numbers.") from exc
    if not found.is_finite() or abs(found.adjusted()) > MOST_DIGITS:
        raise _refuse_size()
    return Number(Fraction(found), min(digits, RIGHT_DIGITS))


def _take_root(number: Number) -> Number:
    if number.value < 0:
        raise ToolArgumentError("The root of a negative number is not a real number. Check the number.")
    root = Fraction(math.isqrt(number.value.numerator), math.isqrt(number.value.denominator))
    if root * root == number.value:
        return Number(root, number.digits)
    return _approximate(lambda: _CONTEXT.sqrt(_to_decimal(number)), number.digits)


def _take_logarithm(number: Number, base: Number | None = None) -> Number:
    if number.value <= 0 or (base is not None and (base.value <= 0 or base.value == 1)):
        raise ToolArgumentError("Logarithms need a number above 0, and a base above 0 other than 1. Check both.")
    if base is None:
        return _approximate(lambda: _CONTEXT.ln(_to_decimal(number)), number.digits)
    digits = min(number.digits, base.digits)
    found = _approximate(
        lambda: _CONTEXT.divide(_CONTEXT.ln(_to_decimal(number)), _CONTEXT.ln(_to_decimal(base))), digits
    )
    # A logarithm of a power of its base is whole, which rounding hides.
    whole = round(found.value)
    if digits == _EXACT and abs(whole) <= MOST_BITS and abs(found.value - whole) < Fraction(1, 10**RIGHT_DIGITS):
        exact = combine("**", base, Number(Fraction(whole)))
        return Number(Fraction(whole)) if exact.value == number.value else found
    return found


def _round_number(number: Number, places: Number | None = None) -> Number:
    count = 0 if places is None else int(places.value)
    if (places is not None and places.value.denominator != 1) or abs(count) > 100:
        raise ToolArgumentError("The places of round are a whole number, at most 100. Check the second argument.")
    scale = Fraction(10) ** count
    # Halves go away from zero, as people round; Python's round would take 2.5 to 2.
    scaled = abs(number.value) * scale + Fraction(1, 2)
    rounded = Fraction(math.floor(scaled)) / scale
    return Number(-rounded if number.value < 0 else rounded)


def _take_factorial(number: Number) -> Number:
    if number.value.denominator != 1 or number.value < 0:
        raise ToolArgumentError("Factorials need a whole number from 0 on. Check the number.")
    if number.value > 450:  # 450! has 1,001 digits
        raise _refuse_size()
    return Number(Fraction(math.factorial(int(number.value))), number.digits)


def _wrap_float(compute: Callable[[float], float]) -> Callable[..., Number]:
    def apply(number: Number) -> Number:
        try:
            found = Decimal(compute(float(number.value)))
            found = round(found, FLOAT_DIGITS) if abs(found) < 1 else found  # the sine of pi is 0
        except (ArithmeticError, ValueError) as exc:
            raise ToolArgumentError("The number is out of this function's range. Check the number.") from exc
        return _approximate(lambda: found, min(number.digits, FLOAT_DIGITS))

    return apply


def _wrap_choice(choose: Callable[..., Number]) -> Callable[..., Number]:
    return lambda *numbers: choose(numbers, key=lambda each: each.value)


def _wrap_whole(compute: Callable[[Fraction], int]) -> Callable[..., Number]:
    return lambda number: Number(Fraction(compute(number.value)))


FUNCTIONS: Mapping[str, tuple[int, int, Callable[..., Number]]] = {
    "abs": (1, 1, lambda number: Number(abs(number.value), number.digits)),
    "acos": (1, 1, _wrap_float(math.acos)),
    "asin": (1, 1, _wrap_float(math.asin)),
    "atan": (1, 1, _wrap_float(math.atan)),
    "ceil": (1, 1, _wrap_whole(math.ceil)),
    "cos": (1, 1, _wrap_float(math.cos)),
    "degrees": (1, 1, _wrap_float(math.degrees)),
    "exp": (1, 1, lambda number: _approximate(lambda: _CONTEXT.exp(_to_decimal(number)), number.digits)),
    "factorial": (1, 1, _take_factorial),
    "floor": (1, 1, _wrap_whole(math.floor)),
    "ln": (1, 1, _take_logarithm),
    "log": (1, 2, _take_logarithm),
    "log10": (1, 1, lambda number: _take_logarithm(number, Number(Fraction(10)))),
    "log2": (1, 1, lambda number: _take_logarithm(number, Number(Fraction(2)))),
    "max": (1, 100, _wrap_choice(max)),
    "min": (1, 100, _wrap_choice(min)),
    "radians": (1, 1, _wrap_float(math.radians)),
    "round": (1, 2, _round_number),
    "sin": (1, 1, _wrap_float(math.sin)),
    "sqrt": (1, 1, _take_root),
    "tan": (1, 1, _wrap_float(math.tan)),
}
"""The functions of expressions: the fewest and the most arguments, and the function."""

CONSTANTS: Mapping[str, Number] = {
    "e": Number(Fraction("2.718281828459045235360287471352662497757247093699959574966967627724"), RIGHT_DIGITS),
    "pi": Number(Fraction("3.141592653589793238462643383279502884197169399375105820974944592307"), RIGHT_DIGITS),
    "tau": Number(Fraction("6.283185307179586476925286766559005768394338798750211641949889184615"), RIGHT_DIGITS),
}
