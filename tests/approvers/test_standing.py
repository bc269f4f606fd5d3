"""Standing approvals: granted with a decision, used, bounded, listed and revoked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from agno_rt import Agent, MemoryPolicy, RunResult, Runtime, ToolCall, tool
from agno_rt._decide.grants import fits_pattern, is_granted
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import NotFound, UsageError
from agno_rt.events import ApprovalReviewed, Event
from agno_rt.run_store import MOST_GRANTS, Approval, Decision, Grant, Resume, Standing
from agno_rt.testing import ScriptedModel

STORED = MemoryPolicy(journal=True)


def make_sender(sent: list[str], **options: Any) -> Any:
    """Return a tool that asks before each call, and notes the calls."""

    @tool(**{"approve": True, **options})
    async def send(to: str, text: str = "") -> str:
        """Send a message."""
        sent.append(to)
        return f"sent to {to}"

    return send


def send_to(to: str, **more: str) -> ToolCall:
    """Return a call of the tool."""
    return ToolCall("c", "send", {"to": to, **more})


@attrs.define
class Desk:
    """An agent that calls the tool with the last word of the input, and a person who decides."""

    rt: Runtime
    sent: list[str] = attrs.Factory(list)
    sender: Any = None
    name: str = "clerk"

    def agent(self) -> Agent:
        """Return the agent."""

        def answer(request: Any) -> Any:
            last = request.messages[-1]
            return "done" if last.role == "tool" else send_to(last.text)

        self.sender = self.sender or make_sender(self.sent)
        return Agent(ScriptedModel(answer), self.name, tools=[self.sender], memory=STORED)

    async def ask(self, to: str, *, session: str | None = "s", user: str | None = "ann") -> RunResult:
        """Run the agent."""
        return await self.rt.run(self.agent(), to, session=session, user=user)

    async def approve(self, result: RunResult, standing: Standing | None = None, **more: Any) -> RunResult:
        """Approve what the run waits for, and resume it."""
        [approval] = result.approvals
        await self.rt.approve(approval.id, standing=standing, **more)
        return await self.rt.run(self.agent(), Resume(result.run_id))


async def test_an_approval_may_stand_for_the_session() -> None:
    """The same call in the session asks nobody; other arguments, another session and another user ask again."""
    events: list[Event] = []
    async with Runtime(observers=[events.append]) as rt:
        desk = Desk(rt)
        await desk.approve(await desk.ask("bob"), Standing(), by="boss")
        assert (await desk.ask("bob")).status == "completed"
        assert (await desk.ask("eve")).status == "paused"
        assert (await desk.ask("bob", session="t")).status == "paused"
        assert (await desk.ask("bob", session=None)).status == "paused"
        assert (await desk.ask("bob", session="u", user="eve")).status == "paused"
        assert (await desk.ask("bob", session="v", user=None)).status == "paused"
        [grant] = await rt.grants(user="ann")
    assert desk.sent == ["bob", "bob"]
    [used] = [event for event in events if isinstance(event, ApprovalReviewed)]
    assert (used.approved, used.by, used.grant, used.call.arguments) == (
        True,
        "grant",
        grant.id,
        send_to("bob").arguments,
    )
    assert (grant.tool, grant.user, grant.agent, grant.session, grant.by) == ("send", "ann", "clerk", "s", "boss")
    assert grant.expires_at == grant.created_at + 3600


@pytest.mark.parametrize(
    ("standing", "asked"),
    [
        (Standing("session", arguments="any"), {"session": False, "agent": True, "user": True}),
        (Standing("agent", arguments="any"), {"session": False, "agent": False, "user": True}),
        (Standing("user", arguments="any"), {"session": False, "agent": False, "user": False}),
    ],
)
async def test_the_scopes(standing: Standing, asked: dict[str, bool]) -> None:
    """A grant for the session, for the agent in all sessions, or for all agents of the user."""
    async with Runtime() as rt:
        desk = Desk(rt)
        await desk.approve(await desk.ask("bob"), standing)
        other = Desk(rt, sender=desk.sender, name="other")
        found = {
            "session": await desk.ask("cid"),
            "agent": await desk.ask("cid", session="t"),
            "user": await other.ask("cid", session="x"),
        }
        assert (await other.ask("cid", session="y", user="eve")).status == "paused"
    assert {scope: result.status == "paused" for scope, result in found.items()} == asked


async def test_a_pattern_of_arguments() -> None:
    """Calls that fit the pattern ask nobody; a call without the argument, or with another value, does."""
    async with Runtime() as rt:
        desk = Desk(rt)
        standing = Standing(arguments={"to": "*@example.org"})
        await desk.approve(await desk.ask("a@example.org"), standing)
        assert (await desk.ask("b@example.org")).status == "completed"
        assert (await desk.ask("b@example.org.evil")).status == "paused"


async def test_a_pattern_of_an_unknown_argument() -> None:
    """A misspelt name, which no later call would fit, is refused with the nearest name, and nothing is decided."""
    async with Runtime() as rt:
        desk = Desk(rt)
        paused = await desk.ask("bob")
        with pytest.raises(UsageError, match="has no argument 'too'") as caught:
            await desk.approve(paused, Standing(arguments={"too": "b*"}))
        assert caught.value.hint == "Did you mean 'to'? Known: to."
        await desk.approve(paused, Standing(arguments={"to": "b*"}))
        assert (await desk.ask("ben")).status == "completed"


async def test_changed_arguments_are_what_stands() -> None:
    """With other arguments than the model's, the person's arguments are approved for later, not the model's."""
    async with Runtime() as rt:
        desk = Desk(rt)
        await desk.approve(await desk.ask("eve"), Standing(), arguments={"to": "bob"})
        assert (await desk.ask("eve")).status == "paused"
        assert (await desk.ask("bob")).status == "completed"
    assert desk.sent == ["bob", "bob"]


@pytest.mark.parametrize("change", ["description", "parameters", "destructive"])
async def test_a_changed_tool_does_not_inherit(change: str) -> None:
    """After any change of the definition, a person is asked again."""
    async with Runtime() as rt:
        desk = Desk(rt)
        await desk.approve(await desk.ask("bob"), Standing(arguments="any"))
        changed: dict[str, dict[str, Any]] = {
            "description": {"description": "Send a message to anybody at all."},
            "parameters": {"parameters": {**desk.sender.parameters, "title": "new"}},
            "destructive": {"destructive": True},
        }
        desk.sender = attrs.evolve(desk.sender, **changed[change])
        assert (await desk.ask("bob")).status == "paused"


async def test_a_grant_ends() -> None:
    """After the end, a person is asked again, and the grant is in no list."""
    async with Runtime() as rt:
        desk = Desk(rt)
        await desk.approve(await desk.ask("bob"), Standing(seconds=1e-6))
        assert (await desk.ask("bob")).status == "paused"
        assert await rt.grants() == []
        await desk.approve(await desk.ask("cid"), Standing(seconds=None))
        assert [grant.expires_at for grant in await rt.grants()] == [None]


async def test_a_revoked_grant_asks_again() -> None:
    """Each user lists and revokes their own grants alone."""
    async with Runtime() as rt:
        desk = Desk(rt)
        await desk.approve(await desk.ask("bob"), Standing())
        [grant] = await rt.grants()
        assert await rt.grants(user="eve") == await rt.grants(unowned=True) == []
        with pytest.raises(NotFound):
            await rt.revoke(grant.id, user="eve")
        assert (await desk.ask("bob")).status == "completed"
        assert await rt.revoke(grant.id, user="ann") == grant
        with pytest.raises(NotFound):
            await rt.revoke(grant.id)
        assert (await desk.ask("bob")).status == "paused"


@pytest.mark.parametrize("options", [{"standing": False}, {"standing": False, "destructive": True}])
async def test_a_tool_may_ask_each_time(options: dict[str, Any]) -> None:
    """With `standing=False` the approval cannot stand, and a grant from before is not used."""
    async with Runtime() as rt:
        desk = Desk(rt)
        await desk.approve(await desk.ask("bob"), Standing())
        strict = Desk(rt, sender=make_sender(desk.sent, **options))
        paused = await strict.ask("bob")
        assert paused.status == "paused"
        with pytest.raises(UsageError, match="each time"):
            await strict.approve(paused, Standing())
        assert (await strict.approve(paused)).status == "completed"


async def test_only_approvals_can_stand() -> None:
    """A denied or decided approval, a session that is none, and an agent without a name grant nothing."""
    async with Runtime() as rt:
        desk = Desk(rt)
        paused = await desk.ask("bob", session=None)
        with pytest.raises(UsageError, match="has none"):
            await desk.approve(paused, Standing())
        await rt.deny(paused.approvals[0].id)
        with pytest.raises(UsageError):
            await desk.approve(paused, Standing("agent"))
        nameless = Desk(rt, name="")
        with pytest.raises(UsageError, match="no name"):
            await nameless.approve(await nameless.ask("bob"), Standing("agent"))
        assert await rt.grants() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": "world"},
        {"seconds": 0},
        {"seconds": True},
        {"arguments": "some"},
        {"arguments": {}},
        {"arguments": ["a"]},
    ],
)
def test_wrong_values(fields: dict[str, Any]) -> None:
    """Unknown scopes, ends without a time, and patterns without arguments are refused."""
    with pytest.raises(UsageError, match="Standing"):
        Standing(**fields)


async def test_a_grant_survives_a_restart(tmp_path: Path) -> None:
    """Another process finds the grant in the file, and each use is in the journal with the grant's id."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    async with Runtime(memory=url) as rt:
        desk = Desk(rt)
        await desk.approve(await desk.ask("bob"), Standing())
    async with Runtime(memory=url) as rt:
        result = await Desk(rt).ask("bob")
        [grant] = await rt.grants()
        memory: Any = rt.memory
        _, entries = await memory.load_run(result.run_id)
    assert result.status == "completed"
    [reviewed] = [entry for entry in entries if entry.kind == "reviewed"]
    assert grant.id.encode() in reviewed.body


async def test_too_many_grants_approve_nothing() -> None:
    """A user with the most grants for a tool: the call still waits, and a decision for the call alone is taken."""
    memory = InProcessMemory()
    for number in range(MOST_GRANTS):
        await memory.add_grant(Grant(f"g{number}", "send", "other", user="ann"))
    async with Runtime(memory=memory) as rt:
        desk = Desk(rt)
        waiting = await desk.ask("bob")
        with pytest.raises(UsageError, match=r"(?s)1,000 standing approvals of send .*Revoke some"):
            await desk.approve(waiting, Standing())
        [approval] = waiting.approvals
        assert (await rt.approval(approval.id)).status == "pending"
        assert (await desk.approve(await desk.ask("bob", user="eve", session="t"), Standing())).status == "completed"
        assert (await desk.approve(waiting)).status == "completed"


async def test_a_store_without_grants_asks_each_time() -> None:
    """A memory without standing approvals works as before, and says so to the person who grants."""

    class Plain(InProcessMemory):
        add_grant = grants = revoke_grant = None  # type: ignore[assignment]

        def __getattribute__(self, name: str) -> Any:
            if name in ("add_grant", "grants", "revoke_grant"):
                raise AttributeError(name)
            return super().__getattribute__(name)

    async with Runtime(memory=Plain()) as rt:
        desk = Desk(rt)
        paused = await desk.ask("bob")
        with pytest.raises(UsageError, match="GrantStore"):
            await desk.approve(paused, Standing())
        assert (await desk.approve(paused)).status == "completed"
        with pytest.raises(UsageError, match="GrantStore"):
            await rt.grants()


async def test_calls_of_one_turn_use_a_grant_together() -> None:
    """Of several calls in a turn, those that fit go on, and the run waits for the others."""
    async with Runtime() as rt:
        desk = Desk(rt)
        await desk.approve(await desk.ask("bob"), Standing(arguments={"to": "b*"}))
        calls = [ToolCall(str(number), "send", {"to": to}) for number, to in enumerate(("ben", "eve", "bea"))]
        agent = Agent(ScriptedModel([calls, "done"]), "clerk", tools=[desk.sender], memory=STORED)
        result = await rt.run(agent, "go", session="s", user="ann")
        assert [approval.call.id for approval in result.approvals] == ["1"]
    assert sorted(desk.sent) == ["bea", "ben", "bob"]


def test_patterns() -> None:
    """A star stands for any text, lines too; values of other types are compared as JSON."""
    fits: Callable[[Any, Any], bool] = lambda wanted, value: fits_pattern({"x": wanted}, {"x": value})  # noqa: E731
    assert fits("a*b*c", "a1\n2b3c")
    assert fits("*", "")
    assert fits("a*", "a")
    assert fits("**b", "b")
    assert not fits("ab*ba", "aba")
    assert not fits("a*b*c", "acb")
    assert not fits("a", "A")
    assert not fits("a?", "ab")
    assert not fits(1, True)
    assert not fits("1", 1)
    assert fits({"a": [1]}, {"a": [1]})
    assert not fits_pattern({"x": "*"}, {})
    assert not fits_pattern({"x": "*"}, ["x"])
    assert not fits("*" + "a*" * 40 + "b", "a" * 100_000)


def test_a_grant_without_a_definition_fits_nothing() -> None:
    """A damaged grant, or an approval from before, never stands in for a person."""
    call = send_to("bob")
    approval = Approval("a", "r", call, user="ann")
    assert not is_granted(Grant("g", "send", "", user="ann"), call, approval, 0.0)
    assert not is_granted(Grant("g", "send", "d", user="ann"), call, approval, 0.0)
    nonsense = attrs.evolve(call, arguments="nonsense")
    assert not is_granted(Grant("g", "send", "d"), nonsense, Approval("a", "r", nonsense, definition="d"), 0.0)


async def test_a_decision_from_elsewhere_grants_nothing() -> None:
    """A plain decision in the store is for the call alone."""
    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        desk = Desk(rt)
        paused = await desk.ask("bob")
        await memory.decide(paused.approvals[0].id, Decision("approved"))
        assert (await rt.run(desk.agent(), Resume(paused.run_id))).status == "completed"
        assert (await desk.ask("bob")).status == "paused"
