"""Attempts to change something, or to reach outside of the database, by the tool for queries."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agno_rt_data.sql_base import Database, DatabaseError
from agno_rt_data.sql_worker import answer

MakeData = Callable[..., Database]

FILES = {
    "sqlite": [
        "INSERT INTO orders VALUES (9, 1, 1, '')",
        "UPDATE orders SET price = 0",
        "DELETE FROM orders",
        "REPLACE INTO orders VALUES (1, 1, 1, '')",
        "WITH x AS (SELECT 1) INSERT INTO customers SELECT 9, 'x' FROM x",
        "DELETE FROM orders RETURNING id",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t AS SELECT 1",
        "CREATE TEMP TRIGGER t AFTER INSERT ON orders BEGIN DELETE FROM customers; END",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "DROP TABLE orders",
        "ALTER TABLE orders ADD COLUMN x",
        "ATTACH '{folder}/out.db' AS o",
        "ATTACH ':memory:' AS o",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO '{folder}/out.db'",
        "REINDEX",
        "ANALYZE",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "SAVEPOINT a",
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = WAL",
        "PRAGMA user_version = 7",
        "PRAGMA trusted_schema = 1",
        "PRAGMA table_info(orders)",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('/lib/x86_64-linux-gnu/libm.so.6')",
        "SELECT writefile('{folder}/out.txt', 'x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT fts3_tokenizer('simple', x'00')",
        "SELECT 1; DELETE FROM orders",
        "SELECT 1;; DROP TABLE orders --",
        "EXPLAIN SELECT load_extension('x')",
    ],
    "duckdb": [
        "INSERT INTO orders VALUES (9, 1, 1, '')",
        "UPDATE orders SET price = 0",
        "DELETE FROM orders",
        "TRUNCATE orders",
        "WITH x AS (INSERT INTO orders VALUES (9, 1, 1, '') RETURNING id) SELECT * FROM x",
        "MERGE INTO orders USING customers ON false WHEN NOT MATCHED THEN INSERT VALUES (9, 1, 1, '')",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TEMP TABLE t AS SELECT 1",
        "CREATE MACRO m() AS 1",
        "CREATE SECRET s (TYPE s3)",
        "DROP TABLE orders",
        "ALTER TABLE orders ADD COLUMN x INT",
        "COPY orders TO '{folder}/out.csv'",
        "COPY (SELECT 1) TO '{folder}/out.parquet'",
        "COPY orders FROM '/etc/passwd'",
        "EXPORT DATABASE '{folder}/out'",
        "IMPORT DATABASE '{folder}/out'",
        "ATTACH '{folder}/out.db'",
        "ATTACH ':memory:' AS o",
        "DETACH shop",
        "USE memory",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "RESET memory_limit",
        "PRAGMA enable_profiling",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "CALL enable_logging()",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CHECKPOINT",
        "VACUUM",
        "BEGIN",
        "PREPARE p AS DELETE FROM orders",
        "EXECUTE p",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "FROM '/etc/*.csv'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM parquet_scan('/etc/passwd')",
        "SELECT * FROM query('DELETE FROM orders')",
        "SELECT getenv('PATH')",
        "SELECT * FROM request",
        "SELECT 1; DROP TABLE orders",
        "EXPLAIN ANALYZE DELETE FROM orders",
    ],
}


async def try_attempt(engine: str, sql: str, make_data: MakeData, path: Path) -> str:
    """Make the attempt, and return the refusal. Most attempts on DuckDB share this process: its import takes 0.3 s."""
    if engine == "sqlite" or sql.startswith(("COPY", "SELECT 1;")):
        with pytest.raises(DatabaseError) as caught:
            await make_data(engine).query(sql, 10)
        assert caught.value.hint
        return caught.value.full_text
    limits = {"memory_bytes": 10**9, "cell_characters": 100, "result_characters": 1_000, "limit": 10, "seconds": 9}
    request = {"engine": engine, "path": str(path), "do": "query", "sql": sql, "sys_path": sys.path, **limits}
    found = answer(request)
    assert "rows" not in found
    return str(found["error"])


@pytest.mark.parametrize(
    ("engine", "sql"),
    [(engine, sql) for engine, attempts in FILES.items() for sql in attempts],
    ids=lambda part: part[:50],
)
async def test_a_file_is_not_changed_and_nothing_is_reached(
    engine: str, sql: str, make_data: MakeData, tmp_path: Path
) -> None:
    """Each attempt is refused; the file has the same bytes, and the folder has no other file."""
    make_data(engine)
    path = tmp_path / f"shop.{engine}"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    refusal = await try_attempt(engine, sql.format(folder=tmp_path), make_data, path)
    assert "root:" not in refusal
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert os.listdir(tmp_path) == [path.name]


SERVER = [
    "INSERT INTO orders VALUES (9, 1, 1, '')",
    "DELETE FROM orders",
    "WITH x AS (DELETE FROM orders RETURNING 1) SELECT * FROM x",
    "SELECT 1) AS q(a); DELETE FROM orders; SELECT * FROM (SELECT 1",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT 1 INTO stolen",
    "CREATE TABLE t (a int)",
    "TRUNCATE orders",
    "LOCK TABLE orders",
    "COPY orders TO '{folder}/out.csv'",
    "COPY orders TO PROGRAM 'touch {folder}/out'",
    "COPY orders FROM PROGRAM 'id'",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "CALL change()",
    "SELECT change()",
    "SELECT public.change()",
    'SELECT "change"()',
    "SELECT change/* a /* b */ c */()",
    "SELECT change -- a\n ()",
    "SELECT o.watch FROM orders o",
    "SELECT (o).watch FROM orders o",
    "SELECT * FROM change()",
    "SELECT (SELECT change())",
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 99)",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT set_config('role', 'postgres', false), pg_read_file('/etc/passwd')",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET statement_timeout = 0",
    "RESET ALL",
    "COMMIT",
    "ROLLBACK AND CHAIN",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_catalog . pg_read_file('/etc/passwd')",
    "SELECT U&\"\\0070g_read_file\"('/etc/passwd')",
    "SELECT ('/etc/passwd'::text).pg_read_file",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT pg_ls_dir('/etc')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '{folder}/out')",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT * FROM dblink('host=127.0.0.1', 'DELETE FROM orders') AS t (a int)",
    "SELECT query_to_xml('SELECT pg_reload_conf()', true, true, '')",
    "SELECT table_to_xml('pg_authid', true, true, '')",
    "SELECT database_to_xml(true, true, '')",
    "SELECT pg_stat_get_backend_activity(1)",
    "SELECT * FROM pg_stat_get_activity(NULL)",
    "SELECT ts_stat('SELECT change()::text::tsvector')",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_notify('a', 'b')",
    "NOTIFY a",
    "LISTEN a",
    "SELECT pg_switch_wal()",
    "SELECT pg_stat_reset()",
    "SELECT pg_create_restore_point('x')",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "ALTER ROLE postgres PASSWORD 'x'",
    "LOAD 'auto_explain'",
    "VACUUM",
    "CHECKPOINT",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "PREPARE p AS DELETE FROM orders",
    "DECLARE c CURSOR FOR SELECT 1",
    "SELECT rolpassword FROM pg_authid",
    "SELECT passwd FROM pg_catalog.pg_shadow",
    'SELECT query FROM "pg_stat_activity"',
    "SELECT E'\\'' || pg_read_file('/etc/passwd') || E'\\''",
    "SELECT $a$ $b$ $a$ || pg_read_file('/etc/passwd')",
    "SELECT 'a'\n'b' || pg_read_file('/etc/passwd')",
]
STATE = (
    "SELECT (SELECT string_agg(o::text, ';' ORDER BY id) FROM orders o),"
    " (SELECT string_agg(relname, ';' ORDER BY relname)"
    " FROM pg_class WHERE relnamespace = 'public'::regnamespace), (SELECT count(*) FROM pg_largeobject_metadata),"
    " (SELECT last_value || is_called::text FROM numbers), pg_conf_load_time()"
)


@pytest.fixture
def effects(run_sql: Callable[[str], list[tuple[str | None, ...]]]) -> None:
    """Make two functions with effects: one that changes a row, and one that counts as a field of a row."""
    run_sql(
        "CREATE OR REPLACE FUNCTION change() RETURNS int LANGUAGE sql AS 'DELETE FROM orders RETURNING 1';"
        "CREATE OR REPLACE FUNCTION watch(orders) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1'",
    )


@pytest.mark.usefixtures("effects")
@pytest.mark.parametrize("sql", SERVER, ids=lambda part: part[:50])
async def test_a_server_is_not_changed_and_nothing_is_reached(
    sql: str, make_data: MakeData, run_sql: Callable[[str], list[tuple[str | None, ...]]], tmp_path: Path
) -> None:
    """Each attempt of a superuser is refused; rows, tables, sequences and settings are as before."""
    before = run_sql(STATE)
    with pytest.raises(DatabaseError) as caught:
        await make_data("postgresql").query(sql.format(folder=tmp_path), 10)
    assert "root:" not in caught.value.full_text
    assert run_sql(STATE) == before
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT 'pg_read_file(1)'", "pg_read_file(1)"),
        ("SELECT $$setval('x')$$", "setval('x')"),
        ('SELECT 1 AS "pg_notify"', "1"),
        ("SELECT note AS nextval FROM orders WHERE id = 1", "a, b"),
        ("SELECT count(*) FROM orders TABLESAMPLE SYSTEM (100)", "3"),
        ("SELECT (random() < 2)::text", "true"),
        ("SELECT max(length(upper(city))) FROM customers", "7"),
        ("VALUES (1)", "1"),
        ("(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 LIMIT 1", "1"),
        ("TABLE customers ORDER BY 1 LIMIT 1", "1"),
        ("SELECT E'it\\'s; -- no comment'", "it's; -- no comment"),
        ("SELECT 1 /* /* nested */ */ -- rest", "1"),
    ],
)
async def test_harmless_queries_pass(sql: str, value: str, make_data: MakeData) -> None:
    """Names in texts and of columns, harmless functions, and every form of query pass."""
    found = await make_data("postgresql").query(sql, 10)
    assert found.rows[0][0] == value
