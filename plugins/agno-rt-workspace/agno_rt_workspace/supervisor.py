"""A program that runs a command and leaves nothing behind: `python -I -S supervisor.py LIMITS... -- COMMAND...`.

The command writes to the supervisor's output; the supervisor's errors are the report. The supervisor's input is a line
to the workspace: when the input ends, because the workspace stops the command or was killed, everything is killed. The
supervisor adopts processes outside of the command's process group (`setsid`), and so finds them, too. Imports the
standard library alone, for a quick start.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import time

POLL = 0.01
"""Seconds between two looks at the number of processes."""
KILLING = 10.0
"""The most seconds of killing."""


def main() -> None:
    """Run the command, and report `pid N` at the start and `end CODE LEFT STOP` at the end."""
    at = sys.argv.index("--")
    processes, memory, written = map(int, sys.argv[1:at])
    _adopt_orphans()
    # Ctrl-C in the terminal is the workspace's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = os.fork()
    if child == 0:
        _become_command(sys.argv[at + 1 :], processes, memory, written)
    code, stop = _watch_command(child, processes, woken)
    left = len(_find_descendants()) if stop == "-" else 0
    _kill_all(child)
    _write_report(f"end {code} {left} {stop}")


def _write_report(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens: the workspace is gone
        os.write(2, f"{text}\n".encode())


def _adopt_orphans() -> None:
    """Become the parent of the command's orphans, as Linux offers (prctl, PR_SET_CHILD_SUBREAPER)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


def _become_command(command: list[str], processes: int, memory: int, written: int) -> None:
    try:
        os.setsid()
        # By the child, before the command begins: a command that kills its supervisor at once is found by this line.
        _write_report(f"pid {os.getpid()}")
        os.nice(5)  # the supervisor must get its turn among many processes
        # Python ignores some signals, and a program inherits ignored signals.
        for each in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(each, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(1, 2)
        _lower_limit(resource.RLIMIT_CORE, 0)
        _lower_limit(resource.RLIMIT_FSIZE, written)
        _lower_limit(resource.RLIMIT_NOFILE, 1024)
        if hasattr(resource, "RLIMIT_AS"):
            _lower_limit(resource.RLIMIT_AS, memory)
        # The limit counts every thread of the user; root has none. The supervisor counts the command's processes.
        _lower_limit(resource.RLIMIT_NPROC, _count_threads() + 4 * processes)
        os.execvp(command[0], command)
    except OSError as exc:
        os.write(1, f"{command[0]}: {exc.strerror}\n".encode())
    finally:
        os._exit(127)


def _lower_limit(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _watch_command(child: int, processes: int, woken: int) -> tuple[int, str]:
    """Wait until the shell has ended, the input has, or there are too many processes. Return the code and the limit."""
    base = _count_all()
    looked = time.monotonic()
    while True:
        # Orphans that have ended are reaped as well.
        while (found := _reap_child()) is not None:
            pid, status = found
            if pid == child:
                return os.waitstatus_to_exitcode(status), "-"
        ready = select.select([0, woken], [], [], POLL)[0]
        if woken in ready:
            os.read(woken, 1024)
        if 0 in ready:
            return -signal.SIGKILL, "asked"
        # A look at all processes takes milliseconds, and a look at their number microseconds.
        now = time.monotonic()
        if _count_all() - base > processes // 2 or now - looked > 1:
            looked = now
            # Stopped meanwhile: counting a thousand processes takes time, in which a fork bomb makes a thousand more.
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGSTOP)
            if _has_more_than(processes):
                return -signal.SIGKILL, "processes"
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGCONT)


def _reap_child() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _kill_all(child: int) -> None:
    """Kill whatever is left of the command."""
    end = time.monotonic() + KILLING
    while time.monotonic() < end:
        # The system kills a group in one step, so that no member forks meanwhile.
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        found = _find_descendants()
        for group in set(found.values()) - {os.getpgrp()}:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        while _reap_child() is not None:
            pass
        if not _find_descendants():
            return
        time.sleep(0.001)


def _has_more_than(most: int) -> bool:
    """Return whether more than `most` processes are below the supervisor. Looks at few processes, to be quick."""
    found, above = 0, [os.getpid()]
    while above:
        parent = above.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", "rb") as opened:
                    above += map(int, opened.read().split())
        except FileNotFoundError:
            if parent == os.getpid():  # a kernel without these files
                return len(_find_descendants()) > most
            continue
        except OSError:
            continue  # gone meanwhile
        found += 1
        # Without the supervisor; zombies count as well.
        if found + len(above) - 1 > most:
            return True
    return False


def _find_descendants() -> dict[int, int]:
    """Return the process groups of the living processes below the supervisor, by process. Empty without /proc."""
    children: dict[int, list[tuple[int, int, bool]]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
    for name in names:
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as opened:
                # The name of the program, in brackets, may hold anything.
                state, parent, group = opened.read().rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        children.setdefault(int(parent), []).append((int(name), int(group), state in (b"Z", b"X")))
    found: dict[int, int] = {}
    above = [os.getpid()]
    while above:
        for pid, of_group, is_dead in children.get(above.pop(), ()):
            above.append(pid)
            if not is_dead:
                found[pid] = of_group
    return found


def _count_all() -> int:
    """Return the number of threads on the machine; 0 for an unknown number."""
    try:
        with open("/proc/loadavg") as opened:
            return int(opened.read().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def _count_threads() -> int:
    """Return the number of threads of this user."""
    count = 0
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if name.isdecimal() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


if __name__ == "__main__":
    main()
