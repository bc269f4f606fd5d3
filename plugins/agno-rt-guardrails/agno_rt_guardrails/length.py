"""Bounds for the length of a text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Literal

import attrs

from agno_rt.context import RunContext
from agno_rt.errors import UsageError
from agno_rt.hooks import Verdict
from agno_rt_guardrails.find import check_action

CHARACTERS_PER_TOKEN = 4
"""The run's own estimate. In scripts without letters, such as Chinese, a token may be one character."""
_JOINER = "\N{ZERO WIDTH JOINER}"


@attrs.frozen(eq=False)
class Length:
    """A guardrail that keeps each text within bounds: blocks or cuts long texts, and always blocks short texts.

    Each text is measured alone: an input of several messages or parts has several texts. Raises `UsageError` for
    impossible bounds, or without any bound.

    Attributes:
        max_characters: the most characters (Unicode code points) of a text; `None` for any number
        min_characters: the fewest characters, without the space around the text
        max_tokens: the most tokens, by `count`
        min_tokens: the fewest tokens
        action: `block` or `cut`; a cut never separates a letter from its accents
        count: counts the tokens of a text, for your model; `None` estimates one for every four characters. A cut calls
            `count` about twenty times
    """

    max_characters: int | None = None
    min_characters: int = attrs.field(default=0, kw_only=True)
    max_tokens: int | None = attrs.field(default=None, kw_only=True)
    min_tokens: int = attrs.field(default=0, kw_only=True)
    action: Literal["block", "cut"] = attrs.field(default="block", kw_only=True)
    count: Callable[[str], int] | None = attrs.field(default=None, kw_only=True)
    name: str = attrs.field(default="length", kw_only=True)

    def __attrs_post_init__(self) -> None:
        check_action(self.action, ("block", "cut"), "Length")
        for unit, least, most in (
            ("characters", self.min_characters, self.max_characters),
            ("tokens", self.min_tokens, self.max_tokens),
        ):
            if least < 0 or (most is not None and most < 1):
                raise UsageError(f"Length cannot have {least} to {most} {unit}", hint="Write numbers of 1 or more.")
            if most is not None and least > most:
                hint = f"Swap min_{unit} and max_{unit}."
                raise UsageError(f"no text has at least {least} and at most {most} {unit}", hint=hint)
        if not (self.max_characters or self.max_tokens or self.min_characters or self.min_tokens):
            raise UsageError("Length has no bound", hint="Write Length(4_000), or Length(max_tokens=1_000).")

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Measure the text, then block or cut."""
        told = text.strip() if self.min_characters or self.min_tokens else text
        if len(told) < self.min_characters:
            return Verdict(f"{len(told)} characters are fewer than {self.min_characters}")
        if self.min_tokens and (tokens := self._count_tokens(told)) < self.min_tokens:
            return Verdict(f"{tokens} tokens are fewer than {self.min_tokens}")
        if self.max_characters is not None and len(text) > self.max_characters:
            return self._judge_long(f"{len(text)} characters are more than {self.max_characters}", text)
        if self.max_tokens is not None and (tokens := self._count_tokens(text)) > self.max_tokens:
            return self._judge_long(f"{tokens} tokens are more than {self.max_tokens}", text)
        return None

    def _judge_long(self, reason: str, text: str) -> Verdict:
        if self.action == "block":
            return Verdict(reason)
        end = len(text) if self.max_characters is None else min(len(text), self.max_characters)
        if self.max_tokens is not None:
            end = self._find_cut(text, end, self.max_tokens)
        return Verdict(reason, text[: _find_letter_end(text, end)])

    def _find_cut(self, text: str, end: int, most: int) -> int:
        """Find the longest prefix with at most `most` tokens, by bisection: longer prefixes have as many or more."""
        if self._count_tokens(text[:end]) <= most:
            return end
        low, high = 0, end
        while high - low > 1:
            middle = (low + high) // 2
            if self._count_tokens(text[:middle]) <= most:
                low = middle
            else:
                high = middle
        return low

    def _count_tokens(self, text: str) -> int:
        return -(-len(text) // CHARACTERS_PER_TOKEN) if self.count is None else self.count(text)


MOST_MARKS = 1_000
"""Marks on one letter. No language has so many, and the search for the letter takes time."""


def _find_letter_end(text: str, end: int) -> int:
    """Return the last place up to `end` that does not split a letter from its accents; `end` for an endless letter."""
    for at in range(end, max(0, end - MOST_MARKS), -1):
        if at == len(text) or not _belongs_together(text[at - 1], text[at]):
            return at
    return 0 if end < MOST_MARKS else end


def _belongs_together(before: str, after: str) -> bool:
    return _JOINER in (before, after) or unicodedata.category(after).startswith("M")
