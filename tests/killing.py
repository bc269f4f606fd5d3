"""Kills processes at random moments of stored runs, and checks the remains: `python -m tests.killing`.

Each round forks a child that runs agents with parallel tools, an approval and a session on one SQLite file, kills the
child with SIGKILL, and forks a second child that resumes the open runs. Prints a JSON summary; the first fault ends the
program with status 1.
"""

from __future__ import annotations

import functools
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from agno_rt import Agent, ModelRequest, ModelResponse, Runtime, ToolCall, tool
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.memory import MemoryPolicy
from agno_rt.models import Emit
from agno_rt.run_store import Approval

ROLES = ["user", "assistant", "tool", "tool", "tool", "assistant"]
MOST_WORDS = 20
"""The most words of a child before the kill: "ready", then two words a run. A time would be too short for any run on a
busy machine."""


class Answering:
    """A model that makes three calls, then answers: the same in every process."""

    name = "answering"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        await trio.sleep(0.001)
        if request.messages[-1].role == "tool":
            return ModelResponse("done")
        return ModelResponse(tool_calls=[ToolCall(f"c_{name}", name) for name in ("fetch", "read", "pay")])


def agent(folder: Path, number: str) -> Agent:
    """Make an agent whose tools log each call in a file."""

    def note(name: str) -> None:
        with (folder / "calls").open("a") as file:
            file.write(f"{number} {name}\n")

    @tool
    async def fetch() -> str:
        """Take a moment."""
        note("fetch")
        await trio.sleep(0.002)
        return "fetched"

    @tool(idempotent=True)
    async def read() -> str:
        """Take a moment, and do no harm when it is done again."""
        note("read")
        await trio.sleep(0.001)
        return "read"

    @tool(approve=True)
    async def pay() -> str:
        """Do what must not be done twice."""
        note("pay")
        await trio.sleep(0.001)
        return "paid"

    return Agent(Answering(), "payer", tools=[fetch, read, pay], memory=MemoryPolicy(journal=True))


def memory(folder: Path) -> SQLiteMemory:
    """Open the file shared by all processes."""
    return SQLiteMemory(folder / "runs.db")


async def work(folder: Path, first: int, say: Callable[[str], None]) -> None:
    """Run one agent after another, approve pending calls, and report each run when done."""
    store = memory(folder)
    async with Runtime(memory=store) as rt:
        await store.sessions()
        say("ready")
        for number in range(first, first + 1_000):
            named = agent(folder, str(number))
            result = await rt.run(named, f"go {number}", session="s")
            for approval in result.approvals:
                await rt.approve(approval.id)
                say(f"approved {approval.id}")
            result = await rt.resume(result.run_id, named)
            say(f"done {number}")


async def recover(folder: Path, told: list[str]) -> dict[str, int]:
    """Resume the open runs, and check that nothing was lost or done twice."""
    store = memory(folder)
    done = [word.partition(" ")[2] for word in told if word.startswith("done")]
    approved = [word.partition(" ")[2] for word in told if word.startswith("approved")]
    stored = [message.text for message in (await store.load("s")).messages if message.role == "user"]
    lost = [number for number in done if f"go {number}" not in stored]
    assert not lost, f"acknowledged and lost: {lost}"
    open_runs = [run for run in await store.runs(limit=100) if run.status != "completed"]
    known = {run.id: await store.approvals(run=run.id) for run in open_runs}
    decided = {each.id: each.status for several in known.values() for each in several}
    assert all(decided.get(each, "approved") == "approved" for each in approved), "an approval was lost"
    recorded = {run.id: await _load_recorded_calls(store, run.id) for run in open_runs}
    before = _count_calls(folder)
    async with Runtime(memory=store) as rt:
        for run in open_runs:
            await _go_on(rt, agent(folder, run.input.partition(" ")[2]), run.id, known[run.id])
    after = _count_calls(folder)
    for run in open_runs:
        number = run.input.partition(" ")[2]
        again = {name for name in ("fetch", "read", "pay") if after[number, name] > before[number, name]}
        assert not again & recorded[run.id], f"run {number} did again what had finished: {again & recorded[run.id]}"
    twice = {key: count for key, count in after.items() if count > 1 and key[1] != "read"}
    assert not twice, f"done twice: {twice}"
    roles = [message.role for message in (await store.load("s")).messages]
    assert roles == ROLES * (len(roles) // len(ROLES)), f"half a run in the session: {roles[-12:]}"
    await store.aclose()
    return {"done": len(done), "resumed": len(open_runs), "recorded": sum(map(len, recorded.values()))}


async def _go_on(rt: Runtime, named: Agent, run: str, approvals: list[Approval]) -> None:
    pending = [each for each in approvals if each.status == "pending"]
    for _ in range(3):
        for each in pending:
            await rt.approve(each.id)
        result = await rt.resume(run, named)
        if result.status == "completed":
            return
        pending = list(result.approvals)
    raise AssertionError(f"run {run} did not come to an end: {result}")


async def _load_recorded_calls(store: SQLiteMemory, run: str) -> set[str]:
    _, entries = await store.load_run(run)
    assert [entry.seq for entry in entries] == list(range(len(entries))), "a gap in the journal"
    return {json.loads(entry.body)["name"] for entry in entries if entry.kind == "called"}


def _count_calls(folder: Path) -> Counter[tuple[str, str]]:
    path = folder / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter((line.split()[0], line.split()[1]) for line in lines if len(line.split()) == 2)


def forked(body: Callable[[Callable[[str], None]], Awaitable[Any]]) -> tuple[int, int]:
    """Fork a child that runs the body. Return the process id and the reading end of a pipe."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code = 1
    try:
        os.close(reading)
        said = trio.run(body, functools.partial(_write_word, writing))
        os.write(writing, f"{json.dumps(said)}\n".encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _write_word(writing: int, word: str) -> None:
    os.write(writing, f"{word}\n".encode())


def all_of(reading: int, before: bytes = b"") -> list[str]:
    """Read the remaining words, to the end of the pipe."""
    with os.fdopen(reading, "rb") as file:
        return (before + file.read()).decode().splitlines()


def hear(reading: int, words: int) -> tuple[bytes, float]:
    """Read a number of words. Return the bytes read and the seconds a word took."""
    said, start = b"", time.perf_counter()
    while said.count(b"\n") < words and (part := os.read(reading, 4096)):
        said += part
    return said, (time.perf_counter() - start) / max(1, words)


def round_of(folder: Path, number: int, chance: random.Random) -> dict[str, int]:
    """Kill one child, and let a second child recover."""
    pid, reading = forked(lambda say: work(folder, number * 1_000, say))
    heard, seconds = hear(reading, chance.randint(1, MOST_WORDS))
    # A random part of the time of one word, so that the kill hits any step between two words.
    select.select([], [], [], chance.random() * seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    told = all_of(reading, heard)
    pid, reading = forked(lambda say: recover(folder, told))
    said = all_of(reading)
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit(f"round {number} failed: status {status}")
    summary: dict[str, int] = json.loads(said[-1])
    return summary


def main(folder: Path, rounds: int, seed: int) -> None:
    """Play the rounds, and print the summary."""
    chance, total = random.Random(seed), Counter[str]()
    for number in range(rounds):
        total.update(round_of(folder, number, chance))
    print(json.dumps({"rounds": rounds, **total}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
