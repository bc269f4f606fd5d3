"""Projects of agents that can be served, over HTTP and over stdio, and clients of the servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx2
import mcp_types as types
import trio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

AGENTS = Path(__file__).with_name("served_agents.py")
PATIENCE = 60.0


@attrs.define
class Agents:
    """A folder with a project of agents that can be served: its settings, and the log of its tools."""

    folder: Path
    processes: list[subprocess.Popen[str]] = attrs.Factory(list)

    @property
    def log(self) -> Path:
        """The log of the tools."""
        return self.folder / "log"

    @property
    def env(self) -> dict[str, str]:
        """The environment of a server."""
        return {"AGNO_TEST_LOG": str(self.log)}

    def configure(self, serve: str = "", more: str = "", agents: Path = AGENTS) -> None:
        """Write the settings: lines of `[plugins.mcp.serve]`, further lines, and the file of the agents."""
        runtime = f'[runtime]\nload = ["{agents}"]\nmemory = "sqlite:///agents.db"\n'
        (self.folder / "agno-rt.toml").write_text(f"{runtime}[plugins.mcp.serve]\n{serve}\n{more}\n")
        self.log.touch()

    def launch(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start `agno-rt` in the folder."""
        command = [sys.executable, "-m", "agno_rt.cli", *arguments]
        env = {**os.environ, **self.env}
        pipe = subprocess.PIPE
        given = {"stdin": pipe, "stdout": pipe, "stderr": subprocess.DEVNULL, "text": True, **options}
        self.processes.append(subprocess.Popen(command, cwd=self.folder, env=env, **given))
        return self.processes[-1]

    def serve(self, *arguments: str) -> str:
        """Serve over HTTP. Return the URL of the endpoint. The server's log is in the folder."""
        output = self.folder / "output"
        with output.open("w") as log:
            process = self.launch("mcp", "serve", "--port", "0", *arguments, stdout=log, stderr=log)
        while process.poll() is None:
            if found := re.search(r"http://\S+:\d+", output.read_text()):
                return f"{found[0]}/mcp"
            time.sleep(0.02)
        raise AssertionError(output.read_text())

    def end(self) -> None:
        """End all processes."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.processes.clear()

    async def wait_for(self, text: str) -> None:
        """Wait until the tools logged the text."""
        with trio.fail_after(PATIENCE):
            while text not in self.log.read_text():  # noqa: ASYNC110 - the server is another process
                await trio.sleep(0.01)

    @asynccontextmanager
    async def stdio(self, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
        """Open the official client on a server over stdio."""
        arguments = ["-m", "agno_rt.cli", "mcp", "serve"]
        command = StdioServerParameters(command=sys.executable, args=arguments, cwd=str(self.folder), env=self.env)
        with (self.folder / "stderr").open("a") as errors:
            async with Client(stdio_client(command, errlog=errors), mode=mode, **options) as client:
                yield client


@asynccontextmanager
async def connect(url: str, mode: str = "auto", key: str = "", **options: Any) -> AsyncIterator[Client]:
    """Open the official client on a URL."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **options) as client,
    ):
        yield client


def read_text(result: Any) -> str:
    """Return the texts of a result."""
    return "\n".join(each.text for each in result.content if each.type == "text")


def answer_with(**content: Any) -> Callable[..., Any]:
    """Return a callback for questions that always gives the same answer."""

    async def answer(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content=content)

    return answer
