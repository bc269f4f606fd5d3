"""Pictures at the command line: of runnables, and of stored runs."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

FLOWS = '''
from agno_rt import Agent, Ask, Flow, MemoryPolicy, step, tool, workflow
from agno_rt.testing import ScriptedModel


@tool
def look(where: str) -> str:
    """Look."""
    return where


desk = Agent(ScriptedModel(["one"] * 9), "desk", tools=[look], memory=MemoryPolicy(journal=True))


@step
def publish(text: str) -> str:
    return text


@workflow(runnables=[desk])
async def report(topic: str, flow: Flow) -> str:
    async with flow.group("parts") as parts:
        parts.start(desk, topic, key="a")
        parts.start(desk, topic, key="b")
    if await flow.ask(Ask(bool, "Publish?")):
        await publish(topic)
    return topic
'''


@pytest.fixture
def flows(project: Path, agno: Agno) -> Agno:
    """Write a workflow into the project, and return the command."""
    (project / "flows.py").write_text(FLOWS)
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["flows.py"]\nmemory = "sqlite:///own.db"\n')
    return agno


def test_graph_of_an_agent(flows: Agno) -> None:
    """An agent is a box with its model and its tools."""
    done = flows("graph", "desk")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 'flowchart TD\n  n1["desk<br/>agent<br/>scripted<br/>look()"]\n'


def test_graph_of_a_workflow(flows: Agno, project: Path) -> None:
    """A workflow is a frame around the runnables that it may run; the picture goes to a file or to standard output."""
    done = flows("graph", "report", "--svg", "report.svg")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "wrote report.svg\n")
    drawn = (project / "report.svg").read_text()
    assert ET.fromstring(drawn)[1].text == "report (workflow): [desk (agent)]"
    assert flows("graph", "report", "--svg", "-").stdout == drawn
    assert 'subgraph n1["report · workflow"]' in flows("graph", "flows.py:report").stdout


def test_graph_errors(flows: Agno) -> None:
    """An unknown name and a file that cannot be written are errors with a remedy."""
    unknown = flows("graph", "reprot")
    folder = flows("graph", "desk", "--svg", "none/desk.svg")

    assert (unknown.returncode, folder.returncode) == (2, 2)
    assert "report" in unknown.stderr
    assert "the picture cannot be written to none/desk.svg: No such file or directory" in folder.stderr
    assert "hint: Give a file in a folder that exists" in folder.stderr


def test_pictures_of_a_run(flows: Agno, project: Path) -> None:
    """A timeline has a row for each step, with those of runs within; the picture says the same."""
    flows("run", "report", "trio")
    [run] = [
        each["id"]
        for line in flows("runs", "list", "--json").stdout.splitlines()
        if (each := json.loads(line))["agent"] == "report"
    ]
    shown = flows("runs", "show", run, "--timeline", "--svg", "run.svg")
    rows = [line.split() for line in shown.stdout.splitlines()]

    assert (shown.returncode, shown.stderr) == (0, "wrote run.svg\n")
    assert rows[0] == ["STEP", "KIND", "START", "TOOK", "STATE"]
    assert [row[:2] for row in rows[1:]] == [
        ["report", "run"],
        ["parts#1", "group"],
        ["a/desk#1", "agent"],
        ["b/desk#1", "agent"],
        ["ask#1", "question"],
    ]
    assert {"paused", "░" * 40} <= set(rows[1])
    assert "waiting" in rows[-1]
    drawn = ET.fromstring((project / "run.svg").read_text())
    assert "a/desk#1 (agent, completed" in str(drawn[1].text)
    assert "ask#1 (question, waiting)" in str(drawn[1].text)


def test_pictures_and_json_exclude_each_other(flows: Agno) -> None:
    """`--json` beside a picture is refused."""
    done = flows("runs", "show", "x", "--timeline", "--json")

    assert done.returncode == 2
    assert "--json does not go with --timeline and --svg" in done.stderr
