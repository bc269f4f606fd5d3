"""Messages of `serve`, `chat` and `run` before the first answer: weights, keys, documents, memory. Real processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import COMMAND, STOP_SECONDS

Command = Callable[..., "subprocess.CompletedProcess[str]"]

CLERK = """
from agno_rt import Agent, tool
from agno_rt.testing import ScriptedModel

@tool(approve=True)
def refund(amount: int) -> str:
    "Refund it."
    return "refunded"

clerk = Agent(ScriptedModel(["Hello!"]), "clerk", tools=[refund])
"""


def said_at_start(folder: Path, *arguments: str, **environment: str) -> str:
    """Return the output of `agno-rt serve` up to the serving line, then stop the server."""
    process = subprocess.Popen(
        [COMMAND, "serve", "--port", "0", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Serving "):
                process.terminate()
                break
        process.stdout.read()
        assert process.wait(STOP_SECONDS) == 0, "".join(lines)
    return "".join(lines)


def test_serve_says_that_weights_are_missing_and_serves(tmp_path: Path) -> None:
    """Both shipped agents lack the same weights: one warning, with the command that fetches them."""
    said = said_at_start(tmp_path, AGNO_RT_CACHE=str(tmp_path / "cache"))

    assert said.count("the weights of llamacpp:smollm2 are not at") == 1
    assert "assistant, librarian:" in said
    assert "agno-rt llamacpp pull" in said
    assert "Serving assistant, librarian" in said


def test_serve_says_that_a_key_is_missing(tmp_path: Path) -> None:
    """A model without its key names the variable for the key."""
    (tmp_path / "agno-rt.toml").write_text('[agents.bot]\nmodel = "openai:gpt-5"\n')
    said = said_at_start(tmp_path, OPENAI_API_KEY="")

    assert "bot: api.openai.com needs an API key, and OPENAI_API_KEY is not set" in said
    assert "Serving bot" in said


@pytest.mark.usefixtures("weights")
def test_serve_counts_documents(tmp_path: Path) -> None:
    """The librarian reports the number and folder of its documents; none is a warning with a remedy."""
    none = said_at_start(tmp_path)
    (tmp_path / "a.md").write_text("# A\n")
    (tmp_path / "b.txt").write_text("B\n")
    two = said_at_start(tmp_path)

    assert f"warning: librarian: 0 documents in {tmp_path}" in none
    assert "files:search:docs" in none
    assert f"librarian: 2 documents in {tmp_path}" in two
    assert "warning" not in two


def test_serve_warns_of_runs_that_wait_in_a_memory_that_forgets(tmp_path: Path) -> None:
    """With tools that wait for a person, a warning names a memory that ends with the process, and a lasting one."""
    (tmp_path / "agents.py").write_text(CLERK)
    forgets = said_at_start(tmp_path, "agents.py")
    (tmp_path / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\nmemory = "sqlite:///a.db"\n')
    keeps = said_at_start(tmp_path)

    assert "clerk: runs wait for a person's decision" in forgets
    assert 'memory = "sqlite:///agents.db"' in forgets
    assert "warning" not in keeps


def test_serve_says_that_its_memory_does_not_open(tmp_path: Path) -> None:
    """A file that is not a database is reported before the first session is lost."""
    (tmp_path / "agents.py").write_text(CLERK.replace("approve=True", "inline=True"))
    (tmp_path / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\nmemory = "sqlite:///notes.txt"\n')
    (tmp_path / "notes.txt").write_text("These are notes, and no database. " * 100)
    said = said_at_start(tmp_path)

    assert "file is not a database" in said
    assert "It is not an SQLite file: name another." in said
    assert "Serving clerk" in said


@pytest.mark.usefixtures("weights")
def test_run_and_chat_warn_of_an_empty_folder(tmp_path: Path, agno_rt: Command) -> None:
    """The warning comes on standard error, before the answer, which gives the same reason."""
    ran = agno_rt("run", "librarian", "When does the canteen open?")
    chatted = agno_rt("chat", "librarian", input="")

    assert ran.stdout == "I found nothing about that in the documents.\n"
    assert f"warning: librarian: 0 documents in {tmp_path}" in ran.stderr
    assert f"warning: librarian: 0 documents in {tmp_path}" in chatted.stderr


@pytest.mark.usefixtures("weights")
def test_run_says_nothing_where_all_is_well(agno_rt: Command) -> None:
    """A script reads the answer only, with the same words each time."""
    first, second = agno_rt("run", "assistant", "Say hello."), agno_rt("run", "assistant", "Say hello.")

    assert first.stdout == second.stdout == "Hello! How can I help you?\n"
    assert first.stderr == ""


@pytest.mark.usefixtures("weights")
def test_what_init_writes_is_right_at_once(tmp_path: Path, agno_rt: Command) -> None:
    """The agent in Python that `agno-rt init` writes tells the time by its tool."""
    agno_rt("init", "mine")
    told = agno_rt("run", "mine/agents.py:timekeeper", "What time is it?")

    assert "UTC on " in told.stdout
