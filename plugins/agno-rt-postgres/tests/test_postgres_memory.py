"""`PostgresMemory` beyond the contracts: URLs, tables, texts, indexes, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
from agno_rt_postgres.memory import PostgresMemory
from agno_rt_postgres.runs import WantedRuns, make_run_list
from agno_rt_postgres.session_words import has_new_messages, make_search
from agno_rt_postgres.sessions import NewMessages, WantedSessions, append_messages, make_list
from agno_rt_postgres.statements import Statement
from agno_rt_postgres.urls import parse_url

from agno_rt import Agent, Runtime
from agno_rt.errors import BackendError, UsageError
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message
from agno_rt.plugins import PluginHost
from agno_rt.run_store import Entry, RunChange, RunRecord
from agno_rt.testing import ScriptedModel

Make = Callable[..., PostgresMemory]
SQL = Callable[[str], list[tuple[str | None, ...]]]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_both_schemes_make_a_backend(scheme: str) -> None:
    """The plugin offers both usual schemes; a URL makes a backend without connecting."""
    memory = PluginHost().memory(f"{scheme}://ann:secret@db.example.com:6000/agents?sslmode=require&pool=3", {})

    assert isinstance(memory, PostgresMemory)
    assert memory.settings.place == "postgresql://db.example.com:6000/agents"
    assert memory.settings.pool == 3
    assert "sslmode=require" in memory.settings.conninfo
    assert "pool" not in memory.settings.conninfo


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql:agents", "is not the URL of a PostgreSQL database"),
        ("postgresql://ann:s3cr/t3d@host/db", "'postgresql://ann:...@host/db' is not the URL of a PostgreSQL database"),
        ("postgresql://ann:s3cr#t3d@host/db", "'postgresql://ann:...@host/db' is not the URL of a PostgreSQL database"),
        ("postgresql://ann:s3cr@t3d@host/db", "'postgresql://ann:...@host/db' is not the URL of a PostgreSQL database"),
        ("postgresql://h/d?pool=0", "'0' is not a value of the option 'pool'"),
        ("postgresql://h/d?timeout=soon", "'soon' is not a value of the option 'timeout'"),
        ("postgresql://h/d?schema=My-Schema", "'My-Schema' is not a value of the option 'schema'"),
        ("postgresql://h/d?lease=soon", "'soon' is not a value of the option 'lease'"),
        ("postgresql://ann:secret@h/d?keep=some", "'some' is not a value of the option 'keep'"),
        ("postgresql://ann:secret@h/d?sessions_older_than=30", "the option 'sessions_older_than' in .* is '30'"),
        ("postgresql://ann:secret@h/d?migrate=maybe", "'maybe' is not a value of the option 'migrate'"),
        ("postgresql://ann:secret@h/d?synchronous=off", "'off' is not a value of the option 'synchronous'"),
    ],
)
def test_a_url_that_is_wrong(url: str, problem: str) -> None:
    """A wrong option is refused with a remedy, and without the password."""
    with pytest.raises(UsageError, match=problem) as caught:
        parse_url(url)

    assert caught.value.hint
    assert "secret" not in caught.value.full_text


@pytest.mark.parametrize(("lease", "seconds"), [("1.5", 1.5), ("90s", 90.0), ("2m", 120.0)])
def test_a_lease_has_a_unit_or_none(lease: str, seconds: float) -> None:
    """A lease is a number of seconds, or an age as in the URLs of other stores."""
    assert parse_url(f"postgresql://h/d?lease={lease}").lease == seconds


@pytest.mark.parametrize(("option", "setting"), [("synchronous=normal", "off"), ("", "on"), ("synchronous=full", "on")])
async def test_commits_wait_for_the_disk_unless_told(
    make_memory: Make, server: str, new_schema: str, sql: SQL, option: str, setting: str
) -> None:
    """A commit waits for the disk, except with `synchronous=normal`."""
    memory = make_memory(url=f"{server}?schema={new_schema}&{option}")
    await memory.check_ready()
    # The backend's own connections tell their setting, into a table that its appends write.
    sql(
        f"SET search_path = {new_schema}; CREATE TABLE told (setting text);"
        " CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" INSERT INTO {new_schema}.told VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;"
        " CREATE TRIGGER tell AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION tell()"
    )
    await memory.append("s", [Message("user", "hi")], version=0)
    await memory.aclose()

    assert sql(f"SELECT setting FROM {new_schema}.told") == [(setting,)]


async def test_what_the_url_keeps(make_memory: Make) -> None:
    """With `keep` and `sessions_keep`, the end of a run forgets the finished runs and sessions beyond the numbers."""
    now = [0.0]
    memory = make_memory(clock=lambda: now[0], keep=2, sessions_keep=1, sessions_older_than="5m")
    for number, run in enumerate(("a", "b", "waits", "c")):
        now[0] = float(number)
        await memory.append(f"of {run}", [Message("user", "hi")], version=0)
        await memory.create_run(RunRecord(run, "agent", owner="me"))
    for run in ("a", "b"):
        await memory.change_run(run, RunChange("paused"), owner="me")
        await memory.cancel_run(run)
        now[0] += 1.0
    await memory.change_run("waits", RunChange("paused"), owner="me")
    now[0] += 1.0
    await memory.change_run("c", RunChange("completed"), owner="me")
    runs, sessions = [run.id for run in await memory.runs()], [info.id for info in await memory.sessions()]
    await memory.aclose()

    assert runs == ["c", "waits", "b"]
    assert sessions == ["of c"]


@pytest.mark.parametrize(
    ("server_url", "problem", "hint"),
    [
        ("postgresql://nobody_here@127.0.0.1/test?host=127.0.0.1", "nobody_here", "Check the user"),
        ("postgresql://no.such.host.invalid/d", "could not translate host name", "name of the host"),
        ("postgresql://127.0.0.1:1/d", "refused", "Check that the server runs"),
        ("postgresql://127.0.0.1:1/d?nonsense=1", "nonsense", "Check the options"),
    ],
)
async def test_what_cannot_be_opened(make_memory: Make, server_url: str, problem: str, hint: str) -> None:
    """A backend without a database says why, and what to do."""
    with trio.fail_after(60), pytest.raises(BackendError, match=problem) as caught:
        await make_memory(url=server_url).check_ready()

    assert hint in caught.value.hint


async def test_the_port_of_the_environment(make_memory: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for libpq, PGPORT has the port of a URL without a port."""
    monkeypatch.setenv("PGPORT", "1")

    with trio.fail_after(60), pytest.raises(BackendError, match="port 1 failed"):
        await make_memory(url="postgresql://127.0.0.1/d").check_ready()


async def test_any_text_is_stored(make_memory: Make) -> None:
    """NUL and every plane of Unicode come back in messages, journals, inputs, answers, errors, signals and keys."""
    text = "a\0b\ufffe😀\U0010ffff\x7f\r\n"
    memory = make_memory()
    await memory.append("s", [Message("user", text)], version=0, data=text.encode())
    await memory.create_run(RunRecord("r", "agent", owner="me", input=text), [Entry(0, "begun", text.encode())])
    await memory.send_signal("r", "mail", text.encode())
    await memory.change_run("r", RunChange("failed", text, text, "code"), owner="me")
    await memory.cache(text, b"one")
    await memory.cache(text.replace("\0", "\x01"), b"two")
    session, (record, entries) = await memory.load("s"), await memory.load_run("r")
    signals, cached = await memory.signals("r"), await memory.cached(text)
    unknown = await memory.load("s\0"), await memory.facts("ann\0"), await memory.runs(user="\0")
    await memory.aclose()

    assert (session.messages[0].text, session.data) == (text, text.encode())
    assert (record.input, record.content, record.error) == (text, text, text)
    assert (entries[0].body, signals[0].value, cached) == (text.encode(), text.encode(), b"one")
    assert (unknown[0].version, *unknown[1:]) == (0, [], [])


async def test_text_that_is_no_text(make_memory: Make) -> None:
    """A lone surrogate is refused with a remedy, others at the same time are stored."""
    memory = make_memory()

    async def write_good() -> None:
        await memory.create_run(RunRecord("good", "agent", owner="me", input="fine"))

    with pytest.raises(BackendError, match="surrogates not allowed") as caught:
        await memory.append("s", [Message("user", "\udcff")], version=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_good)
        with pytest.raises(BackendError, match="surrogates not allowed"):
            await memory.create_run(RunRecord("bad", "agent", owner="me", input="\udcff"))
    runs = await memory.runs()
    await memory.aclose()

    assert "not Unicode text" in caught.value.hint
    assert [run.id for run in runs] == ["good"]


async def test_a_large_message(make_memory: Make) -> None:
    """A message of 10 MB, and many at once, come back whole."""
    memory = make_memory()
    large = "é" * 5 * 2**20
    version = await memory.append("s", [Message("user", large), Message("assistant", "ok")], version=0)
    await memory.append("s", [Message("user", str(at)) for at in range(20_000)], version=version)
    session = await memory.load("s")
    last = await memory.load("s", 3)
    await memory.aclose()

    assert session.messages[0].text == large
    assert (session.total, len(session.messages)) == (20_002, 20_002)
    assert [message.text for message in last.messages] == ["19997", "19998", "19999"]


@pytest.mark.parametrize(
    "asked",
    [{}, {"status": "completed"}, {"status": "failed"}, {"user": "u1"}, {"unowned": True}, {"session": "s1"}],
    ids=str,
)
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_of_runs_reads_as_much_at_any_depth(
    make_memory: Make, sql: SQL, schema: str, asked: dict[str, Any], plan: str
) -> None:
    """PostgreSQL reads the runs of a page and the runs under way: no runs before, and none of other filters."""
    memory, count, limit = make_memory(), 20_000, 50
    await memory.check_ready()
    sql(
        f'SET search_path = {schema}; INSERT INTO runs (id, agent, status, session, "user", input, content,'
        " cancel_requested, entries, created_at, updated_at) SELECT 'r' || lpad(n::text, 5, '0'), 'agent', CASE WHEN"
        " n % 1000 = 1 THEN 'running' WHEN n % 50 = 0 THEN 'failed' ELSE 'completed' END, 's' || n % 40,"
        f" NULLIF('u' || n % 40, 'u0'), 'in', 'out', false, 0, n, n FROM generate_series(0, {count - 1}) AS n;"
        " ANALYZE runs"
    )
    every: dict[str, Any] = {"status": None, "session": None, "user": None, "unowned": False, "limit": limit}
    pages = [make_run_list(WantedRuns(**every | asked, before=(float(at), "r"))) for at in (count - 1, count // 4)]
    near, far = (explain_page(sql, schema, page, plan, limit) for page in pages)
    await memory.aclose()

    assert far <= near
    assert near <= limit + 20 + 2  # 20 are under way; the merge of both lists reads one ahead


@pytest.mark.parametrize("asked", [{}, {"user": "ann"}, {"user": "eve"}, {"unowned": True}], ids=str)
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_of_sessions_reads_no_other_session(
    make_memory: Make, sql: SQL, schema: str, asked: dict[str, Any], plan: str
) -> None:
    """PostgreSQL reads the sessions of a page alone, also of a user with half of all, and of nobody."""
    memory, count, limit = make_memory(), 10_000, 20
    await memory.check_ready()
    # Stored in another order than the lists have, as by many users at work.
    sql(
        f"SET search_path = {schema}; INSERT INTO sessions SELECT 's' || n, CASE WHEN n % 2 = 0 THEN 'ann'"
        " WHEN n % 20 = 1 THEN NULL WHEN n % 20 = 3 THEN 'eve' ELSE 'bob' END, 1, 0, n, n, '', '', '', '', ''"
        f" FROM generate_series(1, {count}) AS n ORDER BY md5(n::text); ANALYZE sessions"
    )
    every: dict[str, Any] = {"user": None, "unowned": False, "query": "", "limit": limit}
    starts = None, (float(count // 2), "s")
    pages = [make_list(WantedSessions(**every | asked, before=start)) for start in starts]
    read = [explain_page(sql, schema, page, plan, limit) for page in pages]
    listed = await memory.sessions(**asked, before=starts[1], limit=limit)
    await memory.aclose()

    assert read == [limit, limit]
    assert len(listed) == limit


def explain_page(sql: SQL, schema: str, page: Statement, plan: str, limit: int) -> int:
    """Return the number of rows that PostgreSQL reads for a full page."""
    values = fill_in(Statement(", ".join(f"${n}" for n in range(1, len(page.params) + 1)), page.params))
    (answer,) = sql(
        f"SET search_path = {schema}; SET plan_cache_mode = {plan}; PREPARE page AS {page.sql};"
        f" EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE page({values})"
    )
    (explained,) = msgspec.json.decode(answer[0] or "")
    assert explained["Plan"]["Actual Rows"] == limit
    return count_read(explained["Plan"])


def count_read(node: dict[str, Any]) -> int:
    """Return the number of rows that the scans of a plan have read."""
    scanned = "Relation Name" in node
    own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] if scanned else 0
    return int(own) + sum(count_read(each) for each in node.get("Plans", ()))


async def test_tables_of_version_5(make_memory: Make, server: str, new_schema: str, sql: SQL) -> None:
    """Runs that were stored before requests were are listed by their times, have no request, and go on."""
    memory = make_memory(url=f"{server}?schema={new_schema}")
    older = [each for each in await memory.migrations() if each.number <= 5]
    sql(
        f"CREATE SCHEMA {new_schema}; SET search_path = {new_schema};"
        " CREATE TABLE migrations (number bigint PRIMARY KEY, name text NOT NULL, applied_at timestamptz);"
        + ";".join(f"{each.sql}; INSERT INTO migrations VALUES ({each.number}, '{each.name}')" for each in older)
        + "; INSERT INTO runs (id, agent, status, input, content, cancel_requested, entries, created_at, updated_at)"
        " VALUES ('b', 'agent', 'completed', 'in', 'out', false, 0, 1, 3),"
        " ('a', 'agent', 'running', 'in', '', false, 0, 1, 2), ('c', 'agent', 'failed', 'in', '', false, 0, 1, 1)"
    )
    before = await memory.runs()
    await memory.create_run(RunRecord("new", "agent", owner="me", request="7c2f-1"))
    await memory.claim_run("c", "me", held_by=None)
    after, of_request = await memory.runs(), await memory.runs_of_request("7c2f-1")
    await memory.aclose()

    assert [(each.id, each.request) for each in before] == [("b", None), ("a", None), ("c", None)]
    assert [each.id for each in after] == ["c", "new", "b", "a"]
    assert [each.id for each in of_request] == ["new"]


def fill_in(statement: Statement) -> str:
    """Return the SQL with the parameters in it, for EXPLAIN."""
    query = statement.sql
    for at, value in reversed(list(enumerate(statement.params, 1))):
        if isinstance(value, list):
            text = "ARRAY[" + ", ".join("'" + each.replace("'", "''") + "'" for each in value) + "]"
        else:
            text = "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"
        query = query.replace(f"${at}", text)
    return query


async def test_sessions_are_searched_by_an_index(make_memory: Make, sql: SQL, schema: str) -> None:
    """PostgreSQL finds one user's messages with a word among many of others by an index, and new ones once stored."""
    memory = make_memory()
    texts = [Message("user", f"number {at} {'is whales' if at % 200 == 7 else 'says nothing'}") for at in range(600)]
    for user in ("ann", "bob"):
        await memory.append(f"of {user}", texts, version=0, user=user)
    found = await memory.search_sessions("Whale", user="ann", limit=9)
    await memory.append("of ann", [Message("user", "one more whale")], version=1, user="ann")
    again = await memory.search_sessions("whale", user="ann", limit=9)
    other = await memory.search_sessions("whale", user="eve")
    sql(
        f"SET search_path = {schema}; INSERT INTO session_words SELECT 'of bob', n,"
        " array_to_tsvector(ARRAY['user of another', 'word', 'whale' || n % 997]) FROM generate_series(1, 20000) AS n;"
        " ANALYZE session_words, sessions, messages"
    )
    search = sql(f"SET search_path = {schema}; EXPLAIN {fill_in(make_search({'whale': 2.5}, 'ann', 9))}")
    # Two sessions fit in a page, for which no index is worth its cost: shown is that the index can serve the question.
    (new,) = next(has_new_messages("ann"))
    look = sql(f"SET search_path = {schema}; SET enable_seqscan = off; EXPLAIN {fill_in(new)}")
    await memory.aclose()

    assert [(each.session, each.number) for each in found] == [("of ann", at) for at in (8, 208, 408)]
    assert again[0].text == "one more whale"
    assert (len(again), other) == (4, [])
    plan = "\n".join(str(row[0]) for row in search)
    assert "Bitmap Index Scan on session_words_by_word" in plan
    assert "Seq Scan on session_words" not in plan
    assert "Seq Scan on messages" not in plan
    assert any("sessions_to_index" in str(row[0]) for row in look)


async def test_a_search_beside_a_deletion(make_memory: Make) -> None:
    """Words of a deleted session are never found in another session of the same name, however the two meet."""
    memory, other = make_memory(), make_memory()
    for at in range(5):
        await memory.append("s", [Message("user", f"secret {n}") for n in range(30)], version=0, user="ann")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: memory.search_sessions("secret", user="ann"))
            nursery.start_soon(other.delete, "s")
        await memory.append("s", [Message("user", "public")] * 30, version=0, user="ann")
        assert await other.search_sessions("secret", user="ann") == [], at
        assert len(await other.search_sessions("public", user="ann", limit=99)) == 30
        await memory.delete("s")
    await memory.aclose()
    await other.aclose()


async def test_an_append_reads_no_other_message(make_memory: Make, sql: SQL, schema: str) -> None:
    """The plan of an append finds one session by its key, and reads no message, however long the session is."""
    memory = make_memory()
    await memory.check_ready()
    await memory.aclose()
    sql(
        f"SET search_path = {schema}; INSERT INTO sessions SELECT 's' || n, NULL, 1, 5000, n, n,"
        " '', '', '', '', '' FROM generate_series(1, 5000) AS n;"
        " INSERT INTO messages SELECT 's7', n, 'x' FROM generate_series(1, 5000) AS n; ANALYZE sessions, messages"
    )
    (statement,) = next(append_messages(NewMessages("s7", [b"y"], 1, None, None, 1.0, "", "")))
    query = statement.sql
    for at, value in reversed(list(enumerate(statement.params, 1))):
        text = "NULL" if value is None else "ARRAY['y'::bytea]" if isinstance(value, list) else f"'{value}'"
        query = query.replace(f"${at}", text)
    plan = [str(row[0]) for row in sql(f"SET search_path = {schema}; EXPLAIN {query}")]

    reads = [line.split("(cost")[0].strip(" ->") for line in plan if "Scan" in line]
    assert {line for line in reads if " on " in line and "CTE" not in line} - {"Function Scan on unnest new"} == {
        "Index Scan using sessions_pkey on sessions"
    }


async def test_tables_are_not_made_when_told_so(make_memory: Make, server: str, new_schema: str) -> None:
    """With `migrate=off`, missing tables are an error that names the remedy; after `migrate` the memory works."""
    memory = make_memory(url=f"{server}?schema={new_schema}", migrate="off")
    with pytest.raises(BackendError, match="its tables are at version 0") as caught:
        await memory.check_ready()
    await memory.migrate()
    await memory.check_ready()
    await memory.aclose()

    assert caught.value.hint == "Run: agno-rt memory migrate"


async def test_tables_of_a_newer_version(make_memory: Make, server: str, new_schema: str, sql: SQL) -> None:
    """Tables that a newer release has made are not touched."""
    old = make_memory(url=f"{server}?schema={new_schema}")
    await old.check_ready()
    await old.aclose()
    sql(f"INSERT INTO {new_schema}.migrations (number, name) VALUES (99, 'later')")
    memory = make_memory(url=f"{server}?schema={new_schema}")
    for call in (memory.check_ready, memory.migrations, memory.migrate):
        with pytest.raises(BackendError, match="newer agno-rt-postgres") as caught:
            await call()
        assert caught.value.hint == "Upgrade agno-rt-postgres."


async def test_a_damaged_message(make_memory: Make, sql: SQL, schema: str) -> None:
    """A message that cannot be read is named; other sessions are read."""
    memory = make_memory()
    for session in ("s", "t"):
        await memory.append(session, [Message("user", "one"), Message("user", "two")], version=0)
    sql(f"UPDATE {schema}.messages SET body = 'rubbish' WHERE session = 's' AND seq = 2")
    with pytest.raises(BackendError, match="message 2 of session 's' cannot be read") as caught:
        await memory.load("s")
    sql(f"DELETE FROM {schema}.messages WHERE session = 's' AND seq = 1")
    with pytest.raises(BackendError, match="message 1 of session 's' cannot be read: it is missing"):
        await memory.load("s")
    other = await memory.load("t")
    await memory.aclose()

    assert "damaged" in caught.value.hint
    assert other.total == 2


def test_several_threads_share_a_backend(make_memory: Make) -> None:
    """Trio runs in several threads, one after the other and at once, use one backend."""
    memory = make_memory()
    failures: list[BaseException] = []

    async def write(name: str) -> None:
        async with trio.open_nursery() as nursery:
            for at in range(5):
                nursery.start_soon(write_session, f"{name}{at}")

    async def write_session(session: str) -> None:
        for at in range(5):
            await memory.append(session, [Message("user", str(at))], version=at)

    def run(name: str) -> None:
        try:
            trio.run(write, name)
        except BaseException as exc:
            failures.append(exc)

    trio.run(write, "first")
    threads = [threading.Thread(target=run, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = trio.run(memory.sessions)
    trio.run(memory.aclose)

    assert not failures
    assert [info.messages for info in listed] == [5] * 20


async def test_runs_through_the_runtime(url: str) -> None:
    """A session and its journal go through the runtime, and are there for the next one."""
    model = ScriptedModel(["one", "two"])
    agent: Agent[Any] = Agent(model, name="agent", memory=MemoryPolicy(journal=True))
    async with Runtime(memory=url) as rt:
        await rt.run(agent, "first", session="s", user="ann")
    async with Runtime(memory=url) as rt:
        result = await rt.run(agent, "second", session="s", user="ann")
        listed = await rt.memory.sessions(user="ann")

    assert [message.text for message in result.messages if message.role != "system"][-2:] == ["second", "two"]
    assert [info.messages for info in listed] == [4]


async def test_a_closed_backend_has_no_connections(make_memory: Make, sql: SQL, schema: str) -> None:
    """Closing ends every connection; a later use opens new ones."""
    memory = make_memory(application_name=schema)
    count = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{schema}'"
    await memory.append("s", [Message("user", "x")], version=0)
    await memory.lock_session("s", wait=False)
    open_before = int(sql(count)[0][0] or 0)
    await memory.aclose()
    with trio.fail_after(60):
        while sql(count) != [("0",)]:  # the server notices a moment later
            await trio.lowlevel.checkpoint()
    again = (await memory.load("s")).total
    await memory.aclose()

    assert open_before >= 2
    assert again == 1
