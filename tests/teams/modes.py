"""A team in each mode, and nested ones, whose members log their calls and wait for a person in one place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from agno_rt import Agent, MemoryPolicy, ModelRequest, Runtime, Team, ToolCall, Workflow, step, tool
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.teams import Broadcast, Consensus, GroupChat, Handoff, Leader, Route, Sequence, Tasks
from agno_rt.testing import ScriptedModel, pause
from agno_rt.workflows import Loop, Map, Parallel
from tests.teams.members import delegate, hand_over

Log: TypeAlias = Callable[[str], None]
"""Takes one line for each call of a model or a tool."""

PLAN = [{"id": "t1", "member": "b", "task": "pay"}, {"id": "t2", "member": "a", "task": "look", "needs": ["t1"]}]


class Cast:
    """The agents of a team. Without `pays`, the paying agent pays without asking."""

    def __init__(self, log: Log, *, pays: bool, wrap: Callable[[Any], Any] = lambda model: model) -> None:
        self._log = log
        self._pays = pays
        self._wrap = wrap

    def plain(self, name: str, answer: str | None = None) -> Agent:
        """Return an agent that answers with its name and the number of characters asked, or with the answer."""

        async def respond(request: ModelRequest) -> str:
            text = request.messages[-1].text
            said = f"{name}{len(text)}" if answer is None else answer
            self._log(f"{name} {len(text)}")
            await pause()
            return said

        return Agent(self._wrap(ScriptedModel(respond)), name)

    def acting(self, name: str, *calls: ToolCall) -> Agent:
        """Return an agent that first makes the calls, and then tells the results."""

        def respond(request: ModelRequest) -> Any:
            told = _list_results(request.messages)
            self._log(f"{name} turn {request.turn}")
            return " | ".join(told) if told else list(calls)

        return Agent(self._wrap(ScriptedModel(respond)), name)

    def paying(self, name: str) -> Agent:
        """Return an agent that pays by a tool with an approval."""

        @tool(approve=self._pays, idempotent=True)
        async def pay() -> str:
            """Pay."""
            self._log(f"{name} pays")
            await pause()
            return "paid"

        agent = self.acting(name, ToolCall("1", "pay"))
        agent.tools = [pay]
        return agent

    def planning(self, name: str) -> Agent:
        """Return a manager with the plan, who then answers from the results."""

        def respond(request: ModelRequest) -> str:
            answers = "Answer now." in request.messages[-1].text
            self._log(f"{name} {'answers' if answers else 'plans'}")
            return f"results {len(request.messages[-1].text)}" if answers else json.dumps(PLAN)

        return Agent(self._wrap(ScriptedModel(respond)), name)


def _list_results(messages: Iterable[Message]) -> list[str]:
    return [message.text for message in messages if message.role == "tool"]


def _hand_over(cast: Cast) -> Team:
    greeter = cast.acting("greeter", *hand_over("b"))
    return Team([greeter, cast.paying("b")], Handoff("greeter", {"greeter": ["b"]}))


def _nest(cast: Cast) -> Team:
    inner = Team([cast.paying("b"), cast.plain("c")], Leader(cast.acting("inner_lead", *delegate(("b", "x")))))
    inner.name = "inner"
    flow = Workflow("flow", [cast.plain("d"), Parallel(cast.plain("e"), inner), Loop([cast.plain("f")], at_most=2)])
    both = Team([flow, cast.plain("a")], Broadcast(), name="both")
    return Team([both, cast.plain("z")], Leader(cast.acting("lead", *delegate(("both", "y"), ("z", "w")))))


def _flow_of_teams(cast: Cast) -> Team:
    pair = Team([cast.plain("a"), cast.paying("b")], Broadcast(), name="pair")
    split = step(idempotent=True)(json.loads)
    flow = Workflow("flow", [cast.plain("c", '["1", "2"]'), split, Map(pair, key=str, limit=2)])
    return Team([flow], Sequence())


MODES: dict[str, Callable[[Cast], Team]] = {
    "sequence": lambda cast: Team([cast.plain("a"), cast.paying("b"), cast.plain("c")], Sequence()),
    "broadcast": lambda cast: Team([cast.plain("a"), cast.paying("b")], Broadcast(cast.plain("editor"))),
    "route": lambda cast: Team([cast.plain("a"), cast.paying("b")], Route(cast.plain("triage", '"b"'), False)),
    "leader": lambda cast: Team(
        [cast.plain("a"), cast.paying("b"), cast.plain("c")],
        Leader(cast.acting("lead", *delegate(("a", "x"), ("b", "y"), ("c", "z")))),
    ),
    "handoff": _hand_over,
    "consensus": lambda cast: Team([cast.plain("a"), cast.paying("b")], Consensus(rounds=2)),
    "group_chat": lambda cast: Team([cast.plain("a"), cast.paying("b")], GroupChat(rounds=3)),
    "tasks": lambda cast: Team([cast.plain("a"), cast.paying("b")], Tasks(cast.planning("manager"))),
    "nested": _nest,
    "flow_of_teams": _flow_of_teams,
}


def make_team(mode: str, log: Log, *, pays: bool = True, wrap: Callable[[Any], Any] = lambda model: model) -> Team:
    """Return the team of a mode, stored."""
    team = MODES[mode](Cast(log, pays=pays, wrap=wrap))
    team.name, team.memory = "team", MemoryPolicy(journal=True)
    return team


async def finish(rt: Runtime, team: Team, result: RunResult[Any]) -> RunResult[Any]:
    """Approve what is pending and go on, until the run does not wait any more."""
    while result.status == "paused":
        for approval in result.approvals:
            if (await rt.approval(approval.id)).status == "pending":
                await rt.approve(approval.id)
        result = await rt.resume(result.run_id, team)
    return result
