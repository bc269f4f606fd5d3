"""Runs a team, and kills itself with SIGKILL: mode, database, log file, and the line of the log to die at.

Approves what the team waits for. Each line of the log is one call of a model or a tool.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import trio

from agno_rt import Limits, Runtime
from tests.teams.modes import finish, make_team


def main(mode: str, database: str, log: str, last: str) -> None:
    """Run the team until the log has its last line."""
    lines = 0

    def write(line: str) -> None:
        nonlocal lines
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        lines += 1
        if lines == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

    async def run() -> None:
        async with Runtime(memory=f"sqlite:///{database}", limits=Limits(depth=20)) as rt:
            team = make_team(mode, write)
            print((await finish(rt, team, await rt.run(team, "go"))).content)

    trio.run(run)


if __name__ == "__main__":
    main(*sys.argv[1:])
