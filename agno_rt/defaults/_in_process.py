"""Facts and cached answers in this process, gone when it ends: the parts of `InProcessMemory` beside sessions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import attrs

from agno_rt.memory import Fact
from agno_rt.user_memory import (
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

__all__ = ["InProcessCache", "InProcessFacts"]


@attrs.define(eq=False)
class _User:
    """The facts about one user by their ids, those kept or corrected last at the end; and their ids by their keys."""

    facts: dict[str, Fact] = attrs.Factory(dict)
    ids: dict[str, str] = attrs.Factory(dict)
    made: int = 0


class InProcessFacts:
    """A `FactStore` in a dictionary."""

    _clock: Callable[[], float]

    def __init__(self) -> None:
        self._users: dict[str, _User] = {}

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """See `FactStore.remember`."""
        user, text, topics = known_user(user), fact_text(text), fact_topics(topics)
        known = self._users.get(user) or _User()
        key = fact_key(text)
        if key in known.ids:
            return known.facts[known.ids[key]]
        if len(known.facts) >= MAX_FACTS:
            raise too_many_facts(user)
        known.made += 1
        now = self._clock()
        fact = Fact(f"f{known.made}", user, text, now, now, session, topics)
        known.facts[fact.id], known.ids[key] = fact, fact.id
        self._users[user] = known
        return fact

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
            return 0 if known is None else len(known.facts)
        known = self._users.get(user) or _User()
        if id not in known.facts:
            raise unknown_fact(id, known.facts)
        del known.ids[fact_key(known.facts.pop(id).text)]
        return 1


class InProcessCache:
    """A `CacheStore` in a dictionary."""

    _clock: Callable[[], float]

    def __init__(self) -> None:
        # Those asked for last at the end.
        self._cached: OrderedDict[str, tuple[bytes, float | None]] = OrderedDict()

    async def cached(self, key: str) -> bytes | None:
        """See `CacheStore.cached`."""
        entry = self._cached.pop(key, None)
        if entry is None or (entry[1] is not None and self._clock() >= entry[1]):
            return None
        self._cached[key] = entry
        return entry[0]

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """See `CacheStore.cache`."""
        self._cached.pop(key, None)
        self._cached[key] = value, None if seconds is None else self._clock() + seconds
        while size is not None and len(self._cached) > size:
            self._cached.popitem(last=False)

    async def uncache(self, key: str | None = None) -> int:
        """See `CacheStore.uncache`."""
        if key is not None:
            return 0 if self._cached.pop(key, None) is None else 1
        count = len(self._cached)
        self._cached.clear()
        return count
