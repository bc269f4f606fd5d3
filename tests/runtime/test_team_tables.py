"""Teams in agno-rt.toml: members and settings by name, errors with file, line and table."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_rt import Agent, Limits, ModelRequest, Runtime, Team
from agno_rt.errors import ConfigError, ModelError
from agno_rt.project import load_project
from agno_rt.run_store import RunStore
from agno_rt.teams import Broadcast, Consensus, Handoff, Leader, Route
from agno_rt.teams.names import MODES, find_mode
from agno_rt.testing import ScriptedModel

AGENTS = """\
[agents.a]
model = "m:x"

[agents.b]
model = ""

"""


def load(tmp_path: Path, text: str) -> dict[str, Team]:
    """Return the teams of a file."""
    path = tmp_path / "agno-rt.toml"
    path.write_text(AGENTS + text)
    project = load_project(str(path))
    return {name: each for name, each in project.runnables.items() if isinstance(each, Team)}


def test_a_table_is_a_team(tmp_path: Path) -> None:
    """A table has the team's fields; members may be teams that come later in the file."""
    teams = load(
        tmp_path,
        """
[teams.front]
members = ["desk", "a"]
mode = "route"
settings = {by = "b", own_answer = false, fallback = "a"}
description = "Answers."
limits = {run_timeout = 60}
on_error = "keep"
at_once = 2
model = "m:y"

[teams.desk]
members = ["a", "b"]
mode = "leader"

[teams.desk.settings]
share = "history"
""",
    )

    front, desk = teams["front"], teams["desk"]
    assert [member.name for member in front.members] == ["desk", "a"]
    assert front.members[0] is desk
    assert isinstance(front.mode, Route)
    assert isinstance(front.mode.by, Agent)
    assert (front.mode.by.name, front.mode.own_answer) == ("b", False)
    assert (front.name, front.description, front.on_error, front.at_once) == ("front", "Answers.", "keep", 2)
    assert (front.limits, front.model) == (Limits(run_timeout=60), "m:y")
    assert desk.mode == Leader(share="history")


def test_settings_that_are_names(tmp_path: Path) -> None:
    """The runnables of each mode are given by name; a handoff's edges are a table; a plugin's mode stays a string."""
    teams = load(
        tmp_path,
        """
[teams.all]
members = ["a", "b"]
mode = "parallel"
settings = {integrator = "a"}

[teams.vote]
members = ["a", "b"]
mode = "consensus"
settings = {agree = "b", rounds = 5}

[teams.call]
members = ["a", "b"]
mode = "handoff"

[teams.call.settings]
start = "a"
back = true
edges = {a = ["b"]}

[teams.own]
members = ["a"]
mode = "p:loudest"
""",
    )

    assert isinstance(teams["all"].mode, Broadcast)
    assert teams["all"].mode.integrator is teams["vote"].members[0]
    assert isinstance(teams["vote"].mode, Consensus)
    assert teams["vote"].mode.rounds == 5
    assert isinstance(teams["call"].mode, Handoff)
    assert teams["call"].mode.edges == {"a": ["b"]}
    assert teams["own"].mode == "p:loudest"


@pytest.mark.parametrize(
    ("text", "place", "problem", "hint"),
    [
        ('[teams.t]\nmembers = ["a", "c"]\n', ":8, [teams.t]", "'members': unknown runnable 'c'", "Known: a, b"),
        ('[teams.t]\nmode = "leader"\n', ":7, [teams.t]", "missing required field `members`", ""),
        ('[teams.t]\nmembers = ["a"]\nmode = "leadr"\n', ":9, [teams.t]", "unknown mode 'leadr'", "'leader'"),
        ('[teams.t]\nmembers = ["a"]\nmode = "route"\n', ":9, [teams.t]", "needs the settings by", "settings]"),
        (
            '[teams.t]\nmembers = ["a"]\nmode = "route"\nsettings = {by = "x"}\n',
            ":10, [teams.t.settings]",
            "'by': unknown runnable 'x'",
            "Known: a, b",
        ),
        (
            '[teams.t]\nmembers = ["a"]\nmode = "tasks"\n[teams.t.settings]\nmanager = "a"\nstall = 1\n',
            ":12, [teams.t.settings]",
            "unknown setting 'stall'",
            "'stalls'",
        ),
        (
            '[teams.t]\nmembers = ["a"]\nmode = "p:x"\nsettings = {k = 1}\n',
            ":9, [teams.t]",
            "a plugin's mode takes no settings here",
            "[plugins.p]",
        ),
        ('[teams.t]\nmembers = ["u"]\n[teams.u]\nmembers = ["t"]\n', ":10, [teams.u]", "t -> u -> t", "Leave one"),
        ('[teams.a]\nmembers = ["b"]\n', ":7, [teams.a]", "there is another runnable 'a'", "Rename"),
        ('[teams.t]\nmembers = ["a"]\non_error = "stop"\n', ":9, [teams.t]", "'on_error': invalid", ""),
        ('[teams.t]\nmembers = ["a"]\nmembrs = []\n', ":9, [teams.t]", "unknown key 'membrs'", "'members'"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, text: str, place: str, problem: str, hint: str) -> None:
    """An error has the file, the line, the table, the fault and the remedy."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)

    assert f"agno-rt.toml{place}" in str(caught.value)
    assert problem in str(caught.value)
    assert hint in caught.value.hint


def test_members_from_python(tmp_path: Path) -> None:
    """A team may have agents of a Python file as members."""
    (tmp_path / "more.py").write_text("from agno_rt import Agent\nc = Agent('m:z')\n")
    teams = load(tmp_path, '[runtime]\nload = ["more.py"]\n[teams.t]\nmembers = ["a", "c"]\n')

    assert [member.name for member in teams["t"].members] == ["a", "c"]


async def test_a_stored_team(tmp_path: Path) -> None:
    """With a journal a team's run goes on after a failure: a finished member is not asked again."""
    teams = load(
        tmp_path, '[teams.kept]\nmembers = ["a", "b"]\nmemory = {journal = true}\n[teams.plain]\nmembers = ["a"]\n'
    )
    team, asked = teams["kept"], list[str]()

    def answer(request: ModelRequest) -> str:
        asked.append("a")
        return "A"

    models = ScriptedModel(answer), ScriptedModel([ModelError("no", provider="b"), "B"])
    for member, model in zip(team.members, models, strict=True):
        assert isinstance(member, Agent)
        member.model = model

    async with Runtime(memory=f"sqlite:///{tmp_path / 'runs.db'}") as rt:
        await rt.run(teams["plain"], "go")
        with pytest.raises(ModelError) as caught:
            await rt.run(team, "go")
    assert caught.value.result is not None
    async with Runtime(memory=f"sqlite:///{tmp_path / 'runs.db'}") as rt:
        result = await rt.resume(caught.value.result.run_id, team)
        assert isinstance(rt.memory, RunStore)
        stored = await rt.memory.runs()

    assert (result.status, result.content) == ("completed", "B")
    assert asked == ["a", "a"]  # once in each team
    assert sorted(each.agent for each in stored) == ["a", "b", "kept"]


def test_a_wrong_memory_policy(tmp_path: Path) -> None:
    """An error in the policy has the line and the table of the team."""
    with pytest.raises(ConfigError, match=r"agno-rt.toml:\d+, \[teams.t\.?(memory)?\]") as caught:
        load(tmp_path, '[teams.t]\nmembers = ["a"]\nmemory = {jurnal = true}\n')
    assert "'jurnal'" in str(caught.value)


@pytest.mark.parametrize("name", MODES)
def test_every_name_is_a_mode(name: str) -> None:
    """Each name of a mode leads to its class, with underscores too."""
    assert find_mode(name) is find_mode(name.replace("-", "_"))
