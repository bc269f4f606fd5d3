"""Logs the events of stored runs in batches, so that any process can follow the runs.

An event is noted when it is sent, and stored a moment later: the pieces of an answer share a write. A run does not
wait for its log.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from agno_rt._drive.emitter import Emitter
from agno_rt._drive.job import Job
from agno_rt._drive.write_journal import END_SECONDS, Journal
from agno_rt.errors import NotFound, UsageError
from agno_rt.events import Event
from agno_rt.failures import must_pass
from agno_rt.run_store import EventLog, RunConflict, RunStore

__all__ = ["EventWriters"]

FLUSH_SECONDS = 0.1
"""How long an event waits for others at most, before all of them are stored."""

MOST_AT_ONCE = 1000
"""The most events in one write."""

MOST_FAILURES = 3
"""The failed writes after which the last events of a run that is over are dropped."""

_encode = msgspec.json.Encoder(enc_hook=repr).encode


class _Writer:
    """The events of one run that are not stored yet; `over` is the journal of a run that is not under way."""

    def __init__(self, log: EventLog, journal: Journal) -> None:
        self.pending: list[bytes] = []
        self.over: Journal | None = None
        self.failures = 0
        self._log = log
        self._journal = journal
        self._next: int | None = None if journal.replay is not None else 1
        self._turn = trio.Lock()

    def go_on(self, journal: Journal) -> None:
        """Log for the run's next journal, after the events that are not stored yet."""
        self.over = None
        self._journal = journal
        self._next = None  # another process may have gone on with the run in between

    def end(self) -> None:
        """Note that the run is not under way any more."""
        self.over = self._journal

    def note(self, event: Event) -> None:
        """Note an event of the run. An event with text that is not Unicode cannot be stored, and is left out.

        What happens after the lease was lost is left out, too: the run goes on elsewhere, and its end is told there.
        """
        if self._journal.lost is not None:
            return
        try:
            self.pending.append(_encode(event))
        except UnicodeEncodeError:
            return

    async def flush(self) -> None:
        """Store the noted events. A failure is counted, and the events are kept for the next time."""
        journal = self._journal
        async with self._turn:
            while self.pending and journal.begun:
                batch = self.pending[:MOST_AT_ONCE]
                try:
                    first = self._next
                    if first is None:
                        first = await self._log.find_last_event(journal.record.id) + 1
                    await self._log.log_events(journal.record.id, batch, first=first, owner=journal.owner)
                except (NotFound, RunConflict):
                    self.pending.clear()  # the run was deleted or taken over: the log is another's
                    return
                except BaseException as exc:
                    if must_pass(exc):
                        raise
                    self.failures += 1
                    return
                del self.pending[: len(batch)]
                self._next = first + len(batch) if journal is self._journal else None
                self.failures = 0


class EventWriters:
    """The logs of a runtime's runs; `writers` has the runs that log events now."""

    def __init__(self) -> None:
        self.writers: dict[str, _Writer] = {}
        self._flushing: trio.CancelScope | None = None

    def add(self, job: Job, store: RunStore) -> None:
        """Log the events of a run from now on. Raises `UsageError` for a store without a log."""
        if not isinstance(store, EventLog):
            hint = "Use one that does, such as 'sqlite:///agents.db', or leave out events=True of the memory policy."
            raise UsageError(f"the memory backend {type(store).__name__} logs no events", hint=hint)
        assert job.journal is not None, "a stored run has a journal"
        writer = self.writers.get(job.run_id)
        if writer is None:
            writer = self.writers[job.run_id] = _Writer(store, job.journal)
        else:
            writer.go_on(job.journal)  # the run is resumed before the events of its pause are stored
        job.journal.flush = writer.flush
        if job.emitter is None:
            job.emitter = Emitter(job.run_id, (), None, _ignore)
        # Before the others, so that a failing observer does not keep an event from the log.
        job.emitter.observers = (writer.note, *job.emitter.observers)

    def end(self, run: str) -> None:
        """Note that a run is not under way any more."""
        if (writer := self.writers.get(run)) is not None:
            writer.end()

    def start(self, nursery: trio.Nursery) -> None:
        """Store events from now on, until no run is left."""
        if self._flushing is None:
            self._flushing = trio.CancelScope()
            nursery.start_soon(self._flush_all, name="logs events")

    async def _flush_all(self) -> None:
        assert self._flushing is not None, "set before the task begins"
        try:
            with self._flushing:
                while self.writers:
                    await trio.sleep(FLUSH_SECONDS)
                    for run, writer in list(self.writers.items()):
                        over = writer.over
                        await writer.flush()
                        # Meanwhile the last event may have come, and the run may have been resumed.
                        is_done = over is not None and writer.over is over
                        if is_done and (not writer.pending or writer.failures >= MOST_FAILURES):
                            del self.writers[run]
        finally:
            self._flushing = None

    def close(self) -> None:
        """Stop storing events from time to time: `flush_last` stores the rest."""
        if self._flushing is not None:
            self._flushing.cancel()

    async def flush_last(self) -> None:
        """Store what is left for a bounded time, shielded: the runtime closes."""
        if self.writers:
            with trio.move_on_after(END_SECONDS, shield=True):
                for writer in list(self.writers.values()):
                    await writer.flush()
            self.writers.clear()


def _ignore(observer: Callable[[Event], None], error: BaseException) -> None:
    """Do nothing about a failing observer: the writer does not fail."""
