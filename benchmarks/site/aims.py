"""Goals for the opening page: each goal with the result of one commit, and with the figure of the performance page.

The performance page is measured on its own, on one commit, and compares with other frameworks too.
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
    """Figures of the performance page: the day and the commit; a measurement and a verdict by row and goal."""

    day: str = ""
    figures: Mapping[tuple[str, str], tuple[str, str]] = attrs.field(factory=dict)

    def get(self, row: str, goal: str) -> tuple[str, str]:
        """Return the measurement and the verdict, or two empty texts."""
        # Goals of exact counts go on with the recorded bounds on the page.
        found = (cells for (name, text), cells in self.figures.items() if name == row and text.startswith(goal))
        return next(found, ("", ""))


def read_page(path: Path = PAGE) -> PageFigures:
    """Read the table of goals. A missing page has no figures."""
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
    """Return all goals in the order of the performance page, with the figures of the commit and of the page."""
    values = {
        name: dict(zip(product(*row.params), row.values or (), strict=False)) for name, row in result.rows.items()
    }
    sources = Sources(Results(values, result.commit), partial=True)
    return [_make_aim(goal, sources, page or PageFigures()) for goal in goals()]


def _make_aim(goal: Goal, sources: Sources, page: PageFigures) -> Aim:
    found = line(goal, sources)
    measured, verdict = page.get(found.row, found.goal)
    aim = Aim(found.row, found.goal, page=measured, page_verdict=verdict)
    if isinstance(goal, Measured):
        # asv names a parameter by its `repr`, in results and in addresses of graphs.
        params = tuple(repr(param) for param in goal.value.params)
        return attrs.evolve(
            aim,
            measured=found.measured,
            verdict=found.verdict.strip("*"),
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
