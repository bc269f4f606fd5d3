"""Contract suite for the signals of a memory backend."""

from __future__ import annotations

from typing import Any

import pytest

from agno_rt.errors import NotFound, UsageError
from agno_rt.run_store import RunChange, RunConflict, RunRecord, SignalStore, SignalsWaiting
from agno_rt.testing._approval_rules import ANN, call_for_both
from agno_rt.testing._checks import StoreContract

__all__ = ["SignalContract"]


class SignalContract(StoreContract):
    """Rules for every `SignalStore`. Override `make_memory`: each test gets an empty store of its own."""

    def test_keeps_signals(self) -> None:
        """Signals come back in the order of sending, with any bytes unchanged, and each run has its own."""

        async def check(store: Any) -> None:
            for run in ("r", "s", "t"):
                await store.create_run(RunRecord(run, "agent", owner=ANN))
            assert await store.signals("r") == []
            assert await store.send_signal("r", "mail", b'{"a":1}') == "running"
            assert await store.send_signal("r", "post", b"\xff") == "running"
            assert await store.send_signal("s", "mail", b"null") == "running"
            found = await store.signals("r")
            assert [(each.run, each.seq, each.name, each.value) for each in found] == [
                ("r", 1, "mail", b'{"a":1}'),
                ("r", 2, "post", b"\xff"),
            ]
            assert all(each.sent_at > 0 for each in found)
            assert await store.signals("r", after=1) == found[1:]
            assert await store.signals("r", after=2) == []
            assert await store.count_signals(["s", "none", "r", "t"]) == {"r": 2, "s": 1}
            assert await store.count_signals([]) == {}
            assert isinstance(store, SignalStore)

        self._with_memory(check)

    def test_signals_at_once(self) -> None:
        """Of signals sent at once, none is lost."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            await call_for_both(lambda who: store.send_signal("r", who[:10], b"null"))
            assert [each.seq for each in await store.signals("r")] == [1, 2]

        self._with_memory(check)

    def test_who_takes_no_signal(self) -> None:
        """An unknown run is `NotFound`, a completed run refuses, a paused run takes the signal; a name must be one."""

        async def check(store: Any) -> None:
            for call in (store.send_signal("none", "mail", b"null"), store.signals("none")):
                with pytest.raises(NotFound):
                    await call
            for run, status in (("done", "completed"), ("waits", "paused"), ("failed", "failed")):
                await store.create_run(RunRecord(run, "agent", owner=ANN))
                await store.change_run(run, RunChange(status), owner=ANN)  # type: ignore[arg-type]
            with pytest.raises(RunConflict, match="'done'"):
                await store.send_signal("done", "mail", b"null")
            assert await store.send_signal("waits", "mail", b"null") == "paused"
            assert await store.send_signal("failed", "mail", b"null") == "failed"
            with pytest.raises(UsageError, match="signal"):
                await store.send_signal("waits", "a\nb", b"null")
            assert len(await store.signals("waits")) == 1

        self._with_memory(check)

    def test_a_pause_sees_every_signal(self) -> None:
        """A run that has not seen its last signal cannot pause: nothing is changed, and the run keeps its owner."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            await store.send_signal("r", "mail", b"null")
            with pytest.raises(SignalsWaiting, match="'r'"):
                await store.change_run("r", RunChange("paused", signals=0), owner=ANN)
            record, _ = await store.load_run("r")
            assert (record.status, record.owner) == ("running", ANN)
            await store.change_run("r", RunChange("paused", signals=1), owner=ANN)
            assert (await store.load_run("r"))[0].status == "paused"

        self._with_memory(check)

    def test_an_end_sees_every_signal(self) -> None:
        """A run that has not seen its last signal cannot complete; a run that does not count signals can fail."""

        async def check(store: Any) -> None:
            for run in ("r", "s"):
                await store.create_run(RunRecord(run, "agent", owner=ANN))
                await store.send_signal(run, "mail", b"null")
                with pytest.raises(SignalsWaiting):
                    await store.change_run(run, RunChange("completed", content="x", signals=0), owner=ANN)
                record, _ = await store.load_run(run)
                assert (record.status, record.content, record.owner) == ("running", "", ANN)
            await store.change_run("r", RunChange("completed", signals=1), owner=ANN)
            await store.change_run("s", RunChange("failed"), owner=ANN)
            assert [(await store.load_run(run))[0].status for run in "rs"] == ["completed", "failed"]

        self._with_memory(check)

    def test_deletes_signals_with_the_run(self) -> None:
        """A run of the same id as a deleted run has no signals."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            await store.send_signal("r", "mail", b"null")
            await store.delete_run("r")
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            assert await store.signals("r") == []

        self._with_memory(check)
