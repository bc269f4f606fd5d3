"""The rows of the table: what is to be measured, what came of it, and the verdict. Knows no agent and no terminal."""

from __future__ import annotations

import fnmatch
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, TypeAlias

import attrs

from agno_rt.cli.bench_goals import GOALS, Goal
from agno_rt.errors import AgnoError, NotFound

__all__ = [
    "Case",
    "Effort",
    "Figure",
    "Measured",
    "Row",
    "Unmeasured",
    "chosen",
    "in_batches",
    "measured",
    "middle",
    "rated",
]

Verdict: TypeAlias = Literal["holds", "short", "none", "failed"]


class Unmeasured(Exception):
    """What was to be measured could not be; the text says why."""


@attrs.frozen
class Effort:
    """How often a figure is taken, and how much is done for it each time.

    Attributes:
        batches: how often it is taken: the one in the middle counts, and the others say how sure it is
        rounds: the unit for how many rounds there are in a batch, in which what is compared takes turns
        processes: how many fresh processes there are in a batch
    """

    batches: int
    rounds: int
    processes: int


@attrs.frozen
class Figure:
    """A number with its unit."""

    value: float
    unit: str


@attrs.frozen
class Measured:
    """What a row came to. `low` and `high` are the least and the most of the batches; of an exact count, the count.

    `also` are other figures of the same thing, which have no goal; `note` is what has to be known to read them.
    """

    value: float
    unit: str
    low: float
    high: float
    also: tuple[Figure, ...] = ()
    note: str = ""

    @classmethod
    def exact(cls, value: float, unit: str, also: tuple[Figure, ...] = ()) -> Measured:
        """A count, which is the same each time."""
        return cls(value, unit, value, value, also)


@attrs.frozen
class Case:
    """Something to measure: `what` says in plain words what the row is."""

    name: str
    group: str
    what: str
    measure: Callable[[Effort], Awaitable[Measured]]
    goal: Goal | None = attrs.field(default=attrs.Factory(lambda case: GOALS.get(case.name), takes_self=True))


@attrs.frozen
class Row:
    """A row as it is shown and as `--json` writes it.

    Attributes:
        name: what the row is called, and chosen by
        group: the part of the table that it belongs to
        what: what it is, in plain words
        goal: what is to be reached, where there is a goal
        value: what was measured, `None` where that failed
        unit: the unit of `value`, `low`, `high` and the goal
        low: the least of the batches
        high: the most of the batches
        also: other figures of the same thing
        note: what has to be known to read it
        verdict: `holds`, `short`, `none` where there is no goal, `failed` where nothing could be measured
        short_by: how much above the goal it is, in percent of the goal, where it is short of it
        clear: whether every batch says the same as the verdict
        reason: why nothing could be measured
    """

    name: str
    group: str
    what: str
    goal: Goal | None
    value: float | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    also: tuple[Figure, ...] = ()
    note: str = ""
    verdict: Verdict = "none"
    short_by: float | None = None
    clear: bool = True
    reason: str = ""

    @property
    def falls_short(self) -> bool:
        """Whether there is a goal of which it is not shown that it is reached."""
        return self.goal is not None and self.verdict != "holds"


def rated(case: Case, measured: Measured) -> Row:
    """The row of what was measured, with its verdict."""
    row = Row(
        case.name,
        case.group,
        case.what,
        case.goal,
        measured.value,
        measured.unit,
        measured.low,
        measured.high,
        measured.also,
        measured.note,
    )
    if case.goal is None:
        return row
    bound = case.goal.bound
    if measured.value <= bound:
        return attrs.evolve(row, verdict="holds", clear=measured.high <= bound)
    short_by = round(100 * (measured.value / bound - 1), 1)
    return attrs.evolve(row, verdict="short", short_by=short_by, clear=measured.low > bound)


async def measured(case: Case, effort: Effort) -> Row:
    """Measure, and rate what came of it. What cannot be measured is a row with the reason."""
    try:
        return rated(case, await case.measure(effort))
    except (AgnoError, Unmeasured) as exc:
        reason = exc.message if isinstance(exc, AgnoError) else str(exc)
    except Exception as exc:
        reason = f"{type(exc).__name__}: {exc}"
    return Row(case.name, case.group, case.what, case.goal, verdict="failed", reason=reason)


async def in_batches(
    effort: Effort, once: Callable[[], Awaitable[float]], unit: str, also: tuple[Figure, ...] = ()
) -> Measured:
    """Take a figure several times: the one in the middle, with how far apart they were."""
    values = sorted([await once() for _ in range(effort.batches)])
    return Measured(values[len(values) // 2], unit, values[0], values[-1], also)


async def middle(once: Callable[[], Awaitable[float]]) -> float:
    """The middle of three counts: once in a while one of them meets work that is done for many runs at a time."""
    return sorted([await once() for _ in range(3)])[1]


def chosen(cases: Sequence[Case], patterns: Iterable[str]) -> list[Case]:
    """Those whose name or group fits one of the patterns, in their order; all without a pattern.

    Raises `NotFound` for a pattern that nothing fits.
    """
    asked = [pattern.strip() for each in patterns for pattern in each.split(",") if pattern.strip()]
    for pattern in asked:
        if not any(_fits(case, pattern) for case in cases):
            names = [*dict.fromkeys(case.group for case in cases), *(case.name for case in cases)]
            raise NotFound("row", pattern, names, where="in --rows")
    return [case for case in cases if not asked or any(_fits(case, pattern) for pattern in asked)]


def _fits(case: Case, pattern: str) -> bool:
    return case.group == pattern or fnmatch.fnmatchcase(case.name, pattern)
