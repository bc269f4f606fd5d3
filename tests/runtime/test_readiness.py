"""Findings about agents before they run: `agno_rt.readiness`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agno_rt import Agent, Fallback, MemoryPolicy, ModelResponse, Runtime, Tool, tool
from agno_rt.errors import UsageError
from agno_rt.memory import Summary
from agno_rt.readiness import Finding, check_ready
from agno_rt.testing import ScriptedModel

MISSING = Finding("error", "the weights are not here", "Fetch them.")


class Unready(ScriptedModel):
    """A model without weights; `times` counts the checks."""

    times = 0

    def check_ready(self) -> None:
        """Raise the error of a run."""
        self.times += 1
        raise UsageError(MISSING.message, hint=MISSING.hint)


class Plain:
    """A model without a check."""

    name = "plain"

    async def respond(self, request: Any, emit: Any = None) -> ModelResponse:
        """Answer."""
        return ModelResponse("yes")


def found(level: Any, message: str, hint: str = "", *agents: str) -> Finding:
    """Make a finding about the agents."""
    return Finding(level, message, hint, agents)


async def test_nothing_is_found_where_all_is_well() -> None:
    """Models, tools and memory without a check, or with a silent one, are ready."""

    @tool(inline=True, check_ready=lambda: None)
    def shout(text: str) -> str:
        return text.upper()

    async with Runtime() as runtime:
        assert await check_ready(runtime, Agent(Plain(), "a", tools=[shout])) == []


async def test_agents_that_share_a_problem_share_a_finding() -> None:
    """A shared model is checked once, and the finding names each agent."""
    model = Unready([])

    async with Runtime() as runtime:
        findings = await check_ready(runtime, Agent(model, "ann"), Agent(Plain(), "bob"), Agent(model, "cid"))

    assert findings == [found("error", MISSING.message, MISSING.hint, "ann", "cid")]
    assert str(findings[0]) == "ann, cid: the weights are not here"
    assert model.times == 1


async def test_models_within_models_and_summarizers_are_asked() -> None:
    """Models inside a wrapper or a summary are checked too."""
    wrapped = Agent(Fallback(Plain(), Unready([])), "wrapped")
    summed = Agent(Plain(), "summed", memory=MemoryPolicy(messages=8, summary=Summary(model=Unready([]))))

    async with Runtime() as runtime:
        findings = await check_ready(runtime, wrapped, summed)

    assert findings == [found("error", MISSING.message, MISSING.hint, "wrapped", "summed")]


def noting(note: Any) -> Tool:
    """Make a tool with the function as its check."""

    @tool(check_ready=note)
    def look() -> str:
        return ""

    return look


async def test_what_is_good_to_know_is_a_note() -> None:
    """A line returned by a check, plain or async, is a note."""

    async def later() -> str:
        return "7 shelves"

    async with Runtime() as runtime:
        findings = await check_ready(runtime, Agent(Plain(), "a", tools=[noting(lambda: "12 documents")]))
        findings += await check_ready(runtime, Agent(Plain(), "b", tools=[noting(later)]))

    assert findings == [found("note", "12 documents", "", "a"), found("note", "7 shelves", "", "b")]


async def test_a_check_that_fails_is_a_warning() -> None:
    """A failing check is only a warning."""

    def broken() -> None:
        raise ValueError("oops")

    async with Runtime() as runtime:
        (finding,) = await check_ready(runtime, Agent(Plain(), "a", tools=[noting(broken)]))

    assert finding.level == "warning"
    assert "the check of look failed: ValueError: oops" in finding.message
    assert finding.hint


async def test_an_agent_that_cannot_run_is_an_error() -> None:
    """An unknown name in an agent is an error, and the other agents are still checked."""
    async with Runtime() as runtime:
        findings = await check_ready(runtime, Agent("nosuch:model", "lost"), Agent(Unready([]), "found"))

    assert [(finding.level, finding.agents) for finding in findings] == [
        ("error", ("lost",)),
        ("error", ("found",)),
    ]
    assert "nosuch" in findings[0].message


@tool(approve=True)
def pay(amount: int) -> str:
    """Pay."""
    return "paid"


async def test_a_run_that_may_pause_needs_a_memory_that_lasts(tmp_path: Path) -> None:
    """An agent whose runs may pause gives a warning with `memory:`, and none with a file."""
    clerk = Agent(Plain(), "clerk", tools=[pay])

    async with Runtime() as runtime:
        (finding,) = await check_ready(runtime, clerk)
    async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as runtime:
        assert await check_ready(runtime, clerk) == []

    assert finding.agents == ("clerk",)
    assert "forgets them" in finding.message
    assert "sqlite:///agents.db" in finding.hint
    assert not os.listdir(tmp_path), "a check makes no file"


@pytest.mark.parametrize("memory", ["sqlite:///{}/no/such/dir/a.db", "sqlite:///{}/text.db", "postgres://x"])
async def test_a_memory_that_does_not_open_is_found(memory: str, tmp_path: Path) -> None:
    """A missing folder, a file other than a database, and an unknown URL are found."""
    (tmp_path / "text.db").write_text("this is text, and long enough to be taken for a header " * 40)

    async with Runtime(memory=memory.format(tmp_path)) as runtime:
        (finding,) = await check_ready(runtime, Agent(Plain(), "a"))

    assert finding.agents == ()
    assert finding.level == "error"
    assert finding.hint


async def test_the_memory_can_be_left_alone() -> None:
    """A check of agents alone reports nothing about the memory."""
    async with Runtime(memory="postgres://x") as runtime:
        assert await check_ready(runtime, Agent(Plain(), "a"), memory=False) == []


async def test_a_memory_that_opens_is_not_mentioned(tmp_path: Path) -> None:
    """A file written by earlier runs gives no finding."""
    async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as runtime:
        await runtime.run(Agent(Plain(), "a"), "hi", session="s")
        assert await check_ready(runtime, Agent(Plain(), "a")) == []


async def test_a_folder_says_how_many_documents_it_has(tmp_path: Path) -> None:
    """The search tool counts its documents. An empty folder is a warning with a hint."""
    agent = Agent(Plain(), "librarian", tools=[f"files:search:{tmp_path}"])

    async with Runtime() as runtime:
        (empty,) = await check_ready(runtime, agent)
        (tmp_path / "a.md").write_text("# A")
        (one,) = await check_ready(runtime, agent)
        (tmp_path / "b.txt").write_text("b")
        (tmp_path / "c.png").write_text("c")
        (two,) = await check_ready(runtime, agent)

    assert (empty.level, str(empty)) == ("warning", f"librarian: 0 documents in {tmp_path}")
    assert "files:search:docs" in empty.hint
    assert (one.level, str(one)) == ("note", f"librarian: 1 document in {tmp_path}")
    assert str(two) == f"librarian: 2 documents in {tmp_path}"
