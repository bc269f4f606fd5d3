"""The tasks of a trio run, and the places where they wait."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Self, final
from weakref import WeakKeyDictionary

import trio

__all__ = ["TaskWatch", "describe_task", "is_of_trio", "list_tasks"]


def list_tasks() -> Iterator[trio.lowlevel.Task]:
    """Yield every task of the trio run, including trio's own, parents first."""
    root = trio.lowlevel.current_root_task()
    todo = [] if root is None else [root]
    while todo:
        task = todo.pop()
        yield task
        todo.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)


def describe_task(task: trio.lowlevel.Task) -> str:
    """Return the task's name, with the current line of its innermost function outside of trio."""
    frames = [(frame, line) for frame, line in task.iter_await_frames() if not is_of_trio(frame.f_code.co_filename)]
    if not frames:
        return f"task {task.name}"
    frame, line = frames[-1]
    return f"task {task.name}, in {frame.f_code.co_name} ({frame.f_code.co_filename}:{line})"


def is_of_trio(filename: str) -> bool:
    """Return whether a source file belongs to trio or to its dependency outcome."""
    path = filename.replace("\\", "/")
    return "/trio/" in path or "/outcome/" in path


@final
class TaskWatch(trio.abc.Instrument):
    """Remembers the tasks at its start, and the places where later tasks were started."""

    def __enter__(self) -> Self:
        self._before = set(list_tasks())
        self._started: WeakKeyDictionary[trio.lowlevel.Task, str] = WeakKeyDictionary()
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *exc: object) -> None:
        trio.lowlevel.remove_instrument(self)
        self._before.clear()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and is_of_trio(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is not None:
            code = frame.f_code
            self._started[task] = f", started in {code.co_name} ({code.co_filename}:{frame.f_lineno})"

    def left(self) -> list[str]:
        """Return a line for each task that did not exist at the start."""
        return [
            f"{describe_task(task)}{self._started.get(task, '')}" for task in list_tasks() if task not in self._before
        ]
