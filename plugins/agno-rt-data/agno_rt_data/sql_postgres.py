"""Databases of PostgreSQL. Queries run in a transaction that is read-only, through a cursor, which can only be a query.

Four walls, each by itself: the transaction is READ ONLY and has its snapshot, so that nobody makes it writable;
`DECLARE CURSOR` takes SELECT, VALUES and TABLE alone, and the extended protocol a single statement; functions with
effects are refused by the server's own catalogue; and the user of the URL has the rights that you grant.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from agno_rt.errors import UsageError, suggest
from agno_rt_data.settings import DataSettings
from agno_rt_data.sql_base import DatabaseError, DatabaseTable, Rows, TableColumn, name_missing
from agno_rt_data.sql_words import Statement, read_statement

if TYPE_CHECKING:
    from agno_rt_data.postgres_link import Link, Refused

__all__ = ["PostgresDatabase"]

MOST_COLUMNS = 200
FETCHED = 100
HARMLESS = frozenset(
    (
        *(
            "random",
            "random_normal",
            "gen_random_uuid",
            "uuidv4",
            "uuidv7",
            "clock_timestamp",
            "timeofday",
            "current_query",
        ),
        *("pg_sleep", "pg_sleep_for", "pg_sleep_until", "pg_is_in_recovery", "txid_status", "system", "bernoulli"),
        *("pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size", "pg_database_size"),
        *("pg_tablespace_size", "pg_partition_tree", "pg_partition_ancestors"),
    )
)
"""Functions of PostgreSQL that are volatile, and change nothing outside of their own query."""
SECRET = frozenset(
    (
        *("pg_authid", "pg_shadow", "pg_user_mapping", "pg_user_mappings", "pg_subscription", "pg_largeobject"),
        *("pg_hba_file_rules", "pg_ident_file_mappings", "pg_file_settings", "pg_backend_memory_contexts"),
        *("pg_stat_activity", "pg_stat_statements", "pg_stat_ssl", "pg_stat_gssapi", "pg_stat_get_activity"),
    )
)
"""Tables of the system with passwords, or with the queries of others."""
_SECRET_FUNCTIONS = re.compile(
    r"(?:table|schema|database|query|cursor)_to_xml\w*|pg_stat_get_(?:backend_|activity|wal_|progress)\w*"
)
"""Functions that read tables by a text, and the queries of others."""
# Cut as libpq cuts: a password has no / and no @, and may have ? and #, which end the server for `urlsplit`.
_URL = re.compile(r"[^:/]+://(?:[^@/]*@)?(?P<place>[^/?]*(?:/[^?]*)?)")
_QUERIES = ("select", "with", "values", "table", "(")
_CHANGES = ("insert", "update", "delete", "merge", "with", "truncate", "comment")
_KINDS = "unique|temp|temporary|materialized|or replace"
_MADE = re.compile(rf"(?:create|alter|drop) (?:(?:{_KINDS}) )?(?:table|index|view|schema|type|sequence)")

_TABLES = (
    "SELECT CASE WHEN n.nspname = 'public' THEN '' ELSE n.nspname || '.' END || c.relname,"
    " CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'table' END, greatest(c.reltuples, -1)::bigint"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    " AND n.nspname NOT LIKE 'pg\\_%' AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1 LIMIT 2000"
)
_COLUMNS = (
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), (NOT a.attnotnull)::text,"
    " coalesce(pg_get_expr(d.adbin, d.adrelid), ''),"
    " coalesce((SELECT string_agg(CASE k.contype WHEN 'p' THEN 'key'"
    " WHEN 'u' THEN 'unique' ELSE 'references ' || k.confrelid::regclass END, ', ' ORDER BY k.contype)"
    " FROM pg_constraint k WHERE k.conrelid = a.attrelid AND a.attnum = ANY (k.conkey)"
    " AND k.contype IN ('p', 'u', 'f')), '')"
    " FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relname = $1 AND n.nspname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0"
    " AND NOT a.attisdropped AND has_table_privilege(c.oid, 'SELECT') ORDER BY a.attnum"
)
_EFFECTS = (
    "SELECT DISTINCT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
    " WHERE (p.provolatile = 'v' OR p.prokind = 'p') AND (p.proname = ANY ($1::text[])"
    " OR (p.proname = ANY ($2::text[]) AND p.pronargs - p.pronargdefaults <= 1 AND p.pronargs > 0))"
    " AND NOT (n.nspname = 'pg_catalog' AND p.proname = ANY ($3::text[])) ORDER BY 1"
)


class PostgresDatabase:
    """A database of a PostgreSQL server. See `Database`. Raises `UsageError` for a URL without a server."""

    def __init__(self, url: str, limits: DataSettings, *, write: bool = False) -> None:
        found = _URL.match(url)
        if found is None or "@" in found["place"]:
            hint = "Write postgresql://USER@HOST/DATABASE. In a password, / and @ are %2F and %40."
            raise UsageError("this is not the URL of a PostgreSQL database", hint=hint)
        self.name = f"postgresql://{found['place']}"
        self.can_write = write
        self._url = url
        self._limits = limits
        self._at_once = trio.CapacityLimiter(limits.at_once)

    def check_ready(self) -> str:
        """Say how the database is opened. Raises `DatabaseError` without the driver."""
        import importlib.util

        if importlib.util.find_spec("psycopg") is None:
            raise _missing_driver()
        return f"{self.name}: {'changes are allowed' if self.can_write else 'read-only'}"

    async def list_tables(self) -> Sequence[DatabaseTable]:
        """See `Database.list_tables`."""
        async with self._open() as link:
            return await _fetch_tables(link)

    async def describe_table(self, table: str) -> Sequence[TableColumn]:
        """See `Database.describe_table`."""
        async with self._open() as link:
            schema, _, name = table.rpartition(".")
            _, rows, _ = await link.fetch(_COLUMNS, name, schema or "public")
            if not rows:
                names = [each.name for each in await _fetch_tables(link)]
                raise DatabaseError(f"there is no table {table[:100]!r}", hint=suggest("table", table, names))
        texts = [[value or "" for value in row] for row in rows]
        return [TableColumn(name, kind, null == "true", default, notes) for name, kind, null, default, notes in texts]

    async def query(self, sql: str, limit: int) -> Rows:
        """See `Database.query`."""
        statement = read_statement(sql)
        if statement.words[0] not in _QUERIES:
            hint = "Write SELECT, WITH, VALUES or TABLE."
            raise DatabaseError(f"{statement.words[0][:30]!r} does not begin a query", hint=hint)
        async with self._open(statement) as link:
            names = await link.describe(statement.text)
            await link.run_script(_declare_cursor(statement.text, len(names), self._limits.cell_characters))
            return await self._fetch_rows(link, names, limit)

    async def execute(self, sql: str) -> int:
        """See `Database.execute`."""
        if not self.can_write:
            raise DatabaseError("the database is read-only", hint="Say what you would change.")
        statement = read_statement(sql)
        if statement.words[0] not in _CHANGES and not _MADE.match(" ".join(statement.words)):
            hint = (
                "Write INSERT, UPDATE, DELETE, MERGE, or CREATE, ALTER, DROP of tables, indexes, views, types, schemas."
            )
            raise DatabaseError(f"{' '.join(statement.words[:2])[:60]!r} is not allowed here", hint=hint)
        async with self._open(statement, writable=True) as link:
            _, _, changed = await link.fetch(statement.text)
            await link.run_script("COMMIT")
        return changed

    @asynccontextmanager
    async def _open(self, statement: Statement | None = None, *, writable: bool = False) -> AsyncIterator[Link]:
        """Open a connection in a transaction. Translates errors, and ends what takes too long, at the server, too."""
        # The driver takes 0.2 s to import, and waits for the first call.
        module = await trio.to_thread.run_sync(_import_link)
        seconds = self._limits.seconds
        try:
            async with self._at_once, _stop_late(seconds), module.open_link(self._url, seconds) as link:
                try:
                    await link.run_script(_begin(seconds, writable=writable))
                    if statement is not None:
                        await _check_effects(link, statement)
                    yield link
                except module.Refused as exc:
                    raise await _explain_refusal(link, exc) from exc
        except module.Refused as exc:
            raise DatabaseError(f"{self.name} cannot be reached: {exc.message}", hint="Is the server running?") from exc

    async def _fetch_rows(self, link: Link, names: Sequence[str], limit: int) -> Rows:
        found, size = list[list[str | None]](), 0
        count = max(1, min(FETCHED, 1_000 // len(names)))
        most = self._limits.cell_characters
        while True:
            _, rows, _ = await link.fetch(f"FETCH {count} FROM agno_rt_rows")
            for row in rows:
                shown = [_cut_value(value, most) for value in row]
                size += sum(len(value) + 3 for value in shown if value is not None)
                if len(found) >= limit:
                    return Rows(names, found, "rows")
                if size > self._limits.result_characters and found:
                    return Rows(names, found, "bytes")
                found.append(shown)
            if len(rows) < count:
                return Rows(names, found)


@asynccontextmanager
async def _stop_late(seconds: float) -> AsyncIterator[None]:
    """End the block after some seconds, with a `DatabaseError`."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        hint = "Ask for less: add conditions, use an index, or aggregate fewer rows."
        raise DatabaseError(f"the statement took longer than {seconds:g} seconds, and was ended", hint=hint)


def _missing_driver() -> DatabaseError:
    return DatabaseError("psycopg is not installed", hint="Install it: pip install 'agno-rt-data[postgres]'")


def _import_link() -> Any:
    try:
        from agno_rt_data import postgres_link
    except ImportError as exc:
        raise _missing_driver() from exc
    return postgres_link


def _begin(seconds: float, *, writable: bool) -> str:
    """Return the script that opens the transaction. SELECT 1 takes the snapshot, and makes READ ONLY final."""
    # A bit later than our own limit: the server ends the statement if this process is killed.
    milliseconds = int(seconds * 1_000) + 1_000
    return (
        f"BEGIN TRANSACTION {'READ WRITE' if writable else 'READ ONLY'}; SET LOCAL statement_timeout = {milliseconds};"
        f" SET LOCAL lock_timeout = {milliseconds}; SET LOCAL idle_in_transaction_session_timeout = {milliseconds};"
        " SET LOCAL standard_conforming_strings = on; SET LOCAL bytea_output = hex; SET LOCAL datestyle = 'ISO';"
        " SELECT set_config(name, '1000', true) FROM pg_settings WHERE name = 'client_connection_check_interval'"
    )


def _declare_cursor(sql: str, columns: int, most: int) -> str:
    """Return the statement for a cursor. The server cuts long values: a single value may have a gigabyte."""
    if not 0 < columns <= MOST_COLUMNS:
        raise DatabaseError(f"the query has {columns} columns", hint=f"Name 1 to {MOST_COLUMNS} columns.")
    names = [f"agno_rt_{at}" for at in range(columns)]
    values = ", ".join(f"left({name}::text, {most + 1})" for name in names)
    return (
        f"DECLARE agno_rt_rows NO SCROLL CURSOR FOR SELECT {values} FROM ({sql}) AS agno_rt_query({', '.join(names)})"
    )


def _cut_value(value: str | None, most: int) -> str | None:
    return value if value is None or len(value) <= most else f"{value[:most]}[... cut after {most:,} characters]"


async def _fetch_tables(link: Link) -> list[DatabaseTable]:
    _, rows, _ = await link.fetch(_TABLES)
    found = [(name or "", kind or "", int(count or -1)) for name, kind, count in rows]
    return [DatabaseTable(name, kind, count if count >= 0 and kind == "table" else None) for name, kind, count in found]


async def _check_effects(link: Link, statement: Statement) -> None:
    """Raise `DatabaseError` for functions with effects, by the catalogue: volatile functions, and procedures."""
    secret = sorted(name for name in statement.names if name in SECRET or _SECRET_FUNCTIONS.fullmatch(name))
    if secret:
        raise DatabaseError(f"{secret[0]} is not open to you", hint="Work without this table of the system.")
    _, rows, _ = await link.fetch(_EFFECTS, *map(_write_array, (statement.called, statement.fields, HARMLESS)))
    if rows:
        names = ", ".join(str(row[0]) for row in rows[:5])
        raise DatabaseError(f"functions with effects are refused: {names}", hint="Query tables and views.")


def _write_array(names: frozenset[str]) -> str:
    quoted = ('"{}"'.format(name.replace("\\", "\\\\").replace('"', '\\"')) for name in sorted(names))
    return "{" + ",".join(quoted) + "}"


async def _explain_refusal(link: Link, exc: Refused) -> DatabaseError:
    """Return the error for the model, with the nearest names for an unknown table or column."""
    if exc.code == "57014":
        return DatabaseError("the statement took too long, and was ended", hint="Ask for less.")
    if exc.code == "25006":
        return DatabaseError(f"{exc.message}: the database is read-only", hint="Say what you would change.")
    hint = exc.hint
    if not hint and exc.code in ("42P01", "42703"):
        await link.run_script("ROLLBACK")
        tables = [each.name for each in await _fetch_tables(link)]
        _, rows, _ = await link.fetch(
            "SELECT DISTINCT column_name FROM information_schema.columns"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') LIMIT 2000"
        )
        hint = name_missing(exc.message, tables, [str(row[0]) for row in rows])
    code = f" ({exc.code})" if exc.code else ""
    hint = hint or "Mend the statement; list_tables and describe_table tell the names."
    return DatabaseError(f"{exc.message}{code}", hint=hint)
