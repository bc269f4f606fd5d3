"""Faults between a process and PostgreSQL: nothing acknowledged is lost, and nothing is stored twice."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing
from agno_rt_postgres.connection import Lost
from agno_rt_postgres.memory import PostgresMemory
from agno_rt_postgres.migrations import run_sql
from agno_rt_postgres.opening import connect
from agno_rt_postgres.urls import parse_url

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt.errors import BackendError, SessionConflict
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message
from agno_rt.run_store import RunChange, RunRecord
from agno_rt.testing import Proxy, ScriptedModel, open_proxy
from agno_rt.testing.clocks import JumpingClock

Make = Callable[..., PostgresMemory]
SQL = Callable[[str], list[tuple[str | None, ...]]]
SECONDS = 90.0

SLOW_COMMIT = """
SET search_path = {schema};
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_advisory_xact_lock_shared({lock}); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON messages DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION wait();
"""
"""Makes a commit wait for a lock, which a test holds while it interferes."""


@pytest.fixture
def clock() -> JumpingClock:
    """Return the clock of the test's trio run: pytest-trio takes a fixture that is a clock."""
    return JumpingClock()


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """Open a proxy to the server."""
    parts = urlsplit(server)
    with open_proxy(parts.hostname or "127.0.0.1", parts.port or 5432) as opened:
        yield opened


@pytest.fixture
def make_behind(make_memory: Make, proxy: Proxy, url: str) -> Make:
    """Make backends that reach the server through the proxy."""
    behind = re.sub(r"@[^/]+/", f"@127.0.0.1:{proxy.port}/", url)
    return lambda **options: make_memory(url=behind, **options)


@contextmanager
def commits_held(server: str, schema: str) -> Iterator[None]:
    """Let each commit with a message wait until the block ends."""
    lock = zlib.crc32(schema.encode())
    conn = connect(parse_url(server))
    run_sql(conn, SLOW_COMMIT.format(schema=schema, lock=lock))
    run_sql(conn, f"SELECT pg_advisory_lock({lock})")
    try:
        yield
    finally:
        conn.finish()


async def read_texts(memory: PostgresMemory, session: str = "s") -> list[str]:
    """Return the texts of the session."""
    return [message.text for message in (await memory.load(session)).messages]


async def append_all(memory: PostgresMemory, session: str, number: int) -> None:
    """Append numbered messages, one after the other."""
    for at in range(number):
        assert await memory.append(session, [Message("user", str(at))], version=at) == at + 1


@pytest.mark.parametrize("way", ["terminate", "cut", "reset"])
async def test_connections_that_the_server_ends(make_behind: Make, proxy: Proxy, sql: SQL, way: str) -> None:
    """After the end of every idle connection, the next writes and reads pass, and no write is doubled."""
    memory = make_behind(application_name=f"{way}_{proxy.port}")
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for at in range(20):
                nursery.start_soon(append_all, memory, f"before {at}", 1)
        if way == "terminate":
            sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE application_name = 'terminate_{proxy.port}'"
            )
        else:
            proxy.cut(reset=way == "reset")
        async with trio.open_nursery() as nursery:
            for session in ("s", "t"):
                nursery.start_soon(append_all, memory, session, 10)
        texts = [await read_texts(memory, session) for session in ("s", "t")]
        await memory.aclose()

    assert texts == [[str(at) for at in range(10)]] * 2


def test_a_connection_that_breaks_while_it_is_prepared(server: str) -> None:
    """The loss of a connection before its first statement is a loss like any other, after which another is tried."""
    conn = connect(parse_url(server))
    conn.finish()

    with pytest.raises(Lost, match="connection"):
        run_sql(conn, "SELECT 1")


@pytest.mark.parametrize("way", ["lose_reply", "cut"])
async def test_a_commit_whose_acknowledgment_is_lost(
    make_behind: Make, proxy: Proxy, sql: SQL, server: str, new_schema: str, way: str
) -> None:
    """A connection breaks in a commit: PostgreSQL is asked for the outcome, and the append is stored once."""
    memory = make_behind(schema=new_schema, application_name=new_schema)
    busy = f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{new_schema}' AND wait_event = 'advisory'"
    is_held = trio.Event()
    with trio.fail_after(SECONDS):
        await memory.append("s", [Message("user", "before")], version=0)

        async def break_commit() -> None:
            with commits_held(server, new_schema):
                is_held.set()
                while not sql(busy):  # the server itself is asked, and takes its time
                    await trio.lowlevel.checkpoint()
                getattr(proxy, way)()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(break_commit)
            await is_held.wait()
            version = await memory.append("s", [Message("user", "once")], version=1)
        texts = await read_texts(memory)
        await memory.aclose()

    assert (version, texts) == (2, ["before", "once"])


async def test_a_commit_that_nobody_knows_of(
    make_behind: Make, proxy: Proxy, sql: SQL, server: str, new_schema: str
) -> None:
    """If the server cannot be asked, the error says: the write may be stored or not."""
    memory = make_behind(schema=new_schema, application_name=new_schema, patience=0)
    busy = f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{new_schema}' AND wait_event = 'advisory'"
    is_held = trio.Event()
    with trio.fail_after(SECONDS):
        await memory.append("s", [Message("user", "before")], version=0)

        async def break_commit() -> None:
            with commits_held(server, new_schema):
                is_held.set()
                while not sql(busy):  # the server itself is asked, and takes its time
                    await trio.lowlevel.checkpoint()
                proxy.refuse()
                proxy.cut()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(break_commit)
            await is_held.wait()
            with pytest.raises(BackendError, match="while a write was being stored") as caught:
                await memory.append("s", [Message("user", "perhaps")], version=1)
        proxy.accept()
        texts = await read_texts(memory)
        await memory.aclose()

    assert "may be stored or not" in caught.value.hint
    assert texts in (["before"], ["before", "perhaps"])


async def test_a_connection_that_stalls(make_behind: Make, proxy: Proxy, clock: JumpingClock) -> None:
    """A silent server ends in an error after the timeout, with nothing stored; afterwards everything works again."""
    memory = make_behind(timeout=60, patience=0)
    await memory.append("s", [Message("user", "0")], version=0)
    proxy.stall()

    async def hurry() -> None:
        while True:
            await trio.testing.wait_all_tasks_blocked(0.01)
            clock.jump(60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hurry)
        with pytest.raises(BackendError, match=r"did not answer within 60 seconds") as caught:
            await memory.append("s", [Message("user", "lost")], version=1)
        nursery.cancel_scope.cancel()
    proxy.cut()
    proxy.resume()
    await memory.append("s", [Message("user", "1")], version=1)
    texts = await read_texts(memory)
    await memory.aclose()

    assert "Nothing was stored." in caught.value.hint
    assert texts == ["0", "1"]


async def test_a_server_out_of_reach(make_behind: Make, proxy: Proxy) -> None:
    """Without a server, the first use fails at once with the place and a remedy; a later one waits for its return."""
    proxy.refuse()
    memory = make_behind(patience=3_600)
    with trio.fail_after(60), pytest.raises(BackendError, match=r"^postgresql://127\.0\.0\.1:\d+/") as caught:
        await memory.load("s")
    proxy.accept()
    await memory.load("s")
    proxy.refuse()
    proxy.cut()
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(append_all, memory, "s", 3)
            await trio.sleep(0.2)
            proxy.accept()
    texts = await read_texts(memory)
    await memory.aclose()

    assert caught.value.hint == "Check that the server runs, and that the URL has its host and port."
    assert texts == ["0", "1", "2"]


async def test_a_server_that_restarts_in_the_middle(make_memory: Make, own_server: Any) -> None:
    """A crash and restart of the server under ten writers: each append is stored once, and each writer goes on."""
    memory = make_memory(url=f"{own_server.url}?schema=restart", patience=80, timeout=20)
    with trio.fail_after(SECONDS):
        await memory.check_ready()
        done, is_warm, is_back = Counter[str](), trio.Event(), False

        async def write(session: str) -> None:
            while not is_back:  # however fast the writers are, each meets the restart
                at = done[session]
                await memory.append(session, [Message("user", str(at))], version=at)
                done[session] += 1
                if done.total() >= 60:
                    is_warm.set()

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(write, f"s{number}")
            await is_warm.wait()
            await trio.to_thread.run_sync(own_server.stop)
            await trio.to_thread.run_sync(own_server.start)
            is_back = True
        texts = [await read_texts(memory, f"s{number}") for number in range(10)]
        await memory.aclose()

    assert texts == [[str(at) for at in range(done[f"s{number}"])] for number in range(10)]


WRITER = """
import sys, trio
from agno_rt.messages import Message
from agno_rt_postgres.memory import PostgresMemory
from agno_rt_postgres.urls import parse_url

async def write(memory, session):
    for at in range(10_000):
        await memory.append(session, [Message("user", str(at))], version=at)
        print(session, at, flush=True)

async def main():
    memory = PostgresMemory(parse_url(sys.argv[1]))
    async with trio.open_nursery() as nursery:
        for session in "abcde":
            nursery.start_soon(write, memory, session)

trio.run(main)
"""


def kill_writer(url: str) -> dict[str, int]:
    """Start a writing process, kill the process, and return the last acknowledged number of each session."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told: dict[str, int] = {}
    for line in process.stdout:
        session, at = line.split()
        told[session] = int(at)
        if sum(told.values()) > 60:
            break
    process.kill()
    # The last line may be cut.
    for line in process.communicate()[0].splitlines()[:-1]:
        session, at = line.split()
        told[session] = int(at)
    return told


async def test_a_process_that_is_killed(make_memory: Make, url: str) -> None:
    """After kill -9, every acknowledged write is there, once and in order."""
    told = await trio.to_thread.run_sync(kill_writer, url)
    memory = make_memory()
    stored = {session: await read_texts(memory, session) for session in "abcde"}
    await memory.aclose()

    assert told.keys() == stored.keys()
    for session, texts in stored.items():
        assert texts == [str(at) for at in range(len(texts))]
        assert len(texts) > told[session]


async def test_two_processes_on_one_session(make_memory: Make) -> None:
    """Writers with retries after conflicts store every message once."""
    memories = [make_memory(), make_memory()]

    async def write(memory: PostgresMemory, name: str) -> None:
        for at in range(8):
            while True:
                version = (await memory.load("s", 0)).version
                with suppress(SessionConflict):
                    await memory.append("s", [Message("user", f"{name}{at}")], version=version)
                    break

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for number, memory in enumerate(memories * 2):
                nursery.start_soon(write, memory, "abcd"[number])
        session = await memories[0].load("s")
        for memory in memories:
            await memory.aclose()

    texts = [message.text for message in session.messages]
    assert (session.version, sorted(texts)) == (32, sorted(f"{name}{at}" for name in "abcd" for at in range(8)))
    assert [text for text in texts if text[0] == "a"] == [f"a{at}" for at in range(8)]


async def test_writes_that_are_cancelled(make_memory: Make) -> None:
    """A cancelled append has happened, and returned, or has not happened at all."""
    memory, returned = make_memory(pool=1), [0] * 30

    async def write(at: int) -> None:
        with trio.move_on_after(0.0005 * at):
            returned[at] = await memory.append(f"s{at}", [Message("user", "x")], version=0)

    with trio.fail_after(SECONDS):
        await memory.check_ready()
        async with trio.open_nursery() as nursery:
            for at in range(30):
                nursery.start_soon(write, at)
        stored = [(await memory.load(f"s{at}")).version for at in range(30)]
        await memory.aclose()

    assert stored == returned


async def test_one_that_fails_among_many(make_memory: Make, sql: SQL, new_schema: str) -> None:
    """Of many writes at once, a refused write fails alone, with the database's reason."""
    memory = make_memory(schema=new_schema)
    await memory.check_ready()
    sql(f"SET search_path = {new_schema}; ALTER TABLE sessions ADD CHECK (id <> 'refused')")
    errors: list[BackendError] = []

    async def write(session: str) -> None:
        try:
            await memory.append(session, [Message("user", "x")], version=0)
        except BackendError as exc:
            errors.append(exc)

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for session in (*(f"s{at}" for at in range(20)), "refused", *(f"t{at}" for at in range(20))):
                nursery.start_soon(write, session)
        stored = await memory.sessions()
        await memory.aclose()

    assert len(stored) == 40
    assert len(errors) == 1
    assert "23514" in errors[0].message
    assert errors[0].hint == "Nothing was stored."


@pytest.mark.parametrize("size", [7_998, 7_999, 8_000, 8_001, 20_000])
async def test_events_of_any_size_are_followed(make_memory: Make, size: int) -> None:
    """Events around the most bytes of a notification reach a follower in another process whole."""
    events = [b"x" * size, ("ü" * size).encode(), bytes(range(256)) * (size // 256)]
    owner, follower = make_memory(), make_memory()
    found: list[bytes] = []

    async def follow() -> None:
        while await follower.wait_events("r", after=len(found), seconds=SECONDS):
            found.extend(event for _, event in await follower.load_events("r", after=len(found)))

    with trio.fail_after(SECONDS):
        await owner.create_run(RunRecord("r", "agent", owner="me"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            for at, event in enumerate(events, 1):
                await owner.log_events("r", [event], first=at, owner="me")
            await owner.change_run("r", RunChange("completed"), owner="me")
        for memory in (owner, follower):
            await memory.aclose()

    assert found == events


async def test_a_follower_whose_connection_is_cut(make_memory: Make, make_behind: Make, proxy: Proxy) -> None:
    """Events during a cut of the follower's connections are not missed."""
    owner, follower = make_memory(), make_behind()
    found: list[bytes] = []

    async def follow() -> None:
        while await follower.wait_events("r", after=len(found), seconds=SECONDS):
            found.extend(event for _, event in await follower.load_events("r", after=len(found)))

    with trio.fail_after(SECONDS):
        await owner.create_run(RunRecord("r", "agent", owner="me"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            for at in range(12):
                if at == 3:
                    # A backend that has never connected takes a refusal for a wrong address.
                    while not found:  # noqa: ASYNC110 - the follower tells nobody
                        await trio.sleep(0.01)
                    proxy.refuse()
                    proxy.cut()
                if at == 9:
                    proxy.accept()
                await owner.log_events("r", [str(at).encode()], first=at + 1, owner="me")
            await owner.change_run("r", RunChange("completed"), owner="me")
        for memory in (owner, follower):
            await memory.aclose()

    assert found == [str(at).encode() for at in range(12)]


async def test_a_request_before_the_connection_listens(make_memory: Make) -> None:
    """A wait over a new connection ends at once, since a request may have come before; the next wait ends by news."""
    owner, other = make_memory(), make_memory()
    with trio.fail_after(SECONDS):
        await owner.create_run(RunRecord("r", "agent", owner="me"))
        await other.cancel_run("r")
        await owner.wait_requests(["r"], seconds=3_600)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: owner.wait_requests(["r"], seconds=3_600))
            await other.send_signal("r", "mail", b"1")
        for memory in (owner, other):
            await memory.aclose()


async def test_waiters_that_leave_together_leave_a_reader(make_memory: Make) -> None:
    """When the task that reads for all leaves together with others, one that stays reads on."""
    owner, waiter = make_memory(), make_memory()
    heard = trio.Event()

    async def wait(run: str) -> None:
        await waiter.wait_requests([run], seconds=3_600)
        heard.set()

    with trio.fail_after(SECONDS):
        for run in ("stays", "leaves"):
            await owner.create_run(RunRecord(run, "agent", owner="me"))
        await waiter.wait_requests(["stays"], seconds=3_600)  # until the connection listens
        async with trio.open_nursery() as staying:
            async with trio.open_nursery() as leaving:
                for _ in range(20):
                    leaving.start_soon(wait, "leaves")
                await trio.testing.wait_all_tasks_blocked()
                staying.start_soon(wait, "stays")
                await trio.testing.wait_all_tasks_blocked()
                leaving.cancel_scope.cancel()
            await owner.cancel_run("stays")
        assert heard.is_set()
        for memory in (owner, waiter):
            await memory.aclose()


@pytest.mark.parametrize("ask", ["cancel", "signal"])
async def test_requests_to_a_run_are_told(make_memory: Make, ask: str) -> None:
    """A process is told of a cancellation or a signal from another process."""
    owner, other = make_memory(), make_memory()
    with trio.fail_after(SECONDS):
        for run in ("r", "s"):
            await owner.create_run(RunRecord(run, "agent", owner="me"))
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                while not (await owner.cancels(["r", "s"]) or await owner.count_signals(["r", "s"])):
                    await owner.wait_requests(["r", "s"], seconds=3_600)
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.05)
            if ask == "cancel":
                await other.cancel_run("s")
            else:
                await other.send_signal("s", "mail", b"1")
            await trio.sleep_forever()
        for memory in (owner, other):
            await memory.aclose()


async def test_a_run_is_cancelled_from_another_process(make_memory: Make, url: str) -> None:
    """A run under way in a runtime is cancelled by another backend on the same tables."""
    begun = trio.Event()

    @tool
    async def wait() -> str:
        """Wait for ever."""
        begun.set()
        await trio.sleep_forever()
        return ""

    agent = Agent(
        ScriptedModel([ToolCall("c", "wait", "{}")]), "agent", tools=[wait], memory=MemoryPolicy(journal=True)
    )
    other = make_memory()
    with trio.fail_after(SECONDS):
        async with Runtime(memory=url) as rt:
            run = await rt.start(agent, "go")
            await begun.wait()
            await other.cancel_run(run.id)
            await run.wait()
            status = (await other.load_run(run.id))[0].status
        await other.aclose()

    assert status == "cancelled"
