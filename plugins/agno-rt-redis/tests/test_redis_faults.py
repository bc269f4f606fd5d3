"""A Redis server may be slow, cut off, restarted or killed: nothing acknowledged is lost, and nothing is done twice."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import trio
from agno_rt_redis import make_memory
from agno_rt_redis.memory import RedisMemory

from agno_rt import Agent, Message, Runtime, ToolCall, tool
from agno_rt.errors import BackendError, SessionConflict
from agno_rt.memory import MemoryPolicy
from agno_rt.run_store import Decision, RunChange, RunRecord
from agno_rt.testing import ScriptedModel, open_proxy
from agno_rt.testing.contracts import MemoryContract, RunContract

ME = "owner"
HI = [Message("user", "hi")]


@contextmanager
def memory_through_proxy(url: str, *, timeout: float = 5.0) -> Iterator[tuple[Any, RedisMemory]]:
    """Return a proxy to the server of the URL, and a memory behind the proxy."""
    memory = make_memory(url)
    with open_proxy(memory.address.host, memory.address.port) as proxy:
        prefix = memory.address.prefix
        yield proxy, make_memory(f"redis://127.0.0.1:{proxy.port}/0?prefix={prefix}&timeout={timeout}")


class TestThroughProxy(MemoryContract, RunContract):
    """A server that cannot be reached, or does not answer, keeps the contracts for failing stores."""

    proxy: Any
    url: str

    @pytest.fixture(autouse=True)
    def _a_proxy(self, redis_url: str) -> Iterator[None]:
        address = make_memory(redis_url).address
        with open_proxy(address.host, address.port) as self.proxy:
            self.url = f"redis://127.0.0.1:{self.proxy.port}/0?prefix={address.prefix}&timeout=5"
            yield

    def make_memory(self) -> RedisMemory:
        """Make a memory behind the proxy."""
        return make_memory(self.url)

    def make_faults(self) -> list[AbstractContextManager[object]]:
        """Return a refusing server."""
        return [self._refused()]

    @contextmanager
    def _refused(self) -> Iterator[None]:
        self.proxy.refuse()
        self.proxy.cut()
        yield
        self.proxy.accept()


# Only the tests of failing stores: the others are in test_redis_contracts.py.
for _name in [name for name in dir(TestThroughProxy) if name.startswith("test_") and "store_that_fails" not in name]:
    setattr(TestThroughProxy, _name, None)


async def test_a_write_whose_answer_is_lost_is_done_once(redis_url: str) -> None:
    """Each write is sent again after the loss of a connection, and has the effect and the answer of a single write."""
    with memory_through_proxy(redis_url) as (proxy, memory):
        await memory.create_run(RunRecord("r", "agent", owner=ME))
        await memory.create_run(RunRecord("waits", "agent", "paused"))
        tea = await memory.remember("ann", "Ann drinks tea.")
        await memory.append("old", HI, version=0)
        await memory.cache("key", b"x")
        one = [Message("user", "one")]
        writes: list[tuple[Callable[[], Awaitable[object]], object]] = [
            (lambda: memory.append("s", one, version=0), 1),
            (lambda: memory.append("s", one, version=1), 2),
            (lambda: memory.rename("s", "title"), True),
            (lambda: memory.delete("old"), True),
            (lambda: memory.create_run(RunRecord("new", "agent")), None),
            (lambda: memory.send_signal("r", "mail", b"1"), "running"),
            (lambda: memory.log_events("r", [b"event"], first=1, owner=ME), None),
            (lambda: memory.change_run("r", RunChange("paused"), owner=ME), None),
            (lambda: memory.delete_run("waits"), True),
            (lambda: memory.forget("ann", tea.id), 1),
            (lambda: memory.uncache("key"), 1),
        ]
        for write, answer in writes:
            proxy.lose_reply()
            assert await write() == answer
        proxy.lose_reply()
        assert (await memory.claim_run("r", "other", held_by=None)).owner == "other"
        assert (await memory.load("s")).total == 2
        assert [each.name for each in await memory.signals("r")] == ["mail"]
        assert await memory.load_events("r") == [(1, b"event")]
        await memory.aclose()


async def test_connections_that_the_server_ends(own_server: Any) -> None:
    """After the server ends all idle connections, the next append passes, ten more do, and none is stored twice."""
    memory, other = make_memory(own_server.url), make_memory(own_server.url)
    version = await memory.append("s", HI, version=0)
    assert await other.load("s")
    for _ in range(3):
        await other._link().call(b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"yes")
        for _ in range(10):
            version = await memory.append("s", HI, version=version)
    assert ((await memory.load("s")).total, version) == (31, 31)
    await memory.aclose()
    await other.aclose()


async def test_a_connection_that_is_cut_again_and_again(redis_url: str) -> None:
    """Appends of many tasks go on while their connections are cut and reset, and each is stored once."""
    with memory_through_proxy(redis_url) as (proxy, memory):
        done = 0

        async def write(name: str) -> None:
            nonlocal done
            for version in range(15):
                assert await memory.append(name, [Message("user", f"{name} {version}")], version=version) == version + 1
                done += 1

        async def cut() -> None:
            for at in range(8):
                before = done
                while done < min(before + 8, 140):
                    await trio.lowlevel.checkpoint()
                proxy.cut(reset=at % 2 == 1)

        async with trio.open_nursery() as nursery:
            for at in range(10):
                nursery.start_soon(write, f"s{at}")
            nursery.start_soon(cut)
        for at in range(10):
            session = await memory.load(f"s{at}")
            assert [message.text for message in session.messages] == [f"s{at} {version}" for version in range(15)]
        await memory.aclose()


async def test_a_server_that_does_not_answer(redis_url: str) -> None:
    """A stalled connection ends a call in its time with a clear error; afterwards the memory works on."""
    # The calls that are answered have this time, too, on a machine with other work.
    with memory_through_proxy(redis_url, timeout=3.0) as (proxy, memory):
        version = await memory.append("s", HI, version=0)
        proxy.stall()
        with trio.fail_after(60):
            for call in (memory.load("s"), memory.append("s", HI, version=version)):
                with pytest.raises(BackendError, match=r"no answer|connect") as caught:
                    await call
                assert "timeout=" in caught.value.hint
                assert not isinstance(caught.value, SessionConflict)
            # A read is given up at once.
            with trio.move_on_after(0.05) as scope:
                await memory.load("s")
            assert scope.cancelled_caught
        proxy.resume()
        session = await memory.load("s")
        # The stalled append may be stored or not, but not twice.
        assert session.total in (1, 2)
        assert await memory.append("s", HI, version=session.version) == session.version + 1
        await memory.aclose()


async def test_one_connection_stalls(redis_url: str) -> None:
    """A call over a stalled connection gets an answer over another connection."""
    with memory_through_proxy(redis_url, timeout=10.0) as (proxy, memory):
        version = await memory.append("s", HI, version=0)
        proxy.stall()

        async def resume() -> None:
            while proxy.accepted < 2:
                await trio.lowlevel.checkpoint()
            proxy.resume()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(resume)
            assert await memory.append("s", HI, version=version) == 2
        assert (await memory.load("s")).total == 2
        await memory.aclose()


def test_no_server_at_all() -> None:
    """Without a server, an error names the address, without the password, and says how to go on."""

    async def main() -> None:
        memory = make_memory("redis://:hush@127.0.0.1:1/0?timeout=2")
        with pytest.raises(BackendError, match=r"redis://127\.0\.0\.1:1/0") as caught:
            await memory.append("s", HI, version=0)
        assert "hush" not in caught.value.full_text
        assert "server runs" in caught.value.hint
        with pytest.raises(BackendError):
            await memory.check_ready()
        await memory.aclose()

    trio.run(main)


async def test_a_restart_in_the_middle_of_a_run(own_server: Any) -> None:
    """A run whose server is restarted while a tool works goes on, and stores each step once."""
    calls = 0

    @tool
    async def restart(times: int) -> str:
        """Restart the server."""
        nonlocal calls
        calls += 1
        await trio.to_thread.run_sync(lambda: (own_server.end(), own_server.start()))
        return "done"

    model = ScriptedModel([ToolCall("c1", "restart", '{"times": 1}'), "It is back."])
    agent = Agent(model, name="ops", tools=[restart], memory=MemoryPolicy(journal=True))
    async with Runtime(memory=make_memory(f"{own_server.url}?timeout=60")) as runtime:
        result = await runtime.run(agent, "Restart it.", session="s")
        assert (result.content, calls) == ("It is back.", 1)
        assert (await runtime.memory.load("s")).total == 4


async def test_what_was_acknowledged_outlives_a_kill(own_server: Any) -> None:
    """After kill -9 of a server with appendfsync always, every acknowledged append is stored, and none twice."""
    memory = make_memory(f"{own_server.url}?timeout=60")
    acknowledged = dict.fromkeys([f"s{at}" for at in range(20)], 0)
    is_back = False

    async def write(name: str) -> None:
        while not is_back:
            version = acknowledged[name]
            acknowledged[name] = await memory.append(name, [Message("user", str(version))], version=version)

    async with trio.open_nursery() as nursery:
        for name in acknowledged:
            nursery.start_soon(write, name)
        while sum(acknowledged.values()) < 200:
            await trio.lowlevel.checkpoint()
        own_server.end(signal.SIGKILL)
        await trio.to_thread.run_sync(own_server.start)
        is_back = True
    for name, version in acknowledged.items():
        session = await memory.load(name)
        assert session.version == version
        assert [message.text for message in session.messages] == [str(at) for at in range(session.version)]
    await memory.aclose()


async def test_a_server_that_loads_its_data(own_server: Any) -> None:
    """A run's writes wait for a server that comes back in time."""
    memory = make_memory(f"{own_server.url}?timeout=60")
    await memory.create_run(RunRecord("r", "agent", owner=ME))
    own_server.end(signal.SIGKILL)

    async def write() -> None:
        await memory.send_signal("r", "mail", b"1")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.to_thread.run_sync(own_server.start)
    assert len(await memory.signals("r")) == 1
    await memory.aclose()


async def test_followers_of_a_run_whose_connection_is_cut(redis_url: str) -> None:
    """A follower misses no event of a run when its connection is lost meanwhile."""
    writer = make_memory(redis_url)
    await writer.create_run(RunRecord("r", "agent", owner=ME))
    with memory_through_proxy(redis_url) as (proxy, memory):
        seen: list[bytes] = []

        async def follow() -> None:
            while await memory.wait_events("r", after=len(seen), seconds=60):
                seen.extend(event for _, event in await memory.load_events("r", after=len(seen)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            for number in range(1, 31):
                await writer.log_events("r", [b"%d" % number], first=number, owner=ME)
                if number in (10, 20):
                    proxy.cut(reset=number == 20)
            await writer.change_run("r", RunChange("completed"), owner=ME)
        assert seen == [b"%d" % number for number in range(1, 31)]
        await memory.aclose()
    await writer.aclose()


async def test_a_wait_that_is_cancelled_leaves_nothing(own_server: Any) -> None:
    """Cancelled waits leave no subscription, and no connection for each of them."""
    memory = make_memory(own_server.url)
    await memory.create_run(RunRecord("r", "agent", owner=ME))
    link = memory._link()
    for _ in range(20):
        with trio.move_on_after(0.005):
            await memory.wait_events("r", after=0, seconds=60)
    with trio.fail_after(60):
        while await link.call(b"PUBSUB", b"CHANNELS"):
            await trio.lowlevel.checkpoint()
        while len((await link.call(b"CLIENT", b"LIST")).splitlines()) > 3:
            await trio.lowlevel.checkpoint()
    await memory.aclose()
    other = make_memory(own_server.url)
    with trio.fail_after(60):
        while len((await other._link().call(b"CLIENT", b"LIST")).splitlines()) > 1:
            await trio.lowlevel.checkpoint()
    await other.aclose()


async def test_cancelled_writes_are_whole(redis_url: str) -> None:
    """A write cancelled at any time is stored whole or not at all, and a completed decision is not lost."""
    memory = make_memory(redis_url)
    version = 0
    for at in range(60):
        with trio.move_on_after(at * 0.00002):
            await memory.append("s", HI * 2, version=version, data=b"%d" % at)
        session = await memory.load("s")
        assert session.version in (version, version + 1)
        assert session.total == 2 * session.version
        version = session.version
    await memory.aclose()
    assert Decision("approved").status == "approved"


async def test_waits_for_requests_end(own_server: Any) -> None:
    """A wait ends after its seconds, and when the server ends the connection, since a message may be lost."""
    memory = make_memory(own_server.url)
    with trio.fail_after(60):
        await memory.wait_requests(["r"], seconds=3_600)  # until the server sends the messages
        await memory.wait_requests(["r"], seconds=0.01)
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                await memory.wait_requests(["r"], seconds=3_600)
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.05)
            await memory._link().call(b"CLIENT", b"KILL", b"TYPE", b"pubsub")
            await trio.sleep_forever()
        await memory.wait_requests(["r"], seconds=3_600)  # connected again
    await memory.aclose()
