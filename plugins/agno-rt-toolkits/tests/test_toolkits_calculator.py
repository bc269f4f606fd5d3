"""The toolkit `calculator`: exact results, and bounds that hold before any work."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from decimal import Decimal

import pytest
from agno_rt_toolkits.calculator import add, calculate, divide, multiply, subtract
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_rt.tools import ToolArgumentError


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("0.1 + 0.2", "0.3"),
        ("2 * (3 + 4) ** 2", "98"),
        ("-2**2", "-4"),
        ("2**-3", "0.125"),
        ("2 ** 3 ** 2", "512"),
        ("2 - 3 - 4", "-5"),
        ("12 / 2 * 3", "18"),
        ("-7 // 2", "-4"),
        ("10 % 3", "1"),
        ("1/7*7", "1"),
        ("5 \u00d7 3 \u2212 1", "14"),
        ("2^10", "1024"),
        ("1_000.5e3", "1000500"),
        (".5", "0.5"),
        ("100000000000000000000000 * 3", "300000000000000000000000"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(1234.567, -2)", "1200"),
        ("round(1000 * 1.035 ** 10, 2)", "1410.6"),
        ("round(200000 * (0.035/12) / (1 - (1 + 0.035/12) ** -360), 2)", "898.09"),
        ("sqrt(16/9) * 3", "4"),
        ("log(8, 2)", "3"),
        ("log10(0.001)", "-3"),
        ("max(1, 2.5, 2) - min(3, 4)", "-0.5"),
        ("factorial(20)", "2432902008176640000"),
        ("abs(-3) + ceil(1.2) + floor(-1.2)", "3"),
        ("sin(pi)", "0 (rounded to 14 digits)"),
        ("cos(0)", "1 (rounded to 14 digits)"),
        ("1/3", "0.333333333333333333333333333333 (rounded to 30 digits; exactly 1/3)"),
        ("2^0.5", "1.41421356237309504880168872421 (rounded to 30 digits)"),
        ("1e-40 / 3", "3.33333333333333333333333333333E-41 (rounded to 30 digits; exactly 1/3" + "0" * 40 + ")"),
    ],
)
def test_values(expression: str, value: str) -> None:
    """Sums, products and quotients are exact; other results say how far they are rounded."""
    assert calculate(expression) == value


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("9**9**9", "more than 1,000 digits"),
        ("9" * 1_500, "more than 1,000 digits"),
        ("1e99999", "more than 1,000 digits"),
        ("1e999999999999", "more than 1,000 digits"),
        ("factorial(451)", "more than 1,000 digits"),
        ("10**999 * 10**999", "more than 1,000 digits"),
        ("1.1 ** 100000000", "too large"),
        ("exp(99999)", "too large"),
        ("(" * 500, "nested more than 50 deep"),
        ("-" * 500 + "1", "nested more than 50 deep"),
        ("2**" * 60 + "1", "nested more than 50 deep"),
        ("1+" * 1_000 + "1", "more than 2,000 characters"),
        ("1/0", "Division by zero"),
        ("0**-1", "Division by zero"),
        ("sqrt(-1)", "not a real number"),
        ("(-8)**(1/3)", "not a real number"),
        ("log(-1)", "above 0"),
        ("log(2, 1)", "above 0"),
        ("acos(2)", "out of this function's range"),
        ("round(1, 0.5)", "a whole number"),
        ("sqrt(1, 2)", "takes 1 numbers, and has 2"),
        ("2 3", "'3' at character 3 is not expected here"),
        ("(1", "')' is missing"),
        ("1 +", "The end of the expression is not expected here"),
        ("sqr(4)", "Did you mean 'sqrt'?"),
        ("x + 1", "'x' at character 1 is not a number"),
        ("sqrt", "is not a number"),
        ("1 if 2 else 3", "not expected here"),
        ("'a' * 3", "is not part of an expression"),
        ("__import__('os').system('id')", "is not a function"),
        ("().__class__", "a number is missing"),
        ("[1][0]", "is not part of an expression"),
        ("1; 2", "is not part of an expression"),
        ("", "a number is missing"),
    ],
)
def test_refusals(expression: str, problem: str) -> None:
    """A refused expression is an error for the model, within a few milliseconds of work."""
    begin = time.thread_time()
    with pytest.raises(ToolArgumentError) as caught:
        calculate(expression)
    assert problem in str(caught.value)
    assert time.thread_time() - begin < 0.5


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.eE+-*/%^(), sqrtlogfain", max_size=60))
def test_any_text_is_answered(expression: str) -> None:
    """Any text has a bounded answer or a refusal, and takes no time."""
    begin = time.thread_time()
    with suppress(ToolArgumentError):
        assert len(calculate(expression)) < 1_500
    assert time.thread_time() - begin < 1


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6), st.decimals(places=3, min_value=-9, max_value=9))
def test_the_operations_are_exact(a: Decimal, b: Decimal) -> None:
    """The results equal those of decimals with enough digits."""
    if abs(a.adjusted()) > 30:
        return
    exact = Decimal(add(a, b))
    assert exact - a == b or abs(a.adjusted()) > 20
    assert Decimal(subtract(exact, b)) == a
    assert Decimal(multiply(a, Decimal(3))) - a - a == a or abs(a.adjusted()) > 20
    assert Decimal(divide(a, Decimal(8))) * 8 == a or abs(a.adjusted()) > 20


def test_numbers_keep_all_digits_of_the_request() -> None:
    """A model's number is read as it was written, as a number or as a text."""
    assert add(**add.decode('{"a": 0.1000000000000000000001, "b": "9007199254740993"}')) == (
        "9007199254740993.1000000000000000000001"
    )
    with pytest.raises(ToolArgumentError, match="do not fit its schema"):
        add.decode('{"a": "one", "b": 2}')
    for number in ("NaN", "Infinity", "1e99999"):
        with pytest.raises(ToolArgumentError, match="or is not a number"):
            add(**add.decode(f'{{"a": "{number}", "b": 2}}'))


def test_functions_agree_with_the_standard_library() -> None:
    """Each function with decimals agrees with `math`."""
    for name in ("exp", "ln", "sqrt", "sin", "cos", "tan", "atan", "degrees", "radians"):
        shown = calculate(f"{name}(0.7)").partition(" ")[0]
        assert math.isclose(float(shown), getattr(math, {"ln": "log"}.get(name, name))(0.7), abs_tol=1e-13)
