"""The results in words: a row for the terminal, and the tables of the performance page. Knows no process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .results import Results, verdict
from .rows import GOALS, OURS, PEERS, ROWS, Goal, PeerKind, Row

__all__ = ["figure", "page", "reached", "told"]

X = "\N{MULTIPLICATION SIGN}"
NARROW = "\N{NO-BREAK SPACE}"
HOW = (
    "Each peer has a model of its own kind, which answers at once, and is measured on its asynchronous interface, if "
    "any. Telemetry is off; logging is off unless a row says otherwise:"
)
_TITLES = {kind.name: kind.title for kind in PEERS}
_ROWS = {row.name: row for row in ROWS}


def told(results: Results, row: Row) -> str:
    """Describe the results of a row in a line."""
    return ", ".join(f"{peer} {figure(results, row, peer) or '-'}" for peer in results.rows.get(row.name, {}))


def page(results: Results) -> str:
    """Render the section of the performance page: the tables, and notes on them."""
    tables: dict[str, list[Row]] = {}
    for row in ROWS:
        if any("best" in found for found in results.rows.get(row.name, {}).values()):
            tables.setdefault(row.table, []).append(row)
    kinds = [kind for kind in PEERS if kind.name in results.peers]
    how = "\n".join(f"- **{kind.title}**: {kind.how}" for kind in kinds)
    return "\n\n".join([*(_render_table(results, rows) for rows in tables.values()), HOW, how])


def _render_table(results: Results, rows: Sequence[Row]) -> str:
    """Render the rows with the peers that have a value, a reason or a fault in one of them, or have none anywhere."""
    known = {peer for row in rows for peer in results.rows[row.name]}
    elsewhere = {peer for found in results.rows.values() for peer in found} - known
    kinds = [kind for kind in PEERS if kind.name in results.peers and kind.name not in elsewhere]
    notes = _Notes()
    lines = [_render_line(["", *(kind.title for kind in kinds)]), _render_line(["---"] * (len(kinds) + 1))]
    lines += [_render_line([row.text, *(_render_cell(results, row, kind, notes) for kind in kinds)]) for row in rows]
    parts = [
        _describe_measurement(results, kinds, results.day(rows[0].name)),
        "\n".join(lines),
        "\n".join(f"{mark} {text}.<br>" for text, mark in notes.marks.items()).removesuffix("<br>"),
    ]
    return "\n\n".join(part for part in parts if part)


class _Notes:
    """Notes below the table, once each, and the marks for the notes."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}

    def mark(self, text: str) -> str:
        return self.marks.setdefault(text, f"({len(self.marks) + 1})")


def _describe_measurement(results: Results, kinds: Iterable[PeerKind], day: str) -> str:
    machine = results.machine
    versions = [
        f"{kind.title} {' / '.join(given.values())}"
        for kind in kinds
        if (
            given := {
                name: text for name, text in results.peers[kind.name].get("versions", {}).items() if name != "Python"
            }
        )
    ]
    python = results.peers.get(OURS, {}).get("versions", {}).get("Python", "")
    facts = [
        machine.get("cpu", ""),
        f"{machine.get('num_cpu', '?')} cores",
        machine.get("ram", ""),
        machine.get("os", ""),
    ]
    return (
        f"Measured on {day} by `make peers` ({', '.join(fact for fact in facts if fact)}, CPython {python}): "
        f"{'; '.join(versions)}. All processes run at the same time and take turns in {results.rounds} "
        "rounds, fewer in slow rows; the best round counts. "
        "In brackets: how many times as fast, or as small, agno_rt is in the same row."
    )


def _render_cell(results: Results, row: Row, kind: PeerKind, notes: _Notes) -> str:
    found = results.rows[row.name].get(kind.name, {})
    absent = results.peers[kind.name].get("absent", "")
    told = figure(results, row, kind.name)
    if told is None:
        reason = f"failed: {found['failed']}" if "failed" in found else found.get("note", "")
        if not reason and absent:
            reason = f"not measured: {absent}"
        return f"— {notes.mark(f'{kind.title}: {reason}')}" if reason else "—"
    told = told.replace(" (", "<br>(").replace(" ", NARROW)
    cell = told if kind.name != OURS else f"**{told}**"
    return f"{cell} {notes.mark(kind.title + ': ' + found['note'])}" if "note" in found else cell


def figure(results: Results, row: Row, peer: str) -> str | None:
    """Return a peer's value in a row, and how many times as fast agno_rt is; None without a value."""
    value = results.value(row.name, peer)
    if value is None:
        return None
    ratio = results.ratio(row.name, peer)
    text = _render_value(row.unit, value)
    return text if peer == OURS or ratio is None else f"{text} ({_render_times(ratio)})"


def reached(results: Results) -> str:
    """Render the goals and verdicts as a table."""
    goals = [goal for goal in GOALS if goal.peer in results.peers]
    lines = [_render_line(["goal", "to reach", "measured", "verdict"]), _render_line(["---"] * 4)]
    for goal in goals:
        ratio = results.reached(goal)
        lines.append(
            _render_line([_name_goal(goal), _render_bound(goal), _render_reached(goal, ratio), verdict(goal, ratio)])
        )
    return "\n".join(lines) if goals else ""


def _name_goal(goal: Goal) -> str:
    against = f", against its {_ROWS[goal.peer_row].text}" if goal.peer_row else ""
    return f"{_ROWS[goal.row].text}{against}"


def _render_bound(goal: Goal) -> str:
    title = _TITLES[goal.peer]
    return (
        f"at most {goal.at_most:g} {X} {title}"
        if goal.at_most
        else f"at least {goal.at_least:g} {X} faster than {title}"
    )


def _render_reached(goal: Goal, ratio: float | None) -> str:
    if ratio is None:
        return "—"
    return _render_times(1 / ratio if goal.at_most else ratio)


def _render_times(ratio: float) -> str:
    return f"{ratio:,.0f} {X}" if ratio >= 9.95 else f"{ratio:.2g} {X}"


def _render_value(unit: str, value: float) -> str:
    if unit == "bytes":
        return f"{value:,.0f} B"
    if unit == "a second":
        return f"{value:,.0f}/s"
    for name, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {name}" if value / size < 999.5 else f"{value / size:,.0f} {name}"
    return f"{value / 1e-6:.2g} µs"


def _render_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
