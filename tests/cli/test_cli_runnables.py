"""Runnables other than agents at the command line: each verb takes them, or says what only an agent has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

CHAIN = '''
import attrs
from agno_rt import Agent, Runnable
from agno_rt.testing import ScriptedModel


def add(word):
    return ScriptedModel([lambda request: f"{request.messages[-1].text} {word}"] * 9)


one = Agent(add("one"), "one", description="Adds one.")
two = Agent(add("two"), "two")


@attrs.define(eq=False)
class Chain(Runnable):
    """Runs its steps one after another."""

    steps: tuple
    name: str = ""
    description: str = ""
    kind = "chain"

    def parts(self):
        return self.steps

    async def conduct(self, flow, input):
        for step in self.steps:
            result = await flow.run(step, input)
            input = result.content
        return result


both = Chain((one, two), description="Adds one and two.")
'''


@pytest.fixture
def chain(project: Path, agno: Agno) -> Agno:
    """Write an agents.py with a chain of two agents into the folder of the commands, and return the command."""
    (project / "chain.py").write_text(CHAIN)
    return agno


def test_run(chain: Agno) -> None:
    """A chain answers like an agent; a runnable without a name is named after its variable."""
    done = chain("run", "chain.py:both", "zero", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["status"], result["content"]) == ("completed", "zero one two")


def test_agents_lists_the_parts(chain: Agno) -> None:
    """The list shows the kind and the parts in place of a model."""
    done = chain("agents", "--config", "chain.py", "--json")

    listed = {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert listed["both"]["model"] == "chain of one, two"
    assert listed["both"]["description"] == "Adds one and two."
    assert listed["one"]["model"] == "scripted"


def test_options_change_agents_only(chain: Agno) -> None:
    """Another model for a chain is an error that names the option and the remedy."""
    done = chain("run", "chain.py:both", "zero", "-m", "echo:x")

    assert done.returncode == 2
    assert "both is a chain, which options cannot change: -m echo:x" in done.stderr
    assert "Change one of its agents" in done.stderr


def test_doctor_checks_the_parts(chain: Agno) -> None:
    """The check of a chain is the check of its agents."""
    done = chain("doctor", "--config", "chain.py")

    assert "chain both can answer" in done.stdout + done.stderr


def test_doctor_reads_workflows(chain: Agno, project: Path) -> None:
    """A workflow that reads the clock by itself gets a warning with the line; a step may read it."""
    (project / "clock.py").write_text(
        "import time\nfrom agno_rt import Flow, step, workflow\n\n\n"
        "@step\ndef fetch() -> float:\n    return time.time()\n"
        "\n\n@workflow\nasync def report(topic: str, flow: Flow) -> float:\n    return time.time() + await fetch()\n"
    )
    done = chain("doctor", "--config", "clock.py", "--json")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    [told] = [line for line in lines if "not recorded" in line["message"]]
    assert (told["status"], told["message"]) == (
        "warning",
        "workflow report: time.time in clock.py:12 is not recorded",
    )
    assert "flow.now()" in told["hint"]


def test_map(chain: Agno, project: Path) -> None:
    """A chain answers each input of a file."""
    (project / "in.jsonl").write_text('{"input": "a"}\n{"input": "b"}\n')
    done = chain("map", "chain.py:both", "in.jsonl", "-o", "out.jsonl")

    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (project / "out.jsonl").read_text().splitlines()]
    assert sorted(line["content"] for line in lines) == ["a one two", "b one two"]


def test_chat(chain: Agno) -> None:
    """A chat keeps the session of a chain; `/model` and `/system` say that a chain has no model of its own."""
    done = chain("chat", "chain.py:both", input="zero\n/model x:y\n/tools\n/agent two\nzero\n")

    assert done.stdout == "zero one two\nzero two\n"
    assert "both is a chain, and has no model and no instructions of its own" in done.stderr
    assert "no tools" in done.stderr
