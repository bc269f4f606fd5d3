"""Processes that share PostgreSQL are killed, and the server is: each run finishes once, no call is repeated."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_postgres.memory import PostgresMemory

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt.memory import MemoryPolicy
from agno_rt.testing import ScriptedModel, kill_workers

KILLS = int(os.environ.get("AGNO_RT_TEST_KILLS", "3"))
"""The number of processes to kill: a few in the usual tests, 200 now and then."""


@pytest.mark.timeout(60 + 10 * KILLS)
async def test_runs_of_killed_processes(url: str) -> None:
    """Every run that began is completed once by some process, and its calls are finished in order, none again."""
    short = re.sub(r"timeout=\d+", "timeout=60&lease=1.5", url)
    assert await kill_workers(short, kills=KILLS, modules=["agno_rt_postgres.memory"]) > 2


async def test_a_restart_in_the_middle_of_a_run(make_memory: Callable[..., PostgresMemory], own_server: Any) -> None:
    """A run whose server crashes and restarts while a tool works goes on, and stores each step once."""
    calls = 0

    @tool
    async def restart() -> str:
        """Restart the server."""
        nonlocal calls
        calls += 1
        await trio.to_thread.run_sync(lambda: (own_server.stop(), own_server.start()))
        return "done"

    model = ScriptedModel([ToolCall("c1", "restart", "{}"), "It is back."])
    agent = Agent(model, name="ops", tools=[restart], memory=MemoryPolicy(journal=True))
    memory = make_memory(url=f"{own_server.url}?schema=middle", patience=80, timeout=20)
    async with Runtime(memory=memory) as rt:
        result = await rt.run(agent, "Restart it.", session="s")
        (run,) = await memory.runs()
        _, entries = await memory.load_run(run.id)
        session = await memory.load("s")
    await memory.aclose()

    assert (result.content, calls, run.status) == ("It is back.", 1, "completed")
    assert [entry.seq for entry in entries] == list(range(run.entries))
    assert [message.text for message in session.messages] == ["Restart it.", "", "done", "It is back."]


WORKER = """
import socket, sys
import trio
from agno_rt import Agent, RunContext, Runtime, ToolCall, tool
from agno_rt.memory import MemoryPolicy
from agno_rt.testing import ScriptedModel

# The owner's name begins with the host, by which others know whose processes they can ask the system about.
socket.gethostname = lambda: "another-host"

@tool
async def wait(context: RunContext) -> str:
    print(context.run_id, flush=True)
    await trio.sleep_forever()

async def main():
    agent = Agent(ScriptedModel([ToolCall("c", "wait", "{}")]), "a", tools=[wait], memory=MemoryPolicy(journal=True))
    async with Runtime(memory=sys.argv[1]) as rt:
        await rt.start(agent, "go")

trio.run(main)
"""
"""A process that poses as one of another host, and waits in a tool of its run."""


@contextmanager
def working_elsewhere(url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the worker, and return it with the id of its run."""
    with subprocess.Popen([sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_run_of_a_dead_process_of_another_host(
    url: str, schema: str, make_memory: Callable[..., PostgresMemory], sql: Callable[[str], object], tmp_path: Path
) -> None:
    """A run is running while its host has a lease, and `agno-rt runs` shows it as stopped once the lease has ended."""

    async def find_stopped(run: str) -> set[str]:
        memory = make_memory()
        async with Runtime(memory=memory) as rt:
            record, _ = await memory.load_run(run)
            assert (record.status, str(record.owner).partition("/")[0]) == ("running", "another-host")
            stopped = await rt.find_stopped([record])
        await memory.aclose()
        return stopped

    with working_elsewhere(f"{url}&lease=1h") as (process, run):
        process.kill()
        process.wait()
        before = trio.run(find_stopped, run)
        sql(f"UPDATE {schema}.leases SET expires_at = expires_at - 3600")
        after = trio.run(find_stopped, run)
        command = [sys.executable, "-m", "agno_rt.cli", "runs", "list", "--memory", url]
        listed = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True).stdout

    assert (before, after) == (set(), {run})
    assert f"{run}  stopped" in listed
