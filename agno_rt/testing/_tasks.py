"""Which tasks there are, and where each of them waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Self, final
from weakref import WeakKeyDictionary

import trio

__all__ = ["TaskWatch", "is_trios", "tasks", "where"]


def tasks() -> Iterator[trio.lowlevel.Task]:
    """Every task of the trio run, trio's own included, parents first."""
    root = trio.lowlevel.current_root_task()
    todo = [] if root is None else [root]
    while todo:
        task = todo.pop()
        yield task
        todo.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)


def where(task: trio.lowlevel.Task) -> str:
    """The task's name, and the line of the innermost of its functions that is not trio's own."""
    frames = [(frame, line) for frame, line in task.iter_await_frames() if not is_trios(frame.f_code.co_filename)]
    if not frames:
        return f"task {task.name}"
    frame, line = frames[-1]
    return f"task {task.name}, in {frame.f_code.co_name} ({frame.f_code.co_filename}:{line})"


def is_trios(filename: str) -> bool:
    """Whether a source file belongs to trio or to what it is made of."""
    path = filename.replace("\\", "/")
    return "/trio/" in path or "/outcome/" in path


@final
class TaskWatch(trio.abc.Instrument):
    """Knows which tasks there were when it was entered, and where those that came since were started."""

    def __enter__(self) -> Self:
        self._before = set(tasks())
        self._started: WeakKeyDictionary[trio.lowlevel.Task, str] = WeakKeyDictionary()
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *exc: object) -> None:
        trio.lowlevel.remove_instrument(self)
        self._before.clear()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and is_trios(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is not None:
            code = frame.f_code
            self._started[task] = f", started in {code.co_name} ({code.co_filename}:{frame.f_lineno})"

    def left(self) -> list[str]:
        """A line for each task that is there and was not before."""
        return [f"{where(task)}{self._started.get(task, '')}" for task in tasks() if task not in self._before]
