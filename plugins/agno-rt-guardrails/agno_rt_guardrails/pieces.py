"""Long texts in pieces, so that a guardrail which looks through megabytes lets other runs go on between them.

One call of `re` or `str.translate` holds the GIL until it returns, in a thread too. So no call is given more than a
piece, and the run gives way between pieces. What is found is what a look at the whole text finds.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

PIECE = 16_384
"""Characters that one look begins in: a few milliseconds with the slowest patterns that ship."""

CHANGED = 2_048
"""Characters that are changed at once; one that was not met before takes microseconds."""

MANY = 256
"""How many things are dealt with, such as matches, before the run gives way."""

MARGIN = 2_048
"""Characters that a look may go on into the next piece: more than a pattern with bounds takes."""

LONGEST = 16_384
"""Characters that a key or token without a bound may have, to be found to its end across pieces."""

GiveWay: TypeAlias = Callable[[], Awaitable[None]]
T = TypeVar("T")

_BLANK = re.compile(r"\s")


async def slowly(things: Iterable[T], give_way: GiveWay) -> AsyncIterator[T]:
    """The things; after every so many of them the run gives way."""
    for count, thing in enumerate(things, 1):
        yield thing
        if count % MANY == 0:
            await give_way()


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """Where each piece of the text begins, and where it ends with its margin."""
    for start in range(0, max(1, len(text)), PIECE):
        yield start, min(len(text), start + PIECE + MARGIN)


async def change(text: str, function: Callable[[str], str], give_way: GiveWay) -> str:
    """The text as the function changes it, piece by piece: each character by itself, or with its marks."""
    if len(text) <= CHANGED:
        return function(text)
    changed, start = [], 0
    while start < len(text):
        stop = _between(text, start + CHANGED)
        changed.append(function(text[start:stop]))
        start = stop
        await give_way()
    return "".join(changed)


def _between(text: str, at: int) -> int:
    """The next place, not far on, where no marks and no parts of a syllable belong to what is before."""
    return next((place for place in range(at, min(at + 64, len(text))) if text[place] < "\u0300"), at)


def search(pattern: re.Pattern[str], text: str, position: int) -> tuple[re.Match[str] | None, int]:
    """Look for the first match that begins in the piece at the position; and say where to look next without one."""
    stop = position + PIECE
    if stop + MARGIN >= len(text):
        return pattern.search(text, position), len(text) + 1
    # What has no bound in the patterns that ship ends at white space, so that nothing is cut in two there.
    blank = _BLANK.search(text, stop + MARGIN, stop + MARGIN + LONGEST)
    limit = min(len(text), stop + MARGIN + LONGEST) if blank is None else blank.start()
    match = pattern.search(text, position, limit)
    if match is None or match.start() >= stop:
        return None, stop
    # At the limit a longer match is possible.
    return (match if match.end() < limit else pattern.match(text, match.start()) or match), stop


def search_whole(pattern: re.Pattern[str], text: str, position: int) -> tuple[re.Match[str] | None, int]:
    """As `search`, of a pattern that may take any length."""
    return pattern.search(text, position), len(text) + 1
