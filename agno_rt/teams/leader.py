"""The mode in which an agent leads: gives tasks to members by tool calls, and writes the answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Literal

import attrs
import trio

from agno_rt._drive.nesting import is_stopping
from agno_rt._drive.scopes import RunStopped
from agno_rt.agent import Agent
from agno_rt.context import RunContext
from agno_rt.errors import AgnoError, UsageError
from agno_rt.hooks import Hook
from agno_rt.messages import Message, ToolCall
from agno_rt.result import RunResult
from agno_rt.runnable import Drawing, Flow, Runnable
from agno_rt.teams._words import Share, add_note, check_share, describe_members, put_history, tell_answer
from agno_rt.teams.mode import Members, Mode
from agno_rt.tools import Tool, tool

__all__ = ["Leader"]


@attrs.frozen
class Leader(Mode):
    """An agent leads, with a tool `delegate(member, task)`, and writes the team's answer. Short: `"leader-follower"`.

    Calls of one turn run together, at most `Limits.tools` of the leader at once. The leader sees the session's history,
    a member the task alone. The members' runs are within the leader's run, and count towards the leader's limits. With
    `on_error="keep"` the leader is told of a member's failure; with `"cancel"` the failure cancels the other tasks of
    the turn and ends the run.

    Attributes:
        agent: the leader, from outside the members; `None` for the first member
        share: `"history"` to show members the conversation before the task
    """

    agent: Agent | None = None
    share: Share = "task"

    def check(self, members: Members) -> None:
        """See `Mode.check`."""
        check_share("Leader", self.share)
        leader, followers = self._split_members(members)
        if not isinstance(leader, Agent):
            hint = "Give an agent: Leader(editor)."
            raise UsageError(f"the leader {leader.name!r} is a {leader.kind}, not an agent", hint=hint)
        if not len(followers):
            raise UsageError("the leader has nobody to lead", hint="Give the team a member more.")

    def speakers(self, members: Members) -> Sequence[Runnable]:
        """See `Mode.speakers`."""
        return (self._split_members(members)[0],)

    def drawing(self, members: Members, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """See `Mode.drawing`."""
        leader, followers = self._split_members(members)
        tasks = Drawing("tasks", parts=[draw(member) for member in followers], form="parts")
        return Drawing(parts=[draw(leader), tasks], form="loop")

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """See `Mode.conduct`."""
        leader, followers = self._split_members(members)
        assert isinstance(leader, Agent), "as `check` has found"
        delegate = _make_delegate_tool(followers.names, describe_members(followers))
        copy = attrs.evolve(leader, tools=(*leader.tools, delegate), hooks=(*leader.hooks, _END_ON_FAILURE))
        before = put_history(flow, input) if self.share == "history" else ()
        token = _DESK.set(_Desk(followers, before))
        try:
            return await flow.run(copy, put_history(flow, input))
        finally:
            _DESK.reset(token)

    def _split_members(self, members: Members) -> tuple[Any, Members]:
        return (members[0], members[1:]) if self.agent is None else (self.agent, members)


class _Desk:
    """The members for one run of a leader, and the places for tasks."""

    __slots__ = ("before", "members", "places")

    def __init__(self, members: Members, before: Sequence[Message]) -> None:
        self.members = members
        self.before = before
        at_once = members.at_once
        self.places: AbstractAsyncContextManager[Any] = nullcontext() if at_once is None else trio.Semaphore(at_once)


_DESK: ContextVar[_Desk | None] = ContextVar("agno_rt_desk", default=None)
"""The desk of the innermost leader around the present task. All runs share the tool, so the tool has no desk."""


async def _delegate(member: str, task: str, context: RunContext) -> str | RunResult:
    desk = _DESK.get()
    if desk is None:
        hint = "Resume the run of the team."
        raise UsageError("the leader's run was resumed outside of the team", hint=hint)
    given = add_note(desk.before, f"Your task: {task}") if desk.before else task
    try:
        async with desk.places:
            result: RunResult = await context.run(desk.members.find(member), given)
    except AgnoError as exc:
        if isinstance(exc, RunStopped) and is_stopping():
            raise  # together with the leader, and both may go on
        if desk.members.on_error == "cancel":
            context.kept[_FAILURE] = exc
        return f"{member} {tell_answer(exc)}"
    return result  # of a member that waits for a person, too: then the leader waits


_FAILURE = "agno_rt member failed"


class _EndOnFailure(Hook):
    """Ends the leader's run with the failure of a member, and cancels the other tasks.

    The call's result is not stored: a resumed run gives the task again, and the member's run goes on.
    """

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> None:
        failure: AgnoError | None = context.kept.get(_FAILURE)
        if failure is not None:
            raise failure


_END_ON_FAILURE = _EndOnFailure()


# Kept by value, so that runs of a team share the tool and its schema.
@functools.lru_cache(maxsize=256)
def _make_delegate_tool(names: tuple[str, ...], list_of_members: str) -> Tool:
    async def delegate(member: str, task: str, context: RunContext) -> str | RunResult:
        return await _delegate(member, task, context)

    delegate.__annotations__["member"] = Literal[names]
    description = (
        "Give a task to a member of the team, and receive the answer. The member sees nothing but the task: write "
        f"everything that is needed into it. Give independent tasks in the same turn.\n{list_of_members}"
    )
    return tool(delegate, description=description, idempotent=True)
