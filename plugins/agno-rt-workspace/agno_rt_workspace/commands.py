"""Commands of a local workspace: each under a supervisor, and in namespaces of its own if bubblewrap works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import attrs
import trio

from agno_rt_workspace.base import Finished, Stop, WorkspaceError
from agno_rt_workspace.settings import WorkspaceSettings

__all__ = ["confine_command", "find_bubblewrap", "run_command"]

SUPERVISOR = Path(__file__).with_name("supervisor.py")
KILLING = 15.0
"""The most seconds to wait for a supervisor that was told to stop."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl")
_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")

_working: dict[str, bool] = {}
"""Whether each bubblewrap that was found works."""


def find_bubblewrap() -> str | None:
    """Return the path of a working bubblewrap; None without bubblewrap. The first call blocks for some milliseconds.

    Containers and hardened systems often forbid namespaces.
    """
    path = shutil.which("bwrap")
    if path is None:
        return None
    if path not in _working:
        trial = [
            path,
            *_list_namespaces(network=False),
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "true",
        ]
        try:
            done = subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None  # for now: a machine without memory or time may have both at the next call
        _working[path] = done.returncode == 0
    return path if _working[path] else None


def _list_namespaces(*, network: bool) -> list[str]:
    shared = [] if network else ["--unshare-net"]
    own = ["--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", *shared]
    return [*own, "--die-with-parent", "--new-session", "--cap-drop", "ALL"]


def confine_command(command: list[str], root: Path, settings: WorkspaceSettings, bubblewrap: str) -> list[str]:
    """Return the command within namespaces: it sees the system's programs, read-only, and the folder."""
    line = [
        bubblewrap,
        *_list_namespaces(network=settings.network),
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
    ]
    for path in (*_SYSTEM, *(_NETWORK if settings.network else ()), *settings.visible):
        if os.path.islink(path) and path in _SYSTEM:
            line += ["--symlink", os.readlink(path), path]
        else:
            line += ["--ro-bind-try", path, path]
    line += ["--ro-bind" if settings.read_only else "--bind", str(root), str(root), "--remount-ro", "/"]
    line += ["--chdir", str(root)]
    return [*line, "--", *command]


def _build_environment(root: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return variables for a command: few of the program's own, for fear of keys."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "dumb", "HOME": str(root), **kept, **extra}


async def run_command(
    command: list[str], root: Path, settings: WorkspaceSettings, timeout: float, bubblewrap: str | None
) -> Finished:
    """Run a command, and return when nothing is left. Raises `WorkspaceError` if the start fails."""
    line = command if bubblewrap is None else confine_command(command, root, settings, bubblewrap)
    limits = [str(settings.processes), str(settings.memory_bytes), str(settings.written_bytes)]
    # -I: no file of the folder is imported. -S: a start in 15 ms.
    start = [sys.executable, "-I", "-S", str(SUPERVISOR), *limits, "--", *line]
    try:
        process = await trio.lowlevel.open_process(
            start,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=root,
            env=_build_environment(root, settings.environment),
            start_new_session=True,
        )
    except OSError as exc:
        raise WorkspaceError(f"commands cannot be started: {exc.strerror}", hint="Look at the folder.") from exc
    running = _Running(process, settings, is_confined=bubblewrap is not None)
    try:
        await running.follow(timeout)
    finally:
        # Nothing is left behind, whoever cancels; the wait is bounded.
        with trio.CancelScope(shield=True):
            await running.end()
    return running.finish()


@attrs.define
class _Running:
    """A command under its supervisor."""

    process: trio.Process
    settings: WorkspaceSettings
    is_confined: bool
    stop: Stop = ""
    report: bytearray = attrs.field(factory=bytearray)
    begin: bytearray = attrs.field(factory=bytearray)
    rest: bytearray = attrs.field(factory=bytearray)
    size: int = 0

    async def follow(self, timeout: float) -> None:
        """Read the output until the supervisor has ended, or a limit is reached."""
        with trio.move_on_after(timeout) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_report, nursery.cancel_scope)
                await self._read_output()
                nursery.cancel_scope.cancel()  # `end` reads the rest of the report
        if scope.cancelled_caught:
            self.stop = "timeout"

    async def _read_report(self, scope: trio.CancelScope) -> None:
        assert self.process.stderr is not None
        async for data in self.process.stderr:
            if len(self.report) < 10_000:
                self.report += data
        # The supervisor is gone, and so is the command, and the output ends; but not after the killing of a supervisor.
        await trio.sleep(2)
        scope.cancel()

    async def _read_output(self) -> None:
        assert self.process.stdout is not None
        half = self.settings.shown_bytes // 2
        async for data in self.process.stdout:
            self.size += len(data)
            fits = max(0, half - len(self.begin))
            self.begin += data[:fits]
            self.rest += data[fits:]
            if len(self.rest) > 4 * half + 65_536:
                del self.rest[:-half]
            if self.size > self.settings.output_bytes:
                self.stop = "output"
                return

    async def end(self) -> None:
        """Stop the supervisor, and so the command; kill both without an answer."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        await process.stdin.aclose()
        with trio.move_on_after(KILLING) as scope:
            # The report ends with the supervisor.
            async for data in process.stderr:
                self.report += data
            await process.wait()
        if scope.cancelled_caught or b"\nend " not in self.report:
            for pid in (process.pid, self._find_pid()):
                if pid is not None:
                    with suppress(OSError):
                        os.killpg(pid, signal.SIGKILL)
            self.stop = self.stop or "lost"
            await process.wait()
        await process.stdout.aclose()
        await process.stderr.aclose()

    def _find_pid(self) -> int | None:
        first = bytes(self.report).split(b"\n", 1)[0].split()
        return int(first[1]) if len(first) == 2 and first[0] == b"pid" and first[1].isdigit() else None

    def finish(self) -> Finished:
        """Return the outcome."""
        half = self.settings.shown_bytes - self.settings.shown_bytes // 2
        last = self.rest[-half:]
        left_out = self.size - len(self.begin) - len(last)
        between = f"\n[... {left_out:,} bytes left out ...]\n".encode() if left_out else b""
        output = (bytes(self.begin) + between + bytes(last)).decode("utf-8", "replace")
        code, left, stop = -signal.SIGKILL, 0, self.stop
        for line in bytes(self.report).decode("ascii", "replace").splitlines():
            words = line.split()
            if len(words) == 4 and words[0] == "end":
                code, left = int(words[1]), int(words[2])
                stop = "processes" if words[3] == "processes" else stop
        # The end of a namespace ends everything in it, uncounted.
        return Finished(code, output, left_out, stop, 0 if self.is_confined else left)
