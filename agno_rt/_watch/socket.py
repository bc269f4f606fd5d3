"""Lets other processes of the same user ask what a runtime does, by a Unix socket; and asks, and finds whom to ask.

A thread of its own answers, so that an event loop which is blocked is reported as blocked, with where it is. The folder
is the user's alone, and so is each socket in it; where the system tells who asks, that is checked too.
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
"""Seconds until an event loop that does not answer is reported as blocked."""

_LONGEST = 60.0
_GRACE = 5.0
"""Seconds for one who asks, or who is asked, to say what it has to say."""

_CLOSING = 1.0
"""Seconds that closing waits for the thread. One that is still at an answer ends with it."""

_numbers = itertools.count()


@attrs.frozen
class Blocked:
    """An event loop that has not answered for so many seconds; where its thread is, and in which runs.

    `stack` has a line for each function, the innermost last.
    """

    seconds: float
    stack: tuple[str, ...] = ()
    runs: tuple[RunTask, ...] = ()


@attrs.frozen
class Report:
    """What a process says of one of its runtimes: its tasks, or that its event loop is blocked, or what went wrong."""

    pid: int
    program: str = ""
    origin: str = ""
    tasks: TaskTree | None = None
    blocked: Blocked | None = None
    error: str = ""


class Gone(Exception):
    """Nobody listens at the socket any more."""


@attrs.frozen
class _Request:
    patience: float = PATIENCE


def folders() -> list[Path]:
    """Where this user's processes may have their sockets, the place to use first. None of them need be there."""
    places = [Path(tempfile.gettempdir()) / f"agno-rt-{os.getuid()}"]
    base = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    # A service may run without it, and a person who asks may have it; or have another user's.
    if base.is_absolute() and base.is_dir() and os.access(base, os.W_OK):
        places.insert(0, base / "agno-rt")
    return places


def sockets() -> list[tuple[int, Path]]:
    """The sockets of this user's processes, each with the process. What is not the user's alone is passed over."""
    if not hasattr(socket, "AF_UNIX"):
        return []
    places = [place for place in folders() if _is_own(place)]
    found = ((path.name.partition(".")[0], path) for place in places for path in place.glob("*.sock"))
    return sorted((int(pid), path) for pid, path in found if pid.isdecimal())


def ask(path: Path, patience: float = PATIENCE) -> Report:
    """What the runtime at the socket does. Raises `Gone`, having removed what a dead process left behind.

    A process that does not answer at all is a report with an `error`.
    """
    pid = int(path.name.partition(".")[0])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(patience + _GRACE)
        try:
            asked.connect(os.fspath(path))
            asked.sendall(msgspec.json.encode(_Request(patience)) + b"\n")
            said = b"".join(iter(lambda: asked.recv(65_536), b""))
        except (ConnectionRefusedError, FileNotFoundError):
            # It has its name only once it listens, so nobody will.
            path.unlink(missing_ok=True)
            raise Gone from None
        except TimeoutError:
            if not _exists(pid):
                # A child that it has forked holds the socket open, and does not answer.
                path.unlink(missing_ok=True)
                raise Gone from None
            return Report(pid, error=f"it has not answered for {patience + _GRACE:g} s: it may be stopped")
        except OSError:
            # It ended while it was asked.
            raise Gone from None
    if not said:
        raise Gone
    try:
        return msgspec.json.decode(said, type=Report)
    except msgspec.DecodeError:
        return Report(pid, error="it answers what is not understood: it may have another version of agno_rt")


class Inspection:
    """Answers who asks what a runtime does, until it is closed. Make it under trio, in the runtime's thread.

    `tasks` is called in that thread when somebody asks. Raises `UsageError` where there are no Unix sockets, and
    `BackendError` where no socket can be made.
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
        self.path, self._listener = _listen()
        self._woken, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="agno-rt inspect", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more, and remove the socket."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():
            # A forked child has no thread that answers, and the socket is its parent's.
            self._listener.close()
            return
        self.path.unlink(missing_ok=True)
        # One may be waiting for this very thread to say what it does.
        self._answers.put((None, None))
        self._wake.close()
        self._thread.join(_CLOSING)

    async def aclose(self) -> None:
        """The same, for a runtime that closes what it has made."""
        self.close()

    def _serve(self) -> None:
        with self._listener, self._woken, selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._closed:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    return
                # Whoever asks and does not listen has lost the answer, and nobody else has.
                with suppress(OSError):
                    peer, _ = self._listener.accept()
                    with peer:
                        self._answer(peer)

    def _answer(self, peer: socket.socket) -> None:
        peer.settimeout(_GRACE)
        if not _is_this_user(peer):
            return
        said = b""
        while not said.endswith(b"\n") and len(said) < 4096:
            piece = peer.recv(4096)
            if not piece:
                return
            said += piece
        try:
            request = msgspec.json.decode(said, type=_Request)
        except msgspec.DecodeError:
            return
        peer.sendall(msgspec.json.encode(self._report(min(max(0.0, request.patience), _LONGEST))))

    def _report(self, patience: float) -> Report:
        import trio

        report = Report(os.getpid(), " ".join(_program()), self._origin)
        ticket, asked = object(), time.monotonic()
        try:
            self._token.run_sync_soon(self._look, ticket)
        except trio.RunFinishedError:
            return attrs.evolve(report, error="its event loop has ended")
        answer = self._wait(ticket, asked + patience)
        if isinstance(answer, TaskTree):
            return attrs.evolve(report, tasks=answer)
        if isinstance(answer, BaseException):
            return attrs.evolve(report, error=f"it cannot say: {named(answer)}")
        if self._closed:
            return attrs.evolve(report, error="its runtime has been closed")
        return attrs.evolve(report, blocked=_blocked(self._thread_id, time.monotonic() - asked))

    def _look(self, ticket: object) -> None:
        """Say what there is, in trio's thread; where what is raised would end all of it."""
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
            # Another's answer is one that came too late.
            if of is ticket:
                return answer
        return None


def _listen() -> tuple[Path, socket.socket]:
    """A socket under the name of this process, which it has only once it listens."""
    place = folders()[0]
    path = place / f"{os.getpid()}.{next(_numbers)}.sock"
    new = path.with_suffix(".new")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        if not _is_own(place):
            hint = f"Remove it, or `chmod 700 {place}`, or set XDG_RUNTIME_DIR to a folder of yours."
            raise BackendError(f"{place} is no folder of this user's alone", hint=hint)
        # Left by an earlier process that had the same number.
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
    """Whether it is a folder, and this user's alone."""
    try:
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
        # The folder lets in nobody else.
        return True
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(user == os.geteuid())


def _program() -> Iterator[str]:
    yield os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    yield from (word for word in sys.argv[1:] if len(word) < 100)


def _blocked(thread: int, seconds: float) -> Blocked:
    from agno_rt._watch.snapshot import stack_tasks

    frame: FrameType | None = sys._current_frames().get(thread)
    if frame is None:
        return Blocked(round(seconds, 3))
    runs = stack_tasks(frame)
    return Blocked(round(seconds, 3), tuple(_lines(frame)), runs)


def _lines(frame: FrameType) -> Iterator[str]:
    """The functions of the program's own, with what is written where they are."""
    for each in traceback.extract_stack(frame):
        if not _is_trios(each):
            code = f"  {each.line}" if each.line else ""
            yield f"{each.name} ({each.filename}:{each.lineno}){code}"


def _is_trios(summary: Any) -> bool:
    path = str(summary.filename).replace("\\", "/")
    return "/trio/" in path or "/outcome/" in path
