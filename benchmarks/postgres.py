"""Durable sessions in PostgreSQL: appends a second, a hundred at once, and the opening of a long session.

Takes a server: `postgresql://postgres@127.0.0.1:5432/test`, or the one in AGNO_RT_TEST_POSTGRES.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from typing import Any

import trio

from agno_rt import Message

from .common import few, measured_in
from .sqlite import MESSAGES, TASKS, measure_rate

SERVER = os.environ.get("AGNO_RT_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
THREADS = 8
LONG = few(100_000, 10_000)
BARE = (
    'SELECT version, total FROM sessions WHERE id = %s AND "user" IS NULL FOR UPDATE',
    "UPDATE sessions SET version = %s, total = %s, updated_at = %s WHERE id = %s",
    "INSERT INTO messages VALUES (%s, %s, %s)",
)
"""What an append comes to, one statement after the other."""


class _OnServer:
    """Makes a schema for a benchmark, and drops it."""

    timeout = 300

    def setup(self, *_: Any) -> None:
        """Make the tables; skip where there is no server."""
        try:
            import psycopg
            from agno_rt_postgres import PostgresMemory
            from agno_rt_postgres.urls import parse_url

            self._open = psycopg.connect
            self._schema = f"bench_{secrets.token_hex(6)}"
            self._memory = PostgresMemory(parse_url(f"{SERVER}?schema={self._schema}"))
            trio.run(self._memory.migrate)
        except Exception as exc:  # no plugin, or no server
            raise NotImplementedError from exc

    def _connect(self) -> Any:
        return self._open(SERVER, options=f"-c search_path={self._schema}")

    def teardown(self, *_: Any) -> None:
        """Drop the tables."""
        trio.run(self._memory.aclose)
        with self._connect() as connection:
            connection.execute(f"DROP SCHEMA {self._schema} CASCADE")

    async def _append_all(self, times: int, rounds: int) -> float:
        best = 0.0
        for round_ in range(rounds):

            async def one(number: int, turn: int, round_: int = round_) -> None:
                await self._memory.append(f"session {number}", MESSAGES, version=round_ * times + turn)

            best = max(best, await measure_rate(one, times))
        for number in range(TASKS):
            assert (await self._memory.load(f"session {number}", 0)).version == times * rounds, "an append was lost"
        return best


class Appends(_OnServer):
    """A hundred sessions, each appended to by a task of its own; each append is durable when it returns."""

    @measured_in("appends/s")
    def track_appends_a_second(self) -> float:
        """Appends of two messages: the best of several rounds; none is lost."""
        return trio.run(self._append_all, 20, few(4))

    @measured_in("times")
    def track_ratio_to_bare(self) -> float:
        """The same rate by that of bare psycopg, which carries out the statements in eight threads."""
        ours = trio.run(self._append_all, 20, few(4))
        return ours / max(self._append_bare(60) for _ in range(3))

    def _append_bare(self, times: int) -> float:
        body = b'{"role":"user","content":"hello"}'

        def work(number: int) -> None:
            session = f"session {number}"
            with self._connect() as connection:
                for _ in range(times):
                    row = connection.execute(BARE[0], (session,)).fetchone()
                    assert row is not None
                    version, total = row
                    connection.execute(BARE[1], (version + 1, total + 2, time.time(), session))
                    for seq in (total + 1, total + 2):
                        connection.execute(BARE[2], (session, seq, body))
                    connection.commit()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return THREADS * times / (time.perf_counter() - start)


class Long(_OnServer):
    """A session of 100,000 messages."""

    async def _fill(self) -> None:
        version = 0
        for at in range(0, LONG, 10_000):
            messages = [Message("user", f"message {number} of a long session") for number in range(at, at + 10_000)]
            version = await self._memory.append("long", messages, version=version)

    @measured_in("ms")
    def track_last_100(self) -> float:
        """Opening the last 100 messages: the best of twenty times."""

        async def measure() -> float:
            await self._fill()
            best = float("inf")
            for _ in range(20):
                start = time.perf_counter()
                session = await self._memory.load("long", 100)
                best = min(best, time.perf_counter() - start)
                assert (session.total, len(session.messages)) == (LONG, 100)
            return best * 1000

        return trio.run(measure)

    @measured_in("times")
    def track_append_growth(self) -> float:
        """One append to this session by one to a session of ten messages: the best of fifty each."""

        async def measure() -> float:
            await self._fill()
            version = await self._memory.append("short", MESSAGES * 5, version=0)
            best: dict[str, float] = {}
            for session, first in (("short", version), ("long", LONG // 10_000)):
                for turn in range(50):
                    start = time.perf_counter()
                    await self._memory.append(session, MESSAGES, version=first + turn)
                    best[session] = min(best.get(session, float("inf")), time.perf_counter() - start)
            return best["long"] / best["short"]

        return trio.run(measure)
