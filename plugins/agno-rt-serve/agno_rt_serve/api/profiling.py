"""The profile routes: for some seconds, where the server's time goes or what memory it takes, as a flame graph.

Nothing here is there unless a setting says so. py-spy looks in from outside, as a process that this one starts; memray
counts in this process, and draws in another. Requests are served meanwhile. Knows no agent.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import msgspec
import trio

from agno_rt_serve.api.routing import Route
from agno_rt_serve.errors import HttpError
from agno_rt_serve.guard import allowed_hosts, check_host, is_loopback
from agno_rt_serve.http.asgi import Receive, Scope, Send, header, respond
from agno_rt_serve.settings import Settings

__all__ = ["Profiles"]

Seconds: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=60)]
T = TypeVar("T", bound=msgspec.Struct)

_PATIENCE = 2.0
"""Seconds that py-spy gets to end in, once its client is gone."""

_FORWARDED = (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip")
"""What proxies add to a request of somebody else's."""

_TYPES = {
    "profile": {"flamegraph": b"image/svg+xml", "speedscope": b"application/json", "raw": b"text/plain; charset=utf-8"},
    "memory": {"flamegraph": b"text/html; charset=utf-8", "table": b"text/html; charset=utf-8"},
}

# The pages run scripts of their own, on function names and paths: in an origin of their own, and without a network.
_POLICY = (
    b"sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    b"img-src data: blob:; font-src data:"
)

_TITLE = re.compile(rb'(<text id="title"[^>]*>)[^<]*')
_DENIED = re.compile(r"permission|not permitted|root|EPERM|EACCES", re.IGNORECASE)
_SET_TRACER = 0x59616D61


class _Cpu(msgspec.Struct, forbid_unknown_fields=True):
    seconds: Seconds = 5
    format: Literal["flamegraph", "speedscope", "raw"] = "flamegraph"
    idle: bool = False


class _Memory(msgspec.Struct, forbid_unknown_fields=True):
    seconds: Seconds = 5
    format: Literal["flamegraph", "table"] = "flamegraph"
    leaks: bool = False


class Profiles:
    """Makes profiles of this process, one at a time, for clients on this machine unless `profile_remote` is set."""

    def __init__(self, settings: Settings) -> None:
        self._remote = settings.profile_remote
        self._hosts = allowed_hosts("127.0.0.1", settings.allowed_hosts)
        self._busy = False

    def routes(self) -> list[Route]:
        """Return what is answered."""
        return [Route("GET", "/debug/profile", self._cpu), Route("GET", "/debug/memory", self._memory)]

    async def _cpu(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._turn(scope) as folder:
            asked = _asked(scope, _Cpu)
            profile = await _watched(asked, folder)
        await _send(send, "profile", asked.format, profile)

    async def _memory(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._turn(scope) as folder:
            asked = _asked(scope, _Memory)
            await _counted(asked, folder)
            profile = await _drawn(asked, folder)
        await _send(send, "memory", asked.format, profile)

    @contextlib.contextmanager
    def _turn(self, scope: Scope) -> Iterator[Path]:
        """A folder to make a profile in. Raises `HttpError` 403 or 421 for who may not, 409 where one is being made."""
        if not self._remote:
            _check_local(scope)
            check_host(header(scope, b"host"), self._hosts)
        if self._busy:
            raise _running()
        self._busy = True
        try:
            with tempfile.TemporaryDirectory(prefix="agno-rt-profile-") as folder:
                yield Path(folder)
        finally:
            self._busy = False


def _check_local(scope: Scope) -> None:
    """Raises `HttpError` 403 where a request is not from this machine, or was made by a page of another origin."""
    client = scope.get("client")
    forwarded = any(name in _FORWARDED for name, _ in scope["headers"])
    if client is None or not is_loopback(client[0]) or forwarded:
        hint = "Ask on the machine itself, without a proxy; or allow it: profile_remote = true in [plugins.serve]."
        raise HttpError(403, "local_only", "profiles are for clients on this machine alone", hint)
    if header(scope, b"sec-fetch-site") in (b"cross-site", b"same-site"):
        hint = "Open the address by itself, in a tab of its own."
        raise HttpError(403, "cross_site", "a page of another site may not make profiles", hint)


def _asked(scope: Scope, kind: type[T]) -> T:
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    try:
        return msgspec.convert(query, kind, strict=False)
    except msgspec.ValidationError as exc:
        hint = f"It takes {', '.join(kind.__struct_fields__)}; seconds are a whole number from 1 to 60."
        raise HttpError(400, "invalid_query", f"the query is no profile: {exc}", hint) from exc


async def _watched(asked: _Cpu, folder: Path) -> bytes:
    """What py-spy sees of this process. It never stops it: a server must not wait for its profiler."""
    made = folder / "profile"
    command = [_py_spy(), "record", "--nonblocking", "--function", "--pid", str(os.getpid())]
    command += ["--duration", str(asked.seconds), "--format", asked.format, "--output", str(made)]
    with _traceable():
        done = await trio.run_process(
            [*command, "--idle"] if asked.idle else command,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            deliver_cancel=_interrupt,
        )
    profile = made.read_bytes() if not done.returncode and made.exists() else b""
    if not profile:
        raise _unseen(done.stdout.decode("utf-8", "replace"), failed=done.returncode != 0)
    # A graph's title would be py-spy's command line.
    return _TITLE.sub(rb"\1agno-rt serve: %d s" % asked.seconds, profile, count=1)


async def _interrupt(process: trio.Process) -> None:
    """End py-spy as Ctrl-C does: it then leaves the process that it looks into as it should be."""
    process.send_signal(signal.SIGINT)
    with trio.move_on_after(_PATIENCE, shield=True):
        await process.wait()
    process.kill()


@contextlib.contextmanager
def _traceable() -> Iterator[None]:
    """Let processes that this one starts look into it, where Linux would let only its parents (Yama)."""
    if sys.platform != "linux":
        yield
        return
    import ctypes

    # Where there is no Yama, this fails, and is not needed.
    libc = ctypes.CDLL(None)
    libc.prctl(_SET_TRACER, ctypes.c_ulong(os.getpid()), 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_SET_TRACER, ctypes.c_ulong(0), 0, 0, 0)


async def _counted(asked: _Memory, folder: Path) -> None:
    """Count what is allocated, each object of Python, for so long; into one file that is as small as it can be."""
    memray = await trio.to_thread.run_sync(_memray)
    target = memray.FileDestination(str(folder / "recorded"))
    try:
        tracker = memray.Tracker(
            destination=target, trace_python_allocators=True, file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS
        )
        tracker.__enter__()
    except RuntimeError as exc:
        raise _running() from exc  # the whole server runs under memray
    try:
        await trio.sleep(asked.seconds)
    finally:
        tracker.__exit__(None, None, None)


async def _drawn(asked: _Memory, folder: Path) -> bytes:
    made = folder / "profile.html"
    leaks = ["--leaks"] if asked.leaks else []
    # With its scripts inside: the page then needs no network.
    command = [sys.executable, "-m", "memray", asked.format, "--no-web", *leaks, "--output", str(made)]
    done = await trio.run_process(
        [*command, str(folder / "recorded")], capture_stdout=True, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode or not made.exists():
        said = done.stdout.decode("utf-8", "replace").strip().splitlines() or [""]
        raise HttpError(500, "profile_failed", f"memray could not draw what it counted: {said[-1]}")
    return made.read_bytes()


async def _send(send: Send, what: str, kind: str, profile: bytes) -> None:
    headers = [
        (b"content-type", _TYPES[what][kind]),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]
    await respond(send, 200, headers, profile)


def _py_spy() -> str:
    found = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
    if found is None:
        raise _missing("py-spy")
    return found


def _memray() -> Any:
    try:
        return importlib.import_module("memray")
    except ImportError as exc:
        raise _missing("memray") from exc


def _missing(name: str) -> HttpError:
    hint = "Install it where the server runs: pip install agno-rt-bench"
    return HttpError(501, "profiler_missing", f"{name} is not installed", hint)


def _running() -> HttpError:
    hint = "Send it again when that one is over; none takes much longer than a minute."
    return HttpError(409, "profile_running", "a profile is being made already", hint)


def _unseen(said: str, *, failed: bool) -> HttpError:
    """Why py-spy made nothing, of what it said."""
    if "No stack counts" in said or not failed:
        hint = "Send it requests meanwhile, or have waiting threads counted too: ?idle=true"
        return HttpError(503, "profile_empty", "the server did nothing while it was looked at", hint)
    errors = [line for line in said.splitlines() if line.lower().startswith(("error", "reason", "permission"))]
    cause = errors[0] if errors else said.strip()
    if _DENIED.search(said):
        hint = (
            "Linux: a process must be allowed to trace one of the same user; in a container that takes the capability "
            "SYS_PTRACE, and kernel.yama.ptrace_scope may be 1 at most. macOS: it takes root."
        )
        return HttpError(501, "profile_denied", f"py-spy may not look into this process: {cause}", hint)
    return HttpError(500, "profile_failed", f"py-spy failed: {cause}")
