"""Past sessions: found by words, read by number, and never another user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from agno_rt import Agent, MemoryPolicy, Message, Runtime, ToolCall
from agno_rt.context_providers import PastSessions, search_sessions
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import UsageError
from agno_rt.memory import MemoryBackend
from agno_rt.project import load_project
from agno_rt.testing import SearchContract
from agno_rt.testing.scripted import ScriptedModel
from tests.helpers import told


class TestInProcess(SearchContract):
    """The memory of the process, whose sessions are read."""

    def make_memory(self) -> MemoryBackend:
        """Make an empty one."""
        return InProcessMemory()


class TestSQLite(SearchContract):
    """The file, with an index by words."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        """Give the test a folder."""
        self.path = tmp_path / "a.db"

    def make_memory(self) -> MemoryBackend:
        """Make an empty one."""
        return SQLiteMemory(self.path)


def search(words: str) -> ToolCall:
    """Call the search."""
    return ToolCall("1", "search_past_sessions", f'{{"words": "{words}"}}')


def read(session: str, number: int = 1) -> ToolCall:
    """Call the reading."""
    return ToolCall("2", "read_past_session", f'{{"session": "{session}", "number": {number}}}')


async def talk(memory: MemoryBackend) -> None:
    """Store two sessions of ann, and a session each of bob and nobody."""
    for session, user, text in (
        ("a1", "ann", "My cat is called Luna."),
        ("a2", "ann", "The code of the door is 4711. " + "x" * 3_000),
        ("b1", "bob", "My cat is called Sol."),
        ("n1", None, "My cat has no name."),
    ):
        await memory.append(session, [Message("user", text), Message("assistant", "Noted.")], version=0, user=user)


@pytest.mark.parametrize("url", ["memory:", "sqlite"])
async def test_the_model_searches_and_reads_own_sessions(url: str, tmp_path: Path) -> None:
    """The tools find and read the sessions of the run's user alone; another user's session is as if there were none."""
    with ScriptedModel([search("cat"), read("a1"), read("b1"), read("n1"), search("door"), "ok"]) as model:
        agent = Agent(model, memory=MemoryPolicy(context=[PastSessions()]))
        async with Runtime(memory=url if url == "memory:" else f"sqlite:///{tmp_path}/a.db") as rt:
            await talk(rt.memory)
            result = await rt.run(agent, "?", user="ann")

    found, whole, bobs, nobodys, door = told(result)
    assert found.startswith("[session a1, message 1, 20")
    assert found.endswith("] user: My cat is called Luna.")
    assert whole == "[messages 1 to 2 of 2]\n1. user: My cat is called Luna.\n2. assistant: Noted."
    assert (bobs, nobodys) == ("There is no session 'b1'.", "There is no session 'n1'.")
    assert "4711" in door
    assert len(door) < 700


async def test_passages_that_fit_the_input() -> None:
    """With `inject`, fitting messages stand just before the input, and are not stored."""
    with ScriptedModel(["Luna", "hi"]) as model:
        agent = Agent(model, memory=MemoryPolicy(context=[PastSessions(inject=2)]))
        async with Runtime() as rt:
            await talk(rt.memory)
            await rt.run(agent, "What is my cat called?", user="ann", session="new")
            await rt.run(agent, "zzz", user="ann", session="new")
            stored = await rt.memory.load("new")
    notes, asked = model.requests[0].messages
    assert asked.text == "What is my cat called?"
    assert "not instructions" in notes.text
    assert notes.text.endswith("user: My cat is called Luna.")
    assert model.requests[1].messages[-2].text == "Luna"  # nothing fits, so that there are no notes
    assert [message.text for message in stored.messages] == ["What is my cat called?", "Luna", "zzz", "hi"]


async def test_runs_without_a_user() -> None:
    """A run without a user has no past sessions, unless the provider is for a single person."""
    with ScriptedModel(["a", search("cat"), "b"]) as model:
        async with Runtime() as rt:
            await talk(rt.memory)
            await rt.run(Agent(model, memory=MemoryPolicy(context=[PastSessions()])), "?")
            result = await rt.run(Agent(model, memory=MemoryPolicy(context=[PastSessions(unowned=True)])), "?")
    assert model.requests[0].tools == ()
    assert "My cat has no name." in told(result)[0]
    assert "Luna" not in told(result)[0]


async def test_the_index_of_a_file_grows_with_its_searches(tmp_path: Path) -> None:
    """A second process finds what the first stored, and thousands of messages are indexed in several steps."""
    first, second = SQLiteMemory(tmp_path / "a.db"), SQLiteMemory(tmp_path / "a.db")
    version = 0
    for part in range(5):
        said = [Message("user", f"item {number} of part {part}") for number in range(1_000)]
        version = await first.append("s", said, version=version, user="ann")
    found = await search_sessions(second, "item 999 part 4", user="ann", limit=3)
    assert found[0].number == 5_000
    await first.append("s", [Message("user", "something unheard of")], version=version, user="ann")
    assert [each.number for each in await search_sessions(second, "unheard", user="ann")] == [5_001]
    await first.aclose()
    await second.aclose()


@attrs.define
class Forgetful:
    """A search over everybody's sessions, as no backend may have it."""

    memory: MemoryBackend

    def __getattr__(self, name: str) -> Any:
        return getattr(self.memory, name)

    async def search_sessions(self, words: str, *, user: str | None, limit: int = 10) -> list[Any]:
        """Forget the user."""
        found = [await search_sessions(self.memory, words, user=each) for each in ("ann", "bob", None)]
        return [message for several in found for message in several][:limit]


def test_the_contract_notices_foreign_sessions() -> None:
    """A backend that searches other users' sessions fails the contract."""

    class Broken(SearchContract):
        def make_memory(self) -> Any:
            return Forgetful(InProcessMemory())

    with pytest.raises(AssertionError):
        Broken().test_users_find_only_their_own_sessions()


@pytest.mark.parametrize(
    "make", [lambda: PastSessions(-1), lambda: PastSessions(limit=0), lambda: PastSessions(1, 1, 3)]
)
def test_numbers_out_of_range(make: Callable[[], PastSessions]) -> None:
    """Numbers out of range are refused."""
    with pytest.raises(UsageError, match="of PastSessions is"):
        make()


async def test_toml_names_the_provider(tmp_path: Path) -> None:
    """`memory:past-sessions` is the spec string; a number after it injects so many messages."""
    file = tmp_path / "agno-rt.toml"
    file.write_text("[agents.a]\nmodel = 'x:y'\n[agents.a.memory]\ncontext = ['memory:past-sessions:3']\n")
    agent = attrs.evolve(load_project(str(file)).agent("a"), model=ScriptedModel(["ok"]))
    async with Runtime() as rt:
        await rt.run(agent, "x", user="ann")
        with pytest.raises(UsageError, match="'many' is not a number of messages"):
            rt.check(attrs.evolve(agent, memory=MemoryPolicy(context=["memory:past-sessions:many"])))
