"""Runs that wait for a person: paused, stored, decided once, and resumed where they stopped, in any runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
import trio

from agno_rt import Agent, Hook, Limits, Message, Runtime, ToolCall, tool
from agno_rt.context import Deps, FromUser, RunContext
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import HookError, LimitExceeded, NotFound, UsageError
from agno_rt.events import ApprovalAsked, Event, RunEnded, RunStarted, ToolEnded, ToolStarted
from agno_rt.memory import MemoryBackend
from agno_rt.run_store import ApprovalConflict, Resume, RunStore
from agno_rt.testing import CancelPoint, ScriptedModel, Step, cancel_everywhere
from agno_rt.tools import Tool
from tests.helpers import echo, told


@attrs.define
class Till:
    """A dependency of a run, with a record of its use."""

    paid: list[str] = attrs.Factory(list)


@tool(approve=True)
async def pay(to: str, till: Deps[Till], amount: int = 1) -> str:
    """Pay somebody."""
    till.paid.append(f"{amount} to {to}")
    return f"paid {amount}"


@tool
def deploy(version: str, place: FromUser[Literal["test", "live"]], till: Deps[Till], copies: FromUser[int] = 1) -> str:
    """Deploy a version."""
    till.paid.append(f"{version} {place} {copies}")
    return f"{version} is {place}"


@tool(external=True)
def scan(page: int) -> None:
    """Scan a page."""
    raise AssertionError("somebody else does that")


def call(id: str, name: str = "pay", arguments: str = '{"to": "Ann"}') -> ToolCall:
    """Make a call; the default pays Ann."""
    return ToolCall(id, name, arguments)


def clerk(*steps: Step, tools: tuple[Tool, ...] = (pay, deploy, scan, echo), **more: Any) -> Agent:
    """Make an agent whose model takes the steps in turn."""
    return Agent(ScriptedModel(list(steps)), "clerk", tools=list(tools), **more)


def asked(agent: Agent) -> int:
    """Return the number of requests to the agent's model."""
    assert isinstance(agent.model, ScriptedModel)
    return len(agent.model.requests)


@pytest.fixture(params=["in process", "on a file"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> str | MemoryBackend:
    """Open a store of runs, shared by the runtimes of a test."""
    return InProcessMemory() if request.param == "in process" else f"sqlite:///{tmp_path / 'agents.db'}"


class TestApprove:
    """A call is made only after a person's approval."""

    async def test_it_waits_and_goes_on(self, memory: Any) -> None:
        """The run pauses, and another runtime makes the call without asking the model again."""
        till, agent = Till(), clerk([call("1")], "done")
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay Ann", session="s", user="bob", deps=till)
            [approval] = paused.approvals
            assert (paused.status, paused.content, paused.error, till.paid) == ("paused", "", None, [])
            assert (approval.run, approval.agent, approval.session, approval.user) == (
                paused.run_id,
                "clerk",
                "s",
                "bob",
            )
            assert (approval.kind, approval.status, approval.call) == ("approval", "pending", call("1"))

        async with Runtime(memory=memory) as rt:
            rt.add(agent)
            assert isinstance(rt.memory, RunStore)
            assert await rt.memory.approvals(status="pending") == [approval]
            assert [(run.id, run.status, run.owner) for run in await rt.memory.runs()] == [
                (paused.run_id, "paused", None)
            ]
            decided = await rt.approve(approval.id, by="eve")
            assert (decided.status, decided.by, till.paid) == ("approved", "eve", [])

        async with Runtime(memory=memory) as rt:
            result = await rt.resume(paused.run_id, agent, deps=till)
            session = await rt.memory.load("s")

        assert (result.run_id, result.status, result.content) == (paused.run_id, "completed", "done")
        assert result.approvals == ()
        assert (till.paid, told(result), asked(agent)) == (["1 to Ann"], ["paid 1"], 2)
        assert [message.role for message in session.messages] == ["user", "assistant", "tool", "assistant"]

    async def test_other_arguments(self, memory: Any) -> None:
        """An approval may change the arguments; the model's message stays unchanged."""
        till, agent = Till(), clerk([call("1")], "done")
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay Ann", deps=till)
            [approval] = paused.approvals
            for wrong, complaint in (({"to": "Bob", "amount": "x"}, r"`\$\.amount`"), ([1], "not a JSON object")):
                with pytest.raises(UsageError, match=complaint):
                    await rt.approve(approval.id, wrong)
            await rt.approve(approval.id, {"to": "Bob", "amount": 7})
            result = await rt.resume(paused.run_id, deps=till)

        assert (till.paid, told(result)) == (["7 to Bob"], ["paid 7"])
        assert result.messages[1].tool_calls == (call("1"),)

    async def test_it_is_asked_only_where_it_must_be(self, memory: Any) -> None:
        """A function of the arguments decides on approval, and gives the reason."""

        def check(amount: int, context: RunContext) -> str | None:
            return f"{context.user} pays {amount}" if amount > 10 else None

        till, careful = Till(), attrs.evolve(pay, approve=check)
        agent = clerk([call("1"), call("2", arguments='{"to": "Bob", "amount": 11}')], "done", tools=(careful,))
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay", user="eve", deps=till)
            assert [(each.call.id, each.reason) for each in paused.approvals] == [("2", "eve pays 11")]
            assert till.paid == ["1 to Ann"]
            await rt.approve(paused.approvals[0].id)
            result = await rt.resume(paused.run_id, deps=till)

        assert (till.paid, told(result)) == (["1 to Ann", "11 to Bob"], ["paid 1", "paid 11"])

    async def test_a_function_that_fails(self) -> None:
        """A failing function ends the run with an error that names the tool, and the call is not made."""

        async def check() -> bool:
            raise ValueError("broken")

        till, agent = Till(), clerk([call("1")], tools=(attrs.evolve(pay, approve=check),))
        async with Runtime() as rt:
            with pytest.raises(HookError, match="whether pay needs approval failed: ValueError: broken"):
                await rt.run(agent, "Pay", deps=till)

        assert till.paid == []

    async def test_nonsense_is_told_to_the_model(self) -> None:
        """Invalid arguments go back to the model, and no person is asked."""
        till, agent = Till(), clerk([call("1", arguments='{"too": 1}')], "sorry")
        async with Runtime() as rt:
            result = await rt.run(agent, "Pay", deps=till)

        assert (result.status, till.paid) == ("completed", [])
        assert "do not fit its schema" in told(result)[0]

    async def test_one_call_too_many(self, memory: Any) -> None:
        """Calls of a limited tool are counted over a pause: a call over the limit asks nobody."""
        once = attrs.evolve(pay, limits=attrs.evolve(pay.limits, calls=1))
        till = Till()
        agent = clerk([call("1")], [call("2", "scan", '{"page": 1}')], [call("3")], "done", tools=(once, scan))
        async with Runtime(memory=memory) as rt:
            result = await rt.run(agent, "Pay", deps=till)
            await rt.approve(result.approvals[0].id)
            result = await rt.resume(result.run_id, deps=till)
            await rt.answer(result.approvals[0].id, "scanned")
            result = await rt.resume(result.run_id, deps=till)

        assert (result.status, till.paid) == ("completed", ["1 to Ann"])
        assert told(result)[2].startswith("pay was not called: ")

    async def test_budgets_count_what_waited(self) -> None:
        """A call that waited counts against the run's budget of tool calls."""
        till, agent = Till(), clerk([call("1")], [call("2")], "done", limits=Limits(tool_calls=1))
        async with Runtime() as rt:
            paused = await rt.run(agent, "Pay", deps=till)
            await rt.approve(paused.approvals[0].id)
            with pytest.raises(LimitExceeded) as caught:
                await rt.resume(paused.run_id, deps=till)

        assert (caught.value.limit, till.paid) == ("tool_calls", ["1 to Ann"])


class TestDeny:
    """Denied and expired calls."""

    @pytest.mark.parametrize(
        ("reason", "content"),
        [("too much", "pay was denied: too much"), ("", "pay was denied: no reason was given")],
    )
    async def test_with_a_reason(self, memory: Any, reason: str, content: str) -> None:
        """The model gets the reason for a denial, and goes on."""
        till, agent = Till(), clerk([call("1")], "I am sorry.")
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay Ann", deps=till)
            assert (await rt.deny(paused.approvals[0].id, reason)).reason == reason
        async with Runtime(memory=memory) as rt:
            result = await rt.resume(paused.run_id, agent, deps=till)

        assert (result.content, told(result), till.paid) == ("I am sorry.", [content], [])

    async def test_expired(self, memory: Any) -> None:
        """An expired approval cannot be decided, and the model is told so."""
        brief = attrs.evolve(pay, expires=1e-6)
        till, agent = Till(), clerk([call("1")], "too late", tools=(brief,))
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay Ann", deps=till)
            [approval] = paused.approvals
            assert isinstance(rt.memory, RunStore)
            assert [each.status for each in await rt.memory.approvals(run=paused.run_id)] == ["expired"]
            for decide in (rt.approve, rt.deny):
                with pytest.raises(ApprovalConflict, match="has expired"):
                    await decide(approval.id)
            result = await rt.resume(paused.run_id, deps=till)

        assert (result.content, till.paid) == ("too late", [])
        assert told(result) == ["pay was not called: nobody approved it in time."]

    async def test_in_time(self) -> None:
        """An approval decided before its expiry stays valid later."""
        ahead = [0.0]
        started = trio.current_time()
        memory = InProcessMemory(clock=lambda: 4e9 + ahead[0] + trio.current_time() - started)
        till, agent = Till(), clerk([call("1")], "done", tools=(attrs.evolve(pay, expires=9e9),))
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay Ann", deps=till)
            await rt.approve(paused.approvals[0].id)
            ahead[0] = 9e9
            assert (await rt.resume(paused.run_id, deps=till)).content == "done"

        assert till.paid == ["1 to Ann"]


class TestInput:
    """Input from the user."""

    async def test_the_user_fills_it_in(self, memory: Any) -> None:
        """The function gets the model's arguments and the user's. Invalid input is refused, and can be corrected."""
        till = Till()
        agent = clerk([call("1", "deploy", '{"version": "1"}')], "done")
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Deploy", deps=till)
            [approval] = paused.approvals
            assert approval.kind == "input"
            assert approval.schema is not None
            assert approval.schema["required"] == ["place"]
        async with Runtime(memory=memory) as rt:
            # This runtime does not know the agent; the stored schema is enough.
            with pytest.raises(UsageError) as caught:
                await rt.answer(approval.id, {"place": "prod", "copies": "two", "when": 1})
            assert all(place in caught.value.message for place in ("`$.place`", "`$.copies`", "`when`"))
            with pytest.raises(UsageError, match="cannot be approved"):
                await rt.approve(approval.id)
            await rt.answer(approval.id, {"place": "live", "copies": 2})
            result = await rt.resume(paused.run_id, agent, deps=till)

        assert (till.paid, told(result), result.content) == (["1 live 2"], ["1 is live"], "done")

    async def test_several_calls_have_their_own(self, memory: Any) -> None:
        """Two calls of one turn are asked for separately, and each gets its own input."""
        till = Till()
        calls = [call("1", "deploy", '{"version": "1"}'), call("2", "deploy", '{"version": "2"}')]
        agent = clerk(calls, "done")
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Deploy", deps=till)
            first, second = paused.approvals
            await rt.answer(second.id, {"place": "test"})
            await rt.answer(first.id, {"place": "live"})
            result = await rt.resume(paused.run_id, deps=till)

        assert sorted(till.paid) == ["1 live 1", "2 test 1"]
        assert told(result) == ["1 is live", "2 is test"]

    async def test_the_user_may_refuse(self) -> None:
        """A user asked for input may deny the call."""
        till, agent = Till(), clerk([call("1", "deploy", '{"version": "1"}')], "pity")
        async with Runtime() as rt:
            paused = await rt.run(agent, "Deploy", deps=till)
            await rt.deny(paused.approvals[0].id, "not today")
            result = await rt.resume(paused.run_id, deps=till)

        assert (told(result), till.paid) == (["deploy was denied: not today"], [])


class TestExternal:
    """External calls, carried out by the caller."""

    @pytest.mark.parametrize(
        ("value", "content"),
        [("It says: hello.", "It says: hello."), ({"words": ["a", 1]}, '{"words":["a",1]}'), (None, "null")],
    )
    async def test_its_result(self, memory: Any, value: Any, content: str) -> None:
        """The function is never called. The caller's result goes to the model: text unchanged, other values as JSON."""
        agent = clerk([call("1", "scan", '{"page": 3}')], "done")
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Scan")
            [approval] = paused.approvals
            assert (approval.kind, approval.call.arguments) == ("external", '{"page": 3}')
        async with Runtime(memory=memory) as rt:
            await rt.answer(approval.id, value)
            result = await rt.resume(paused.run_id, agent)

        assert (told(result), result.content) == ([content], "done")


class TestTurns:
    """Several calls and several pauses."""

    async def test_siblings_finish(self, memory: Any) -> None:
        """Calls of the same turn without approval are made before the pause, and not again afterwards."""
        till = Till()
        free = attrs.evolve(pay, name="gift", approve=False)
        calls = [call("1", "gift"), call("2"), call("3", "echo", '{"text": "hi"}'), call("4", "nothing", "{}")]
        agent = clerk(calls, "done", tools=(pay, free, echo))
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay", deps=till)
            assert ([each.call.id for each in paused.approvals], till.paid) == (["2"], ["1 to Ann"])
            await rt.approve(paused.approvals[0].id, {"to": "Bob"})
        async with Runtime(memory=memory) as rt:
            result = await rt.resume(paused.run_id, agent, deps=till)

        assert till.paid == ["1 to Ann", "1 to Bob"]
        assert told(result)[:3] == ["paid 1", "paid 1", "hi"]
        assert told(result)[3].startswith("There is no tool 'nothing'")

    async def test_what_is_still_open_keeps_waiting(self, memory: Any) -> None:
        """A run resumed too early makes the decided calls, and waits for the same other approvals."""
        till, agent = Till(), clerk([call("1"), call("2", arguments='{"to": "Bob"}')], "done")
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay", deps=till)
            first, second = paused.approvals
            again = await rt.resume(paused.run_id, deps=till)
            assert (again.status, [each.id for each in again.approvals]) == ("paused", [first.id, second.id])
            await rt.approve(second.id)
            again = await rt.resume(paused.run_id, deps=till)
            assert (again.status, [each.id for each in again.approvals]) == ("paused", [first.id])
            assert till.paid == ["1 to Bob"]
            await rt.deny(first.id, "no")
            result = await rt.resume(paused.run_id, deps=till)

        assert (told(result), till.paid, asked(agent)) == (["pay was denied: no", "paid 1"], ["1 to Bob"], 2)

    async def test_two_pauses(self, memory: Any) -> None:
        """A run may pause several times, even with repeated ids of calls."""
        till = Till()
        agent = clerk(
            [call("1")], [call("1", arguments='{"to": "Bob"}')], [call("1", "deploy", '{"version": "1"}')], "done"
        )
        async with Runtime(memory=memory) as rt:
            result = await rt.run(agent, "Pay", session="s", deps=till)
            await rt.approve(result.approvals[0].id)
        async with Runtime(memory=memory) as rt:
            result = await rt.resume(result.run_id, agent, deps=till)
            assert (result.status, result.approvals[0].call.arguments) == ("paused", '{"to": "Bob"}')
            assert told(result) == ["paid 1"]
            await rt.deny(result.approvals[0].id, "no")
            result = await rt.resume(result.run_id, deps=till)
            assert [each.kind for each in result.approvals] == ["input"]
            await rt.answer(result.approvals[0].id, {"place": "test"})
            result = await rt.resume(result.run_id, deps=till)

        assert (result.content, told(result)) == ("done", ["paid 1", "pay was denied: no", "1 is test"])
        assert (till.paid, asked(agent)) == (["1 to Ann", "1 test 1"], 4)

    async def test_one_that_runs_alone(self) -> None:
        """A tool that runs alone waits in its place, and earlier and later calls are made."""
        till, alone = Till(), attrs.evolve(pay, parallel=False)
        agent = clerk([call("1", "echo", '{"text": "a"}'), call("2"), call("3", "echo", '{"text": "b"}')], "done")
        agent = attrs.evolve(agent, tools=[alone, echo])
        async with Runtime() as rt:
            paused = await rt.run(agent, "Pay", deps=till)
            await rt.approve(paused.approvals[0].id)
            result = await rt.resume(paused.run_id, deps=till)

        assert told(result) == ["a", "paid 1", "b"]


class TestOnce:
    """Each approval is decided once, for one run."""

    async def test_decided_twice(self, memory: Any) -> None:
        """A second decision is a conflict with the first one's outcome, and changes nothing."""
        till, agent = Till(), clerk([call("1")], "done")
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay Ann", deps=till)
            [approval] = paused.approvals
            await rt.deny(approval.id, "no", by="eve")
            for again in (rt.deny(approval.id, "no"), rt.approve(approval.id)):
                with pytest.raises(ApprovalConflict, match="is denied already by eve"):
                    await again
            result = await rt.resume(paused.run_id, deps=till)
            with pytest.raises(ApprovalConflict):
                await rt.approve(approval.id)

        assert (told(result), till.paid) == (["pay was denied: no"], [])

    async def test_decided_by_two_at_once(self, memory: Any) -> None:
        """One of two concurrent decisions is a conflict."""
        agent = clerk([call("1")], "done")
        outcomes: list[str] = []
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay Ann", deps=Till())
            [approval] = paused.approvals

            async def decide(approves: bool) -> None:
                try:
                    done = await (rt.approve(approval.id) if approves else rt.deny(approval.id))
                except ApprovalConflict:
                    outcomes.append("conflict")
                else:
                    outcomes.append(done.status)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(decide, True)
                nursery.start_soon(decide, False)
            assert isinstance(rt.memory, RunStore)
            [stored] = await rt.memory.approvals(run=paused.run_id)

        assert sorted(outcomes) == sorted(["conflict", stored.status])

    async def test_nobody_elses(self, memory: Any) -> None:
        """A decision for one run does not resume another run."""
        till, agent = Till(), clerk([call("1")], [call("1", arguments='{"to": "Bob"}')], "done")
        async with Runtime(memory=memory) as rt:
            ann = await rt.run(agent, "Pay Ann", user="ann", deps=till)
            bob = await rt.run(agent, "Pay Bob", user="bob", deps=till)
            await rt.approve(ann.approvals[0].id)
            again = await rt.resume(bob.run_id, deps=till)
            assert (again.status, again.approvals[0].id, till.paid) == ("paused", bob.approvals[0].id, [])
            assert (await rt.resume(ann.run_id, deps=till)).content == "done"
            with pytest.raises(NotFound):
                await rt.approve(f"{ann.run_id}.00000000")
            with pytest.raises(NotFound):
                await rt.approve("nonsense")

        assert till.paid == ["1 to Ann"]

    async def test_the_model_cannot_answer_for_the_user(self) -> None:
        """A model's argument for the user's parameter is refused before a person is asked."""
        till = Till()
        agent = clerk([call("1", "deploy", '{"version": "1", "place": "live"}')], "sorry")
        async with Runtime() as rt:
            result = await rt.run(agent, "Deploy", deps=till)

        assert (result.status, till.paid) == ("completed", [])
        assert "unknown field `place`" in told(result)[0]


class Diverting(Hook):
    """A hook that sends calls to another tool."""

    async def before_tool(self, context: RunContext, call: ToolCall) -> ToolCall | str | None:
        """Answer calls of `scan`; turn other calls into calls of `pay`."""
        if call.name == "scan":
            return "scanned already"
        return ToolCall(call.id, "pay", '{"to": "Bob"}')


class TestHooks:
    """Hooks see a call before a person does."""

    async def test_what_a_hook_makes_of_a_call_is_asked(self, memory: Any) -> None:
        """A person sees the call as changed by hooks. A call answered by a hook asks nobody."""
        till = Till()
        agent = clerk([call("1", "echo", "{}"), call("2", "scan", '{"page": 1}')], "done", hooks=[Diverting()])
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "Pay", deps=till)
            [approval] = paused.approvals
            assert (approval.call.name, approval.call.arguments, till.paid) == ("pay", '{"to": "Bob"}', [])
            await rt.approve(approval.id)
            result = await rt.resume(paused.run_id, deps=till)

        assert (told(result), till.paid) == (["paid 1", "scanned already"], ["1 to Bob"])

    async def test_out_of_a_batch(self) -> None:
        """A call taken out of a batch by a hook is not made without approval."""

        @tool(name="all", batch=True)
        def every(xs: list[int]) -> list[int]:
            """Take all."""
            return xs

        till = Till()
        calls = [call(each, "all", '{"item": 1}') for each in "12"]
        agent = clerk(calls, "done", tools=(every, pay), hooks=[Diverting()])
        async with Runtime() as rt:
            await rt.run(agent, "Pay", deps=till)

        assert till.paid == []


class TestEvents:
    """Events of paused runs."""

    async def test_a_stream_ends_paused(self, memory: Any) -> None:
        """A stream names the approval and ends as paused. A stream of the resumed run starts anew and ends as
        completed."""
        till, agent = Till(), clerk([call("1"), call("2", "echo", "{}")], "done")
        async with Runtime(memory=memory) as rt:
            async with rt.stream(agent, "Pay", deps=till) as stream:
                events: list[Event] = [event async for event in stream]
            [waiting] = [event for event in events if isinstance(event, ApprovalAsked)]
            assert (waiting.kind, waiting.call, waiting.reason) == ("approval", call("1"), "")
            assert isinstance(events[-1], RunEnded)
            assert (events[-1].status, events[-1].code) == ("paused", None)
            assert [event.call.id for event in events if isinstance(event, ToolStarted | ToolEnded)] == ["2", "2"]
            await rt.approve(waiting.approval)
            async with rt.stream(agent, Resume(waiting.run_id), deps=till) as stream:
                events = [event async for event in stream]

        assert isinstance(events[0], RunStarted)
        assert events[0].resumed
        assert [event.call.id for event in events if isinstance(event, ToolStarted | ToolEnded)] == ["1", "1"]
        assert isinstance(events[-1], RunEnded)
        assert events[-1].status == "completed"

    async def test_a_run_in_the_background(self) -> None:
        """A background run ends with a paused result."""
        agent = clerk([call("1")], "done")
        async with Runtime() as rt:
            run = await rt.start(agent, "Pay", deps=Till())
            assert (await run.wait()).status == "paused"


async def test_what_has_been_said_meanwhile() -> None:
    """A paused run leaves its session free: another run takes its turn, and no message is lost or mixed up."""
    memory = InProcessMemory()
    till, agent = Till(), clerk([call("1")], "in between", "done")
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(agent, "Pay Ann", session="s", deps=till)
        assert (await rt.run(agent, "Hello", session="s", deps=till)).content == "in between"
        await rt.approve(paused.approvals[0].id)
        result = await rt.resume(paused.run_id, deps=till)
        session = await memory.load("s")

    assert (result.content, till.paid) == ("done", ["1 to Ann"])
    assert [message.text for message in session.messages if message.role == "user"] == ["Hello", "Pay Ann"]
    assert session.messages[-1] == Message("assistant", "done")


async def test_a_backend_that_stores_no_runs() -> None:
    """An agent that may pause is refused by a backend without runs, before anything starts."""

    class Forgetful:
        """A memory backend for sessions only."""

        def __init__(self) -> None:
            inner = InProcessMemory()
            self.load, self.append, self.sessions = inner.load, inner.append, inner.sessions
            self.session_info, self.rename = inner.session_info, inner.rename
            self.delete, self.aclose = inner.delete, inner.aclose

    agent = clerk([call("1")], "done")
    async with Runtime(memory=Forgetful()) as rt:
        with pytest.raises(UsageError, match="stores no runs") as caught:
            await rt.run(agent, "Pay", deps=Till())

    assert caught.value.hint
    assert asked(agent) == 0


def test_cancelled_at_every_step() -> None:
    """A pausing run cancelled at any step can be resumed, and pays at most once."""

    async def scenario(point: CancelPoint) -> None:
        memory, till = InProcessMemory(), Till()
        agent = clerk([call("1"), call("2", "echo", '{"text": "x"}')], "done", "done", "done")
        async with Runtime(memory=memory) as rt:
            with point:
                paused = await rt.run(agent, "Pay", session="s", deps=till)
                await rt.approve(paused.approvals[0].id)
                await rt.resume(paused.run_id, deps=till)
        async with Runtime(memory=memory) as rt:
            for record in await memory.runs():
                if record.status == "completed":
                    continue
                result = await rt.resume(record.id, agent, deps=till)
                if result.status == "paused":
                    await rt.approve(result.approvals[0].id)
                    result = await rt.resume(record.id, deps=till)
                assert result.status == "completed"
        assert len(till.paid) <= 1
        assert not await memory.approvals(status="pending")

    cancel_everywhere(scenario)
