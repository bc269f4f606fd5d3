"""Token buckets that the workers of one machine share, in a file that each maps into its memory.

The file is a table of places. A name may have any place of its row, and takes the one that was used longest ago. A
row is locked for a request's few microseconds, by a lock that the kernel releases if the worker dies.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import mmap
import os
import struct
from pathlib import Path

from agno_rt_serve.auth.rates import Limiter, Rate

__all__ = ["SharedLimiter"]

_ROWS = 2_048
_PLACES = 8
_PLACE = struct.Struct("16sdd")
"""A place: the digest of the rate and the name, the tokens, and the time of `time.monotonic` when they were counted."""
_ROW_BYTES = _PLACES * _PLACE.size
# Another worker needs microseconds. One that was stopped in between must not hold up this worker's event loop.
_TRIES = 200


class SharedLimiter(Limiter):
    """Buckets of one rate in the file, which other limiters may use for other rates and `kind`s of names.

    If the row of a name stays locked, the request is counted in this process alone.
    """

    def __init__(self, rate: Rate, path: Path, kind: str) -> None:
        super().__init__(rate)
        # The folder's name is random, so that clients cannot choose addresses that share a row.
        self._seed = f"{path}\0{kind}\0{rate.count}/{rate.seconds}\0".encode()
        self._file, self._table = _open_table(path)

    def take(self, name: str, now: float) -> float:
        """Take a token of the name. Return 0, or the seconds until the next token."""
        digest = hashlib.blake2b(self._seed + name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        row = int.from_bytes(digest[:4]) % _ROWS * _ROW_BYTES
        if not self._lock(row):
            return super().take(name, now)
        try:
            place, tokens, since = self._find(row, digest, now)
            left, wait = self.count(tokens, since, now)
            _PLACE.pack_into(self._table, place, digest, left, now)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _ROW_BYTES, row)
        return wait

    def _find(self, row: int, digest: bytes, now: float) -> tuple[int, float, float]:
        """Return the name's place in the row, its tokens, and when they were counted."""
        oldest, age = row, float("inf")
        for place in range(row, row + _ROW_BYTES, _PLACE.size):
            known, tokens, since = _PLACE.unpack_from(self._table, place)
            if known == digest:
                return place, tokens, since
            if since < age:
                oldest, age = place, since
        return oldest, self.full, now

    def _lock(self, row: int) -> bool:
        for _ in range(_TRIES):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _ROW_BYTES, row)
            except OSError as exc:
                if exc.errno not in (errno.EAGAIN, errno.EACCES):
                    return False
            else:
                return True
        return False


@functools.cache
def _open_table(path: Path) -> tuple[int, mmap.mmap]:
    """Return the file and its bytes, open until this process ends: limiters come and go with keys."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # All workers set the same size; new bytes are zeros, and a place of zeros is free.
    os.ftruncate(file, _ROWS * _ROW_BYTES)
    return file, mmap.mmap(file, _ROWS * _ROW_BYTES)
