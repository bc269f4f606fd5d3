"""Contract suite for the logs of events of a memory backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from agno_rt.errors import NotFound
from agno_rt.run_store import EventLog, Renewal, RunChange, RunConflict, RunRecord
from agno_rt.testing._approval_rules import ANN, BOB, make_entries
from agno_rt.testing._checks import StoreContract

__all__ = ["EventLogContract"]

LONG = 60.0


class EventLogContract(StoreContract):
    """Rules for every `EventLog` that is a `FlowStore`. Override `make_memory`: each test gets an empty store."""

    def test_is_an_event_log(self) -> None:
        """The store has the methods of the protocol, and a new run has no events."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            assert await store.load_events("r") == []
            assert await store.find_last_event("r") == 0
            assert isinstance(store, EventLog)

        self._with_memory(check)

    def test_keeps_events(self) -> None:
        """Events come back in order, by number, with any bytes unchanged; each run has its own."""
        events = [b"one", bytes(range(256)), b"", b"four", b"five"]

        async def check(store: Any) -> None:
            for run in ("r", "s"):
                await store.create_run(RunRecord(run, "agent", owner=ANN))
            await store.log_events("r", events[:2], first=1, owner=ANN)
            await store.log_events("s", [b"other"], first=1, owner=ANN)
            await store.log_events("r", events[2:3], first=3, owner=ANN)
            await store.log_events("r", [], first=4, owner=ANN)
            await store.log_events("r", events[3:], first=4, owner=ANN)
            numbered = list(enumerate(events, 1))
            for after in range(7):
                assert await store.load_events("r", after=after) == numbered[after:]
                for limit in (1, 2, 3):
                    assert await store.load_events("r", after=after, limit=limit) == numbered[after : after + limit]
            assert [await store.find_last_event(run) for run in ("r", "s")] == [5, 1]
            assert await store.load_events("s") == [(1, b"other")]

        self._with_memory(check)

    def test_events_of_every_size(self) -> None:
        """Events around the bounds of notifications, large ones, and many at once come back whole."""
        sizes = [7_998, 7_999, 8_000, 8_001, 20_000, 1_000_000]
        events = [b"x" * size for size in sizes] + ["\N{WAVING HAND SIGN}".encode() * 2_000]
        many = [str(number).encode() for number in range(3_000)]

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            for number, event in enumerate(events, 1):
                await store.log_events("r", [event], first=number, owner=ANN)
            await store.log_events("r", many, first=len(events) + 1, owner=ANN)
            found: list[tuple[int, bytes]] = []
            while page := await store.load_events("r", after=len(found)):
                found += page
            assert found == list(enumerate([*events, *many], 1))

        self._with_memory(check)

    def test_only_the_owner_logs(self) -> None:
        """Nobody but the owner adds events; after the run's end only the owner that added last, with the last ones."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            await store.create_run(RunRecord("nobodys", "agent", "paused"))
            with pytest.raises(RunConflict, match="'r'"):
                await store.log_events("r", [b"x"], first=1, owner=BOB)
            with pytest.raises(RunConflict, match="'nobodys'"):
                await store.log_events("nobodys", [b"x"], first=1, owner=BOB)
            await store.log_events("r", [b"ann"], first=1, owner=ANN)
            await store.change_run("r", RunChange("paused"), owner=ANN)
            await store.log_events("r", [b"paused"], first=2, owner=ANN)
            await store.claim_run("r", BOB, held_by=None)
            with pytest.raises(RunConflict, match="'r'"):
                await store.log_events("r", [b"late"], first=3, owner=ANN)
            await store.log_events("r", [b"bob"], first=3, owner=BOB)
            await store.change_run("r", RunChange("completed"), owner=BOB)
            for first in (3, 4):
                with pytest.raises(RunConflict, match="'r'"):
                    await store.log_events("r", [b"late"], first=first, owner=ANN)
            await store.log_events("r", [b"ended"], first=4, owner=BOB)
            assert [event for _, event in await store.load_events("r")] == [b"ann", b"paused", b"bob", b"ended"]

        self._with_memory(check)

    def test_a_log_has_no_gap_and_nothing_twice(self) -> None:
        """A gap is refused; a batch tried again is stored once, also if only the beginning was stored."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            for first in (0, 2):
                with pytest.raises(RunConflict, match="'r'"):
                    await store.log_events("r", [b"x"], first=first, owner=ANN)
            for _ in range(2):
                await store.log_events("r", [b"1", b"2"], first=1, owner=ANN)
            await store.log_events("r", [b"2", b"3"], first=2, owner=ANN)
            await store.log_events("r", [b"1"], first=1, owner=ANN)
            with pytest.raises(RunConflict, match="'r'"):
                await store.log_events("r", [b"5"], first=5, owner=ANN)
            assert await store.load_events("r") == [(1, b"1"), (2, b"2"), (3, b"3")]

        self._with_memory(check)

    def test_waits_for_events(self) -> None:
        """A wait ends with a new event, or with the end of the run, or in time."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            assert not await store.wait_events("r", after=0, seconds=0.01)
            found: list[bool] = []

            async def wait(after: int) -> None:
                found.append(await store.wait_events("r", after=after, seconds=LONG))

            steps: list[Callable[[], Awaitable[object]]] = [
                lambda: store.log_events("r", [b"1"], first=1, owner=ANN),
                lambda: store.change_run("r", RunChange("completed"), owner=ANN),
            ]
            for step in steps:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(wait, len(found))
                    await trio.testing.wait_all_tasks_blocked(0.01)
                    await step()
            assert found == [True, False]
            assert await store.wait_events("r", after=0, seconds=LONG)
            assert not await store.wait_events("r", after=1, seconds=LONG)

        self._with_memory(check)

    def test_a_wait_can_be_cancelled(self) -> None:
        """A cancelled wait ends at once, and the store works on."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            with trio.move_on_after(0.05) as scope:
                await store.wait_events("r", after=0, seconds=LONG)
            assert scope.cancelled_caught
            await store.log_events("r", [b"1"], first=1, owner=ANN)
            assert await store.wait_events("r", after=0, seconds=LONG)

        self._with_memory(check)

    def test_follows_a_run(self) -> None:
        """Any number of followers read every event once and in order, while the owner adds them."""
        total, followers = 60, 3

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            seen: list[list[bytes]] = []

            async def follow() -> None:
                found: list[bytes] = []
                while await store.wait_events("r", after=len(found), seconds=LONG):
                    found += [event for _, event in await store.load_events("r", after=len(found), limit=7)]
                seen.append(found)

            async with trio.open_nursery() as nursery:
                for _ in range(followers):
                    nursery.start_soon(follow)
                for at in range(0, total, 4):
                    batch = [str(number).encode() for number in range(at, at + 4)]
                    await store.log_events("r", batch, first=at + 1, owner=ANN)
                await store.change_run("r", RunChange("completed"), owner=ANN)
            assert seen == [[str(number).encode() for number in range(total)]] * followers

        self._with_memory(check)

    def test_events_go_with_their_run(self) -> None:
        """Events are forgotten with the run, and stay with the run's id for a new journal."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            await store.log_events("r", [b"1"], first=1, owner=ANN)
            (last,), (first,) = make_entries(1, 1), make_entries(0, 1)
            await store.renew_run("r", Renewal("archive", last, first), owner=ANN)
            await store.log_events("r", [b"2"], first=2, owner=ANN)
            assert await store.load_events("r") == [(1, b"1"), (2, b"2")]
            assert await store.load_events("archive") == []
            await store.delete_run("r")
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            assert await store.load_events("r") == []

        self._with_memory(check)

    def test_a_run_that_nobody_knows(self) -> None:
        """Every method raises `NotFound` for an unknown run."""

        async def check(store: Any) -> None:
            asked: list[Awaitable[object]] = [
                store.log_events("r", [b"x"], first=1, owner=ANN),
                store.load_events("r"),
                store.find_last_event("r"),
                store.wait_events("r", after=0, seconds=LONG),
            ]
            for call in asked:
                with pytest.raises(NotFound, match="'r'"):
                    await call

        self._with_memory(check)

    def test_events_outlast_the_backend(self) -> None:
        """In a lasting store, events are there after a reopening, and another owner goes on with the numbers."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            await store.log_events("r", [b"1", b"2"], first=1, owner=ANN)

        async def then(store: Any) -> None:
            await store.claim_run("r", BOB, held_by=ANN)
            await store.log_events("r", [b"3"], first=await store.find_last_event("r") + 1, owner=BOB)
            assert await store.load_events("r", after=1) == [(2, b"2"), (3, b"3")]

        self._with_memory_again(check, then)
