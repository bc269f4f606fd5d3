"""The list of revoked tokens: their ids (`jti`, RFC 7519), one on a line of a file. Knows no token and no request."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from agno_rt.errors import ConfigError
from agno_rt_serve import log

__all__ = ["RevokedTokens"]

_LOOK = 1.0
"""Seconds until a token whose id was added is refused. Looking at the file more often would cost each request."""
_MOST_BYTES = 67_108_864


class RevokedTokens:
    """The ids in the file, read again when the file changes. Raises `ConfigError` for a file that cannot be read.

    A file that cannot be read later leaves the ids in force, and the log says so: losing the list would let revoked
    tokens in.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked = -math.inf
        self._marks: tuple[int, ...] = ()
        self._ids: frozenset[str] = frozenset()
        self._is_lost = False
        try:
            self._read()
        except (OSError, ValueError) as exc:
            hint = "Make the file, perhaps empty; write the jti of a revoked token on a line of its own."
            raise ConfigError(f"the revoked tokens in {path} cannot be read: {exc}", hint=hint) from exc

    def has(self, token: str) -> bool:
        """Return whether the token with this id is revoked."""
        now = self._clock()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._look()
        return token in self._ids

    def _look(self) -> None:
        try:
            self._read()
        except (OSError, ValueError) as exc:
            if not self._is_lost:
                log.write("error", "revoked tokens cannot be read", file=str(self._path), error=str(exc))
            self._is_lost = True
        else:
            self._is_lost = False

    def _read(self) -> None:
        found = self._path.stat()
        marks = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        if marks == self._marks:
            return
        if found.st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        lines = (line.strip() for line in self._path.read_text(encoding="utf-8").splitlines())
        self._ids = frozenset(line for line in lines if line and not line.startswith("#"))
        self._marks = marks
