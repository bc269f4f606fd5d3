"""The scope of each method and path, checked before any handler, and closed to unlisted paths.

Handlers check more: the runnable of a run, the owner of a thing, the entries of a list. A path of an unlisted kind
needs the scope `routes:NAME:use`, which only explicit words grant. Paths of AgentOS are checked without the prefix.
"""

from __future__ import annotations

from collections.abc import Sequence

from agno_rt_serve.auth.caller import Caller
from agno_rt_serve.auth.scopes import RUNNABLES
from agno_rt_serve.errors import HttpError

__all__ = ["check_own", "check_path", "is_listed"]

_KEPT = 500
_READS = ("GET", "HEAD", "OPTIONS")
_SERVER = {
    "benchmarks": "benchmarks",
    "config": "config",
    "debug": "profile",
    "metrics": "metrics",
    "plugins": "plugins",
    "tasks": "tasks",
}
"""First parts of paths about the server itself, with the name in the scope `server:NAME:read`."""

_OWN = ("runs", "approvals", "grants", "responses")
"""Things of the caller's runs, governed by the run's runnable: handlers know the runnable."""

_A2A = ("a2a", ".well-known")
"""Routes of A2A: for the runnable in the path, and for the server's own card."""

_LISTED = frozenset({*RUNNABLES, *_OWN, *_SERVER, *_A2A, "sessions", "facts", "knowledge", "models", "tools", "v1"})


def is_listed(path: str) -> bool:
    """Return True if the path is listed here."""
    return path.split("/")[1] in _LISTED


def check_path(caller: Caller, method: str, path: str) -> None:
    """Raise `HttpError` 403 if the caller has no scope for the path, before the handler can say anything."""
    passed = caller.scopes.passed
    if (method, path) in passed:
        return
    _check_parts(caller, method, path)
    if len(passed) < _KEPT:
        passed.add((method, path))


def _check_parts(caller: Caller, method: str, path: str) -> None:
    parts = [part for part in path.split("/") if part]
    kind = parts[0] if parts else ""
    if kind == "v1":
        _check_v1(caller, method, parts[1:])
    elif kind in RUNNABLES:
        _check_runnable(caller, "read" if method in _READS else "run", parts[1:])
    elif kind in _A2A:
        # What a request does is in its body: the handler checks more.
        _check_runnable(caller, "read", parts[1:] if kind == "a2a" else ())
    elif kind in _OWN:
        check_own(caller)
    elif kind in ("sessions", "facts"):
        caller.check("read" if method in _READS else "write", kind)
    elif kind == "knowledge" and len(parts) == 1:
        check_own(caller)
    elif kind == "knowledge":
        reads = method in _READS or parts[-1] == "search"
        caller.check("read" if reads else "write", kind, parts[1])
    elif kind in ("models", "tools"):
        caller.check("read", kind)
    elif kind in _SERVER:
        caller.check("read", "server", _SERVER[kind])
    else:
        caller.check("use", "routes", kind or "*")


def _check_v1(caller: Caller, method: str, parts: Sequence[str]) -> None:
    what = parts[0] if parts else ""
    if what == "models" or (method == "POST" and parts[:2] in (["chat", "completions"], ["responses"])):
        return  # the handler leaves out what is not the caller's, and admits the run
    if what == "responses":
        check_own(caller)
    elif what == "embeddings":
        check_own(caller)  # the handler knows the model
    else:
        caller.check("use", "routes", "v1")


def _check_runnable(caller: Caller, action: str, parts: Sequence[str]) -> None:
    # The path does not tell an agent from a team; the handler does. The list has the caller's runnables alone.
    if parts and not any(caller.may(action, kind, parts[0]) for kind in RUNNABLES):
        caller.check(action, RUNNABLES[0], parts[0])


def check_own(caller: Caller) -> None:
    """Raise `HttpError` 403 for an anonymous caller, who has nothing to come back to."""
    if caller.kind == "anonymous":
        raise HttpError(403, "forbidden", "anonymous callers have nothing to come back to", "Sign in, or send a key.")
