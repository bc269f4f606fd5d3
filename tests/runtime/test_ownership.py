"""Owners of sessions, runs and approvals: other users can neither see nor change them."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Message, Runtime, ToolCall, tool
from agno_rt.context import FromUser
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import Forbidden, ModelError, NotFound, UsageError
from agno_rt.memory import MemoryPolicy, Summary, UserMemory
from agno_rt.names import MAX_NAME
from agno_rt.run_store import Resume
from agno_rt.testing import ScriptedModel
from tests.helpers import echo

Ask = Callable[[Runtime, Agent, str | None], Awaitable[object]]

OTHERS = [("ann", "bob"), ("ann", "Ann"), ("ann", "ann "), ("ann", None), (None, "bob")]
"""The owner of a session, and another user."""


@attrs.define
class Cart:
    """A session's state."""

    items: list[str] = attrs.Factory(lambda: ["tea"])


POLICIES = {
    "plain": MemoryPolicy(),
    "bounded": MemoryPolicy(runs=1, tokens=1_000),
    "state": MemoryPolicy(state=Cart),
    "summary": MemoryPolicy(messages=1, summary=Summary()),
    "facts": MemoryPolicy(facts=UserMemory()),
    "journal": MemoryPolicy(journal=True),
}


async def run(rt: Runtime, agent: Agent, user: str | None) -> object:
    """Run the agent."""
    return await rt.run(agent, "What is the code?", session="s", user=user)


async def stream(rt: Runtime, agent: Agent, user: str | None) -> object:
    """Read the events of a run to the end."""
    async with rt.stream(agent, "What is the code?", session="s", user=user) as events:
        return [event async for event in events]


async def start(rt: Runtime, agent: Agent, user: str | None) -> object:
    """Wait for a run in the background."""
    return await (await rt.start(agent, "What is the code?", session="s", user=user)).wait()


@pytest.fixture(params=["memory", "sqlite"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Open each backend."""
    return InProcessMemory() if request.param == "memory" else SQLiteMemory(tmp_path / "memory.db")


class TestSession:
    """A session belongs to its first user, or to no user."""

    @pytest.mark.parametrize("ask", [run, stream, start], ids=lambda ask: ask.__name__)
    @pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
    async def test_a_run_of_another_is_refused(self, policy: MemoryPolicy, ask: Ask, memory: Any) -> None:
        """A run of another user is refused before the model is asked, for any policy. Nothing is stored, and the owner
        goes on."""
        with ScriptedModel(["Noted.", "4711."]) as model:
            async with Runtime(memory=memory) as rt:
                agent = Agent(model, "clerk", memory=policy)
                await rt.run(agent, "The code is 4711.", session="s", user="ann")
                before, runs = await memory.load("s"), await memory.runs()
                with pytest.raises(Forbidden, match="'s' belongs to another user") as caught:
                    await ask(rt, Agent(ScriptedModel([]), "clerk", memory=policy), "bob")
                after, runs_after = await memory.load("s"), await memory.runs()
                own = await rt.run(attrs.evolve(agent, memory=MemoryPolicy()), "And?", session="s", user="ann")
        await memory.aclose()

        assert "ann" not in caught.value.full_text
        assert "4711" not in caught.value.full_text
        assert caught.value.http_status == 403
        assert (after, runs_after) == (before, runs)
        assert own.content == "4711."
        assert [message.text for message in model.requests[1].messages] == ["The code is 4711.", "Noted.", "And?"]

    @pytest.mark.parametrize(("owner", "other"), OTHERS)
    async def test_who_is_another(self, owner: str | None, other: str | None, memory: Any) -> None:
        """Users are compared exactly. A run without a user is refused in a user's session, and a user in a session
        without one."""
        async with Runtime(memory=memory) as rt:
            await rt.run(Agent(ScriptedModel(["Noted."])), "The code is 4711.", session="s", user=owner)
            with pytest.raises(Forbidden):
                await rt.run(Agent(ScriptedModel([])), "?", session="s", user=other)
            await rt.run(Agent(ScriptedModel(["ok"])), "?", session="s", user=owner)
            users = [info.user for info in await memory.sessions()]
        await memory.aclose()

        assert users == [owner]

    async def test_one_of_two_first_runs_gets_it(self, memory: Any) -> None:
        """The second of two users who begin a session at once is refused before the model is asked."""
        refused: list[str] = []
        model = ScriptedModel(["ok"])

        async def begin(rt: Runtime, user: str) -> None:
            try:
                await rt.run(Agent(model), user, session="s", user=user)
            except Forbidden:
                refused.append(user)

        async with Runtime(memory=memory) as rt, trio.open_nursery() as nursery:
            nursery.start_soon(begin, rt, "ann")
            nursery.start_soon(begin, rt, "bob")
        session = await memory.load("s")
        await memory.aclose()

        assert sorted([*refused, str(session.user)]) == ["ann", "bob"]
        assert [message.text for message in session.messages] == [session.user, "ok"]
        assert len(model.requests) == 1

    @pytest.mark.parametrize("policy", [POLICIES["plain"], POLICIES["state"], POLICIES["journal"]])
    async def test_two_who_begin_it_at_once(self, policy: MemoryPolicy, tmp_path: Path) -> None:
        """The later of two runs that both find no session stores nothing.

        Runs wait for each other; a program that writes without a lock does not.
        """
        url = f"sqlite:///{tmp_path}/a.db"

        async def meanwhile(_: object) -> str:
            other = SQLiteMemory(tmp_path / "a.db")
            said = [Message("user", "mine"), Message("assistant", "hers")]
            await other.append("s", said, version=0, user="ann")
            await other.aclose()
            return "late"

        async with Runtime(memory=url) as rt:
            with pytest.raises(Forbidden) as caught:
                await rt.run(Agent(ScriptedModel([meanwhile]), memory=policy), "secret", session="s", user="bob")
            session = await rt.memory.load("s")

        assert session.user == "ann"
        assert [message.text for message in session.messages] == ["mine", "hers"]
        assert "ann" not in caught.value.full_text

    async def test_a_session_that_was_deleted_is_free(self, memory: Any) -> None:
        """Another user may begin a deleted session anew, and sees nothing of the old one."""
        with ScriptedModel(["ok"]) as model:
            async with Runtime(memory=memory) as rt:
                await rt.run(Agent(ScriptedModel(["Noted."])), "The code is 4711.", session="s", user="ann")
                await memory.delete("s")
                await rt.run(Agent(model), "hi", session="s", user="bob")
        await memory.aclose()

        assert [message.text for message in model.requests[0].messages] == ["hi"]

    async def test_a_run_is_not_resumed_in_another_users_session(self, memory: Any) -> None:
        """A stored run does not go on in a session that was deleted and begun by another user."""
        agent = Agent(ScriptedModel([ModelError("down")]), "clerk", memory=POLICIES["journal"])
        async with Runtime(memory=memory) as rt:
            with pytest.raises(ModelError) as caught:
                await rt.run(agent, "go", session="s", user="ann")
            await rt.run(Agent(ScriptedModel(["ok"])), "The code is 4711.", session="s", user="bob")
            with pytest.raises(Forbidden):
                await rt.resume(caught.value.result.run_id, attrs.evolve(agent, model=ScriptedModel([])))
            session = await memory.load("s")
        await memory.aclose()

        assert [message.text for message in session.messages] == ["The code is 4711.", "ok"]


@tool(approve=True)
async def pay(to: str) -> str:
    """Pay somebody."""
    return f"paid {to}"


@tool
def deploy(place: FromUser[str]) -> str:
    """Deploy to the place."""
    return place


def desk(*more: str) -> Agent:
    """Make an agent whose run pauses for an approval and an input."""
    calls = [ToolCall("1", "pay", '{"to": "Ann"}'), ToolCall("2", "deploy", "{}")]
    return Agent(ScriptedModel([calls, *more]), "desk", tools=[pay, deploy, echo])


OF_A_RUN: dict[str, Callable[[Runtime, str, str], Awaitable[object]]] = {
    "resume": lambda rt, run, user: rt.resume(run, user=user),
    "run": lambda rt, run, user: rt.run(desk(), Resume(run), user=user),
    "start": lambda rt, run, user: rt.start(desk(), Resume(run), user=user),
    "fork": lambda rt, run, user: rt.fork(run, user=user),
    "cancel": lambda rt, run, user: rt.cancel(run, user=user),
}
OF_AN_APPROVAL: dict[str, Callable[[Runtime, str, str], Awaitable[object]]] = {
    "approve": lambda rt, approval, user: rt.approve(approval, user=user),
    "deny": lambda rt, approval, user: rt.deny(approval, "no", user=user),
    "answer": lambda rt, approval, user: rt.answer(approval, {"place": "x"}, user=user),
}


class TestRun:
    """A stored run with its approvals belongs to its first user; `user` names the caller."""

    @pytest.mark.parametrize("what", OF_A_RUN.values(), ids=OF_A_RUN)
    async def test_a_run_of_another_is_not_found(
        self, what: Callable[[Runtime, str, str], Awaitable[object]], memory: Any
    ) -> None:
        """A run of another user gives the error of an unknown id, and stays unchanged."""
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(desk(), "Pay", user="ann")
            nobodys = await rt.run(desk(), "Pay")
            before = await memory.runs(), await memory.approvals()
            texts = set()
            for run in (paused.run_id, nobodys.run_id, "0" * 24):
                with pytest.raises(NotFound) as caught:
                    await what(rt, run, "bob")
                texts.add(caught.value.full_text.replace(run, "ID"))
            after = await memory.runs(), await memory.approvals()
        await memory.aclose()

        assert len(texts) == 1
        assert after == before

    @pytest.mark.parametrize("what", OF_AN_APPROVAL.values(), ids=OF_AN_APPROVAL)
    async def test_an_approval_of_another_is_not_found(
        self, what: Callable[[Runtime, str, str], Awaitable[object]], memory: Any
    ) -> None:
        """An approval of another user gives the error of an unknown id, and stays pending."""
        async with Runtime(memory=memory) as rt:
            (first, second) = (await rt.run(desk(), "Pay", user="ann")).approvals
            texts = set()
            for approval in (first.id, second.id, f"{'0' * 24}.00000000"):
                with pytest.raises(NotFound) as caught:
                    await what(rt, approval, "bob")
                texts.add(caught.value.full_text.replace(approval, "ID"))
            after = [each.status for each in await memory.approvals()]
        await memory.aclose()

        assert len(texts) == 1
        assert after == ["pending", "pending"]

    async def test_its_own_user_goes_on(self, memory: Any) -> None:
        """The owner may list, decide, resume and fork a run. A fork belongs to the owner, who alone may cancel it."""
        agent = desk("done")
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay", session="s", user="ann")
            pending = [each.id for each in await memory.approvals(user="ann", status="pending")]
            await rt.approve(pending[0], user="ann")
            await rt.answer(pending[1], {"place": "test"}, user="ann")
            result = await rt.resume(paused.run_id, agent, user="ann")
            fork = await rt.fork(paused.run_id, 1, user="ann")
            (forked,) = [each for each in await memory.runs(user="ann") if each.id == fork]
            with pytest.raises(NotFound):
                await rt.cancel(fork, user="bob")
            cancelled = await rt.cancel(fork, user="ann")
            of_bob = await memory.approvals(user="bob"), await memory.runs(user="bob")
        await memory.aclose()

        assert [each.id for each in paused.approvals] == pending
        assert result.content == "done"
        assert (forked.user, forked.session, cancelled) == ("ann", "s", True)
        assert of_bob == ([], [])

    async def test_one_under_way_here_is_not_cancelled_by_another(self) -> None:
        """A run of another user is not found, even if running in the same runtime."""
        async with Runtime() as rt:
            asked = trio.Event()

            async def wait(_: object) -> str:
                asked.set()
                await trio.sleep_forever()
                raise AssertionError

            run = await rt.start(Agent(ScriptedModel([wait]), memory=POLICIES["journal"]), "go", user="ann")
            await asked.wait()
            with pytest.raises(NotFound):
                await rt.cancel(run.id, user="bob")
            assert run.result is None
            assert await rt.cancel(run.id, user="ann")


REFUSED = {
    "": "empty",
    "x" * (MAX_NAME + 1): "513 characters",
    "x" * 9_000_000: "9,000,000 characters",
    "two\nlines": r"U\+000A",
    "\x1b[2Jx": r"U\+001B",
    "x\x9b": r"U\+009B",
    "x\u2028": r"U\+2028",
    "nna\u202e": r"U\+202E",
    "x\u2066": r"U\+2066",
    "\udcff": r"U\+DCFF",
}


class TestNames:
    """Names are bounded, and cannot steer a terminal or break a line."""

    @pytest.mark.parametrize(("name", "said"), REFUSED.items(), ids=lambda value: ascii(value)[:16])
    async def test_what_is_refused(self, name: str, said: str, memory: Any) -> None:
        """A bad name of session, user or agent is refused with the bound, and nothing is stored."""
        async with Runtime(memory=memory) as rt:
            agent = Agent(ScriptedModel([]), "clerk")
            with pytest.raises(UsageError, match=f"session's name.*{said}") as caught:
                await rt.run(agent, "hi", session=name)
            assert len(caught.value.full_text) < 5_000
            with pytest.raises(UsageError, match=f"user's name.*{said}"):
                await rt.run(agent, "hi", user=name)
            if name:
                with pytest.raises(UsageError, match=f"agent's name.*{said}"):
                    await rt.run(Agent(ScriptedModel([]), name), "hi")
                with pytest.raises(UsageError, match=f"agent's name.*{said}") as caught:
                    await rt.run(attrs.evolve(agent, name=name, memory=POLICIES["journal"]), "hi")
                assert len(caught.value.full_text) < 5_000
                with pytest.raises(UsageError, match=f"agent's name.*{said}"):
                    rt.add(Agent(ScriptedModel([]), name))
            assert await memory.sessions() == await memory.runs() == []
        await memory.aclose()

    @pytest.mark.parametrize("name", ["é" * MAX_NAME, "\N{WAVING HAND SIGN}" * MAX_NAME, "می‌خواهم", "山田　太郎", " "])
    async def test_what_is_taken(self, name: str, memory: Any) -> None:
        """Names of any script are accepted, with joiners and wide spaces, up to the bound."""
        async with Runtime(memory=memory) as rt:
            await rt.run(Agent(ScriptedModel(["ok"]), name, memory=POLICIES["journal"]), "hi", session=name, user=name)
            infos, runs = await memory.sessions(user=name), await memory.runs(session=name)
        await memory.aclose()

        assert [(info.id, info.user) for info in infos] == [(name, name)]
        assert [(record.agent, record.user) for record in runs] == [(name, name)]

    @pytest.mark.parametrize("name", [5, b"s", 1.5, True])
    async def test_what_is_no_text(self, name: Any) -> None:
        """A name of another type is refused, and the error names the type."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match=type(name).__name__):
                await rt.run(Agent(ScriptedModel([])), "hi", session=name)
            with pytest.raises(UsageError, match=type(name).__name__):
                await rt.run(Agent(ScriptedModel([])), "hi", user=name)

    async def test_an_id_that_is_too_long_is_cut(self, memory: Any) -> None:
        """A lookup by an id of megabytes fails with a message of a few lines."""
        huge = "x" * 9_000_000
        async with Runtime(memory=memory) as rt:
            await memory.remember("ann", "Ann drinks tea.")
            asked: list[Callable[[], Awaitable[object]]] = [
                lambda: rt.resume(huge),
                lambda: rt.fork(huge),
                lambda: rt.cancel(huge),
                lambda: rt.approve(huge),
                lambda: memory.forget("ann", huge),
                lambda: memory.correct("ann", huge, "Ann drinks juice."),
            ]
            for ask in asked:
                with pytest.raises(NotFound, match="9,000,000 characters") as caught:
                    await ask()
                assert len(caught.value.full_text) < 1_000
        await memory.aclose()

    async def test_what_an_older_version_stored_is_read(self, tmp_path: Path) -> None:
        """Sessions and facts stored under names refused today are listed, read and deleted."""
        path = tmp_path / "a.db"
        names = ["", "two\nlines", "nna\u202e", "x" * (MAX_NAME + 1)]
        memory = SQLiteMemory(path)
        for at, name in enumerate(names):
            await memory.append(f"s{at}", [Message("user", name)], version=0, user=f"u{at}")
            await memory.remember(f"u{at}", "Likes tea.")
        await memory.aclose()
        with closing(sqlite3.connect(path)) as old, old:
            for at, name in enumerate(names):
                old.execute("UPDATE sessions SET id = ?, user = ? WHERE id = ?", (name, name, f"s{at}"))
                old.execute("UPDATE messages SET session = ? WHERE session = ?", (name, f"s{at}"))
                old.execute("UPDATE fact_users SET user = ? WHERE user = ?", (name, f"u{at}"))
                old.execute("UPDATE facts SET user = ? WHERE user = ?", (name, f"u{at}"))

        memory = SQLiteMemory(path)
        listed = {info.id: info.user for info in await memory.sessions()}
        texts = [[message.text for message in (await memory.load(name)).messages] for name in names]
        facts = [[fact.text for fact in await memory.facts(name)] for name in names]
        forgotten = [await memory.forget(name) for name in names]
        deleted = [await memory.delete(name) for name in names]
        await memory.aclose()

        assert listed == {name: name for name in names}
        assert texts == [[name] for name in names]
        assert facts == [["Likes tea."]] * 4
        assert (forgotten, deleted) == ([1] * 4, [True] * 4)
