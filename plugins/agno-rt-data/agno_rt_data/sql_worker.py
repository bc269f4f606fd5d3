"""The program that opens a database file, answers one request and ends: queries of SQLite and DuckDB run here.

A process of its own can be killed at any time, and its memory is bounded: one call of a function in SQL can take
minutes or gigabytes, and neither engine can be interrupted within a call. Imports the standard library alone, to start
within some 30 ms. A request and an answer are each a JSON object, on stdin and stdout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["answer"]

FORBIDDEN_FUNCTIONS = frozenset(("load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "fsdir", "eval"))
"""Functions of SQLite that reach outside of the database, in builds that have such functions."""
MOST_VALUE = 50_000_000
"""The most bytes of a value within SQLite; a limit of its own comes before the limit on memory."""
MOST_NAMES = 2_000
FETCHED = 50


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out a request. An error is part of the answer, with names of tables and columns for suggestions."""
    engine = _Sqlite(request) if request["engine"] == "sqlite" else _Duckdb(request)
    try:
        if request["do"] in ("tables", "recover"):
            return {"tables": engine.list_tables()}
        if request["do"] == "describe":
            return {"columns": engine.describe_table(request["table"])}
        if request["do"] == "execute":
            return {"changed": engine.execute(request["sql"])}
        names, rows = engine.query(request["sql"])
        return _collect_rows(names, rows, request)
    except MemoryError:
        return {"error": "memory", "limit": True}
    except Exception as exc:
        limit = "OutOfMemory" in type(exc).__name__ or "out of memory" in str(exc) or "too big" in str(exc)
        return {"error": str(exc).strip()[:2_000], "limit": limit, **engine.list_names()}
    finally:
        engine.close()  # rolls back


class _Sqlite:
    """A database of SQLite. The authorizer, `mode=ro` and `query_only` each refuse changes by themselves."""

    def __init__(self, request: dict[str, Any]) -> None:
        import sqlite3

        self._lib: Any = sqlite3
        self._write = request["do"] in ("execute", "recover")
        uri = f"{Path(request['path']).absolute().as_uri()}?mode={'rw' if self._write else 'ro'}"
        self._conn = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=request["seconds"])
        self._conn.text_factory = lambda data: data.decode("utf-8", "replace")
        self._conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE)
        self._conn.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._conn.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
        self._conn.execute("PRAGMA trusted_schema = 0")
        if not self._write:
            self._conn.execute("PRAGMA query_only = 1")

    def list_tables(self) -> list[list[Any]]:
        sql = (
            "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'view', 'virtual')"
            " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
        )
        return [[name, "view" if kind == "view" else "table", None] for name, kind in self._conn.execute(sql)]

    def describe_table(self, table: str) -> list[list[Any]]:
        sql = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?) ORDER BY cid'
        references: dict[str, list[str]] = {
            column: [f"references {other}({there or 'its key'})"]
            for column, other, there in self._conn.execute(
                'SELECT "from", "table", "to" FROM pragma_foreign_key_list(?)', (table,)
            )
        }
        found = self._conn.execute(sql, (table,)).fetchall()
        return [
            [
                name,
                kind,
                not needed,
                default or "",
                ", ".join(["key"] * bool(key) + references.get(name, [])),
            ]
            for name, kind, needed, default, key in found
        ]

    def list_names(self) -> dict[str, list[str]]:
        self._conn.set_authorizer(None)
        try:
            tables = [name for name, _, _ in self.list_tables()][:MOST_NAMES]
            columns = [column[0] for name in tables[:100] for column in self.describe_table(name)]
        except self._lib.Error:
            return {}
        return {"tables": tables, "columns": columns[:MOST_NAMES]}

    def query(self, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        self._conn.set_authorizer(self._authorize_reading)
        cursor = self._conn.execute(sql)
        if cursor.description is None:
            raise ValueError("this statement returns no rows, and only queries are allowed")
        return [part[0] for part in cursor.description], iter(cursor)

    def execute(self, sql: str) -> int:
        self._conn.execute("BEGIN IMMEDIATE")
        self._conn.set_authorizer(self._authorize_writing)
        cursor = self._conn.execute(sql)
        cursor.fetchall()
        self._conn.set_authorizer(None)
        self._conn.execute("COMMIT")
        return int(cursor.rowcount)

    def close(self) -> None:
        self._conn.close()

    def _authorize_reading(self, action: int, first: str | None, second: str | None, *_: str | None) -> Any:
        lib = self._lib
        if action in (lib.SQLITE_SELECT, lib.SQLITE_READ, lib.SQLITE_RECURSIVE):
            return lib.SQLITE_OK
        if action == lib.SQLITE_FUNCTION and second not in FORBIDDEN_FUNCTIONS:
            return lib.SQLITE_OK
        return lib.SQLITE_DENY

    def _authorize_writing(self, action: int, first: str | None, second: str | None, *_: str | None) -> Any:
        lib = self._lib
        outside = (
            lib.SQLITE_ATTACH,
            lib.SQLITE_DETACH,
            lib.SQLITE_PRAGMA,
            lib.SQLITE_TRANSACTION,
            lib.SQLITE_SAVEPOINT,
        )
        if action in outside or (action == lib.SQLITE_FUNCTION and second in FORBIDDEN_FUNCTIONS):
            return lib.SQLITE_DENY
        if action == lib.SQLITE_CREATE_VTABLE and second not in ("fts5", "rtree"):
            return lib.SQLITE_DENY
        return lib.SQLITE_OK


class _Duckdb:
    """A database of DuckDB. Files outside, extensions and settings are closed, and a reader opens the file to read."""

    def __init__(self, request: dict[str, Any]) -> None:
        sys.path[:] = request["sys_path"]
        import duckdb

        self._lib = duckdb
        config: dict[str, Any] = {
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": f"{request['memory_bytes'] // 4}B",
            "temp_directory": "",
            "threads": "1",
            "lock_configuration": "true",
        }
        self._conn = duckdb.connect(
            request["path"], read_only=request["do"] not in ("execute", "recover"), config=config
        )

    def list_tables(self) -> list[list[Any]]:
        sql = (
            "SELECT CASE WHEN schema_name = 'main' THEN '' ELSE schema_name || '.' END || name, kind, size FROM ("
            "SELECT schema_name, table_name AS name, 'table' AS kind, estimated_size AS size FROM duckdb_tables()"
            " WHERE NOT internal UNION ALL SELECT schema_name, view_name, 'view', NULL FROM duckdb_views()"
            " WHERE NOT internal) ORDER BY 1"
        )
        return [list(row) for row in self._conn.execute(sql).fetchall()]

    def describe_table(self, table: str) -> list[list[Any]]:
        schema, _, name = table.rpartition(".")
        sql = (
            "SELECT c.column_name, c.data_type, c.is_nullable, coalesce(c.column_default, ''),"
            " coalesce((SELECT string_agg(lower(k.constraint_type), ', ') FROM duckdb_constraints() k"
            " WHERE k.schema_name = c.schema_name AND k.table_name = c.table_name"
            " AND list_contains(k.constraint_column_names, c.column_name)"
            " AND k.constraint_type IN ('PRIMARY KEY', 'UNIQUE', 'FOREIGN KEY')), '')"
            " FROM duckdb_columns() c WHERE c.table_name = ? AND c.schema_name = ? AND NOT c.internal"
            " ORDER BY c.column_index"
        )
        return [list(row) for row in self._conn.execute(sql, [name, schema or "main"]).fetchall()]

    def list_names(self) -> dict[str, list[str]]:
        try:
            tables = [name for name, _, _ in self.list_tables()][:MOST_NAMES]
            sql = f"SELECT DISTINCT column_name FROM duckdb_columns() WHERE NOT internal LIMIT {MOST_NAMES}"
            columns = [row[0] for row in self._conn.execute(sql).fetchall()]
        except self._lib.Error:
            return {}
        return {"tables": tables, "columns": columns}

    def query(self, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        self._check_statement(sql, ("SELECT", "EXPLAIN"))
        result = self._conn.execute(sql)
        names = [part[0] for part in result.description or ()]
        return names, iter(result.fetchone, None)

    def execute(self, sql: str) -> int:
        self._check_statement(sql, ("INSERT", "UPDATE", "DELETE", "MERGE_INTO", "CREATE", "ALTER", "DROP"))
        found = self._conn.execute(sql).fetchall()
        changed = found[0][0] if len(found) == 1 and len(found[0]) == 1 else -1
        return changed if isinstance(changed, int) else -1

    def close(self) -> None:
        self._conn.close()

    def _check_statement(self, sql: str, allowed: tuple[str, ...]) -> None:
        statements = self._conn.extract_statements(sql)
        if len(statements) != 1:
            raise ValueError(f"these are {len(statements)} statements, and one at a time is allowed")
        kind = str(statements[0].type).rpartition(".")[2]
        if kind not in allowed:
            raise ValueError(f"a statement of the kind {kind} is not allowed here, only {', '.join(allowed)}")


def _collect_rows(names: list[str], rows: Iterator[tuple[Any, ...]], request: dict[str, Any]) -> dict[str, Any]:
    found, size, cut = list[list[str | None]](), 0, ""
    for row in rows:
        if len(found) >= request["limit"]:
            cut = "rows"
            break
        shown = [_show_value(value, request["cell_characters"]) for value in row]
        size += sum(len(value) + 3 for value in shown if value is not None)
        if size > request["result_characters"] and found:
            cut = "bytes"
            break
        found.append(shown)
    return {"names": names, "rows": found, "cut": cut}


def _show_value(value: Any, most: int) -> str | None:
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).lower()
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return f"<{len(data):,} bytes: {data[:16].hex()}{'...' if len(data) > 16 else ''}>"
    text = value if isinstance(value, str) else _show_nested(value)
    return text if len(text) <= most else f"{text[:most]}[... {len(text):,} characters]"


def _show_nested(value: Any) -> str:
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def _bound_process(request: dict[str, Any]) -> None:
    """Bound memory, processor time and files, in case the program that started this one dies meanwhile."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    seconds = int(request["seconds"]) + 2
    limits = {resource.RLIMIT_AS: request["memory_bytes"], resource.RLIMIT_CPU: seconds, resource.RLIMIT_CORE: 0}
    if request["do"] not in ("execute", "recover"):
        limits[resource.RLIMIT_FSIZE] = request["memory_bytes"]  # sorting spills to files
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


def _run_program() -> None:
    request = json.load(sys.stdin)
    _bound_process(request)
    try:
        found = answer(request)
    except MemoryError:
        found = {"error": "memory", "limit": True}
    except Exception as exc:  # the file cannot be opened
        found = {"error": str(exc).strip()[:2_000], "opening": True}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    _run_program()
