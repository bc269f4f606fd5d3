"""Contract suite for the endurance of a memory backend: size, every character, other writers, kills, lost servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from typing import Any

import attrs
import trio

from agno_rt.errors import BackendError, SessionConflict
from agno_rt.messages import Message, ToolCall
from agno_rt.run_store import Approval, Decision, RunChange, RunRecord
from agno_rt.testing._approval_rules import ANN, make_approval, make_entries
from agno_rt.testing._checks import StoreContract
from agno_rt.upkeep import CopyStore, SessionCopy

__all__ = ["EnduranceContract"]

MEGABYTES = 10
LONG_SESSION = 100_000
TOGETHER = 5_000
WRITES = 20
SLOW_SECONDS = 60.0

# From each of Unicode's 17 planes the first and the last code point and one between, and all of ASCII with NUL.
EVERY_PLANE = "".join(map(chr, range(128))) + "".join(
    chr(code) for plane in range(17) for code in (plane << 16 | 0x100, plane << 16 | 0xAB30, plane << 16 | 0xFFFF)
)
_NOTES = "e\N{COMBINING ACUTE ACCENT} \N{ARABIC LETTER ALEF}\N{HEBREW LETTER ALEF} \N{ZERO WIDTH JOINER} \ufeff"
TEXTS = (EVERY_PLANE, "\0", "a\0b\0", "\0" * 1_000, "\\u0000", _NOTES)

_WRITER = """
import sys, trio
from agno_rt.messages import Message
from agno_rt.plugins import PluginHost

async def main():
    memory = PluginHost().memory(sys.argv[1], {})
    for number in range(1_000_000):
        await memory.append("s", [Message("user", str(number))], version=number)
        print(number, flush=True)

trio.run(main)
"""


class EnduranceContract(StoreContract):
    """Rules for every backend of sessions and runs. Override `make_memory`, and the ways to disturb the store.

    The tests for which a method here returns nothing are skipped.
    """

    def count_work(self, memory: Any) -> int | None:
        """Return the store's writes so far, in bytes, rows or pages. None if unknown."""
        return None

    def memory_url(self) -> str | None:
        """Return the URL of the store of the last `make_memory`, for another process. None without a URL."""
        return None

    def make_interruptions(self) -> Iterable[Callable[[], object]]:
        """Return ways to break the connections for a moment: a restart of the server, a cut, a reset.

        Each is called in a thread, with an open backend, and returns when the server can be reached again.
        """
        return ()

    def make_stalls(self) -> Iterable[AbstractContextManager[object]]:
        """Return ways to hold the server's answers back: while one is entered, a call waits, and then fails or ends."""
        return ()

    def test_keeps_a_large_message(self) -> None:
        """A message, a session's data, a journal's entry and a signal of 10 MB come back equal."""
        text = "\N{WAVING HAND SIGN}large " * (MEGABYTES * 100_000)
        data = bytes(range(256)) * (MEGABYTES * 4_096)
        call = ToolCall("c1", "t", f'{{"text": "{text[:1_000_000]}"}}')

        async def check(store: Any) -> None:
            messages = [Message("user", text), Message("assistant", "", (call,))]
            await store.append("s", messages, version=0, data=data)
            session = await store.load("s")
            assert list(session.messages) == messages
            assert session.data == data
            await store.append("s", [Message("user", "small")], version=1)
            assert [message.text for message in (await store.load("s", 1)).messages] == ["small"]
            entry = attrs.evolve(make_entries(0, 1)[0], body=data)
            await store.create_run(RunRecord("r", "agent", owner=ANN, input=text), [entry])
            await store.send_signal("r", "mail", data)
            record, entries = await store.load_run("r")
            assert (record.input, entries) == (text, [entry])
            assert [each.value for each in await store.signals("r")] == [data]

        self._with_memory(check)

    def test_a_long_session_costs_no_more(self) -> None:
        """An append to a session of 100,000 messages writes no more than to a session of ten."""

        async def check(store: Any) -> None:
            await self._fill(store, "short", 10)
            await self._fill(store, "long", LONG_SESSION)
            costs: list[int] = []
            for session, total in (("short", 10), ("long", LONG_SESSION)) * 3:
                version, before = (await store.load(session, 0)).version, self.count_work(store)
                await store.append(session, [Message("user", "one more")] * 2, version=version, data=b"data")
                after = self.count_work(store)
                if before is not None and after is not None:
                    costs.append(after - before)
                assert (await store.load(session, 1)).total > total
            if costs:
                # Pages of indexes may split now and then; a copy of the session would be a thousand times as much.
                short, long = sorted(costs[::2])[1], sorted(costs[1::2])[1]
                assert long <= 2 * short + 3, f"{long} for the long session, {short} for the short one"
            last = await store.load("long", 100)
            assert (last.total, len(last.messages)) == (LONG_SESSION + 6, 100)
            assert [message.text for message in last.messages[:2]] == [str(LONG_SESSION - 93), str(LONG_SESSION - 92)]
            (info,) = [each for each in await store.sessions() if each.id == "long"]
            assert info.messages == LONG_SESSION + 6

        self._with_memory(check)

    async def _fill(self, store: Any, session: str, total: int) -> None:
        """Store a session with numbered messages."""
        for first in range(1, total + 1, TOGETHER):
            messages = [Message("user", str(number)) for number in range(first, min(total, first + TOGETHER - 1) + 1)]
            if isinstance(store, CopyStore):
                version = 1 + first // TOGETHER
                await store.import_session(
                    SessionCopy(session, None, version, 1.0, 2.0, first=first, messages=messages, total=total)
                )
            else:
                version = (await store.load(session, 0)).version
                await store.append(session, messages, version=version)

    def test_keeps_every_character(self) -> None:
        """Every plane of Unicode, and NUL, comes back equal: in messages, calls, runs, approvals and decisions."""

        async def check(store: Any) -> None:
            for number, text in enumerate(TEXTS):
                session, run = f"s{number}", f"r{number}"
                call = ToolCall("c1", "t", text)
                messages = [
                    Message("user", text),
                    Message("assistant", text, (call,), reasoning=text),
                    Message("tool", text, (), "c1", "t"),
                ]
                await store.append(session, messages, version=0, data=text.encode())
                loaded = await store.load(session)
                assert list(loaded.messages) == messages
                assert loaded.data == text.encode()
                await store.create_run(RunRecord(run, "agent", owner=ANN, input=text))
                approval = attrs.evolve(make_approval(f"a{number}", run), call=call, reason=text, schema={text: text})
                change = RunChange("paused", content=text, error=text, approvals=[approval])
                await store.change_run(run, change, owner=ANN)
                record, _ = await store.load_run(run)
                assert (record.input, record.content, record.error) == (text, text, text)
                assert record in await store.runs(status="paused")
                [asked] = await store.approvals(run=run)
                assert (asked.call, asked.reason, asked.schema) == (call, text, {text: text})
                made: Approval = await store.decide(asked.id, Decision("denied", text, text))
                assert (made.arguments, made.reason) == (text, text)
                assert await store.approvals(run=run) == [made]
                assert await store.sessions(query="\0") == []
                assert len(await store.sessions(query=text)) <= len(TEXTS)

        self._with_memory(check)

    def test_two_writers_on_one_session(self) -> None:
        """Of two backends with appends to a session in turns, both store everything, in order, each once."""

        async def check(store: Any) -> None:
            other = self.open_again()
            writers = {"a": store, "b": store if other is None else other}

            async def write(name: str, memory: Any) -> None:
                for number in range(WRITES):
                    while True:
                        version = (await memory.load("s", 1)).version
                        try:
                            await memory.append("s", [Message("user", f"{name}{number}")], version=version)
                        except SessionConflict:
                            await trio.lowlevel.checkpoint()
                        else:
                            break

            try:
                async with trio.open_nursery() as nursery:
                    for name, memory in writers.items():
                        nursery.start_soon(write, name, memory)
            finally:
                if other is not None:
                    await other.aclose()
            session = await store.load("s")
            texts = [message.text for message in session.messages]
            assert session.version == 2 * WRITES
            for name in writers:
                assert [text for text in texts if text[0] == name] == [f"{name}{number}" for number in range(WRITES)]

        self._with_memory(check)

    def test_a_killed_process_loses_nothing_acknowledged(self) -> None:
        """After kill -9 of a writing process, every acknowledged append is there, and at most one more."""

        async def check(store: Any) -> None:
            url = self.memory_url()
            if url is None:
                return
            acknowledged = await trio.to_thread.run_sync(_kill_writer, url)
            session = await store.load("s")
            assert acknowledged >= WRITES
            assert session.total in (acknowledged, acknowledged + 1)
            assert [message.text for message in session.messages] == [str(number) for number in range(session.total)]
            assert await store.append("s", [Message("user", "on")], version=session.version) == session.version + 1

        self._with_memory(check)

    def test_a_connection_that_breaks(self) -> None:
        """After a break, one call may fail with a `BackendError`, the ten after it pass, and nothing is there twice."""

        async def check(store: Any) -> None:
            version, stored = 0, 0
            for interrupt in self.make_interruptions():
                version = await store.append("s", [Message("user", str(stored))], version=version)
                stored += 1
                await trio.to_thread.run_sync(interrupt)
                for at in range(11):
                    try:
                        version = await store.append("s", [Message("user", str(stored))], version=version)
                    except BackendError:
                        assert at == 0, "a second call failed after the break"
                        # The write may have happened, and the answer be lost.
                        session = await store.load("s", 1)
                        assert session.version in (version, version + 1)
                        stored, version = stored + session.version - version, session.version
                    else:
                        stored += 1
                session = await store.load("s")
                assert [message.text for message in session.messages] == [str(number) for number in range(stored)]

        self._with_memory(check)

    def test_a_connection_that_stalls(self) -> None:
        """A call to a server that does not answer can be cancelled; the backend works afterwards."""

        async def check(store: Any) -> None:
            version = await store.append("s", [Message("user", "first")], version=0)
            for stall in self.make_stalls():
                with stall, trio.fail_after(SLOW_SECONDS), trio.move_on_after(0.2), suppress(BackendError):
                    await store.append("s", [Message("user", "stalled")], version=version)
                before = version
                with trio.fail_after(SLOW_SECONDS):
                    version = (await store.load("s", 1)).version
                assert version in (before, before + 1)
                version = await store.append("s", [Message("user", "after")], version=version)
            session = await store.load("s")
            assert session.total == session.version

        self._with_memory(check)


def _kill_writer(url: str) -> int:
    """Kill a process that appends to a session, and return the number of acknowledged appends."""
    command = [sys.executable, "-c", _WRITER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline() for _ in range(WRITES)]
        os.kill(writer.pid, signal.SIGKILL)
        told += writer.stdout.readlines()
    return sum(line.endswith("\n") for line in told)
