"""The tables, as numbered files of SQL, and their creation. Never change a released file: databases with it exist."""

from __future__ import annotations

import functools
import re
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING

import attrs
import psycopg
from psycopg import pq

from agno_rt.upkeep import Migration
from agno_rt_postgres.connection import Lost

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

    from agno_rt_postgres.urls import Settings

__all__ = ["NotMigrated", "SQLFailed", "list_migrations", "prepare_schema", "read_applied", "run_migrations", "run_sql"]

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_GOOD = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class NotMigrated(Exception):
    """The tables are too old or too new for this version of the plugin; the message has the versions."""


@attrs.define(eq=False)
class SQLFailed(Exception):
    """A statement outside of an operation failed. `code` is PostgreSQL's code of the error."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


@functools.cache
def list_migrations(package: str) -> tuple[Migration, ...]:
    """Return the migrations of this version in a package, in order."""
    named = ((_NAME.fullmatch(file.name), file) for file in files(package).iterdir())
    found = [
        Migration(int(name[1]), name[2].replace("_", " "), file.read_text(encoding="utf-8"))
        for name, file in named
        if name is not None
    ]
    return tuple(sorted(found, key=lambda each: each.number))


def read_applied(conn: PGconn, settings: Settings) -> int:
    """Return the number of the last migration that the database has; 0 for a database without tables.

    Raises `NotMigrated` for a database that a newer version has migrated.
    """
    schema = settings.schema
    (there,) = run_sql(conn, f"""SELECT to_regclass('"{schema}".migrations') IS NOT NULL""")
    if there != "t":
        return 0
    (number,) = run_sql(conn, f'SELECT coalesce(max(number), 0) FROM "{schema}".migrations')
    applied, newest = int(number or 0), list_migrations(settings.tables)[-1].number
    if applied > newest:
        raise NotMigrated(f"it was written by a newer agno-rt-postgres (schema {applied}, here {newest})")
    return applied


def prepare_schema(conn: PGconn, settings: Settings) -> None:
    """Make or upgrade the tables. Raises `NotMigrated` for tables of a newer version, and with `migrate=off`."""
    newest = list_migrations(settings.tables)[-1].number
    applied = read_applied(conn, settings)
    if applied == newest:
        return
    if not settings.migrate:
        raise NotMigrated(f"its tables are at version {applied}, and {newest} is needed")
    run_migrations(conn, settings)


def run_migrations(conn: PGconn, settings: Settings) -> list[Migration]:
    """Apply the missing migrations, all or nothing, and return the list. Of several processes, one applies."""
    schema = settings.schema
    run_sql(conn, "BEGIN; SET LOCAL statement_timeout = 0")
    try:
        run_sql(conn, f"SELECT pg_advisory_xact_lock(hashtextextended('agno_rt migrations {schema}', 0))")
        # A user without the right to create schemas may use an existing schema.
        (there,) = run_sql(conn, f"""SELECT to_regnamespace('"{schema}"') IS NOT NULL""")
        if there != "t":
            run_sql(conn, f'CREATE SCHEMA "{schema}"')
        run_sql(
            conn,
            f'SET LOCAL search_path = "{schema}"; CREATE TABLE IF NOT EXISTS migrations'
            " (number bigint PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
        )
        applied = read_applied(conn, settings)
        missing = [each for each in list_migrations(settings.tables) if each.number > applied]
        for each in missing:
            run_sql(conn, each.sql)
            run_sql(conn, f"INSERT INTO migrations (number, name) VALUES ({each.number}, '{each.name}')")
        run_sql(conn, "COMMIT")
    except BaseException:
        with suppress(psycopg.Error):
            conn.exec_(b"ROLLBACK")
        raise
    return missing


def run_sql(conn: PGconn, sql: str) -> tuple[str | None, ...]:
    """Execute one or more statements, and return the first row of the last. Raises `SQLFailed` and `Lost`."""
    try:
        result = conn.exec_(sql.encode())
    except psycopg.Error as exc:  # the connection broke before the statement was sent
        raise Lost(" ".join(str(exc).split())) from exc
    if result.status not in _GOOD:
        raise _make_failure(conn, result)
    if not result.ntuples:
        return ()
    values = (result.get_value(0, at) for at in range(result.nfields))
    return tuple(None if value is None else value.decode() for value in values)


def _make_failure(conn: PGconn, result: PGresult) -> SQLFailed | Lost:
    code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or conn.error_message
    text = " ".join(message.decode("utf-8", "replace").split())
    # Without a code, the connection broke: another one may do.
    return SQLFailed(code, text) if code and conn.status == pq.ConnStatus.OK else Lost(text)
