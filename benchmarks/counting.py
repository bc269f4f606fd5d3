"""Counts that take more than the measuring kit has: allocations, by memray, and the statements that SQLite runs."""

from __future__ import annotations

import gc
import importlib.util
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from .common import Times, measuring

IDS_IN_A_BATCH = 256
"""How many ids the kernel draws at a time. So many runs are counted, that each takes its share in one batch."""


def memray_is_here(*parameters: object) -> None:
    """Skip what counts allocations where memray is not installed: asv asks this as the benchmark's own `setup`."""
    if importlib.util.find_spec("memray") is None:
        raise NotImplementedError("memray is not installed")


async def allocations(body: Times, times: int = IDS_IN_A_BATCH) -> int:
    """How often one of `body` asks Python's allocators for memory, to the nearest whole number.

    Exact in a process that has done the same before, under the tracker too, whose first time takes a few less: what is
    kept for reuse (free lists) is not asked for again. A body
    that counts its turns by `range` makes a number each, and so seems to take one more; `itertools.repeat` makes none.
    """
    async with measuring.unshared():
        await _allocations(body, times)
        few, many = await _allocations(body, times), await _allocations(body, 2 * times)
    return round((many - few) / times)


async def _allocations(body: Times, times: int) -> int:
    import memray

    freed = {memray.AllocatorType.FREE, memray.AllocatorType.MUNMAP, memray.AllocatorType.PYMALLOC_FREE}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "allocations.bin"
        try:
            with memray.Tracker(path, trace_python_allocators=True):
                # memray follows calls by the profiler's hook, for which Python makes a frame object of each call.
                sys.setprofile(None)
                await body(times)
        finally:
            if collecting:
                gc.enable()
        return sum(record.allocator not in freed for record in memray.FileReader(path).get_allocation_records())


async def statements(body: Times, opened: Statements) -> int:
    """The statements that one more of `body` takes: exact."""

    async def counted(times: int) -> int:
        before = opened.count
        await body(times)
        return opened.count - before

    await body(3)
    return await counted(2) - await counted(1)


class Statements:
    """Counts the statements that are run on the SQLite files which are opened within its block."""

    def __init__(self) -> None:
        self.count = 0
        self._connect: Any = sqlite3.connect

    def __enter__(self) -> Self:
        sqlite3.connect = self._opened  # type: ignore[assignment]  # nothing else is told of a new connection in time
        return self

    def __exit__(self, *exc: object) -> None:
        sqlite3.connect = self._connect

    def _opened(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = self._connect(*arguments, **options)
        connection.set_trace_callback(self._ran)
        return connection

    def _ran(self, statement: str) -> None:
        self.count += 1
