"""Reports the task tree of a runtime to other processes of the same user, over a Unix socket; finds and asks them too.

A separate thread answers, so that a blocked event loop can be reported as blocked, with its stack. The folder and the
sockets belong to the user alone; if the system names the peer's user, the user is checked too.
"""

from __future__ import annotations

import itertools
import os
import selectors
import socket
import stat
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

import attrs
import msgspec

from agno_rt.errors import BackendError, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.tasktree import RunTask, TaskTree

__all__ = ["PATIENCE", "Blocked", "Gone", "Inspection", "Report", "ask", "folders", "sockets"]

PATIENCE = 2.0
"""Seconds until a silent event loop is reported as blocked."""

_LONGEST = 60.0
"""The most patience of a request: the single thread serves nobody else meanwhile."""
_GRACE = 5.0
"""Seconds for a peer to send its request, or its answer on top of the patience."""

_CLOSING = 1.0
"""Seconds for `close` to wait for the thread. A busy thread ends after its answer."""

_numbers = itertools.count()


@attrs.frozen
class Blocked:
    """An event loop without an answer for `seconds`, with the stack of its thread and the runs in the stack.

    `stack` has a line for each function, the innermost last.
    """

    seconds: float
    stack: tuple[str, ...] = ()
    runs: tuple[RunTask, ...] = ()


@attrs.frozen
class Report:
    """The answer of a process about one of its runtimes: the tasks, or a blocked event loop, or an error."""

    pid: int
    program: str = ""
    origin: str = ""
    tasks: TaskTree | None = None
    blocked: Blocked | None = None
    error: str = ""


class Gone(Exception):
    """Raised if no process listens at the socket any more."""


@attrs.frozen
class _Request:
    patience: float = PATIENCE


def folders() -> list[Path]:
    """Return the folders for this user's sockets; new sockets go into the first. The folders may not exist."""
    places = [Path(tempfile.gettempdir()) / f"agno-rt-{os.getuid()}"]
    base = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    # A service often runs without XDG_RUNTIME_DIR and a login shell with it, so both places are searched. After `su`,
    # the variable may name another user's folder.
    if base.is_absolute() and base.is_dir() and os.access(base, os.W_OK):
        places.insert(0, base / "agno-rt")
    return places


def sockets() -> list[tuple[int, Path]]:
    """Return the process id and the path of each socket in folders of the user alone."""
    if not hasattr(socket, "AF_UNIX"):
        return []
    places = [place for place in folders() if _is_own(place)]
    found = ((path.name.partition(".")[0], path) for place in places for path in place.glob("*.sock"))
    return sorted((int(pid), path) for pid, path in found if pid.isdecimal())


def ask(path: Path, patience: float = PATIENCE) -> Report:
    """Ask the runtime at the socket for a report. Raises `Gone` if the process has ended, and removes its socket.

    If a live process does not answer, the report has an `error`.
    """
    pid = int(path.name.partition(".")[0])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(patience + _GRACE)
        try:
            asked.connect(os.fspath(path))
            asked.sendall(msgspec.json.encode(_Request(patience)) + b"\n")
            answer = b"".join(iter(lambda: asked.recv(65_536), b""))
        except (ConnectionRefusedError, FileNotFoundError):
            # A socket is named only after listening, so the process is dead, not starting.
            path.unlink(missing_ok=True)
            raise Gone from None
        except TimeoutError:
            if not _exists(pid):
                # A forked child holds the dead process's socket open, and never answers.
                path.unlink(missing_ok=True)
                raise Gone from None
            return Report(pid, error=f"it has not answered for {patience + _GRACE:g} s: it may be stopped")
        except OSError:
            # The process ended during the request.
            raise Gone from None
    if not answer:
        raise Gone
    try:
        return msgspec.json.decode(answer, type=Report)
    except msgspec.DecodeError:
        return Report(pid, error="its answer cannot be read: it may have another version of agno_rt")


class Inspection:
    """Answers requests about a runtime until it is closed. Make it under trio, in the runtime's thread.

    `tasks` is called in the runtime's thread for each request. Raises `UsageError` on systems without Unix sockets, and
    `BackendError` if the socket cannot be made.
    """

    name = "the inspection"

    def __init__(self, tasks: Callable[[], TaskTree], origin: str = "") -> None:
        import trio

        if not hasattr(socket, "AF_UNIX"):
            raise UsageError("this system has no Unix sockets", hint="Leave `inspect` out of `observers`.")
        self._tasks = tasks
        self._origin = origin
        self._token = trio.lowlevel.current_trio_token()
        self._thread_id = threading.get_ident()
        self._answers: SimpleQueue[tuple[object, TaskTree | BaseException | None]] = SimpleQueue()
        self._closed = False
        self._pid = os.getpid()
        self.path, self._listener = _open_socket()
        self._woken, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="agno-rt inspect", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering, and remove the socket."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():
            # A forked child has no answering thread, and the socket file belongs to the parent.
            self._listener.close()
            return
        self.path.unlink(missing_ok=True)
        # Wakes a request waiting for this very thread to take the task tree.
        self._answers.put((None, None))
        self._wake.close()
        self._thread.join(_CLOSING)

    async def aclose(self) -> None:
        """Close, as the runtime closes its plugins' objects with `aclose`."""
        self.close()

    def _serve(self) -> None:
        with self._listener, self._woken, selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._closed:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    return
                # A peer may hang up during its answer; the thread must go on for the others.
                with suppress(OSError):
                    peer, _ = self._listener.accept()
                    with peer:
                        self._answer(peer)

    def _answer(self, peer: socket.socket) -> None:
        peer.settimeout(_GRACE)
        if not _is_this_user(peer):
            return
        received = b""
        # A request has some 20 bytes. The bound keeps a peer from filling the memory.
        while not received.endswith(b"\n") and len(received) < 4096:
            piece = peer.recv(4096)
            if not piece:
                return
            received += piece
        try:
            request = msgspec.json.decode(received, type=_Request)
        except msgspec.DecodeError:
            return
        peer.sendall(msgspec.json.encode(self._report(min(max(0.0, request.patience), _LONGEST))))

    def _report(self, patience: float) -> Report:
        import trio

        report = Report(os.getpid(), " ".join(_program_words()), self._origin)
        ticket, asked = object(), time.monotonic()
        try:
            self._token.run_sync_soon(self._look, ticket)
        except trio.RunFinishedError:
            return attrs.evolve(report, error="its event loop has ended")
        answer = self._wait(ticket, asked + patience)
        if isinstance(answer, TaskTree):
            return attrs.evolve(report, tasks=answer)
        if isinstance(answer, BaseException):
            return attrs.evolve(report, error=f"its tasks cannot be read: {named(answer)}")
        if self._closed:
            return attrs.evolve(report, error="its runtime has been closed")
        return attrs.evolve(report, blocked=_find_blocked(self._thread_id, time.monotonic() - asked))

    def _look(self, ticket: object) -> None:
        """Take the task tree, in trio's thread. An error becomes the answer: raised here, it would end the trio run."""
        answer: TaskTree | BaseException
        try:
            answer = self._tasks()
        except BaseException as exc:
            if must_pass(exc):
                raise
            answer = exc
        self._answers.put((ticket, answer))

    def _wait(self, ticket: object, until: float) -> TaskTree | BaseException | None:
        while not self._closed:
            try:
                of, answer = self._answers.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                return None
            # Skip a late answer to an earlier request.
            if of is ticket:
                return answer
        return None


def _open_socket() -> tuple[Path, socket.socket]:
    """Make a socket named after this process. The socket listens under another name first, and is then renamed."""
    place = folders()[0]
    path = place / f"{os.getpid()}.{next(_numbers)}.sock"
    new = path.with_suffix(".new")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        if not _is_own(place):
            hint = f"Remove it, or `chmod 700 {place}`, or set XDG_RUNTIME_DIR to a folder of yours."
            raise BackendError(f"{place} is not a folder that belongs to this user alone", hint=hint)
        # An earlier process with the same number may have left the file.
        new.unlink(missing_ok=True)
        listener.bind(os.fspath(new))
        new.chmod(0o600)
        listener.listen()
        listener.setblocking(False)
        new.rename(path)
    except BaseException as exc:
        listener.close()
        if not isinstance(exc, OSError):
            raise
        hint = "Set XDG_RUNTIME_DIR to a folder of yours with a short path, or leave `inspect` out of `observers`."
        raise BackendError(f"the socket {path} cannot be made: {exc.strerror or exc}", hint=hint) from exc
    return path, listener


def _is_own(place: Path) -> bool:
    """Tell if the place is a folder of the user alone."""
    try:
        # `lstat`: in a shared /tmp, another user could put a symbolic link here.
        found = place.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_this_user(peer: socket.socket) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        # macOS and the BSDs lack SO_PEERCRED. The folder's mode keeps other users out there.
        return True
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(user == os.geteuid())


def _program_words() -> Iterator[str]:
    yield os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    # Long arguments, such as prompts, say little about the program.
    yield from (word for word in sys.argv[1:] if len(word) < 100)


def _find_blocked(thread: int, seconds: float) -> Blocked:
    from agno_rt._watch.snapshot import stack_tasks

    frame: FrameType | None = sys._current_frames().get(thread)
    if frame is None:
        return Blocked(round(seconds, 3))
    runs = stack_tasks(frame)
    return Blocked(round(seconds, 3), tuple(_format_stack(frame)), runs)


def _format_stack(frame: FrameType) -> Iterator[str]:
    """Yield a line for each frame outside trio: the function, the place and the code."""
    for each in traceback.extract_stack(frame):
        if not _is_from_trio(each):
            code = f"  {each.line}" if each.line else ""
            yield f"{each.name} ({each.filename}:{each.lineno}){code}"


def _is_from_trio(summary: Any) -> bool:
    path = str(summary.filename).replace("\\", "/")
    return "/trio/" in path or "/outcome/" in path
