"""PostgreSQL: nothing stays at the server after a limit, a cancellation or a death; passwords are never shown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import trio
from agno_rt_data import make_sql
from agno_rt_data.sql_base import Database, DatabaseError

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.errors import UsageError
from agno_rt.plugins import PluginHost
from agno_rt.testing import CancelPoint, ScriptedModel, cancel_everywhere
from agno_rt.testing.clocks import JumpingClock
from agno_rt.tools import ToolArgumentError

MakeData = Callable[..., Database]
RunSql = Callable[[str], list[tuple[str | None, ...]]]

OURS = "FROM pg_stat_activity WHERE application_name = 'agno-rt-data' AND datname = current_database()"
ENDLESS = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@pytest.fixture
def clock() -> JumpingClock:
    """Return the clock of the test's trio run: pytest-trio takes a fixture that is a clock."""
    return JumpingClock()


async def wait_for_count(run_sql: RunSql, count: int, where: str = "") -> None:
    """Wait until the server has a number of our connections; fail after a minute."""
    with trio.fail_after(60):
        while run_sql(f"SELECT count(*) {OURS} {where}") != [(str(count),)]:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "sql", ["SELECT pg_sleep(600)", ENDLESS, "SELECT * FROM generate_series(1, 1000000000) ORDER BY 1"]
)
async def test_no_query_stays_after_its_limit(
    sql: str, make_data: MakeData, run_sql: RunSql, clock: JumpingClock
) -> None:
    """After the limit of seconds, the server shows no such query: it was cancelled, not left."""

    async def end() -> None:
        await wait_for_count(run_sql, 1, "AND state = 'active' AND query LIKE 'FETCH%'")
        clock.jump(60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        with pytest.raises(DatabaseError, match="longer than 60 seconds"):
            await make_data("postgresql", seconds=60).query(sql, 10)
    await wait_for_count(run_sql, 0)


async def test_a_cancelled_run_cancels_its_query(postgres_url: str, run_sql: RunSql) -> None:
    """A run that is cancelled in a query cancels the query at the server; a run beside it ends as usual."""
    results = list[str]()
    sleeper = Agent(
        ScriptedModel([ToolCall("1", "run_sql_query", '{"query": "SELECT pg_sleep(600)"}')]),
        tools=[make_sql(postgres_url)],
    )
    other = Agent(
        ScriptedModel([ToolCall("1", "run_sql_query", '{"query": "SELECT city FROM customers"}'), "done"]),
        tools=[make_sql(postgres_url)],
    )
    async with Runtime() as rt, trio.open_nursery() as nursery:
        async with trio.open_nursery() as inner:
            inner.start_soon(rt.run, sleeper, "?")
            await wait_for_count(run_sql, 1, "AND state = 'active' AND query LIKE 'FETCH%'")
            result = await rt.run(other, "?")
            results += [message.text for message in result.messages if message.role == "tool"]
            inner.cancel_scope.cancel()
        await wait_for_count(run_sql, 0)
        nursery.cancel_scope.cancel()
    assert results == ["city\nKassel\nMarburg\n[2 rows]"]


def test_a_query_cancelled_anywhere_leaves_no_connection(make_data: MakeData, run_sql: RunSql) -> None:
    """Wherever a query is cancelled, the server has no connection of it afterwards, and the next query works."""

    async def run(point: CancelPoint) -> None:
        data = make_data("postgresql")
        with point:
            assert (await data.query("SELECT count(*) FROM orders", 5)).rows == [["3"]]
        await wait_for_count(run_sql, 0)

    cancel_everywhere(run, at_least=8)


def test_a_killed_process_leaves_no_query(postgres_url: str, run_sql: RunSql) -> None:
    """The server notices that the process is gone, and ends the query."""
    code = (
        "import sys, trio; from agno_rt_data import make_sql\n"
        "[tool] = [t for t in make_sql(sys.argv[1], {'seconds': 500}).tools if t.name == 'run_sql_query']\n"
        "trio.run(tool.function, 'SELECT pg_sleep(400)')"
    )
    process = subprocess.Popen([sys.executable, "-c", code, postgres_url])
    trio.run(wait_for_count, run_sql, 1, "AND state = 'active' AND query LIKE 'FETCH%'")
    process.send_signal(signal.SIGKILL)
    process.wait()
    trio.run(wait_for_count, run_sql, 0)


async def test_the_server_restarts_its_side(make_data: MakeData, run_sql: RunSql) -> None:
    """A connection that the server ends in a query is a clear error; the next query works."""
    data = make_data("postgresql")
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await wait_for_count(run_sql, 1, "AND state = 'active' AND query LIKE 'FETCH%'")
            run_sql(f"SELECT pg_terminate_backend(pid) {OURS}")

        nursery.start_soon(end)
        with pytest.raises(DatabaseError, match="terminat"):
            await data.query("SELECT pg_sleep(600)", 1)
    assert len((await data.query("SELECT * FROM orders", 10)).rows) == 3


SECRET = "s3cr3t%2Fword"


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts._replace(netloc=f"nobody:{SECRET}@{parts.netloc.rpartition('@')[2]}"),
        lambda parts: parts._replace(netloc=f"nobody:{SECRET}@127.0.0.1:1"),
        lambda parts: parts._replace(netloc=f"nobody:{SECRET}@{parts.netloc.rpartition('@')[2]}", query="sslmode=odd"),
        lambda parts: parts._replace(netloc=f"nobody:{SECRET}%zz@127.0.0.1:1"),
        lambda parts: parts._replace(netloc=f"nobody:{SECRET}@127.0.0.1:notaport"),
    ],
)
async def test_passwords_are_never_shown(change: Callable[..., object], postgres_url: str) -> None:
    """Wrong users, servers and URLs are errors without the password, and so is the toolkit's name."""
    url = urlunsplit(change(urlsplit(postgres_url)))  # type: ignore[call-overload]
    kit = make_sql(str(url), {"seconds": 3})
    [tool] = [each for each in kit.tools if each.name == "run_sql_query"]
    with pytest.raises(ToolArgumentError) as caught:
        await tool("SELECT 1")
    shown = [str(caught.value), repr(caught.value.__cause__), kit.name, repr(kit), repr(tool)]
    assert all("s3cr3t" not in text for text in shown), shown
    assert "cannot be reached" in shown[0]


def test_a_wrong_url_is_told_without_its_password() -> None:
    """A URL of another database, or without a server, is refused by its scheme alone."""
    with pytest.raises(UsageError) as caught:
        PluginHost().tool("sql:postgresql://ann:s3cr3t@host/db", {})
    assert caught.value.hint == "Write data:sql:postgresql://ann:...@host/db."
    assert "s3cr3t" not in caught.value.full_text
    for url in ("mysql://ann:s3cr3t@host/db", "postgresql:ann:s3cr3t@host"):
        with pytest.raises(UsageError) as caught:
            PluginHost().tool(f"data:sql:{url}", {})
        assert "s3cr3t" not in caught.value.full_text


@pytest.mark.parametrize("between", ["/", "@"])
def test_a_password_that_cuts_its_url_is_refused(between: str) -> None:
    """A password with / or @ would be read as a part of the server's name, and its pieces would be shown."""
    with pytest.raises(UsageError, match="is not the URL of a PostgreSQL database") as caught:
        make_sql(f"postgresql://ann:s3cr3t{between}w0rd@127.0.0.1:1/db")
    assert "%2F and %40" in caught.value.hint
    assert "s3cr3t" not in caught.value.full_text
    assert "w0rd" not in caught.value.full_text


@pytest.mark.parametrize("between", ["#", "?"])
async def test_a_password_with_marks_is_whole(between: str) -> None:
    """A # or ? belongs to the password, as for PostgreSQL's own programs; neither piece is in the toolkit's name."""
    kit = make_sql(f"postgresql://ann:s3cr3t{between}w0rd@127.0.0.1:1/db?connect_timeout=1")
    assert kit.name == "sql:postgresql://127.0.0.1:1/db"
    with pytest.raises(ToolArgumentError, match="cannot be reached: connection to server at") as caught:
        await kit.tools[0]()
    assert "s3cr3t" not in str(caught.value)


async def test_a_value_of_another_type_is_a_text(make_data: MakeData) -> None:
    """Arrays, rows, JSON, times, bytes and nothing are texts as PostgreSQL writes them."""
    sql = "SELECT ARRAY[1, 2], ROW(1, 'a'), '{\"a\": 1}'::jsonb, DATE '2026-03-29', '\\x00ff'::bytea, pg_sleep(0), NULL"
    found = await make_data("postgresql").query(sql, 5)
    assert [list(row) for row in found.rows] == [["{1,2}", "(1,a)", '{"a": 1}', "2026-03-29", "\\x00ff", "", None]]


async def test_too_many_columns(make_data: MakeData) -> None:
    """A query with hundreds of columns, or none, is refused before it runs."""
    data = make_data("postgresql")
    for sql in ("SELECT " + ", ".join(["1"] * 300), "SELECT FROM orders"):
        with pytest.raises(DatabaseError, match="columns"):
            await data.query(sql, 5)


def test_nothing_of_the_driver_is_imported_before_the_first_call() -> None:
    """Making a toolkit of a server imports neither psycopg nor a database."""
    code = (
        "import sys; from agno_rt_data import make_sql; make_sql('postgresql://a@b/c')\n"
        "assert not {'psycopg', 'duckdb', 'sqlite3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ), cwd=Path.cwd())
