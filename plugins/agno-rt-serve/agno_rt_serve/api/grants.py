"""The standing approvals of users: listed and revoked. A decision about an approval makes them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agno_rt.errors import NotFound
from agno_rt.run_store import Grant
from agno_rt_serve.api.routing import Doc, Route, path_value, read_query
from agno_rt_serve.api.shapes import Deleted, shape_of
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.users import UserQuery
from agno_rt_serve.auth.caller import caller_of, reach_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["Grants"]


class GrantQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class GrantList(msgspec.Struct):
    """Standing approvals."""

    grants: list[shape_of(Grant, "GrantShown")]  # type: ignore[valid-type]


class Grants:
    """Lists and revokes standing approvals."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                "GET",
                "/grants",
                self._list,
                doc=Doc("list_grants", "List standing approvals, newest first", GrantList, GrantQuery),
            ),
            Route(
                "DELETE",
                "/grants/{id}",
                self._revoke,
                doc=Doc("revoke_grant", "Revoke a standing approval", Deleted, UserQuery),
            ),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, GrantQuery)
        reach = reach_of(scope, asked.user)
        self._site.run_store()
        found = await self._site.runtime.grants(user=reach.user, unowned=reach.unowned, limit=asked.limit)
        found = [each for each in found if self._site.may(scope, "read", each.agent or "*")]
        await respond(send, 200, JSON, msgspec.json.encode({"grants": found}))

    async def _revoke(self, scope: Scope, receive: Receive, send: Send) -> None:
        grant = path_value(scope, "id")
        reach = reach_of(scope, read_query(scope, UserQuery).user)
        self._site.run_store()
        try:
            known = await self._site.runtime.grants(user=reach.user, unowned=reach.unowned, limit=1_000_000)
            found = next((each for each in known if each.id == grant), None)
            if found is None or not self._site.may(scope, "read", found.agent or "*"):
                raise NotFound("standing approval", grant, ())
            self._site.check(scope, "decide", found.agent or "*")
            await self._site.runtime.revoke(grant)
        except NotFound as exc:
            hint = "GET /grants lists standing approvals. A user's are found only if the request names the user."
            problem = f"this server does not know the standing approval {grant!r}"
            raise HttpError(404, "not_found", problem, hint) from exc
        caller_of(scope).note("grant_revoked", grant=grant, tool=found.tool, for_user=found.user)
        await respond(send, 200, JSON, msgspec.json.encode(Deleted(True)))
