"""The signals of a flow: values sent to the run, each taken by a single `Flow.signal`."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from agno_rt._decide.flow_journal import digest_of
from agno_rt._decide.flow_paths import Place
from agno_rt._drive.news import signal_topic
from agno_rt._flow.record import FlowRecord
from agno_rt._flow.scope import Scope
from agno_rt._flow.waits import LOOK_SECONDS, Wait, Waits
from agno_rt.errors import DeadlineExceeded, UsageError
from agno_rt.run_store import Signal, SignalStore

__all__ = ["Signals"]


class Signals:
    """The signals of one flow. `seen` counts the signals read from the store; None if the flow never looked."""

    __slots__ = ("_left", "_record", "_run", "_waits", "seen")

    def __init__(self, run: str, record: FlowRecord, waits: Waits) -> None:
        self._run = run
        self._record = record
        self._waits = waits
        self._left: dict[str, list[Signal]] = {}
        self.seen: int | None = None

    async def wait(self, scope: Scope, place: Place, name: str, timeout: float | None) -> Any:
        """Return the value of the first free signal of the name. Wait for a signal if there is none.

        Raises `DeadlineExceeded` after `timeout` seconds.
        """
        digest = digest_of(name)
        done = self._record.find(place, digest)
        if done is not None:
            return msgspec.json.decode(done.value)
        if scope.overdue is not None:
            raise scope.overdue
        store = self._record.journal_for(f"the wait {place.path}").store
        if not isinstance(store, SignalStore):
            hint = "Use one that does, such as 'sqlite:///agents.db' or 'memory:'."
            raise UsageError(f"the memory backend {type(store).__name__} keeps no signals", hint=hint)
        began = time.time()
        until = await self._find_end(place, digest, timeout, began)
        while (signal := await self._take(store, name)) is None:
            rest = None if until is None else until - time.time()
            if rest is not None and rest <= 0:
                hint = "Catch DeadlineExceeded in the workflow to go on without the signal."
                problem = f"{place.path} waited for the signal {name!r} for longer than {timeout:g} s"
                error = DeadlineExceeded(problem, limit="timeout", hint=hint)
                await self._record.fail(place, digest, error, began=began)
                raise error
            is_open = until is None
            wait = Wait(is_open, not is_open, until, LOOK_SECONDS, topics=(signal_topic(self._run),))
            await self._waits.wait(scope, wait)
            await scope.retake_share()
        try:
            await self._record.end(place, digest, signal.value, began=began, signal=signal.seq)
            self._record.taken_signals.add(signal.seq)
        except BaseException:
            self._left[name].insert(0, signal)
            raise
        return msgspec.json.decode(signal.value)

    async def _find_end(self, place: Place, digest: str, timeout: float | None, now: float) -> float | None:
        """Return the time at which the wait ends, recorded once; None without an end."""
        if timeout is None:
            return None
        begun = self._record.begun(place)
        if begun is not None:
            return begun.until
        await self._record.begin(place, digest, now + timeout)
        return now + timeout

    async def _take(self, store: SignalStore, name: str) -> Signal | None:
        """Take the oldest free signal of the name, and return the signal."""
        left = self._left.get(name)
        if not left:
            taken = self._record.taken_signals
            for signal in await store.signals(self._run, after=self.seen or 0):
                # Another branch may have read the same signals meanwhile.
                if signal.seq > (self.seen or 0):
                    self.seen = signal.seq
                    if signal.seq not in taken:
                        self._left.setdefault(signal.name, []).append(signal)
            self.seen = self.seen or 0
            left = self._left.get(name)
        return left.pop(0) if left else None
