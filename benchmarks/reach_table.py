"""The table of goals, made of goals and results: a line a goal, and the reasons of shortfalls. Runs nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from agno_rt.errors import UsageError

from .goals import Against, Goal, Measured, NotBuilt, Recorded, title_of
from .peers.results import Results as PeerResults
from .peers.rows import OURS, ROWS
from .reading import Results, Value, command

__all__ = [
    "NOT_BUILT",
    "NOT_MEASURED",
    "Line",
    "Sources",
    "amount",
    "benchmarks",
    "line",
    "number",
    "read_table",
    "shortfalls",
    "table",
    "verdict",
]

NOT_BUILT = "not built yet; its benchmark comes with the part"
NOT_MEASURED = "not measured"
_ROWS = {row.name: row for row in ROWS}


@attrs.frozen(kw_only=True)
class Line:
    """One line of the table. `short` is the shortfall: 0.1 is ten percent, None if the goal holds."""

    row: str
    goal: str
    verdict: str
    measured: str = ""
    peer: str = ""
    ratio: str = ""
    command: str = ""
    short: float | None = None
    why: str = ""


@attrs.frozen
class Sources:
    """Sources of the numbers: asv's results, the peers' results, the exact counts. With `partial`, some may lack."""

    results: Results
    peers: PeerResults | None = None
    counted: Mapping[str, float] = attrs.field(factory=dict)
    recorded: Mapping[str, float] = attrs.field(factory=dict)
    partial: bool = False

    def number(self, value: Value) -> float | None:
        """Return asv's number. Raises `UsageError` if asv has no result, and all are needed."""
        return self.results.get(value) if self.partial else self.results[value]


def benchmarks(goals: Iterable[Goal]) -> list[str]:
    """Return the names of all benchmarks that the goals use."""
    measured = [goal for goal in goals if isinstance(goal, Measured)]
    values = [value for goal in measured for value in (goal.value, goal.over, goal.also) if value is not None]
    return sorted({value.benchmark for value in values})


def line(goal: Goal, sources: Sources) -> Line:
    """Make the line of a goal. Raises `UsageError` if a result is missing and all are needed."""
    if isinstance(goal, NotBuilt):
        return Line(row=goal.row, goal=goal.goal, verdict=NOT_BUILT)
    if isinstance(goal, Measured):
        return _make_measured_line(goal, sources)
    if isinstance(goal, Recorded):
        return _make_count_line(goal, sources)
    return _make_peer_line(goal, sources)


def _make_measured_line(goal: Measured, sources: Sources) -> Line:
    number, under = sources.number(goal.value), None if goal.over is None else sources.number(goal.over)
    if goal.over is not None:
        number = None if number is None or not under else number / under
    bound = f"{goal.what}: at {'least' if goal.at_least else 'most'} {goal.bound:,g} {goal.unit}"
    again = command(goal.value.benchmark)
    if number is None:
        return Line(row=goal.row, goal=bound, verdict=NOT_MEASURED, command=again)
    shown, peer, ratio = amount(number, goal.unit), "", ""
    if goal.also is not None and (also := sources.number(goal.also)) is not None:
        shown += f" ({amount(also, goal.also_unit)})"
    if goal.beside is not None and sources.peers is not None:
        peer, ratio = _compare_with_peer(*goal.beside, sources.peers)
    short = _measure_shortfall(number, goal.bound, at_least=goal.at_least)
    return Line(
        row=goal.row,
        goal=bound,
        measured=shown,
        peer=peer,
        ratio=ratio,
        verdict=verdict(short),
        command=again,
        short=short,
        why=goal.why,
    )


def _compare_with_peer(row: str, peer: str, peers: PeerResults) -> tuple[str, str]:
    theirs, faster = peers.value(row, peer), peers.ratio(row, peer)
    if theirs is None or faster is None:
        return "", ""
    return f"{title_of(peer)} {_render_row_value(row, theirs)}", f"{number(1 / faster)} x"


def _make_peer_line(goal: Against, sources: Sources) -> Line:
    wanted, title = goal.goal, title_of(goal.goal.peer)
    if wanted.at_most is not None:
        text = f"at most {wanted.at_most:g} x {title}"
    else:
        text = f"at least {wanted.at_least:g} x as fast as {title}"
    peers, again = sources.peers, f"make peers{' AGNO_GO=...' if wanted.peer == 'agno_go' else ''}"
    faster = None if peers is None else peers.reached(wanted)
    if peers is None or faster is None:
        if not sources.partial:
            raise UsageError(f"the peers' row {wanted.row!r} has no result of {title}", hint=f"Run `{again}`.")
        return Line(row=goal.row, goal=text, verdict=NOT_MEASURED, command=again)
    ours, theirs = _find_own(peers, wanted.row), peers.value(wanted.peer_row or wanted.row, wanted.peer)
    assert ours is not None
    assert theirs is not None
    if wanted.at_most is not None:
        short, ratio = _measure_shortfall(1 / faster, wanted.at_most, at_least=False), f"{number(1 / faster)} x"
    else:
        short, ratio = _measure_shortfall(faster, wanted.at_least or 0, at_least=True), f"{number(faster)} x as fast"
    return Line(
        row=goal.row,
        goal=text,
        measured=_render_row_value(wanted.row, ours),
        peer=f"{title} {_render_row_value(wanted.row, theirs)}",
        ratio=ratio,
        verdict=verdict(short),
        command=again,
        short=short,
        why=goal.why,
    )


def _find_own(peers: PeerResults, row: str) -> float | None:
    own = peers.value(row, OURS)
    return peers.value(_ROWS[row].base, OURS) if own is None and _ROWS[row].base else own


def _make_count_line(goal: Recorded, sources: Sources) -> Line:
    """Make a line of several counts. The verdict is on the worst count."""
    text = f"{goal.what} ({', '.join(goal.names)}): not above the recorded"
    lacking = [name for name in goal.names.values() if name not in sources.counted or name not in sources.recorded]
    if lacking and not sources.partial:
        raise UsageError(f"the exact count {lacking[0]} was not taken, or is not recorded", hint="Run `make gate`.")
    if lacking:
        return Line(row=goal.row, goal=text, verdict=NOT_MEASURED, command="make gate")
    pairs = [(sources.counted[name], sources.recorded[name]) for name in goal.names.values()]
    short = max(
        (share for pair in pairs if (share := _measure_shortfall(*pair, at_least=False)) is not None), default=None
    )
    return Line(
        row=goal.row,
        goal=f"{text} {' / '.join(f'{bound:,g}' for _, bound in pairs)}",
        measured=" / ".join(f"{found:,g}" for found, _ in pairs),
        verdict=verdict(short),
        command="make gate",
        short=short,
        why=goal.why,
    )


def _measure_shortfall(found: float, bound: float, *, at_least: bool) -> float | None:
    """Return the shortfall from the bound: 0.1 for ten percent, None if the bound holds."""
    least, most = (bound, found) if at_least else (found, bound)
    if least <= most:
        return None
    return least / most - 1 if most else math.inf


def verdict(short: float | None) -> str:
    """Render a verdict in words. A shortfall below a percent counts as one percent."""
    if short is None or math.isinf(short):
        return "holds" if short is None else "**falls short**"
    return f"**short by {max(1, round(short * 100))} %**"


def number(found: float) -> str:
    """Render a number for readers: three digits, or all of a whole number below a million, with thousands separated."""
    if found == round(found) and abs(found) < 1e6:
        return f"{round(found):,}"
    digits = max(0, 2 - math.floor(math.log10(abs(found))))
    rounded = round(found, 2 - math.floor(math.log10(abs(found))))
    return f"{rounded:,.{digits}f}" if digits else f"{round(rounded):,}"


def amount(found: float, unit: str) -> str:
    """Render a number with its unit; many bytes in larger units."""
    if unit == "bytes" and found >= 10_000:
        found, unit = (found / 1e6, "MB") if found >= 1e6 else (found / 1e3, "kB")
    return f"{number(found)} {unit}"


def _render_row_value(row: str, found: float) -> str:
    """Render a peer's value in the unit of its row; times in a fitting unit."""
    unit = _ROWS[row].unit
    if unit != "seconds":
        return amount(found, "runs/s" if unit == "a second" else unit)
    for scale, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if found * scale >= 1:
            return amount(found * scale, name)
    return amount(found * 1e6, "µs")


def table(lines: Sequence[Line]) -> str:
    """Render the lines as a table, narrow enough for a page, and the commands numbered in the last column."""
    commands: dict[str, int] = {}
    rows = []
    for line in lines:
        beside = f"<br>{line.peer}: {line.ratio}" if line.peer else ""
        again = f"({commands.setdefault(line.command, len(commands) + 1)})" if line.command else ""
        rows.append(f"| {line.row} | {line.goal} | {line.measured}{beside} | {line.verdict} | {again} |")
    head = "| work | goal | measured | verdict | again |\n|---|---|---|---|---|"
    again = "\n".join(f"({at}) `{command}`<br>" for command, at in commands.items()).removesuffix("<br>")
    return "\n".join([head, *rows]) + (f"\n\nTo measure a line again:\n\n{again}" if again else "")


def read_table(text: str) -> list[Line]:
    """Return the lines of a table as `table` renders it; a peer's value is part of what was measured."""
    commands = dict(re.findall(r"^\((\d+)\) `(.+?)`", text, re.MULTILINE))
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in text.splitlines() if row[:2] == "| "]
    return [
        Line(row=row, goal=goal, measured=measured, verdict=verdict, command=commands.get(again.strip("()"), ""))
        for row, goal, measured, verdict, again in cells[1:]
    ]


def shortfalls(lines: Iterable[Line]) -> str:
    """Render the shortfalls with the reasons."""
    short = [f"- **{line.row}**, {line.goal}: {line.verdict.strip('*')}. {line.why}" for line in lines if line.short]
    return "\n".join(short) or "None: every measured row holds."
