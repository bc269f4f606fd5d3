"""The access of requests to routes of other plugins: the caller's rights, as `agno_rt.access` has them."""

from __future__ import annotations

from typing import Literal

from agno_rt import AgnoError, Runnable, RunResult
from agno_rt.access import ACCESS_KEY, Access
from agno_rt.errors import Forbidden, LimitExceeded, Overloaded
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.runner import Runner, Task
from agno_rt_serve.auth.caller import admit, caller_of, payer_of, reach_of
from agno_rt_serve.errors import HttpError, is_inner
from agno_rt_serve.http.asgi import ASGIApp, Receive, Scope, Send, request_id

__all__ = ["Mounted"]


class Mounted:
    """The application of another plugin, whose requests have the caller's access in their scope."""

    def __init__(self, app: ASGIApp, runner: Runner, faults: Faults) -> None:
        self._app = app
        self._runner = runner
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        if scope["type"] in ("http", "websocket"):
            scope[ACCESS_KEY] = _ServedAccess(scope, self._runner, self._faults)
        await self._app(scope, receive, send)


class _ServedAccess(Access):
    def __init__(self, scope: Scope, runner: Runner, faults: Faults) -> None:
        caller = caller_of(scope)
        self.caller = caller.id
        self.user = caller.user
        self.can_return = caller.kind != "anonymous"
        self.is_alone = "siblings" not in scope.get("state", {})
        self._scope = scope
        self._runner = runner
        self._faults = faults

    def may(self, action: Literal["run", "read", "decide"], runnable: Runnable) -> bool:
        return caller_of(self._scope).may_run(runnable, action)

    def may_call(self, tool: str) -> bool:
        return caller_of(self._scope).may("run", "tools", tool)

    def reaches(self, owner: str | None) -> bool:
        return self.can_return and reach_of(self._scope).has(owner)

    def admit(self, runnable: Runnable, session: str | None = None) -> str | None:
        try:
            return admit(self._scope, runnable, None, session)
        except HttpError as error:
            raise _as_kernel_error(error) from error

    def admit_call(self, tool: str) -> str | None:
        caller = caller_of(self._scope)
        try:
            caller.check("run", "tools", tool)
            if caller.purse is not None:
                caller.purse.check()
        except HttpError as error:
            raise _as_kernel_error(error) from error
        caller.note("tool_called", tool=tool, request=request_id(self._scope))
        return caller.user

    def settle(self, runnable: Runnable, result: RunResult, session: str | None = None) -> None:
        payer = payer_of(self._scope)
        if payer is not None:
            payer.settle(result)
        self._runner.note_end(Task(runnable, "", session, self.user), result)

    def describe(self, error: AgnoError) -> str:
        if isinstance(error.__cause__, HttpError) or not is_inner(error):
            return error.full_text
        told = self._faults.describe(error, request_id(self._scope))
        return f"{told.message}\n{told.hint}".rstrip()


def _as_kernel_error(error: HttpError) -> AgnoError:
    if error.status == 429:
        return LimitExceeded(error.message, limit=error.code, hint=error.hint)
    if error.status == 503:
        return Overloaded(error.message, limit=error.code, hint=error.hint)
    return Forbidden(error.message, hint=error.hint)
