"""Pictures as Mermaid text: each line has a form that Mermaid reads, and names cannot break a line."""

from __future__ import annotations

import re

from hypothesis import given

from agno_rt.drawing.mermaid import render_mermaid
from agno_rt.runnable import Drawing
from tests.draw.test_svg import DRAWINGS

LABEL = r"""[\w .,:()\[\]+*/=!?$'#;·-]|<br/>"""
LINES = {
    "node": re.compile(rf' +(n\d+)(?:\["(?:{LABEL})+"\]|\(\(" "\)\))'),
    "subgraph": re.compile(rf' +subgraph (n\d+)\["(?:{LABEL})+"\]'),
    "direction": re.compile(r" +direction TB"),
    "end": re.compile(r" +end"),
    "link": re.compile(r" +(n\d+) (?:-->|---|-\.->) (n\d+)"),
    "classDef": re.compile(r"  classDef [a-z]+ [a-z0-9:,# -]+"),
    "class": re.compile(r"  class n\d+(?:,n\d+)* [a-z]+"),
}


def read_lines(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the kind of each line after the first, and the nodes in the line."""
    first, *lines = text.splitlines()
    assert first == "flowchart TD"
    read = []
    for line in lines:
        [(kind, match)] = [(kind, match) for kind, form in LINES.items() if (match := form.fullmatch(line))]
        read.append((kind, match.groups()))
    return read


@given(DRAWINGS)
def test_lines_have_forms_of_mermaid(drawing: Drawing) -> None:
    """Nodes are named once, before their links; each subgraph ends; links lead to nodes and never to a subgraph."""
    nodes: set[str] = set()
    frames: set[str] = set()
    depth = 0
    for kind, names in read_lines(render_mermaid(drawing)):
        if kind in ("node", "subgraph"):
            assert names[0] not in nodes | frames
            (nodes if kind == "node" else frames).add(names[0])
        if kind == "link":
            assert set(names) <= nodes
        depth += {"subgraph": 1, "end": -1}.get(kind, 0)
        assert depth >= 0
    assert depth == 0


def test_a_small_chart() -> None:
    """Steps are linked in order, branches from both sides, a loop back to its beginning; signs are numbers."""
    loop = Drawing("again", "loop", ["until ok"], [Drawing("c", "agent"), Drawing("d", "agent")], "loop")
    both = Drawing(parts=[Drawing("b"), Drawing('"<x>"', "step", state="failed")], form="parallel")

    assert render_mermaid(Drawing("flow", "workflow", parts=[Drawing("a", "step"), both, loop])) == (
        "flowchart TD\n"
        '  subgraph n1["flow · workflow"]\n'
        "    direction TB\n"
        '    n2["a<br/>step"]\n'
        '    n4["b"]\n'
        '    n5["#34;#60;x#62;#34;<br/>step<br/>failed"]\n'
        '    subgraph n6["again · loop · until ok"]\n'
        "      direction TB\n"
        '      n7["c<br/>agent"]\n'
        '      n8["d<br/>agent"]\n'
        "      n7 --> n8\n"
        "      n8 -.-> n7\n"
        "    end\n"
        "    n2 --> n4\n"
        "    n2 --> n5\n"
        "    n4 --> n7\n"
        "    n5 --> n7\n"
        "  end\n"
        "  classDef failed stroke:#cf222e,stroke-width:2px\n"
        "  class n5 failed\n"
    )


def test_a_choice_and_two_groups() -> None:
    """A choice begins with a joint; several parts before several parts meet in a joint."""
    one = Drawing(parts=[Drawing("a"), Drawing("b")], form="parallel")
    two = Drawing(parts=[Drawing("c"), Drawing("d")], form="parallel")
    chosen = Drawing(parts=[Drawing("e"), Drawing("f")], form="choice")
    kinds = [kind for kind, _ in read_lines(render_mermaid(Drawing(parts=[one, two, chosen])))]

    assert kinds.count("node") == 6 + 2
    assert kinds.count("link") == 2 + 2 + 2 + 2
