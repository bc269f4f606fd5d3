"""What guardrails that find things share: finders, redaction with numbered tokens, reports without the values.

A finder is a function from a text to the spans in it, in order. All of them look at a text in one pass, with patterns
whose repetitions are bounded, so that no text, however it was made, takes more than linear time. Between the pieces of
a long text a finder tells of an empty span, where the run may give way.
"""

from __future__ import annotations

import functools
import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import attrs

from agno_rt.context import RunContext
from agno_rt.errors import UsageError, suggest
from agno_rt.hooks import Verdict
from agno_rt_guardrails.pieces import MANY, PIECE, GiveWay, change, search, search_whole, slowly

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


BREATH: Span = (0, 0)
"""What a finder tells where the run may give way; being less than any span, it is heard of at once."""


def finder(pattern: str, check: Check = whole, *, needle: str = "", flags: int = 0, is_bounded: bool = True) -> Finder:
    """A finder by a pattern. `check` judges each match and may shorten it; without the `needle` nobody looks.

    What a bounded pattern takes is shorter than `MARGIN`, or ends at white space; any other is shown the whole text.
    """
    compiled = re.compile(pattern, flags)
    look = search if is_bounded else search_whole

    def find(text: str) -> Iterator[Span]:
        if len(text) > PIECE:
            yield BREATH
        position = 0 if needle in text else len(text) + 1
        refused = 0
        while position <= len(text):
            match, following = look(compiled, text, position)
            if match is None:
                position = following
                yield BREATH
            elif (span := check(match)) is None:
                # The next may begin within what was refused.
                position = match.start() + 1
                refused += 1
                if refused % MANY == 0:
                    yield BREATH
            else:
                yield span
                position = max(span[1], match.start() + 1)

    return find


async def find_all(text: str, finders: Mapping[str, Sequence[Finder]], give_way: GiveWay) -> list[Found]:
    """Everything that the finders find, in order. What overlaps becomes one, of the kind that comes first."""
    kinds = tuple(finders)
    streams = [_ranked(find(text), rank) for rank, kind in enumerate(kinds) for find in finders[kind]]
    # Merged while they look, so that a long text is gone through once and in order; sorting is quicker for a short one.
    spans = sorted(chain.from_iterable(streams)) if len(text) <= PIECE else heapq.merge(*streams)
    merged: list[Found] = []
    rank = {kind: at for at, kind in enumerate(kinds)}
    async for start, at, end in slowly(spans, give_way):
        if (start, end) == BREATH:
            await give_way()
        elif merged and start < merged[-1].end:
            last = merged.pop()
            merged.append(Found(last.start, max(last.end, end), kinds[min(rank[last.kind], at)]))
        else:
            merged.append(Found(start, end, kinds[at]))
    return merged


def _ranked(spans: Iterable[Span], rank: int) -> Iterator[tuple[int, int, int]]:
    return ((start, rank, end) for start, end in spans)


def custom(patterns: Mapping[str, str], owner: str) -> dict[str, list[Finder]]:
    """Finders by a user's patterns, by name; a first group, if there is one, is what is meant. Raises `UsageError`."""
    made = {}
    for name, pattern in patterns.items():
        try:
            made[name] = [finder(pattern, _first_group, is_bounded=False)]
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


_NUMBERS = "agno_rt_guardrails"
"""Where a run keeps what was numbered in it, by kind: one thing has one number in all texts of the run."""


async def verdict(context: RunContext, text: str, found: Sequence[Found], action: Action, token: str) -> Verdict | None:
    """Block or redact what was found. The reason has kinds and counts, never what was found."""
    if not found:
        return None
    counts: Counter[str] = Counter()
    async for one in slowly(found, context.give_way):
        counts[one.kind] += 1
    reason = "found " + ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return Verdict(reason, None if action == "block" else await _redacted(context, text, found, token))


async def _redacted(context: RunContext, text: str, found: Sequence[Found], token: str) -> str:
    kinds: dict[str, dict[str, int]] = context.kept.setdefault(_NUMBERS, {})
    pieces, end = [], 0
    async for one in slowly(found, context.give_way):
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
        found = await find_all(await change(text, plain, context.give_way), finders, context.give_way)
        if self.allow and found:
            allowed = {canonical(value) for value in self.allow}
            found = [
                one
                async for one in slowly(found, context.give_way)
                if canonical(text[one.start : one.end]) not in allowed
            ]
        return await verdict(context, text, found, self.action, self.token)
