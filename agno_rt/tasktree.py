"""What a running runtime does, as a tree of values: its runs, their tool calls, who waits for what, and how long still.

`Runtime.tasks()` takes one, and `str()` of it is what `agno-rt top` prints. A tree is how things stood at one moment,
and holds nothing alive. Knows nothing of how it is taken or sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import attrs

from agno_rt.limits import LimitStatistics

__all__ = ["AbandonedThread", "CallTask", "Deadline", "Place", "RunTask", "TaskTree"]


@attrs.frozen
class Place:
    """Where in the source something waits: the innermost function that is not trio's, its file and line."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({os.path.basename(self.file)}:{self.line})"


@attrs.frozen
class Deadline:
    """Seconds until what is under way is cancelled, and the limit that says so; with no name, a scope of the program's.

    It is below 0 where the time is up and what is cancelled has not ended yet.
    """

    limit: str
    left: float


@attrs.frozen
class CallTask:
    """A tool call under way: one, or those of a batch, which are made as one.

    Attributes:
        name: the tool
        ids: the calls' ids
        doing: `running`, `in a thread`, `in a process`, or what it waits for
        since: seconds since it began, where that is known
        place: where in the source it is: in its thread, if it has one
        waits: the limit that it waits for, as it stands
        deadlines: its own; those of the run, and of what is around that, hold too
        runs: the runs within it
    """

    name: str
    ids: tuple[str, ...] = ()
    doing: str = "running"
    since: float | None = None
    place: Place | None = None
    waits: LimitStatistics | None = None
    deadlines: tuple[Deadline, ...] = ()
    runs: tuple[RunTask, ...] = ()


@attrs.frozen
class RunTask:
    """A run under way.

    Attributes:
        id: the run's id
        agent: the agent's name; agents need not have one
        doing: what it does, in words: `asking MODEL`, `calling TOOL`, `waiting for session 's'`, ...
        session: the session, if it has one
        user: whom it is for
        parent: the id of the run that it is within
        turn: how often it has asked the model
        since: seconds since it began, where that is known
        place: where in the source it is; for a run that waits for its calls, those say more
        waits: the limit that it waits for, as it stands
        held_by: the ids of the runs that it waits for, where those are known: on the same session
        deadlines: its own, the outermost first
        budgets: how much of its turns, and of each bounded budget, it has spent
        calls: its tool calls under way
        runs: runs within it, of which it is not known in which call
    """

    id: str
    agent: str = ""
    doing: str = ""
    session: str | None = None
    user: str | None = None
    parent: str | None = None
    turn: int = 0
    since: float | None = None
    place: Place | None = None
    waits: LimitStatistics | None = None
    held_by: tuple[str, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    budgets: tuple[LimitStatistics, ...] = ()
    calls: tuple[CallTask, ...] = ()
    runs: tuple[RunTask, ...] = ()


@attrs.frozen
class AbandonedThread:
    """A thread that has not ended, though its call was given up: the tool, seconds since it began, and where it is."""

    tool: str
    since: float
    place: Place | None = None


@attrs.frozen
class TaskTree:
    """The runs under way in a runtime that are within no other, the limits over all of them, and abandoned threads."""

    runs: tuple[RunTask, ...] = ()
    limits: tuple[LimitStatistics, ...] = ()
    abandoned: tuple[AbandonedThread, ...] = ()

    def all_runs(self) -> Iterator[RunTask]:
        """Every run, those within others included, each before those within it."""
        todo = list(reversed(self.runs))
        while todo:
            run = todo.pop()
            yield run
            within = [*run.runs, *(inner for call in run.calls for inner in call.runs)]
            todo.extend(reversed(within))

    def run(self, id: str) -> RunTask | None:
        """The run of that id, if it is under way."""
        return next((run for run in self.all_runs() if run.id == id), None)

    def __str__(self) -> str:
        lines = [*_limit_lines(self.limits), *_abandoned_lines(self.abandoned), *_branches(self.runs)]
        return "\n".join(lines) or "nothing under way"


def _limit_lines(limits: Sequence[LimitStatistics]) -> list[str]:
    shown = ", ".join(_standing(limit) for limit in limits if limit.in_use or limit.waiting)
    return [f"limits: {shown}"] if shown else []


def _abandoned_lines(threads: Sequence[AbandonedThread]) -> list[str]:
    """A line for each tool and place in it; those that hang are many of a kind."""
    kinds: dict[tuple[str, Place | None], list[AbandonedThread]] = {}
    for thread in threads:
        kinds.setdefault((thread.tool, thread.place), []).append(thread)
    return [
        _parts(
            f"abandoned thread{'s' * (len(several) > 1)} of {tool}"
            + (f" x {len(several)}" if len(several) > 1 else ""),
            f"{'up to ' * (len(several) > 1)}{_seconds(max(thread.since for thread in several))}",
            f"at {place}" if place is not None else "",
        )
        for (tool, place), several in kinds.items()
    ]


def _branches(tasks: Sequence[RunTask | CallTask], *, within: bool = False) -> list[str]:
    """A line for each, with those within it below; within another, they hang on its branches."""
    lines: list[str] = []
    for at, task in enumerate(tasks):
        last = at == len(tasks) - 1
        first, rest = ("└─ " if last else "├─ ", "   " if last else "│  ") if within else ("", "")
        below: Sequence[RunTask | CallTask] = (*task.calls, *task.runs) if isinstance(task, RunTask) else task.runs
        lines.append(first + (_run_line(task) if isinstance(task, RunTask) else _call_line(task)))
        lines += [rest + line for line in _branches(below, within=True)]
    return lines


def _run_line(run: RunTask) -> str:
    turns = next((limit for limit in run.budgets if limit.name == "turns"), None)
    of = f"/{turns.total:g}" if turns is not None else ""
    return _parts(
        f"run {run.id}" + (f" {run.agent}" if run.agent else ""),
        f"session {run.session!r}" if run.session is not None else "",
        f"user {run.user!r}" if run.user is not None else "",
        f"turn {run.turn}{of}" if run.turn else "",
        _time(run.since),
        run.doing + (f" at {run.place}" if run.place is not None and not run.calls else ""),
        _waiting(run.waits),
        f"held by run {', '.join(run.held_by)}" if run.held_by else "",
        *map(_deadline, run.deadlines),
        *(f"{_amount(each)} left" for each in run.budgets if each.name != "turns"),
    )


def _call_line(call: CallTask) -> str:
    return _parts(
        f"{call.name} {', '.join(call.ids)}",
        _time(call.since),
        call.doing + (f" at {call.place}" if call.place is not None else ""),
        _waiting(call.waits),
        *map(_deadline, call.deadlines),
    )


def _parts(*parts: str) -> str:
    return " · ".join(filter(None, parts))


def _waiting(limit: LimitStatistics | None) -> str:
    # Its name is in what the task does.
    return "" if limit is None else f"{limit.in_use:g} of {limit.total:g} taken, {limit.waiting} waiting"


def _standing(limit: LimitStatistics) -> str:
    waiting = f", {limit.waiting} waiting" if limit.waiting else ""
    return f"{limit.name} {limit.in_use:g}/{limit.total:g}{waiting}"


def _amount(budget: LimitStatistics) -> str:
    return f"{budget.name} {max(0.0, budget.total - budget.in_use):g} of {budget.total:g}"


def _deadline(deadline: Deadline) -> str:
    name = deadline.limit or "a deadline"
    return f"{name} in {_seconds(deadline.left)}" if deadline.left > 0 else f"{name} is over"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"for {_seconds(seconds)}"


def _seconds(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
