"""The rows of the table: cases, figures, verdicts. Knows no agent and no terminal."""

from __future__ import annotations

import fnmatch
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, TypeAlias

import attrs

from agno_rt.errors import AgnoError, NotFound
from agno_rt_bench.goals import GOALS, Goal

__all__ = [
    "Case",
    "Effort",
    "Figure",
    "Measured",
    "Row",
    "Unmeasured",
    "choose_cases",
    "measure_case",
    "measure_in_batches",
    "rate_case",
    "take_middle",
]

Verdict: TypeAlias = Literal["holds", "short", "none", "failed"]


class Unmeasured(Exception):
    """The reason for a row without a measurement."""


@attrs.frozen
class Effort:
    """The number of batches for a figure, and the work in each.

    Attributes:
        batches: measurements of a row: the median counts, the others show the noise
        rounds: the unit for the rounds of a batch; the two sides of a comparison take turns in a batch
        processes: fresh processes in a batch
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
    """The result of a row. `low` and `high` are the extremes of the batches; for an exact count, the count itself.

    `also` has other figures of the same thing, without a goal; `note` helps to read the figures.
    """

    value: float
    unit: str
    low: float
    high: float
    also: tuple[Figure, ...] = ()
    note: str = ""

    @classmethod
    def exact(cls, value: float, unit: str, also: tuple[Figure, ...] = ()) -> Measured:
        """Return the result for an exact count, equal in each batch."""
        return cls(value, unit, value, value, also)


@attrs.frozen
class Case:
    """A row to measure; `what` describes it in plain words."""

    name: str
    group: str
    what: str
    measure: Callable[[Effort], Awaitable[Measured]]
    goal: Goal | None = attrs.field(default=attrs.Factory(lambda case: GOALS.get(case.name), takes_self=True))


@attrs.frozen
class Row:
    """A row of the table and of `--json`.

    Attributes:
        name: the name for `--rows`
        group: the part of the table
        what: a description in plain words
        goal: the goal, if the row has one
        value: the median of the batches, `None` if the measurement failed
        unit: the unit of `value`, `low`, `high` and the goal
        low: the least of the batches
        high: the most of the batches
        also: other figures of the same thing
        note: a remark that helps to read the figures
        verdict: `holds`, `short`, `none` for a row without a goal, `failed` for a failed measurement
        short_by: for the verdict `short`, the excess over the goal in percent of the goal
        clear: true if every batch agrees with the verdict
        reason: for the verdict `failed`, the cause
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
        """True if the row has a goal, and the goal was not reached or not measured."""
        return self.goal is not None and self.verdict != "holds"


def rate_case(case: Case, measured: Measured) -> Row:
    """Return the case's row with its verdict."""
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


async def measure_case(case: Case, effort: Effort) -> Row:
    """Measure the case and return its row; a failure becomes a row with the reason."""
    try:
        return rate_case(case, await case.measure(effort))
    except (AgnoError, Unmeasured) as exc:
        reason = exc.message if isinstance(exc, AgnoError) else str(exc)
    except Exception as exc:
        reason = f"{type(exc).__name__}: {exc}"
    return Row(case.name, case.group, case.what, case.goal, verdict="failed", reason=reason)


async def measure_in_batches(
    effort: Effort, once: Callable[[], Awaitable[float]], unit: str, also: tuple[Figure, ...] = ()
) -> Measured:
    """Take a figure once a batch. Return the median, with the least and the most."""
    values = sorted([await once() for _ in range(effort.batches)])
    return Measured(values[len(values) // 2], unit, values[0], values[-1], also)


async def take_middle(once: Callable[[], Awaitable[float]]) -> float:
    """Return the median of three counts.

    Now and then a single count includes work for many runs at once, such as drawing ids.
    """
    return sorted([await once() for _ in range(3)])[1]


def choose_cases(cases: Sequence[Case], patterns: Iterable[str]) -> list[Case]:
    """Return the cases with a name or group that matches a pattern, in their order; all cases without a pattern.

    Raises `NotFound` for a pattern without a match.
    """
    asked = [pattern.strip() for each in patterns for pattern in each.split(",") if pattern.strip()]
    for pattern in asked:
        if not any(_is_chosen(case, pattern) for case in cases):
            names = [*dict.fromkeys(case.group for case in cases), *(case.name for case in cases)]
            raise NotFound("row", pattern, names, where="in --rows")
    return [case for case in cases if not asked or any(_is_chosen(case, pattern) for pattern in asked)]


def _is_chosen(case: Case, pattern: str) -> bool:
    return case.group == pattern or fnmatch.fnmatchcase(case.name, pattern)
