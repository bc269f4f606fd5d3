"""How long a text may be, and how short."""

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
"""What a run's own guess of tokens takes; of scripts without letters, such as Chinese, a token may be one character."""
_JOINER = "\N{ZERO WIDTH JOINER}"


@attrs.frozen(eq=False)
class Length:
    """Keeps each text within bounds: blocks what is too long, or cuts it; what is too short is always blocked.

    Each text is measured by itself: of an input of several messages or parts, every one. Raises `UsageError` for bounds
    that no text can fit, or none at all.

    Attributes:
        max_characters: how many characters (Unicode code points) a text may have; `None` for any number
        min_characters: how many it must have, without the space around it
        max_tokens: how many tokens it may have, by `count`
        min_tokens: how many it must have
        action: `block` or `cut`; a cut never parts a letter from its accents
        count: counts the tokens of a text, for your model; `None` guesses one for every four characters. A cut asks it
            some twenty times
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
        """Measure, and block or cut."""
        told = text.strip() if self.min_characters or self.min_tokens else text
        if len(told) < self.min_characters:
            return Verdict(f"{len(told)} characters are fewer than {self.min_characters}")
        if self.min_tokens and (tokens := self._tokens(told)) < self.min_tokens:
            return Verdict(f"{tokens} tokens are fewer than {self.min_tokens}")
        if self.max_characters is not None and len(text) > self.max_characters:
            return self._too_long(f"{len(text)} characters are more than {self.max_characters}", text)
        if self.max_tokens is not None and (tokens := self._tokens(text)) > self.max_tokens:
            return self._too_long(f"{tokens} tokens are more than {self.max_tokens}", text)
        return None

    def _too_long(self, reason: str, text: str) -> Verdict:
        if self.action == "block":
            return Verdict(reason)
        end = len(text) if self.max_characters is None else min(len(text), self.max_characters)
        if self.max_tokens is not None:
            end = self._fitting(text, end, self.max_tokens)
        return Verdict(reason, text[: _whole_letter(text, end)])

    def _fitting(self, text: str, end: int, most: int) -> int:
        """The longest beginning that has no more tokens: by halves, since a longer one has as many or more."""
        if self._tokens(text[:end]) <= most:
            return end
        low, high = 0, end
        while high - low > 1:
            middle = (low + high) // 2
            if self._tokens(text[:middle]) <= most:
                low = middle
            else:
                high = middle
        return low

    def _tokens(self, text: str) -> int:
        return -(-len(text) // CHARACTERS_PER_TOKEN) if self.count is None else self.count(text)


MOST_MARKS = 1_000
"""Marks of one letter. No language has so many, and looking for the letter behind them takes time."""


def _whole_letter(text: str, end: int) -> int:
    """Where the text ends that has no letter without all of its accents; the end itself for a letter without end."""
    for at in range(end, max(0, end - MOST_MARKS), -1):
        if at == len(text) or not _belongs_together(text[at - 1], text[at]):
            return at
    return 0 if end < MOST_MARKS else end


def _belongs_together(before: str, after: str) -> bool:
    return _JOINER in (before, after) or unicodedata.category(after).startswith("M")
