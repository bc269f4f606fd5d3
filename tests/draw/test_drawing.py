"""Runnables tell their structure: by default all parts side by side, and better if a runnable knows better."""

from __future__ import annotations

from typing import Any

import attrs

from agno_rt import Agent, Runnable, tool, workflow
from agno_rt.runnable import Drawing, Flow, draw
from agno_rt.testing import ScriptedModel


@tool
def look(where: str) -> str:
    """Look."""
    return where


def find(what: str) -> str:
    """Find."""
    return what


@attrs.define(eq=False)
class Several(Runnable):
    """Has parts, and says nothing about an order."""

    steps: Any
    name: str = ""

    kind = "several"

    def parts(self) -> Any:
        """See `Runnable.parts`."""
        return self.steps


class Chain(Several):
    """Knows the order of the parts."""

    def drawing(self, draw: Any) -> Drawing:
        """See `Runnable.drawing`."""
        return Drawing(self.name, self.kind, parts=[draw(step) for step in self.steps])


def test_an_agent_is_a_box() -> None:
    """The box of an agent has the model and the tools."""
    agent = Agent(ScriptedModel([]), "desk", tools=[look, "files:search:docs", find])

    assert draw(agent) == Drawing("desk", "agent", ["scripted", "look()", "files:search:docs", "find()"])
    assert draw(Agent("")) == Drawing("agent", "agent", [])


def test_parts_are_side_by_side() -> None:
    """A runnable draws the parts by the method of each part."""
    one, two = Agent("echo:x", "one"), Agent("echo:y", "two")
    drawing = draw(Several([Chain([one, two], "chain"), two], "all"))

    assert (drawing.name, drawing.kind, drawing.form) == ("all", "several", "parts")
    chain, last = drawing.parts
    assert (chain.name, chain.form, [part.name for part in chain.parts]) == ("chain", "series", ["one", "two"])
    assert last == draw(two)


def test_a_workflow_has_its_runnables() -> None:
    """The picture of a workflow in code has the runnables that it names."""
    one = Agent("echo:x", "one")

    @workflow(runnables=(one,))
    async def report(topic: str, flow: Flow) -> str:
        return topic

    assert draw(report) == Drawing("report", "workflow", (), [draw(one)], "parts")


def test_a_runnable_within_itself() -> None:
    """A runnable within itself is a box with a note."""
    outer = Several([], "outer")
    outer.steps = [Several([outer], "inner")]

    assert draw(outer).parts[0].parts == [Drawing("outer", "several", ["again, as around"])]
