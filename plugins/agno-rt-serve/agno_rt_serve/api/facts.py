"""Facts about users: listed, searched, added, corrected, forgotten."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agno_rt.memory import Fact, FactStore
from agno_rt_serve.api.routing import Answer, Doc, Route, path_value, read_body, read_query
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.users import UserQuery
from agno_rt_serve.auth.caller import user_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["Facts"]


class FactsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The user, and words to search for."""

    user: str | None = None
    q: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class FactBody(msgspec.Struct, forbid_unknown_fields=True):
    """A fact about a user."""

    text: str
    user: str | None = None
    session: str | None = None
    topics: tuple[str, ...] = ()


class CorrectionBody(msgspec.Struct, forbid_unknown_fields=True):
    """The new text of a fact."""

    text: str
    user: str | None = None


class FactList(msgspec.Struct):
    """Facts about a user, last changed first, or best first for a search."""

    facts: list[Fact]


class Forgotten(msgspec.Struct):
    """The number of facts that are gone."""

    forgotten: int


_LIST = Doc("list_facts", "List or search the facts about a user", FactList, FactsQuery, errors=(501,))
_ADD = Doc("add_fact", "Add a fact about a user", Answer(201, Fact), body=FactBody, errors=(501,))
_CORRECT = Doc("correct_fact", "Correct a fact", Fact, body=CorrectionBody, errors=(501,))
_FORGET = Doc("forget_fact", "Forget a fact", Forgotten, UserQuery, errors=(501,))
_FORGET_ALL = Doc("forget_facts", "Forget all facts about a user", Forgotten, UserQuery, errors=(501,))


class Facts:
    """The facts of the memory. Each request is about one user."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/facts", self._list, doc=_LIST),
            Route("POST", "/facts", self._add, doc=_ADD),
            Route("DELETE", "/facts", self._forget_all, doc=_FORGET_ALL),
            Route("PATCH", "/facts/{id}", self._correct, doc=_CORRECT),
            Route("DELETE", "/facts/{id}", self._forget, doc=_FORGET),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, FactsQuery)
        found = await self._store().facts(_name_user(scope, asked.user), query=asked.q, limit=asked.limit)
        await respond(send, 200, JSON, msgspec.json.encode(FactList(found)))

    async def _add(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, FactBody)
        user = _name_user(scope, body.user)
        fact = await self._store().remember(user, body.text, session=body.session, topics=body.topics)
        await respond(send, 201, JSON, msgspec.json.encode(fact))

    async def _correct(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, CorrectionBody)
        fact = await self._store().correct(_name_user(scope, body.user), path_value(scope, "id"), body.text)
        await respond(send, 200, JSON, msgspec.json.encode(fact))

    async def _forget(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = _name_user(scope, read_query(scope, UserQuery).user)
        count = await self._store().forget(user, path_value(scope, "id"))
        await respond(send, 200, JSON, msgspec.json.encode(Forgotten(count)))

    async def _forget_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = _name_user(scope, read_query(scope, UserQuery).user)
        await respond(send, 200, JSON, msgspec.json.encode(Forgotten(await self._store().forget(user))))

    def _store(self) -> FactStore:
        memory = self._site.runtime.memory
        if isinstance(memory, FactStore):
            return memory
        hint = 'Use a memory that does: `memory = "sqlite:///agents.db"` in [runtime] of agno-rt.toml.'
        raise HttpError(501, "not_supported", "this server's memory does not keep facts", hint)


def _name_user(scope: Scope, said: str | None) -> str:
    user = user_of(scope, said)
    if user is None:
        raise HttpError(400, "user_missing", "facts belong to a user, and the request names none", "Send `user`.")
    return user
