"""Long texts in pieces, so that other runs go on while a guardrail looks through megabytes.

A call of `re` or `str.translate` holds the GIL until the end, in a thread too. So each call gets one piece at most, and
the run gives way between pieces. The findings are the same as for the whole text.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

PIECE = 16_384
"""Characters per search for the start of a match: a few milliseconds with the slowest built-in patterns."""

CHANGED = 2_048
"""Characters changed at once; a character met for the first time takes microseconds."""

MANY = 256
"""Things to process, such as matches, before the run gives way."""

MARGIN = 2_048
"""Characters of a match beyond its piece: more than a bounded pattern matches."""

LONGEST = 16_384
"""Characters in the longest key or token without a bound that is found whole across pieces."""

GiveWay: TypeAlias = Callable[[], Awaitable[None]]
T = TypeVar("T")

_BLANK = re.compile(r"\s")


async def slowly(things: Iterable[T], give_way: GiveWay) -> AsyncIterator[T]:
    """Yield the things; after every `MANY` things the run gives way."""
    for count, thing in enumerate(things, 1):
        yield thing
        if count % MANY == 0:
            await give_way()


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start of each piece of the text, and the end with margin."""
    for start in range(0, max(1, len(text)), PIECE):
        yield start, min(len(text), start + PIECE + MARGIN)


async def change(text: str, function: Callable[[str], str], give_way: GiveWay) -> str:
    """Change the text piece by piece. The function must change each character alone, or with its marks."""
    if len(text) <= CHANGED:
        return function(text)
    changed, start = [], 0
    while start < len(text):
        stop = _find_boundary(text, start + CHANGED)
        changed.append(function(text[start:stop]))
        start = stop
        await give_way()
    return "".join(changed)


def _find_boundary(text: str, at: int) -> int:
    """Return the next place, close by, that does not separate marks or the parts of a syllable from their letter."""
    return next((place for place in range(at, min(at + 64, len(text))) if text[place] < "\u0300"), at)


def search(pattern: re.Pattern[str], text: str, position: int) -> tuple[re.Match[str] | None, int]:
    """Find the first match with its start in the piece at `position`; also return the place for the next search."""
    stop = position + PIECE
    if stop + MARGIN >= len(text):
        return pattern.search(text, position), len(text) + 1
    # Unbounded built-in patterns end at white space, so a limit there never cuts a match.
    blank = _BLANK.search(text, stop + MARGIN, stop + MARGIN + LONGEST)
    limit = min(len(text), stop + MARGIN + LONGEST) if blank is None else blank.start()
    match = pattern.search(text, position, limit)
    if match is None or match.start() >= stop:
        return None, stop
    # A match that ends at the limit may be cut short, so match again without the limit.
    return (match if match.end() < limit else pattern.match(text, match.start()) or match), stop


def search_whole(pattern: re.Pattern[str], text: str, position: int) -> tuple[re.Match[str] | None, int]:
    """Search like `search`, for a pattern with matches of any length."""
    return pattern.search(text, position), len(text) + 1
