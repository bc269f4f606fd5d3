"""The contracts for stores catch those that break them, one rule each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio

from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import NotFound, SessionConflict
from agno_rt.memory import Fact, Session
from agno_rt.messages import Message
from agno_rt.testing.contracts import CacheContract, FactContract, MemoryContract


class Uncounting(InProcessMemory):
    """Counts what it loaded."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """Say that what was asked for is all."""
        loaded = await super().load(session, last)
        return attrs.evolve(loaded, total=len(loaded.messages))


class Dropping(InProcessMemory):
    """Loses the data where an append has none."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
    ) -> int:
        """Put nothing in the place of the data."""
        return await super().append(session, messages, version=version, user=user, data=data or b"")


class Hasty(InProcessMemory):
    """Writes the data before it looks at the version."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
    ) -> int:
        """Two steps."""
        try:
            return await super().append(session, messages, version=version, user=user, data=data)
        except SessionConflict:
            self._sessions[session].data = data or b""
            raise


class Halving(InProcessMemory):
    """Stores half of the messages when it is cancelled."""

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
    ) -> int:
        """Wait in the middle."""
        version = await super().append(session, messages[:1], version=version, user=user)
        await trio.lowlevel.checkpoint()
        self._sessions[session].version -= 1
        return await super().append(session, messages[1:], version=version - 1, data=data)


class Texting(InProcessMemory):
    """Keeps the text of messages alone."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """Leave media out."""
        loaded = await super().load(session, last)
        return attrs.evolve(loaded, messages=[attrs.evolve(each, content=each.text) for each in loaded.messages])


class Open(InProcessMemory):
    """Keeps the facts of all users together."""

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """Keep it for everybody."""
        fact = await super().remember(user, text, session=session, topics=topics)
        for other in ("bob", "ann"):
            if user and other != user:
                await super().remember(other, text)
        return fact


class Telling(InProcessMemory):
    """Says in an error what another user's fact is."""

    async def forget(self, user: str, id: str | None = None) -> int:
        """Forget whoever's it is."""
        owners = [owner for owner, known in self._users.items() if id in known.facts]
        return await super().forget(owners[0] if owners else user, id)


class Reusing(InProcessMemory):
    """Gives the id of a forgotten fact to the next."""

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
        """Make every text another."""
        self.count = getattr(self, "count", 0) + 1
        return await super().remember(user, f"{text}{' ' + str(self.count) if text.strip() else ''}", topics=topics)


class Quiet(InProcessMemory):
    """Says nothing of what is not there."""

    async def forget(self, user: str, id: str | None = None) -> int:
        """Forget nothing."""
        try:
            return await super().forget(user, id)
        except NotFound:
            return 0


class Unordered(InProcessMemory):
    """Lists facts oldest first."""

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """Turn them round."""
        return (await super().facts(user, query=query, limit=limit))[::-1]


class Listing(InProcessMemory):
    """Finds everything, whatever is searched for."""

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


@pytest.mark.parametrize(
    ("contract", "backend", "test"),
    [
        (MemoryContract, Uncounting, "test_counts_all_messages"),
        (MemoryContract, Dropping, "test_keeps_data_beside_the_messages"),
        (MemoryContract, Hasty, "test_messages_and_data_are_one_step"),
        (MemoryContract, Halving, "test_a_call_that_is_cancelled_first_does_nothing"),
        (MemoryContract, Texting, "test_keeps_every_kind_of_message"),
        (FactContract, object, "test_is_a_fact_store"),
        (FactContract, Unordered, "test_remembers_facts"),
        (FactContract, Repeating, "test_keeps_a_fact_once"),
        (FactContract, Listing, "test_searches_by_words"),
        (FactContract, Unordered, "test_corrects_a_fact"),
        (FactContract, Reusing, "test_forgets"),
        (FactContract, Quiet, "test_forgets"),
        (FactContract, Open, "test_users_have_nothing_in_common"),
        (FactContract, Telling, "test_users_have_nothing_in_common"),
        (CacheContract, object, "test_is_a_cache_store"),
        (CacheContract, Loud, "test_keeps_values"),
        (CacheContract, Lasting, "test_a_value_has_its_time"),
        (CacheContract, Growing, "test_forgets_those_asked_for_longest_ago"),
        (CacheContract, Fifo, "test_forgets_those_asked_for_longest_ago"),
    ],
)
def test_the_contracts_catch(contract: type[Any], backend: type[Any], test: str) -> None:
    """Each test of a contract fails for a store that breaks its rule, and holds for one that keeps it."""

    class Broken(contract):  # type: ignore[misc]  # one of three
        def make_memory(self) -> Any:
            return backend()

    class Sound(contract):  # type: ignore[misc]  # one of three
        def make_memory(self) -> Any:
            return InProcessMemory()

    getattr(Sound(), test)()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Broken(), test)()


@pytest.mark.parametrize("contract", [MemoryContract, FactContract, CacheContract])
def test_a_contract_without_a_store_says_so(contract: type[Any]) -> None:
    """A subclass that forgot its factory is told."""
    with pytest.raises(NotImplementedError, match="override make_memory"):
        contract().make_memory()


def test_contracts_combine() -> None:
    """One class runs all the contracts of a backend that does it all."""

    class Whole(MemoryContract, FactContract, CacheContract):
        def make_memory(self) -> Any:
            return InProcessMemory()

    tests = [name for name in dir(Whole) if name.startswith("test_")]
    assert len(tests) == sum(
        len([name for name in vars(each) if name.startswith("test_")])
        for each in (MemoryContract, FactContract, CacheContract)
    )
    for test in tests:
        getattr(Whole(), test)()
