"""The peer DBOS: durable workflows in code, on its SQLite file, under asyncio. Run by the driver.

DBOS stores every step, and has no run without its database. It has no agents.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig

from .protocol import STEPS, Row, serve, versions


@DBOS.step()
async def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@DBOS.workflow()
async def take_steps(steps: int) -> int:
    """Take steps one after another."""
    number = 0
    for _ in range(steps):
        number = await double(1)
    return number


def in_file(one: Callable[[], Coroutine[Any, Any, object]]) -> Row:
    """Return the row that repeats `one`, without the time of opening the database."""

    async def row(times: int) -> float:
        await one()
        start = time.perf_counter()
        for _ in range(times):
            await one()
        return time.perf_counter() - start

    return row


def run_in_loop(folder: str) -> Callable[[Coroutine[Any, Any, float]], float]:
    """Return the function that runs a row with DBOS open, on a file in the folder."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": f"sqlite:///{Path(folder) / 'dbos.sqlite'}",
        "run_admin_server": False,
        "log_level": "ERROR",
    }

    async def opened(row: Awaitable[float]) -> float:
        DBOS(config=config)
        DBOS.launch()
        try:
            return await row
        finally:
            DBOS.destroy()

    return lambda row: asyncio.run(opened(row))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        serve(
            {"versions": versions("dbos"), "import": "from dbos import DBOS"},
            {"steps_durable": in_file(lambda: take_steps(STEPS))},
            run=run_in_loop(folder),
        )
