"""Databases in files: SQLite and DuckDB. Each call runs in a process of its own, see `agno_rt_data.sql_worker`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import trio

from agno_rt.errors import UsageError, suggest
from agno_rt_data.settings import DataSettings
from agno_rt_data.sql_base import DatabaseError, DatabaseTable, Rows, TableColumn, name_missing

__all__ = ["FileDatabase"]

RECOVERY_SECONDS = 10.0
WORKER = Path(__file__).with_name("sql_worker.py")


class FileDatabase:
    """A database in a file of SQLite or DuckDB. See `Database`. Raises `UsageError` for a missing file."""

    def __init__(
        self, engine: Literal["sqlite", "duckdb"], path: str, limits: DataSettings, *, write: bool = False
    ) -> None:
        self.name = f"{engine}:{path}"
        self.can_write = write
        self._engine = engine
        self._path = Path(path).expanduser()
        self._limits = limits
        self._at_once = trio.CapacityLimiter(limits.at_once)
        # The lock of the file would refuse others, and SQLite waits by sleeping.
        self._writing = trio.Lock()
        if not self._path.is_file():
            hint = "Make the database first, or name another file."
            raise UsageError(f"there is no {engine} database {str(path)!r}", hint=hint)

    def check_ready(self) -> str:
        """Say how the database is opened. Raises `DatabaseError` for a file or an engine that is not there."""
        if not self._path.is_file():
            raise DatabaseError(f"{self.name} is gone", hint="Restore the file, or name another one.")
        if self._engine == "duckdb":
            import importlib.util

            if importlib.util.find_spec("duckdb") is None:
                raise DatabaseError("DuckDB is not installed", hint="Install it: pip install 'agno-rt-data[duckdb]'")
        return f"{self.name}: {'changes are allowed' if self.can_write else 'read-only'}"

    async def list_tables(self) -> Sequence[DatabaseTable]:
        """See `Database.list_tables`."""
        found = await self._ask(do="tables")
        return [DatabaseTable(*each) for each in found["tables"]]

    async def describe_table(self, table: str) -> Sequence[TableColumn]:
        """See `Database.describe_table`."""
        columns = (await self._ask(do="describe", table=table))["columns"]
        if not columns:
            names = [each.name for each in await self.list_tables()]
            raise DatabaseError(f"there is no table {table[:100]!r}", hint=suggest("table", table, names))
        return [TableColumn(*each) for each in columns]

    async def query(self, sql: str, limit: int) -> Rows:
        """See `Database.query`."""
        found = await self._ask(do="query", sql=sql, limit=limit)
        return Rows(found["names"], found["rows"], found["cut"])

    async def execute(self, sql: str) -> int:
        """See `Database.execute`."""
        if not self.can_write:
            raise DatabaseError("the database is read-only", hint="Say what you would change.")
        async with self._writing:
            try:
                return int((await self._ask(do="execute", sql=sql))["changed"])
            except BaseException:
                await self._recover()
                raise

    async def _recover(self) -> None:
        """Roll back what a killed process left: readers may not, and would be refused."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + RECOVERY_SECONDS), suppress(DatabaseError):
            await self._ask(do="recover")

    async def _ask(self, **request: Any) -> dict[str, Any]:
        limits = self._limits
        request |= {
            "engine": self._engine,
            "path": str(self._path),
            "seconds": limits.seconds,
            "memory_bytes": limits.memory_bytes,
            "cell_characters": limits.cell_characters,
            "result_characters": limits.result_characters,
            "sys_path": sys.path if self._engine == "duckdb" else [],
        }
        async with self._at_once:
            with trio.move_on_after(limits.seconds) as scope:
                done = await trio.run_process(
                    # Isolated, and without packages: a third of the time to start.
                    [sys.executable, "-I", "-S", str(WORKER)],
                    stdin=json.dumps(request).encode(),
                    capture_stdout=True,
                    stderr=subprocess.DEVNULL,
                    check=False,
                    env={name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ},
                    deliver_cancel=_kill_process,
                )
        if scope.cancelled_caught:
            hint = "Ask for less: add conditions, use an index, or aggregate fewer rows."
            raise DatabaseError(f"the statement took longer than {limits.seconds:g} seconds, and was ended", hint=hint)
        return self._read_answer(done.stdout, done.returncode)

    def _read_answer(self, output: bytes, code: int) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(output)
        except ValueError:
            hint = "Ask for less: fewer rows, shorter values."
            raise DatabaseError(f"the statement ended its process ({code}): a limit was reached", hint=hint) from None
        if "error" not in found:
            return found
        text = " ".join(found["error"].split())
        if found.get("limit"):
            most = f"{self._limits.memory_bytes:,} bytes of memory"
            hint = "Ask for less: fewer rows, shorter values."
            raise DatabaseError(
                f"the statement needs more than its limit of {most}, or a value is too large", hint=hint
            )
        if found.get("opening"):
            missing = "No module named 'duckdb'" in text
            hint = (
                "Install it: pip install 'agno-rt-data[duckdb]'"
                if missing
                else "Close programs that write to it, or check it."
            )
            raise DatabaseError(f"{self.name} cannot be opened: {text}", hint=hint)
        if "not authorized" in text or "prohibited" in text:
            hint = "Only queries are allowed: SELECT." if not self.can_write else "Change rows and tables alone."
            raise DatabaseError(f"the database refuses this statement: {text}", hint=hint)
        hint = name_missing(text, found.get("tables", ()), found.get("columns", ()))
        raise DatabaseError(text, hint=hint or "Mend the statement; list_tables and describe_table tell the names.")


async def _kill_process(process: trio.Process) -> None:
    process.kill()
