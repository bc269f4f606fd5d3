"""What is to be reached, for the opening page: the goals of the performance page, told by one commit's results.

Beside them stands what the performance page says, which is measured on its own, and of other frameworks too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import attrs

from benchmarks.goals import Against, Goal, Measured, NotBuilt, Recorded, goals
from benchmarks.reach_table import NOT_BUILT, Sources, line
from benchmarks.reading import ROOT, Results

from .page import Aim
from .results import Result

__all__ = ["PAGE", "PageFigures", "aims_of", "read_page"]

PAGE = ROOT / "docs/performance.md"


@attrs.frozen
class PageFigures:
    """What the performance page says: when, on which commit, and by row and goal what was measured and the verdict."""

    day: str = ""
    figures: Mapping[tuple[str, str], tuple[str, str]] = attrs.field(factory=dict)

    def get(self, row: str, goal: str) -> tuple[str, str]:
        """Return what was measured and the verdict; a goal on the page may go on with the bounds that were recorded."""
        found = (told for (its, text), told in self.figures.items() if its == row and text.startswith(goal))
        return next(found, ("", ""))


def read_page(path: Path = PAGE) -> PageFigures:
    """Read the table of what is reached; nothing where there is no such page."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    part = text.partition("<!-- reach:begin -->")[2].partition("<!-- reach:end -->")[0]
    head = re.search(r"Measured on (\S+), commit `(\w+)`", part)
    figures = {}
    for row in part.splitlines():
        cells = [cell.strip() for cell in row.strip().strip("|").split(" | ")]
        if row.startswith("| ") and len(cells) >= 4:
            figures[cells[0], cells[1]] = (cells[2].replace("<br>", "; "), cells[3].strip("*"))
    return PageFigures(f"{head[1]}, {head[2]}" if head else "", figures)


def aims_of(result: Result, page: PageFigures | None = None) -> list[Aim]:
    """Every goal, in the order of the performance page, with what the commit and the page reach of it."""
    values = {
        name: dict(zip(product(*row.params), row.values or (), strict=False)) for name, row in result.rows.items()
    }
    sources = Sources(Results(values, result.commit), partial=True)
    return [_aim(goal, sources, page or PageFigures()) for goal in goals()]


def _aim(goal: Goal, sources: Sources, page: PageFigures) -> Aim:
    told = line(goal, sources)
    measured, verdict = page.get(told.row, told.goal)
    aim = Aim(told.row, told.goal, page=measured, page_verdict=verdict)
    if isinstance(goal, Measured):
        # Parameters as asv has them: what Python would write for each.
        params = tuple(repr(param) for param in goal.value.params)
        return attrs.evolve(
            aim,
            measured=told.measured,
            verdict=told.verdict.strip("*"),
            benchmark=goal.value.benchmark,
            params=params,
        )
    if isinstance(goal, Recorded):
        benchmark, _, _ = next(iter(goal.names.values())).partition("(")
        return attrs.evolve(aim, measured="graph", verdict="held by the gate", benchmark=benchmark)
    if isinstance(goal, NotBuilt):
        return attrs.evolve(aim, page_verdict=NOT_BUILT if not page.day else "not built yet", verdict="not built yet")
    assert isinstance(goal, Against)
    return attrs.evolve(aim, verdict="" if measured else "side by side: make peers")
