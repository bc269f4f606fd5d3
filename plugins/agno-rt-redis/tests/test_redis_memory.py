"""The memory in a Redis server: URLs, times to live, texts and messages of every kind and size, and checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_redis import make_memory
from agno_rt_redis.address import read_url
from agno_rt_redis.packing import pack

from agno_rt import Agent, Message, Runtime, ToolCall, tool
from agno_rt.cli.checkup import examine
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import BackendError, UsageError
from agno_rt.memory import DamagedWarning, MemoryPolicy
from agno_rt.plugins import PluginHost
from agno_rt.run_store import Entry, RequestStore, RunChange, RunRecord
from agno_rt.testing import ScriptedModel

ME = "owner"
HI = [Message("user", "hi")]
# NUL, controls, and letters of each of Unicode's planes that has any.
EVERY_PLANE = "\0\x01\x7f é Ж 한 \ud7ff \ue000 \uffff 👋 \U00020000 \U00030000 \U000e0100 \U000f0000 \U0010ffff"


def test_reads_urls() -> None:
    """A URL has host, port, database, user, password and options; the password is not shown."""
    address = read_url(
        "rediss://ann:p%40ss@[::1]:7000/3?prefix=shop&timeout=2.5&connections=2&sessions_older_than=30d&keep=7"
    )
    assert (address.host, address.port, address.db, address.username, address.password) == (
        "::1",
        7000,
        3,
        "ann",
        "p@ss",
    )
    assert (address.tls, address.prefix, address.timeout, address.connections) == (True, "shop", 2.5, 2)
    assert (address.sessions_older_than, address.keep, address.older_than) == (2_592_000.0, 7, None)
    assert str(address) == "rediss://[::1]:7000/3"
    assert "p@ss" not in repr(address)
    assert read_url("redis://cache.example").port == 6379


@pytest.mark.parametrize(
    "url",
    [
        "redis:",
        "redis://",
        "redis://h:port",
        "redis://h/db",
        "redis://:hush@h?tiemout=2",
        "redis://h?timeout=0",
        "redis://h?timeout=x",
        "redis://h?timeout=inf",
        "redis://h?keep=-1",
        "redis://h?connections=0",
        "redis://h?sessions_older_than=soon",
        "redis://h?prefix=",
        "redis://h?prefix=a{b}",
        "redis://h?prefix=a%20b",
    ],
)
def test_refuses_urls(url: str) -> None:
    """An unusable URL is refused with a hint, and without the password."""
    with pytest.raises(UsageError) as caught:
        make_memory(url)
    assert caught.value.hint
    assert "hush" not in caught.value.full_text


def test_is_a_plugin(redis_url: str) -> None:
    """The plugin host makes the memory of a URL."""
    memory = PluginHost().memory(redis_url, {})
    assert str(memory.address) in redis_url


def test_packs_what_scripts_take() -> None:
    """Values are packed as Redis's Lua reads them; other values are refused."""
    assert pack({"a": b"x", "b": True, "c": -1}).startswith(b"\xdf\x00\x00\x00\x03\xa1a\xa1x\xa1b\xc3\xa1c\xd3")
    with pytest.raises(TypeError):
        pack({"a": object()})


async def test_texts_of_every_plane(redis_url: str) -> None:
    """NUL and letters of every plane come back alike from Redis and from memory, wherever text may be."""
    stored = []
    for memory in (make_memory(redis_url), InProcessMemory()):
        await memory.append("s", [Message("user", EVERY_PLANE), Message("tool", EVERY_PLANE, (), "c")], version=0)
        await memory.create_run(RunRecord("r", "agent", input=EVERY_PLANE, owner=ME), [Entry(0, "begun", b"\0\xff")])
        await memory.send_signal("r", "한 👋", EVERY_PLANE.encode())
        await memory.change_run("r", RunChange("failed", EVERY_PLANE, EVERY_PLANE, "code"), owner=ME)
        await memory.cache(EVERY_PLANE, EVERY_PLANE.encode())
        record, entries = await memory.load_run("r")
        signals = [(each.name, each.value) for each in await memory.signals("r")]
        info = await memory.session_info("s")
        assert info is not None
        texts = record.input, record.content, record.error, info.title
        stored.append((list((await memory.load("s")).messages), texts, entries, signals))
        assert await memory.cached(EVERY_PLANE) == EVERY_PLANE.encode()
        await memory.aclose()
    assert stored[0] == stored[1]


async def test_a_tool_that_returns_nul(redis_url: str) -> None:
    """A run with a tool that returns NUL completes, and the next run of the session sees the NUL."""

    @tool
    def read() -> str:
        """Read the file."""
        return EVERY_PLANE

    model = ScriptedModel([ToolCall("c1", "read", "{}"), "read", "again"])
    agent = Agent(model, name="reader", tools=[read], memory=MemoryPolicy(journal=True))
    async with Runtime(memory=redis_url) as runtime:
        await runtime.run(agent, f"Read. {EVERY_PLANE}", session="s")
    async with Runtime(memory=redis_url) as runtime:
        await runtime.run(agent, "Again.", session="s")
    told = [message.text for message in model.requests[-1].messages]
    assert EVERY_PLANE in told
    assert f"Read. {EVERY_PLANE}" in told


async def test_half_a_surrogate_is_refused(redis_url: str) -> None:
    """Text that is not Unicode is refused by a `BackendError`, and the memory works on."""
    memory = make_memory(redis_url)
    with pytest.raises(BackendError, match="surrogates"):
        await memory.append("s", [Message("user", "\ud800")], version=0)
    with pytest.raises(BackendError, match="surrogates"):
        await memory.load("\ud800")
    assert await memory.append("s", HI, version=0) == 1
    await memory.aclose()


async def test_sessions_have_their_time(redis_url: str) -> None:
    """With `sessions_older_than`, a later write forgets older sessions, in all lists, but no session in use."""
    forever, brief = make_memory(redis_url), make_memory(f"{redis_url}&sessions_older_than=0.2s")
    await forever.append("old", HI, version=0, user="ann")
    await trio.sleep(0.3)
    await forever.append("new", HI, version=0, user="ann")
    assert len(await forever.sessions(user="ann")) == 2
    await forever.append("used", HI, version=0, user="ann")
    await forever.create_run(RunRecord("r", "agent", "paused", "used"))
    await trio.sleep(0.3)
    await brief.append("new", HI, version=1, user="ann")
    assert [info.id for info in await brief.sessions(user="ann")] == ["new", "used"]
    assert (await brief.load("old")).version == 0
    await forever.aclose()
    await brief.aclose()


async def test_runs_have_their_time(redis_url: str) -> None:
    """With `keep`, the end of a run forgets older finished runs."""
    memory = make_memory(f"{redis_url}&keep=1")
    for run in ("a", "b", "waits"):
        await memory.create_run(RunRecord(run, "agent", owner=ME))
    for run, status in (("waits", "paused"), ("a", "completed")):
        await memory.change_run(run, RunChange(status), owner=ME)  # type: ignore[arg-type]
    memory._prune_at = 0.0
    await memory.change_run("b", RunChange("completed"), owner=ME)
    assert [run.id for run in await memory.runs()] == ["b", "waits"]
    await memory.aclose()


async def test_a_page_of_runs_reads_as_much_at_any_depth(own_server: Any) -> None:
    """A page looks at its own runs, however many runs are before it."""
    memory, count, limit = make_memory(own_server.url), 1_500, 20
    for number in range(count):
        record = RunRecord(f"r{number:04}", "agent", "completed", created_at=1.0, updated_at=1000.0 + number)
        await memory.create_run(record)
    call = memory._link().call
    looks = []
    for at in (count - 1, 300):
        await call(b"CONFIG", b"RESETSTAT")
        found = await memory.runs(before=(1000.0 + at, f"r{at:04}"), limit=limit)
        assert [run.id for run in found] == [f"r{number:04}" for number in range(at - 1, at - 1 - limit, -1)]
        statistics = (await call(b"INFO", b"commandstats")).decode().splitlines()
        [line] = [each for each in statistics if each.startswith("cmdstat_hmget:")]
        looks.append(int(line.partition("calls=")[2].partition(",")[0]))
    await memory.aclose()

    assert looks == [limit + 1] * 2


async def test_runs_in_indexes_of_counts(redis_url: str) -> None:
    """Runs that were stored when the indexes had counts of changes are on one page each, after the others."""
    memory = make_memory(redis_url)
    for at, run in enumerate("abcd"):
        record = RunRecord(run, "agent", "failed", session="s", user="ann", created_at=1.0, updated_at=1e9 + at)
        await memory.create_run(record)
    key, call = memory._prefix, memory._link().call
    for index in (b"R:", b"Ru:ann", b"Rs:s", b"Rt:failed"):
        await call(b"ZADD", key + index, b"7", b"a", b"8", b"b", b"9", b"c")
    seen: list[RunRecord] = []
    while page := await memory.runs(user="ann", limit=1, before=(seen[-1].updated_at, seen[-1].id) if seen else None):
        seen += page
    await memory.claim_run("a", ME, held_by=None)
    after = await memory.runs()
    forgotten = await memory.prune_runs(keep=1)
    await memory.aclose()

    assert [run.id for run in seen] == ["d", "c", "b", "a"]
    assert [run.id for run in after] == ["a", "d", "c", "b"]
    assert forgotten == ["c", "b"]


async def test_a_damaged_item(redis_url: str) -> None:
    """A damaged item raises an error with the item's name, is left out of lists with a warning, and hides no other."""
    memory = make_memory(redis_url)
    for name in ("good", "bad"):
        await memory.append(name, HI, version=0)
        await memory.create_run(RunRecord(name, "agent", owner=ME), [Entry(0, "begun")])
    key, call = memory._prefix, memory._link().call
    await call(b"HSET", key + b"s:bad", b"first", b"\xff")
    await call(b"RPUSH", key + b"m:bad", b"{")
    await call(b"HSET", key + b"r:bad", b"status", b"running", b"input", b"\xff", b"updated", b"?")
    with pytest.raises(BackendError, match="session 'bad'") as caught:
        await memory.load("bad")
    assert "backup" in caught.value.hint
    with pytest.raises(BackendError, match="run 'bad'"):
        await memory.load_run("bad")
    with pytest.warns(DamagedWarning, match="session 'bad'"):
        assert [info.id for info in await memory.sessions()] == ["good"]
    with pytest.warns(DamagedWarning, match="run 'bad'"):
        assert [run.id for run in await memory.runs()] == ["good"]
    with pytest.warns(DamagedWarning, match="run 'bad'"):
        assert [run.id for run in await memory.runs(before=(1e12, ""))] == ["good"]
    assert await memory.delete("bad")
    assert await memory.delete_run("bad")
    await memory.aclose()


async def test_keys_of_a_newer_version(redis_url: str) -> None:
    """Keys that a newer version of the plugin has laid out differently are not touched."""
    memory = make_memory(redis_url)
    await memory.append("s", HI, version=0)
    await memory._link().call(b"SET", memory._prefix + b"v", b"99")
    await memory.aclose()
    for call in (memory.load("s"), memory.append("s", HI, version=1)):
        with pytest.raises(BackendError, match="newer") as caught:
            await call
        assert "Upgrade" in caught.value.hint
    await memory.aclose()


async def test_lists_read_their_own_index(redis_url: str) -> None:
    """Lists of one user stay whole and small among many sessions and runs of others."""
    memory = make_memory(redis_url)

    async def add(at: int) -> None:
        user = "ann" if at % 100 == 0 else f"user {at}"
        await memory.append(f"s{at}", HI, version=0, user=user)
        await memory.create_run(RunRecord(f"r{at}", "agent", user=user))

    for first in range(0, 300, 100):
        await add(first)
        async with trio.open_nursery() as nursery:
            for at in range(first + 1, first + 100):
                nursery.start_soon(add, at)
    assert [info.id for info in await memory.sessions(user="ann")] == ["s200", "s100", "s0"]
    assert [run.id for run in await memory.runs(user="ann", status="running")] == ["r200", "r100", "r0"]
    found = await memory.sessions(query="HI", limit=250)
    assert len({info.id for info in found}) == 250
    await memory.aclose()


async def test_two_trio_runs_use_a_memory(redis_url: str) -> None:
    """A memory left open in a trio run connects anew in the next."""
    memory = make_memory(redis_url)

    def other() -> None:
        async def main() -> None:
            assert await memory.append("s", HI, version=0) == 1
            assert await memory.lock_session("s", wait=False)

        trio.run(main)

    await trio.to_thread.run_sync(other)
    assert (await memory.load("s")).total == 1
    await memory.aclose()


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ((), "appendonly, fsync always"),
        (("--appendonly", "no"), "keeps nothing on disk"),
        (("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "may evict keys"),
        (("--appendonly", "no", "--save", "60 1"), "snapshots"),
    ],
)
def test_checks_the_server(own_server: Any, options: tuple[str, ...], finding: str) -> None:
    """The check tells how the server keeps writes, or how writes may be lost."""

    async def main() -> None:
        memory = make_memory(own_server.url)
        if finding in ("keeps nothing on disk", "may evict keys"):
            with pytest.raises(BackendError, match=finding) as caught:
                await memory.check_ready()
            assert caught.value.hint
        else:
            assert finding in await memory.check_ready()
        await memory.aclose()

    if options:
        own_server.end()
        own_server.start(*options)
    trio.run(main)


def test_doctor_checks_the_server(own_server: Any, tmp_path: Path) -> None:
    """`agno-rt doctor` tells how a good server keeps its data, and shows no password."""
    own_server.end()
    own_server.start("--requirepass", "hush")
    file = tmp_path / "agno-rt.toml"
    file.write_text(f'[runtime]\nmemory = "{own_server.url.replace("//", "//:hush@")}"\n')
    (line,) = [line for line in examine(str(file)) if line.about == "memory"]
    assert line.status == "ok"
    assert "appendonly" in line.message
    file.write_text(f'[runtime]\nmemory = "{own_server.url.replace("//", "//ann:hush@")}"\n')
    (line,) = [line for line in examine(str(file)) if line.about == "memory"]
    assert line.status == "error"
    assert "hush" not in line.message + line.hint


def test_a_wrong_password(own_server: Any) -> None:
    """A wrong or missing password is told at once, with a hint; the right one works."""

    async def main() -> None:
        for url in (own_server.url, own_server.url.replace("//", "//:wrong@")):
            memory = make_memory(url)
            with pytest.raises(BackendError, match=own_server.url) as caught:
                await memory.load("s")
            assert "password" in caught.value.hint
            await memory.aclose()
        memory = make_memory(own_server.url.replace("//", "//:right@"))
        assert await memory.append("s", HI, version=0) == 1
        await memory.aclose()

    own_server.end()
    own_server.start("--requirepass", "right")
    trio.run(main)


def test_a_server_without_room(own_server: Any) -> None:
    """A full server refuses a write with a hint, and nothing is stored."""

    async def main() -> None:
        memory = make_memory(own_server.url)
        await memory.append("s", HI, version=0)
        await memory._link().call(b"CONFIG", b"SET", b"maxmemory", b"1mb")
        with pytest.raises(BackendError, match="OOM") as caught:
            await memory.append("s", HI, version=1)
        assert "maxmemory" in caught.value.hint
        await memory._link().call(b"CONFIG", b"SET", b"maxmemory", b"0")
        assert await memory.append("s", HI, version=1) == 2
        assert memory.statistics()[0].in_use == 0
        await memory.aclose()

    trio.run(main)


async def test_so_many_sessions_are_kept(redis_url: str) -> None:
    """With `sessions_keep`, the end of a run forgets the sessions beyond the number."""
    memory = make_memory(f"{redis_url}&sessions_keep=1")
    for session in ("old", "new"):
        await memory.append(session, HI, version=0)
    await memory.create_run(RunRecord("r", "agent", owner=ME))
    await memory.change_run("r", RunChange("completed"), owner=ME)
    assert [info.id for info in await memory.sessions()] == ["new"]
    await memory.aclose()


@pytest.mark.parametrize("ask", ["cancel", "signal"])
async def test_requests_to_a_run_are_told(redis_url: str, ask: str) -> None:
    """A process is told of a cancellation or a signal from another process, and of no other run's."""
    owner, other = make_memory(redis_url), make_memory(redis_url)
    assert isinstance(owner, RequestStore)
    with trio.fail_after(60):
        for run in ("r", "s"):
            await owner.create_run(RunRecord(run, "agent", owner=ME))
        await owner.wait_requests(["r"], seconds=3_600)  # until the server sends the messages
        # A request between two waits ends the next wait.
        for _ in range(2):
            await (other.cancel_run("r") if ask == "cancel" else other.send_signal("r", "mail", b"1"))
            await owner.wait_requests(["r"], seconds=3_600)
        with trio.move_on_after(0.2) as scope:
            await other.cancel_run("r")
            await owner.wait_requests(["s"], seconds=3_600)
        assert scope.cancelled_caught
    await owner.aclose()
    await other.aclose()
