"""Databases of each engine: tables, columns, queries, and limits that hold."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from agno_rt_data import agno_rt_examine, make_sql
from agno_rt_data.settings import DataSettings
from agno_rt_data.sql_base import Database, DatabaseError
from agno_rt_data.sql_toolkit import sql_tools

from agno_rt.errors import UsageError
from agno_rt.testing import CancelPoint, cancel_everywhere
from agno_rt.testing.clocks import JumpingClock
from agno_rt.tools import ToolArgumentError

MakeData = Callable[..., Database]

ENDLESS = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
MANY_ROWS = {
    "sqlite": "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1000000000) SELECT x FROM c",
    "duckdb": "SELECT range AS x FROM range(1, 1000000000)",
    "postgresql": "SELECT generate_series(1, 1000000000::bigint) AS x",
}
HUGE = {
    "sqlite": "SELECT hex(zeroblob(20000000)) AS x",
    "duckdb": "SELECT repeat('0', 5000000) AS x",
    "postgresql": "SELECT repeat('0', 40000000) AS x",
}


@pytest.fixture
def clock() -> JumpingClock:
    """Return the clock of the test's trio run: pytest-trio takes a fixture that is a clock."""
    return JumpingClock()


def count_workers() -> int:
    """Count the processes of file databases that this process has started."""
    count = 0
    for name in os.listdir("/proc"):
        with suppress(OSError):
            line = Path(f"/proc/{name}/cmdline").read_bytes()
            parent = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1]
            count += b"sql_worker" in line and parent == str(os.getpid())
    return count


async def test_tables_and_columns(engine: str, make_data: MakeData) -> None:
    """The tables, views and columns of a database are listed, with keys and references."""
    data = make_data(engine)
    assert [(each.name, each.kind) for each in await data.list_tables()] == [
        ("customers", "table"),
        ("expensive", "view"),
        ("orders", "table"),
    ]
    columns = await data.describe_table("orders")
    assert [each.name for each in columns] == ["id", "customer", "price", "note"]
    assert "key" in columns[0].notes
    assert "references customers" in columns[1].notes or columns[1].notes == "foreign key"
    assert [each.is_nullable for each in await data.describe_table("customers")][1:] == [False]
    assert "none" in columns[3].default


async def test_rows_of_a_query(engine: str, make_data: MakeData) -> None:
    """A query returns names and texts; NULL differs from the text NULL; columns may have equal names."""
    found = await make_data(engine).query("SELECT id, price, note FROM orders -- all\nORDER BY id;", 10)
    assert list(found.columns) == ["id", "price", "note"]
    rows = [[str(row[0]), float(row[1] or 0), row[2]] for row in found.rows]
    assert rows == [["1", 9.5, "a, b"], ["2", 12.25, None], ["3", 99.0, "NULL"]]
    assert not found.cut
    twice = await make_data(engine).query("WITH t AS (SELECT 1 AS a) SELECT a, a FROM t", 10)
    assert [list(row) for row in twice.rows] == [["1", "1"]]
    assert not (await make_data(engine).query("SELECT * FROM orders WHERE id > 5", 10)).rows


async def test_an_unknown_name_is_told_with_the_nearest(engine: str, make_data: MakeData) -> None:
    """The error of an unknown table or column offers the nearest name."""
    data = make_data(engine)
    for sql, name in (("SELECT * FROM ordes", "orders"), ("SELECT prise FROM orders", "price")):
        with pytest.raises(DatabaseError) as caught:
            await data.query(sql, 10)
        assert name in caught.value.hint
    with pytest.raises(DatabaseError, match="there is no table 'customer'") as caught:
        await data.describe_table("customer")
    assert "Did you mean 'customers'?" in caught.value.hint


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE orders",
        "",
        "  -- nothing",
        "nonsense",
        "SELECT 'open",
        "SELECT /* open",
    ],
)
async def test_what_is_not_one_query_is_refused(sql: str, engine: str, make_data: MakeData) -> None:
    """Several statements, no statement, and text that is not SQL are errors for the model."""
    with pytest.raises(DatabaseError) as caught:
        await make_data(engine).query(sql, 10)
    assert caught.value.hint


async def test_rows_are_cut(engine: str, make_data: MakeData) -> None:
    """Of a billion rows, the first thousand come at once, or as many as fit into the characters."""
    found = await make_data(engine).query(MANY_ROWS[engine], 1_000)
    assert [row[0] for row in found.rows] == [str(number) for number in range(1, 1_001)]
    assert found.cut == "rows"
    short = await make_data(engine, result_characters=100).query(MANY_ROWS[engine], 1_000)
    assert short.cut == "bytes"
    assert 10 <= len(short.rows) <= 30


async def test_a_huge_value_is_cut(engine: str, make_data: MakeData) -> None:
    """A value of megabytes is shown in part."""
    found = await make_data(engine).query(HUGE[engine], 10)
    [[value]] = found.rows
    assert value is not None
    assert value.startswith("0" * 1_000 + "[... ")
    assert len(value) < 1_100


@pytest.mark.parametrize("length", [900_000_000, 3_000_000_000])
async def test_a_value_beyond_memory_is_refused(length: int, engine: str, make_data: MakeData) -> None:
    """A value of a gigabyte is refused by a limit or the engine, and this process does not grow."""
    before = read_memory()
    sql = f"SELECT length(printf('%.*c', {length}, 'x'))" if engine == "sqlite" else f"SELECT repeat('x', {length})"
    with pytest.raises(DatabaseError):
        await make_data(engine, seconds=2).query(sql, 10)
    assert read_memory() - before < 100_000_000


def read_memory() -> int:
    """Return the bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_an_endless_query_ends_and_others_go_on(engine: str, make_data: MakeData, clock: JumpingClock) -> None:
    """An endless query ends at its limit of seconds, and another query beside it ends before."""
    data = make_data(engine, seconds=60)

    async def look() -> None:
        assert len((await data.query("SELECT * FROM orders", 10)).rows) == 3
        clock.jump(60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        with pytest.raises(DatabaseError, match="longer than 60 seconds"):
            await data.query(ENDLESS, 10)
    assert count_workers() == 0


async def test_only_so_many_queries_at_once(make_data: MakeData) -> None:
    """More queries than the limit wait for each other."""
    data = make_data("sqlite", at_once=2)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, count_workers())
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as watching:
        watching.start_soon(watch)
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(data.query, "SELECT 1", 1)
        watching.cancel_scope.cancel()
    assert 1 <= most <= 2


@pytest.mark.parametrize("file_engine", ["sqlite", "duckdb"])
def test_a_cancelled_query_leaves_no_process(file_engine: str, make_data: MakeData) -> None:
    """Wherever a query is cancelled, its process is gone when the cancellation has passed."""
    data = make_data(file_engine)

    async def run(point: CancelPoint) -> None:
        with point:
            assert (await data.query("SELECT count(*) FROM orders", 5)).rows == [["3"]]
        assert count_workers() == 0

    cancel_everywhere(run, at_least=4)


async def test_a_wide_row_is_cut(make_data: MakeData) -> None:
    """A single row with hundreds of long values is cut, with a word on what to do."""
    sql = "SELECT " + ", ".join(f"hex(zeroblob(400)) AS c{number}" for number in range(500))
    [tool] = [each for each in sql_tools(make_data("sqlite")).tools if each.name == "run_sql_query"]
    shown = await tool(sql)
    assert len(shown) < 81_000
    assert shown.endswith("[... cut after 80,000 characters: choose fewer columns]")


async def test_the_answers_of_the_tools(engine: str, make_data: MakeData) -> None:
    """The tools show tables, and say how to see more."""
    tools = {each.name: each for each in sql_tools(make_data(engine), DataSettings(rows=2)).tools}
    assert list(tools) == ["list_tables", "describe_table", "run_sql_query"]
    assert (await tools["list_tables"]()).startswith("customers")
    shown = await tools["run_sql_query"]("SELECT id, note FROM orders ORDER BY id", limit=50)
    assert shown == (
        'id,note\n1,"a, b"\n2,NULL\n[the first 2 rows; there are more: use LIMIT and OFFSET, conditions or aggregates]'
    )
    assert (await tools["run_sql_query"]("SELECT note FROM orders WHERE id = 3")) == 'note\n"NULL"\n[1 row]'
    assert (await tools["describe_table"]("customers")).startswith("column,type,null,default,notes\nid,")
    with pytest.raises(ToolArgumentError, match="Did you mean 'orders'"):
        await tools["run_sql_query"]("SELECT * FROM ordrs")


@pytest.mark.parametrize(
    ("spec", "problem", "remedy"),
    [
        ("", "data:sql names no database", "data:sql:sqlite:FILE"),
        ("shop.db", "'shop.db' is neither", "Write data:sql:sqlite:shop.db. Known: stock."),
        ("shop.duckdb", "'shop.duckdb' is neither", "Write data:sql:duckdb:shop.duckdb. Known: stock."),
        ("shop", "'shop' is neither", "Write the table [plugins.data.databases.shop] with a `url`"),
        ("sqlit:shop.db", "unknown kind of database 'sqlit'", "Did you mean 'sqlite'?"),
    ],
)
def test_an_unknown_database_is_told_with_its_remedy(spec: str, problem: str, remedy: str) -> None:
    """A wrong spec says what is missing, and how the spec or the table is written."""
    with pytest.raises(UsageError) as caught:
        make_sql(spec, {"databases": {"stock": {"url": "sqlite:stock.db"}}})

    assert problem in caught.value.message
    assert remedy in caught.value.hint


@pytest.mark.parametrize(
    ("url", "driver", "extra"),
    [("duckdb:shop.duckdb", "duckdb", "duckdb"), ("postgresql://ann@db.example/shop", "psycopg", "postgres")],
)
def test_a_missing_driver_is_told_before_the_first_query(
    url: str, driver: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs say at their start which extra a database needs."""
    (tmp_path / "shop.duckdb").touch()
    monkeypatch.chdir(tmp_path)
    ready = make_sql(url).tools[0].check_ready
    assert ready is not None
    assert str(ready()).endswith(": read-only")

    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(DatabaseError) as caught:
        ready()

    assert caught.value.hint == f"Install it: pip install 'agno-rt-data[{extra}]'"


def test_the_doctor_tells_of_databases(tmp_path: Path) -> None:
    """`agno-rt doctor` names each database that cannot be used, and asks no server."""
    (tmp_path / "shop.db").touch()
    databases = {
        "fine": {"url": f"sqlite:{tmp_path}/shop.db"},
        "unset": {"url": "postgresql://ann:${NO_SUCH_VARIABLE}@127.0.0.1/shop"},
        "other": {"url": "mysql://127.0.0.1/shop"},
        "nothing": {},
    }

    found = list(agno_rt_examine({"databases": databases}))
    assert [each.level for each in found] == ["warning"] * 3
    told = [each.message for each in found]
    assert "'nothing'" in told[0]
    assert "'other'" in told[1]
    assert "NO_SUCH_VARIABLE" in told[2]
    [wrong] = agno_rt_examine({"rows": 0})
    assert wrong.level == "error"
    assert "rows" in wrong.message
