"""The pictures of teams and of declared workflows."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from agno_rt import Agent, Team, Workflow
from agno_rt.drawing.mermaid import render_mermaid
from agno_rt.drawing.svg import render_svg
from agno_rt.runnable import Ask, Drawing, Flow, Runnable, draw
from agno_rt.teams import Broadcast, Consensus, GroupChat, Handoff, Leader, Mode, Route, Sequence, Tasks
from agno_rt.workflows import Condition, Goal, Loop, Map, Parallel, Router

A, B, C = (Agent("llamacpp:smollm2", name) for name in "abc")


def choose(text: str) -> str:
    """Choose."""
    return "a"


def tell(drawing: Drawing) -> Any:
    """Return the structure: a name, or the name, the form and the parts."""
    if not drawing.parts:
        return drawing.name
    return (drawing.name, drawing.form, [tell(part) for part in drawing.parts])


MODES: list[tuple[Mode | str, Any]] = [
    ("sequential", ("team", "series", ["a", "b"])),
    (Sequence(), ("team", "series", ["a", "b"])),
    (Broadcast(), ("team", "parallel", ["a", "b"])),
    (Broadcast(C), ("team", "series", [("", "parallel", ["a", "b"]), "c"])),
    (Route(choose), ("team", "choice", ["a", "b"])),
    (Route(C, fallback=A), ("team", "series", ["c", ("", "choice", ["a", "b", "a"])])),
    (Route(C, own_answer=False), ("team", "series", ["c", ("", "choice", ["a", "b"]), "c"])),
    (Leader(C), ("team", "loop", ["c", ("tasks", "parts", ["a", "b"])])),
    ("leader", ("team", "loop", ["a", ("tasks", "parts", ["b"])])),
    (Handoff("a", {"a": ["b"]}), ("team", "parts", ["a", "b"])),
    (Consensus(C), ("team", "loop", [("", "parallel", ["a", "b"]), "c"])),
    (GroupChat(), ("team", "loop", ["a", "b"])),
    (GroupChat(C, until=C), ("team", "loop", ["c", ("", "choice", ["a", "b"]), "c"])),
    (Tasks(C), ("team", "series", ["c", ("tasks", "parts", ["a", "b"]), "c"])),
    ("plugin:debate", ("team", "parts", ["a", "b"])),
]


@pytest.mark.parametrize(("mode", "expected"), MODES)
def test_each_mode_has_its_form(mode: Any, expected: Any) -> None:
    """The members are drawn in the order of the mode, within a frame with the team's and the mode's name."""
    drawing = draw(Team([A, B], mode, name="team"))

    assert tell(drawing) == expected
    assert drawing.kind == "team"
    assert drawing.notes[0] == (mode if mode == "plugin:debate" else drawing.notes[0])


def test_notes_of_modes() -> None:
    """A frame tells what a person wants to know of the mode: bounds, edges, functions."""
    assert draw(Team([A, B], Handoff("a", {"a": ["b"]}, back=True))).notes == (
        "Handoff",
        "starts with a",
        "a to b",
        "b to a",
    )
    assert draw(Team([A, B], Route(choose))).notes == ("Route", "by choose()")
    assert draw(Team([A, B], GroupChat(rounds=5))).notes == ("GroupChat", "at most 5 turns")


def test_a_mode_of_ones_own() -> None:
    """Without a drawing of its own, a mode has the members side by side."""

    class Mine(Mode):
        """A mode."""

    drawing = draw(Team([A, B], Mine(), name="team"))
    assert (tell(drawing), drawing.notes) == (("team", "parts", ["a", "b"]), ("Mine",))


def test_each_node_has_its_form() -> None:
    """Nodes are drawn as they run: after one another, at the same time, one of several, again and again."""

    def join(texts: list[str]) -> str:
        return "".join(texts)

    class Own:
        """A node of its own."""

        async def conduct(self, flow: Flow, input: Any) -> Any:
            return input

    made = Workflow(
        "flow",
        [
            A,
            [B, join],
            Map(C, over="output.parts", limit=3),
            Parallel(A, B),
            Loop([A], until="output.done", at_most=4),
            Loop([A], until=Ask(bool, "Enough?")),
            Condition("output > 1", A),
            Router(C, {"bill": A, "b": B}, otherwise=join),
            Goal(A, B),
            Ask(bool, "Publish?"),
            Own(),
        ],
    )
    drawing = draw(made)

    assert tell(drawing) == (
        "flow",
        "series",
        [
            "a",
            ("", "series", ["b", "join"]),
            ("map", "series", ["c"]),
            ("parallel", "parallel", ["a", "b"]),
            ("loop", "loop", ["a"]),
            ("loop", "loop", ["a", "Enough?"]),
            ("condition", "choice", ["yes: a", "no"]),
            ("", "series", ["c", ("router", "choice", ["bill: a", "b", "otherwise: join"])]),
            ("goal", "loop", ["a", "b"]),
            "Publish?",
            "Own",
        ],
    )
    notes = [list(part.notes) for part in drawing.parts]
    assert notes[2] == ["for each of output.parts", "3 at once"]
    assert notes[4] == ["until output.done", "at most 4 rounds"]
    assert notes[6] == ["output > 1"]


def nested() -> Runnable:
    """Return a team with a workflow with a team."""
    pair = Team([A, B], Broadcast(C), name="pair")
    flow = Workflow("flow", [A, Loop([pair, B], until="output.done"), Condition("output > 1", C)])
    return Team([flow, Team([A, B], Leader(C), name="led")], Route(choose), name="front")


def test_nested_pictures_are_rendered() -> None:
    """Teams in workflows in teams give Mermaid text and an SVG with every name."""
    text, svg = render_mermaid(draw(nested())), render_svg(draw(nested()))

    found = " ".join("".join(each.itertext()) for each in ET.fromstring(svg).iter())
    for name in ("front", "flow", "pair", "led", "Leader", "Broadcast", "until output.done", "yes: c"):
        assert name in text
        assert name in found
