"""Settings of a process that only serves: the garbage collector, and the limit of open files."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import trio

try:
    import resource
except ImportError:  # not a Unix: there is no such limit
    resource = None  # type: ignore[assignment]

__all__ = ["collect_as_memory_grows", "raise_file_limit", "tune_collector"]

# The collector walks all objects after so many new ones, in place of some 70,000. 50,000 waiting runs are two million
# objects, and a walk over them stops all else for nearly a second. Until then, old garbage may take some 400 MB.
_NEW_OBJECTS = 3_000_000
# All objects are also walked once the process has grown by so many bytes, or by half its size if that is more.
_NEW_BYTES = 200_000_000
# Seconds between two looks at the size of the process.
_LOOK = 1.0
# Files beside a connection's socket: databases, tools, models behind connections of their own.
_OTHER_FILES = 1_000
_STATM = Path("/proc/self/statm")


def tune_collector() -> None:
    """Freeze the objects that exist now, and let the garbage collector walk all others seldom.

    Young objects are walked as often as ever, and most garbage is young. Call this when everything is loaded.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    if young and middle:  # 0 is off
        gc.set_threshold(young, middle, max(1, _NEW_OBJECTS // (young * middle)))


async def collect_as_memory_grows() -> None:
    """Walk all objects whenever the process has grown much, until cancelled.

    The collector counts objects, not bytes: a few thousand garbage objects can hold all the memory of a machine. If the
    system does not tell the size of the process, this does nothing.
    """
    before = _measure_resident()
    while before:
        await trio.sleep(_LOOK)
        now = _measure_resident()
        if now > before + max(_NEW_BYTES, before // 2):
            gc.collect()
            before = _measure_resident()
        else:
            before = min(before, now)


def raise_file_limit(connections: int) -> None:
    """Raise the soft limit of open files to one for each connection and some more, as far as the system allows."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return  # the system has its own bound; the idlest connections are closed when it is reached


def _measure_resident() -> int:
    """Return the process's bytes in memory; 0 if that is not known."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
