"""Names runtimes as owners of stored runs, and asks the operating system for the owner's process."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from agno_rt._drive.ids import new_id

__all__ = ["new_owner", "process_of", "runtime_of", "seems_alive"]


def new_owner() -> str:
    """Return a name for a runtime of this process: host, process id, start of the process, and a random id."""
    pid = os.getpid()
    return f"{socket.gethostname()}/{pid}/{_read_start(pid)}/{new_id()}"


def process_of(owner: str) -> str:
    """Return the part of the name unique for each process on all hosts."""
    return owner.rpartition("/")[0]


def runtime_of(owner: str) -> str:
    """Return the part of the name unique for each runtime."""
    return owner.rpartition("/")[2]


def seems_alive(owner: str) -> bool:
    """Return whether the process still runs. A process on another host cannot be asked, and is taken to run."""
    host, _, rest = owner.partition("/")
    pid, began, *_ = (*rest.split("/"), "", "")
    if host != socket.gethostname() or not pid.isdecimal():
        return True
    return _is_running(int(pid)) and _read_start(int(pid)) == began


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # a process of another user cannot be signalled, but exists
    return not _is_dead(pid)


def _is_dead(pid: int) -> bool:
    """Return whether the process has ended, and its parent has not collected it yet (a zombie)."""
    return _read_stat(pid)[:1] in (["Z"], ["X"])


def _read_start(pid: int) -> str:
    """Return the start of the process in the system's clock ticks, to tell apart processes with the same id."""
    fields = _read_stat(pid)  # field 22 of proc(5), starttime, is the 20th from the state on
    return fields[19] if len(fields) > 19 else ""


def _read_stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on, see proc(5); empty on other systems than Linux."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    # The second field is the command in parentheses, which may contain spaces and parentheses.
    return text.rpartition(")")[2].split()
