"""Writes a picture as Mermaid text, which GitHub, GitLab and many editors draw."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from agno_rt.drawing.layout import abridge
from agno_rt.drawing.words import clean_text, state_note
from agno_rt.runnable import Drawing

__all__ = ["render_mermaid"]

_RESERVED = re.compile(r"[^\w .,:()\[\]+*/=!?$'-]")

_COLOURS = {
    "completed": "stroke:#1a7f37",
    "failed": "stroke:#cf222e",
    "limited": "stroke:#cf222e",
    "unfinished": "stroke:#cf222e",
    "cancelled": "stroke-dasharray:4 3",
    "denied": "stroke-dasharray:4 3",
    "expired": "stroke-dasharray:4 3",
    "answered": "stroke:#1a7f37",
    "approved": "stroke:#1a7f37",
    "running": "stroke:#0969da",
    "waiting": "stroke:#9a6700",
    "paused": "stroke:#9a6700",
}


def render_mermaid(drawing: Drawing) -> str:
    """Return the drawing as a Mermaid flowchart. Parts beyond 40 in one part are counted, not drawn."""
    chart = _Chart()
    chart.add(abridge(drawing), "  ")
    styles = [f"  classDef {state} {_COLOURS[state]},stroke-width:2px" for state in sorted(chart.members)]
    states = [f"  class {','.join(chart.members[state])} {state}" for state in sorted(chart.members)]
    return "\n".join(["flowchart TD", *chart.lines, *styles, *states, ""])


class _Chart:
    """The lines of a chart so far, and the nodes of each state."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.members: dict[str, list[str]] = {}
        self._count = 0

    def add(self, drawing: Drawing, indent: str) -> tuple[list[str], list[str]]:
        """Write the drawing; return the nodes where a way in leads to, and the nodes where a way out begins."""
        node = self._take_name(drawing)
        if not drawing.parts:
            self.lines.append(f'{indent}{node}["{_write_label(drawing, "<br/>")}"]')
            return [node], [node]
        inner = indent
        if drawing.name:
            self.lines.append(f'{indent}subgraph {node}["{_write_label(drawing, " · ")}"]')
            inner += "  "
            # Mermaid turns each level by a right angle otherwise.
            self.lines.append(f"{inner}direction TB")
        ends = [self.add(part, inner) for part in drawing.parts]
        if drawing.form in ("series", "loop"):
            for (_, out), (into, _) in itertools.pairwise(ends):
                self._connect(out, into, "-->", inner)
            if drawing.form == "loop":
                self._connect(ends[-1][1], ends[0][0], "-.->", inner)
            found = ends[0][0], ends[-1][1]
        else:
            found = [each for into, _ in ends for each in into], [each for _, out in ends for each in out]
            if drawing.form == "choice":
                chosen = self._add_joint(inner)
                self._connect([chosen], found[0], "-.->", inner)
                found = [chosen], found[1]
        if drawing.name:
            self.lines.append(f"{indent}end")
        return found

    def _connect(self, out: Sequence[str], into: Sequence[str], arrow: str, indent: str) -> None:
        """Write the arrows from each to each; several to several meet in a joint, so that the lines stay few."""
        if len(out) > 1 and len(into) > 1:
            joint = self._add_joint(indent)
            self._connect(out, [joint], "---", indent)
            out = [joint]
        self.lines += [f"{indent}{a} {arrow} {b}" for a in out for b in into]

    def _add_joint(self, indent: str) -> str:
        self._count += 1
        self.lines.append(f'{indent}n{self._count}((" "))')
        return f"n{self._count}"

    def _take_name(self, drawing: Drawing) -> str:
        self._count += 1
        name = f"n{self._count}"
        if drawing.state in _COLOURS and (drawing.name or not drawing.parts):
            self.members.setdefault(drawing.state, []).append(name)
        return name


def _write_label(drawing: Drawing, between: str) -> str:
    title = clean_text(drawing.name) or clean_text(drawing.kind) or "part"
    kind = clean_text(drawing.kind)
    lines = [title, "" if kind == title else kind, *map(clean_text, drawing.notes), state_note(drawing)]
    return between.join(_RESERVED.sub(_write_sign, line) for line in lines if line)


def _write_sign(match: re.Match[str]) -> str:
    # Mermaid's own form of HTML's numbers, without the `&`.
    return f"#{ord(match[0])};"
