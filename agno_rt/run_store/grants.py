"""Standing approvals: decisions of people on later calls, and the protocol of stores for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from agno_rt.errors import NotFound, UsageError

__all__ = ["MOST_GRANTS", "Grant", "GrantScope", "GrantStore", "Standing", "too_many_grants", "unknown_grant"]

MOST_GRANTS = 1_000
"""The most standing approvals of a user for one tool."""

GrantScope: TypeAlias = Literal["session", "agent", "user"]

HOUR = 3600.0


@attrs.frozen
class Standing:
    """The reach of a standing approval, for `Runtime.approve(..., standing=Standing())`.

    Attributes:
        scope: `session` for later calls by the agent in the session; `agent` for the agent in all sessions of the user;
            `user` for all agents of the user
        seconds: the time until the standing approval ends; `None` for no end
        arguments: `same` for calls with exactly the approved arguments; `any` for all calls of the tool; or a pattern:
            values by the arguments' names, in which `*` in a text stands for any text. Arguments without a pattern may
            have any value

    Raises `UsageError` for other values.
    """

    scope: GrantScope = "session"
    seconds: float | None = HOUR
    arguments: Literal["same", "any"] | Mapping[str, Any] = "same"

    def __attrs_post_init__(self) -> None:
        if self.scope not in ("session", "agent", "user"):
            raise UsageError(f"scope of Standing is {self.scope!r}", hint="Give 'session', 'agent' or 'user'.")
        seconds: Any = self.seconds
        if seconds is not None and (not isinstance(seconds, int | float) or seconds is True or not seconds > 0):
            raise UsageError(f"seconds of Standing is {seconds!r}", hint="Give seconds above 0, or None for no end.")
        if self.arguments not in ("same", "any") and not (isinstance(self.arguments, Mapping) and self.arguments):
            hint = "Give 'same', 'any', or a pattern such as {'to': '*@example.org'}."
            raise UsageError(f"arguments of Standing are {self.arguments!r}", hint=hint)


@attrs.frozen
class Grant:
    """A standing approval as stored: later calls of the tool that fit need no person.

    Attributes:
        id: the id, by which to revoke the grant
        tool: the tool's name
        definition: a digest of the tool's definition; a call of a changed tool does not fit
        user: the runs' user; runs of another user, or of none, do not fit
        agent: the agent's name; `None` for all agents
        session: the session; `None` for all sessions of the user
        arguments: the exact arguments as JSON, in a canonical form; `None` for a pattern
        pattern: the patterns by the arguments' names; empty for any arguments
        created_at: seconds since the epoch
        expires_at: the time of the end; `None` for no end
        by: the person who granted, if known
        approval: the id of the approval with which the grant began
    """

    id: str
    tool: str
    definition: str
    user: str | None = None
    agent: str | None = None
    session: str | None = None
    arguments: str | None = None
    pattern: Mapping[str, Any] = {}
    created_at: float = 0.0
    expires_at: float | None = None
    by: str | None = None
    approval: str = ""


@runtime_checkable
class GrantStore(Protocol):
    """The protocol of a `RunStore` that keeps standing approvals. Ended grants are in no list.

    The rules for the methods of a `MemoryBackend` apply here too.
    """

    async def add_grant(self, grant: Grant) -> None:
        """Store a new grant.

        Raises the errors of `check_name` for the names, and `UsageError` for a user with `MOST_GRANTS` for the tool.
        """
        ...

    async def grants(
        self, *, user: str | None = None, unowned: bool = False, tool: str | None = None, limit: int = 100
    ) -> list[Grant]:
        """List the grants of the user and the tool given, newest first; `unowned` selects the grants of nobody."""
        ...

    async def revoke_grant(self, grant: str) -> bool:
        """Forget the grant; return whether there was such a grant."""
        ...


def unknown_grant(grant: str) -> NotFound:
    """Return the error for an unknown grant; also for another user's grant."""
    return NotFound("standing approval", grant, (), hint="Look for its id in the list of standing approvals.")


def too_many_grants(grant: Grant) -> UsageError:
    """Return the error for a user with `MOST_GRANTS` grants for the tool."""
    hint = "Revoke some, or grant a pattern in place of exact arguments."
    return UsageError(f"there are {MOST_GRANTS:,} standing approvals of {grant.tool} for this user already", hint=hint)
