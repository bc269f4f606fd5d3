"""Names the things that a flow does by their places: `scope/name#n`. Pure.

Trio starts ready tasks in any order, so a number counted over the whole run would differ from run to run. Within one
branch the order is the program's, so each branch counts for itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from agno_rt.errors import UsageError

__all__ = ["Place", "PlaceCounter", "escape_name", "name_branch"]


class Place(msgspec.Struct, frozen=True, gc=False):
    """The place of one thing: its `path`, the scope's path, and the numbers of the places from the outermost scope."""

    path: str
    scope: str
    trail: tuple[int, ...]


class PlaceCounter(msgspec.Struct, eq=False, gc=False):
    """The names used in one scope: the main function of a flow, or one branch of a group.

    `counts` has the uses of each name, `taken` the number of all uses. A Struct, as each branch makes one.
    """

    path: str = ""
    trail: tuple[int, ...] = ()
    counts: dict[str, int] = {}
    taken: int = 0

    @property
    def next_place(self) -> tuple[int, ...]:
        """The numbers of the place that the next `take` gives."""
        return (*self.trail, self.taken)

    def preview(self, name: str) -> str:
        """Return the name with its number, as the next `take` of the name gives it."""
        name = escape_name(name)
        return f"{name}#{self.counts.get(name, 0) + 1}"

    def take(self, name: str) -> Place:
        """Return the place of the next use of the name."""
        if name.__class__ is not str or "/" in name or "#" in name or "%" in name:
            name = escape_name(name)  # most names need no call
        path, counts, taken = self.path, self.counts, self.taken
        count = counts[name] = counts.get(name, 0) + 1
        self.taken = taken + 1
        return Place(f"{path}/{name}#{count}" if path else f"{name}#{count}", path, (*self.trail, taken))


def escape_name(name: Any) -> str:
    """Return the name as one part of a path: the signs of paths are written as in URLs."""
    text = str(name)
    if "/" in text or "#" in text or "%" in text:
        text = text.replace("%", "%25").replace("/", "%2F").replace("#", "%23")
    return text


def name_branch(place: Place, key: str | None, taken: Iterable[str], number: int) -> str:
    """Return the name of a group's branch: its key, or its number. Raises `UsageError` for a name that is taken."""
    name = str(number) if key is None else key
    if name.__class__ is not str or "/" in name or "#" in name or "%" in name:
        name = escape_name(name)
    if name in taken:
        hint = "Give each branch a key of its own; a branch without a key is named by its number."
        raise UsageError(f"the group {place.path} has two branches {name!r}", hint=hint)
    return name
