"""The toolkit `sql`: tables, columns and queries of a database. Changes only where they are declared."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from agno_rt.errors import NotFound, UsageError
from agno_rt.tools import Tool, ToolArgumentError, Toolkit, tool
from agno_rt_data.settings import DatabaseSettings, DataSettings
from agno_rt_data.sql_base import Database, DatabaseError, Rows
from agno_rt_data.text_tables import bound_text, show_rows

__all__ = ["make_database", "sql_tools"]

SCHEMES = ("sqlite", "duckdb", "postgresql", "postgres")
_ENDINGS = (".db", ".db3", ".duckdb", ".sqlite", ".sqlite3")
Sql = Annotated[str, Meta(min_length=1, max_length=50_000)]


def make_database(database: DatabaseSettings, limits: DataSettings) -> Database:
    """Make the database of a URL, without connecting. Raises `UsageError`; its text never has the URL's password."""
    scheme, colon, rest = database.url.partition(":")
    if not colon or scheme not in SCHEMES:
        if colon:
            raise NotFound("kind of database", scheme, SCHEMES[:3])
        raise _unknown_database(scheme, limits)
    if scheme.startswith("postgres"):
        from agno_rt_data.sql_postgres import PostgresDatabase

        return PostgresDatabase(f"postgresql:{rest}", limits, write=database.write)
    from agno_rt_data.sql_files import FileDatabase

    # sqlite:a.db and sqlite:///a.db are relative, sqlite:////a.db is absolute.
    path = rest.removeprefix("///") if rest.startswith("//") else rest
    if not path or path == ":memory:":
        raise UsageError(f"{scheme}: needs a file", hint=f"Write {scheme}:shop.db.")
    return FileDatabase("duckdb" if scheme == "duckdb" else "sqlite", path, limits, write=database.write)


def _unknown_database(name: str, limits: DataSettings) -> UsageError:
    table = f"[plugins.data.databases.{name if name.isidentifier() else 'NAME'}]"
    if not name:
        hint = f"Write data:sql:sqlite:FILE, or data:sql:NAME and the table {table} with a `url`."
        return UsageError("data:sql names no database", hint=hint)
    engine = "duckdb" if name.endswith(".duckdb") else "sqlite"
    if name.endswith(_ENDINGS):
        hint = f"Write data:sql:{engine}:{name[:100]}"
    else:
        hint = f"Write the table {table} with a `url`; or a file, as in data:sql:sqlite:shop.db"
    known = f". Known: {', '.join(sorted(limits.databases)[:12])}." if limits.databases else "."
    return UsageError(f"{name[:50]!r} is neither a database of the settings nor a URL", hint=hint + known)


def sql_tools(database: Database, limits: DataSettings | None = None, *, prefix: str = "") -> Toolkit:
    """Make the tools of a database: `list_tables`, `describe_table`, `run_sql_query`, and `execute_sql` for changes.

    A database that cannot write has no tool for changes. `prefix` comes before the names.
    """
    own = limits or DataSettings()
    tools = _reading_tools(database, own, prefix)
    if database.can_write:
        tools.append(_writing_tool(database, own, prefix))
    return Toolkit(f"sql:{database.name}", tuple(tools))


def _reading_tools(database: Database, limits: DataSettings, prefix: str) -> list[Tool]:
    options: dict[str, Any] = {"read_only": True, "destructive": False, "idempotent": True}

    @tool(**options, name=f"{prefix}list_tables", check_ready=getattr(database, "check_ready", None))
    async def list_tables() -> str:
        """List the tables and views of the database."""
        with _telling():
            tables = await database.list_tables()
        lines = [
            each.name + (" (view)" if each.kind == "view" else "") + (f", {each.rows:,} rows" if each.rows else "")
            for each in tables[: limits.rows]
        ]
        more = [f"[... and {len(tables) - limits.rows:,} more]"] if len(tables) > limits.rows else []
        return "\n".join(lines + more) or "The database has no tables."

    @tool(**options, name=f"{prefix}describe_table")
    async def describe_table(table_name: Annotated[str, Meta(min_length=1, max_length=200)]) -> str:
        """List the columns of a table with their types, keys and references.

        Args:
            table_name: the name of the table, as list_tables writes it
        """
        with _telling():
            columns = await database.describe_table(table_name)
        rows = [
            [each.name, each.type, "null" if each.is_nullable else "not null", each.default, each.notes]
            for each in columns[: limits.rows]
        ]
        return bound_text(show_rows(("column", "type", "null", "default", "notes"), rows), limits.result_characters)

    @tool(**options, name=f"{prefix}run_sql_query")
    async def run_sql_query(query: Sql, limit: Annotated[int, Meta(ge=1, le=10_000)] = 100) -> str:
        """Run one SQL query, and show the first rows. Queries read; they cannot change the database.

        Args:
            query: a SELECT
            limit: the most rows to show
        """
        with _telling():
            return _show_answer(await database.query(query, min(limit, limits.rows)), limits)

    return [list_tables, describe_table, run_sql_query]


def _writing_tool(database: Database, limits: DataSettings, prefix: str) -> Tool:
    @tool(read_only=False, destructive=True, parallel=False, approve=limits.approve, name=f"{prefix}execute_sql")
    async def execute_sql(statement: Sql) -> str:
        """Change the database by one SQL statement, in a transaction of its own.

        Args:
            statement: INSERT, UPDATE, DELETE, or CREATE, ALTER or DROP of a table
        """
        with _telling():
            changed = await database.execute(statement)
        return "Done." if changed < 0 else f"Done: {changed:,} row{'' if changed == 1 else 's'} changed."

    return execute_sql


class _telling:  # noqa: N801 - used as a statement: `with _telling():`
    """Tells the model of a refusal; the call has failed."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        """Raise a `ToolArgumentError` for a `DatabaseError`."""
        if isinstance(exc, DatabaseError):
            raise ToolArgumentError(exc.full_text) from exc


def _show_answer(found: Rows, limits: DataSettings) -> str:
    count = f"{len(found.rows):,} row{'' if len(found.rows) == 1 else 's'}"
    if found.cut == "rows":
        note = f"the first {count}; there are more: use LIMIT and OFFSET, conditions or aggregates"
    elif found.cut:
        most = f"{limits.result_characters:,} characters"
        note = f"the first {count}, cut at {most}: choose fewer columns, or use LIMIT and OFFSET"
    else:
        note = count
    return bound_text(show_rows(found.columns, found.rows, note), 2 * limits.result_characters)
