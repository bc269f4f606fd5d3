"""`agno-rt runs steps` and `agno-rt runs fork` with an input or a result: a run goes on from a step in another way."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

FLOWS = """
from pathlib import Path
from agno_rt import Agent, Ask, Flow, step, workflow
from agno_rt.testing import ScriptedModel

writer = Agent(ScriptedModel([lambda request: f"On {request.messages[-1].text}"] * 9), "writer")

@step
async def shout(text: str) -> str:
    with Path("done.txt").open("a") as file:
        file.write(text + "\\n")
    return text.upper()

@workflow(name="report", runnables=[writer])
async def report(topic: str, flow: Flow) -> str:
    await shout("begin")
    draft = (await flow.run(writer, topic)).content
    async with flow.group("parts") as parts:
        parts.start(shout, draft, key="one")
    if not await flow.ask(Ask(bool, "Publish?")):
        return "held back"
    return parts.results[0]
"""


@pytest.fixture
def agno_with_flows(agno: Agno, project: Path) -> Agno:
    """Write a workflow into the project, and return the command."""
    (project / "flows.py").write_text(FLOWS)
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["flows.py"]\nmemory = "sqlite:///own.db"\n')
    return agno


def list_steps(agno: Agno, run: str) -> list[dict[str, Any]]:
    """Return the JSON of `runs steps`."""
    return [json.loads(line) for line in agno("runs", "steps", run, "--json").stdout.splitlines()]


def finish_run(agno: Agno, *command: str) -> str:
    """Carry out a run that asks, say yes, and return its id."""
    ended = agno(*command)
    assert ended.returncode == 75, ended.stderr
    [asked] = [json.loads(line) for line in agno("approvals", "list", "--json").stdout.splitlines()]
    assert agno("approvals", "answer", asked["id"], "yes").returncode == 0
    assert agno("runs", "resume", asked["run"]).returncode == 0
    return str(asked["run"])


def test_lists_steps(agno_with_flows: Agno) -> None:
    """Each step has its path, kind, state and duration, also before the run ends."""
    agno = agno_with_flows
    assert agno("run", "report", "cats").returncode == 75
    [run] = [json.loads(line)["id"] for line in agno("runs", "list", "--json").stdout.splitlines() if "report" in line]
    rows = [(row["path"], row["kind"], row["state"]) for row in list_steps(agno, run)]
    done = [
        ("shout#1", "step", "completed"),
        ("writer#1", "run", "completed"),
        ("parts#1/one/shout#1", "step", "completed"),
    ]
    assert rows == [*done, ("ask#1", "question", "waiting")]
    assert all(row["seconds"] >= 0 for row in list_steps(agno, run)[:-1])
    table = [line.split() for line in agno("runs", "steps", run).stdout.splitlines()]
    assert table[0] == ["PATH", "KIND", "STATE", "TOOK", "BEGAN"]
    assert [row[:3] for row in table[1:4]] == [list(row) for row in done]
    [asked] = [json.loads(line) for line in agno("approvals", "list", "--json").stdout.splitlines()]
    agno("approvals", "answer", asked["id"], "yes", "--resume")
    assert [row["state"] for row in list_steps(agno, run)] == ["completed"] * 4


def test_lists_turns(agno: Agno, durable: Path) -> None:
    """The steps of an agent's run are the turns of its model and the tool calls."""
    agno("run", "looker", "Go.")
    [run] = [json.loads(line)["id"] for line in agno("runs", "list", "--json").stdout.splitlines()]
    rows = [(row["path"].partition("/")[0], row["kind"], row["state"]) for row in list_steps(agno, run)]
    assert rows == [("turn 1", "model", "completed"), ("turn 1", "tool", "completed"), ("turn 2", "model", "completed")]


def test_forks_with_another_input(agno_with_flows: Agno, project: Path) -> None:
    """The fork takes the steps that get other arguments, asks again, and leaves the first run as it was."""
    agno = agno_with_flows
    run = finish_run(agno, "run", "report", "cats")
    before = agno("runs", "show", run, "--json").stdout
    fork = agno("runs", "fork", run, "--input", "dogs").stdout.strip()
    assert finish_run(agno, "runs", "resume", fork) == fork
    shown = json.loads(agno("runs", "show", fork, "--json").stdout)
    assert (shown["content"], shown["input"], shown["origin"]) == ("ON DOGS", "dogs", run)
    assert (project / "done.txt").read_text().splitlines() == ["begin", "On cats", "On dogs"]
    assert agno("runs", "show", run, "--json").stdout == before


def test_forks_with_another_result(agno_with_flows: Agno, project: Path) -> None:
    """The fork has the given result of the step, and goes on; a value is JSON or a text."""
    agno = agno_with_flows
    run = finish_run(agno, "run", "report", "cats")
    fork = agno("runs", "fork", run, "--at", "writer#1", "--result", "My own.").stdout.strip()
    finish_run(agno, "runs", "resume", fork)
    assert json.loads(agno("runs", "show", fork, "--json").stdout)["content"] == "MY OWN."
    fork = agno("runs", "fork", run, "--at", "ask#1", "--result", "false").stdout.strip()
    assert agno("runs", "resume", fork).stdout == "held back\n"
    assert (project / "done.txt").read_text().splitlines() == ["begin", "On cats", "My own."]


def test_says_what_is_wrong(agno_with_flows: Agno) -> None:
    """An unknown step is refused with the known ones, and so is a result without a step."""
    agno = agno_with_flows
    run = finish_run(agno, "run", "report", "cats")
    unknown = agno("runs", "fork", run, "--at", "writer#2")
    assert unknown.returncode == 2
    assert "unknown step 'writer#2'" in unknown.stderr
    assert "writer#1" in unknown.stderr
    assert "at='work#1'" in agno("runs", "fork", run, "--result", "x").stderr
