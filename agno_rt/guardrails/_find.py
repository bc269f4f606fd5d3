"""What guardrails that find things share: finders, redaction with numbered tokens, reports without the values.

A finder is a function from a text to the spans in it. All of them look at a text in one pass, with patterns whose
repetitions are bounded, so that no text, however it was made, takes more than linear time.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import attrs

from agno_rt.context import RunContext
from agno_rt.errors import UsageError, suggest
from agno_rt.hooks import Verdict

Action = Literal["redact", "block"]
Span: TypeAlias = tuple[int, int]
Finder: TypeAlias = Callable[[str], Iterable[Span]]
Check: TypeAlias = Callable[[re.Match[str]], Span | None]


class Found(NamedTuple):
    """Something that was found: where, and of what kind."""

    start: int
    end: int
    kind: str


def whole(match: re.Match[str]) -> Span | None:
    """Take a match as it is."""
    return match.span()


def finder(pattern: str, check: Check = whole, *, needle: str = "", flags: int = 0) -> Finder:
    """A finder by a pattern. `check` judges each match and may shorten it; without the `needle` nobody looks."""
    compiled = re.compile(pattern, flags)

    def find(text: str) -> Iterator[Span]:
        position = 0 if needle in text else len(text) + 1
        while position <= len(text) and (match := compiled.search(text, position)) is not None:
            span = check(match)
            if span is None:
                # The next may begin within what was refused.
                position = match.start() + 1
            else:
                yield span
                position = max(span[1], match.start() + 1)

    return find


def find_all(text: str, finders: Mapping[str, Sequence[Finder]]) -> list[Found]:
    """Everything that the finders find, in order. What overlaps becomes one, of the kind that comes first."""
    rank = {kind: at for at, kind in enumerate(finders)}
    spans = [Found(*span, kind) for kind, several in finders.items() for find in several for span in find(text)]
    spans.sort(key=lambda found: (found.start, rank[found.kind]))
    merged: list[Found] = []
    for found in spans:
        if merged and found.start < merged[-1].end:
            last = merged.pop()
            kind = min(last.kind, found.kind, key=rank.__getitem__)
            found = Found(last.start, max(last.end, found.end), kind)  # noqa: PLW2901 - it stands for both
        merged.append(found)
    return merged


def custom(patterns: Mapping[str, str], owner: str) -> dict[str, list[Finder]]:
    """Finders by a user's patterns, by name; a first group, if there is one, is what is meant. Raises `UsageError`."""
    made = {}
    for name, pattern in patterns.items():
        try:
            made[name] = [finder(pattern, _first_group)]
        except (re.error, TypeError) as exc:
            hint = "Write a regular expression of the module re; in TOML, in single quotes."
            raise UsageError(f"{name!r} in patterns of {owner} is no regular expression: {exc}", hint=hint) from exc
    return made


def _first_group(match: re.Match[str]) -> Span | None:
    start, end = match.span(1 if match.re.groups and match.group(1) is not None else 0)
    return (start, end) if end > start else None


def chosen(kinds: Sequence[str], known: Iterable[str], owner: str) -> tuple[str, ...]:
    """The kinds, in the order of `known`. Raises `UsageError` for one that is not among them."""
    names = tuple(known)
    if isinstance(kinds, str):
        raise UsageError(f"kinds of {owner} are {kinds!r}, not a sequence", hint=f"Write kinds=({kinds!r},).")
    for kind in kinds:
        if kind not in names:
            raise UsageError(f"{kind!r} is none of the kinds of {owner}", hint=suggest("kind", str(kind), names))
    return tuple(name for name in names if name in kinds)


def check_token(token: str, owner: str) -> None:
    """Raise `UsageError` for a token that cannot be written."""
    try:
        token.format(kind="email", number=1)
    except (LookupError, ValueError, AttributeError) as exc:
        hint = "It may have {kind} and {number} in it; braces as such are written twice."
        raise UsageError(f"token {token!r} of {owner} cannot be written: {exc!r}", hint=hint) from exc


def check_action(action: str, known: Sequence[str], owner: str) -> None:
    """Raise `UsageError` for an action that there is not."""
    if action not in known:
        raise UsageError(f"{owner} has no action {action!r}", hint=suggest("action", str(action), known))


_NUMBERS = "agno_rt.guardrails"
"""Where a run keeps what was numbered in it, by kind: one thing has one number in all texts of the run."""


def verdict(context: RunContext, text: str, found: Sequence[Found], action: Action, token: str) -> Verdict | None:
    """Block or redact what was found. The reason has kinds and counts, never what was found."""
    if not found:
        return None
    counts = Counter(one.kind for one in found)
    reason = "found " + ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return Verdict(reason, None if action == "block" else _redacted(context, text, found, token))


def _redacted(context: RunContext, text: str, found: Sequence[Found], token: str) -> str:
    kinds: dict[str, dict[str, int]] = context.kept.setdefault(_NUMBERS, {})
    pieces, end = [], 0
    for one in found:
        numbers = kinds.setdefault(one.kind, {})
        number = numbers.setdefault(canonical(text[one.start : one.end]), len(numbers) + 1)
        pieces += [text[end : one.start], token.format(kind=one.kind, number=number)]
        end = one.end
    return "".join([*pieces, text[end:]])


def canonical(value: str) -> str:
    """The same for two ways to write one thing: with or without separators, in capitals or not."""
    return "".join(char for char in plain(value).casefold() if char not in " -./()")


def plain(text: str) -> str:
    """The text of the same length with digits, dashes and spaces of other scripts and widths as those of ASCII."""
    return text if text.isascii() else text.translate(_plain_table())


@functools.cache
def _plain_table() -> dict[int, str]:
    table = {0xFF01 + at: chr(0x21 + at) for at in range(94)}
    for zero in (0x0660, 0x06F0, 0x0966, 0x09E6):
        table.update({zero + digit: str(digit) for digit in range(10)})
    table.update(dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63), "-"))
    table.update(dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " "))
    return table


@attrs.frozen(kw_only=True, eq=False)
class Finding:
    """A guardrail that finds things of some kinds, and redacts them or blocks the text: the base of those that ship."""

    known: ClassVar[tuple[str, ...]] = ()
    """The kinds that there are."""

    action: Action = "redact"
    kinds: tuple[str, ...] = ()
    patterns: Mapping[str, str] = attrs.Factory(dict)
    allow: tuple[str, ...] = ()
    token: str = "[{kind} {number}]"

    def __attrs_post_init__(self) -> None:
        owner = type(self).__name__
        check_action(self.action, ("redact", "block"), owner)
        check_token(self.token, owner)
        chosen(self.kinds, self.known, owner)
        custom(self.patterns, owner)

    def shipped(self) -> Mapping[str, Sequence[Finder]]:
        """The finders of all kinds."""
        raise NotImplementedError

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Find, and redact or block."""
        owner = type(self).__name__
        finders: dict[str, Sequence[Finder]] = dict(custom(self.patterns, owner))
        shipped = self.shipped()
        finders.update((kind, shipped[kind]) for kind in chosen(self.kinds, self.known, owner))
        found = find_all(plain(text), finders)
        if self.allow and found:
            allowed = {canonical(value) for value in self.allow}
            found = [one for one in found if canonical(text[one.start : one.end]) not in allowed]
        return verdict(context, text, found, self.action, self.token)
