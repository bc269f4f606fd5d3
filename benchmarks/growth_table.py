"""The table of growth: the benchmark of each growing thing, and a verdict on its line. Runs nothing.

On a straight line, one of many costs as much as one of few. The ratio in the table is the cost of one among the most by
the cost of one among few.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any, Literal

import attrs

from .reach_table import NOT_MEASURED, amount, number
from .reading import Results, Value

__all__ = ["GROWING", "Growing", "Growth", "benchmarks", "counts", "growth", "reasons", "table"]

STRAIGHT = 1.5
"""Highest ratio of a straight line: a larger heap misses the processor's caches more often."""


@attrs.frozen
class Growing:
    """A thing with a growing number, and the benchmark of its cost.

    The benchmark's first parameter is the number; `others` are the other parameters. `of` tells the meaning of the
    benchmark's result: the cost of `one` at that number, or of `all` of them with a constant part. Numbers below
    `least` are left out.
    """

    thing: str
    what: str
    benchmark: str
    unit: str
    others: tuple[object, ...] = ()
    of: Literal["one", "all"] = "one"
    least: int = 0

    @property
    def why(self) -> str:
        """Return the reason if the cost grows faster than a straight line."""
        return WHY.get(self.benchmark, "")


RUN = "checkpoints"

WHY = {
    "growth.Agents.track_run": (
        "A runtime derives data from each agent. It keeps 1,000 entries of a kind, then begins anew, so that agents"
        " made for each request do not fill the memory. If more agents take turns, each run derives its data again:"
        " one step up, then level."
    ),
    "growth.Outputs.track_run": (
        "A runtime keeps the schemas of 1,000 output types, then begins anew. If more types take turns, each run "
        "makes its schema again: one step up, then level."
    ),
    "growth.Sessions.track_list": (
        "Listing looks at every session to find the sessions written last. For 100,000 sessions this takes a "
        "thirtieth of a second."
    ),
    "growth.Sessions.track_list_of_user": "Listing looks at every session: `memory:` has no index by user.",
    "growth.SessionsInSQLite.track_all": (
        "Sessions are added in another order than the order in the file: pages split, and are not full. Packed by "
        "`VACUUM`, a session among 10,000 takes 327 bytes."
    ),
    "growth.SessionsInSQLite.track_list_of_user": (
        "Listing goes from the session written last to older sessions, until it has enough of the user's. For a "
        "user with few sessions, it looks at all sessions."
    ),
    "concurrent.Concurrent.track_microseconds_a_run": (
        "Each full collection of Python's garbage collector walks every waiting object. In CPU time, a run at "
        "50,000 took 2.3 times as long as a run at 1,000, and a bare trio task 2.0 times as long; with the "
        "collector off, 1.05 times and 1.14 times."
    ),
    "growth_run.Observers.track_run": (
        "The first observer costs 13 checkpoints, because events are made only for observers; each further observer"
        " costs about 1. The step from one observer to two, 0.4, is smaller than the noise."
    ),
    "growth_run.Turns.track_run": (
        "Each turn hands all earlier messages to the model. Beside the rest of the run, in CPU time, this is "
        "nothing at 100 turns, a quarter at 1,000, and two thirds at 5,000."
    ),
}
"""Reasons for costs beyond a straight line, by benchmark, measured. The list only shrinks."""

GROWING = (
    Growing("agents", "a run; all agents share a model", "growth.Agents.track_run", RUN, ("plain",)),
    Growing("agents", "a run; each agent has a model of its own", "growth.Agents.track_run", RUN, ("own model",)),
    Growing("agents", "a run; each agent has a tool of its own", "growth.Agents.track_run", RUN, ("own tool",)),
    Growing("agents", "a run; each agent has an output type of its own", "growth.Outputs.track_run", RUN),
    Growing("agents", "kept by the runtime, plain agents", "growth.Agents.track_kept", "bytes", ("plain",), "all"),
    Growing(
        "agents", "kept by the runtime, agents with a tool", "growth.Agents.track_kept", "bytes", ("own tool",), "all"
    ),
    Growing("sessions", "a run, `memory:`", "growth.Sessions.track_run", RUN),
    Growing("sessions", "memory of all, `memory:`", "growth.Sessions.track_all", "bytes", of="all"),
    Growing("sessions", "a list of 100, `memory:`", "growth.Sessions.track_list", RUN, least=100),
    Growing("sessions", "a list of a user's sessions, `memory:`", "growth.Sessions.track_list_of_user", RUN, least=100),
    Growing("sessions", "a run, SQLite", "growth.SessionsInSQLite.track_run", RUN),
    Growing("sessions", "size of the file, SQLite", "growth.SessionsInSQLite.track_all", "bytes", of="all"),
    Growing("sessions", "a list of 100, SQLite", "growth.SessionsInSQLite.track_list", RUN, least=100),
    Growing(
        "sessions", "a list of a user's sessions, SQLite", "growth.SessionsInSQLite.track_list_of_user", RUN, least=100
    ),
    Growing("messages of a session", "a run, `memory:`", "growth.Messages.track_run", RUN, ("memory",)),
    Growing("messages of a session", "an append, `memory:`", "growth.Messages.track_append", RUN, ("memory",)),
    Growing(
        "messages of a session", "a load of the last 100, `memory:`", "growth.Messages.track_load", RUN, ("memory",)
    ),
    Growing("messages of a session", "a run, SQLite", "growth.Messages.track_run", RUN, ("sqlite",)),
    Growing("messages of a session", "an append, SQLite", "growth.Messages.track_append", RUN, ("sqlite",)),
    Growing("messages of a session", "a load of the last 100, SQLite", "growth.Messages.track_load", RUN, ("sqlite",)),
    Growing("plugins", "a process that opens a runtime", "growth.Plugins.track_open", "ms"),
    Growing("plugins", "finding all", "growth.Plugins.track_find", RUN, of="all"),
    Growing("plugins", "`agno-rt plugins`", "growth.Plugins.track_list", "ms", of="all"),
    Growing("observers", "a run of 100 tokens", "growth_run.Observers.track_run", RUN, of="all", least=1),
    Growing("streams at once", "all streams, 100 tokens each", "growth_run.Streams.track_all", RUN, of="all"),
    Growing("tokens", "a streamed run", "growth_run.Tokens.track_run", RUN, of="all"),
    Growing("runs at once", "a run", "concurrent.Concurrent.track_microseconds_a_run", "µs", least=1_000),
    Growing("runs at once", "memory of a run", "concurrent.Waiting.track_bytes_a_waiting_run", "bytes"),
    Growing("tools of an agent", "a run without tool calls", "growth_run.Tools.track_run", RUN, of="all"),
    Growing("tool calls in a turn", "a run", "growth_run.Calls.track_run", RUN, of="all", least=2),
    Growing("turns with a tool call", "a run", "growth_run.Turns.track_run", RUN, of="all"),
    Growing("characters of the input", "a run, ASCII", "growth_run.Input.track_run", RUN, ("ASCII",)),
    Growing("characters of the input", "a run, Korean", "growth_run.Input.track_run", RUN, ("Korean",), "all"),
)


def benchmarks() -> list[str]:
    """Return the names of all benchmarks of the table."""
    return sorted({growing.benchmark for growing in GROWING})


def counts(growing: Growing) -> list[int]:
    """Return the numbers of the thing in ascending order, from the benchmark's own parameters."""
    module, name, _ = growing.benchmark.split(".")
    params: Any = getattr(importlib.import_module(f"{__package__}.{module}"), name).params
    first = params[0] if isinstance(params[0], tuple | list) else params
    return [count for count in first if count >= growing.least]


@attrs.frozen
class Growth:
    """The growth of a cost: results by number, the ratio of the most to few, and the power."""

    growing: Growing
    numbers: dict[int, float]
    ratio: float
    power: float

    @property
    def more(self) -> bool:
        """Return whether the cost grows faster than a straight line."""
        return self.ratio > STRAIGHT

    @property
    def verdict(self) -> str:
        """Return the verdict in words."""
        if self.more:
            return "**more than a straight line**"
        if self.growing.of == "one":
            return "the same for each"
        return "a straight line" if self.ratio > 1 / STRAIGHT else "less than a straight line"


def growth(growing: Growing, results: Results, *, partial: bool = False) -> Growth | None:
    """Return the growth of the cost, or None if a result is missing and `partial`; else raises `UsageError`."""
    numbers = {}
    for count in counts(growing):
        value = Value(growing.benchmark, (count, *growing.others))
        found = results.get(value) if partial else results[value]
        if found is None:
            return None
        numbers[count] = found
    return grown(growing, numbers)


def grown(growing: Growing, numbers: dict[int, float]) -> Growth:
    """Return the growth for the results: the cost of one at each number, without the constant part of `all`."""
    (few, once), *more = numbers.items()
    if growing.of == "all":
        each = [(count - few, (found - once) / (count - few)) for count, found in more]
    else:
        each = list(numbers.items())
    if min(cost for _, cost in each) <= 0:  # Within the noise, the cost does not grow.
        return Growth(growing, numbers, 0.0, 0.0)
    return Growth(growing, numbers, each[-1][1] / each[0][1], 1 + _fit_power(each))


def _fit_power(points: Sequence[tuple[float, float]]) -> float:
    """Return the power by which the second grows with the first: the slope of the line through the logarithms."""
    logs = [(math.log(count), math.log(cost)) for count, cost in points]
    x, y = (sum(axis) / len(logs) for axis in zip(*logs, strict=True))
    across = sum((count - x) ** 2 for count, _ in logs)
    return sum((count - x) * (cost - y) for count, cost in logs) / across if across else 0.0


def table(rows: Sequence[tuple[Growing, Growth | None]]) -> str:
    """Render the rows as a table of a page."""
    lines = [
        "| number of | cost | few | many | one of many by one of few | all grows as | |",
        "|---|---|---|---|---|---|---|",
    ]
    for growing, found in rows:
        if found is None:
            lines.append(f"| {growing.thing} | {growing.what} | | | | | {NOT_MEASURED} |")
            continue
        (few, least), *_, (many, most) = found.numbers.items()
        ratio = f"{number(found.ratio)} x" if found.ratio else "within the noise"
        power = f"n^{found.power:.2f}" if found.ratio else ""
        lines.append(
            f"| {growing.thing} | {growing.what} | {few:,}: {amount(least, growing.unit)} "
            f"| {many:,}: {amount(most, growing.unit)} | {ratio} | {power} | {found.verdict} |"
        )
    return "\n".join(lines)


def reasons(rows: Sequence[tuple[Growing, Growth | None]]) -> str:
    """Render the reasons of costs beyond a straight line."""
    lines = [f"- **{each.thing}**, {each.what}: {each.why}" for each, found in rows if found is not None and found.more]
    return "\n".join(lines) or "Nothing grows faster than a straight line."
