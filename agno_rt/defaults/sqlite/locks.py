"""Locks of sessions among the processes that share an SQLite file: byte ranges of a file beside it, `agents.db-lock`.

A range is locked by Linux's open file description locks (fcntl(2)): a lock costs one system call and no wait for the
disk, and the kernel releases the locks of a process that dies. Other systems lock nothing.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

__all__ = ["SessionFileLocks"]

FIRST_POLL_SECONDS = 0.0005
MOST_POLL_SECONDS = 0.05
"""How long to sleep between two tries. Waiting in the kernel would need a thread that nothing could interrupt.
Each sleep is half as long again as the one before."""

_HELD = (errno.EAGAIN, errno.EACCES)
_IS_SUPPORTED = sys.platform == "linux" and sys.maxsize > 2**32
if _IS_SUPPORTED:
    import fcntl


class SessionFileLocks:
    """The locks of one `SQLiteMemory`. The file is created at the first lock, as private as the database.

    A session has two bytes. The first is the lock; the next caller in line holds the second, so that a process with a
    long line of its own cannot overtake the callers of others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        # The locks of this object. The kernel does not stop its callers from each other: they share a file description.
        self._held: set[int] = set()
        self._file: int | None = None

    async def lock(self, session: str, *, wait: bool) -> bool:
        """Take the session's lock. Return False if locks do not work here, or the lock is taken and `wait` is False."""
        if not _IS_SUPPORTED:
            return False
        lock = _find_bytes(session)
        following = lock + 1
        try:
            if not wait:
                return self._try_pass(lock)
            await self._take(following)
            try:
                await self._take(lock)
            finally:
                self._give_back(following)
        except OSError:
            return False  # a folder that cannot be written to, or a file system without locks
        return True

    def unlock(self, session: str) -> None:
        """Release the session's lock."""
        self._give_back(_find_bytes(session))

    def close(self) -> None:
        """Release all locks, and close the file."""
        with self._guard:
            file, self._file = self._file, None
            self._held.clear()
        if file is not None:
            os.close(file)

    def _try_pass(self, lock: int) -> bool:
        """Take the lock, unless it is taken or somebody is in line."""
        if not self._try_take(lock + 1):
            return False
        try:
            return self._try_take(lock)
        finally:
            self._give_back(lock + 1)

    async def _take(self, byte: int) -> None:
        seconds = FIRST_POLL_SECONDS
        while not self._try_take(byte):
            await trio.sleep(seconds)
            seconds = min(1.5 * seconds, MOST_POLL_SECONDS)

    @trio.lowlevel.enable_ki_protection
    def _try_take(self, byte: int) -> bool:
        with self._guard:
            if byte in self._held:
                return False
            try:
                self._set(byte, fcntl.F_WRLCK)
            except OSError as exc:
                if exc.errno in _HELD:
                    return False
                raise
            self._held.add(byte)
            return True

    @trio.lowlevel.enable_ki_protection
    def _give_back(self, byte: int) -> None:
        with self._guard:
            # `close` has released all locks already.
            if byte in self._held:
                self._held.discard(byte)
                with suppress(OSError):
                    self._set(byte, fcntl.F_UNLCK)

    def _set(self, byte: int, kind: int) -> None:
        if self._file is None:
            self._file = _open_lock_file(self._path)
        _set_lock(self._file, kind, byte)


_LAYOUT = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length, process."""


def _set_lock(file: int, kind: int, byte: int) -> None:
    """Lock or unlock a byte as `fcntl.fcntl` does, but without releasing the interpreter's lock.

    The call takes a microsecond. `fcntl.fcntl` would let the threads of SQLite take over meanwhile, and get its turn
    back late: a hundred concurrent runs took twice as long.
    """
    if _c_fcntl()(file, fcntl.F_OFD_SETLK, _LAYOUT.pack(kind, os.SEEK_SET, byte, 1, 0)) < 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@functools.cache
def _c_fcntl() -> Callable[..., int]:
    import ctypes  # here, because the import takes two milliseconds that few programs need

    function: Callable[..., int] = ctypes.PyDLL(None, use_errno=True).fcntl
    return function


def _find_bytes(session: str) -> int:
    """Return the offset of the session's first byte, hashed into 2**63 bytes: too many for a collision by chance."""
    digest = hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) >> 2 << 1  # even, and below the largest offset, 2**63 - 1


def _open_lock_file(path: Path) -> int:
    """Open the lock file, with the rights of the database: whoever may write there may lock sessions."""
    database = os.path.realpath(path)
    try:
        status = os.stat(database)
        mode, owner = status.st_mode & 0o666, (status.st_uid, status.st_gid)
    except FileNotFoundError:
        mode, owner = 0o600, None
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        file = os.open(f"{database}-lock", flags | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(f"{database}-lock", flags, 0o600)
    with suppress(OSError):
        os.fchmod(file, mode)
        if owner is not None:
            os.fchown(file, *owner)
    return file
