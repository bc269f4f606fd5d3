"""Workflows of an agno-rt.toml: nodes by name, inline tables, and errors with file, line, table and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agno_rt import Ask, Workflow
from agno_rt.errors import ConfigError
from agno_rt.project import load_project
from agno_rt.workflows import Condition, Goal, Loop, Map, Parallel, Router
from agno_rt.workflows.nodes import Chain

AGENTS = """
from agno_rt import Agent
from agno_rt.testing import ScriptedModel

def answer(request):
    return request.messages[-1].text + "!"

planner = Agent(ScriptedModel(['["a", "b"]'] * 9), output=list[str])
writer, critic, legal = (Agent(ScriptedModel([answer] * 99), name) for name in ("writer", "critic", "legal"))
"""


def load(folder: Path, text: str) -> Any:
    """Load a project with four agents and the tables."""
    (folder / "agents.py").write_text(AGENTS, encoding="utf-8")
    (folder / "agno-rt.toml").write_text(f'[runtime]\nload = ["agents.py"]\n{text}', encoding="utf-8")
    return load_project(str(folder / "agno-rt.toml"))


async def test_a_workflow_of_the_file_runs(tmp_path: Path) -> None:
    """Nodes are found by name, also workflows that the file has further down."""
    project = load(
        tmp_path,
        """
[workflows.report]
description = "Write."
version = 3
nodes = ["planner", {map = ["writer", "critic"], limit = 2}, "parts"]

[workflows.parts]
nodes = [{parallel = ["writer", "legal"], names = ["one", "two"]}, {condition = "size(output) == 2", then = "legal"}]
""",
    )
    report = project.runnable("report")
    async with project.runtime() as rt:
        result = await rt.run(report, "trio")

    assert (report.kind, report.description, report.version) == ("workflow", "Write.", 3)
    assert project.sources["parts"].endswith("agno-rt.toml")
    assert result.content.count("a!!") == result.content.count("b!!") == 2


def test_each_kind_of_node(tmp_path: Path) -> None:
    """Each kind of node has an inline table, whose keys are those of the class."""
    project = load(
        tmp_path,
        """
[workflows.all]
nodes = [
    ["writer", "critic"],
    {map = "writer", over = "output.parts", key = "slug", on_error = "keep", name = "parts"},
    {loop = ["writer", "critic"], until = "output.approved", at_most = 5},
    {condition = {ask = "Publish?"}, then = "writer", otherwise = ["critic", "legal"]},
    {router = "critic", routes = {bill = "writer", tech = ["legal"]}, otherwise = "legal"},
    {goal = "writer", check = "critic", at_most = 2},
    {ask = "Which?", choices = ["a", "b"], expires = 60},
    {ask = "How many?", type = "int"},
]
""",
    )
    chain, map_, loop, condition, router, goal, which, many = project.runnable("all").nodes

    assert isinstance(project.runnable("all"), Workflow)
    assert isinstance(chain, Chain)
    assert isinstance(map_, Map)
    assert (map_.over, map_.key, map_.on_error, map_.name) == ("output.parts", "slug", "keep", "parts")
    assert isinstance(loop, Loop)
    assert (len(loop.nodes), loop.until, loop.at_most) == (2, "output.approved", 5)
    assert isinstance(condition, Condition)
    assert condition.when == Ask(bool, "Publish?")
    assert isinstance(router, Router)
    assert router.by is project.runnable("critic")
    assert isinstance(goal, Goal)
    assert (goal.check, goal.at_most) == (project.runnable("critic"), 2)
    assert (which.expires, many) == (60, Ask(int, "How many?"))
    assert not isinstance(chain, Parallel)


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        ('["wirter"]', "there is no agent, team or workflow 'wirter'"),
        ("[]", "has no nodes"),
        ("[3]", "3 is not a node"),
        ('[{mpa = "writer"}]', "is not a node"),
        ('[{map = "writer", at_once = 3}]', "map has no key 'at_once'"),
        ('[{map = "writer", limit = 0}]', "limit of 'map' is 0"),
        ('[{loop = "writer", until = "output."}]', "until of 'loop': cannot read the expression"),
        ('[{condition = "output.x"}]', "condition has no 'then'"),
        ('[{router = "output.x"}]', "router has no 'routes'"),
        ('[{parallel = "writer"}]', "parallel is 'writer'"),
        ('[{ask = "Go?", type = "date"}]', "type of 'Go?' is 'date'"),
        ('[{ask = "Go?", choices = []}]', "choices of 'Go?' are"),
        ('["w"]', "'w' is within itself: w -> w"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, nodes: str, match: str) -> None:
    """A fault names the file, the line of the nodes, the table, and a remedy."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f'[workflows.w]\ndescription = "w"\nnodes = {nodes}\n')

    assert match in str(caught.value)
    assert "agno-rt.toml:5, [workflows.w]" in str(caught.value)
    assert caught.value.hint


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    """A workflow with the name of an agent, and an unknown key, are refused."""
    with pytest.raises(ConfigError, match="agent 'writer' has the same name"):
        load(tmp_path, '[workflows.writer]\nnodes = ["critic"]\n')
    with pytest.raises(ConfigError, match="unknown key 'node'"):
        load(tmp_path, '[workflows.w]\nnode = ["critic"]\n')


async def test_teams_and_workflows_name_each_other(tmp_path: Path) -> None:
    """A team has a workflow as a member, which has a team as a node; the order in the file does not matter."""
    project = load(
        tmp_path,
        """
[teams.desk]
members = ["draft", "legal"]

[workflows.draft]
nodes = ["pair", "writer"]

[teams.pair]
members = ["writer", "critic"]
mode = "parallel"
""",
    )
    async with project.runtime() as rt:
        result = await rt.run(project.runnable("desk"), "go")

    assert result.content.endswith("!!")
    assert [part.name for part in project.runnable("desk").parts()] == ["draft", "legal"]


def test_circles_of_teams_and_workflows_are_refused_by_name(tmp_path: Path) -> None:
    """A circle through teams and workflows is told with all of its names, and the line of one of them."""
    tables = """
[teams.desk]
members = ["writer", "draft"]

[workflows.draft]
nodes = ["legal", "pair"]

[teams.pair]
members = ["desk", "critic"]
"""
    with pytest.raises(ConfigError, match="'desk' is within itself: desk -> draft -> pair -> desk") as caught:
        load(tmp_path, tables)

    assert "[teams.pair]" in str(caught.value)
    assert caught.value.hint == "Leave one of them out."
