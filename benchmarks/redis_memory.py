"""Durable sessions in a Redis server: appends a second, a hundred at once, beside the bare driver."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import msgspec
import trio

from agno_rt import Message

from .common import few, measured_in
from .sqlite import MESSAGES, TASKS, measure_rate

TIMES, ROUNDS = 30, few(4)
LONG = few(100_000, 1_000)


def start_server(files: ExitStack, fsync: str) -> int:
    """Start a server that appends to its file, `fsync` as in Redis's configuration, and return its port."""
    program = shutil.which("redis-server")
    if program is None or find_spec("agno_rt_redis") is None:
        raise NotImplementedError("not here: redis-server, or the plugin agno-rt-redis")
    folder = files.enter_context(tempfile.TemporaryDirectory())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    options = ("--port", str(port), "--dir", folder, "--save", "", "--appendonly", "yes", "--appendfsync", fsync)
    server = subprocess.Popen((program, *options), stdout=subprocess.DEVNULL)
    files.callback(server.wait)
    files.callback(server.kill)
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return port
    raise TimeoutError("the Redis server did not start")


async def _append_all(port: int) -> float:
    from agno_rt_redis import make_memory

    memory, best = make_memory(f"redis://127.0.0.1:{port}/0?prefix={secrets.token_hex(4)}"), 0.0
    for round_ in range(ROUNDS):

        async def one(number: int, turn: int, round_: int = round_) -> None:
            await memory.append(f"session {number}", MESSAGES, version=round_ * TIMES + turn)

        best = max(best, await measure_rate(one, TIMES))
    for number in range(TASKS):
        assert (await memory.load(f"session {number}", 0)).version == TIMES * ROUNDS, "an append was lost"
    await memory.aclose()
    return best


async def _push_all(port: int) -> float:
    import coredis

    best, bodies = 0.0, [msgspec.json.encode(message) for message in MESSAGES]
    client: Any = coredis.Redis(host="127.0.0.1", port=port)
    async with client:

        async def one(number: int, turn: int) -> None:
            await client.rpush(f"list {number}", bodies)

        for _ in range(ROUNDS):
            best = max(best, await measure_rate(one, TIMES))
    return best


class Appends:
    """A hundred sessions, each appended to by a task of its own, with the server's `appendfsync` as named."""

    params = ("always", "everysec")
    param_names = ("appendfsync",)
    timeout = 300

    def setup(self, fsync: str) -> None:
        """Start the server."""
        self.files = ExitStack()
        self.port = start_server(self.files, fsync)

    def teardown(self, fsync: str) -> None:
        """End the server."""
        self.files.close()

    @measured_in("appends/s")
    def track_appends_a_second(self, fsync: str) -> float:
        """Appends of two messages: the best of several rounds; none is lost."""
        return trio.run(_append_all, self.port)

    @measured_in("times")
    def track_times_of_the_bare_driver(self, fsync: str) -> float:
        """The time of an append in times of the driver's own `RPUSH` of the same two messages."""
        return trio.run(_push_all, self.port) / trio.run(_append_all, self.port)


class LongSession:
    """A session of 100,000 messages."""

    timeout = 300

    def setup(self) -> None:
        """Start the server."""
        self.files = ExitStack()
        self.port = start_server(self.files, "everysec")

    def teardown(self) -> None:
        """End the server."""
        self.files.close()

    @measured_in("ms")
    def track_milliseconds_to_load_the_last_100(self) -> float:
        """The best of twenty loads."""
        return trio.run(_load_last, self.port)


async def _load_last(port: int) -> float:
    from agno_rt_redis import make_memory

    memory = make_memory(f"redis://127.0.0.1:{port}/0")
    for version in range(20):
        await memory.append("long", [Message("user", f"message {at}") for at in range(LONG // 20)], version=version)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        assert len((await memory.load("long", 100)).messages) == 100
        best = min(best, time.perf_counter() - start)
    await memory.aclose()
    return 1000 * best
