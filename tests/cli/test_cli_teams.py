"""Teams at the command line: from a Python file and from agno-rt.toml, by every verb."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

MEMBERS = """
import trio
from agno_rt import Agent, Team
from agno_rt.teams import Route
from agno_rt.testing import ScriptedModel


def add(word):
    return ScriptedModel(lambda request: f"{request.messages[-1].text} {word}")


one = Agent(add("one"), "one", description="Adds one.")
two = Agent(add("two"), "two")
quiet = Agent(ScriptedModel(lambda request: trio.sleep_forever()), "quiet")
silent = Team([quiet], name="silent")
front = Team([one, two], Route(lambda text: two if "2" in text else one), description="Adds one or two.")
"""

TEAMS = """
[runtime]
load = ["members.py"]

[teams.both]
members = ["one", "two"]

[teams.all]
members = ["both", "one"]
mode = "parallel"
description = "Asks everyone."
"""


@pytest.fixture
def teams(project: Path, agno: Agno) -> Agno:
    """Write a project with teams into the folder of the commands, and return the command."""
    (project / "members.py").write_text(MEMBERS)
    (project / "agno-rt.toml").write_text(TEAMS)
    return agno


def test_run(teams: Agno) -> None:
    """A team of the file, and a team of teams, answer like agents."""
    both, all_ = teams("run", "both", "zero"), teams("run", "all", "zero", "--json")
    front = teams("run", "members.py:front", "2")

    assert (both.stdout, front.stdout) == ("zero one two\n", "2 two\n")
    assert json.loads(all_.stdout)["output"] == {"both": "zero one two", "one": "zero one"}


def test_agents_lists_teams(teams: Agno) -> None:
    """The list shows the members in place of a model, and the file of each team."""
    listed = {each["name"]: each for each in map(json.loads, teams("agents", "--json").stdout.splitlines())}

    assert listed["all"]["model"] == "team of both, one"
    assert listed["all"]["description"] == "Asks everyone."
    assert listed["front"]["model"] == "team of one, two"


def test_doctor_and_chat(teams: Agno) -> None:
    """The check of a team is the check of its members; a chat keeps the session of a team."""
    assert "team both can answer" in (done := teams("doctor")).stdout + done.stderr
    assert teams("chat", "both", input="zero\nmore\n").stdout == "zero one two\nmore one two\n"


def test_an_error_in_the_table(teams: Agno, project: Path) -> None:
    """An unknown member is an error with file, line and table, for every verb."""
    (project / "agno-rt.toml").write_text(TEAMS.replace('["both", "one"]', '["bth", "one"]'))
    done = teams("run", "both", "zero")

    assert done.returncode == 2
    assert "agno-rt.toml:9, [teams.all]: 'members': unknown runnable 'bth'" in done.stderr
    assert "Did you mean 'both'?" in done.stderr


def test_the_status_line_names_the_member(teams: Agno, terminal: Callable[..., Any]) -> None:
    """In a terminal the status line tells which member of a team is at work."""
    with terminal("run", "members.py:silent", "hello") as person:
        person.expect("quiet is asking")
        person.type("\x03")
        person.expect("\r\x1b[K")
        person.leave()
