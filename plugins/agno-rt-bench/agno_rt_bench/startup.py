"""The rows of start-up: imports and commands, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from agno_rt_bench.goals import GOALS
from agno_rt_bench.rows import Case, Effort, Measured, Unmeasured, measure_in_batches

__all__ = ["plugin_cases", "startup_cases"]

PATIENCE = 60
"""Seconds that a process may take."""

GOAL_PLUGINS = 25
"""The number of plugins in the goal for `agno-rt plugins`."""

KERNEL = "from agno_rt import Agent, Runtime"

PLUGIN = f"""
import sys, time
from importlib.metadata import entry_points
from agno_rt.plugins import PluginHost
{KERNEL}
point, *_ = entry_points(group="agno_rt", name=sys.argv[1])
begun = time.perf_counter()
point.load()
print("\\n%r" % (time.perf_counter() - begun))
"""


def startup_cases(plugins: Sequence[str]) -> list[Case]:
    """Return the rows for importing the kernel and for starting the command with the given plugins installed."""
    goal = GOALS["command-plugins"] if len(plugins) <= GOAL_PLUGINS else None
    listing = f"`agno-rt plugins`, which imports all {len(plugins)} (the goal is for {GOAL_PLUGINS})"
    return [
        Case("import", "startup", f"`{KERNEL}`, beyond the import of trio", partial(_measure_best, _time_beyond_trio)),
        Case(
            "command-version",
            "startup",
            "`agno-rt --version`",
            partial(_measure_best, partial(_time_command, "--version")),
        ),
        Case("command-plugins", "startup", listing, partial(_measure_best, partial(_time_command, "plugins")), goal),
    ]


def plugin_cases(plugins: Sequence[str]) -> list[Case]:
    """Return a row for importing each plugin, beyond the kernel."""
    what, goal = "import the plugin, beyond the kernel", GOALS["plugin"]
    return [
        Case(f"plugin:{name}", "plugins", what, partial(_measure_best, partial(_time_plugin, name)), goal)
        for name in plugins
    ]


async def _measure_best(best: Callable[[int], float], effort: Effort) -> Measured:
    """Take the fastest process of each batch: other work on the machine only slows processes down."""

    async def once() -> float:
        return 1e3 * best(effort.processes)

    return await measure_in_batches(effort, once, "ms")


def _time_beyond_trio(processes: int) -> float:
    turns = [(_time_process("-c", "import trio"), _time_process("-c", KERNEL)) for _ in range(processes)]
    return min(kernel for _, kernel in turns) - min(trio for trio, _ in turns)


def _time_command(argument: str, processes: int) -> float:
    return min(_time_process("-m", "agno_rt.cli", argument) for _ in range(processes))


def _time_plugin(name: str, processes: int) -> float:
    # A plugin may print during the import; the time is the last line.
    return min(float(_run_process("-c", PLUGIN, name).splitlines()[-1]) for _ in range(max(1, processes // 2)))


def _time_process(*arguments: str) -> float:
    start = time.perf_counter()
    _run_process(*arguments)
    return time.perf_counter() - start


def _run_process(*arguments: str) -> str:
    """Run Python with the arguments and return the output. A failure raises `Unmeasured` with the last error line."""
    try:
        done = subprocess.run(
            # `-P`: an installed command does not import modules from the current folder either.
            [sys.executable, "-P", *arguments],
            stdin=subprocess.DEVNULL,
            # Let Python keep compiled modules, so that only the first process of a batch compiles.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise Unmeasured(f"the process did not end within {PATIENCE} s") from exc
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("hint:")]
        raise Unmeasured(said[-1] if said else f"the process ended with exit code {done.returncode}")
    return done.stdout
