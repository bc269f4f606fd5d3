"""What it takes before the first run: imports, each in a fresh process, and the command line."""

from __future__ import annotations

import subprocess
import sys
import time

ROUNDS = 7


class Import:
    """Imports, each timed in a process of its own."""

    def timeraw_trio(self) -> str:
        """The floor: trio alone."""
        return "import trio"

    def timeraw_agno_rt(self) -> str:
        """The kernel, everything that `from agno_rt import Agent, Runtime` needs."""
        return "from agno_rt import Agent, Runtime"

    def track_milliseconds_beyond_trio(self) -> float:
        """What the kernel adds to trio's import, the best of rounds in which the two take turns."""
        agno_rt = trio = float("inf")
        for _ in range(ROUNDS):
            trio = min(trio, _seconds("-c", "import trio"))
            agno_rt = min(agno_rt, _seconds("-c", "from agno_rt import Agent, Runtime"))
        return round(1000 * (agno_rt - trio), 1)

    track_milliseconds_beyond_trio.unit = "ms"  # type: ignore[attr-defined]  # asv reads the unit from the function


class CommandLine:
    """The command, as a shell starts it."""

    def time_version(self) -> None:
        """`agno-rt --version`."""
        _seconds("-m", "agno_rt.cli", "--version")


def _seconds(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
