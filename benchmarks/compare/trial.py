"""Shared parts of every framework's trial: a log that survives `kill -9`, and waiting for moments of the trial.

Each framework has one program beside this file. `drive.py` starts it, as `python -m benchmarks.compare.NAME STEP
FOLDER`, in the framework's own environment. The module imports the standard library only.

The steps:

cancel   Two tools are called at once: `wait`, asynchronous, which cleans up for 0.2 s when it is cancelled, and
         `block`, a plain function that blocks for 2 s. When both have begun, the run is cancelled.
begin    The model calls `first`; then `left` and `right` at once. `left` ends, `right` blocks, and the driver kills -9.
resume   Another process goes on with that run.
ask      A run comes to the call of `pay`, which needs approval. The driver kills -9.
decide   Another process approves and goes on. The driver starts two of them at the same moment.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

__all__ = ["FOLDER", "block_for", "clean_up", "go", "has", "main", "note", "wait_for", "wait_in_asyncio"]

FOLDER = Path(sys.argv[2] if len(sys.argv) > 2 else ".")
"""The folder of a trial's log and database."""

_PATIENCE = 60.0


def note(line: str) -> None:
    """Append a line to the trial's log at once, so that a kill cannot remove the line."""
    with open(FOLDER / "log", "ab", buffering=0) as log:
        log.write(f"{time.time():.3f} {line}\n".encode())


def has(line: str) -> bool:
    """Return whether the log has the line."""
    path = FOLDER / "log"
    return path.exists() and any(text.partition(" ")[2] == line for text in path.read_text().splitlines())


def wait_for(line: str) -> None:
    """Block until the log has the line."""
    until = time.monotonic() + _PATIENCE
    while not has(line):
        if time.monotonic() > until:
            raise TimeoutError(f"the log never said {line!r}")
        time.sleep(0.01)


async def wait_in_asyncio(line: str) -> None:
    """Wait under asyncio until the log has the line."""
    await asyncio.to_thread(wait_for, line)


def block_for(seconds: float, name: str) -> None:
    """Block as a slow library call does, and log the end."""
    note(f"{name} began")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.05)
    note(f"{name} ended")


async def clean_up() -> None:
    """Wait until cancelled, under asyncio; then take 0.2 s to clean up."""
    note("wait began")
    try:
        await asyncio.sleep(_PATIENCE)
    except asyncio.CancelledError:
        note("wait cancelled")
        await asyncio.sleep(0.2)
        note("wait cleaned up")
        raise


def go() -> None:
    """Log `ready`, and wait until the driver releases all processes at once."""
    note("ready")
    wait_for("go")


def main(steps: Mapping[str, Callable[[], Awaitable[None]]], run: Callable[..., object] = asyncio.run) -> None:
    """Carry out the step of the command line."""
    os.environ.setdefault("PYTHONUNBUFFERED", "1")

    async def step() -> None:
        await steps[sys.argv[1]]()

    try:
        run(step() if run is asyncio.run else step)
    except BaseException as exc:  # the outcome of a step is logged, not raised, since the trial is about outcomes
        told = " ".join(str(exc).split())[:160]
        note(f"raised {type(exc).__name__}: {told}".rstrip(": "))
    note("process over")
