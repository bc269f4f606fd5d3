"""Finds the task of each run and each tool call, by reading the frames of trio's tasks on request.

Runs keep no records for inspections, so a run without an inspection pays nothing. A frame is recognised by the code
object of its function.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType

import attrs
import trio

from agno_rt._drive import call_tools
from agno_rt._drive.execute import execute
from agno_rt._drive.job import Job
from agno_rt.messages import ToolCall
from agno_rt.runs import carry_out
from agno_rt.tasktree import Place

__all__ = [
    "BATCH",
    "CALL",
    "MADE",
    "RUN",
    "STARTED",
    "Found",
    "find_all",
    "find_in_stack",
    "place_of",
    "stack_of",
    "tasks_around",
]

RUN = execute.__code__
STARTED = carry_out.__code__
CALL = call_tools._call_tool.__code__
BATCH = call_tools._call_tools.__code__
MADE = call_tools._make_calls.__code__
_OPENING = {RUN, STARTED, CALL, BATCH}

_ROOT = os.path.dirname(os.path.dirname(__file__))
KERNEL = {
    _ROOT,
    *(
        os.path.join(_ROOT, name)
        for name in ("_decide", "_drive", "_flow", "_runtime", "_schema", "_watch", "wrappers")
    ),
}
"""The folders of the kernel. Guardrails, the testing kit and memory backends count as user code."""


@attrs.define(eq=False)
class Found:
    """A run, a tool call, or a batch of calls, with its own frames, without the frames of nested runs and calls."""

    job: Job
    task: trio.lowlevel.Task | None
    calls: tuple[ToolCall, ...] = ()
    before: Found | None = None
    frames: list[FrameType] = attrs.Factory(list)

    @property
    def is_run(self) -> bool:
        return not self.calls


def find_all() -> list[Found]:
    """Find the runs and calls in all tasks of the trio run; a task comes before its child tasks."""
    root = trio.lowlevel.current_root_task()
    todo, all_found = [] if root is None else [root], list[Found]()
    while todo:
        task = todo.pop()
        all_found += find_in_stack(_frames_of(task), task)
        todo.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return all_found


def find_in_stack(frames: Iterable[FrameType], task: trio.lowlevel.Task | None = None) -> list[Found]:
    """Find the runs and tool calls in a stack of frames, the outermost first."""
    all_found: list[Found] = []
    for frame in frames:
        last = all_found[-1] if all_found else None
        new = _find_opening(frame, last)
        if new is not None:
            new.task, new.before = task, last
            all_found.append(new)
        elif last is not None:
            last.frames.append(frame)
            if not last.is_run and frame.f_code is MADE:
                # Hooks may have changed the calls.
                last.calls = tuple(each.asked for each in frame.f_locals["calls"])
    return all_found


def _find_opening(frame: FrameType, last: Found | None) -> Found | None:
    """Return the run or the calls that begin with the frame, or `None`."""
    code = frame.f_code
    if code not in _OPENING:
        # Read the variables of known functions only: `f_locals` stores a copy in the frame, and keeps the values alive.
        return None
    held = frame.f_locals
    if code is STARTED:
        return Found(held["run"]._job, None, frames=[frame])
    job: Job = held["job"]
    if code is RUN:
        if last is None or last.job is not job:
            return Found(job, None, frames=[frame])
        # A run with a task of its own was found by its outer frame, STARTED.
        return None
    calls = (held["call"],) if code is CALL else tuple(held["calls"])
    if last is not None and last.job is job and last.calls == calls:
        # A single call was found by its outer frame, CALL.
        return None
    return Found(job, None, calls, frames=[frame]) if calls else None


def _frames_of(task: trio.lowlevel.Task) -> Iterator[FrameType]:
    """Return the task's frames, the outermost first."""
    if task is trio.lowlevel.current_task():
        # The current task is not suspended, so `iter_await_frames` ends at its first frame.
        return iter(stack_of(sys._getframe()))
    return (frame for frame, _ in task.iter_await_frames())


def stack_of(frame: FrameType | None) -> list[FrameType]:
    """Return the frames of a running stack, the outermost first, down to the given frame."""
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def tasks_around(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    """Yield the tasks whose nurseries contain the task, the nearest first."""
    while task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
        yield task


def place_of(frames: Sequence[FrameType]) -> Place | None:
    """Return the place of the innermost frame outside of trio and the kernel."""
    for frame in reversed(frames):
        file = frame.f_code.co_filename
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module not in ("trio", "outcome", "contextlib") and os.path.dirname(file) not in KERNEL:
            return Place(frame.f_code.co_qualname, file, frame.f_lineno)
    return None
