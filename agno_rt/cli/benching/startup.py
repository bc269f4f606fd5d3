"""The rows of what comes before the first run: imports and commands, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from agno_rt.cli.bench_goals import GOALS
from agno_rt.cli.benching.rows import Case, Effort, Measured, Unmeasured, in_batches

__all__ = ["plugin_cases", "startup_cases"]

PATIENCE = 60
"""How many seconds a process may take."""

GOAL_PLUGINS = 25
"""The number of plugins that the goal of `agno-rt plugins` is for."""

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
    """What it costs to import the kernel, and to start the command, where these plugins are installed."""
    goal = GOALS["command-plugins"] if len(plugins) <= GOAL_PLUGINS else None
    listing = f"`agno-rt plugins`, which imports all {len(plugins)} (the goal is for {GOAL_PLUGINS})"
    return [
        Case("import", "startup", f"`{KERNEL}`, beyond what trio takes", partial(_batches, _beyond_trio)),
        Case("command-version", "startup", "`agno-rt --version`", partial(_batches, partial(_command, "--version"))),
        Case("command-plugins", "startup", listing, partial(_batches, partial(_command, "plugins")), goal),
    ]


def plugin_cases(plugins: Sequence[str]) -> list[Case]:
    """What it costs to import each plugin, beyond the kernel."""
    what, goal = "import the plugin, beyond the kernel", GOALS["plugin"]
    return [
        Case(f"plugin:{name}", "plugins", what, partial(_batches, partial(_plugin, name)), goal) for name in plugins
    ]


async def _batches(best: Callable[[int], float], effort: Effort) -> Measured:
    """The best of some processes counts, since nothing makes one quicker than it is."""

    async def once() -> float:
        return 1e3 * best(effort.processes)

    return await in_batches(effort, once, "ms")


def _beyond_trio(processes: int) -> float:
    turns = [(_timed("-c", "import trio"), _timed("-c", KERNEL)) for _ in range(processes)]
    return min(kernel for _, kernel in turns) - min(trio for trio, _ in turns)


def _command(argument: str, processes: int) -> float:
    return min(_timed("-m", "agno_rt.cli", argument) for _ in range(processes))


def _plugin(name: str, processes: int) -> float:
    # It may print as it is imported.
    return min(float(_process("-c", PLUGIN, name).splitlines()[-1]) for _ in range(max(1, processes // 2)))


def _timed(*arguments: str) -> float:
    start = time.perf_counter()
    _process(*arguments)
    return time.perf_counter() - start


def _process(*arguments: str) -> str:
    """What the process prints. Raises `Unmeasured` for one that fails, with its last words."""
    try:
        done = subprocess.run(
            # As for an installed command, what lies in this folder is not imported.
            [sys.executable, "-P", *arguments],
            stdin=subprocess.DEVNULL,
            # Python keeps what it has compiled, as it does for whoever starts a program twice.
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
