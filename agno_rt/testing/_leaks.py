"""The open files, threads and child processes of a process, and objects dropped without being closed."""

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

from agno_rt.testing._tasks import is_of_trio

__all__ = ["ResourceWatch"]

GRACE = 10.0
"""Seconds for threads and processes that are ending while nobody waits for them."""

ORIGIN_DEPTH = 1
"""The least number of frames to keep of a coroutine's origin."""

IDLE_WORKER = re.compile(r"Trio thread \d+")
"""The name of an idle worker thread of trio; a busy one is named after its work."""

HELPERS = re.compile(r"multiprocessing\.(resource_tracker|forkserver)")
"""Processes that Python starts once for its own use, and keeps."""

LIBRARY = os.path.dirname(threading.__file__)

OpenFile: TypeAlias = tuple[int, int, int]
T = TypeVar("T")


@final
class ResourceWatch:
    """Remembers the open resources at its start, and collects warnings of dropped ones until its end."""

    def __enter__(self) -> Self:
        # Existing garbage belongs to code before the block.
        gc.collect()
        self._dropped: list[str] = []
        self._files = _open_files()
        self._threads = {(thread, thread.name) for thread in threading.enumerate()}
        self._processes = set(_child_processes())
        # Lets the warning of a coroutine that was never awaited name its origin.
        self._depth = sys.get_coroutine_origin_tracking_depth()
        sys.set_coroutine_origin_tracking_depth(max(self._depth, ORIGIN_DEPTH))
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.filterwarnings("always", category=ResourceWarning)
        warnings.filterwarnings("always", message="coroutine .* was never awaited", category=RuntimeWarning)
        # Not `catch_warnings(record=True)`, which would hold back all other warnings.
        self._show = warnings.showwarning
        warnings.showwarning = self._note_warning
        return self

    def __exit__(self, *exc: object) -> None:
        self._warnings.__exit__(None, None, None)
        sys.set_coroutine_origin_tracking_depth(self._depth)

    def left(self) -> list[str]:
        """Return a line for each resource that was dropped unclosed or did not exist at the start."""
        gc.collect()
        until = time.monotonic() + GRACE
        threads = [_describe_thread(thread) for thread in _collect_leftovers(self._left_threads, until)]
        processes = [_describe_process(pid) for pid in _collect_leftovers(self._left_processes, until)]
        files = [_describe_file(file) for file in sorted(_open_files() - self._files - _helper_files())]
        return [*self._dropped, *threads, *processes, *files]

    def _note_warning(
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
        # The object itself, for tracemalloc to tell its origin, is found only in the caller.
        about = getattr(sys._getframe(1).f_locals.get("msg"), "source", None)
        self._dropped.append(f"{text} (noticed at {filename}:{lineno}){_describe_origin(about)}")

    def _left_threads(self) -> list[threading.Thread]:
        # Compare names, too: a worker thread that was idle at the start may be busy now.
        new = (thread for thread in threading.enumerate() if (thread, thread.name) not in self._threads)
        return [thread for thread in new if not _may_stay(thread)]

    def _left_processes(self) -> list[int]:
        return [
            pid for pid in _child_processes() if pid not in self._processes and not HELPERS.search(_command_line(pid))
        ]


def _collect_leftovers(left: Callable[[], list[T]], until: float) -> list[T]:
    """Return the leftovers after the grace time. Polling, because trio's threads do not end but become idle."""
    while (found := left()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


def _may_stay(thread: threading.Thread) -> bool:
    # A dummy stands for a thread that Python did not start, such as a C library's.
    return bool(IDLE_WORKER.fullmatch(thread.name)) or thread.name.startswith("Dummy-")


def _describe_thread(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return f"thread {thread.name}"
    stack = traceback.extract_stack(frame)
    at = next((line for line in reversed(stack) if _is_ours(line.filename)), stack[-1])
    return f"thread {thread.name}, in {at.name} ({at.filename}:{at.lineno})"


def _is_ours(filename: str) -> bool:
    is_library = filename.startswith(LIBRARY) and "site-packages" not in filename
    return not is_library and not is_of_trio(filename)


def _child_processes() -> Iterator[int]:
    """Yield the child processes, including zombies."""
    try:
        tasks = os.listdir("/proc/self/task")
    except OSError:
        # Only Linux has this list. Elsewhere, only the children of multiprocessing are known.
        multiprocessing = sys.modules.get("multiprocessing")
        yield from () if multiprocessing is None else (one.pid for one in multiprocessing.active_children())
        return
    for task in tasks:
        yield from map(int, _read_text(f"/proc/self/task/{task}/children").split())


def _command_line(pid: int) -> str:
    return _read_text(f"/proc/{pid}/cmdline").replace("\0", " ").strip() or _read_text(f"/proc/{pid}/comm").strip()


def _is_zombie(pid: int) -> bool:
    # The name before the state, in parentheses, may itself contain spaces and parentheses.
    return _read_text(f"/proc/{pid}/stat").rpartition(")")[2].lstrip().startswith("Z")


def _describe_process(pid: int) -> str:
    ended = ", which has ended and was not waited for" if _is_zombie(pid) else ""
    return f"process {pid} ({_command_line(pid)}){ended}"


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _open_files() -> set[OpenFile]:
    """Return every file descriptor with device and inode, since a number may be reused for another file."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            numbers = os.listdir(folder)
        except OSError:
            continue
        return set(_stat_files(map(int, numbers)))
    return set()


def _stat_files(numbers: Iterable[int]) -> Iterator[OpenFile]:
    for number in numbers:
        try:
            status = os.fstat(number)
        except OSError:  # the descriptor of `listdir`, closed by now
            continue
        yield number, status.st_dev, status.st_ino


def _helper_files() -> set[OpenFile]:
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    number = getattr(tracker, "_fd", None)
    return set() if number is None else set(_stat_files([number]))


def _describe_file(file: OpenFile) -> str:
    number = file[0]
    try:
        leads_to = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        leads_to = "a file"
    owner = next(_find_owners(number), None)
    if owner is None:
        return f"open file {number}, {leads_to}"
    return f"open file {number}, {leads_to}: {owner!r}{_describe_origin(owner)}"


def _find_owners(number: int) -> Iterator[object]:
    """Yield Python's objects for a file descriptor. Check only their types: touching a proxy may have effects."""
    for thing in gc.get_objects():
        if not issubclass(type(thing), socket.socket | io.FileIO):
            continue
        try:
            if thing.fileno() == number:
                yield thing
        except (OSError, ValueError):  # closed
            continue


def _describe_origin(thing: Any) -> str:
    frames = None if thing is None else tracemalloc.get_object_traceback(thing)
    if not frames:
        return ""
    at = next((frame for frame in reversed(frames) if _is_ours(frame.filename)), frames[-1])
    return f", made at {at.filename}:{at.lineno}"
