"""Standard output and error in whole lines, from any thread and process. Knows lines, and no log.

`print` writes a text and the line's end one after the other. If Python does not buffer (PYTHONUNBUFFERED, as in many
containers), these are two writes, and the lines of two workers are torn apart.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, TextIO

try:
    import fcntl
except ImportError:  # not a Unix, and so without workers
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["LineWriter", "make_lock", "share_lock", "whole_lines"]


class LineWriter(io.RawIOBase):
    """A file that gets whole lines, each in one write; an unfinished line only when flushed.

    The lines of threads do not meet. Between processes the system keeps a write in one piece, except a long write to a
    pipe nearly full: processes with a common pipe share a lock as well, see `share_lock`. If nobody reads any more,
    lines are dropped: a server does not end because its terminal did.
    """

    # One lock for all writers: standard output and error often are one pipe. Reentrant: a finalizer may print.
    _writing = threading.RLock()
    lock: int | None = None

    def __init__(self, number: int, name: str) -> None:
        super().__init__()
        self.name = name
        self._number = number
        self._begun: dict[int, bytes] = {}
        self._is_pipe = not (stat.S_ISREG(os.fstat(number).st_mode) or os.isatty(number))

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the file's number."""
        return self._number

    def isatty(self) -> bool:
        """Return whether the file is a terminal."""
        return os.isatty(self._number)

    def write(self, data: ReadableBuffer, /) -> int:
        """Take in the text, and write the completed lines together."""
        added, thread = bytes(data), threading.get_ident()
        text = self._begun.pop(thread, b"") + added
        end = text.rfind(b"\n") + 1
        if end < len(text):
            self._begun[thread] = text[end:]
        self._send(text[:end])
        return len(added)

    def flush(self) -> None:
        """Write this thread's unfinished line."""
        self._send(self._begun.pop(threading.get_ident(), b""))

    def finish(self) -> None:
        """Write the unfinished lines of all threads."""
        while self._begun:
            self._send(self._begun.popitem()[1])

    def _send(self, data: bytes) -> None:
        with self._writing, _hold_lock(self.lock if self._is_pipe and data else None), suppress(OSError):
            while data:
                try:
                    data = data[os.write(self._number, data) :]
                except BlockingIOError:
                    # A process that shares the pipe may have made it non-blocking: wait for room.
                    select.select((), (self._number,), ())


@contextmanager
def whole_lines() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` with line writers while the context is open."""
    streams = sys.stdout, sys.stderr
    writers = [_make_line_writer(stream) for stream in streams]
    sys.stdout, sys.stderr = (_wrap_text(*pair) for pair in zip(writers, streams, strict=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for writer in writers:
            if writer is not None:
                writer.finish()
        share_lock(None)


def make_lock() -> IO[bytes] | None:
    """Return a file for several processes to lock; `None` if there is no place for the file."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return None


def share_lock(lock: int | None) -> None:
    """Write lines under the lock of a file, given by its number. Other processes share the lock."""
    LineWriter.lock = lock


@contextmanager
def _hold_lock(lock: int | None) -> Iterator[None]:
    if lock is None or fcntl is None:
        yield
        return
    with suppress(OSError):
        fcntl.lockf(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.lockf(lock, fcntl.LOCK_UN)


def _make_line_writer(stream: TextIO) -> LineWriter | None:
    try:
        stream.flush()
        return LineWriter(stream.fileno(), stream.name)
    except (OSError, ValueError, AttributeError):
        return None  # closed, or not a file


def _wrap_text(writer: LineWriter | None, stream: TextIO) -> TextIO:
    if writer is None:
        return stream
    # Written through, since all threads would share the wrapper's own buffer.
    return io.TextIOWrapper(writer, stream.encoding, stream.errors, write_through=True)
