"""A soak: clients of all kinds for a while, and then nothing is left of them in the server's process.

`AGNO_RT_SOAK=600` makes it ten minutes, as before a release; by default it is some seconds.
"""

from __future__ import annotations

import gc
import itertools
import os
import threading
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, ModelResponse

SECONDS = float(os.environ.get("AGNO_RT_SOAK", "6"))
# Megabytes that the process may have grown by: pools of the allocator, and not a byte for each request.
MOST_GROWTH = 30.0
BODY = b'{"input": "Hi"}'
RUN = b"POST /agents/a/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REQUEST = RUN + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
STREAM = REQUEST.replace(b"\r\n\r\n", b"\r\nAccept: text/event-stream\r\n\r\n", 1)
SOCKET = (
    b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Ready:
    """A model that answers at once, and forgets the request: a `ScriptedModel` would keep each."""

    name = "ready"

    async def respond(self, request: Any, emit: Any = None) -> ModelResponse:
        """Answer."""
        return ModelResponse("Hello.")


class Crowd:
    """Clients that ask, stream, hang up in the middle, send nonsense, and open sockets, again and again."""

    def __init__(self, served: Any) -> None:
        self._served = served

    async def run(self, seconds: float) -> None:
        """Be a crowd for so many seconds, and until each kind of client has had an answer."""
        kinds = (self._ask, self._stream, self._hang_up, self._talk_nonsense, self._knock)
        answered = [trio.Event() for _ in kinds]
        async with trio.open_nursery() as nursery:
            for kind, event in itertools.chain(zip(kinds, answered, strict=True), zip(kinds, answered, strict=True)):
                nursery.start_soon(self._repeat, kind, event)
            await trio.sleep(seconds)
            for event in answered:
                await event.wait()
            nursery.cancel_scope.cancel()

    async def _repeat(self, kind: Any, answered: trio.Event) -> None:
        while True:
            with suppress(trio.BrokenResourceError):
                async with await self._served.dial() as wire:
                    await kind(wire)
                    answered.set()

    async def _ask(self, wire: Any) -> None:
        for _ in range(20):
            await wire.send(REQUEST)
            assert (await wire.answer()).status == 200

    async def _stream(self, wire: Any) -> None:
        await wire.send(STREAM)
        assert b"event: run_ended" in (await wire.answer()).body

    async def _hang_up(self, wire: Any) -> None:
        await wire.send(STREAM)
        await wire.stream.receive_some(1)

    async def _talk_nonsense(self, wire: Any) -> None:
        await wire.send(b"NONSENSE\r\n\r\n")
        assert (await wire.answer()).status == 400

    async def _knock(self, wire: Any) -> None:
        await wire.send(SOCKET)
        assert (await wire.answer()).status in (403, 404)


def count() -> dict[str, int]:
    """Count what a leak would leave behind: tasks, threads, open files."""
    gc.collect()
    tasks, waiting = 0, [trio.lowlevel.current_root_task()]
    while waiting:
        task = waiting.pop()
        if task is not None:
            tasks += 1
            waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return {"tasks": tasks, "threads": threading.active_count(), "files": len(os.listdir("/proc/self/fd"))}


def measure_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.timeout(SECONDS * 3 + 120)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell a process's size")
async def test_leaves_everything_where_it_was(serve_agents: Any, until: Any) -> None:
    """After the crowd, tasks, threads and open files are as before; the process has not grown."""
    served = await serve_agents(Agent(Ready(), "a"))
    crowd = Crowd(served)
    await crowd.run(SECONDS / 3)  # pools and caches fill
    await until(lambda: served.server.connections == 0)
    before, size = count(), measure_megabytes()
    await crowd.run(SECONDS * 2 / 3)
    await until(lambda: served.server.connections == 0)

    # Less is well: threads and files of the tests before may have ended meanwhile.
    await until(lambda: all(number <= before[kind] for kind, number in count().items()))
    assert served.server.budget.free == served.server.budget.size
    assert measure_megabytes() - size < MOST_GROWTH


class Waiting:
    """A model that answers once told to."""

    name = "waiting"

    def __init__(self) -> None:
        self.asked = 0
        self.told = trio.Event()

    async def respond(self, request: Any, emit: Any = None) -> ModelResponse:
        """Wait, and answer."""
        if request.messages[-1].content == "Hi":
            self.asked += 1
            await self.told.wait()
        return ModelResponse("Hello.")


async def test_many_open_streams(serve_agents: Any, until: Any) -> None:
    """Hundreds of open event streams do not hold up one more, and each gets its end; the benchmark opens 10,000."""
    model = Waiting()
    served = await serve_agents(Agent(model, "a"))
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(await served.dial()) for _ in range(300)]
        for wire in wires:
            await wire.send(STREAM)
        await until(lambda: model.asked == len(wires))
        async with await served.dial() as wire:
            await wire.send(STREAM.replace(b'"Hi"', b'"Ho"'))
            assert b"event: run_ended" in (await wire.answer()).body
        model.told.set()
        for wire in wires:
            assert b"event: run_ended" in (await wire.answer()).body
