"""The contracts for stores detect faulty stores, one rule each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel

from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import BackendError, NotFound, SessionConflict
from agno_rt.memory import Fact, Session
from agno_rt.messages import Message
from agno_rt.run_store import (
    Approval,
    ApprovalStatus,
    Decision,
    Entry,
    Grant,
    RunChange,
    RunConflict,
    RunRecord,
    RunStatus,
)
from agno_rt.testing.contracts import (
    CacheContract,
    FactContract,
    GrantContract,
    LockContract,
    MemoryContract,
    RunContract,
)


class Uncounting(InProcessMemory):
    """Counts the loaded messages only."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """Set the total to the number of loaded messages."""
        loaded = await super().load(session, last)
        return attrs.evolve(loaded, total=len(loaded.messages))


class Dropping(InProcessMemory):
    """Loses the data at an append without data."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Replace missing data with nothing."""
        return await super().append(session, messages, version=version, user=user, data=data or b"")


class Hasty(InProcessMemory):
    """Writes the data before the check of the version."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Write the data even after a conflict."""
        try:
            return await super().append(session, messages, version=version, user=user, data=data, agent=agent)
        except SessionConflict:
            self._sessions[session].data = data or b""
            raise


class Halving(InProcessMemory):
    """Stores half of the messages at a cancellation."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Pause in the middle."""
        version = await super().append(session, messages[:1], version=version, user=user)
        await trio.lowlevel.checkpoint()
        self._sessions[session].version -= 1
        return await super().append(session, messages[1:], version=version - 1, data=data)


class Texting(InProcessMemory):
    """Keeps the text of messages alone."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """Remove media."""
        loaded = await super().load(session, last)
        return attrs.evolve(loaded, messages=[attrs.evolve(each, content=each.text) for each in loaded.messages])


class Indiscreet(InProcessMemory):
    """Lists the standing approvals of everybody, also ended ones."""

    async def grants(self, **filters: Any) -> list[Grant]:
        """List all."""
        return sorted(self._grants.values(), key=lambda each: -each.created_at)


class Keeping(InProcessMemory):
    """Keeps revoked standing approvals."""

    async def revoke_grant(self, grant: str) -> bool:
        """Say so, and keep it."""
        return grant in self._grants


class Open(InProcessMemory):
    """Keeps the facts of all users together."""

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """Keep the fact for everybody."""
        fact = await super().remember(user, text, session=session, topics=topics)
        for other in ("bob", "ann"):
            if user and other != user:
                await super().remember(other, text)
        return fact


class Telling(InProcessMemory):
    """Reveals another user's fact in an error."""

    async def forget(self, user: str, id: str | None = None) -> int:
        """Forget the fact of any user."""
        owners = [owner for owner, known in self._users.items() if id in known.facts]
        return await super().forget(owners[0] if owners else user, id)


class Reusing(InProcessMemory):
    """Uses the id of a forgotten fact again."""

    async def forget(self, user: str, id: str | None = None) -> int:
        """Count back."""
        known = self._users.get(user)
        count = await super().forget(user, id)
        if known is not None and id is not None:
            known.made -= 1
        return count


class Repeating(InProcessMemory):
    """Keeps the same fact again."""

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """Make each text different."""
        self.count = getattr(self, "count", 0) + 1
        return await super().remember(user, f"{text}{' ' + str(self.count) if text.strip() else ''}", topics=topics)


class Quiet(InProcessMemory):
    """Ignores missing facts."""

    async def forget(self, user: str, id: str | None = None) -> int:
        """Forget nothing."""
        try:
            return await super().forget(user, id)
        except NotFound:
            return 0


class Unordered(InProcessMemory):
    """Lists facts oldest first."""

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """Reverse the order."""
        return (await super().facts(user, query=query, limit=limit))[::-1]


class Listing(InProcessMemory):
    """Finds everything, for any query."""

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """Ignore the query."""
        return await super().facts(user, limit=limit)


class Lasting(InProcessMemory):
    """Keeps cached values for ever."""

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """Ignore the time."""
        await super().cache(key, value, size=size)


class Growing(InProcessMemory):
    """Keeps any number of cached values."""

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """Ignore the size."""
        await super().cache(key, value, seconds=seconds)


class Fifo(InProcessMemory):
    """Forgets by age, not by use."""

    async def cached(self, key: str) -> bytes | None:
        """Look without touching."""
        order = list(self._cached)
        value = await super().cached(key)
        for each in order:
            if each in self._cached:
                self._cached.move_to_end(each)
        return value


class Loud(InProcessMemory):
    """Does not tell keys of other case apart."""

    async def cached(self, key: str) -> bytes | None:
        """Look up in lower case."""
        return await super().cached(key.lower())


class Careless(InProcessMemory):
    """Lets anybody write to a run."""

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """Write as the owner, or claim the run."""
        if run in self._runs:
            owner = self._runs[run].record.owner or (await self.claim_run(run, owner, held_by=None)).owner or ""
        await super().write_run(run, entries, owner=owner)


class Renumbering(InProcessMemory):
    """Closes gaps by itself."""

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """Number the entries anew."""
        first = len(self._runs[run].entries) if run in self._runs else 0
        renumbered = [attrs.evolve(entry, seq=seq) for seq, entry in enumerate(entries, first)]
        await super().write_run(run, renumbered, owner=owner)


class Overwriting(InProcessMemory):
    """Lets a new run replace a run of the same id."""

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """Delete the existing run."""
        await self.delete_run(run.id)
        await super().create_run(run, entries)


class Stepwise(InProcessMemory):
    """Ends a run in two steps: the run, then its session."""

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """Change the session last."""
        await super().change_run(run, attrs.evolve(change, append=None), owner=owner)
        more = change.append
        return None if more is None else await self.append(more.session, more.messages, version=more.version)


class SessionFirst(InProcessMemory):
    """Ends a run in two steps: its session, then the run."""

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """Change the session first."""
        more, version = change.append, None
        if more is not None:
            version = await self.append(
                more.session, more.messages, version=more.version, user=more.user, data=more.data
            )
        await super().change_run(run, attrs.evolve(change, append=None), owner=owner)
        return version


class Possessive(InProcessMemory):
    """Keeps the owner of a released run."""

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """Set the owner again."""
        version = await super().change_run(run, change, owner=owner)
        self._runs[run].record = attrs.evolve(self._runs[run].record, owner=owner)
        return version


class Generous(InProcessMemory):
    """Gives a run to any claimer."""

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """Take the run from any owner."""
        held_by = self._runs[run].record.owner if run in self._runs else None
        return await super().claim_run(run, owner, held_by=held_by)


class Slow(InProcessMemory):
    """Reads, waits, and then writes."""

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """Let two callers pass."""
        free = run in self._runs and self._runs[run].record.owner == held_by
        await trio.lowlevel.checkpoint()
        held_by = self._runs[run].record.owner if free else held_by
        return await super().claim_run(run, owner, held_by=held_by)

    async def decide(self, approval: str, decision: Decision) -> Approval:
        """Let two callers pass."""
        known = self._approvals.get(approval)
        await trio.lowlevel.checkpoint()
        if known is not None:
            self._approvals[approval] = known
        return await super().decide(approval, decision)


class Reviving(InProcessMemory):
    """Allows claims of completed runs."""

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """Treat the run as paused."""
        if run in self._runs and self._runs[run].record.status == "completed":
            self._runs[run].record = attrs.evolve(self._runs[run].record, status="paused")
        return await super().claim_run(run, owner, held_by=held_by)


class Ordered(InProcessMemory):
    """Lists runs by creation time, for all users."""

    async def runs(
        self,
        *,
        status: RunStatus | None = None,
        session: str | None = None,
        user: str | None = None,
        unowned: bool = False,
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """Put the newest first."""
        found = await super().runs(status=status, session=session, limit=limit)
        return sorted(found, key=lambda run: run.created_at, reverse=True)


class Skipping(InProcessMemory):
    """Goes on after a time, and skips the other runs of that time."""

    async def runs(self, *, before: tuple[float, str] | None = None, **wanted: Any) -> list[RunRecord]:
        """Forget the id."""
        return await super().runs(before=None if before is None else (before[0], ""), **wanted)


class Unasked(InProcessMemory):
    """Forgets the request of a run."""

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """Leave the request out."""
        await super().create_run(attrs.evolve(run, request=None), entries)


class Deep(InProcessMemory):
    """Lists the runs within the runs within, too."""

    async def runs_within(self, parents: Sequence[str]) -> list[RunRecord]:
        """Add the next level."""
        found = await super().runs_within(parents)
        return found + await super().runs_within([each.id for each in found])


class Eager(InProcessMemory):
    """Cancels a run at once, with any owner."""

    async def cancel_run(self, run: str) -> bool:
        """Take the run from its owner."""
        asked = await super().cancel_run(run)
        if asked:
            self._runs[run].record = attrs.evolve(self._runs[run].record, status="cancelled", owner=None)
        return asked


class Grudging(InProcessMemory):
    """Remembers a cancellation for ever."""

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """Keep the mark."""
        asked = run in self._runs and self._runs[run].record.cancel_requested
        record = await super().claim_run(run, owner, held_by=held_by)
        self._runs[run].record = record = attrs.evolve(record, cancel_requested=asked)
        return record


class Hoarding(InProcessMemory):
    """Keeps the approvals of a deleted run."""

    async def delete_run(self, run: str) -> bool:
        """Forget the run alone."""
        return self._runs.pop(run, None) is not None


class Silent(InProcessMemory):
    """Ignores unknown runs."""

    async def cancel_run(self, run: str) -> bool:
        """Treat an unknown run as ended."""
        return run in self._runs and await super().cancel_run(run)


class Forgetful(InProcessMemory):
    """Loses the schema of approvals."""

    async def approvals(
        self,
        *,
        run: str | None = None,
        status: ApprovalStatus | None = None,
        user: str | None = None,
        unowned: bool = False,
        limit: int = 100,
    ) -> list[Approval]:
        """Remove the schema."""
        found = await super().approvals(run=run, status=status, user=user, limit=limit)
        return [attrs.evolve(each, schema=None) for each in found]


class Patient(InProcessMemory):
    """Lets approvals wait for ever."""

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """Ignore the time."""
        approvals = [attrs.evolve(each, expires_at=None) for each in change.approvals]
        return await super().change_run(run, attrs.evolve(change, approvals=approvals), owner=owner)


class Partial(InProcessMemory):
    """Writes a part before a cancellation."""

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """Pause in the middle."""
        await super().write_run(run, entries[:1], owner=owner)
        await trio.lowlevel.checkpoint()
        await super().write_run(run, entries[1:], owner=owner)


class Sloppy(InProcessMemory):
    """Does not count the entries of a new run."""

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """Leave the count alone."""
        await super().create_run(run, entries)
        self._runs[run.id].record = attrs.evolve(self._runs[run.id].record, entries=0)


class Timeless(InProcessMemory):
    """Forgets the creation time of runs."""

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """Leave the times alone."""
        await super().create_run(run, entries)
        self._runs[run.id].record = attrs.evolve(self._runs[run.id].record, created_at=0.0)


class Welcoming(InProcessMemory):
    """Lets every user append to every session."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Treat everybody as the session's own user."""
        stored = self._sessions.get(session)
        user = user if stored is None else stored.user
        return await super().append(session, messages, version=version, user=user, data=data, agent=agent)


class Racing(InProcessMemory):
    """Checks for the session, waits, and then creates the session."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Replace another user's session with the new one."""
        is_new = session not in self._sessions
        await trio.lowlevel.checkpoint()
        if is_new:
            self._sessions.pop(session, None)
        return await super().append(session, messages, version=version, user=user, data=data, agent=agent)


class Boundless(InProcessMemory):
    """Stores sessions and runs under every name."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Rename the session after its creation."""
        if session in self._sessions:
            return await super().append(session, messages, version=version, user=user, data=data, agent=agent)
        version = await super().append("new", messages, version=version, data=data)
        self._sessions[session] = stored = self._sessions.pop("new")
        stored.user = user
        return version

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """Rename the run after its creation."""
        await super().create_run(RunRecord("new", "agent"), entries)
        self._runs[run.id] = self._runs.pop("new")


class Trusting(InProcessMemory):
    """Lets the run of any user end in any session."""

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """Append as the session's own user."""
        more = change.append
        if more is not None and more.session in self._sessions:
            change = attrs.evolve(change, append=attrs.evolve(more, user=self._sessions[more.session].user))
        return await super().change_run(run, change, owner=owner)


class Showing(InProcessMemory):
    """Shows every user all approvals."""

    async def approvals(
        self,
        *,
        run: str | None = None,
        status: ApprovalStatus | None = None,
        user: str | None = None,
        unowned: bool = False,
        limit: int = 100,
    ) -> list[Approval]:
        """Ignore the user."""
        return await super().approvals(run=run, status=status, limit=limit)


class Cutting(InProcessMemory):
    """Filters approvals by user after the limit."""

    async def approvals(
        self,
        *,
        run: str | None = None,
        status: ApprovalStatus | None = None,
        user: str | None = None,
        unowned: bool = False,
        limit: int = 100,
    ) -> list[Approval]:
        """Apply the limit first."""
        found = await super().approvals(run=run, status=status, limit=limit)
        return [each for each in found if user in (None, each.user)]


@pytest.mark.parametrize(
    ("contract", "backend", "test"),
    [
        (MemoryContract, Welcoming, "test_a_session_belongs_to_its_user"),
        (MemoryContract, Racing, "test_one_of_two_users_gets_a_new_session"),
        (MemoryContract, Welcoming, "test_a_session_that_was_deleted_belongs_to_nobody"),
        (MemoryContract, Boundless, "test_refuses_a_name_that_is_none"),
        (RunContract, Trusting, "test_a_run_ends_in_a_session_of_its_user"),
        (RunContract, Boundless, "test_refuses_a_run_with_such_a_name"),
        (RunContract, Showing, "test_lists_the_approvals_of_a_user"),
        (RunContract, Cutting, "test_lists_the_approvals_of_a_user"),
        (MemoryContract, Uncounting, "test_counts_all_messages"),
        (MemoryContract, Dropping, "test_keeps_data_beside_the_messages"),
        (MemoryContract, Hasty, "test_messages_and_data_are_one_step"),
        (MemoryContract, Halving, "test_a_call_that_is_cancelled_first_does_nothing"),
        (MemoryContract, Texting, "test_keeps_every_kind_of_message"),
        (RunContract, object, "test_is_a_run_store"),
        (RunContract, Timeless, "test_keeps_a_record"),
        (RunContract, Sloppy, "test_keeps_a_journal"),
        (RunContract, Overwriting, "test_refuses_an_id_that_is_taken"),
        (RunContract, Renumbering, "test_refuses_a_gap"),
        (RunContract, Careless, "test_only_the_owner_writes"),
        (RunContract, Possessive, "test_lets_go_of_a_run"),
        (RunContract, Stepwise, "test_the_end_of_a_run_is_one_step"),
        (RunContract, SessionFirst, "test_a_refused_end_leaves_the_session_alone"),
        (RunContract, Generous, "test_claims_a_run"),
        (RunContract, Slow, "test_one_of_two_claims_wins"),
        (RunContract, Reviving, "test_a_run_that_is_over"),
        (RunContract, Ordered, "test_lists_runs"),
        (RunContract, Ordered, "test_lists_runs_after_a_place"),
        (RunContract, Skipping, "test_pages_show_each_run_once"),
        (RunContract, Unasked, "test_lists_the_runs_of_a_request"),
        (RunContract, Deep, "test_lists_runs_within"),
        (RunContract, Eager, "test_cancels_runs"),
        (RunContract, Grudging, "test_a_claim_undoes_a_cancellation"),
        (RunContract, Hoarding, "test_deletes_runs"),
        (RunContract, Silent, "test_a_run_that_nobody_knows"),
        (RunContract, Forgetful, "test_keeps_approvals"),
        (RunContract, Slow, "test_decides_once"),
        (RunContract, Patient, "test_approvals_expire"),
        (RunContract, Partial, "test_a_write_that_is_cancelled_first_does_nothing"),
        (FactContract, object, "test_is_a_fact_store"),
        (FactContract, Unordered, "test_remembers_facts"),
        (FactContract, Repeating, "test_keeps_a_fact_once"),
        (FactContract, Listing, "test_searches_by_words"),
        (FactContract, Unordered, "test_corrects_a_fact"),
        (FactContract, Reusing, "test_forgets"),
        (FactContract, Quiet, "test_forgets"),
        (FactContract, Open, "test_users_have_nothing_in_common"),
        (FactContract, Telling, "test_users_have_nothing_in_common"),
        (GrantContract, Indiscreet, "test_selects_by_user_and_tool"),
        (GrantContract, Indiscreet, "test_ended_grants_are_gone"),
        (GrantContract, Keeping, "test_revokes"),
        (CacheContract, object, "test_is_a_cache_store"),
        (CacheContract, Loud, "test_keeps_values"),
        (CacheContract, Lasting, "test_a_value_has_its_time"),
        (CacheContract, Growing, "test_forgets_those_asked_for_longest_ago"),
        (CacheContract, Fifo, "test_forgets_those_asked_for_longest_ago"),
    ],
)
def test_the_contracts_catch(contract: type[Any], backend: type[Any], test: str) -> None:
    """Each test of a contract fails for a store with the fault, and passes for a sound store."""

    class Broken(contract):  # type: ignore[misc]  # one of three
        def make_memory(self) -> Any:
            return backend()

    class Sound(contract):  # type: ignore[misc]  # one of three
        def make_memory(self) -> Any:
            return InProcessMemory()

    getattr(Sound(), test)()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Broken(), test)()


@pytest.mark.parametrize("contract", [MemoryContract, RunContract, FactContract, CacheContract])
def test_a_contract_without_a_store_says_so(contract: type[Any]) -> None:
    """A subclass without its factory raises an error with the method to override."""
    with pytest.raises(NotImplementedError, match="override make_memory"):
        contract().make_memory()


def test_contracts_combine() -> None:
    """One class may combine all contracts of a backend."""
    contracts = (MemoryContract, RunContract, FactContract, CacheContract)

    class Whole(*contracts):  # type: ignore[misc]  # the four of them
        def make_memory(self) -> Any:
            return InProcessMemory()

    tests = [name for name in dir(Whole) if name.startswith("test_")]
    assert len(tests) == sum(len([name for name in dir(each) if name.startswith("test_")]) for each in contracts)
    for test in tests:
        getattr(Whole(), test)()


class Locking(InProcessMemory):
    """Locks sessions in a set shared by several backends."""

    def __init__(self, held: set[str]) -> None:
        super().__init__()
        self.held = held
        self.mine: set[str] = set()

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """Take the lock when free."""
        while wait and session in self.held:
            await trio.lowlevel.checkpoint()
        if session in self.held:
            return False
        self.held.add(session)
        self.mine.add(session)
        return True

    async def unlock_session(self, session: str) -> None:
        """Release the lock."""
        self.held.discard(session)

    async def aclose(self) -> None:
        """Release all locks."""
        self.held -= self.mine


class Crowding(Locking):
    """Gives a session to all waiting callers."""

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """Do not wait."""
        return wait or await super().lock_session(session, wait=wait)


class Coarse(Locking):
    """Has a single lock for all sessions."""

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """Lock all sessions."""
        return await super().lock_session("all", wait=wait)


class Clinging(Locking):
    """Unlocks only without a cancellation."""

    async def unlock_session(self, session: str) -> None:
        """Pause first."""
        await trio.lowlevel.checkpoint()
        await super().unlock_session(session)


class Dying(Locking):
    """Keeps its locks when closed."""

    async def aclose(self) -> None:
        """Release nothing."""


class Booking(Locking):
    """Keeps a place in the queue for cancelled waiters."""

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """Wait behind cancelled waiters, too."""
        if wait:
            self.held.add(f"{session} is booked")
        if not wait and f"{session} is booked" in self.held:
            return False
        return await super().lock_session(session, wait=wait)


@pytest.mark.parametrize(
    ("backend", "test"),
    [
        (Crowding, "test_waits_for_a_session"),
        (Coarse, "test_locks_sessions"),
        (Clinging, "test_unlocks_while_it_is_cancelled"),
        (Dying, "test_what_is_closed_holds_nothing"),
        (Booking, "test_a_wait_that_is_cancelled"),
    ],
)
def test_what_a_lock_is_held_to(backend: type[Locking], test: str) -> None:
    """Each test of the contract for locks fails for a backend with the fault, and passes for a sound one."""
    held: set[str] = set()

    class Sound(LockContract):
        made = Locking

        def make_memory(self) -> Any:
            held.clear()
            return self.made(held)

        def open_again(self) -> Any:
            return self.made(held)

    class Broken(Sound):
        made = backend

    getattr(Sound(), test)()
    with pytest.raises((AssertionError, trio.Cancelled)):
        getattr(Broken(), test)()


class Shared(InProcessMemory):
    """Outlasts its closing, but loses the last session, the last step of each run, and all facts."""

    async def aclose(self) -> None:
        """Forget a part."""
        if self._sessions:
            self._sessions.popitem()
        for stored in self._runs.values():
            del stored.entries[-1:]
        for known in self._users.values():
            known.facts.clear()


@pytest.mark.parametrize(
    ("contract", "test"),
    [
        (MemoryContract, "test_sessions_outlast_the_backend"),
        (RunContract, "test_runs_outlast_the_backend"),
        (FactContract, "test_facts_outlast_the_backend"),
    ],
)
def test_what_should_outlast_the_backend(contract: type[Any], test: str) -> None:
    """A store with `open_again` must keep everything; a store without is not tested."""

    class Durable(contract):  # type: ignore[misc]  # one of three
        def make_memory(self) -> Any:
            self.shared = Shared()
            return self.shared

        def open_again(self) -> Any:
            return self.shared

    class Passing(contract):  # type: ignore[misc]  # one of three
        def make_memory(self) -> Any:
            return Shared()

    getattr(Passing(), test)()
    with pytest.raises((AssertionError, ValueError)):
        getattr(Durable(), test)()


class Failing(InProcessMemory):
    """Fails on request, although the values are stored."""

    broken = False

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Store the messages, then fail."""
        version = await super().append(session, messages, version=version, user=user, data=data, agent=agent)
        self._fail()
        return version

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """Store the entries, then fail."""
        await super().write_run(run, entries, owner=owner)
        self._fail()

    def _fail(self) -> None:
        if self.broken:
            raise BackendError("the store is broken", hint="Mend it.")


@pytest.mark.parametrize(
    ("contract", "test"),
    [(MemoryContract, "test_a_store_that_fails"), (RunContract, "test_a_journal_in_a_store_that_fails")],
)
def test_what_a_fault_may_do(contract: type[Any], test: str) -> None:
    """A store with `make_faults` must raise an error, and store nothing."""

    class Faulty(contract):  # type: ignore[misc]  # one of two
        def make_memory(self) -> Any:
            self.memory = Failing()
            return self.memory

        def make_faults(self) -> list[AbstractContextManager[object]]:
            return [self._broken()]

        @contextmanager
        def _broken(self) -> Iterator[None]:
            self.memory.broken = True
            yield
            self.memory.broken = False

    with pytest.raises((SessionConflict, RunConflict)):
        getattr(Faulty(), test)()
