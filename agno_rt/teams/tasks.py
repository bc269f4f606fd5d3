"""The mode in which a manager makes a list of tasks with dependencies, and members carry out the tasks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import msgspec

from agno_rt.agent import Agent
from agno_rt.errors import LimitExceeded, UsageError
from agno_rt.messages import Message
from agno_rt.output import Output
from agno_rt.result import RunResult
from agno_rt.runnable import Drawing, Flow, Runnable
from agno_rt.teams._choose import ask_agent, check_decider
from agno_rt.teams._words import add_note, describe_members, put_history, tell_answer
from agno_rt.teams.mode import Members, Mode

__all__ = ["Tasks"]


@attrs.frozen
class Tasks(Mode):
    """A manager makes a list of tasks with dependencies, members carry them out, and the manager writes the answer.

    The list is an output type: each task has an id, a member, a text, and the ids of needed tasks. A list with unknown
    or circular needs goes back to the manager. Tasks run together as soon as the tasks before are done, in waves. A
    member sees the input, the task and the needed results. With `on_error="keep"` a failed task holds up the tasks
    behind; when no other task is left, the list has stalled, and the manager makes a new list for the rest.

    Attributes:
        manager: the agent for lists and for the answer
        stalls: the number of new lists after stalls; a further stall raises `LimitExceeded`
    """

    manager: Agent
    stalls: int = 2

    def check(self, members: Members) -> None:
        """See `Mode.check`."""
        check_decider("manager of Tasks", self.manager)
        if not isinstance(self.manager, Agent):
            raise UsageError(f"manager of Tasks is {self.manager!r}", hint="Give an Agent.")
        if not isinstance(self.stalls, int) or isinstance(self.stalls, bool) or self.stalls < 0:
            raise UsageError(f"stalls of Tasks is {self.stalls!r}", hint="Give a whole number of at least 0.")

    def speakers(self, members: Members) -> Sequence[Runnable]:
        """See `Mode.speakers`."""
        return (self.manager,)

    def drawing(self, members: Members, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """See `Mode.drawing`."""
        tasks = Drawing("tasks", parts=[draw(member) for member in members], form="parts")
        return Drawing(parts=[draw(self.manager), tasks, draw(self.manager)])

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """See `Mode.conduct`."""
        conversation = put_history(flow, input)
        finished = ""
        for _ in range(self.stalls + 1):
            question = f"Make a list of tasks for these members:\n{describe_members(members)}"
            given = add_note(conversation, f"So far:\n\n{finished}") if finished else conversation
            plan = await ask_agent(flow, self.manager, _make_plan_type(members.names), question, given)
            results = await _carry_out(flow, members, input, plan)
            finished = "\n\n".join(filter(None, (finished, _tell_results(plan, results))))
            if all(isinstance(results.get(task.id), RunResult) for task in plan):
                return await flow.run(self.manager, add_note(conversation, f"Results:\n\n{finished}\n\nAnswer now."))
        times = "once" if self.stalls == 1 else f"{self.stalls} times"
        hint = "Raise stalls of Tasks, or look into the failures of the members' runs."
        raise LimitExceeded(f"the tasks stalled, and the list was made anew {times}", limit="stalls", hint=hint)


async def _carry_out(flow: Flow, members: Members, input: tuple[Message, ...], plan: Sequence[Any]) -> dict[str, Any]:
    """Run the tasks as their needs allow, and return the result or failure of each by id; none for those left over."""
    results: dict[str, Any] = {}
    while ready := [task for task in plan if task.id not in results and _is_ready(task, results)]:
        async with flow.group("tasks", limit=members.at_once, on_error=members.on_error) as group:
            for task in ready:
                needed = "".join(f"\n\nResult of {need}:\n{results[need].content}" for need in task.needs)
                given = add_note(input, f"Your task: {task.task}{needed}")
                group.start(members.find(task.member), given, key=task.id)
        results |= zip((task.id for task in ready), group.results, strict=True)
    return results


def _is_ready(task: Any, results: dict[str, Any]) -> bool:
    return all(isinstance(results.get(need), RunResult) for need in task.needs)


def _tell_results(plan: Sequence[Any], results: dict[str, Any]) -> str:
    told = ((task, tell_answer(results[task.id]) if task.id in results else "not done") for task in plan)
    return "\n\n".join(f"[{task.id}, {task.member}: {task.task}]\n{text}" for task, text in told)


# Kept by value, so that runs of a team share the type and its schema.
@functools.lru_cache(maxsize=256)
def _make_plan_type(names: tuple[str, ...]) -> Output[Any]:
    task: Any = msgspec.defstruct(
        "Task",
        [
            ("id", str),
            ("member", Literal[names]),
            ("task", str),
            ("needs", list[str], msgspec.field(default_factory=list)),
        ],
    )
    plan: Any = list[task]
    return Output(plan, check=_check_plan)


def _check_plan(plan: Sequence[Any]) -> str | None:
    """Return the fault of a list of tasks for the manager, or `None`."""
    if not plan:
        return "the list is empty"
    ids = [task.id for task in plan]
    if len(set(ids)) < len(ids):
        return "two tasks have the same id"
    for task in plan:
        for need in task.needs:
            if need not in ids:
                return f"task {task.id!r} needs {need!r}, which is not in the list"
    done: set[str] = set()
    while ready := [task.id for task in plan if task.id not in done and done.issuperset(task.needs)]:
        done.update(ready)
    return None if len(done) == len(ids) else f"tasks need each other: {', '.join(sorted(set(ids) - done))}"
