"""The command line on a damaged store: sound entries are shown, and damaged ones are named."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from agno_rt import Message, ToolCall
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.run_store import Approval, Entry, RunChange, RunRecord

Agno = Callable[..., subprocess.CompletedProcess[str]]
URL = ("--memory", "sqlite:///damaged.db")


@pytest.fixture
def damage(project: Path) -> Callable[[str], None]:
    """Make a store with two of everything, and return a function that changes the store's file directly."""
    path = project / "damaged.db"

    async def store() -> None:
        memory = SQLiteMemory(path)
        for session, run in (("well", "q"), ("bad", "r")):
            await memory.append(session, [Message("user", "hi")], version=0)
            await memory.create_run(RunRecord(run, "agent", owner="me"), [Entry(0, "called", b"x")])
            asked = Approval(f"of {run}", run, ToolCall("c", "pay"))
            await memory.change_run(run, RunChange("paused", approvals=[asked]), owner="me")
        await memory.aclose()

    def change(statement: str) -> None:
        trio.run(store)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute(statement)

    return change


@pytest.mark.parametrize(
    ("verb", "statement", "bad", "well"),
    [
        ("runs", "UPDATE runs SET input = CAST(x'ff' AS TEXT) WHERE id = 'r'", "run 'r'", "q"),
        ("sessions", "UPDATE sessions SET user = CAST(x'ff' AS TEXT) WHERE id = 'bad'", "session 'bad'", "well"),
        ("approvals", "UPDATE approvals SET body = 'x' WHERE run = 'r'", "approval 'of r'", "of q"),
    ],
)
def test_lists_the_rest(
    agno: Agno, damage: Callable[[str], None], verb: str, statement: str, bad: str, well: str
) -> None:
    """Each list shows the readable entries, and names the damaged ones on standard error with a remedy."""
    damage(statement)

    done, as_json = agno(verb, "list", *URL), agno(verb, "list", "--json", *URL)

    assert done.returncode == as_json.returncode == 0
    assert [json.loads(line)["id"] for line in as_json.stdout.splitlines()] == [well]
    assert well in done.stdout
    assert done.stderr.count("warning: ") == 1
    assert bad in done.stderr
    assert "hint: This row is damaged" in done.stderr


def test_exports_the_rest(agno: Agno, damage: Callable[[str], None], project: Path) -> None:
    """All sessions but the damaged one are exported, with exit code 1; the damaged one by name is an error."""
    damage("UPDATE messages SET body = CAST(replace(body, 'hi', 'no') AS BLOB) WHERE session = 'bad'")

    done, by_name = (
        agno("sessions", "export", "-o", "out.jsonl", *URL),
        agno("sessions", "export", "bad", *URL),
    )

    assert (done.returncode, by_name.returncode) == (1, 1)
    assert [json.loads(line)["id"] for line in (project / "out.jsonl").read_text().splitlines()] == ["well"]
    assert "message 1 of session 'bad'" in done.stderr
    assert "message 1 of session 'bad'" in by_name.stderr
    assert by_name.stdout == ""


def test_shows_a_run_whose_approval_is_damaged(agno: Agno, damage: Callable[[str], None]) -> None:
    """The steps of a run are shown although its approval is damaged."""
    damage("UPDATE approvals SET body = 'x' WHERE run = 'r'")

    done = agno("runs", "show", "r", *URL)

    assert done.returncode == 0
    assert "called" in done.stdout
    assert "approval 'of r' of run 'r'" in done.stderr
