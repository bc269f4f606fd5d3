"""The parts of `MemoryContract` and `RunContract` on owners and names."""

from __future__ import annotations

import attrs
import pytest
import trio

from agno_rt.errors import Forbidden, UsageError
from agno_rt.memory import MemoryBackend
from agno_rt.messages import Message
from agno_rt.names import MAX_NAME
from agno_rt.run_store import Appending, RunChange, RunRecord, RunStore
from agno_rt.testing._approval_rules import ANN, APPROVE, make_approval, make_entries
from agno_rt.testing._checks import StoreContract

__all__ = ["LONGEST_NAME", "REFUSED_NAMES", "RunOwnership", "SessionOwnership"]

OTHERS: tuple[tuple[str | None, str | None], ...] = (
    ("ann", "bob"),
    ("ann", "Ann"),
    ("ann", "ann "),
    ("ann", "a%"),
    ("ann", None),
    (None, "bob"),
)
"""Pairs of an owner and somebody without access."""

# Empty, too long, with a line end, NUL, an escape sequence of terminals, a right-to-left override, half a surrogate.
REFUSED_NAMES = ("", "x" * (MAX_NAME + 1), "a\nb", "a\0", "\x1b[2J", "a\u202eb", "a\ud800")
LONGEST_NAME = "\N{WAVING HAND SIGN}" * MAX_NAME


class SessionOwnership(StoreContract):
    """Rules for the users of sessions of every `MemoryBackend`."""

    def test_a_session_belongs_to_its_user(self) -> None:
        """An append for another user, or for none, raises `Forbidden`, stores nothing, and does not name the owner.

        The version does not matter. A session without a user does not accept appends for a user either.
        """

        async def check(memory: MemoryBackend) -> None:
            for number, (owner, other) in enumerate(OTHERS):
                name = f"s{number}"
                await memory.append(name, [Message("user", "secret")], version=0, user=owner, data=b"data")
                before = await memory.load(name)
                for version in (1, 0, 2):
                    with pytest.raises(Forbidden, match=name) as caught:
                        await memory.append(name, [Message("user", "x")], version=version, user=other, data=b"x")
                    assert "ann" not in caught.value.full_text
                    assert "secret" not in caught.value.full_text
                assert await memory.load(name) == before
                assert before.user == owner
                assert await memory.append(name, [], version=1, user=owner) == 2

        self._with_memory(check)

    def test_one_of_two_users_gets_a_new_session(self) -> None:
        """If two users begin a session at once, one of them owns the session, and nothing of the other is stored."""

        async def check(memory: MemoryBackend) -> None:
            refused: list[str] = []

            async def write(user: str) -> None:
                try:
                    await memory.append("s", [Message("user", user)], version=0, user=user)
                except Forbidden:
                    refused.append(user)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, "ann")
                nursery.start_soon(write, "bob")
            session = await memory.load("s")
            assert [message.text for message in session.messages] == [session.user]
            assert sorted([*refused, str(session.user)]) == ["ann", "bob"]

        self._with_memory(check)

    def test_a_session_that_was_deleted_belongs_to_nobody(self) -> None:
        """A deleted session may begin again for another user; readers of the old session cannot append."""

        async def check(memory: MemoryBackend) -> None:
            for user, other in (("ann", "bob"), ("bob", None), (None, "ann")):
                version = await memory.append("s", [Message("user", "x")], version=0, user=user)
                await memory.delete("s")
                assert await memory.append("s", [Message("user", "y")], version=0, user=other) == version
                with pytest.raises(Forbidden):
                    await memory.append("s", [Message("user", "late")], version=version, user=user)
                assert [message.text for message in (await memory.load("s")).messages] == ["y"]
                await memory.delete("s")

        self._with_memory(check)

    def test_refuses_a_name_that_is_none(self) -> None:
        """Names of sessions and users that `check_name` refuses are refused; the longest name is accepted."""

        async def check(memory: MemoryBackend) -> None:
            for name in REFUSED_NAMES:
                with pytest.raises(UsageError, match="session"):
                    await memory.append(name, [Message("user", "x")], version=0)
                with pytest.raises(UsageError, match="user"):
                    await memory.append("s", [Message("user", "x")], version=0, user=name)
            assert await memory.sessions() == []
            await memory.append(LONGEST_NAME, [Message("user", "x")], version=0, user=LONGEST_NAME)
            (info,) = await memory.sessions(user=LONGEST_NAME)
            assert (info.id, info.user) == (LONGEST_NAME, LONGEST_NAME)

        self._with_memory(check)


class RunOwnership(StoreContract):
    """Rules for the users of runs of every `RunStore`."""

    def test_a_run_ends_in_a_session_of_its_user(self) -> None:
        """Ending a run in another user's session raises `Forbidden`: nothing is stored of the run or the session."""

        async def check(store: RunStore) -> None:
            assert isinstance(store, MemoryBackend)
            for number, (owner, other) in enumerate(OTHERS):
                name, run = f"s{number}", f"r{number}"
                await store.append(name, [Message("user", "hi")], version=0, user=owner)
                await store.create_run(RunRecord(run, "agent", user=other, owner=ANN))
                append = Appending(name, [Message("user", "x")], 1, other, b"x")
                asked = [make_approval(f"of {run}", run)]
                change = RunChange("completed", "x", entries=make_entries(0, 1), approvals=asked, append=append)
                with pytest.raises(Forbidden, match=name):
                    await store.change_run(run, change, owner=ANN)
                session, (record, entries) = await store.load(name), await store.load_run(run)
                assert (session.total, session.version, session.user, session.data) == (1, 1, owner, b"")
                assert (record.status, record.owner, record.content, entries) == ("running", ANN, "", [])
                assert await store.approvals() == []

        self._with_memory(check)

    def test_refuses_a_run_with_such_a_name(self) -> None:
        """Runs with an id, agent, session or user that `check_name` refuses are not stored."""

        async def check(store: RunStore) -> None:
            for name in REFUSED_NAMES:
                wrong = [RunRecord(name, "a"), RunRecord("r", "a", session=name), RunRecord("r", "a", user=name)]
                # Agents need not have a name.
                for record in [*wrong, *([RunRecord("r", name)] if name else [])]:
                    with pytest.raises(UsageError):
                        await store.create_run(record)
            assert await store.runs() == []
            longest = RunRecord(LONGEST_NAME, LONGEST_NAME, session=LONGEST_NAME, user=LONGEST_NAME)
            await store.create_run(longest)
            assert [each.id for each in await store.runs(user=LONGEST_NAME, session=LONGEST_NAME)] == [LONGEST_NAME]

        self._with_memory(check)

    def test_lists_the_approvals_of_a_user(self) -> None:
        """With a user, the list has the approvals of the user's runs, in order, and no others."""
        runs = (("r", "ann"), ("s", "bob"), ("t", "ann"), ("u", None), ("v", "Ann"))

        async def check(store: RunStore) -> None:
            for run, user in runs:
                await store.create_run(RunRecord(run, "agent", user=user, owner=ANN))
                asked = [attrs.evolve(make_approval(f"{run}{number}", run), user=user) for number in (1, 2)]
                await store.change_run(run, RunChange("paused", approvals=asked), owner=ANN)
            await store.decide("t1", APPROVE)
            found = {user: [each.id for each in await store.approvals(user=user)] for user in ("ann", "bob", "a%", "")}
            assert found == {"ann": ["r1", "r2", "t1", "t2"], "bob": ["s1", "s2"], "a%": [], "": []}
            assert [each.id for each in await store.approvals(user="ann", status="pending", limit=3)] == [
                "r1",
                "r2",
                "t2",
            ]
            assert await store.approvals(user="ann", run="s") == []
            assert [each.id for each in await store.approvals(user="bob", run="s", limit=1)] == ["s1"]
            assert [each.id for each in await store.approvals(unowned=True)] == ["u1", "u2"]
            assert await store.approvals(unowned=True, run="s") == []
            assert len(await store.approvals()) == 10

        self._with_memory(check)
