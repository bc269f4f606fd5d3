"""Which task carries out which run and which tool call, read from the frames of trio's tasks when somebody asks.

Nothing is kept for it while runs go on, so that a run which nobody asks about pays nothing. A frame is recognised by
the code object of its function.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType

import attrs
import trio

from agno_rt._drive import call_tools
from agno_rt._drive.job import Job
from agno_rt.messages import ToolCall
from agno_rt.runs import carry_out, execute
from agno_rt.tasktree import Place

__all__ = ["BATCH", "CALL", "MADE", "RUN", "STARTED", "Found", "found_in", "is_under", "own_stack", "place_of", "seen"]

RUN = execute.__code__
STARTED = carry_out.__code__
CALL = call_tools._call_tool.__code__
BATCH = call_tools._make_batch.__code__
MADE = call_tools._finish_call.__code__
_OPENING = {RUN, STARTED, CALL, BATCH}

_ROOT = os.path.dirname(os.path.dirname(__file__))
KERNEL = {
    _ROOT,
    *(os.path.join(_ROOT, name) for name in ("_decide", "_drive", "_runtime", "_schema", "_watch", "wrappers")),
}
"""The folders of the kernel itself. Guardrails, the testing kit and memory backends count as somebody's code."""


@attrs.define(eq=False)
class Found:
    """A run, or the calls of one that are made as one, with the frames that are its own and of nothing within it."""

    job: Job
    task: trio.lowlevel.Task | None
    calls: tuple[ToolCall, ...] = ()
    before: Found | None = None
    frames: list[FrameType] = attrs.Factory(list)

    @property
    def is_run(self) -> bool:
        return not self.calls


def seen() -> list[Found]:
    """What is found in all tasks of this trio run, tasks before those within them."""
    root = trio.lowlevel.current_root_task()
    todo, all_found = [] if root is None else [root], list[Found]()
    while todo:
        task = todo.pop()
        all_found += found_in(_frames(task), task)
        todo.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return all_found


def found_in(frames: Iterable[FrameType], task: trio.lowlevel.Task | None = None) -> list[Found]:
    """What a stack of frames, the outermost first, carries out, what is within something after that."""
    all_found: list[Found] = []
    for frame in frames:
        last = all_found[-1] if all_found else None
        opened = _opened(frame, last)
        if opened is not None:
            opened.task, opened.before = task, last
            all_found.append(opened)
        elif last is not None:
            last.frames.append(frame)
            if not last.is_run and frame.f_code is MADE:
                # As hooks have made it.
                last.calls = (frame.f_locals.get("asked", last.calls[0]),)
    return all_found


def _opened(frame: FrameType, last: Found | None) -> Found | None:
    """What begins with the frame, if anything does."""
    code = frame.f_code
    if code not in _OPENING:
        # Only what is ours is looked into: Python keeps a copy of the variables in a frame that is asked for them.
        return None
    held = frame.f_locals
    if code is STARTED:
        return Found(held["run"]._job, None, frames=[frame])
    job: Job = held["job"]
    if code is RUN:
        if last is None or last.job is not job:
            return Found(job, None, frames=[frame])
        last.frames.append(frame)
        return None
    calls = (held["call"],) if code is CALL else tuple(held["calls"])
    return Found(job, None, calls, frames=[frame]) if calls else None


def _frames(task: trio.lowlevel.Task) -> Iterator[FrameType]:
    """The task's frames, the outermost first."""
    if task is trio.lowlevel.current_task():
        # The one that asks is not waiting, and trio sees no further than its first frame.
        return iter(own_stack(sys._getframe()))
    return (frame for frame, _ in task.iter_await_frames())


def own_stack(frame: FrameType | None) -> list[FrameType]:
    """A stack that is running, the outermost frame first, from the one that it is in now."""
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def is_under(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    """The tasks that the task is within, the nearest first."""
    while task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
        yield task


def place_of(frames: Sequence[FrameType]) -> Place | None:
    """The innermost frame that is neither trio's nor the kernel's."""
    for frame in reversed(frames):
        file = frame.f_code.co_filename
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module not in ("trio", "outcome", "contextlib") and os.path.dirname(file) not in KERNEL:
            return Place(frame.f_code.co_qualname, file, frame.f_lineno)
    return None
