"""Looks up a flow's steps in the journal of an earlier process, and writes new ones before the flow goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec

from agno_rt._decide.changed_replay import replay_flow
from agno_rt._decide.flow_journal import FlowReplay, read_error, store_error
from agno_rt._decide.flow_paths import Place
from agno_rt._decide.journal import NO_STATE, StepBegun, StepEnded
from agno_rt._drive.job import Job
from agno_rt._drive.write_journal import Journal
from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import leaves
from agno_rt.messages import Usage
from agno_rt.run_store import Approval, FlowStore

__all__ = ["FlowRecord"]

_NOTHING_YET = FlowReplay()


async def _record_nothing() -> None:
    """Do nothing, for a flow without a journal."""


class FlowRecord:
    """The recorded steps of one run. Without a journal nothing is recorded, and each step is new.

    `is_stored` is set if the run has a journal, `is_new` if no earlier process took any step, `is_cut` if a group has
    cancelled its block in the main branch. `taken_signals` has the numbers of the signals that steps have taken.
    """

    __slots__ = (
        "_failures",
        "_journal",
        "_late",
        "_related",
        "_replay",
        "is_cut",
        "is_new",
        "is_stored",
        "taken_signals",
    )

    def __init__(self, job: Job[Any]) -> None:
        self._journal: Journal | None = job.journal
        replay = None if job.journal is None else job.journal.replay
        self._replay = _NOTHING_YET if replay is None else replay_flow(replay.begun, replay.steps)
        self.is_stored = job.journal is not None
        self.is_new = self._replay.is_empty
        self.is_cut = False
        self.taken_signals: set[int] = set(self._replay.signals)
        self._failures: list[tuple[AgnoError, str]] = []
        self._related: list[tuple[BaseException, BaseException]] = []
        # Ends of blocks, to be stored together with the next step: no step after a block may be stored without it.
        self._late: list[StepEnded] = []

    @property
    def is_resumed(self) -> bool:
        """True if an earlier process began the run."""
        return self._journal is not None and self._journal.replay is not None

    @property
    def is_forced(self) -> bool:
        """True if the run was taken over by force, and so may the runs within be."""
        return self._journal is not None and self._journal.forced

    @property
    def code_version(self) -> int | None:
        """The version of the workflow that began the run in an earlier process, or None."""
        replay = None if self._journal is None else self._journal.replay
        return None if replay is None else replay.begun.code_version

    @property
    def decided(self) -> Mapping[tuple[int, str], Approval]:
        """The approvals of an earlier process, by turn (0) and path."""
        return {} if self._journal is None else self._journal.decided

    @property
    def keeps_questions(self) -> bool:
        """True if the store keeps the questions of a run under way."""
        return self._journal is not None and isinstance(self._journal.store, FlowStore)

    def note_decision(self, approval: Approval) -> None:
        """Note the decision on a question of this run."""
        if self._journal is not None:
            self._journal.decided[approval.turn, approval.call.id] = approval

    def journal_for(self, what: str) -> Journal:
        """Return the journal. Raises `UsageError` for a run without one."""
        if self._journal is None:
            hint = "Run a @workflow, whose runs are stored, or give the runnable memory={'journal': True}."
            raise UsageError(f"{what} needs a stored run", hint=hint)
        return self._journal

    def check_place(self, place: Place) -> None:
        """Raise `JournalMismatch` if the journal has another name at the place."""
        if not self.is_new:
            self._replay.check_place(place)

    def check_end(self, taken: int) -> None:
        """Raise `JournalMismatch` if the journal has a step after the first `taken` places of the main branch.

        A group that cancelled its own block has cut off steps there, perhaps earlier than in the process before.
        """
        if not self.is_cut:
            self._replay.check_end(taken)

    def check_group(self, place: Place) -> None:
        """Raise `JournalMismatch` if the journal has a step at the place of a group."""
        self._replay.check_group(place)

    def is_at(self, scope: str, number: int, name: str) -> bool:
        """Return True if the journal has the name at the place."""
        return self._replay.is_at(scope, number, name)

    def has_more(self, scope: str, number: int) -> bool:
        """Return True if an earlier process got to the place, or further."""
        return self._replay.has_more(scope, number)

    def has_change(self, scope: str, number: int, name: str) -> bool:
        """Return True if code marked by the change may run at the place."""
        return self._replay.has_change(scope, number, name)

    def find(self, place: Place, digest: str) -> StepEnded | None:
        """Return the ended step at the place, or None for a new one. Raises `JournalMismatch`, and a stored failure."""
        if self.is_new:
            return None
        found = self._replay.find(place, digest)
        if found is not None and found.error is not None:
            error = read_error(found.error)
            self._failures.append((error, place.path))
            raise error
        return found

    def has_ended(self, place: Place, digest: str | None = None) -> bool:
        """Return whether an earlier process ended the step at the place, with these arguments if given."""
        return self._replay.has_ended(place, digest)

    def find_failure(self, place: Place) -> AgnoError | None:
        """Return the recorded failure of the block at the place, or None."""
        found = self._replay.find(place, "")
        return None if found is None or found.error is None else read_error(found.error)

    def usage_of(self, place: Place) -> Usage:
        """Return the recorded usage of the step at the place."""
        return self._replay.usage_of(place)

    def begun(self, place: Place) -> StepBegun | None:
        """Return the beginning of the step by an earlier process, or None."""
        return self._replay.find_begun(place)

    async def begin(self, place: Place, digest: str, until: float = 0.0) -> None:
        """Record the beginning of a step."""
        if self._journal is not None:
            await self._add(self._journal, StepBegun(place.path, place.trail, digest, until))

    # Not `async`, as each step would have another coroutine.
    def end(self, place: Place, digest: str, value: bytes, *, began: float, **more: Any) -> Awaitable[None]:
        """Record the value of a step; `more` are further fields of `StepEnded`."""
        if self._journal is None:
            return _record_nothing()
        body = StepEnded(place.path, place.trail, digest, msgspec.Raw(value), began=began, **more)
        return self._add(self._journal, body) if self._late else self._journal.add(body)

    async def fail(self, place: Place, digest: str, error: AgnoError, *, began: float, run: str | None = None) -> None:
        """Record the failure of a step, with the usage of a run that failed."""
        if self._journal is None:
            return
        usage = None if error.result is None else error.result.usage
        stored = store_error(error)
        await self._add(
            self._journal,
            StepEnded(place.path, place.trail, digest, NO_STATE, stored, run=run, usage=usage, began=began),
        )
        self._failures.append((error, place.path))

    def fail_later(self, place: Place, error: AgnoError) -> None:
        """Record the failure of a block together with the next step."""
        if self._journal is not None:
            self._late.append(StepEnded(place.path, place.trail, error=store_error(error)))

    def _add(self, journal: Journal, body: StepBegun | StepEnded) -> Awaitable[None]:
        late, self._late = self._late, []
        return journal.add(*late, body)

    def note_end(self, exc: BaseException) -> None:
        """Note the failures behind the end of the run: a resumed run takes only the failed steps again."""
        if self._journal is None:
            return
        todo, ends = list(leaves(exc)), set[int]()
        while todo:
            each = todo.pop()
            if id(each) not in ends:
                ends.add(id(each))
                todo += leaves(each.__cause__) if each.__cause__ is not None else ()
                todo += [other for first, other in self._related if first is each]
        self._journal.again = tuple(dict.fromkeys(path for error, path in self._failures if id(error) in ends))

    def relate(self, first: BaseException, other: BaseException) -> None:
        """Note another failure in a group that raises the first one: both are to be tried again, or neither."""
        self._related.append((first, other))
