"""Several processes share a Redis server; some are killed, and others go on with the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from agno_rt_redis import make_memory

from agno_rt.memory import SessionLocks
from agno_rt.run_store import RunRecord
from agno_rt.testing import kill_workers

PROCESSES, KILLS, RUNS, STEPS = 4, 2, 4, 15

# Forks before trio begins, so that the modules are imported once. Each process takes lost runs over and finishes them,
# appends to a shared session, and tells what the server has acknowledged.
WORKER = """
import os, sys
import trio
from agno_rt import Message
from agno_rt.errors import SessionConflict
from agno_rt.run_store import Entry, RunChange, RunConflict
from agno_rt_redis import make_memory
import agno_rt_redis.memory

url, processes, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def tell(*words):
    os.write(1, (" ".join(map(str, (os.getpid(), *words))) + "\\n").encode())

async def keep_lease(memory, owner):
    while await memory.renew_lease(owner, seconds=1.0):
        await trio.sleep(0.25)

async def finish(memory, record, owner):
    claimed = await memory.claim_run(record.id, owner, held_by=record.owner)
    _, entries = await memory.load_run(record.id)
    for seq in range(len(entries), steps):
        await memory.write_run(record.id, [Entry(seq, "called", owner.encode())], owner=owner)
        tell("step", record.id, seq, owner)
    await memory.change_run(record.id, RunChange("completed"), owner=owner)

async def append(memory, text):
    while True:
        session = await memory.load("shared", 0)
        try:
            await memory.append("shared", [Message("user", text)], version=session.version)
        except SessionConflict:
            continue
        tell("told", text)
        return

async def main():
    memory, names = make_memory(url), 0
    while await memory.runs(status="running"):
        names += 1
        owner = f"{os.getpid()}-{names}"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_lease, memory, owner)
            await trio.sleep(0.02)
            for record in await memory.find_lost(["agent"]):
                try:
                    await finish(memory, record, owner)
                except RunConflict:
                    break
            await append(memory, owner)
            nursery.cancel_scope.cancel()
        await memory.release_lease(owner)
    await memory.aclose()

for _ in range(processes):
    if os.fork() == 0:
        trio.run(main)
        os._exit(0)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


@contextmanager
def processes(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program with processes that print lines, and end the program after the block."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as found:
        try:
            yield found
        finally:
            if found.poll() is None:
                os.killpg(found.pid, signal.SIGKILL)


def test_runs_of_killed_processes_are_taken_over(redis_url: str) -> None:
    """Of four processes two are killed, one after the other; the others finish every run, and no step is lost."""

    async def prepare() -> None:
        memory = make_memory(redis_url)
        for at in range(RUNS):
            await memory.create_run(RunRecord(f"r{at}", "agent", owner="gone"))
        # The processes end after the last run, which becomes theirs once two of them are killed.
        await memory.create_run(RunRecord("last", "agent", owner="here"))
        await memory.renew_lease("here", seconds=3_600)
        await memory.aclose()

    async def give_last_run() -> None:
        memory = make_memory(redis_url)
        await memory.release_lease("here")
        await memory.aclose()

    trio.run(prepare)
    lines: list[list[str]] = []
    killed: set[str] = set()
    with processes(WORKER, redis_url, str(PROCESSES), str(STEPS)) as program:
        assert program.stdout is not None
        for line in program.stdout:
            lines.append(line.split())
            pid = lines[-1][0]
            # The process with the latest line is killed, in the middle of work.
            if len(killed) < KILLS and len(lines) >= 12 * (len(killed) + 1) and pid not in killed:
                killed.add(pid)
                os.kill(int(pid), signal.SIGKILL)
                if len(killed) == KILLS:
                    trio.run(give_last_run)
        assert program.wait(60) == 0
    assert len(killed) == KILLS

    async def check() -> None:
        memory = make_memory(redis_url)
        assert {run.status for run in await memory.runs()} == {"completed"}
        for run, seq, owner in (line[2:] for line in lines if line[1] == "step"):
            _, entries = await memory.load_run(run)
            assert len(entries) == STEPS
            assert entries[int(seq)].body == owner.encode()
        told = Counter(message.text for message in (await memory.load("shared")).messages)
        assert set(told.values()) <= {1}
        assert {line[2] for line in lines if line[1] == "told"} <= told.keys()
        await memory.aclose()

    trio.run(check)


KILLED = int(os.environ.get("AGNO_RT_TEST_KILLS", "3"))
"""The number of processes to kill: a few in the usual tests, 200 now and then."""


@pytest.mark.timeout(60 + 10 * KILLED)
async def test_runs_of_two_processes_killed_again_and_again(redis_url: str) -> None:
    """Every run that began is completed once by some process, and its calls are finished in order, none again."""
    url = f"{redis_url}&timeout=60&lease=1.5s"
    assert await kill_workers(url, kills=KILLED, modules=["agno_rt_redis.memory"]) > 2


HOLDER = """
import sys
import trio
from agno_rt_redis.address import read_url
from agno_rt_redis.memory import RedisMemory

async def main():
    memory = RedisMemory(read_url(sys.argv[1]), lock_seconds=5.0)
    assert await memory.lock_session("s", wait=True)
    print("held", flush=True)
    await trio.sleep_forever()

trio.run(main)
"""


def test_the_lock_of_a_killed_process_is_free(redis_url: str) -> None:
    """A lock is prolonged while the process lives, and is free soon after the process is killed."""

    async def main() -> None:
        memory = make_memory(redis_url)
        assert isinstance(memory, SessionLocks)
        with processes(HOLDER, redis_url) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "held\n"
            with trio.move_on_after(6) as scope:
                await memory.lock_session("s", wait=True)
            assert scope.cancelled_caught
            program.kill()
            with trio.fail_after(60):
                assert await memory.lock_session("s", wait=True)
        await memory.aclose()

    trio.run(main)
