"""The steps of a workflow as a tree, built from their paths: places, groups, branches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from urllib.parse import unquote

import attrs

from agno_rt.runnable import Drawing

__all__ = ["StepNode"]


class StepNode:
    """A part of paths: a place such as `writer#1`, or a branch of a group. The root is the workflow's own branch."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = unquote(path.rpartition("/")[2])
        self.parts: dict[str, StepNode] = {}
        self._number = math.inf

    def add(self, path: str, trail: tuple[int, ...] = ()) -> None:
        """Add a path. The trail has the numbers of its parts, which give the order; without it, the path comes last."""
        node = self
        for at, name in enumerate(path.split("/")):
            node = node.parts.setdefault(name, StepNode(f"{node.path}/{name}" if node.path else name))
            if at < len(trail):
                node._number = trail[at]

    def list_groups(self) -> Iterator[StepNode]:
        """Yield the places within this branch that have branches, those in branches too."""
        for place in self.parts.values():
            if place.parts:
                yield place
                for branch in place.parts.values():
                    yield from branch.list_groups()

    def draw_places(self, draw_step: Callable[[str, str], Drawing]) -> list[Drawing]:
        """Return the places of this branch in order; `draw_step` draws a step from the path and the name."""
        return [each._draw_place(draw_step) for each in self._in_order()]

    def _in_order(self) -> list[StepNode]:
        return sorted(self.parts.values(), key=lambda each: each._number)

    def _draw_place(self, draw_step: Callable[[str, str], Drawing]) -> Drawing:
        if not self.parts:
            return draw_step(self.path, self.name)
        branches = [each._draw_branch(draw_step) for each in self._in_order()]
        began, ended = _find_span(branches)
        return Drawing(self.name, "group", (), branches, "parallel", _join_states(branches), began, ended)

    def _draw_branch(self, draw_step: Callable[[str, str], Drawing]) -> Drawing:
        places = self.draw_places(draw_step)
        if len(places) == 1:
            return attrs.evolve(places[0], name=f"{self.name}/{places[0].name}")
        began, ended = _find_span(places)
        return Drawing(self.name, "branch", (), places, "series", _join_states(places), began, ended)


def _find_span(parts: list[Drawing]) -> tuple[float | None, float | None]:
    """Return the first beginning and the last end; no end while a part has none."""
    began = min((part.began for part in parts if part.began is not None), default=None)
    ends = [part.ended for part in parts if part.ended is not None]
    return began, max(ends) if ends and len(ends) == len(parts) else None


def _join_states(parts: list[Drawing]) -> str:
    """Return the state that tells of parts that have not ended; empty if all have."""
    states = ["waiting" if part.state == "paused" else part.state for part in parts]
    return next((state for state in ("unfinished", "waiting", "running") if state in states), "")
