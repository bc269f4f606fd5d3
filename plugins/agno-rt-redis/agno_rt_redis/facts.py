"""Facts about users, and cached answers, in Redis: parts of `RedisMemory`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

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
from agno_rt_redis.store import Damaged, Store, load_script, read_text

__all__ = ["RedisCache", "RedisFacts"]

NOTED = 1_000
"""The most reads of cached answers to note until the next write."""

_FACTS = load_script("facts")
_CACHE = load_script("cache")
_decode_info = msgspec.json.Decoder(tuple[str | None, tuple[str, ...]]).decode


class RedisFacts(Store):
    """A `FactStore`."""

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """See `FactStore.remember`."""
        text, info = fact_text(text), (session, fact_topics(topics))
        check_names(session, known_user(user))
        new = {"key": fact_key(text), "text": text, "info": msgspec.json.encode(info), "most": MAX_FACTS}
        answer = await self._write(_FACTS, "remember", user=user, **new)
        if answer[0] == b"full":
            raise too_many_facts(user)
        return self._read_fact(user, answer[1])

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """See `FactStore.facts`."""
        # A query ranks all facts; the limit applies after the ranking.
        most = MAX_FACTS if query is not None else max(limit, 0)
        rows = (await self._read(_FACTS, "list", user=user, limit=most))[1] if most else []
        found = self._read_all(rows, lambda row: _read_fact(user, row))
        return found if query is None else ranked(found, query, limit)

    async def correct(self, user: str, id: str, text: str) -> Fact:
        """See `FactStore.correct`."""
        text = fact_text(text)
        answer = await self._write(_FACTS, "correct", user=user, id=id, text=text, key=fact_key(text))
        if answer[0] == b"unknown":
            raise unknown_fact(id, _read_ids(answer[1]))
        if answer[0] == b"duplicate":
            raise duplicate_fact(id, answer[1].decode())
        return self._read_fact(user, answer[1])

    async def forget(self, user: str, id: str | None = None) -> int:
        """See `FactStore.forget`."""
        answer = await self._write(_FACTS, "forget", user=user, id=id)
        if answer[0] == b"unknown":
            raise unknown_fact(str(id), _read_ids(answer[1]))
        return int(answer[1])

    async def import_facts(self, user: str, facts: Sequence[Fact]) -> int:
        """See `CopyStore.import_facts`."""
        known_user(user)
        found = [
            {
                "id": fact.id,
                "key": fact_key(fact.text),
                "text": fact.text,
                "info": msgspec.json.encode((fact.session, fact.topics)),
                "created": repr(fact.created_at),
                "updated": repr(fact.updated_at),
            }
            for fact in reversed(facts)
        ]
        return int((await self._write(_FACTS, "import", user=user, facts=found))[1])

    def _read_fact(self, user: str, row: list[Any]) -> Fact:
        try:
            return _read_fact(user, row)
        except Damaged as exc:
            raise self._explain_damage(exc) from exc


class RedisCache(Store):
    """A `CacheStore`. The server forgets a value when its time has passed."""

    # The keys read since the last write. The next write stores the order of reads: a write for each read would be dear.
    _asked: dict[str, None]

    async def cached(self, key: str) -> bytes | None:
        """See `CacheStore.cached`."""
        value = (await self._read(_CACHE, "read", key=key))[1]
        if value is None:
            return None
        self._asked.pop(key, None)
        self._asked[key] = None
        if len(self._asked) > NOTED:
            del self._asked[next(iter(self._asked))]
        return bytes(value)

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """See `CacheStore.cache`."""
        asked = list(self._asked)
        self._asked.clear()
        await self._write(_CACHE, "write", key=key, value=value, seconds=seconds, size=size, asked=asked)

    async def uncache(self, key: str | None = None) -> int:
        """See `CacheStore.uncache`."""
        if key is not None:
            return int((await self._write(_CACHE, "drop", key=key))[1])
        count, more = 0, 1
        while more:
            _, dropped, more = await self._write(_CACHE, "clear")
            count += dropped
        return count


def _read_ids(ids: list[bytes]) -> list[str]:
    return [each.decode(errors="replace") for each in ids]


def _read_fact(user: str, row: list[Any]) -> Fact:
    name, text, info, created, updated = row
    what = f"fact {name.decode(errors='backslashreplace')!r} of user {user!r}"
    try:
        session, topics = _decode_info(info)
        return Fact(name.decode(), user, read_text(text, what) or "", float(created), float(updated), session, topics)
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError) as exc:
        raise Damaged(f"{what} cannot be read: {exc}") from exc
