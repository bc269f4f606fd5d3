"""Steps that count while names and arguments stay: a fork's, of its source, and those behind a failure. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from agno_rt._decide.flow_journal import FlowReplay
from agno_rt._decide.flow_paths import Place
from agno_rt._decide.journal import Begun, Ended, StepBegun, StepEnded
from agno_rt.errors import JournalMismatch
from agno_rt.messages import Usage

__all__ = ["ChangedReplay", "replay_flow"]


_Body: TypeAlias = Any
"""An entry of a journal."""


def replay_flow(begun: Begun, steps: Sequence[_Body]) -> FlowReplay:
    """Return the steps of a journal, without its beginning `begun`."""
    first = max(0, begun.forked - 1)
    source, own = list(steps[:first]), list[_Body]()
    for body in steps[first:]:
        own.append(body)
        if isinstance(body, Ended) and body.again:
            source, own = _split_at_failure(source, own, body.again)
    return ChangedReplay(source, own) if source or begun.forked else FlowReplay(own)


def _split_at_failure(
    source: Sequence[_Body], own: Sequence[_Body], again: Sequence[str]
) -> tuple[list[_Body], list[_Body]]:
    """Move the steps behind the failures that ended the run from the `own` steps to the `source`; return both.

    The failed steps at the paths `again` are taken once more. They may end in another way now, and then another way
    is right behind them, too.
    """
    behind: dict[str, int] = {}
    for body in (*source, *own):
        if isinstance(body, StepBegun | StepEnded) and body.path in again:
            for scope, number in _list_places(body):
                behind[scope] = min(number + 1, behind.get(scope, number + 1))
    moved = [each for each in own if _is_behind(each, behind)]
    if not moved:
        return list(source), list(own)
    # What the run has left behind before does not come back.
    known = ChangedReplay(source, own)
    left = [each for each in source if not isinstance(each, StepBegun | StepEnded) or known._knows(each.path)]
    return [*left, *moved], [each for each in own if not _is_behind(each, behind)]


def _list_places(body: StepBegun | StepEnded) -> list[tuple[str, int]]:
    """Return the place of the step, and of each group around, with the scopes."""
    parts = body.path.split("/")
    return [("/".join(parts[:at]), body.trail[at]) for at in range(0, len(parts), 2)]


def _is_behind(body: _Body, behind: Mapping[str, int]) -> bool:
    if not isinstance(body, StepBegun | StepEnded):
        return False
    return any(number >= behind.get(scope, number + 1) for scope, number in _list_places(body))


class ChangedReplay(FlowReplay):
    """The `own` steps of a fork, and those of its source; or the steps before a failure, and those behind it.

    The first step of the source with other arguments now, or another name, is forgotten, and so are the steps after
    the first one, as in a fork before the step. An own step with other arguments is a `JournalMismatch`, as in any run.
    """

    def __init__(self, source: Sequence[Any], own: Sequence[Any]) -> None:
        super().__init__(own)
        self._source = FlowReplay(source)
        self.is_empty = not source and not own
        self.signals |= self._source.signals
        # The places of the source's names in their scopes, and the first forgotten place of each scope.
        self._places = {(scope, name): number for (scope, number), name in self._source._names.items()}
        self._forgotten: dict[str, int] = {}
        self._groups: set[str] = set()
        for body in own:
            if isinstance(body, StepBegun | StepEnded):
                self._compare(Place(body.path, body.path.rpartition("/")[0], body.trail), body.digest)
            elif isinstance(body, Ended):
                self._source.retake(body.again)

    def _compare(self, place: Place, digest: str) -> None:
        """Forget the source's step at the place, and the later ones, unless name and arguments are the same."""
        if self._knows(place.path):
            try:
                self._source.find(place, digest)
            except JournalMismatch:
                self._forget(place)
        else:
            self._compare_name(place)

    def _compare_name(self, place: Place) -> None:
        try:
            self._source.check_place(place)
        except JournalMismatch:
            self._forget(place)

    def _forget(self, place: Place) -> None:
        parts, last = place.path.split("/"), len(place.trail) - 1
        for at in range(0, last + 1, 2):
            scope, number = "/".join(parts[:at]), place.trail[at]
            # A group around stays, with its other branches; what follows the group does not.
            first = number if at == last else number + 1
            self._forgotten[scope] = min(first, self._forgotten.get(scope, first))
            if at < last:
                self._groups.add("/".join(parts[: at + 1]))

    def _knows(self, path: str) -> bool:
        """Return whether the source's steps at the path, or within the scope of the path, count."""
        parts = path.split("/")
        for at in range(0, len(parts), 2):
            scope = "/".join(parts[:at])
            number = self._places.get((scope, parts[at]))
            if number is None or number >= self._forgotten.get(scope, number + 1):
                return False
        return path not in self._groups

    def check_place(self, place: Place) -> None:
        """See `FlowReplay.check_place`: only the fork's own steps are held against the name."""
        super().check_place(place)
        self._compare_name(place)

    def check_group(self, place: Place) -> None:
        """See `FlowReplay.check_group`: a step of the source is forgotten."""
        super().check_group(place)
        if self._knows(place.path):
            try:
                self._source.check_group(place)
            except JournalMismatch:
                self._forget(place)

    def find(self, place: Place, digest: str) -> StepEnded | None:
        """See `FlowReplay.find`: a step of the source with other arguments is not found."""
        found = super().find(place, digest)
        if found is not None or place.path in self.begun:
            return found
        self._compare(place, digest)
        return self._source.find(place, digest) if self._knows(place.path) else None

    def find_begun(self, place: Place) -> StepBegun | None:
        """See `FlowReplay.find_begun`."""
        found = super().find_begun(place)
        return found or (self._source.find_begun(place) if self._knows(place.path) else None)

    def has_ended(self, place: Place, digest: str | None = None) -> bool:
        """See `FlowReplay.has_ended`."""
        if super().has_ended(place):
            return True
        if digest is not None:
            self._compare(place, digest)
        return self._knows(place.path) and self._source.has_ended(place)

    def usage_of(self, place: Place) -> Usage:
        """See `FlowReplay.usage_of`."""
        return super().usage_of(place) if super().has_ended(place) else self._source.usage_of(place)

    def is_at(self, scope: str, number: int, name: str) -> bool:
        """See `FlowReplay.is_at`."""
        return super().is_at(scope, number, name) or (
            self._source.is_at(scope, number, name) and self._knows(f"{scope}/{name}" if scope else name)
        )

    def has_more(self, scope: str, number: int) -> bool:
        """See `FlowReplay.has_more`."""
        if super().has_more(scope, number):
            return True
        is_left = number < self._forgotten.get(scope, number + 1)
        return is_left and self._source.has_more(scope, number) and (not scope or self._knows(scope))
