"""The standard streams of a process that may have been started without some, or whose output cannot be written."""

from __future__ import annotations

import errno
import io
import os
import sys

__all__ = ["UNWRITABLE", "finish", "open_missing"]

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""What goes wrong with a file that output is sent to. A reader that has gone is click's to deal with."""


def open_missing() -> None:
    """Let standard streams that are closed, as those of services may be, read nothing and write nowhere."""
    _fill_descriptors()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            # A character that the terminal's encoding lacks is shown as ?, and loses nobody the rest of an answer.
            stream.reconfigure(errors="replace")


def _fill_descriptors() -> None:
    # Else the next file that is opened, a database say, has the number of a standard stream, and what libraries and
    # child processes write there goes into it.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def finish(code: int) -> int:
    """The exit code of a process with that one, which failed if it could not write the rest of its output."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        # Python tries again when it ends, and would complain in its own words.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
        return code or 1
    return code
