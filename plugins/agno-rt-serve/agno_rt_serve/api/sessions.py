"""The sessions: listed by page and title, shown, renamed, deleted, exported."""

from __future__ import annotations

import uuid
from typing import Annotated
from urllib.parse import quote

import attrs
import msgspec

from agno_rt.cli.transfer.sessions import session_line
from agno_rt.memory import MemoryBackend, SessionInfo
from agno_rt_serve.api.cursors import make_cursor, read_cursor
from agno_rt_serve.api.routing import Answer, Doc, Route, path_value, read_body, read_query
from agno_rt_serve.api.shapes import Deleted, SessionShown
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.users import UserQuery
from agno_rt_serve.auth.caller import caller_of, reach_of, user_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["Sessions"]


class SessionsQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None
    q: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    before: str | None = None


class SessionQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None
    last: Annotated[int, msgspec.Meta(ge=0)] | None = None


class RenameBody(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    user: str | None = None


class CreateBody(msgspec.Struct, forbid_unknown_fields=True):
    """The new session; without an id, the server chooses one."""

    id: str | None = None
    title: str = ""
    user: str | None = None


class SummaryShown(msgspec.Struct):
    """The summary of the messages that the model does not see any more; null if there is none."""

    summary: str | None


class SessionList(msgspec.Struct):
    """A page of sessions; `next` is the `before` of the next page, null for the last one."""

    sessions: list[SessionInfo]
    next: str | None


_LIST = Doc("list_sessions", "List sessions, newest first", SessionList, SessionsQuery)
_CREATE = Doc(
    "create_session",
    "Begin a session without messages",
    Answer(201, SessionInfo),
    body=CreateBody,
    errors=(409,),
    about="A run with the name of a new session begins it, too.",
)
_SUMMARY = Doc("get_summary", "Get the summary of a session's older messages", SummaryShown, UserQuery)
_GET = Doc("get_session", "Get a session with its messages", SessionShown, SessionQuery)
_EXPORT = Doc(
    "export_session",
    "Export a session as a line for `agno-rt sessions import`",
    Answer(200, None, "The session as a line of JSON.", "application/x-ndjson"),
    UserQuery,
)
_RENAME = Doc("rename_session", "Give a session a title", SessionInfo, body=RenameBody)
_DELETE = Doc("delete_session", "Delete a session", Deleted, UserQuery)


class Sessions:
    """Lists, shows, renames, deletes and exports sessions."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes. A session's name may contain slashes."""
        return [
            Route("GET", "/sessions", self._list, doc=_LIST),
            Route("POST", "/sessions", self._create, doc=_CREATE),
            Route("GET", "/sessions/{id:path}/summary", self._get_summary, doc=_SUMMARY),
            Route("GET", "/sessions/{id:path}/export", self._export, doc=_EXPORT),
            Route("GET", "/sessions/{id:path}", self._get, doc=_GET),
            Route("PATCH", "/sessions/{id:path}", self._rename, doc=_RENAME),
            Route("DELETE", "/sessions/{id:path}", self._delete, doc=_DELETE),
        ]

    @property
    def _memory(self) -> MemoryBackend:
        return self._site.runtime.memory

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, SessionsQuery)
        reach = reach_of(scope, asked.user)
        # One more than the page shows, to know whether there is a next page.
        found = await self._memory.sessions(
            user=reach.user,
            unowned=reach.unowned,
            query=asked.q.strip(),
            before=None if asked.before is None else read_cursor(asked.before),
            limit=asked.limit + 1,
        )
        shown = found[: asked.limit]
        after = make_cursor(shown[-1].updated_at, shown[-1].id) if len(found) > len(shown) else None
        await respond(send, 200, JSON, msgspec.json.encode({"sessions": shown, "next": after}))

    async def _create(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, CreateBody)
        session = uuid.uuid4().hex if body.id is None else body.id
        # Version 0 is a session that does not exist: an existing one is a conflict.
        await self._memory.append(session, [], version=0, user=user_of(scope, body.user))
        if body.title:
            await self._memory.rename(session, body.title)
        info = await self._memory.session_info(session)
        if info is None:
            raise _unknown_session(session)
        headers = [*JSON, (b"location", b"/sessions/%b" % quote(session, safe="").encode())]
        await respond(send, 201, headers, msgspec.json.encode(info))

    async def _get_summary(self, scope: Scope, receive: Receive, send: Send) -> None:
        info = await self._find(scope, read_query(scope, UserQuery).user)
        summary = await self._site.runtime.read_summary(info.id)
        await respond(send, 200, JSON, msgspec.json.encode(SummaryShown(summary)))

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, SessionQuery)
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
        info = await self._find(scope, read_query(scope, UserQuery).user)
        session = await self._memory.load(info.id)
        headers = [
            (b"content-type", b"application/x-ndjson"),
            (b"content-disposition", b"attachment; filename*=UTF-8''%b.jsonl" % quote(info.id, safe="").encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        await respond(send, 200, headers, session_line(session, info))

    async def _rename(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, RenameBody)
        info = await self._find(scope, body.user)
        await self._memory.rename(info.id, body.title)
        renamed = await self._memory.session_info(info.id)
        if renamed is None:
            raise _unknown_session(info.id)
        await respond(send, 200, JSON, msgspec.json.encode(renamed))

    async def _delete(self, scope: Scope, receive: Receive, send: Send) -> None:
        info = await self._find(scope, read_query(scope, UserQuery).user)
        if not await self._memory.delete(info.id):
            raise _unknown_session(info.id)
        caller_of(scope).note("session_deleted", session=info.id)
        await respond(send, 200, JSON, b'{"deleted":true}')

    async def _find(self, scope: Scope, user: str | None) -> SessionInfo:
        """Return the user's session, without its messages. Raises `HttpError` 404."""
        session = path_value(scope, "id")
        info = await self._memory.session_info(session)
        if info is None or not reach_of(scope, user).has(info.user):
            raise _unknown_session(session)
        return info


def _unknown_session(session: str) -> HttpError:
    hint = (
        "GET /sessions lists sessions. A user's session is found only if the request names the user. The memory "
        '`memory:` loses sessions when the server ends; `memory = "sqlite:///agents.db"` in [runtime] keeps them.'
    )
    return HttpError(404, "not_found", f"this server does not know the conversation {session!r}", hint)
