"""Pictures of runs, read from their journals: agents by turns and calls, workflows by the places of their steps."""

from __future__ import annotations

from typing import Any

import attrs

from agno_rt import Agent, Ask, Flow, Runtime, ToolCall, step, tool, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.drawing.stored_run import StoredRun, draw_stored_run
from agno_rt.drawing.timeline import list_rows, render_bar
from agno_rt.memory import MemoryPolicy
from agno_rt.models import ModelResponse
from agno_rt.run_store import Entry, RunStatus
from agno_rt.runnable import Drawing
from agno_rt.testing import ScriptedModel

JOURNAL = MemoryPolicy(journal=True)


def agent(name: str, *answers: Any) -> Agent:
    """Return an agent with scripted answers, whose runs are stored."""
    return Agent(ScriptedModel(list(answers) or [name] * 9), name, memory=JOURNAL)


def outline(drawing: Drawing) -> Any:
    """Return the names, kinds and states of a drawing as nested values."""
    head = " ".join(word for word in (drawing.name, drawing.kind, drawing.state) if word)
    return (head, drawing.form, [outline(part) for part in drawing.parts]) if drawing.parts else head


async def stored(memory: InProcessMemory, run: str, status: RunStatus | None = None) -> StoredRun:
    """Load a run and the runs within; `status` replaces the stored status."""
    record, entries = await memory.load_run(run)
    within = [await stored(memory, each.id) for each in await memory.runs() if each.parent == run]
    record = record if status is None else attrs.evolve(record, status=status)
    return StoredRun(record, entries, await memory.approvals(run=run), within)


def parts_of(drawing: Drawing) -> list[Drawing]:
    """List the drawing and everything within."""
    return [drawing, *(inner for part in drawing.parts for inner in parts_of(part))]


@step
async def work(text: str) -> str:
    """Work."""
    if text == "bad":
        raise ValueError("it is bad")
    return text


async def test_a_workflow_by_its_places() -> None:
    """Steps come in the order of the code, branches side by side, and a run within with its own steps."""
    desk, writer = agent("desk"), agent("writer")

    @workflow
    async def inner(topic: str, flow: Flow) -> str:
        return await work(topic)

    @workflow
    async def report(topic: str, flow: Flow) -> str:
        await flow.now()
        await flow.run(desk, topic)
        async with flow.group("parts") as parts:
            parts.start(inner, "x", key="b/c")
            parts.start(work, "y")
        async with flow.group("parts", on_error="keep") as parts:
            parts.start(work, "bad")
        await flow.run(writer, "go")
        return await work("z")

    async with Runtime(memory=(memory := InProcessMemory())) as rt:
        result = await rt.run(report, "trio")
    drawing = draw_stored_run(await stored(memory, result.run_id))

    assert outline(drawing) == (
        "report run completed",
        "series",
        [
            "desk#1 agent completed",
            (
                "parts#1 group",
                "parallel",
                [("b/c/inner#1 run completed", "series", ["work#1 step completed"]), "1/work#1 step completed"],
            ),
            ("parts#2 group", "parallel", ["0/work#1 step failed"]),
            "writer#1 agent completed",
            "work#1 step completed",
        ],
    )
    assert "it is bad" in str(parts_of(drawing)[7].notes)
    for part in parts_of(drawing):
        assert part.began is not None
        assert part.ended is not None
        assert drawing.began is not None
        assert drawing.began <= part.began <= part.ended


async def test_a_run_that_waits() -> None:
    """Questions wait with their text, also those of a run within that has not ended; answered ones say so."""

    @workflow
    async def inner(topic: str, flow: Flow) -> bool:
        return bool(await flow.ask(Ask(bool, "May I?")))

    @workflow
    async def report(topic: str, flow: Flow) -> str:
        async with flow.group("parts") as parts:
            parts.start(inner, "x")
            parts.start(work, "y")
        if await flow.ask(Ask(bool, "Publish?")):
            await work("z")
        return "done"

    async with Runtime(memory=(memory := InProcessMemory())) as rt:
        first = await rt.run(report, "trio")
        waiting = draw_stored_run(await stored(memory, first.run_id))
        await rt.answer(first.approvals[0].id, {"answer": True})
        second = await rt.resume(first.run_id, report)
        await rt.answer(second.approvals[0].id, {"answer": False})
        await rt.resume(first.run_id, report)
        done = draw_stored_run(await stored(memory, first.run_id))

    assert outline(waiting) == (
        "report run paused",
        "series",
        [
            (
                "parts#1 group waiting",
                "parallel",
                ["1/work#1 step completed", ("0/inner#1 run paused", "series", ["ask#1 question waiting"])],
            )
        ],
    )
    assert [part.notes for part in parts_of(waiting) if part.kind == "question"] == [["May I?"]]
    assert [part.state for part in parts_of(done) if part.kind == "question"] == ["answered"] * 2
    assert [part.notes for part in parts_of(done) if part.kind == "question"] == [["May I?"], ["Publish?"]]
    assert done.state == "completed"


async def test_a_step_without_an_end() -> None:
    """A step that began and did not end is under way, or unfinished if its process is gone."""

    @workflow
    async def report(topic: str, flow: Flow) -> str:
        return await work("z")

    async with Runtime(memory=(memory := InProcessMemory())) as rt:
        result = await rt.run(report, "trio")
    run = await stored(memory, result.run_id, "running")
    run = attrs.evolve(run, entries=run.entries[:-2])

    assert outline(draw_stored_run(run)) == ("report run running", "series", ["work#1 step running"])
    gone = draw_stored_run(attrs.evolve(run, is_gone=True))
    assert outline(gone) == ("report run unfinished", "series", ["work#1 step unfinished"])
    assert gone.ended is None


async def test_an_agent_by_its_turns() -> None:
    """Each answer of the model is a turn; the calls of a turn are side by side; a call to approve has its question."""

    @tool
    def look(where: str) -> str:
        return where

    @tool(approve=True)
    def send(text: str) -> str:
        return text

    calls = (ToolCall("1", "look", '{"where": "up"}'), ToolCall("2", "send", '{"text": "hi"}'))
    model = ScriptedModel([ModelResponse("", calls), "done", "again"])
    asker = Agent(model, "asker", tools=[look, send], memory=JOURNAL)
    async with Runtime(memory=(memory := InProcessMemory())) as rt:
        first = await rt.run(asker, "go")
        waiting = draw_stored_run(await stored(memory, first.run_id))
        await rt.approve(first.approvals[0].id)
        await rt.resume(first.run_id, asker)
        done = draw_stored_run(await stored(memory, first.run_id))

    question = ["may send run? question waiting", "send tool"]
    assert outline(waiting) == (
        "asker agent paused",
        "series",
        ["turn 1 model completed", ("", "parallel", ["look tool completed", ("", "series", question)])],
    )
    question = ["may send run? question approved", "send tool completed"]
    assert outline(done) == (
        "asker agent completed",
        "series",
        [
            "turn 1 model completed",
            ("", "parallel", ["look tool completed", ("", "series", question)]),
            "turn 2 model completed",
        ],
    )


async def test_a_damaged_entry_hides_no_other() -> None:
    """A damaged entry is a box of its own, and a short run is still a run of an agent."""
    async with Runtime(memory=(memory := InProcessMemory())) as rt:
        result = await rt.run(agent("asker", "one"), "go")
    run = await stored(memory, result.run_id)
    damaged = [Entry(0, "begun", b"{"), *run.entries[1:]]

    assert outline(draw_stored_run(attrs.evolve(run, entries=damaged))) == (
        "asker agent completed",
        "series",
        ["entry 0 damaged failed"],
    )


def test_bars_are_aligned() -> None:
    """A bar stands for the part's time; short parts have one cell, and parts that wait or go on a lighter shade."""
    parts = [
        Drawing("a", "step", state="completed", began=100.0, ended=105.0),
        Drawing("", "", parts=[Drawing("b", "step", state="completed", began=109.99, ended=110.0)]),
        Drawing("c", "question", state="waiting", began=105.0),
        Drawing("d", "step", state="unfinished"),
    ]
    rows = list_rows(Drawing("all", "run", parts=parts, began=100.0, ended=110.0))

    assert [(row.name, row.depth) for row in rows] == [("all", 0), ("a", 1), ("b", 1), ("c", 1), ("d", 1)]
    assert [render_bar(row, 10.0, 10) for row in rows] == ["█" * 10, "█" * 5, " " * 9 + "█", " " * 5 + "░" * 5, ""]
    assert render_bar(rows[0], 0.0, 10) == "█"
