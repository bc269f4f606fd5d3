"""The audit log: a line of JSON for each deed of a caller, in a private file.

A line has the caller's id, kind and user, never a key or a token. Workers share the file: each line is one write at
the end of the file.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from agno_rt.errors import UsageError
from agno_rt_serve import log

__all__ = ["Audit"]


class Audit:
    """Appends lines to the file. Raises `UsageError` if the file cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encode = msgspec.json.Encoder().encode
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        try:
            self._file = os.open(path, flags, 0o600)
        except OSError as exc:
            hint = "Name another file in audit_log of [plugins.serve]."
            raise UsageError(f"the audit log {path} cannot be written: {exc.strerror}", hint=hint) from exc

    def write(self, event: str, **values: object) -> None:
        """Append a line with the time, the event, and the values except `None`."""
        line = {"time": round(time.time(), 3), "event": event}
        line |= {name: value for name, value in values.items() if value is not None}
        try:
            os.write(self._file, self._encode(line) + b"\n")
        except OSError as exc:
            log.write("error", "the audit log cannot be written", path=str(self._path), error=str(exc.strerror))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
