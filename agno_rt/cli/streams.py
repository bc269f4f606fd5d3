"""Standard streams: opened if the process was started without, and closed with an error if output was lost."""

from __future__ import annotations

import errno
import io
import os
import sys

__all__ = ["UNWRITABLE", "finish", "open_missing"]

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""Errors of a file that output is redirected to. A closed pipe is handled by click."""


def open_missing() -> None:
    """Open missing standard streams on the null device. A service may be started without them."""
    _fill_descriptors()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            # A character missing from the terminal's encoding is shown as ?, and does not lose the rest of an answer.
            stream.reconfigure(errors="replace")


def _fill_descriptors() -> None:
    # Otherwise the next opened file, a database for instance, gets the number of a standard stream, and libraries and
    # child processes write their output into the database.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def finish(code: int) -> int:
    """Flush the output and return the exit code: 1 instead of 0 if the rest of the output cannot be written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        # Python flushes again at exit, and would print an error in its own words.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
        return code or 1
    return code
