"""The access of a request to a plugin's route: the caller, and the caller's rights. Knows no server.

A server puts an `Access` into the scope of each request to a route of `agno_rt_register_routes`. A route asks
`access_of(scope)` before running agents and showing runs: then the keys, users and budgets of the server hold for the
route as for the server's own routes. Without an access in the scope, everything is allowed.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final, Literal

from agno_rt.errors import AgnoError
from agno_rt.result import RunResult
from agno_rt.runnable import Runnable

__all__ = ["ACCESS_KEY", "Access", "access_of"]

ACCESS_KEY: Final = "agno_rt.access"
"""The key of the access in a request's ASGI scope."""


class Access:
    """The access of a request. This class is the access of a local user with all rights; servers override the methods.

    Attributes:
        caller: the caller's id, the same in all requests of one key or token; empty for a local user
        user: the owner of the caller's new sessions and runs; None for nobody
        can_return: whether the caller can be recognised in a later request, and so may come back to a stored run
        is_alone: whether one process answers all requests; with several, state between requests belongs in the memory
    """

    caller: str = ""
    user: str | None = None
    can_return: bool = True
    is_alone: bool = True

    def may(self, action: Literal["run", "read", "decide"], runnable: Runnable) -> bool:
        """Return whether the caller may run the runnable, read the runs, or decide approvals of the runs."""
        return True

    def may_call(self, tool: str) -> bool:
        """Return whether the caller may call a tool of the name directly, without an agent."""
        return True

    def reaches(self, owner: str | None) -> bool:
        """Return whether things of the owner are within the caller's reach. Otherwise answer as for a missing thing."""
        return True

    def admit(self, runnable: Runnable, session: str | None = None) -> str | None:
        """Return the user of a run to start or resume, and count the run.

        Raises `Forbidden` without the right to run the runnable, or to have a session, and `LimitExceeded` if the
        caller's budget is used up.
        """
        return self.user

    def admit_call(self, tool: str) -> str | None:
        """Return the user of a tool's call, and count the call. Raises as `admit`."""
        return self.user

    def settle(self, runnable: Runnable, result: RunResult, session: str | None = None) -> None:
        """Tell the server of the end of a run, paused ones included. Call this once for each `admit`."""

    def describe(self, error: AgnoError) -> str:
        """Return the text of an error for the caller. Parts that are not for clients go to the server's log."""
        return error.full_text


LOCAL: Final = Access()


def access_of(scope: MutableMapping[str, Any]) -> Access:
    """Return the access of a request, given its ASGI scope."""
    found: Access = scope.get(ACCESS_KEY, LOCAL)
    return found
