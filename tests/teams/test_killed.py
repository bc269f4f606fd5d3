"""Teams in programs that are killed with SIGKILL, and go on in another process, on a database in a file."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Runtime
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.result import RunResult
from tests.teams.modes import finish, make_team
from tests.teams.test_everywhere import LIMITS, count_calls, count_stored, undisturbed

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mode", ["leader", "tasks", "nested"])
def test_killed_at_every_call(mode: str, tmp_path: Path) -> None:
    """Killed within any call of a model or a tool: the same answer, and no finished call is made again."""
    content, output, whole = undisturbed(mode)
    for last in range(1, sum(whole.values()) + 1):
        database, file = tmp_path / f"{last}.db", tmp_path / f"{last}.log"
        command = [sys.executable, "-m", "tests.teams.killed_program", mode, str(database), str(file), str(last)]
        killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        before = read_calls(file)
        assert before.total() == last
        result, stored = trio.run(go_on, mode, database, file)
        assert (result.status, result.content, result.output) == ("completed", content, output)
        again = read_calls(file) - before
        for name, number in count_calls(Counter(whole)).items():
            assert again[name] <= number - stored[name], f"{name} was done again after line {last}"


def read_calls(file: Path) -> Counter[str]:
    """Return the number of calls in the log."""
    return count_calls(Counter(file.read_text(encoding="utf-8").splitlines()))


async def go_on(mode: str, database: Path, file: Path) -> tuple[RunResult[Any], Counter[str]]:
    """Resume the run in this process; return the result, and the stored calls of the killed process."""

    def write(line: str) -> None:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(f"{line}\n")

    memory = SQLiteMemory(database)
    stored = await count_stored(memory)
    async with Runtime(memory=memory, limits=LIMITS) as rt:
        team = make_team(mode, write)
        [run] = [run for run in await memory.runs(limit=1_000) if run.parent is None]
        result = await finish(rt, team, await rt.resume(run.id, team))
    await memory.aclose()
    return result, stored
