"""The caller of a request, as one value. Handlers read the caller and the user of a request here.

The application puts the caller into the request's scope before any handler sees the request. A handler asks

- `caller_of(scope).check("read", "sessions")` for an action with a scope,
- `admit(scope, runnable, said, session)` before starting or resuming a run: the run's user,
- `user_of(scope, said)` for the owner of a new thing,
- `reach_of(scope, said)` for things to list, show or change,

where `said` is the `user` of the query or the body. No function believes `said` if the caller has a user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs

from agno_rt import Runnable, RunResult
from agno_rt_serve.auth.audit import Audit
from agno_rt_serve.auth.purse import Purse
from agno_rt_serve.auth.scopes import ALL, Scopes
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Scope, request_id

__all__ = [
    "LOCAL",
    "NOBODY",
    "SHARED",
    "Caller",
    "Reach",
    "address_of",
    "admit",
    "caller_of",
    "note_refusal",
    "payer_of",
    "reach_of",
    "scope_kind",
    "set_caller",
    "user_of",
]

Kind = Literal["anonymous", "key", "jwt", "local"]


_REFUSALS = (401, 403, 421, 429)
_PLURALS = {"team": "teams", "workflow": "workflows"}


@attrs.frozen
class Caller:
    """The caller of a request. `user` is the caller's own user; `None` for a caller who speaks for any named user.

    `token` is the id of a caller's token. `renew` raises `HttpError` for a caller whose rights have ended on a long
    connection, or who asks too often there.
    """

    id: str
    kind: Kind
    user: str | None
    scopes: Scopes
    purse: Purse | None = attrs.field(default=None, eq=False, repr=False)
    audit: Audit | None = attrs.field(default=None, eq=False, repr=False)
    expires: float | None = attrs.field(default=None, eq=False)
    renew: Callable[[Caller, Scope], None] | None = attrs.field(default=None, eq=False, repr=False)
    token: str = attrs.field(default="", eq=False, repr=False)

    def may(self, action: str, kind: str, name: str = "*") -> bool:
        """Return True if the caller may do the action; `kind` is of `scopes.KINDS`, the name `*` means any thing."""
        return self.scopes.allow(action, kind, name)

    def check(self, action: str, kind: str, name: str = "*") -> None:
        """Raise `HttpError` 403, with the name of the missing scope."""
        if not self.scopes.allow(action, kind, name):
            hint = (
                f"It needs the scope {kind}:{name}:{action}: `agno-rt serve keys add --scope`, or a claim of the token."
            )
            raise HttpError(403, "scope_missing", "this key does not allow that", hint)

    def settle(self, result: RunResult) -> None:
        """Count the cost of an ended run of the caller, with any status, and note the end."""
        if self.purse is not None and result.usage.cost:
            self.purse.add(result.usage.cost)
        if self.audit is not None:
            self.note("run_ended", run=result.run_id, status=result.status, cost=result.usage.cost)

    def note(self, event: str, **values: object) -> None:
        """Write a deed of the caller into the audit log, if any."""
        if self.audit is not None:
            self.audit.write(event, caller=self.id, kind=self.kind, user=self.user, **values)

    def may_run(self, runnable: Runnable, action: str = "run") -> bool:
        """Return True if the caller may run the runnable, or `read` or `decide` the runnable's runs."""
        return self.scopes.allow(action, scope_kind(runnable), runnable.name)


LOCAL = Caller("local", "local", None, ALL)
"""The caller of a server without keys: anybody within reach."""

NOBODY = Caller("nobody", "anonymous", None, Scopes(frozenset()))
"""The caller of an open path, on a server with keys."""

SHARED = Caller("key", "key", None, ALL)
"""The caller with the server's key for all clients: an application with users of its own."""


@attrs.frozen
class Reach:
    """The owners of the things within reach of a request: `user`, nobody (without a user), or everyone."""

    user: str | None
    everyone: bool = False

    @property
    def unowned(self) -> bool:
        """True if only things without an owner are within reach, an argument of the memory's lists."""
        return self.user is None and not self.everyone

    def has(self, owner: str | None) -> bool:
        """Return True if a thing of the owner is within reach. Answer 404 otherwise, as for a missing thing."""
        return self.everyone or owner == self.user


def scope_kind(runnable: Runnable) -> str:
    """Return the kind of the runnable in scopes. Kinds of other plugins count as agents."""
    return _PLURALS.get(runnable.kind, "agents")


def caller_of(scope: Scope) -> Caller:
    """Return the caller of the request."""
    found: Caller = scope["state"]["caller"]
    return found


def set_caller(scope: Scope, caller: Caller) -> None:
    """Make the caller the caller of the request."""
    scope.setdefault("state", {})["caller"] = caller


def payer_of(scope: Scope) -> Caller | None:
    """Return the caller if a run of the request has to be settled, else `None`."""
    caller: Caller = scope["state"]["caller"]
    return None if caller.purse is None and caller.audit is None else caller


def address_of(scope: Scope) -> str:
    """Return the address of the client; `unix` for a client of a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else "unix"


def note_refusal(scope: Scope, error: HttpError) -> None:
    """Write a refused request into the audit log, if there is one."""
    caller: Caller | None = scope.get("state", {}).get("caller")
    if caller is not None and caller.audit is not None and error.status in _REFUSALS:
        about = {"method": scope.get("method"), "path": scope["path"], "request": request_id(scope)}
        caller.note("refused", code=error.code, address=address_of(scope), **about)


def user_of(scope: Scope, said: str | None = None) -> str | None:
    """Return the user of the request, the owner of new things; `None` for nobody.

    Raises `HttpError` 403 if `said` is another user, and the caller may not name others.
    """
    caller: Caller = scope["state"]["caller"]
    if said is None or said == caller.user:
        return caller.user
    if not caller.scopes.for_users:
        hint = "Leave `user` out. A key with the scope `users` may name any user."
        raise HttpError(403, "other_user", "this key may not act for another user", hint)
    return said


def reach_of(scope: Scope, said: str | None = None) -> Reach:
    """Return the owners of the things within reach of the request. Raises `HttpError` 403 as `user_of` does."""
    user = user_of(scope, said)
    return Reach(None, everyone=True) if said is None and caller_of(scope).scopes.sees_all else Reach(user)


def admit(scope: Scope, runnable: Runnable, said: str | None = None, session: str | None = None) -> str | None:
    """Return the user of a run to start or to resume.

    Raises `HttpError` 403 without the scope for the runnable, and for another user; 429 if the caller's means are used
    up.
    """
    caller: Caller = scope["state"]["caller"]
    if scope["type"] == "websocket" and caller.renew is not None:
        _renew(caller, caller.renew, scope)
    # Most servers have callers with every right: the plain path skips what would cost each run a call.
    if not caller.scopes.is_all and not caller.may_run(runnable):
        caller.check("run", scope_kind(runnable), runnable.name)
    if session is not None and caller.kind == "anonymous":
        hint = "Leave `session` out, or sign in: a session needs an owner."
        raise HttpError(403, "forbidden", "anonymous callers have no sessions", hint)
    user = caller.user if said is None else user_of(scope, said)
    if caller.purse is not None:
        caller.purse.check()
    if caller.audit is not None:
        caller.note("run_admitted", runnable=runnable.name, for_user=user, session=session, request=request_id(scope))
    return user


def _renew(caller: Caller, renew: Callable[[Caller, Scope], None], scope: Scope) -> None:
    # The first admission is the handshake's, which was counted as a request; after that each run counts.
    if scope["state"].get("admitted"):
        renew(caller, scope)
    scope["state"]["admitted"] = True
