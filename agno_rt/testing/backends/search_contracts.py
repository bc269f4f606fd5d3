"""The contract suite for searches over sessions."""

from __future__ import annotations

from agno_rt.context_providers.session_search import search_sessions
from agno_rt.memory import MemoryBackend
from agno_rt.messages import Message, ToolCall
from agno_rt.testing._checks import StoreContract

__all__ = ["SearchContract"]

SIGNS = (
    "BENCH-100821",
    "don't",
    "a::b",
    '"x',
    "(",
    "NEAR",
    "AND",
    "*",
    "-",
    "🐈",
    "%_",
    "^",
    "col:x",
    "x OR y",
    "'",
    '""',
)
"""Queries that are syntax for some engines."""


class SearchContract(StoreContract):
    """Rules for searches over sessions, by a backend's own `search_sessions` or by reading its sessions."""

    def test_finds_messages_by_words(self) -> None:
        """The message with most of the words comes first, with its place; new messages are found at once."""

        async def check(memory: MemoryBackend) -> None:
            await memory.append("s", _say("The capital of Chile is Santiago.", "Noted."), version=0, user="ann")
            await memory.append("t", _say("Chile exports copper.", "And wine."), version=0, user="ann")
            found = await search_sessions(memory, "capital of chile", user="ann")
            assert [(each.session, each.number, each.role) for each in found] == [("s", 1, "user"), ("t", 1, "user")]
            assert found[0].text == "The capital of Chile is Santiago."
            assert found[0].updated_at > 0
            assert await search_sessions(memory, "penguins", user="ann") == []
            await memory.append("t", _say("Penguins live there, too."), version=1, user="ann")
            assert [each.number for each in await search_sessions(memory, "penguins", user="ann")] == [3]
            assert len(await search_sessions(memory, "chile", user="ann", limit=1)) == 1

        self._with_memory(check)

    def test_users_find_only_their_own_sessions(self) -> None:
        """A search never reaches the sessions of another user, nor those without a user."""

        async def check(memory: MemoryBackend) -> None:
            for session, user in (("a", "ann"), ("b", "bob"), ("n", None)):
                await memory.append(session, _say(f"the secret of {user}"), version=0, user=user)
            for session, user in (("a", "ann"), ("b", "bob"), ("n", None)):
                assert [each.session for each in await search_sessions(memory, "secret", user=user)] == [session]
            assert await search_sessions(memory, "secret", user="eve") == []

        self._with_memory(check)

    def test_takes_words_literally(self) -> None:
        """Signs in a query are only characters: no error, and a hit where the text has them; blank finds nothing."""

        async def check(memory: MemoryBackend) -> None:
            for at, words in enumerate(SIGNS):
                await memory.append(f"s{at}", _say(f"here is {words} said"), version=0, user="ann")
            for at, words in enumerate(SIGNS):
                assert f"s{at}" in [each.session for each in await search_sessions(memory, words, user="ann", limit=99)]
            for blank in ("", "  ", "\n"):
                assert await search_sessions(memory, blank, user="ann") == []

        self._with_memory(check)

    def test_searches_every_script(self) -> None:
        """Words of scripts with and without spaces are found, in any case."""
        texts = {
            "ГЛУБИНА": "Глубина моря",
            "東京": "明日は東京へ行きます。",
            "여행": "여행을 갑시다",
            "ÉTÉ": "un bel été",
        }

        async def check(memory: MemoryBackend) -> None:
            for at, text in enumerate(texts.values()):
                await memory.append(f"s{at}", _say(text), version=0, user="ann")
            for at, words in enumerate(texts):
                assert [each.session for each in await search_sessions(memory, words, user="ann")] == [f"s{at}"]

        self._with_memory(check)

    def test_forgets_deleted_sessions(self) -> None:
        """A deleted session is not found, also where another session has its id; results of tools are never found."""

        async def check(memory: MemoryBackend) -> None:
            await memory.append("s", _say("the old secret"), version=0, user="ann")
            assert len(await search_sessions(memory, "secret", user="ann")) == 1
            await memory.delete("s")
            assert await search_sessions(memory, "secret", user="ann") == []
            call = ToolCall("1", "look", "{}")
            told = [Message("assistant", "", (call,)), Message("tool", "hidden words", (), "1", "look")]
            await memory.append("s", [*_say("something new"), *told], version=0, user="bob")
            assert await search_sessions(memory, "secret", user="bob") == []
            assert await search_sessions(memory, "hidden", user="bob") == []
            assert len(await search_sessions(memory, "new", user="bob")) == 1

        self._with_memory(check)


def _say(*texts: str) -> list[Message]:
    return [Message("user" if at % 2 == 0 else "assistant", text) for at, text in enumerate(texts)]
