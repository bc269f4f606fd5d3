"""`agno-rt ollama` in a process of its own, against a server on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio

from agno_rt.testing.wire.server import WireReply, WireServer, open_wire_server
from tests.servers.ollama_format import PULLED

TAGS = {"models": [{"name": "qwen3:8b", "size": 5_200_000_000, "details": {"parameter_size": "8.2B"}}]}


@pytest.fixture
async def server() -> AsyncIterator[WireServer]:
    """A listening server."""
    async with open_wire_server() as wire_server:
        yield wire_server


def make_command(*words: str) -> list[str]:
    """Return the command line of `agno-rt` with the words."""
    return [sys.executable, "-m", "agno_rt.cli", *words]


def make_environment(server: WireServer) -> dict[str, str]:
    """Return the environment with the server's address."""
    return {**os.environ, "OLLAMA_HOST": server.url, "COLUMNS": "120"}


async def run(folder: Path, server: WireServer, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run `agno-rt` in the folder."""
    return await trio.run_process(
        make_command(*words),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        cwd=folder,
        env=make_environment(server),
    )


async def test_pulls_a_model(server: WireServer, tmp_path: Path) -> None:
    """The command waits for the end of the download, and shows how to use the model."""
    server.play(PULLED)
    done = await run(tmp_path, server, "ollama", "pull", "qwen3:8b")
    assert (done.returncode, done.stdout) == (0, b'Fetched. Try: agno-rt run ollama:qwen3:8b "Hello!"\n')
    assert server.requests[0].json()["model"] == "qwen3:8b"


async def test_pulls_to_a_named_server(server: WireServer, tmp_path: Path) -> None:
    """A server of agno-rt.toml is named before the model."""
    server.play(PULLED)
    (tmp_path / "agno-rt.toml").write_text(f'[plugins.ollama.servers.garage]\nbase_url = "{server.url}"\n')
    done = await run(tmp_path, server, "ollama", "pull", "garage:qwen3:8b")
    assert b"agno-rt run ollama:garage:qwen3:8b" in done.stdout
    assert server.requests[0].json()["model"] == "qwen3:8b"


async def test_tells_why_a_pull_failed(server: WireServer, tmp_path: Path) -> None:
    """A failure is one line and a hint, and the exit code is not 0."""
    server.play(attrs.evolve(PULLED, pieces=PULLED.pieces[:2]))
    done = await run(tmp_path, server, "ollama", "pull", "qwen3:8b")
    assert done.returncode == 1
    assert b"before the model was there" in done.stderr
    assert b"goes on where it stopped" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing on Windows")
async def test_an_interrupted_pull_hangs_up(server: WireServer, tmp_path: Path) -> None:
    """Ctrl-C ends the command and the connection, by which the server knows to stop."""
    server.play(attrs.evolve(PULLED, pieces=PULLED.pieces[:2], ending="stall"))
    process = await trio.lowlevel.open_process(
        make_command("ollama", "pull", "qwen3:8b"),
        cwd=tmp_path,
        env=make_environment(server),
        stderr=subprocess.DEVNULL,
    )
    await server.wait_stalled()
    process.send_signal(signal.SIGINT)
    assert await process.wait() not in (0, 1)
    await server.wait_idle()


async def test_lists_models(server: WireServer, tmp_path: Path) -> None:
    """The list has specs to copy; `--json` has the numbers."""
    server.play(WireReply((json.dumps(TAGS).encode(),)))
    table = await run(tmp_path, server, "ollama", "list")
    lines = await run(tmp_path, server, "ollama", "list", "--json")
    assert b"ollama:qwen3:8b" in table.stdout
    assert b"5.2 GB" in table.stdout
    expected = {"name": "qwen3:8b", "size": 5_200_000_000, "parameters": "8.2B", "quantization": ""}
    assert json.loads(lines.stdout) == expected


async def test_an_unknown_server(server: WireServer, tmp_path: Path) -> None:
    """A server that agno-rt.toml does not name is an error with the known names."""
    (tmp_path / "agno-rt.toml").write_text(f'[plugins.ollama.servers.garage]\nbase_url = "{server.url}"\n')
    done = await run(tmp_path, server, "ollama", "list", "garaje")
    assert done.returncode != 0
    assert b"garage" in done.stderr


async def test_models_of_a_server_that_answers(server: WireServer, tmp_path: Path) -> None:
    """`agno-rt models` lists what the server on this machine has."""
    server.play(WireReply((json.dumps(TAGS).encode(),)))
    done = await run(tmp_path, server, "models", "--json")
    specs = [json.loads(line)["spec"] for line in done.stdout.splitlines()]
    assert "ollama:qwen3:8b" in specs
    assert "ollama:MODEL" not in specs
