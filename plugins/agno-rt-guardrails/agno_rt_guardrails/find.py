"""The common parts of finding guardrails: finders, redaction with numbered tokens, reports without the values.

A finder is a function from a text to the spans in the text, in order. Each finder makes one pass with bounded
repetitions, so every text takes linear time at most. Between the pieces of a long text a finder yields an empty span,
and the run may give way.
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
    """A thing in a text: its span and its kind."""

    start: int
    end: int
    kind: str


def whole(match: re.Match[str]) -> Span | None:
    """Accept the whole match."""
    return match.span()


BREATH: Span = (0, 0)
"""The span that lets the run give way. It sorts before any other span, so a merge yields it at once."""


def finder(pattern: str, check: Check = whole, *, needle: str = "", flags: int = 0, is_bounded: bool = True) -> Finder:
    """Make a finder from a pattern. `check` judges each match and may shorten it; a text without `needle` is skipped.

    Matches of a bounded pattern are shorter than `MARGIN`, or end at white space. Other patterns search the whole text.
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
                # The next match may begin within the refused match.
                position = match.start() + 1
                refused += 1
                if refused % MANY == 0:
                    yield BREATH
            else:
                yield span
                position = max(span[1], match.start() + 1)

    return find


async def find_all(text: str, finders: Mapping[str, Sequence[Finder]], give_way: GiveWay) -> list[Found]:
    """Find everything, in order. Overlapping spans become one, of the first kind among theirs."""
    kinds = tuple(finders)
    streams = [_rank_spans(find(text), rank) for rank, kind in enumerate(kinds) for find in finders[kind]]
    # A lazy merge goes through a long text once and in order; for a short text sorting is faster.
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


def _rank_spans(spans: Iterable[Span], rank: int) -> Iterator[tuple[int, int, int]]:
    return ((start, rank, end) for start, end in spans)


def compile_patterns(patterns: Mapping[str, str], owner: str) -> dict[str, list[Finder]]:
    """Make finders from a user's patterns, by name. The first group, if any, is the span. Raises `UsageError`."""
    made = {}
    for name, pattern in patterns.items():
        try:
            made[name] = [finder(pattern, _take_first_group, is_bounded=False)]
        except (re.error, TypeError) as exc:
            hint = "Write a regular expression of the module re; in TOML, in single quotes."
            raise UsageError(f"{name!r} in patterns of {owner} is not a regular expression: {exc}", hint=hint) from exc
    return made


def _take_first_group(match: re.Match[str]) -> Span | None:
    start, end = match.span(1 if match.re.groups and match.group(1) is not None else 0)
    return (start, end) if end > start else None


def order_kinds(kinds: Sequence[str], known: Iterable[str], owner: str) -> tuple[str, ...]:
    """Return the kinds in the order of `known`. Raises `UsageError` for an unknown kind."""
    names = tuple(known)
    if isinstance(kinds, str):
        raise UsageError(f"kinds of {owner} are {kinds!r}, not a sequence", hint=f"Write kinds=({kinds!r},).")
    for kind in kinds:
        if kind not in names:
            # The message names the key `kinds`: an error of agno-rt.toml finds the line of the key by the word.
            raise UsageError(f"{kind!r} is not among the kinds of {owner}", hint=suggest("kind", str(kind), names))
    return tuple(name for name in names if name in kinds)


def check_token(token: str, owner: str) -> None:
    """Raise `UsageError` for a token with a broken format."""
    try:
        token.format(kind="email", number=1)
    except (LookupError, ValueError, AttributeError) as exc:
        hint = "Use only {kind} and {number}; write literal braces twice."
        raise UsageError(f"token {token!r} of {owner} cannot be written: {exc!r}", hint=hint) from exc


def check_action(action: str, known: Sequence[str], owner: str) -> None:
    """Raise `UsageError` for an unknown action."""
    if action not in known:
        raise UsageError(f"{owner} has no action {action!r}", hint=suggest("action", str(action), known))


_NUMBERS = "agno_rt_guardrails"
"""The key of the run's numbers, by kind: a value has the same number in all texts of a run."""


async def verdict(context: RunContext, text: str, found: Sequence[Found], action: Action, token: str) -> Verdict | None:
    """Block or redact the findings. The reason has kinds and counts, never the found values."""
    if not found:
        return None
    counts: Counter[str] = Counter()
    async for one in slowly(found, context.give_way):
        counts[one.kind] += 1
    reason = "found " + ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return Verdict(reason, None if action == "block" else await _redact_text(context, text, found, token))


async def _redact_text(context: RunContext, text: str, found: Sequence[Found], token: str) -> str:
    kinds: dict[str, dict[str, int]] = context.kept.setdefault(_NUMBERS, {})
    pieces, end = [], 0
    async for one in slowly(found, context.give_way):
        numbers = kinds.setdefault(one.kind, {})
        number = numbers.setdefault(canonical(text[one.start : one.end]), len(numbers) + 1)
        pieces += [text[end : one.start], token.format(kind=one.kind, number=number)]
        end = one.end
    return "".join([*pieces, text[end:]])


def canonical(value: str) -> str:
    """Return one form for all spellings of a value: with or without separators, in capitals or not."""
    return "".join(char for char in plain(value).casefold() if char not in " -./()")


def plain(text: str) -> str:
    """Return a text of the same length, with digits, dashes and spaces of other scripts and widths in ASCII."""
    return text if text.isascii() else text.translate(_build_plain_table())


@functools.cache
def _build_plain_table() -> dict[int, str]:
    table = {0xFF01 + at: chr(0x21 + at) for at in range(94)}
    for zero in (0x0660, 0x06F0, 0x0966, 0x09E6):
        table.update({zero + digit: str(digit) for digit in range(10)})
    table.update(dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63), "-"))
    table.update(dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " "))
    return table


@attrs.frozen(kw_only=True, eq=False)
class Finding:
    """The base of guardrails that find things of some kinds, and redact the things or block the text."""

    known: ClassVar[tuple[str, ...]] = ()
    """All kinds."""

    action: Action = "redact"
    kinds: tuple[str, ...] = ()
    patterns: Mapping[str, str] = attrs.Factory(dict)
    allow: tuple[str, ...] = ()
    token: str = "[{kind} {number}]"

    def __attrs_post_init__(self) -> None:
        owner = type(self).__name__
        check_action(self.action, ("redact", "block"), owner)
        check_token(self.token, owner)
        order_kinds(self.kinds, self.known, owner)
        compile_patterns(self.patterns, owner)

    def shipped(self) -> Mapping[str, Sequence[Finder]]:
        """Return the finders of all kinds."""
        raise NotImplementedError

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Find, then redact or block."""
        owner = type(self).__name__
        finders: dict[str, Sequence[Finder]] = dict(compile_patterns(self.patterns, owner))
        shipped = self.shipped()
        finders.update((kind, shipped[kind]) for kind in order_kinds(self.kinds, self.known, owner))
        found = await find_all(await change(text, plain, context.give_way), finders, context.give_way)
        if self.allow and found:
            allowed = {canonical(value) for value in self.allow}
            found = [
                one
                async for one in slowly(found, context.give_way)
                if canonical(text[one.start : one.end]) not in allowed
            ]
        return await verdict(context, text, found, self.action, self.token)
