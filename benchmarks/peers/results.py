"""Results of `make peers`: the file `results.json`, as values with figures and ratios. Knows no process.

The file is `{"date", "rounds", "machine": {…}, "peers": {peer: {"versions": {…}, "absent": text}}, "rows": {row: {peer:
{"best", "median"} | {"failed": text} | {"note": text}}}, "days": {row: date}}`. Times are in seconds. Rows that a peer
cannot do are missing. `days` has the rows that were measured on another day than the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from agno_rt.errors import UsageError

from .rows import OURS, ROWS, Goal, Row

__all__ = ["RESULTS", "Results", "verdict"]

RESULTS = Path(__file__).parent / "results.json"
"""The file of the command's results."""

_BY_NAME = {row.name: row for row in ROWS}


@attrs.define
class Results:
    """Results of a run of the command."""

    date: str = ""
    rounds: int = 0
    machine: Mapping[str, str] = attrs.field(factory=dict)
    peers: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    rows: dict[str, dict[str, dict[str, Any]]] = attrs.field(factory=dict)
    days: dict[str, str] = attrs.field(factory=dict)

    @classmethod
    def load(cls, path: Path = RESULTS) -> Results:
        """Read the results of a file. Raises `UsageError` if the file is missing or malformed."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise UsageError(f"there are no results at {path}", hint="Measure first: make peers") from error
        except (TypeError, ValueError) as error:
            raise UsageError(f"{path} holds no results of peers: {error}", hint="Measure anew: make peers") from error

    def save(self, path: Path = RESULTS) -> None:
        """Write the results, so that a reader sees either the old or the new file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(attrs.asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(path)

    def replace_rows(self, later: Results) -> None:
        """Take the rows of a later measurement, and the peers that were measured for the first time."""
        self.rows.update(later.rows)
        self.peers = {**later.peers, **self.peers}
        self.days.update(dict.fromkeys(later.rows, later.date))

    def day(self, row: str) -> str:
        """Return the day of a row."""
        return self.days.get(row, self.date)

    def value(self, row: str, peer: str) -> float | None:
        """Return the peer's best in a row: seconds or bytes of one operation, or operations a second."""
        best = self.rows.get(row, {}).get(peer, {}).get("best")
        return None if best is None else float(best)

    def ratio(self, row: str, peer: str) -> float | None:
        """Return how many times as fast (or as small) agno_rt is as the peer; None if either has no value."""
        kind = _BY_NAME[row]
        own = self.value(row, OURS)
        if own is None and kind.base:
            own = self.value(kind.base, OURS)
        return _compute_ratio(kind, own, self.value(row, peer))

    def reached(self, goal: Goal) -> float | None:
        """Return the ratio of a goal, whose rows may differ."""
        return _compute_ratio(
            _BY_NAME[goal.row], self.value(goal.row, OURS), self.value(goal.peer_row or goal.row, goal.peer)
        )


def verdict(goal: Goal, ratio: float | None) -> str:
    """Describe whether a goal holds, given how many times as fast agno_rt is, or its shortfall."""
    if ratio is None:
        return "not measured"
    wanted = goal.at_least if goal.at_least is not None else 1 / (goal.at_most or 1.0)
    if ratio >= wanted:
        return "holds"
    return f"**short by {(wanted / ratio - 1) * 100:.0f} %**"


def _compute_ratio(kind: Row, own: float | None, peers: float | None) -> float | None:
    if not own or not peers:
        return None
    return own / peers if kind.unit == "a second" else peers / own
