"""Agents on the command line whose toolkits have to be opened."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

KITS = '''
from contextlib import asynccontextmanager
from agno_rt import Agent, ModelResponse, ToolCall, Toolkit


class Calling:
    """Calls its only tool, and says what came of it."""

    name = "calling"

    async def respond(self, request, emit=None):
        if request.messages[-1].role == "tool":
            return ModelResponse(request.messages[-1].text)
        return ModelResponse("", (ToolCall("1", request.tools[0].name, '{"text": "hi"}'),))


@asynccontextmanager
async def connect():
    with open("log.txt", "a") as log:
        log.write("opened\\n")

        def look(text: str) -> str:
            """Look it up."""
            return f"found {text}"

        yield [look]
        log.write("closed\\n")


@asynccontextmanager
async def refuse():
    raise ConnectionRefusedError("port 99")
    yield []


library = Agent(Calling(), name="library", tools=(Toolkit("books", open=connect),))
shut = Agent(Calling(), name="shut", tools=(Toolkit("vault", open=refuse),))
'''


@pytest.fixture(autouse=True)
def kits(project: Path) -> None:
    """Write the agents, and an agno-rt.toml that names them."""
    (project / "kits.py").write_text(KITS)
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["kits.py"]\n[plugins.serve]\nport = 0\n')


def opened(project: Path) -> list[str]:
    """What the toolkit wrote of its opening and closing."""
    return (project / "log.txt").read_text().split()


def test_run_opens_and_closes_them(agno: Agno, project: Path) -> None:
    """One run, one connection; a failing one is told by name."""
    done, failed = agno("run", "library", "x"), agno("run", "shut", "x")

    assert (done.returncode, done.stdout) == (0, "found hi\n")
    assert opened(project) == ["opened", "closed"]
    assert failed.returncode != 0
    assert "agent 'shut': toolkit 'vault' cannot be opened: ConnectionRefusedError: port 99" in failed.stderr


def test_map_opens_them_once(agno: Agno, project: Path) -> None:
    """Many inputs share the connection."""
    (project / "inputs.txt").write_text("a\nb\nc\n")

    done = agno("map", "library", "inputs.txt", "-o", "-")

    assert done.stdout.count("found hi") == 3
    assert opened(project) == ["opened", "closed"]


def test_chat_lists_their_tools(agno: Agno, project: Path) -> None:
    """A chat opens them at its start, says what fails, and keeps them open to its end."""
    done, failed = agno("chat", "library", input="/tools\nhello\nhello\n"), agno("chat", "shut", input="")

    assert "  look  Look it up.\n" in done.stderr
    assert done.stdout.count("found hi") == 2
    assert opened(project) == ["opened", "closed"]
    assert "toolkit 'vault' cannot be opened: ConnectionRefusedError: port 99" in failed.stderr


def test_doctor_opens_them(agno: Agno, project: Path) -> None:
    """What cannot be opened is broken, by name."""
    done = agno("doctor")

    assert done.returncode == 1
    assert "✓ agent library can answer" in done.stdout
    shown = " ".join(done.stdout.split())
    assert "✗ agent shut cannot answer: " in shown
    assert "toolkit 'vault' cannot be opened: ConnectionRefusedError: port 99" in shown
    assert opened(project) == ["opened", "closed"]


def test_agents_are_listed_without_opening(agno: Agno, project: Path) -> None:
    """A list names the toolkit in place of its tools, which are not known yet."""
    done = agno("agents")

    assert "books" in done.stdout
    assert not (project / "log.txt").exists()
