"""Knowledge: documents added by text or by upload, listed, searched, removed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import trio

from agno_rt import AgnoError
from agno_rt.knowledge import Document, DocumentInfo, Filter, Hit, Unread
from agno_rt.library import Added, KnowledgeStatus, OpenKnowledge, Progress
from agno_rt_serve.api.cursors import make_source_cursor, read_source_cursor
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.forms import read_form
from agno_rt_serve.api.routing import Answer, Doc, Route, decode_body, path_value, read_body, read_query
from agno_rt_serve.api.runner import STREAM_HEADERS
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import caller_of, user_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, header, read_whole, request_id, respond

__all__ = ["KnowledgeBases"]

Value: TypeAlias = str | int | float | bool


class DocumentBody(msgspec.Struct, forbid_unknown_fields=True):
    """A text to look things up in; a document with the same source is replaced."""

    source: str
    text: str
    title: str = ""
    media_type: str = "text/plain"
    metadata: dict[str, Value] = {}


class AddBody(msgspec.Struct, forbid_unknown_fields=True):
    """Documents for everyone, or for a user."""

    documents: Annotated[list[DocumentBody], msgspec.Meta(min_length=1, max_length=1000)]
    user: str | None = None


class UploadQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The name of an uploaded file (a form has its own), and the user."""

    source: str | None = None
    user: str | None = None


class DocumentsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The documents to list; `after` is the `next` of the page before."""

    user: str | None = None
    prefix: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: str | None = None


class RemoveQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The document to remove, for everyone or of a user."""

    source: str
    user: str | None = None


class SearchBody(msgspec.Struct, forbid_unknown_fields=True):
    """A search among the documents for everyone and those of the user."""

    query: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 8
    by: Literal["both", "words", "vectors"] = "both"
    prefix: str = ""
    metadata: dict[str, Value | list[Value]] = {}
    user: str | None = None


class KnowledgeShown(msgspec.Struct):
    """A knowledge with its numbers; without numbers if it cannot be used, with the reason."""

    name: str
    status: KnowledgeStatus | None
    error: str = ""


class KnowledgeList(msgspec.Struct):
    """The knowledge of the project."""

    knowledge: list[KnowledgeShown]


class DocumentList(msgspec.Struct):
    """A page of documents by source; `next` is the `after` of the next page, null for the last one."""

    documents: list[DocumentInfo]
    next: str | None


class Failed(msgspec.Struct):
    """A document that was not added, and the reason."""

    source: str
    code: str
    message: str
    hint: str


class AddedShown(msgspec.Struct):
    """The outcome by source. A document that failed leaves its earlier version in place."""

    added: list[str]
    unchanged: list[str]
    removed: list[str]
    skipped: list[str]
    failed: list[Failed]


class Removed(msgspec.Struct):
    """The number of documents that are gone."""

    removed: int


class Hits(msgspec.Struct):
    """Passages, best first."""

    hits: list[Hit]


_LIST = Doc("list_knowledge", "List the knowledge of the project", KnowledgeList)
_DOCUMENTS = Doc("list_documents", "List documents", DocumentList, DocumentsQuery)
_ADD = Doc(
    "add_documents",
    "Add documents by text, or by uploads",
    (
        Answer(200, AddedShown),
        Answer(200, None, "With `Accept: text/event-stream`: `progress` events, then `added`.", "text/event-stream"),
    ),
    query=UploadQuery,
    body=AddBody,
    uploads=("multipart/form-data", "application/octet-stream"),
    headers={"Accept": "`text/event-stream` for the progress."},
    about="Send JSON with texts; or a form with any number of files; or one file as the body, named by `source`. "
    "Words are found at once, meanings a moment later.",
)
_REMOVE = Doc("remove_document", "Remove a document", Removed, RemoveQuery)
_SEARCH = Doc("search_knowledge", "Search passages", Hits, body=SearchBody, errors=(502,))


class KnowledgeBases:
    """The project's `[knowledge.NAME]` tables."""

    def __init__(self, site: Site, faults: Faults) -> None:
        self._site = site
        self._faults = faults

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/knowledge", self._list, doc=_LIST),
            Route("GET", "/knowledge/{name}/documents", self._list_documents, doc=_DOCUMENTS),
            Route("POST", "/knowledge/{name}/documents", self._add, doc=_ADD),
            Route("DELETE", "/knowledge/{name}/documents", self._remove, doc=_REMOVE),
            Route("POST", "/knowledge/{name}/search", self._search, doc=_SEARCH),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        names = [name for name in self._site.project.config.knowledge if caller.may("read", "knowledge", name)]
        shown = [await self._show(name, scope) for name in names]
        await respond(send, 200, JSON, msgspec.json.encode(KnowledgeList(shown)))

    async def _show(self, name: str, scope: Scope) -> KnowledgeShown:
        try:
            return KnowledgeShown(name, await self._site.runtime.knowledge(name).status())
        except AgnoError as exc:
            return KnowledgeShown(name, None, self._faults.describe(exc, request_id(scope)).message)

    async def _list_documents(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, DocumentsQuery)
        knowledge = self._open(scope, "read")
        wanted = Filter(user_of(scope, asked.user), prefix=asked.prefix)
        after = None if asked.after is None else read_source_cursor(asked.after)
        found = await knowledge.documents(wanted, after=after, limit=asked.limit + 1)
        shown = found[: asked.limit]
        is_last = len(found) == len(shown)
        cursor = None if is_last else make_source_cursor(shown[-1].source, shown[-1].user)
        await respond(send, 200, JSON, msgspec.json.encode(DocumentList(shown, cursor)))

    async def _search(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, SearchBody)
        knowledge = self._open(scope, "read")
        wanted = Filter(user_of(scope, body.user), metadata=body.metadata, prefix=body.prefix)
        hits = await knowledge.search(body.query, wanted, limit=body.limit, by=body.by)
        await respond(send, 200, JSON, msgspec.json.encode(Hits(hits)))

    async def _remove(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, RemoveQuery)
        count = await self._open(scope, "write").remove(asked.source, user=user_of(scope, asked.user))
        await respond(send, 200, JSON, msgspec.json.encode(Removed(count)))

    async def _add(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, UploadQuery)
        knowledge = self._open(scope, "write")
        items, named = await _read_items(scope, receive, asked)
        user = user_of(scope, named)
        if b"text/event-stream" in header(scope, b"accept"):
            await self._stream_progress(knowledge, items, user, scope, send)
            return
        added = await knowledge.add(*items, user=user)
        await respond(send, 200, JSON, msgspec.json.encode(_show_added(added)))

    async def _stream_progress(
        self, knowledge: OpenKnowledge, items: Sequence[Document | Unread], user: str | None, scope: Scope, send: Send
    ) -> None:
        """Send the progress of adding as events, and the outcome as the last one."""
        # Without a bound: there is one event for each of the items, which are in memory.
        note, steps = trio.open_memory_channel[Progress](math.inf)
        last: list[tuple[bytes, Any]] = []

        async def add() -> None:
            with note:
                try:
                    last.append((b"added", _show_added(await knowledge.add(*items, user=user, on_progress=tell))))
                except AgnoError as exc:
                    error = self._faults.describe(exc, request_id(scope))
                    last.append((b"failed", Failed("", error.code, error.message, error.hint)))

        def tell(progress: Progress) -> None:
            note.send_nowait(progress)

        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(add)
            async for progress in steps:
                await send({"type": "http.response.body", "body": _encode(b"progress", progress), "more_body": True})
        await send({"type": "http.response.body", "body": _encode(*last[0]), "more_body": False})

    def _open(self, scope: Scope, action: str) -> OpenKnowledge:
        name = path_value(scope, "name")
        caller_of(scope).check(action, "knowledge", name)
        return self._site.runtime.knowledge(name)


async def _read_items(
    scope: Scope, receive: Receive, asked: UploadQuery
) -> tuple[Sequence[Document | Unread], str | None]:
    """Return the documents and files of a request, and the user that it names."""
    content_type = header(scope, b"content-type").decode("latin-1")
    kind = content_type.partition(";")[0].strip().lower()
    body = await read_whole(receive)
    if kind == "application/json" and asked.source is None:
        given = decode_body(body, AddBody)
        items = [Document(one.source, one.text, **_rest_of(one)) for one in given.documents]
        return items, given.user if asked.user is None else asked.user
    if kind == "multipart/form-data":
        parts = [part for part in read_form(content_type, body) if part.filename]
        if not parts:
            raise HttpError(400, "invalid_body", "the form has no file", "Add one: curl -F file=@notes.md.")
        return [
            Unread(part.filename or "", media_type=_choose_type(part.media_type), data=part.data) for part in parts
        ], (asked.user)
    if asked.source is None:
        hint = "Send JSON, a form with files, or a file with its name: ?source=notes.md."
        raise HttpError(415, "unsupported_media_type", f"the body is {kind or 'of no declared type'!r}", hint)
    return [Unread(asked.source, media_type=_choose_type(kind), data=body)], asked.user


def _rest_of(one: DocumentBody) -> dict[str, Any]:
    return {"title": one.title, "media_type": one.media_type, "metadata": one.metadata}


def _choose_type(media_type: str) -> str:
    """Return the media type; empty for one that says nothing, so that the name decides."""
    return "" if media_type in ("application/octet-stream", "application/x-www-form-urlencoded") else media_type


def _show_added(added: Added) -> AddedShown:
    failed = [Failed(source, error.code, error.message, error.hint) for source, error in added.failed]
    return AddedShown(added.added, added.unchanged, added.removed, added.skipped, failed)


def _encode(name: bytes, value: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, msgspec.json.encode(value))
