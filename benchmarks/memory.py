"""Memory backends: appending and loading must not depend on the number of stored messages."""

from __future__ import annotations

from contextlib import ExitStack

import trio

from agno_rt import Message, Runtime
from agno_rt.defaults.memory import InProcessMemory

from .common import Times, in_runtime, measured_in, past, seconds, sizes, sqlite_url

MESSAGE = (Message("user", "hello"),)


class Append:
    """One message appended to a session in memory with many messages."""

    params = sizes(10, 100, 100_000)
    param_names = ("messages",)

    def setup(self, messages: int) -> None:
        """Fill the session."""
        self.memory = InProcessMemory()
        self.version = trio.run(self._fill, messages)

    async def _fill(self, messages: int) -> int:
        return await self.memory.append("session", MESSAGE * messages, version=0)

    async def _append(self, times: int) -> None:
        for _ in range(times):
            self.version = await self.memory.append("session", MESSAGE, version=self.version)

    def time_1000_appends(self, messages: int) -> None:
        """A thousand appends. Nothing in them waits, so the coroutine is driven by hand, without trio."""
        try:
            self._append(1000).send(None)
        except StopIteration:
            return
        raise AssertionError("the in-process backend waited")


class Backend:
    """A session with many messages, in a backend as a runtime opens it; SQLite waits for the disk."""

    params = (("memory:", "sqlite"), sizes(10, 100, 100_000))
    param_names = ("memory", "messages")

    def setup(self, memory: str, messages: int) -> None:
        """Make the file, if any."""
        self.files = ExitStack()
        self.url = self.files.enter_context(sqlite_url()) if memory == "sqlite" else memory

    def teardown(self, memory: str, messages: int) -> None:
        """Delete the file, if any."""
        self.files.close()

    @measured_in("µs")
    def track_microseconds_an_append(self, memory: str, messages: int) -> float:
        """Append of one message."""

        async def body(runtime: Runtime) -> float:
            backend, version = runtime.memory, await runtime.memory.append("session", past(messages), version=0)

            async def append(times: int) -> None:
                nonlocal version
                for _ in range(times):
                    version = await backend.append("session", MESSAGE, version=version)

            return await self._time_one(append)

        return float(in_runtime(body, memory=self.url))

    @measured_in("µs")
    def track_microseconds_a_load(self, memory: str, messages: int) -> float:
        """Load of the last hundred messages."""

        async def body(runtime: Runtime) -> float:
            backend = runtime.memory
            await backend.append("session", past(messages), version=0)

            async def load(times: int) -> None:
                for _ in range(times):
                    await backend.load("session", 100)

            return await self._time_one(load)

        return float(in_runtime(body, memory=self.url))

    async def _time_one(self, body: Times) -> float:
        return await seconds(body, 500 if self.url == "memory:" else 20, rounds=10) * 1e6
