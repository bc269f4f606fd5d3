"""Changes: only where they are declared, in one transaction each, and never outside of the database."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from agno_rt_data import make_sql
from agno_rt_data.sql_base import Database, DatabaseError
from agno_rt_data.sql_toolkit import sql_tools

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.errors import ConfigError
from agno_rt.testing import CancelPoint, ScriptedModel, cancel_everywhere

MakeData = Callable[..., Database]


async def test_changes_where_they_are_declared(engine: str, make_data: MakeData) -> None:
    """A database with `write` makes tables, changes rows and drops tables; the number of rows is told."""
    data = make_data(engine, write=True)
    await data.execute("CREATE TABLE things (id INTEGER, name VARCHAR)")
    assert await data.execute("INSERT INTO things VALUES (1, 'a'), (2, 'b')") == 2
    assert await data.execute("UPDATE things SET name = 'c' WHERE id = 1") == 1
    assert (await data.query("SELECT name FROM things ORDER BY id", 5)).rows == [["c"], ["b"]]
    assert await data.execute("DELETE FROM things") == 2
    with pytest.raises(DatabaseError):
        await data.query("DELETE FROM orders", 5)
    await data.execute("DROP TABLE things")


async def test_a_database_without_the_word_refuses(engine: str, make_data: MakeData) -> None:
    """Without `write` there is no tool for changes, and the database refuses."""
    data = make_data(engine)
    assert "execute_sql" not in [each.name for each in sql_tools(data).tools]
    with pytest.raises(DatabaseError, match="read-only"):
        await data.execute("DELETE FROM orders")


@pytest.mark.parametrize(
    ("engine", "sql"),
    [
        ("sqlite", "ATTACH '{folder}/out.db' AS o"),
        ("sqlite", "VACUUM INTO '{folder}/out.db'"),
        ("sqlite", "PRAGMA writable_schema = 1"),
        ("sqlite", "SELECT load_extension('x')"),
        ("sqlite", "COMMIT"),
        ("sqlite", "INSERT INTO customers VALUES (9, 'x'); DELETE FROM orders"),
        ("duckdb", "COPY orders TO '{folder}/out.csv'"),
        ("duckdb", "ATTACH '{folder}/out.db'"),
        ("duckdb", "SET memory_limit = '9GB'"),
        ("duckdb", "CREATE TABLE t AS SELECT * FROM read_csv('/etc/passwd')"),
        ("duckdb", "INSERT INTO customers VALUES (9, 'x'); DELETE FROM orders"),
        ("postgresql", "COPY orders TO '{folder}/out.csv'"),
        ("postgresql", "INSERT INTO customers VALUES (9, pg_read_file('/etc/passwd'))"),
        ("postgresql", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        ("postgresql", "CREATE EXTENSION dblink"),
        ("postgresql", "ALTER SYSTEM SET work_mem = '1GB'"),
        ("postgresql", "ALTER ROLE postgres PASSWORD 'x'"),
        ("postgresql", "CREATE ROLE r SUPERUSER"),
        ("postgresql", "DO $$ BEGIN END $$"),
        ("postgresql", "INSERT INTO customers VALUES (9, 'x'); COMMIT"),
    ],
)
async def test_changes_stay_in_the_database(engine: str, sql: str, make_data: MakeData, tmp_path: Path) -> None:
    """A database that may be changed still reaches no file, no setting, no role and no code."""
    data = make_data(engine, write=True)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(DatabaseError):
        await data.execute(sql.format(folder=tmp_path))
    counts = "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders)"
    assert (await data.query(counts, 5)).rows == [["2", "3"]]
    assert sorted(os.listdir(tmp_path)) == before


async def test_a_failed_statement_changes_nothing(engine: str, make_data: MakeData) -> None:
    """A statement that fails in the middle is rolled back."""
    data = make_data(engine, write=True)
    with pytest.raises(DatabaseError):
        await data.execute("INSERT INTO customers VALUES (8, 'x'), (1, 'twice')")
    assert (await data.query("SELECT count(*) FROM customers", 5)).rows == [["2"]]


def test_a_killed_change_has_happened_or_not(make_data: MakeData) -> None:
    """Wherever a change is cancelled, all rows are changed or none, and readers go on at once."""

    async def change(point: CancelPoint) -> None:
        data = make_data("sqlite", write=True)
        with point:
            await data.execute("UPDATE orders SET price = price + 1")
        [[low, high]] = (await data.query("SELECT min(price - id), max(price) FROM orders", 1)).rows
        assert (float(low or 0) - 8.5) == (float(high or 0) - 99)

    cancel_everywhere(change, at_least=4)


async def test_a_large_change_that_is_killed_is_rolled_back(make_data: MakeData) -> None:
    """A change that is killed by its limit, with pages on the disk already, is rolled back for readers."""
    numbers = "WITH RECURSIVE c (x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM c)"
    data = make_data("sqlite", write=True, seconds=2)
    with pytest.raises(DatabaseError, match="longer than 2 seconds"):
        await data.execute(f"INSERT INTO orders (id, note) {numbers} SELECT x, hex(zeroblob(500)) FROM c")
    data = make_data("sqlite", write=True)
    assert (await data.query("SELECT count(*) FROM orders", 1)).rows == [["3"]]
    await data.execute("DELETE FROM orders WHERE id = 3")


async def test_a_change_waits_for_a_person(make_data: MakeData, tmp_path: Path) -> None:
    """By default a change waits, and happens when it is approved."""
    make_data("sqlite")
    settings = {"databases": {"shop": {"url": f"sqlite:{tmp_path}/shop.sqlite", "write": True, "prefix": "shop_"}}}
    call = ToolCall("1", "shop_execute_sql", '{"statement": "DELETE FROM orders"}')
    async with Runtime(settings={"data": settings}) as rt:
        agent = Agent(ScriptedModel([call, "done"]), name="clerk", tools=["data:sql:shop"])
        first = await rt.run(agent, "?")
        assert first.status == "paused"
        assert (await make_data("sqlite").query("SELECT count(*) FROM orders", 1)).rows == [["3"]]
        await rt.approve(first.approvals[0].id)
        last = await rt.resume(first.run_id)
    assert [message.text for message in last.messages if message.role == "tool"] == ["Done: 3 rows changed."]
    assert (await make_data("sqlite").query("SELECT count(*) FROM orders", 1)).rows == [["0"]]


def test_databases_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named database has a URL with variables, and a prefix; mistakes are told with their place."""
    (tmp_path / "a.db").touch()
    monkeypatch.setenv("SHOP_FOLDER", str(tmp_path))
    named = {"databases": {"shop": {"url": "sqlite:${SHOP_FOLDER}/a.db", "prefix": "shop_", "write": True}}}
    names = [each.name for each in make_sql("shop", named).tools]
    assert names == ["shop_list_tables", "shop_describe_table", "shop_run_sql_query", "shop_execute_sql"]
    for wrong in (
        {"databases": {"shop": {"url": "sqlite:${SHOP_NOTHING}"}}},
        {"databases": {"shop": {"uri": "sqlite:a.db"}}},
        {"databases": {"shop": "sqlite:a.db"}},
        {"databases": {"shop": {"url": "sqlite:a.db", "prefix": "a b"}}},
        {"seconds": 0},
        {"second": 1},
    ):
        with pytest.raises(ConfigError):
            make_sql("shop", wrong)
