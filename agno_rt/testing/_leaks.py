"""What a process holds beside memory: open files, threads, child processes; and what it drops without closing it."""

from __future__ import annotations

import gc
import io
import os
import re
import socket
import sys
import threading
import time
import traceback
import tracemalloc
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TextIO, TypeAlias, TypeVar, final

from agno_rt.testing._tasks import is_trios

__all__ = ["ResourceWatch"]

GRACE = 1.0
"""Seconds for what is ending to end: a thread or a process that was told to, and not waited for."""

ORIGIN_DEPTH = 1
"""How many frames are kept of where a coroutine was made, unless more were kept already."""

IDLE_WORKER = re.compile(r"Trio thread \d+")
"""What trio calls a worker thread that has nothing to do; one that has is named after it."""

HELPERS = re.compile(r"multiprocessing\.(resource_tracker|forkserver)")
"""Processes that Python starts for itself, once, and keeps."""

LIBRARY = os.path.dirname(threading.__file__)

OpenFile: TypeAlias = tuple[int, int, int]
T = TypeVar("T")


@final
class ResourceWatch:
    """Knows what was open when it was entered, and hears of what is dropped unclosed until it is left."""

    def __enter__(self) -> Self:
        # What is garbage already was somebody else's.
        gc.collect()
        self._dropped: list[str] = []
        self._files = _open_files()
        self._threads = {(thread, thread.name) for thread in threading.enumerate()}
        self._processes = set(_children())
        self._depth = sys.get_coroutine_origin_tracking_depth()
        sys.set_coroutine_origin_tracking_depth(max(self._depth, ORIGIN_DEPTH))
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.filterwarnings("always", category=ResourceWarning)
        warnings.filterwarnings("always", message="coroutine .* was never awaited", category=RuntimeWarning)
        self._show = warnings.showwarning
        warnings.showwarning = self._shown
        return self

    def __exit__(self, *exc: object) -> None:
        self._warnings.__exit__(None, None, None)
        sys.set_coroutine_origin_tracking_depth(self._depth)

    def left(self) -> list[str]:
        """A line for each thing that was dropped unclosed, or is still there and was not before."""
        gc.collect()
        until = time.monotonic() + GRACE
        threads = [_thread(thread) for thread in _in_time(self._left_threads, until)]
        processes = [_process(pid) for pid in _in_time(self._left_processes, until)]
        files = [_file(file) for file in sorted(_open_files() - self._files - _helper_files())]
        return [*self._dropped, *threads, *processes, *files]

    def _shown(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = str(message)
        if not issubclass(category, ResourceWarning) and "was never awaited" not in text:
            self._show(message, category, filename, lineno, file, line)
            return
        # What it is about, so that tracemalloc can say where it was made, is in the caller alone.
        about = getattr(sys._getframe(1).f_locals.get("msg"), "source", None)
        self._dropped.append(f"{text} (noticed at {filename}:{lineno}){_made(about)}")

    def _left_threads(self) -> list[threading.Thread]:
        # By the name, too: a worker thread that had nothing to do before may be at work now.
        new = (thread for thread in threading.enumerate() if (thread, thread.name) not in self._threads)
        return [thread for thread in new if not _stays(thread)]

    def _left_processes(self) -> list[int]:
        return [pid for pid in _children() if pid not in self._processes and not HELPERS.search(_command(pid))]


def _in_time(left: Callable[[], list[T]], until: float) -> list[T]:
    """What is left in the end. There is nothing to wait on: threads of trio's do not end, but become idle."""
    while (found := left()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


def _stays(thread: threading.Thread) -> bool:
    # A dummy stands for a thread that Python did not start.
    return bool(IDLE_WORKER.fullmatch(thread.name)) or thread.name.startswith("Dummy-")


def _thread(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return f"thread {thread.name}"
    stack = traceback.extract_stack(frame)
    at = next((line for line in reversed(stack) if _is_ours(line.filename)), stack[-1])
    return f"thread {thread.name}, in {at.name} ({at.filename}:{at.lineno})"


def _is_ours(filename: str) -> bool:
    is_library = filename.startswith(LIBRARY) and "site-packages" not in filename
    return not is_library and not is_trios(filename)


def _children() -> Iterator[int]:
    """The child processes, those included that have ended and were not waited for."""
    try:
        tasks = os.listdir("/proc/self/task")
    except OSError:
        # Only Linux has that list; elsewhere those are known that multiprocessing has started.
        multiprocessing = sys.modules.get("multiprocessing")
        yield from () if multiprocessing is None else (one.pid for one in multiprocessing.active_children())
        return
    for task in tasks:
        yield from map(int, _text(f"/proc/self/task/{task}/children").split())


def _command(pid: int) -> str:
    return _text(f"/proc/{pid}/cmdline").replace("\0", " ").strip() or _text(f"/proc/{pid}/comm").strip()


def _is_zombie(pid: int) -> bool:
    return _text(f"/proc/{pid}/stat").rpartition(")")[2].lstrip().startswith("Z")


def _process(pid: int) -> str:
    ended = ", which has ended and was not waited for" if _is_zombie(pid) else ""
    return f"process {pid} ({_command(pid)}){ended}"


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _open_files() -> set[OpenFile]:
    """Every file descriptor, with what it leads to: a number that is used anew is another file."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            numbers = os.listdir(folder)
        except OSError:
            continue
        return set(_existing(map(int, numbers)))
    return set()


def _existing(numbers: Iterable[int]) -> Iterator[OpenFile]:
    for number in numbers:
        try:
            status = os.fstat(number)
        except OSError:  # the listing's own, closed by now
            continue
        yield number, status.st_dev, status.st_ino


def _helper_files() -> set[OpenFile]:
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    number = getattr(tracker, "_fd", None)
    return set() if number is None else set(_existing([number]))


def _file(file: OpenFile) -> str:
    number = file[0]
    try:
        leads_to = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        leads_to = "a file"
    owner = next(_owners(number), None)
    if owner is None:
        return f"open file {number}, {leads_to}"
    return f"open file {number}, {leads_to}: {owner!r}{_made(owner)}"


def _owners(number: int) -> Iterator[object]:
    """Python's objects for a file descriptor. By their type alone: proxies do things when they are asked more."""
    for thing in gc.get_objects():
        if not issubclass(type(thing), socket.socket | io.FileIO):
            continue
        try:
            if thing.fileno() == number:
                yield thing
        except (OSError, ValueError):  # closed
            continue


def _made(thing: Any) -> str:
    frames = None if thing is None else tracemalloc.get_object_traceback(thing)
    if not frames:
        return ""
    at = next((frame for frame in reversed(frames) if _is_ours(frame.filename)), frames[-1])
    return f", made at {at.filename}:{at.lineno}"
