"""Takes the task tree of a runtime: the activity, the waits and the deadlines of each run and each call.

Deadlines are read from trio's cancel scopes. The order in which functions enter their limits tells the owner of each
scope in a task; a scope of the user's code belongs to the nearest owner outside.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FrameType, FunctionType
from typing import Any, TypeAlias

import trio

from agno_rt._drive import (
    ask_model,
    call_hooks,
    call_tools,
    conversation,
    execute,
    invoke_tool,
    take_turns,
    tool_process,
)
from agno_rt._drive.check_output import check_output
from agno_rt._drive.emitter import EventBuffer
from agno_rt._drive.job import Job
from agno_rt._drive.render_instructions import render_instructions
from agno_rt._drive.scopes import DEADLINES
from agno_rt._drive.session_order import SharedLock
from agno_rt._drive.tool_threads import Threads
from agno_rt._drive.write_journal import Journal
from agno_rt._watch.frames import Found, find_all, find_in_stack, place_of, stack_of, tasks_around
from agno_rt.limiter import Limiter
from agno_rt.limits import LimitStatistics
from agno_rt.tasktree import AbandonedThread, CallTask, Deadline, Place, RunTask, TaskTree
from agno_rt.wrappers._single_flight import Flight
from agno_rt.wrappers.rate_limit import RateLimit
from agno_rt.wrappers.retry import Retry

__all__ = ["KNOWN", "stack_tasks", "task_tree"]

_Doing: TypeAlias = tuple[str, LimitStatistics | None]
_Held: TypeAlias = Mapping[str, Any]


def task_tree(mine: Limiter, limits: Sequence[LimitStatistics] = (), threads: Threads | None = None) -> TaskTree:
    """Return the task tree of a runtime. The model calls of its runs share the limiter `mine`.

    Call under trio, in the thread and the trio run of the open runtime.
    """
    abandoned = () if threads is None else _list_abandoned(threads)
    return TaskTree(_Tree(find_all(), mine).runs(None), tuple(limits), abandoned)


def stack_tasks(frame: FrameType, mine: Limiter | None = None) -> tuple[RunTask, ...]:
    """Return the runs, with their calls, in the stack of a thread, from its innermost frame."""
    return _Tree(find_in_stack(stack_of(frame)), mine).runs(None)


class _Tree:
    """Arranges the found runs and calls in a tree."""

    def __init__(self, found: Sequence[Found], mine: Limiter | None) -> None:
        self._found = [each for each in found if mine is None or each.job.resolved.model_calls is mine]
        self._known = {id(each) for each in self._found}
        self._of_run = {id(each.job): each for each in self._found if each.is_run}
        self._calls_of: dict[int, list[Found]] = {}
        for each in self._found:
            if not each.is_run:
                self._calls_of.setdefault(id(each.job), []).append(each)
        self._held_by = _find_holders(self._found)
        # Another thread may look at a blocked event loop, and has neither trio's scopes nor its clock.
        self._scopes = _find_scopes(found) if trio.lowlevel.in_trio_run() else {}
        self._now = trio.current_time() if trio.lowlevel.in_trio_run() else 0.0
        self._threads = _find_threads()
        self._within: dict[int, list[Found]] = {}
        for each in self._found:
            around = self._around(each)
            self._within.setdefault(id(around), []).append(each)

    def _around(self, found: Found) -> Found | None:
        """Return the run around a call, or the call around a run; the outer run if the call is unknown."""
        if not found.is_run:
            return self._of_run.get(id(found.job))
        before = found.before
        while before is not None:
            if id(before) in self._known:
                return before
            before = before.before
        job = found.job.outer
        while job is not None and id(job) not in self._of_run:
            job = job.outer
        return None if job is None else self._call_around(found, self._of_run[id(job)])

    def _call_around(self, found: Found, run: Found) -> Found:
        calls = self._calls_of.get(id(run.job), ())
        for task in () if found.task is None else tasks_around(found.task):
            for call in reversed(calls):
                if call.task is task:
                    return call
        return calls[0] if len(calls) == 1 else run

    def runs(self, around: Found | None) -> tuple[RunTask, ...]:
        """Return the runs within `around`, in the order in which they began."""
        # Sort by the exact time: with rounded durations, two runs may swap places between two looks.
        within = [each for each in self._within.get(id(around), ()) if each.is_run]
        within.sort(key=lambda each: (each.job.began, each.job.run_id))
        return tuple(map(self._run, within))

    def _run(self, found: Found) -> RunTask:
        job, turns, access = found.job, found.job.turns, found.job.session
        doing, waits = _describe_frames(found.frames, RUN_KNOWN, "starting")
        taken = LimitStatistics("turns", job.resolved.limits.turns, 0 if turns is None else turns.turn, 0)
        deadlines = self._deadlines(found)
        return RunTask(
            job.run_id,
            job.agent,
            doing,
            None if access is None else access.id,
            job.asked.user,
            None if job.outer is None else job.outer.run_id,
            int(taken.in_use),
            _seconds_since(found, deadlines, job.resolved.limits.run_timeout, "run_timeout"),
            place_of(found.frames),
            waits,
            ()
            if access is None or not _waits_for(found, access.lock)
            else tuple(self._held_by.get(id(access.lock), ())),
            deadlines,
            (taken, *(() if job.budget is None else job.budget.statistics())),
            self._calls(found),
            self.runs(found),
        )

    def _calls(self, run: Found) -> tuple[CallTask, ...]:
        # In the model's order: the tasks of a nursery are a set.
        order = {call.id: at for at, call in enumerate(() if run.job.turns is None else run.job.turns.calls)}
        calls = [each for each in self._within.get(id(run), ()) if not each.is_run]
        calls.sort(key=lambda each: order.get(each.calls[0].id, len(order)))
        return tuple(map(self._call, calls))

    def _call(self, found: Found) -> CallTask:
        doing, waits = _describe_frames(found.frames, CALL_KNOWN, "running")
        deadlines, place = self._deadlines(found), place_of(found.frames)
        if doing == "in a thread":
            place = self._threads.get(id(found.task)) or place
        seconds = next((held["seconds"] for held in _locals_in(found, *TIMED)), None)
        return CallTask(
            found.calls[0].name,
            tuple(call.id for call in found.calls),
            doing,
            _seconds_since(found, deadlines, seconds, "tool_timeout"),
            place,
            waits,
            deadlines,
            self.runs(found),
        )

    def _deadlines(self, found: Found) -> tuple[Deadline, ...]:
        owned = self._scopes.get(id(found), ())
        return tuple(
            Deadline(DEADLINES.get(scope, ""), round(scope.deadline - self._now, 3))
            for scope in owned
            if scope.deadline != float("inf")
        )


def _find_holders(found: Sequence[Found]) -> dict[int, list[str]]:
    """Return the ids of the runs with a session's lock, by the id of the lock."""
    holders: dict[int, list[str]] = {}
    for each in found:
        access = each.job.session
        if access is None or not each.is_run:
            continue
        if any(_locals_in(each, IN_SESSION)) and not _waits_for(each, access.lock):
            holders.setdefault(id(access.lock), []).append(each.job.run_id)
    return holders


def _describe_frames(
    frames: Sequence[FrameType], known: Mapping[CodeType, Callable[[_Held], _Doing]], default: str
) -> _Doing:
    """Describe the innermost frame of a known function."""
    for frame in reversed(frames):
        describe = known.get(frame.f_code)
        if describe is not None:
            return describe(frame.f_locals)
    return default, None


def _waits_for(found: Found, limiter: Limiter) -> bool:
    return any(held["self"] is limiter for held in _locals_in(found, ACQUIRE))


def _locals_in(found: Found, *functions: CodeType) -> Iterator[_Held]:
    """Yield the local variables of each frame of the functions."""
    return (frame.f_locals for frame in found.frames if frame.f_code in functions)


def _seconds_since(found: Found, deadlines: Sequence[Deadline], seconds: float | None, limit: str) -> float | None:
    """Return the age of the run or the call in seconds: from its own record, else from its deadline."""
    noted = (
        [getattr(found.job, "began", None)]
        if found.is_run
        else [held.get("began") for held in _locals_in(found, *BEGAN)]
    )
    for began in noted:
        if began:
            return round(max(0.0, time.monotonic() - float(began)), 3)
    left = next((deadline.left for deadline in deadlines if deadline.limit == limit), None)
    return None if left is None or seconds is None else round(max(0.0, seconds - left), 3)


def _find_scopes(found: Sequence[Found]) -> dict[int, list[trio.CancelScope]]:
    """Return the cancel scopes of each run and call, the outermost first, by its id."""
    by_task: dict[trio.lowlevel.Task, list[Found]] = {}
    for each in found:
        if each.task is not None:
            by_task.setdefault(each.task, []).append(each)
    owned: dict[int, list[trio.CancelScope]] = {}
    taken: dict[trio.lowlevel.Task, set[int]] = {}
    for task, carried in by_task.items():
        scopes = _scopes_of(task)
        taken[task] = {id(scope) for scope in scopes}
        # A task is also in the scopes around its nursery; these scopes belong to the tasks around.
        inherited = set().union(*(taken.get(outer, ()) for outer in tasks_around(task)))
        _assign_scopes([scope for scope in scopes if id(scope) not in inherited], carried, owned)
    return owned


def _assign_scopes(
    scopes: Sequence[trio.CancelScope], carried: Sequence[Found], owned: dict[int, list[trio.CancelScope]]
) -> None:
    """Match a task's scopes with the limits of its frames, both from the outside in."""
    expected = [(limit, each) for each in carried for frame in each.frames for limit in ENTERS.get(frame.f_code, ())]
    at, owner = 0, carried[0]
    for scope in scopes:
        name = DEADLINES.get(scope)
        ahead = (number for number in range(at, len(expected)) if expected[number][0] == name)
        if name is not None and (number := next(ahead, None)) is not None:
            at, owner = number + 1, expected[number][1]
        owned.setdefault(id(owner), []).append(scope)


def _scopes_of(task: trio.lowlevel.Task) -> list[trio.CancelScope]:
    """Return the cancel scopes around the task, up to a shielding one, the outermost first."""
    # trio has no public API for the scopes of another task. If this attribute goes away, no deadline is shown.
    status: Any = getattr(task, "_cancel_status", None)
    scopes: list[trio.CancelScope] = []
    while (scope := getattr(status, "_scope", None)) is not None:
        scopes.append(scope)
        status = None if scope.shield else getattr(status, "parent", None)
    return scopes[::-1]


def _find_threads() -> dict[int, Place]:
    """Return the place of each worker thread, by the id of the task that waits for the thread."""
    places: dict[int, Place] = {}
    here = threading.get_ident()
    for ident, frame in sys._current_frames().items():
        if ident == here:
            continue
        stack = stack_of(frame)
        for number, each in enumerate(stack):
            if each.f_code is WORKER and (waiting := each.f_locals.get("task_register")):
                place = place_of(stack[number:])
                if place is not None:
                    places[id(waiting[0])] = place
    return places


def _list_abandoned(threads: Threads) -> tuple[AbandonedThread, ...]:
    """Return the abandoned threads, each with its place."""
    frames = sys._current_frames()
    now = time.monotonic()
    return tuple(
        AbandonedThread(thread.tool, round(now - thread.began, 3), place_of(stack_of(frames.get(thread.ident))))
        for thread in threads.abandoned
    )


def _describe_asking(held: _Held) -> _Doing:
    job: Job = held["job"]
    return f"asking {job.resolved.model.name}", None


def _describe_calling(held: _Held) -> _Doing:
    names = dict.fromkeys(call.name for call in held["calls"])
    done, count = len(held.get("results", ())), len(held["calls"])
    return f"calling {', '.join(names)}" + (f" ({done} of {count} done)" if count > 1 else ""), None


def _describe_waiting(held: _Held) -> _Doing:
    limiter: Limiter = held["self"]
    if limiter.name == "runs":
        return "queued for a place (runs)", limiter.statistics()
    if limiter.name.startswith("session "):
        return f"waiting for {limiter.name}", limiter.statistics()
    return f"waiting for a place ({limiter.name})", limiter.statistics()


def _describe_waiting_elsewhere(held: _Held) -> _Doing:
    return f"waiting for session {held['self'].id!r}, which another process has", None


def _describe_full_stream(held: _Held) -> _Doing:
    return "waiting for the reader of its stream", held["self"].statistics()


def _describe_rate_limit(held: _Held) -> _Doing:
    standing: Sequence[LimitStatistics] = held["self"].statistics()
    return f"waiting for its turn ({held['self'].name})", max(standing, key=lambda each: each.in_use / each.total)


def _describe_hook(held: _Held) -> _Doing:
    hook = held["hook"]
    name = getattr(hook, "name", None)
    return f"in the hook {name if isinstance(name, str) and name else type(hook).__name__}", None


def _describe_as(text: str) -> Callable[[_Held], _Doing]:
    return lambda held: (text, None)


_Known: TypeAlias = dict[CodeType, Callable[[_Held], _Doing]]

IN_SESSION = execute._converse.__code__
ACQUIRE = Limiter.acquire.__code__
IN_THREAD = trio.to_thread.run_sync.__code__
WORKER = next(inner for inner in IN_THREAD.co_consts if isinstance(inner, CodeType) and inner.co_name == "worker_fn")
"""The function of trio's worker threads; its frame holds the waiting task."""

IN_PROCESS = tool_process.run_in_process.__code__
TIMED = (invoke_tool.call_in_time.__code__, IN_PROCESS)
BEGAN = (call_tools._call_tool.__code__, call_tools._call_tools.__code__)
_JOURNAL = [method.__code__ for method in vars(Journal).values() if isinstance(method, FunctionType)]

KNOWN: _Known = {
    ACQUIRE: _describe_waiting,
    EventBuffer.room.__code__: _describe_full_stream,
    call_hooks._call_hook.__code__: _describe_hook,
    **dict.fromkeys(_JOURNAL, _describe_as("storing its journal")),
}
"""Describes the run or the call of a frame, by the code of the frame's function."""

RUN_KNOWN: _Known = KNOWN | {
    ask_model.ask_model.__code__: _describe_asking,
    call_tools.call_tools.__code__: _describe_calling,
    check_output.__code__: _describe_as("checking its output"),
    Flight.follow.__code__: _describe_as("waiting for another run that asks the same"),
    render_instructions.__code__: _describe_as("making its instructions"),
    conversation.store_conversation.__code__: _describe_as("storing what it added to its session"),
    conversation._load_facts.__code__: _describe_as("reading what is known of its user"),
    conversation._load_session.__code__: _describe_as("reading its session"),
    SharedLock.acquire.__code__: _describe_waiting_elsewhere,
    RateLimit._admit.__code__: _describe_rate_limit,
    Retry._pause.__code__: lambda held: (f"waiting to ask again ({held['self'].name})", None),
}

CALL_KNOWN: _Known = KNOWN | {IN_PROCESS: _describe_as("in a process"), IN_THREAD: _describe_as("in a thread")}

ENTERS: dict[CodeType, tuple[str, ...]] = {
    execute.execute.__code__: ("run_timeout",),
    take_turns.take_timed_turns.__code__: ("turn_timeout",),
    ask_model._ask_in_time.__code__: ("model_timeout", "idle_timeout"),
    ask_model.wait_for_place.__code__: ("queue_timeout",),
    SharedLock.acquire.__code__: ("queue_timeout",),
    invoke_tool.call_in_time.__code__: ("tool_timeout",),
    invoke_tool._wait_for_places.__code__: ("queue_timeout",),
    IN_PROCESS: ("tool_timeout",),
}
"""The deadlines of a function, if set, in the order of entering."""
