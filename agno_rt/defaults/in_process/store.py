"""Facts and cached answers in this process, gone when it ends: parts of `InProcessMemory`.

No method awaits before its work is done, so each method is atomic.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import attrs

from agno_rt.defaults.in_process.bounds import MemoryBounds, no_room
from agno_rt.defaults.rules import check_names
from agno_rt.facts import (
    MAX_FACTS,
    duplicate_fact,
    fact_key,
    fact_text,
    fact_topics,
    known_user,
    ranked,
    too_many_facts,
    unknown_fact,
)
from agno_rt.memory import Fact

__all__ = ["InProcessCache", "InProcessFacts"]


@attrs.define(eq=False)
class _User:
    """The facts about one user by id, the most recently changed last; and the ids by fact key."""

    facts: dict[str, Fact] = attrs.Factory(dict)
    ids: dict[str, str] = attrs.Factory(dict)
    made: int = 0


class InProcessFacts:
    """A `FactStore` in a dictionary."""

    _clock: Callable[[], float]

    def __init__(self, bounds: MemoryBounds) -> None:
        self._users: dict[str, _User] = {}
        self._facts = 0
        self._most_facts = bounds.facts

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """See `FactStore.remember`."""
        user, text, topics = known_user(user), fact_text(text), fact_topics(topics)
        check_names(session, user)
        known = self._users.get(user) or _User()
        key = fact_key(text)
        if key in known.ids:
            return known.facts[known.ids[key]]
        if len(known.facts) >= MAX_FACTS:
            raise too_many_facts(user)
        if self._facts >= self._most_facts:
            raise no_room("another fact", f"{self._most_facts:,} facts about all users together")
        self._facts += 1
        # Never counted down, so that the id of a forgotten fact is not used again.
        known.made += 1
        now = self._clock()
        fact = Fact(f"f{known.made}", user, text, now, now, session, topics)
        known.facts[fact.id], known.ids[key] = fact, fact.id
        self._users[user] = known
        return fact

    def _import_facts(self, user: str, facts: Sequence[Fact]) -> int:
        """Keep facts of another store, the last changed first, and return how many were new."""
        known = self._users.get(user) or _User()
        new = [fact for fact in facts if fact.id not in known.facts and fact_key(fact.text) not in known.ids]
        if self._facts + len(new) > self._most_facts:
            raise no_room("more facts", f"{self._most_facts:,} facts about all users together")
        for fact in reversed(new):
            known.facts[fact.id], known.ids[fact_key(fact.text)] = fact, fact.id
        # The numbers go on after these ids, so that no later fact gets one of them.
        ids = [int(fact.id[1:]) for fact in new if fact.id[:1] == "f" and fact.id[1:].isdecimal()]
        known.made = max(known.made, *ids, 0)
        if new:
            self._users[user] = known
        self._facts += len(new)
        return len(new)

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """See `FactStore.facts`."""
        known = self._users.get(user)
        newest_first = [] if known is None else list(known.facts.values())[::-1]
        return newest_first[:limit] if query is None else ranked(newest_first, query, limit)

    async def correct(self, user: str, id: str, text: str) -> Fact:
        """See `FactStore.correct`."""
        text, known = fact_text(text), self._users.get(user) or _User()
        if id not in known.facts:
            raise unknown_fact(id, known.facts)
        key = fact_key(text)
        if known.ids.get(key, id) != id:
            raise duplicate_fact(id, known.ids[key])
        old = known.facts.pop(id)
        del known.ids[fact_key(old.text)]
        fact = attrs.evolve(old, text=text, updated_at=self._clock())
        known.facts[id], known.ids[key] = fact, id
        return fact

    async def forget(self, user: str, id: str | None = None) -> int:
        """See `FactStore.forget`."""
        if id is None:
            known = self._users.pop(user, None)
            forgotten = 0 if known is None else len(known.facts)
            self._facts -= forgotten
            return forgotten
        known = self._users.get(user) or _User()
        if id not in known.facts:
            raise unknown_fact(id, known.facts)
        del known.ids[fact_key(known.facts.pop(id).text)]
        self._facts -= 1
        return 1


class InProcessCache:
    """A `CacheStore` in a dictionary."""

    _clock: Callable[[], float]

    def __init__(self, bounds: MemoryBounds) -> None:
        # The most recently read are at the end: a dictionary keeps the order of insertion.
        self._cached: OrderedDict[str, tuple[bytes, float | None]] = OrderedDict()
        self._cached_bytes = 0
        self._cache_bounds = bounds

    async def cached(self, key: str) -> bytes | None:
        """See `CacheStore.cached`."""
        entry = self._cached.get(key)
        if entry is None:
            return None
        if entry[1] is not None and self._clock() >= entry[1]:
            self._uncache(key)
            return None
        self._cached.move_to_end(key)
        return entry[0]

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """See `CacheStore.cache`."""
        self._uncache(key)
        self._cached[key] = value, None if seconds is None else self._clock() + seconds
        self._cached_bytes += len(value)
        most = self._cache_bounds.cached if size is None else min(size, self._cache_bounds.cached)
        # A value beyond the whole size is dropped at once: a cache may forget anything.
        while len(self._cached) > most or self._cached_bytes > self._cache_bounds.size:
            self._uncache(next(iter(self._cached)))

    async def uncache(self, key: str | None = None) -> int:
        """See `CacheStore.uncache`."""
        if key is not None:
            return self._uncache(key)
        count, self._cached_bytes = len(self._cached), 0
        self._cached.clear()
        return count

    def _uncache(self, key: str) -> int:
        entry = self._cached.pop(key, None)
        if entry is None:
            return 0
        self._cached_bytes -= len(entry[0])
        return 1
