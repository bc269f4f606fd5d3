"""The task tree of a runtime as values: runs, their tool calls, waits and deadlines.

`Runtime.tasks()` returns a tree of one moment, and `agno-rt top` prints its `str()`. A tree keeps no run alive. Knows
nothing of how a tree is taken or sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import attrs

from agno_rt.limits import LimitStatistics

__all__ = ["AbandonedThread", "CallTask", "Deadline", "Place", "RunTask", "TaskTree"]


@attrs.frozen
class Place:
    """A place in the source where a run or a call waits: the innermost function outside trio, its file and line."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({os.path.basename(self.file)}:{self.line})"


@attrs.frozen
class Deadline:
    """Seconds until a run or a call is cancelled, and the limit's name; empty for a cancel scope of the program.

    `left` is below 0 while the cancelled run or call has not ended yet.
    """

    limit: str
    left: float


@attrs.frozen
class CallTask:
    """A tool call under way, or a batch of calls made as one.

    Attributes:
        name: the tool
        ids: the calls' ids
        doing: `running`, `in a thread`, `in a process`, or the reason of a wait
        since: seconds since the start, if known
        place: the place in the source; in the call's thread, if it has one
        waits: the limit for which the call waits, as it stands
        deadlines: the call's own; the deadlines of the runs around the call hold too
        runs: the runs within the call
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
        doing: `asking MODEL`, `calling TOOL`, `waiting for session 's'`, ...
        session: the session, if the run has one
        user: the user for whom the agent runs
        parent: the id of the run around this one
        turn: the number of times the model was asked
        since: seconds since the start, if known
        place: the place in the source; for a run that waits for its calls, see the calls
        waits: the limit for which the run waits, as it stands
        held_by: the ids of the runs for which the run waits, if known: runs on the same session
        deadlines: the run's own, the outermost first
        budgets: the turns, and each bounded budget, as far as spent
        calls: the tool calls under way
        runs: the runs within the run whose call is not known
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
    """A thread that outlived its cancelled call: the tool, seconds since the start, and the place in the source."""

    tool: str
    since: float
    place: Place | None = None


@attrs.frozen
class TaskTree:
    """The outermost runs under way in a runtime, the limits over all runs, and abandoned threads."""

    runs: tuple[RunTask, ...] = ()
    limits: tuple[LimitStatistics, ...] = ()
    abandoned: tuple[AbandonedThread, ...] = ()

    def all_runs(self) -> Iterator[RunTask]:
        """Yield every run, each before the runs within it."""
        todo = list(reversed(self.runs))
        while todo:
            run = todo.pop()
            yield run
            within = [*run.runs, *(inner for call in run.calls for inner in call.runs)]
            todo.extend(reversed(within))  # `pop` takes the last task first

    def run(self, id: str) -> RunTask | None:
        """Return the run of an id, or None if it is not under way."""
        return next((run for run in self.all_runs() if run.id == id), None)

    def __str__(self) -> str:
        lines = [*_format_limits(self.limits), *_format_threads(self.abandoned), *_format_tasks(self.runs)]
        return "\n".join(lines) or "nothing under way"


def _format_limits(limits: Sequence[LimitStatistics]) -> list[str]:
    shown = ", ".join(_format_limit(limit) for limit in limits if limit.in_use or limit.waiting)
    return [f"limits: {shown}"] if shown else []


def _format_threads(threads: Sequence[AbandonedThread]) -> list[str]:
    """Return one line for each tool and place, since threads mostly hang in the same place."""
    kinds: dict[tuple[str, Place | None], list[AbandonedThread]] = {}
    for thread in threads:
        kinds.setdefault((thread.tool, thread.place), []).append(thread)
    return [
        _join_parts(
            f"abandoned thread{'s' * (len(several) > 1)} of {tool}"
            + (f" x {len(several)}" if len(several) > 1 else ""),
            f"{'up to ' * (len(several) > 1)}{_format_seconds(max(thread.since for thread in several))}",
            f"at {place}" if place is not None else "",
        )
        for (tool, place), several in kinds.items()
    ]


def _format_tasks(tasks: Sequence[RunTask | CallTask], *, within: bool = False) -> list[str]:
    """Return a line for each task, followed by the tasks within it; `within` draws the branches of a parent."""
    lines: list[str] = []
    for at, task in enumerate(tasks):
        last = at == len(tasks) - 1
        first, rest = ("└─ " if last else "├─ ", "   " if last else "│  ") if within else ("", "")
        below: Sequence[RunTask | CallTask] = (*task.calls, *task.runs) if isinstance(task, RunTask) else task.runs
        lines.append(first + (_format_run(task) if isinstance(task, RunTask) else _format_call(task)))
        lines += [rest + line for line in _format_tasks(below, within=True)]
    return lines


def _format_run(run: RunTask) -> str:
    turns = next((limit for limit in run.budgets if limit.name == "turns"), None)
    of = f"/{turns.total:g}" if turns is not None else ""
    return _join_parts(
        f"run {run.id}" + (f" {run.agent}" if run.agent else ""),
        f"session {run.session!r}" if run.session is not None else "",
        f"user {run.user!r}" if run.user is not None else "",
        f"turn {run.turn}{of}" if run.turn else "",
        _format_time(run.since),
        run.doing + (f" at {run.place}" if run.place is not None and not run.calls else ""),
        _format_wait(run.waits),
        f"held by run {', '.join(run.held_by)}" if run.held_by else "",
        *map(_format_deadline, run.deadlines),
        *(f"{_format_budget(each)} left" for each in run.budgets if each.name != "turns"),
    )


def _format_call(call: CallTask) -> str:
    return _join_parts(
        f"{call.name} {', '.join(call.ids)}",
        _format_time(call.since),
        call.doing + (f" at {call.place}" if call.place is not None else ""),
        _format_wait(call.waits),
        *map(_format_deadline, call.deadlines),
    )


def _join_parts(*parts: str) -> str:
    return " · ".join(filter(None, parts))


def _format_wait(limit: LimitStatistics | None) -> str:
    # Without the limit's name, which is in what the task does.
    return "" if limit is None else f"{limit.in_use:g} of {limit.total:g} taken, {limit.waiting} waiting"


def _format_limit(limit: LimitStatistics) -> str:
    waiting = f", {limit.waiting} waiting" if limit.waiting else ""
    return f"{limit.name} {limit.in_use:g}/{limit.total:g}{waiting}"


def _format_budget(budget: LimitStatistics) -> str:
    return f"{budget.name} {max(0.0, budget.total - budget.in_use):g} of {budget.total:g}"


def _format_deadline(deadline: Deadline) -> str:
    name = deadline.limit or "a deadline"
    return f"{name} in {_format_seconds(deadline.left)}" if deadline.left > 0 else f"{name} is over"


def _format_time(seconds: float | None) -> str:
    return "" if seconds is None else f"for {_format_seconds(seconds)}"


def _format_seconds(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
