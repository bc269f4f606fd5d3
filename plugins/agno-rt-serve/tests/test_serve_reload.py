"""`--reload`: changed files are found, and the server starts anew without a lost request."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_serve.process.watch import look, watch

PATIENCE = 60.0

AGENTS = """
from agno_rt import Agent
from agno_rt.testing import ScriptedModel

a = Agent(ScriptedModel(lambda request: "one"), "a")
"""


def test_looks_at_the_projects_own_files(tmp_path: Path) -> None:
    """Files of Python and TOML count, in folders too; environments, caches and hidden folders do not."""
    for name in ("agents.py", "agno-rt.toml", "pack/tools.py", "notes.txt", ".git/x.py", "pack/__pycache__/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "env").mkdir()
    for name in ("pyvenv.cfg", "x.py"):
        (tmp_path / "env" / name).write_text("")

    assert {os.path.relpath(path, tmp_path) for path in look(tmp_path)} == {
        "agents.py",
        "agno-rt.toml",
        "pack/tools.py",
    }


@pytest.mark.parametrize("change", ["write", "add", "remove"])
async def test_tells_of_changes(tmp_path: Path, nursery: trio.Nursery, change: str) -> None:
    """A changed, a new and a missing file are each told, by name."""
    (tmp_path / "agents.py").write_text("1")
    send, receive = trio.open_memory_channel[list[str]](10)
    nursery.start_soon(watch, tmp_path, look(tmp_path), send.send_nowait)
    if change == "remove":
        (tmp_path / "agents.py").unlink()
    else:
        (tmp_path / ("agents.py" if change == "write" else "tools.py")).write_text("22")
    with trio.fail_after(PATIENCE):
        told = await receive.receive()
    nursery.cancel_scope.cancel()

    assert told == ["tools.py" if change == "add" else "agents.py"]


CHANGING = """
import sys
from pathlib import Path

code = Path(__file__)
if "--worker" in sys.argv and code.read_text().startswith("# first"):
    code.write_text("# second" + code.read_text().removeprefix("# first"))
"""
"""Changes the file when a worker reads it for the first time."""


def test_a_change_while_the_server_starts(launch: Any, address: Any) -> None:
    """A file that changes after a worker has read the file is read again, however early that is."""
    process = launch(f"# first\n{AGENTS}{CHANGING}", "--reload")
    address(process)

    lines = iter(process.stderr.readline, "")
    assert any("Changed: agents.py. Starting anew." in line for line in lines)
    assert any("All workers are new" in line for line in lines)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def test_starts_anew(launch: Any, address: Any, tmp_path: Path) -> None:
    """A change is served soon; a fault in the code is shown and the old code goes on; the next change is served."""
    process = launch(AGENTS, "--reload")
    url = address(process)

    def ask() -> str:
        body, kind = b'{"input": "x"}', {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/agents/a/runs", body, kind)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return str(json.load(answer)["content"])

    def read_until(mark: str) -> str:
        lines = [process.stderr.readline()]
        while mark not in lines[-1]:
            assert lines[-1], lines
            lines.append(process.stderr.readline())
        return "".join(lines)

    assert ask() == "one"
    (tmp_path / "agents.py").write_text(AGENTS.replace("one", "second"))
    assert "Changed: agents.py. Starting anew." in read_until("All workers are new")
    assert ask() == "second"
    (tmp_path / "agents.py").write_text("def broken(:\n")
    assert "agents.py" in read_until("the old workers go on")
    assert ask() == "second"
    (tmp_path / "agents.py").write_text(AGENTS.replace("one", "the third"))
    read_until("All workers are new")
    assert ask() == "the third"
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
