"""A toolkit with which an agent gives tasks to others: within the call, or in the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import msgspec

from agno_rt._decide.flow_journal import child_id
from agno_rt._drive.job import Job
from agno_rt._drive.nesting import OUTER, is_stopping
from agno_rt._drive.steer import stopped_error
from agno_rt._flow.children import TOLD, Child, Children, check_on_end, children_of
from agno_rt.context import RunContext
from agno_rt.errors import AgnoError, NotFound, UsageError
from agno_rt.failures import text_of
from agno_rt.messages import Message, ToolCall
from agno_rt.result import RunResult
from agno_rt.runnable import OnEnd, Runnable
from agno_rt.teams._words import describe_members
from agno_rt.teams.mode import Members
from agno_rt.tools import Tool, ToolArgumentError, Toolkit, tool

__all__ = ["Delegates", "TaskState", "WaitsFor"]


class WaitsFor(TypedDict):
    """An approval that a task waits for: its id, the tool's name and arguments, and the reason."""

    approval: str
    tool: str
    arguments: str
    reason: str


class TaskState(TypedDict, total=False):
    """A task as the model sees it: name, run, agent, status; the answer or error if collected; its approvals."""

    task: str
    run: str
    agent: str
    status: str
    answer: Any
    error: str
    waits_for: list[WaitsFor]


class Delegates(Toolkit):
    """Tools of an agent that give tasks to other runnables: `Agent(..., tools=[Delegates([researcher, critic])])`.

    With `background=False` there is one tool, `run_task(agent, task)`: it runs the runnable within the call and returns
    the answer. Several calls of a turn run together. A stored run waits with a runnable that waits for a person.

    With `background=True` the tools are `start_task(agent, task)`, `check_tasks()`, `message_task`, `cancel_task` and
    `collect_task`. A task is a run of its own, with an id, in the runtime's nursery. It spends from the budgets of the
    run that started it. `check_tasks` shows the approvals that tasks wait for. In a stored run the tasks are stored,
    too: a resumed run finds them, a finished task is not run again, and a collected answer comes once.

    A runnable sees the text of its task and nothing else.

    Args:
        agents: the runnables, each with a name of its own
        background: whether tasks go on while the agent does
        on_end: the fate of tasks under way when the agent answers. With `"wait"` the agent waits for them, is told the
            answers that it has not collected, and answers again; with `"cancel"` they are cancelled; with `"keep"` they
            go on, and end with the runtime. A run that fails, is cancelled or pauses cancels its tasks unless they are
            kept; if the run is stored, they go on when it is resumed
        at_once: the most tasks under way in one run; the model is told when it starts another
        name: the word for a task in the tools' names

    Raises `UsageError` for runnables without a name or with the same one, and for an unknown `on_end`.
    """

    def __init__(
        self,
        agents: Sequence[Runnable],
        *,
        background: bool = False,
        on_end: OnEnd = "wait",
        at_once: int = 8,
        name: str = "task",
    ) -> None:
        self.agents = _check_agents(agents)
        check_on_end(on_end, "Delegates")
        if not isinstance(at_once, int) or isinstance(at_once, bool) or at_once < 1:
            raise UsageError(f"at_once of Delegates is {at_once!r}", hint="Give a whole number of at least 1.")
        self.on_end = on_end
        self.at_once = at_once
        self._word = name
        super().__init__(
            f"delegates of {name}", self._make_background_tools() if background else [self._make_run_tool()]
        )

    def _make_run_tool(self) -> Tool:
        async def run_task(agent: str, task: str, context: RunContext) -> str | RunResult:
            result: RunResult = await context.run(self.agents.find(agent), task)
            if result.status == "paused" and _job_here().journal is None:
                waiting = ", ".join(approval.id for approval in result.approvals)
                return f"{agent} waits for a person ({waiting}), and does not answer in this run."
            return result  # of an agent that waits for a person, too: then a stored run waits

        text = "Give a task to one of the agents below, and receive the answer."
        return self._make_tool(run_task, f"run_{self._word}", text, lists_agents=True)

    def _make_background_tools(self) -> list[Tool]:
        word = self._word

        async def start_task(agent: str, task: str, context: RunContext) -> TaskState:
            job, call = _job_here(), context.call
            children = children_of(job)
            assert job.turns is not None, "the run has begun"
            assert call is not None, "not a batch tool"
            running = [child for child in children.by_name.values() if child.status == "running"]
            if len(running) >= self.at_once:
                names = ", ".join(child.name for child in running)
                raise ToolArgumentError(f"{len(running)} are under way: {names}. Collect or cancel one first.")
            # Both follow from the place of the call, so that a call made again after a crash finds the task.
            run = child_id(job.run_id, f"{job.turns.turn}/{call.id}")
            child = Child(f"{agent}-{self._count_starts(job, agent, call)}", agent, run, self.on_end)
            await children.start(child, self.agents.find(agent), task)
            return _describe(child)

        async def check_tasks() -> list[TaskState]:
            children = list(_children_here().by_name.values())
            for child in children:
                await child.reopen_if_decided()
            return [_describe(child) for child in children]

        async def message_task(task: str, message: str) -> TaskState:
            child = _find_child(task)
            if child.run is None or child.status != "running":
                raise ToolArgumentError(f"{child.name} is {child.status}, and takes no message.")
            child.run.send(message)
            return _describe(child)

        async def cancel_task(task: str) -> TaskState:
            child = _find_child(task)
            await child.cancel()
            _children_here().take(child)
            return _describe(child)

        async def collect_task(task: str) -> TaskState:
            child = _find_child(task)
            if child.is_taken:
                return {**_describe(child), "error": "It was collected before: see the answer above."}
            await child.reopen_if_decided()
            await child.wait()
            _check_stop(child)
            result = _children_here().take(child)
            return _describe(child) | _tell_result(result)

        start_task.reopen = self._reopen  # type: ignore[attr-defined]  # marks the tool for the resolver
        collect = f"Wait for a {word}, and receive its answer. Each answer comes once."
        return [
            self._make_tool(
                start_task,
                f"start_{word}",
                f"Start a {word} of one of the agents below in the background, and go on at once. Collect the answer "
                "later.",
                lists_agents=True,
            ),
            self._make_tool(check_tasks, f"check_{word}s", f"Show every {word} and its status."),
            self._make_tool(
                message_task, f"message_{word}", f"Send a message to a {word} under way, to steer it.", repeats=False
            ),
            self._make_tool(cancel_task, f"cancel_{word}", f"Cancel a {word}."),
            self._make_tool(collect_task, f"collect_{word}", collect),
        ]

    def _make_tool(
        self, function: Any, name: str, description: str, *, lists_agents: bool = False, repeats: bool = True
    ) -> Tool:
        if lists_agents:
            function.__annotations__["agent"] = Literal[self.agents.names]
            description = (
                f"{description} The agent sees nothing but the text of the task: write everything that is needed into "
                f"it.\n{describe_members(self.agents)}"
            )
        # Most calls may be made again after a crash: they find the run by its id.
        return tool(function, name=name, description=description, idempotent=repeats)

    def _count_starts(self, job: Job, agent: str, last: ToolCall) -> int:
        """Return the number of calls that have started tasks of the agent in this run, up to the last one."""
        assert job.turns is not None, "the run has begun"
        messages = job.turns.messages[job.turns.own + len(job.input) :]
        calls = [call for message in messages for call in message.tool_calls]
        del calls[max(at for at, call in enumerate(calls) if call.id == last.id) + 1 :]
        return sum(call.name == f"start_{self._word}" and _read_argument(call, "agent") == agent for call in calls)

    async def _reopen(self, children: Children, messages: Sequence[Message]) -> None:
        """Go on with the tasks of an earlier process, except those whose answers the run has received."""
        for state, task in _list_open_tasks(messages, self._word):
            child = Child(state["task"], state["agent"], state["run"], self.on_end)
            await children.start(child, self.agents.find(state["agent"]), task)


def _check_agents(agents: Sequence[Runnable]) -> Members:
    if isinstance(agents, str) or not isinstance(agents, Sequence) or not agents:
        raise UsageError(f"agents of Delegates are {agents!r}", hint="Write Delegates([researcher, critic]).")
    for agent in agents:
        if not isinstance(agent, Runnable) or not agent.name:
            hint = "Give agents, teams or workflows, each with a name."
            raise UsageError(f"{agent!r} in Delegates is not a runnable with a name", hint=hint)
    names = [agent.name for agent in agents]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two agents in Delegates are called {twice[0]!r}", hint="Rename one of them.")
    return Members(list(agents))


def _job_here() -> Job:
    job = OUTER.get()
    assert job is not None, "a tool is called by a run"
    return job


def _children_here() -> Children:
    return children_of(_job_here())


def _check_stop(child: Child) -> None:
    """Raise `RunStopped` for a task that stopped with the run: both may go on."""
    job = _job_here()
    if child.status == "cancelled" and is_stopping():
        raise stopped_error(job)


def _find_child(task: str) -> Child:
    """Return the task by its name or its run's id. Raises `ToolArgumentError`, with the known names, for the model."""
    known = _children_here().by_name
    found = known.get(task) or next((child for child in known.values() if child.id == task), None)
    if found is None:
        raise ToolArgumentError(text_of(NotFound("task", task, known)))
    return found


def _describe(child: Child) -> TaskState:
    state: TaskState = {"task": child.name, "run": child.id, "agent": child.agent, "status": child.status}
    if (result := child.result) is not None and result.status == "paused":
        state["waits_for"] = [
            {"approval": each.id, "tool": each.call.name, "arguments": each.call.arguments, "reason": each.reason}
            for each in result.approvals
        ]
    return state


def _tell_result(result: RunResult) -> TaskState:
    if result.status == "completed":
        return {"answer": result.content}
    if result.error is None:
        return {}
    return {"error": text_of(result.error) if isinstance(result.error, AgnoError) else str(result.error)}


def _list_open_tasks(messages: Sequence[Message], word: str) -> list[tuple[TaskState, str]]:
    """Return the tasks that a run has started, with their texts, without those whose answers it has received."""
    calls: dict[str | None, ToolCall] = {}
    tasks: dict[str, tuple[TaskState, str]] = {}
    closed: set[str] = set()
    for message in messages:
        # Ids of calls may come again in a later turn: the last call before a result is the result's.
        calls |= {call.id: call for call in message.tool_calls}
        if message.role == "user" and message.text.startswith(TOLD):
            closed |= {run for run in tasks if f"run {run}:" in message.text}
        if message.role != "tool" or (state := _read_state(message.text)) is None:
            continue
        if message.name == f"start_{word}":
            tasks[state["run"]] = state, _read_argument(calls[message.tool_call_id], "task")
        elif message.name in (f"collect_{word}", f"cancel_{word}") and state["status"] not in ("running", "paused"):
            closed.add(state["run"])
    return [task for run, task in tasks.items() if run not in closed]


def _read_argument(call: ToolCall, name: str) -> str:
    try:
        return str(msgspec.json.decode(call.arguments)[name])
    except (msgspec.MsgspecError, TypeError, KeyError):
        return ""  # a call that was refused


def _read_state(text: str) -> TaskState | None:
    try:
        return msgspec.json.decode(text, type=TaskState) if text.startswith("{") else None
    except msgspec.MsgspecError:
        return None  # the tool failed
