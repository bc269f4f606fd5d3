"""The profile routes: some seconds of the server's time or memory, as a flame graph.

The routes exist only if a setting asks for them. py-spy looks in from outside, as a child process. memray counts in
this process, and draws in another. Requests are served meanwhile. Knows no agent.
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
"""Seconds for py-spy to end, once its client is gone."""

_FORWARDED = (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip")
"""Headers that proxies add to a request from elsewhere."""

_TYPES = {
    "profile": {"flamegraph": b"image/svg+xml", "speedscope": b"application/json", "raw": b"text/plain; charset=utf-8"},
    "memory": {"flamegraph": b"text/html; charset=utf-8", "table": b"text/html; charset=utf-8"},
}

# The pages run their own scripts on function names and paths: so they get a separate origin, and no network.
_POLICY = (
    b"sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    b"img-src data: blob:; font-src data:"
)

_TITLE = re.compile(rb'(<text id="title"[^>]*>)[^<]*')
_DENIED = re.compile(r"permission|not permitted|root|EPERM|EACCES", re.IGNORECASE)
# PR_SET_PTRACER of <linux/prctl.h>: "Yama" in ASCII.
_SET_TRACER = 0x59616D61


class _CpuQuery(msgspec.Struct, forbid_unknown_fields=True):
    seconds: Seconds = 5
    format: Literal["flamegraph", "speedscope", "raw"] = "flamegraph"
    idle: bool = False


class _MemoryQuery(msgspec.Struct, forbid_unknown_fields=True):
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
        """Return the routes."""
        return [Route("GET", "/debug/profile", self._profile_cpu), Route("GET", "/debug/memory", self._profile_memory)]

    async def _profile_cpu(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._take_turn(scope) as folder:
            asked = _read_options(scope, _CpuQuery)
            profile = await _record_cpu(asked, folder)
        await _send_profile(send, "profile", asked.format, profile)

    async def _profile_memory(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._take_turn(scope) as folder:
            asked = _read_options(scope, _MemoryQuery)
            await _record_memory(asked, folder)
            profile = await _draw_memory(asked, folder)
        await _send_profile(send, "memory", asked.format, profile)

    @contextlib.contextmanager
    def _take_turn(self, scope: Scope) -> Iterator[Path]:
        """Give a folder to make a profile in.

        Raises `HttpError` 403 or 421 for a client that may not, and 409 while another profile is being made.
        """
        if not self._remote:
            _check_local(scope)
            check_host(header(scope, b"host"), self._hosts)
        if self._busy:
            raise _already_running()
        self._busy = True
        try:
            with tempfile.TemporaryDirectory(prefix="agno-rt-profile-") as folder:
                yield Path(folder)
        finally:
            self._busy = False


def _check_local(scope: Scope) -> None:
    """Raise `HttpError` 403 for a request from another machine, or from a page of another origin."""
    client = scope.get("client")
    forwarded = any(name in _FORWARDED for name, _ in scope["headers"])
    if client is None or not is_loopback(client[0]) or forwarded:
        hint = "Ask on the machine itself, without a proxy; or allow it: profile_remote = true in [plugins.serve]."
        raise HttpError(403, "local_only", "profiles are only for clients on this machine", hint)
    if header(scope, b"sec-fetch-site") in (b"cross-site", b"same-site"):
        hint = "Open the address by itself, in a tab of its own."
        raise HttpError(403, "cross_site", "a page of another site may not make profiles", hint)


def _read_options(scope: Scope, kind: type[T]) -> T:
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    try:
        return msgspec.convert(query, kind, strict=False)
    except msgspec.ValidationError as exc:
        hint = f"It takes {', '.join(kind.__struct_fields__)}; seconds are a whole number from 1 to 60."
        raise HttpError(400, "invalid_query", f"the query does not describe a profile: {exc}", hint) from exc


async def _record_cpu(asked: _CpuQuery, folder: Path) -> bytes:
    """Let py-spy record this process without pausing it: a server must not wait for a profiler."""
    made = folder / "profile"
    command = [_find_py_spy(), "record", "--nonblocking", "--function", "--pid", str(os.getpid())]
    command += ["--duration", str(asked.seconds), "--format", asked.format, "--output", str(made)]
    with _allow_tracing():
        done = await trio.run_process(
            [*command, "--idle"] if asked.idle else command,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            deliver_cancel=_interrupt_py_spy,
        )
    profile = made.read_bytes() if not done.returncode and made.exists() else b""
    if not profile:
        raise _explain_failure(done.stdout.decode("utf-8", "replace"), failed=done.returncode != 0)
    # Otherwise the graph's title is py-spy's command line.
    return _TITLE.sub(rb"\1agno-rt serve: %d s" % asked.seconds, profile, count=1)


async def _interrupt_py_spy(process: trio.Process) -> None:
    """End py-spy as Ctrl-C does, so that py-spy leaves this process in order."""
    process.send_signal(signal.SIGINT)
    # Shielded, since this runs while the request is being cancelled.
    with trio.move_on_after(_PATIENCE, shield=True):
        await process.wait()
    process.kill()


@contextlib.contextmanager
def _allow_tracing() -> Iterator[None]:
    """Let child processes look into this one. Linux with Yama allows only the reverse."""
    if sys.platform != "linux":
        yield
        return
    import ctypes

    # Without Yama the call fails, and is not needed.
    libc = ctypes.CDLL(None)
    libc.prctl(_SET_TRACER, ctypes.c_ulong(os.getpid()), 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_SET_TRACER, ctypes.c_ulong(0), 0, 0, 0)


async def _record_memory(asked: _MemoryQuery, folder: Path) -> None:
    """Record every Python allocation for some seconds, aggregated, so that the file stays small."""
    # In a thread: the import would keep other requests waiting.
    memray = await trio.to_thread.run_sync(_import_memray)
    target = memray.FileDestination(str(folder / "recorded"))
    try:
        tracker = memray.Tracker(
            destination=target, trace_python_allocators=True, file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS
        )
        tracker.__enter__()
    except RuntimeError as exc:
        raise _already_running() from exc  # the whole server runs under memray
    try:
        await trio.sleep(asked.seconds)
    finally:
        tracker.__exit__(None, None, None)


async def _draw_memory(asked: _MemoryQuery, folder: Path) -> bytes:
    made = folder / "profile.html"
    leaks = ["--leaks"] if asked.leaks else []
    # --no-web puts the scripts inside the page, which then needs no network.
    command = [sys.executable, "-m", "memray", asked.format, "--no-web", *leaks, "--output", str(made)]
    done = await trio.run_process(
        [*command, str(folder / "recorded")], capture_stdout=True, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode or not made.exists():
        said = done.stdout.decode("utf-8", "replace").strip().splitlines() or [""]
        raise HttpError(500, "profile_failed", f"memray could not draw its record: {said[-1]}")
    return made.read_bytes()


async def _send_profile(send: Send, what: str, kind: str, profile: bytes) -> None:
    headers = [
        (b"content-type", _TYPES[what][kind]),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]
    await respond(send, 200, headers, profile)


def _find_py_spy() -> str:
    found = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
    if found is None:
        raise _missing_profiler("py-spy")
    return found


def _import_memray() -> Any:
    try:
        return importlib.import_module("memray")
    except ImportError as exc:
        raise _missing_profiler("memray") from exc


def _missing_profiler(name: str) -> HttpError:
    hint = "Install it where the server runs: pip install agno-rt-bench"
    return HttpError(501, "profiler_missing", f"{name} is not installed", hint)


def _already_running() -> HttpError:
    hint = "Send the request again in a minute: a profile takes little longer."
    return HttpError(409, "profile_running", "another profile is being made", hint)


def _explain_failure(said: str, *, failed: bool) -> HttpError:
    """Return the error for a py-spy that made no profile, from py-spy's output."""
    if "No stack counts" in said or not failed:
        hint = "Send requests meanwhile, or count waiting threads too: ?idle=true"
        return HttpError(503, "profile_empty", "the server was idle while py-spy watched", hint)
    errors = [line for line in said.splitlines() if line.lower().startswith(("error", "reason", "permission"))]
    cause = errors[0] if errors else said.strip()
    if _DENIED.search(said):
        hint = (
            "Linux: kernel.yama.ptrace_scope must be 0 or 1, and a container needs the capability SYS_PTRACE. "
            "macOS: run the server as root."
        )
        return HttpError(501, "profile_denied", f"py-spy may not look into this process: {cause}", hint)
    return HttpError(500, "profile_failed", f"py-spy failed: {cause}")
