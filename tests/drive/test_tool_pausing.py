"""Calls that wait for a person: the question, the possible decisions, and the outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import attrs
import msgspec
import pytest
import trio
from msgspec import Meta

from agno_rt._drive.approvals import apply_decision, check_decision, require_approval
from agno_rt._drive.invoke_tool import invoke_tool
from agno_rt.context import Deps, FromUser, RunContext, State
from agno_rt.errors import HookError, UsageError
from agno_rt.messages import ToolCall
from agno_rt.run_store import Approval, Decision
from agno_rt.tools import Tool, ToolArgumentError, tool
from tests.tool_helpers import job_of


def pay(to: str, amount: int = 10) -> str:
    """Pay somebody."""
    return f"{amount} paid to {to}"


@tool
def deploy(version: str, environment: FromUser[Literal["test", "live"]], copies: FromUser[int] = 1) -> str:
    """Deploy a version."""
    return f"{version} on {environment}, {copies} times"


@tool(external=True)
def scan(page: int) -> Any:
    """Scan a page on paper."""


APPROVED = tool(pay, approve=True)


@attrs.define
class Allowance:
    """A dependency of the caller."""

    amount: int


def call_of(made: Tool, arguments: str = '{"to": "Ann"}', id: str = "c1") -> ToolCall:
    """Make a call of the tool."""
    return ToolCall(id, made.name, arguments)


async def asked_of(made: Tool, arguments: str = '{"to": "Ann"}', **more: Any) -> Any:
    """Return the approval that a call waits for, an immediate result, or None."""
    return await require_approval(job_of(made, **more), made, call_of(made, arguments))


async def pending(made: Tool, arguments: str = '{"to": "Ann"}') -> Approval:
    """Return the approval that a call waits for."""
    approval = await asked_of(made, arguments)
    assert isinstance(approval, Approval)
    return approval


class TestAsked:
    """The question to a person."""

    async def test_a_call_that_needs_approval(self) -> None:
        """An approval has call, run, agent, session and user, and never expires by default."""
        approval = await asked_of(APPROVED, user="bob")

        assert isinstance(approval, Approval)
        assert approval.id != (await pending(APPROVED)).id
        assert approval.call == call_of(APPROVED)
        assert (approval.run, approval.agent, approval.session, approval.user) == ("run", "agent", None, "bob")
        assert (approval.kind, approval.status, approval.schema, approval.reason) == ("approval", "pending", None, "")
        assert approval.created_at > 1_700_000_000
        assert approval.expires_at is None

    async def test_it_may_expire(self) -> None:
        """An approval expires `expires` seconds after its creation."""
        approval = await pending(tool(pay, approve=True, expires=90))

        assert approval.expires_at == approval.created_at + 90

    async def test_what_is_asked(self) -> None:
        """An approval for input has the schema of the input; an external call has only its arguments."""
        wanted = await pending(deploy, '{"version": "1"}')
        outside = await pending(scan, '{"page": 3}')

        assert wanted.kind == "input"
        assert wanted.schema is not None
        assert wanted.schema["properties"].keys() == {"environment", "copies"}
        assert msgspec.json.decode(msgspec.json.encode(wanted.schema)) == wanted.schema
        assert (outside.kind, outside.schema) == ("external", None)

    async def test_other_tools_ask_nobody(self) -> None:
        """A tool without pauses goes on, with any arguments."""
        assert await asked_of(tool(pay), "nonsense") is None

    @pytest.mark.parametrize("made", [APPROVED, tool(pay, approve=lambda to: 1 / 0)])
    @pytest.mark.parametrize("arguments", ["nonsense", '{"to": 5}', "{}", '{"to": "Ann", "from": "Bob"}'])
    async def test_nobody_is_asked_of_nonsense(self, made: Tool, arguments: str) -> None:
        """Invalid arguments are told to the model, and no person is asked."""
        status, content = await asked_of(made, arguments)

        assert status == "failed"
        assert content.startswith("The arguments of pay do not fit its schema: ")

    async def test_nobody_is_asked_of_one_call_too_many(self) -> None:
        """A call beyond the tool's limit is refused at once, and no person is asked."""
        made = tool(pay, approve=True, calls=2)

        assert isinstance(await asked_of(made, called={"pay": 1}), Approval)
        status, content = await asked_of(made, called={"pay": 2})
        assert (status, content) == (
            "failed",
            "pay was not called: its limit of calls in one run (2) is reached.",
        )


class TestPredicate:
    """`approve` as a function of the call's arguments."""

    @pytest.mark.parametrize("amount", [None, 10, 11])
    async def test_it_decides(self, amount: int | None) -> None:
        """The function gets the named arguments, with the tool's defaults for missing arguments."""
        made = tool(pay, approve=lambda amount: amount > 10)
        arguments = {"to": "Ann"} if amount is None else {"to": "Ann", "amount": amount}

        found = await asked_of(made, msgspec.json.encode(arguments).decode())

        assert isinstance(found, Approval) if amount == 11 else found is None

    async def test_it_may_take_everything(self) -> None:
        """A function with `**` gets all arguments and the tool's defaults. Its own defaults stay."""
        seen: list[Any] = []

        def note(most: int = 5, **arguments: Any) -> None:
            seen.append((most, arguments))

        assert await asked_of(tool(pay, approve=note)) is None
        assert seen == [(5, {"to": "Ann", "amount": 10})]

    async def test_it_may_wait_and_give_a_reason(self) -> None:
        """An async function is awaited. A returned text is the reason for the approval."""

        async def check(to: str) -> str:
            await trio.lowlevel.checkpoint()
            return "" if to == "Ann" else f"{to} is new"

        made = tool(pay, approve=check)

        assert await asked_of(made) is None
        assert (await pending(made, '{"to": "Bob"}')).reason == "Bob is new"

    async def test_the_run_fills_in(self) -> None:
        """The function may ask for context, dependencies and state, like a tool."""
        seen: list[Any] = []

        def check(context: RunContext, allowed: Deps[Allowance], state: State[dict[str, int]], amount: int) -> bool:
            assert context.call is not None
            seen.append((context.user, context.call.id))
            return amount > allowed.amount + state["left"]

        made = tool(pay, approve=check)
        more: dict[str, Any] = {"user": "bob", "deps": Allowance(5), "state": {"left": 4}}

        assert isinstance(await asked_of(made, **more), Approval)
        assert await asked_of(made, '{"to": "Ann", "amount": 9}', **more) is None
        assert seen == [("bob", "c1")] * 2
        with pytest.raises(UsageError, match="needs a Allowance for 'allowed'"):
            await asked_of(made, user="bob")

    async def test_one_that_fails_ends_the_run(self) -> None:
        """A failing function ends the run with an error that names the tool, and the call is not made."""
        with pytest.raises(HookError, match="whether pay needs approval failed: ZeroDivisionError") as caught:
            await asked_of(tool(pay, approve=lambda amount: 1 / 0))

        assert caught.value.hook == "pay.approve"
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    @pytest.mark.parametrize("said", [1, 0, [], object()])
    async def test_one_that_returns_something_else(self, said: Any) -> None:
        """A value other than a truth value, text or None is refused."""
        with pytest.raises(HookError, match=f"returned a {type(said).__name__}") as caught:
            await asked_of(tool(pay, approve=lambda: said))

        assert caught.value.hint

    async def test_one_that_refuses(self) -> None:
        """The function may refuse the arguments: the model is told, and no person is asked."""

        def check(amount: int) -> bool:
            if amount > 5:
                raise ToolArgumentError("Never more than 5.")
            return True

        assert await asked_of(tool(pay, approve=check)) == ("failed", "Never more than 5.")

    async def test_it_is_cancelled_with_its_run(self) -> None:
        """A cancellation is not a failure of the function."""

        async def check() -> bool:
            await trio.sleep_forever()
            return True

        with trio.move_on_after(0) as scope:
            await asked_of(tool(pay, approve=check))

        assert scope.cancelled_caught

    async def test_an_object_and_a_method(self) -> None:
        """Callable objects and methods are accepted."""

        class Rule:
            def __call__(self, amount: int) -> bool:
                return amount > 1

            def of(self, to: str) -> bool:
                return to != "Ann"

        assert isinstance(await asked_of(tool(pay, approve=Rule())), Approval)
        assert await asked_of(tool(pay, approve=Rule().of)) is None


def decided(approval: Approval, **more: Any) -> Approval:
    """Return the approval with a decision."""
    return attrs.evolve(approval, **more)


class TestCarried:
    """Outcomes of decided calls."""

    async def test_approved(self) -> None:
        """An approved call is made with the model's arguments, or with the person's."""
        approval = await pending(APPROVED)
        edited = '{"to": "Ann", "amount": 1}'

        assert apply_decision(job_of(), APPROVED, decided(approval, status="approved")) is approval.call
        made = apply_decision(job_of(), APPROVED, decided(approval, status="approved", arguments=edited))
        assert made == ToolCall("c1", "pay", edited)
        assert approval.call == call_of(APPROVED)

    @pytest.mark.parametrize(
        ("more", "content"),
        [
            ({"status": "denied", "reason": "too much"}, "pay was denied: too much"),
            ({"status": "denied"}, "pay was denied: no reason was given"),
            ({"status": "expired"}, "pay was not called: nobody approved it in time."),
            ({"status": "expired", "kind": "input"}, "pay was not called: the user did not answer in time."),
            ({"status": "expired", "kind": "external"}, "pay was not called: nobody gave its result in time."),
        ],
    )
    async def test_not_made(self, more: dict[str, Any], content: str) -> None:
        """The model gets the reason for a refused call, with or without the tool at hand."""
        approval = decided(await pending(APPROVED), **more)

        assert (
            apply_decision(job_of(), APPROVED, approval)
            == apply_decision(job_of(), None, approval)
            == ("failed", content)
        )

    async def test_pending(self) -> None:
        """A pending approval has no outcome yet."""
        with pytest.raises(UsageError, match="of pay is not decided yet") as caught:
            apply_decision(job_of(), APPROVED, await pending(APPROVED))

        assert "deny it" in caught.value.hint

    @pytest.mark.parametrize(
        ("given", "content"),
        [
            ('"a text"', "a text"),
            ('{"pages": [1, 2]}', '{"pages":[1,2]}'),
            ("null", "null"),
            ("1.5", "1.5"),
            ('"\\ud83d\\ude00"', "😀"),
            ('""', ""),
        ],
    )
    async def test_an_external_result(self, given: str, content: str) -> None:
        """A text result goes to the model unchanged, any other result as JSON, even without the tool."""
        approval = decided(await pending(scan, '{"page": 1}'), status="answered", arguments=given)

        assert (
            apply_decision(job_of(scan), scan, approval)
            == apply_decision(job_of(), None, approval)
            == ("completed", content)
        )

    async def test_input(self) -> None:
        """The function gets the model's arguments, the user's input, and the injected values."""
        seen: list[Any] = []

        @tool(timeout=5, retries=1)
        async def send(
            text: str, code: FromUser[str], limit: Deps[Allowance], context: RunContext, times: FromUser[int] = 3
        ) -> str:
            """Send a text."""
            assert context.call is not None
            seen.append((text, code, times, limit.amount, context.call.id))
            return "sent"

        job = job_of(send, deps=Allowance(7))
        first = await pending(send, '{"text": "a"}')
        second = decided(first, call=ToolCall("c2", "send", '{"text": "b"}'))
        calls = [
            apply_decision(job, send, decided(first, status="answered", arguments='{"code": "11"}')),
            apply_decision(job, send, decided(second, status="answered", arguments='{"code": "22", "times": 1}')),
        ]

        for call in calls:
            assert isinstance(call, ToolCall)
            assert await invoke_tool(job, send, [call]) == [("completed", "sent")]
        assert seen == [("a", "11", 3, 7, "c1"), ("b", "22", 1, 7, "c2")]

    async def test_input_is_read_as_its_type(self) -> None:
        """The user's input is decoded to the parameter's type, like arguments."""

        @tool
        def move(to: FromUser[Allowance], until: FromUser[set[int]]) -> str:
            """Move."""
            return repr((to, until))

        job = job_of(move)
        answer = '{"to": {"amount": 2.0}, "until": [1, 1]}'
        call = apply_decision(job, move, decided(await pending(move, "{}"), status="answered", arguments=answer))

        assert isinstance(call, ToolCall)
        assert await invoke_tool(job, move, [call]) == [("completed", "(Allowance(amount=2), {1})")]

    async def test_input_for_a_tool_that_has_changed(self) -> None:
        """Input unfit for a newer version of the tool is told to the model, and the function is not called."""

        @tool(name="deploy")
        def newer(version: str, region: FromUser[str]) -> None:
            """Deploy."""

        approval = await pending(deploy, '{"version": "1"}')
        approval = decided(approval, status="answered", arguments='{"environment": "live"}')

        told = apply_decision(job_of(newer), newer, approval)
        assert isinstance(told, tuple)
        assert told[0] == "failed"
        assert "deploy was not called: the user's answer no longer fits: " in told[1]
        assert "missing required field `region`" in told[1]
        assert apply_decision(job_of(), None, approval) is approval.call

    async def test_nobody_was_asked(self) -> None:
        """A call without the user's input ends the run, and the function is not called."""
        with pytest.raises(UsageError, match="takes 'environment' from the user, and nobody was asked") as caught:
            await invoke_tool(job_of(deploy), deploy, [call_of(deploy, '{"version": "1"}')])

        assert caught.value.hint


def by_hand(amount: Annotated[int, Meta(ge=0)], to: str = "") -> None:
    """Take bounded arguments."""


class TestCheckDecision:
    """Checks of a person's decision."""

    @pytest.mark.parametrize(
        ("made", "decision"),
        [
            (APPROVED, Decision("approved")),
            (APPROVED, Decision("approved", '{"to": "Bob", "amount": 2.0}')),
            (APPROVED, Decision("denied", reason="no")),
            (deploy, Decision("answered", '{"environment": "test"}')),
            (deploy, Decision("answered", '{"environment": "live", "copies": 2}')),
            (deploy, Decision("denied")),
            (scan, Decision("answered", "null")),
            (scan, Decision("answered", '["a"]')),
            (scan, Decision("denied")),
        ],
    )
    async def test_what_fits(self, made: Tool, decision: Decision) -> None:
        """A decision of the right kind passes, with or without the tool at hand."""
        approval = await pending(
            made, {"pay": '{"to": "A"}', "deploy": '{"version": "1"}', "scan": '{"page": 1}'}[made.name]
        )

        for known in (made, None):
            check_decision(known, approval, decision)

    @pytest.mark.parametrize(
        ("kind", "status", "hint"),
        [
            ("approval", "answered", "Approve it, perhaps with other arguments, or deny it."),
            ("input", "approved", "Answer it with a value that fits its schema, or deny it."),
            ("external", "approved", "Answer it with the result of the call, or deny it."),
        ],
    )
    def test_the_wrong_kind(self, kind: Any, status: Any, hint: str) -> None:
        """An error for a wrong decision names the kind of approval and the possible decisions."""
        approval = Approval("a1", "run", call_of(APPROVED), kind)

        with pytest.raises(UsageError, match=f"a1 of pay is of kind {kind} and cannot be {status}") as caught:
            check_decision(None, approval, Decision(status, "{}"))
        assert caught.value.hint == hint

    @pytest.mark.parametrize(
        ("made", "arguments", "faults"),
        [
            (APPROVED, "nonsense", ["it is not JSON: "]),
            (APPROVED, "[]", ["the arguments are not a JSON object"]),
            (APPROVED, '{"amount": "2", "too": "Bob"}', ["missing required field `to`", "`$.amount`", "field `too`"]),
            (tool(by_hand, approve=True), '{"amount": -1}', [">= 0, got -1 - at `$.amount`"]),
            (deploy, "", ["it is not JSON: "]),
            (deploy, "[" * 100_000, ["nested too deeply"]),
            (deploy, '"live"', ["the answer does not fit its schema: Expected `object`, got `str`"]),
            (
                deploy,
                '{"environment": "prod", "copies": "2", "note": 1}',
                ["Invalid value", "`$.environment`", "`$.copies`", "unknown field `note`"],
            ),
            (scan, "nonsense", ["it is not JSON: "]),
        ],
    )
    def test_what_does_not_fit(self, made: Tool, arguments: str, faults: list[str]) -> None:
        """An error for an invalid decision names every fault with its place."""
        kind: Any = "external" if made.external else "approval" if made.asks is None else "input"
        schema = None if made.asks is None else made.asks.schema
        approval = Approval("a1", "run", call_of(made), kind, schema=schema)
        decision = Decision("approved" if kind == "approval" else "answered", arguments)

        with pytest.raises(UsageError, match=f"the approval a1 of {made.name} cannot be ") as caught:
            check_decision(made, approval, decision)
        assert all(fault in caught.value.message for fault in faults), caught.value.message
        assert caught.value.hint

    def test_input_is_checked_without_its_tool(self) -> None:
        """Input is checked by the approval's schema, so that a server need not know the agent."""
        assert deploy.asks is not None
        stored = msgspec.json.decode(msgspec.json.encode(deploy.asks.schema))
        approval = Approval("a1", "run", call_of(deploy), "input", schema=stored)

        with pytest.raises(UsageError, match="missing required field `environment`"):
            check_decision(None, approval, Decision("answered", "{}"))

    def test_what_a_type_itself_refuses(self) -> None:
        """A fault beyond the schema is found only with the tool at hand."""

        @attrs.define
        class Even:
            """An even number."""

            number: int = attrs.field()

            @number.validator
            def _check(self, _: Any, value: int) -> None:
                if value % 2:
                    raise ValueError("is odd")

        def pick(number: FromUser[Even]) -> None:
            """Pick."""

        pick.__annotations__["number"] = FromUser[Even]
        made = tool(pick)
        assert made.asks is not None
        approval = Approval("a1", "run", call_of(made), "input", schema=made.asks.schema)

        with pytest.raises(UsageError, match="is odd"):
            check_decision(made, approval, Decision("answered", '{"number": {"number": 3}}'))
        check_decision(None, approval, Decision("answered", '{"number": {"number": 3}}'))

    @pytest.mark.parametrize(
        ("kind", "decision", "complaint"),
        [
            ("input", Decision("answered"), "is answered, but without an answer"),
            ("external", Decision("answered"), "is answered, but without an answer"),
            ("input", Decision("denied", "{}"), "is denied, but comes with an answer"),
            ("approval", Decision("denied", "{}"), "is denied, but comes with arguments"),
        ],
    )
    def test_too_little_and_too_much(self, kind: Any, decision: Decision, complaint: str) -> None:
        """A decision of answered needs an answer; a denial accepts none."""
        with pytest.raises(UsageError, match=complaint) as caught:
            check_decision(None, Approval("a1", "run", call_of(APPROVED), kind), decision)
        assert caught.value.hint

    def test_a_tool_whose_decoder_fails(self) -> None:
        """An exception of a hand-made tool's decoder refuses the arguments."""

        def decode(text: str) -> dict[str, Any]:
            raise RuntimeError("no")

        made = Tool("raw", "", {"type": "object", "properties": {}}, pay, decode, approve=True)
        with pytest.raises(UsageError, match="RuntimeError: no"):
            check_decision(made, Approval("a1", "run", call_of(made)), Decision("approved", "{}"))


async def test_a_hand_made_tool() -> None:
    """A tool without a signature passes the names of its schema to `approve`."""
    schema = {"type": "object", "properties": {"amount": {"type": "integer"}}}
    decode: Callable[[str], dict[str, Any]] = msgspec.json.decode

    def function(**arguments: Any) -> None:
        """Do."""

    made = Tool("raw", "", schema, function, decode, approve=lambda amount=0: amount > 1)

    assert await asked_of(made, "{}") is None
    assert isinstance(await asked_of(made, '{"amount": 2}'), Approval)
    status, content = await asked_of(made, "nonsense")
    assert (status, content[:12]) == ("failed", "raw failed: ")
