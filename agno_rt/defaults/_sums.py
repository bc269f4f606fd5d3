"""Answers texts that ask for a sum, as in `2+2` or `What is 15% of 80?`, exactly. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

import attrs

__all__ = ["answer_sum"]

# Bounds on the work that a text from a stranger may cause: 9^9^9 would compute for ever.
_LONGEST = 120
_MOST_DIGITS = 30
_MOST_POWER = 64

_ASKING = re.compile(
    r"^(?:(?:please|hey|ok|and|so),?\s+)*"
    r"(?:(?:can|could) you (?:please )?)?"
    r"(?:(?:what|how much|how many)(?:'s|\s+is|\s+are|\s+does|\s+do)?|calculate|compute|solve|work out|tell me)\s+"
    r"(?:what\s+is\s+)?"
)
_WORDS = {
    name: str(value)
    for value, name in enumerate(
        (
            *(
                "zero",
                "one",
                "two",
                "three",
                "four",
                "five",
                "six",
                "seven",
                "eight",
                "nine",
                "ten",
                "eleven",
                "twelve",
            ),
            *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
        )
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90"}
# In this order: "percent" becomes "%" before "% of" becomes "% *".
_SIGNS = (
    (r"(?<=[\d%])\s*(?:percent|per cent)\b", "%"),
    (r"%\s*of\b", "% *"),
    (r"\bto the power of\b|\*\*", "^"),
    (r"\b(?:divided by|over)\b|[\u00f7:]", "/"),
    (r"\b(?:multiplied by|times)\b|[\u00d7\u00b7]|(?<=\d)\s*x\s*(?=\d)", "*"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|[\u2212\u2013]", "-"),
    (r"(?<=\d),(?=\d{3}\b)", ""),
)
_SUM = re.compile(r"[\d.()+\-*/^%\s]+")
_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|[()+\-*/^%])")
_SHOWN = str.maketrans({"*": "\u00d7", "/": "\u00f7", "-": "\u2212"})
# More likely a date, a telephone number or "24/7" than a sum, unless the text asks for the result.
_DOUBTFUL = re.compile(r"\d+(?:[-/]\d+){2,}|\d{3,}-\d{3,}|24/7")


class _NoSumError(Exception):
    """The text does not ask for a sum, or the result is out of bounds."""


def answer_sum(text: str) -> str | None:
    """Return the sum with its result, `17 * 23 = 391`, in typographic signs; None for any other text."""
    asked = text.strip().lower()
    if not any(char.isdigit() for char in asked) and not any(word in asked for word in _WORDS):
        return None
    if len(asked) > _LONGEST:
        return None
    bare = _ASKING.sub("", asked, count=1)
    is_asked = bare != asked or asked.endswith(("=", "?", "= ?"))
    bare = bare.rstrip(" ?=!.")
    bare = re.sub(r"\b[a-z]+\b", lambda word: _WORDS.get(word[0], word[0]), bare)
    for pattern, sign in _SIGNS:
        bare = re.sub(pattern, sign, bare)
    bare = bare.replace("%*", "% *")
    if not _SUM.fullmatch(bare) or (not is_asked and _DOUBTFUL.fullmatch(bare)):
        return None
    try:
        tokens = _split_tokens(bare)
        reader = _Reader(tokens)
        result = reader.whole()
    except (_NoSumError, ZeroDivisionError):
        return "Nobody can divide by zero." if re.search(r"/\s*0+(?![\d.])", bare) else None
    return None if reader.operations == 0 else f"{_format_sum(tokens)} {_format_result(result)}"


def _split_tokens(text: str) -> list[str]:
    tokens = _TOKEN.findall(text)
    # `findall` skips all other characters: compare, so that no part of the text is lost.
    if "".join(tokens) != re.sub(r"\s", "", text):
        raise _NoSumError
    return tokens


@attrs.define
class _Reader:
    """Evaluates a sum by the usual order: brackets, powers, products, sums."""

    tokens: list[str]
    at: int = 0
    operations: int = 0

    def whole(self) -> Fraction:
        value = self.sum()
        if self.at != len(self.tokens):
            raise _NoSumError
        return value

    def sum(self) -> Fraction:
        return self._chain(self.product, "+-")

    def product(self) -> Fraction:
        return self._chain(self.signed, "*/")

    def signed(self) -> Fraction:
        # The sign applies to the whole power, as in mathematics: -2^2 is -4.
        if self._take("-"):
            return -self.signed()
        self._take("+")
        return self.power()

    def power(self) -> Fraction:
        value = self.atom()
        while self._take("%"):
            value = value / 100
        if self._take("^"):
            self.operations += 1
            exponent = self.signed()
            if exponent.denominator != 1 or abs(exponent) > _MOST_POWER:
                raise _NoSumError
            value = _check_size(value ** int(exponent))
        return value

    def atom(self) -> Fraction:
        if self._take("("):
            value = self.sum()
            if not self._take(")"):
                raise _NoSumError
            return value
        if self.at == len(self.tokens) or self.tokens[self.at] in "()+-*/^%":
            raise _NoSumError
        self.at += 1
        return _check_size(Fraction(self.tokens[self.at - 1]))

    def _chain(self, part: Callable[[], Fraction], signs: str) -> Fraction:
        value = part()
        while self.at < len(self.tokens) and (sign := self.tokens[self.at]) in signs:
            self.at += 1
            self.operations += 1
            other = part()
            if sign == "/":
                value = value / other
            elif sign == "*":
                value = value * other
            else:
                value = value + other if sign == "+" else value - other
            value = _check_size(value)
        return value

    def _take(self, token: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] == token:
            self.at += 1
            return True
        return False


def _check_size(value: Fraction) -> Fraction:
    if abs(value) >= 10**_MOST_DIGITS:
        raise _NoSumError
    return value


def _format_sum(tokens: list[str]) -> str:
    """Return the sum as people write sums."""
    text = ""
    for place, token in enumerate(tokens):
        is_sign = token in "+-" and (place == 0 or tokens[place - 1] in "(+-*/^")
        if token in "+-*/" and not is_sign:
            text += f" {token} "
        else:
            text += token
    return text.replace("% * ", "% of ").translate(_SHOWN)


def _format_result(value: Fraction) -> str:
    if value.denominator == 1:
        return f"= {value.numerator}".translate(_SHOWN)
    exact = f"{float(value):.6f}".rstrip("0").rstrip(".")
    sign = "=" if Fraction(exact) == value else "\u2248"
    return f"{sign} {exact}".translate(_SHOWN)
