"""Contract suites for further parts of a memory backend: facts about users, and cached answers."""

from __future__ import annotations

import pytest
import trio

from agno_rt.errors import NotFound, UsageError
from agno_rt.facts import MAX_CHARACTERS, MAX_FACTS
from agno_rt.memory import CacheStore, Fact, FactStore
from agno_rt.testing._checks import StoreContract
from agno_rt.testing._ownership import REFUSED_NAMES
from agno_rt.upkeep.copies import CopyStore

__all__ = ["CacheContract", "FactContract"]


class FactContract(StoreContract):
    """Rules for every `FactStore`. Override `make_memory`: each test gets an empty store of its own."""

    def test_is_a_fact_store(self) -> None:
        """The store has the methods of the protocol, and no facts at first."""

        async def check(store: FactStore) -> None:
            assert isinstance(store, FactStore)
            assert await store.facts("ann") == []

        self._with_memory(check)

    def test_remembers_facts(self) -> None:
        """Facts come back with all fields, the newest first."""

        async def check(store: FactStore) -> None:
            tea = await store.remember("ann", "Ann drinks tea.", session="s1", topics=["drinks", "tea"])
            cat = await store.remember("ann", "  Ann has\n a cat 🐈 ")
            assert (tea.user, tea.text, tea.session, tea.topics) == ("ann", "Ann drinks tea.", "s1", ("drinks", "tea"))
            assert (cat.text, cat.session, cat.topics) == ("Ann has a cat 🐈", None, ())
            assert "" not in {tea.id, cat.id}
            assert tea.id != cat.id
            assert tea.created_at == tea.updated_at
            assert await store.facts("ann") == [cat, tea]
            assert await store.facts("ann", limit=1) == [cat]

        self._with_memory(check)

    def test_keeps_a_fact_once(self) -> None:
        """A text that differs only in case, spaces or its end mark returns the stored fact unchanged."""

        async def check(store: FactStore) -> None:
            first = await store.remember("ann", "Ann drinks tea.")
            await store.remember("ann", "Ann has a cat.")
            assert await store.remember("ann", "ann  DRINKS tea", session="s2") == first
            assert [fact.text for fact in await store.facts("ann")] == ["Ann has a cat.", "Ann drinks tea."]

        self._with_memory(check)

    def test_two_that_remember_the_same_at_once(self) -> None:
        """Concurrent calls with one text all return the same fact."""

        async def check(store: FactStore) -> None:
            kept: list[str] = []

            async def keep() -> None:
                kept.append((await store.remember("ann", "Ann drinks tea.")).id)

            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(keep)
            assert len(set(kept)) == len(await store.facts("ann")) == 1

        self._with_memory(check)

    def test_refuses_what_is_no_fact(self) -> None:
        """Empty and overlong texts, and names that `check_name` refuses, are refused; nothing is stored."""

        async def check(store: FactStore) -> None:
            for text in ("", " \n", "x" * (MAX_CHARACTERS + 1)):
                with pytest.raises(UsageError):
                    await store.remember("ann", text)
            for name in REFUSED_NAMES:
                with pytest.raises(UsageError):
                    await store.remember(name, "Somebody drinks tea.")
                with pytest.raises(UsageError):
                    await store.remember("ann", "Ann drinks tea.", session=name)
            assert await store.facts("ann") == []

        self._with_memory(check)

    def test_keeps_so_many_facts(self) -> None:
        """A fact beyond `MAX_FACTS` of one user is refused with a hint; other users are not affected."""

        async def check(store: FactStore) -> None:
            many = range(MAX_FACTS)
            if isinstance(store, CopyStore):  # much faster than one by one
                known, many = many[:-3], many[-3:]
                facts = [Fact(f"f{at}", "ann", f"fact {at}", 1.0 + at, 1.0 + at) for at in reversed(known)]
                assert await store.import_facts("ann", facts) == len(known)
            for number in many:
                await store.remember("ann", f"fact {number}")
            with pytest.raises(UsageError, match=str(MAX_FACTS)):
                await store.remember("ann", "one more")
            assert (await store.remember("ann", "FACT 7")).text == "fact 7"
            assert len(await store.facts("ann", limit=2 * MAX_FACTS)) == MAX_FACTS
            await store.remember("bob", "one more")

        self._with_memory(check)

    def test_searches_by_words(self) -> None:
        """A query finds facts by the words of their texts and topics, the best first."""

        async def check(store: FactStore) -> None:
            for text in ("Ann drinks green tea", "Ann has a green bicycle", "Ann was born in Seoul"):
                await store.remember("ann", text, topics=["travel"] if "Seoul" in text else [])
            found = [fact.text for fact in await store.facts("ann", query="Green TEA?")]
            assert found == ["Ann drinks green tea", "Ann has a green bicycle"]
            assert [fact.text for fact in await store.facts("ann", query="travel")] == ["Ann was born in Seoul"]
            assert [fact.text for fact in await store.facts("ann", query="green", limit=1)] == [
                "Ann has a green bicycle"
            ]
            assert await store.facts("ann", query="music") == await store.facts("ann", query="") == []

        self._with_memory(check)

    def test_corrects_a_fact(self) -> None:
        """A corrected fact keeps its id and origin, and becomes the newest; the old text is gone."""

        async def check(store: FactStore) -> None:
            tea = await store.remember("ann", "Ann drinks tea.", session="s1", topics=["drinks"])
            await store.remember("ann", "Ann has a cat.")
            juice = await store.correct("ann", tea.id, "Ann drinks juice.")
            assert (juice.id, juice.text, juice.session) == (tea.id, "Ann drinks juice.", "s1")
            assert (juice.topics, juice.created_at) == (("drinks",), tea.created_at)
            assert [fact.text for fact in await store.facts("ann")] == ["Ann drinks juice.", "Ann has a cat."]
            assert await store.facts("ann", query="tea") == []
            again = await store.remember("ann", "Ann drinks tea.")
            assert again.id != tea.id
            for text in ("", "ANN has a cat", "x" * (MAX_CHARACTERS + 1)):
                with pytest.raises(UsageError):
                    await store.correct("ann", tea.id, text)
            assert (await store.correct("ann", tea.id, "ANN DRINKS JUICE")).text == "ANN DRINKS JUICE"

        self._with_memory(check)

    def test_forgets(self) -> None:
        """One fact or all facts of a user are forgotten; an id is never used again for the user."""

        async def check(store: FactStore) -> None:
            tea = await store.remember("ann", "Ann drinks tea.")
            assert await store.forget("ann", tea.id) == 1
            with pytest.raises(NotFound):
                await store.forget("ann", tea.id)
            with pytest.raises(NotFound):
                await store.correct("ann", tea.id, "Ann drinks juice.")
            cat = await store.remember("ann", "Ann has a cat.")
            assert cat.id != tea.id
            await store.remember("ann", "Ann drinks tea.")
            assert (await store.forget("ann"), await store.forget("ann")) == (2, 0)
            assert await store.facts("ann") == []

        self._with_memory(check)

    def test_users_have_nothing_in_common(self) -> None:
        """No user can read, find, correct or forget another user's facts: not by id, text or a similar name."""
        # Similar names among them, and names with the wildcards of SQL.
        others = ("bob", "Ann", "ann ", "", "ann%", "a_n")

        async def check(store: FactStore) -> None:
            tea = await store.remember("ann", "Ann drinks tea.")
            for other in others:
                assert await store.facts(other) == await store.facts(other, query="tea") == []
                with pytest.raises(NotFound) as caught:
                    await store.correct(other, tea.id, "Ann drinks juice.")
                assert "tea" not in caught.value.full_text
                with pytest.raises(NotFound):
                    await store.forget(other, tea.id)
                assert await store.forget(other) == 0
            own = await store.remember("bob", "Ann drinks tea.")
            assert (own.user, len(await store.facts("bob"))) == ("bob", 1)
            await store.correct("bob", own.id, "Bob drinks juice.")
            await store.forget("bob")
            assert await store.facts("ann") == [tea]

        self._with_memory(check)

    def test_facts_outlast_the_backend(self) -> None:
        """In a lasting store, facts are there after a reopening, and a new fact gets a new id."""

        async def check(store: FactStore) -> None:
            await store.remember("ann", "Ann drinks tea.", topics=["drinks"])
            gone = await store.remember("ann", "Ann has a cat.")
            await store.forget("ann", gone.id)

        async def then(store: FactStore) -> None:
            (tea,) = await store.facts("ann")
            assert (tea.text, tea.topics) == ("Ann drinks tea.", ("drinks",))
            assert (await store.remember("ann", "Ann has a dog.")).id != tea.id

        self._with_memory_again(check, then)


class CacheContract(StoreContract):
    """Rules for every `CacheStore`. Override `make_memory`: each test gets an empty store of its own."""

    def test_is_a_cache_store(self) -> None:
        """The store has the methods of the protocol, and no values at first."""

        async def check(store: CacheStore) -> None:
            assert isinstance(store, CacheStore)
            assert await store.cached("key") is None

        self._with_memory(check)

    def test_keeps_values(self) -> None:
        """A value comes back until replaced; keys must match exactly."""
        data = bytes(range(256))

        async def check(store: CacheStore) -> None:
            await store.cache("key", b"old")
            await store.cache("KEY", b"other")
            await store.cache("key", data)
            assert (await store.cached("key"), await store.cached("KEY")) == (data, b"other")
            assert await store.cached("ke") is None
            await store.cache("empty", b"")
            assert await store.cached("empty") == b""

        self._with_memory(check)

    def test_a_value_has_its_time(self) -> None:
        """An expired value is gone; a value with time left, or without an end, is there."""

        async def check(store: CacheStore) -> None:
            await store.cache("past", b"x", seconds=0)
            await store.cache("lasting", b"x", seconds=3_600)
            await store.cache("endless", b"x")
            assert await store.cached("past") is None
            assert (await store.cached("lasting"), await store.cached("endless")) == (b"x", b"x")
            await store.cache("lasting", b"x", seconds=0)
            assert await store.cached("lasting") is None

        self._with_memory(check)

    def test_forgets_those_asked_for_longest_ago(self) -> None:
        """Beyond `size` values, the least recently used are forgotten."""

        async def check(store: CacheStore) -> None:
            for key in "abc":
                await store.cache(key, key.encode(), size=3)
            assert await store.cached("a") == b"a"
            await store.cache("d", b"d", size=3)
            assert [await store.cached(key) for key in "abcd"] == [b"a", None, b"c", b"d"]
            await store.cache("e", b"e", size=1)
            assert [await store.cached(key) for key in "acde"] == [None, None, None, b"e"]

        self._with_memory(check)

    def test_forgets_what_it_is_told_to(self) -> None:
        """One value or all values are forgotten; the number is returned."""

        async def check(store: CacheStore) -> None:
            for key in "abc":
                await store.cache(key, b"x")
            assert (await store.uncache("a"), await store.uncache("a")) == (1, 0)
            assert await store.cached("a") is None
            assert (await store.uncache(), await store.uncache()) == (2, 0)
            assert await store.cached("b") is None

        self._with_memory(check)
