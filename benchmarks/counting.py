"""Counts beyond the measuring kit: allocations, by memray, and the statements that SQLite runs."""

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
"""Number of ids that the kernel draws at a time. Counting this many runs gives each the same share of one batch."""


def memray_is_here(*parameters: object) -> None:
    """Skip what counts allocations where memray is not installed: asv asks this as the benchmark's own `setup`."""
    if importlib.util.find_spec("memray") is None:
        raise NotImplementedError("memray is not installed")


async def allocations(body: Times, times: int = IDS_IN_A_BATCH) -> int:
    """Count the requests of one `body` to Python's allocators, to the nearest whole number.

    The count is exact if the process has done the same before, also under the tracker: the first time takes a few less
    under the tracker, because objects in free lists are reused. A body that counts its turns by `range` makes a number
    each, and so seems to take one more; `itertools.repeat` makes none.
    """
    async with measuring.unshared():
        await _count_allocations(body, times)
        few, many = await _count_allocations(body, times), await _count_allocations(body, 2 * times)
    return round((many - few) / times)


async def _count_allocations(body: Times, times: int) -> int:
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
    """Count the statements of another `body`, exactly.

    Each second a runtime also looks for requests to its runs. On a busy machine such a look falls into some counts, and
    the fewest statements are those of the body alone.
    """

    async def counted(times: int) -> int:
        before = opened.count
        await body(times)
        return opened.count - before

    await body(3)
    counts = [(await counted(2), await counted(1)) for _ in range(4)]
    return min(two for two, _ in counts) - min(one for _, one in counts)


class Statements:
    """Counter of the statements on SQLite files opened within the block."""

    def __init__(self) -> None:
        self.count = 0
        self._connect: Any = sqlite3.connect

    def __enter__(self) -> Self:
        sqlite3.connect = self._connect_counted  # type: ignore[assignment]  # no other hook gets a new connection in time
        return self

    def __exit__(self, *exc: object) -> None:
        sqlite3.connect = self._connect

    def _connect_counted(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = self._connect(*arguments, **options)
        connection.set_trace_callback(self._count_statement)
        return connection

    def _count_statement(self, statement: str) -> None:
        self.count += 1
