"""Agents as tools by name: `delegates:NAME,NAME` in code and in agno-rt.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt.project import load_project
from agno_rt.testing import ScriptedModel
from tests.helpers import told


def ask(agent: str = "helper") -> ToolCall:
    """Return the call to give a task to the agent."""
    return ToolCall("1", "run_task", {"agent": agent, "task": "look"})


async def test_agents_are_found_by_their_names() -> None:
    """The runtime's runnables are found by name, with spaces or without, and run within the call."""
    helper = Agent(ScriptedModel(["found"]), "helper", description="Looks things up.")
    model = ScriptedModel([ask(), "done"])
    async with Runtime() as rt:
        rt.add(helper, Agent(ScriptedModel([]), "critic"))
        result = await rt.run(Agent(model, "boss", tools=["delegates:helper, critic"]), "go")
    assert told(result) == ["found"]
    [offered] = model.requests[0].tools
    assert "helper: Looks things up." in offered.description


async def test_tasks_in_the_background() -> None:
    """`delegates:background:` offers tools to start and collect tasks."""
    helper = Agent(ScriptedModel(["found"]), "helper")
    start = ToolCall("1", "start_task", {"agent": "helper", "task": "look"})
    model = ScriptedModel([start, ToolCall("2", "collect_task", {"task": "helper-1"}), "done"])
    async with Runtime() as rt:
        rt.add(helper)
        result = await rt.run(Agent(model, "boss", tools=["delegates:background:helper"]), "go")
    assert '"answer":"found"' in told(result)[1]


async def test_an_unknown_name_is_told_with_the_nearest() -> None:
    """A name that no runnable has is refused when the agent runs, before the model is asked."""
    async with Runtime() as rt:
        agent = Agent(ScriptedModel([]), "boss", tools=["delegates:helpr"])
        with pytest.raises(NotFound, match="helpr"):
            await rt.run(agent, "go")
        rt.add(Agent(ScriptedModel([]), "helper"))
        with pytest.raises(NotFound) as caught:
            await rt.run(agent, "go")
        assert "helper" in caught.value.full_text
        with pytest.raises(UsageError, match="without names"):
            await rt.run(Agent(ScriptedModel([]), tools=["delegates:background:,"]), "go")


async def test_a_file_names_its_agents(tmp_path: Path) -> None:
    """In agno-rt.toml, agents name one another in any order; settings rename the tools, and are checked."""
    (tmp_path / "answers.toml").write_text('[[answer]]\nwhen = ".*"\nsay = "found"\n')
    file = tmp_path / "agno-rt.toml"
    text = """
[agents.boss]
model = "answers:hello"
tools = ["delegates:helper", "todo"]

[agents.helper]
model = "answers:hello"
"""
    file.write_text(text + '\n[plugins.delegates]\nname = "search"\n')
    project = load_project(str(file))
    model = ScriptedModel([ToolCall("1", "run_search", {"agent": "helper", "task": "x"}), "done"])
    async with project.runtime() as rt:
        boss = Agent(model, "boss", tools=project.agent("boss").tools)
        await rt.run(boss, "go")
    assert model.requests[0].tools[0].name == "run_search"

    file.write_text(text + '\n[plugins.delegates]\non_end = "never"\n')
    async with load_project(str(file)).runtime() as rt:
        with pytest.raises((ConfigError, UsageError), match="on_end"):
            await rt.run(Agent(ScriptedModel([]), tools=["delegates:helper"]), "go")
