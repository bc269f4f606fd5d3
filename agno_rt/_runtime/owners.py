"""Who carries out a stored run: the name of a process, and whether it lives. Asks the operating system."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from agno_rt._drive.ids import new_id

__all__ = ["new_owner", "process_of", "runtime_of", "seems_alive"]


def new_owner() -> str:
    """A name for a runtime of this process: host, process, when that began, and the runtime."""
    pid = os.getpid()
    return f"{socket.gethostname()}/{pid}/{_began(pid)}/{new_id()}"


def process_of(owner: str) -> str:
    """The part of the name that tells processes apart, on all hosts."""
    return owner.rpartition("/")[0]


def runtime_of(owner: str) -> str:
    """The part of the name that tells runtimes apart."""
    return owner.rpartition("/")[2]


def seems_alive(owner: str) -> bool:
    """Whether the process is there still. One on another host, which cannot be asked, is taken to be."""
    host, _, rest = owner.partition("/")
    pid, began, *_ = (*rest.split("/"), "", "")
    if host != socket.gethostname() or not pid.isdecimal():
        return True
    return _exists(int(pid)) and _began(int(pid)) == began


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return not _is_dead(pid)


def _is_dead(pid: int) -> bool:
    """Whether it has ended, and only its parent has not looked yet."""
    return _stat(pid)[:1] in (["Z"], ["X"])


def _began(pid: int) -> str:
    """When the process began, in the system's own count, so that a number that is used again is no mistake."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""


def _stat(pid: int) -> list[str]:
    """What Linux tells of a process, from its state on (proc(5)); nothing elsewhere."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
