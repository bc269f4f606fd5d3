"""The part of `MemoryContract` on lists of sessions: titles and agents, paging and searching."""

from __future__ import annotations

from agno_rt.memory import MAX_TITLE, MemoryBackend, SessionInfo
from agno_rt.messages import Media, Message
from agno_rt.run_store import Appending, RunChange, RunRecord, RunStore
from agno_rt.testing._approval_rules import ANN
from agno_rt.testing._checks import StoreContract

__all__ = ["SessionLists"]


class SessionLists(StoreContract):
    """Rules for the titles and lists of sessions of every `MemoryBackend`."""

    def test_a_session_is_called_by_its_first_words(self) -> None:
        """A session's title is its user's first text, on one line and cut at a word."""
        picture = Media("image", "image/png", b"x")
        told: dict[str, list[Message]] = {
            "short": [Message("system", "Be brief."), Message("user", "  Plan a\n\ttrip \x1b\u202e to Rome ")],
            "long": [Message("user", "word " * 1_000)],
            "media": [Message("user", (picture,)), Message("assistant", "A cat."), Message("user", (picture, "Why?"))],
            "silent": [Message("assistant", "Hello.")],
        }

        async def check(memory: MemoryBackend) -> None:
            for name, messages in told.items():
                version = await memory.append(name, messages, version=0)
                await memory.append(name, [Message("user", "something else")], version=version)
            titles = {info.id: info.title for info in await memory.sessions()}
            assert (titles["short"], titles["media"]) == ("Plan a trip to Rome", "Why?")
            assert titles["long"].startswith("word word")
            assert titles["long"].endswith("word…")
            assert len(titles["long"]) <= MAX_TITLE
            assert titles["silent"] == "something else"
            assert await _load_info(memory, "short") in await memory.sessions()
            assert await memory.session_info("nobody") is None

        self._with_memory(check)

    def test_renames_a_session(self) -> None:
        """A given title stays; an empty title brings the first words back. Nothing else changes."""

        async def check(memory: MemoryBackend) -> None:
            await memory.append("s", [Message("user", "first words")], version=0, user="ann", data=b"data")
            await memory.append("t", [Message("user", "of another")], version=0)
            before, order = await memory.load("s"), [info.id for info in await memory.sessions()]
            assert await memory.rename("s", "My\ntrip \x07") is True
            assert await memory.load("s") == before
            assert [info.id for info in await memory.sessions()] == order
            await memory.append("s", [Message("user", "more")], version=1, user="ann")
            assert (await _load_info(memory, "s")).title == "My trip"
            assert await memory.rename("s", " ") is True
            assert (await _load_info(memory, "s")).title == "first words"
            assert (await _load_info(memory, "t")).title == "of another"
            assert await memory.rename("nobody", "x") is False
            assert await memory.session_info("nobody") is None
            await memory.rename("s", "gone")
            await memory.delete("s")
            await memory.append("s", [Message("user", "anew")], version=0)
            assert (await _load_info(memory, "s")).title == "anew"

        self._with_memory(check)

    def test_notes_who_wrote_last(self) -> None:
        """A session has the name of the agent that wrote last; an append without a name keeps it."""

        async def check(memory: MemoryBackend) -> None:
            await memory.append("s", [Message("user", "x")], version=0)
            assert (await _load_info(memory, "s")).agent == ""
            await memory.append("s", [Message("user", "x")], version=1, agent="planner")
            await memory.append("s", [Message("user", "x")], version=2, agent="critic", data=b"data")
            await memory.append("s", [Message("user", "x")], version=3)
            assert (await _load_info(memory, "s")).agent == "critic"
            if isinstance(memory, RunStore):
                await memory.create_run(RunRecord("r", "editor", owner=ANN))
                append = Appending("s", [Message("user", "x")], 4, agent="editor")
                await memory.change_run("r", RunChange("completed", append=append), owner=ANN)
                assert (await _load_info(memory, "s")).agent == "editor"

        self._with_memory(check)

    def test_lists_sessions_in_pages(self) -> None:
        """Over all pages, each session comes once, the newest first, also among sessions of the same time."""

        async def check(memory: MemoryBackend) -> None:
            for at in range(7):
                await memory.append(f"s{at}", [Message("user", "x")], version=0, user=("ann", None)[at % 2])
            whole = await memory.sessions()
            assert [(info.updated_at, info.id) for info in whole] == sorted(
                ((info.updated_at, info.id) for info in whole), reverse=True
            )
            paged: list[SessionInfo] = []
            while page := await memory.sessions(limit=3, before=_page_key(paged[-1]) if paged else None):
                assert len(page) <= 3
                paged += page
            assert paged == whole
            of_ann = [info for info in whole if info.user == "ann"]
            assert await memory.sessions(user="ann", before=_page_key(of_ann[0]), limit=2) == of_ann[1:3]
            assert await memory.sessions(unowned=True) == [info for info in whole if info.user is None]

        self._with_memory(check)

    def test_finds_sessions_by_their_titles(self) -> None:
        """A query finds titles with its text, in any case and script; no character is a wildcard."""
        titles = {"a": "Ärger in ROME", "b": "100 % of it", "c": "romeo", "d": "nothing"}

        async def check(memory: MemoryBackend) -> None:
            for name, title in titles.items():
                await memory.append(name, [Message("user", title)], version=0, user="ann")
            await memory.rename("d", "Rome, again")
            for query, found in (("rome", "acd"), ("äRGER", "a"), ("0 %", "b"), ("%", "b"), ("nothing", ""), ("_", "")):
                assert sorted(info.id for info in await memory.sessions(query=query)) == list(found)
            assert [info.id for info in await memory.sessions(query="rome", user="bob")] == []
            (first,) = await memory.sessions(query="rome", user="ann", limit=1)
            assert len(await memory.sessions(query="rome", before=_page_key(first))) == 2

        self._with_memory(check)


async def _load_info(memory: MemoryBackend, session: str) -> SessionInfo:
    info = await memory.session_info(session)
    assert info is not None
    return info


def _page_key(info: SessionInfo) -> tuple[float, str]:
    return info.updated_at, info.id
