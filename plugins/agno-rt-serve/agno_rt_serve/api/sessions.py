"""The sessions: listed by page and title, shown, renamed, deleted, exported."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated
from urllib.parse import quote

import attrs
import msgspec

from agno_rt.cli.transfer import session_line
from agno_rt.memory import MemoryBackend, SessionInfo
from agno_rt_serve.api.routing import Route, path_value, read_body, read_query
from agno_rt_serve.api.site import Site
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["Sessions"]


class _ListQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None
    q: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    before: str | None = None


class _UserQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None


class _SessionQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None
    last: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _RenameBody(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    user: str | None = None


class Sessions:
    """Lists, shows, renames, deletes and exports sessions."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes. A session's name may contain slashes."""
        return [
            Route("GET", "/sessions", self._list),
            Route("GET", "/sessions/{id:path}/export", self._export),
            Route("GET", "/sessions/{id:path}", self._get),
            Route("PATCH", "/sessions/{id:path}", self._rename),
            Route("DELETE", "/sessions/{id:path}", self._delete),
        ]

    @property
    def _memory(self) -> MemoryBackend:
        return self._site.runtime.memory

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, _ListQuery)
        # One more than the page shows, to know whether there is a next page.
        found = await self._memory.sessions(
            user=asked.user,
            unowned=asked.user is None,
            query=asked.q.strip(),
            before=None if asked.before is None else _read_cursor(asked.before),
            limit=asked.limit + 1,
        )
        shown = found[: asked.limit]
        after = _make_cursor(shown[-1]) if len(found) > len(shown) else None
        await respond(send, 200, JSON, msgspec.json.encode({"sessions": shown, "next": after}))

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, _SessionQuery)
        info = await self._find(scope, asked.user)
        session = await self._memory.load(info.id, asked.last)
        shown = {
            "id": info.id,
            "title": info.title,
            "agent": info.agent,
            "user": info.user,
            "total": session.total,
            "created_at": info.created_at,
            "updated_at": info.updated_at,
            # What a provider's plugin keeps for itself is not for clients.
            "messages": [attrs.evolve(each, native=None) if each.native else each for each in session.messages],
        }
        await respond(send, 200, JSON, msgspec.json.encode(shown))

    async def _export(self, scope: Scope, receive: Receive, send: Send) -> None:
        info = await self._find(scope, read_query(scope, _UserQuery).user)
        session = await self._memory.load(info.id)
        headers = [
            (b"content-type", b"application/x-ndjson"),
            (b"content-disposition", b"attachment; filename*=UTF-8''%b.jsonl" % quote(info.id, safe="").encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        await respond(send, 200, headers, session_line(session, info))

    async def _rename(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, _RenameBody)
        info = await self._find(scope, body.user)
        await self._memory.rename(info.id, body.title)
        renamed = await self._memory.session_info(info.id)
        if renamed is None:
            raise _unknown_session(info.id)
        await respond(send, 200, JSON, msgspec.json.encode(renamed))

    async def _delete(self, scope: Scope, receive: Receive, send: Send) -> None:
        info = await self._find(scope, read_query(scope, _UserQuery).user)
        if not await self._memory.delete(info.id):
            raise _unknown_session(info.id)
        await respond(send, 200, JSON, b'{"deleted":true}')

    async def _find(self, scope: Scope, user: str | None) -> SessionInfo:
        """Return the user's session, without its messages. Raises `HttpError` 404."""
        session = path_value(scope, "id")
        info = await self._memory.session_info(session)
        if info is None or info.user != user:
            raise _unknown_session(session)
        return info


def _unknown_session(session: str) -> HttpError:
    hint = (
        "GET /sessions lists sessions. A user's session is found only if the request names the user. The memory "
        '`memory:` loses sessions when the server ends; `memory = "sqlite:///agents.db"` in [runtime] keeps them.'
    )
    return HttpError(404, "not_found", f"this server does not know the conversation {session!r}", hint)


def _make_cursor(info: SessionInfo) -> str:
    """Return the session's place in the list, as text for a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode((info.updated_at, info.id))).decode().rstrip("=")


def _read_cursor(text: str) -> tuple[float, str]:
    try:
        place: tuple[float, str] = msgspec.json.decode(
            base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=tuple[float, str]
        )
    except (binascii.Error, ValueError, msgspec.MsgspecError) as exc:
        hint = "Send the `next` of the page before."
        raise HttpError(400, "invalid_query", "'before' is not a place in the list of sessions", hint) from exc
    return place
