"""`kill_workers`: kills processes that share a store, and checks that others finish each run once."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress

import trio

from agno_rt.memory import MemoryBackend
from agno_rt.run_store import RunStore
from agno_rt.runtime import Runtime
from agno_rt.testing.workers.program import STEPS

__all__ = ["kill_workers"]

LINES = 20
"""The lines of a worker before the kill: more than the runs under way at once, so that some calls are stored."""

PLACES = 7
"""The kills come after `LINES` and up to so many lines more, so that they hit different places."""

MOST_RUNS = 100_000

QUIET_SECONDS = 60.0
"""Seconds without a line after which the workers are taken to be stuck."""


async def kill_workers(url: str, *, kills: int = 10, modules: Sequence[str] = ()) -> int:
    """Keep two processes at work on a store, kill one after the other, and let the last one finish every run.

    Checks that every run is completed once, with each result once in its session, and that no call was made again after
    a later call, so none whose result was stored. Returns the number of runs.

    Args:
        url: the memory of the processes; the store must be empty, and its leases short
        kills: the number of processes to kill
        modules: the modules of the backend, imported before the processes fork, to save time

    Raises `AssertionError` where a run is lost or stuck, or a finished call was made again.
    """
    made = await _collect_steps(url, kills, modules)
    async with Runtime(memory=url) as rt:
        return await _check_runs(rt.memory, made, STEPS)


async def _collect_steps(url: str, kills: int, modules: Sequence[str]) -> dict[str, list[int]]:
    """Return the numbers of the steps that were made for each run, in the order of making."""
    command = [sys.executable, "-m", "agno_rt.testing.workers.program", url, *modules]
    pipe = subprocess.PIPE
    async with trio.open_nursery() as nursery:
        start = functools.partial(
            trio.run_process, command, stdin=pipe, stdout=pipe, check=False, start_new_session=True
        )
        program: trio.Process = await nursery.start(start)
        try:
            return await _kill_in_turn(program, kills)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)


async def _kill_in_turn(program: trio.Process, kills: int) -> dict[str, list[int]]:
    """Kill each worker once it has told enough, and let another one begin."""
    assert program.stdin is not None
    assert program.stdout is not None
    made: dict[str, list[int]] = defaultdict(list)
    told: dict[str, int] = defaultdict(int)
    killed: set[str] = set()
    await program.stdin.send_all(b"start\n" * 2)
    async with aclosing(_read_lines(program.stdout)) as lines:
        async for line in lines:
            pid, word, *rest = line.split()
            assert word != "died", f"worker {line}"
            if word == "over":
                break
            if word == "done":
                made[rest[0]].append(int(rest[1]))
            told[pid] += 1
            if told[pid] >= LINES + len(killed) % PLACES and pid not in killed and len(killed) < kills:
                killed.add(pid)
                os.kill(int(pid), signal.SIGKILL)
                # The last worker to be killed is alone, so that the worker that finishes everything is never killed.
                if len(killed) != kills - 1:
                    await program.stdin.send_all(b"start\n" if len(killed) < kills else b"finish\n")
    assert len(killed) == kills, f"{len(killed)} of {kills} processes were killed"
    return made


async def _read_lines(output: trio.abc.ReceiveStream) -> AsyncGenerator[str, None]:
    """Yield the lines of the workers. Raises `AssertionError` where none comes for long."""
    rest = bytearray()
    while True:
        some: bytes | bytearray | None = None
        with trio.move_on_after(QUIET_SECONDS):
            some = await output.receive_some()
        assert some is not None, f"no worker did anything for {QUIET_SECONDS:g} seconds"
        if not some:
            return
        *lines, rest = (rest + some).split(b"\n")
        for line in lines:
            yield line.decode()


async def _check_runs(memory: MemoryBackend, made: Mapping[str, Sequence[int]], steps: int) -> int:
    """Check that every run was completed once; return the number of runs."""
    assert isinstance(memory, RunStore)
    runs = {str(run.session): run for run in await memory.runs(limit=MOST_RUNS)}
    assert made.keys() <= runs.keys(), f"lost runs: {sorted(made.keys() - runs.keys())}"
    for question, run in runs.items():
        assert run.status == "completed", f"run {run.id} of {question} is {run.status}: {run.error}"
        calls = made.get(question, ())
        # A call is made again if the process died before storing the result, and never after a later call.
        assert list(calls) == sorted(calls), f"the calls of {question} were made in the order {calls}"
        assert set(calls) == set(range(steps)), f"the calls of {question} were {calls}"
        session = await memory.load(question)
        texts = [message.text for message in session.messages if message.role == "tool"]
        assert texts == ["done"] * steps, f"the results of {question} are {texts}"
        # The question, a message and a result for each call, and the answer.
        assert (session.version, session.total) == (1, 2 * steps + 2), f"session {question} was stored more than once"
    return len(runs)
