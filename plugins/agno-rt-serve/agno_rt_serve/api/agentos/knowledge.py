"""The knowledge of AgentOS: configuration, health, searches, and texts and files to add.

A collection of AgentOS is a knowledge of agno-rt.toml, by name; the first knowledge is the default.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from agno_rt import AgnoError, Knowledge
from agno_rt.knowledge import Document, Hit
from agno_rt.knowledge.store import Filter
from agno_rt.library.open import OpenKnowledge
from agno_rt_serve.api.agentos.described import describe
from agno_rt_serve.api.agentos.shapes import Failure, error_shape
from agno_rt_serve.api.forms import read_form
from agno_rt_serve.api.routing import Answer, Route, decode_body, read_body, read_query
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import caller_of, user_of
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, header, respond

__all__ = ["AgentOSKnowledge", "OSAdded", "OSPassages"]

_USUAL, _MOST = 10, 100
"""The passages of a search by default, and at most."""


class OSSearch(msgspec.Struct):
    """The body of a search."""

    query: str
    limit: int = 0
    offset: int = 0
    filters: dict[str, Any] | None = None
    collection_name: str = ""


class OSPassage(msgspec.Struct):
    """A found passage; a higher `score` is better."""

    id: str
    content: str
    score: float
    distance: float
    metadata: dict[str, Any]


class OSPage(msgspec.Struct, omit_defaults=True):
    """The place of a page among the found passages."""

    total_count: int = msgspec.field(default_factory=int)
    page: int = msgspec.field(default_factory=int)
    page_size: int = msgspec.field(default_factory=int)
    total_pages: int = msgspec.field(default_factory=int)
    offset: int = msgspec.field(default_factory=int)
    has_more: bool = msgspec.field(default_factory=bool)
    next_offset: int = 0


class OSPassages(msgspec.Struct):
    """A page of passages."""

    results: list[OSPassage]
    meta: OSPage


class OSContent(msgspec.Struct):
    """A text to add. The knowledge's own chunker cuts the text: the body's chunker has no effect, as in AgentOS."""

    content: str
    metadata: dict[str, Any] | None = None
    chunker_type: str = ""
    chunk_size: int = 0
    chunk_overlap: int = 0
    collection_name: str = ""


class OSAdded(msgspec.Struct):
    """An added text; `document_ids` are the sources, by which to remove the text."""

    document_ids: list[str]
    chunk_count: int
    chunker_type: str
    collection: str
    message: str


class _TextQuery(msgspec.Struct):
    collection_name: str = ""
    chunker_type: str = ""
    chunk_size: str = ""
    chunk_overlap: str = ""


_ANY: Any = dict[str, Any]
_CONFIG = describe("get_knowledge_config", "Get the configuration of the knowledge", _ANY, errors=(500,))
_HEALTH = describe("get_knowledge_health", "Get the state of the knowledge", _ANY)
_SEARCH = describe("search_knowledge", "Search for passages", OSPassages, body=OSSearch, errors=(500, 502))
_KINDS = ("text/plain", "multipart/form-data")
_CONTENT = describe(
    "add_content", "Add a text", Answer(201, OSAdded), _TextQuery, body=OSContent, uploads=_KINDS, errors=(500, 502)
)
_UPLOAD = describe(
    "upload_content", "Add a file", Answer(201, OSAdded), _TextQuery, body=OSContent, uploads=_KINDS, errors=(500, 502)
)


class AgentOSKnowledge:
    """Answers `/api/v1/knowledge`."""

    def __init__(self, site: Site, prefix: str) -> None:
        self._site = site
        self._base = f"{prefix}/knowledge"

    def routes(self) -> list[Route]:
        """Return the routes, none for a project without a knowledge; errors have the shape of AgentOS."""
        if not self._named:
            return []
        return [
            Route("GET", f"{self._base}/config", self._get_config, error_shape, _CONFIG),
            Route("GET", f"{self._base}/health", self._get_health, error_shape, _HEALTH),
            Route("POST", f"{self._base}/search", self._search, error_shape, _SEARCH),
            Route("POST", f"{self._base}/content", self._add, error_shape, _CONTENT),
            Route("POST", f"{self._base}/upload", self._add, error_shape, _UPLOAD),
        ]

    @property
    def _named(self) -> Mapping[str, Knowledge]:
        return self._site.project.config.knowledge

    async def _get_config(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, opened = self._open(scope, "read", "")
        status, default = await opened.status(), self._named[name]
        provider, _, model = status.embedder.partition(":")
        dimensions = self._site.runtime.embedder(status.embedder).dimensions if status.embedder else 0
        chunkers = sorted({_name_chunker(each) for each in self._named.values()})
        config = {
            "available_chunkers": [{"name": each, "description": f"The chunker {each}"} for each in chunkers],
            "available_vector_dbs": sorted({_name_store(each) for each in self._named.values()}),
            "default_chunker": _name_chunker(default),
            "default_vector_db": _name_store(default),
            "embedding_model": {"provider": provider, "model": model, "dimensions": dimensions or 0},
            "features": {"search_enabled": True, "ingestion_enabled": True, "health_enabled": True},
            "limits": {"default_limit": _USUAL, "max_limit": _MOST},
            "default_collection": name,
            "allowed_collections": list(self._named),
            "allowed_source_schemes": ["http", "https"],
        }
        await respond(send, 200, JSON, msgspec.json.encode(config))

    async def _get_health(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, opened = self._open(scope, "read", "")
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        health: dict[str, Any] = {
            "status": "ok",
            "collection": name,
            "timestamp": now,
            "search": True,
            "ingestion": True,
            "health": True,
            "max_limit": _MOST,
            "default_limit": _USUAL,
        }
        try:
            health["documents"] = (await opened.status()).documents
        except AgnoError as exc:
            health |= {"status": "degraded", "error": f"the store cannot be read ({exc.code})"}
        await respond(send, 200, JSON, msgspec.json.encode(health))

    async def _search(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, OSSearch)
        if not body.query.strip():
            raise Failure(400, "INVALID_REQUEST", "invalid request", "query is empty")
        _, opened = self._open(scope, "read", body.collection_name)
        limit = min(body.limit if body.limit > 0 else _USUAL, _MOST)
        offset = max(0, body.offset)
        if offset > 100 * _MOST:
            raise Failure(400, "INVALID_REQUEST", "invalid request", f"offset is more than {100 * _MOST}")
        wanted = Filter(user_of(scope), metadata=_check_filters(body.filters))
        # A passage more than the page shows tells of a next page.
        hits = await opened.search(body.query, wanted, limit=offset + limit + 1)
        page = hits[offset : offset + limit]
        more = len(hits) > offset + limit
        total = len(hits)
        meta = OSPage(
            total, offset // limit + 1, limit, -(-total // limit), offset, more, offset + len(page) if more else 0
        )
        answer = OSPassages([_render_hit(hit) for hit in page], meta)
        await respond(send, 200, JSON, msgspec.json.encode(answer))

    async def _add(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, source = await self._read_content(scope, receive)
        if not body.content:
            raise Failure(400, "INVALID_REQUEST", "content is required")
        name, opened = self._open(scope, "write", body.collection_name)
        document = Document(source, body.content, metadata=_check_metadata(body.metadata))
        user = user_of(scope)
        before = (await opened.status()).chunks
        added = await opened.add(document, user=user)
        if added.failed:
            raise added.failed[0][1]
        count = (await opened.status()).chunks - before
        chunker = _name_chunker(self._named[name])
        message = f"successfully ingested {count} chunks"
        answer = OSAdded([source], count, chunker, name, message)
        await respond(send, 201, JSON, msgspec.json.encode(answer))

    async def _read_content(self, scope: Scope, receive: Receive) -> tuple[OSContent, str]:
        """Return the content of a body of any of three types, and the source's name."""
        full = header(scope, b"content-type").decode("latin-1")
        kind = full.partition(";")[0].strip().lower()
        body, source = await _read_whole(receive), f"agentos/{uuid.uuid4()}"
        if kind == "application/json":
            return decode_body(body, OSContent), source
        if kind == "text/plain":
            asked = read_query(scope, _TextQuery)
            return OSContent(_decode(body), collection_name=asked.collection_name), source
        if kind != "multipart/form-data":
            told = "content type must be text/plain, application/json or multipart/form-data"
            raise Failure(415, "INVALID_CONTENT_TYPE", "invalid content type", told)
        parts = {part.name: part for part in read_form(full, body)}
        fields = {name: part.data.decode("utf-8", "replace") for name, part in parts.items() if name != "file"}
        if "file" not in parts:
            raise Failure(400, "INVALID_REQUEST", "file field is required")
        metadata = None
        if fields.get("metadata"):
            try:
                metadata = msgspec.json.decode(fields["metadata"], type=dict[str, Any])
            except msgspec.MsgspecError as exc:
                raise Failure(400, "INVALID_METADATA", "metadata must be JSON", str(exc)) from exc
        name = parts["file"].filename
        made = OSContent(_decode(parts["file"].data), metadata, collection_name=fields.get("collection_name", ""))
        return made, f"{source}/{name}" if name else source

    def _open(self, scope: Scope, action: str, name: str) -> tuple[str, OpenKnowledge]:
        name = name or next(iter(self._named))
        if name not in self._named:
            raise Failure(400, "INVALID_COLLECTION", "invalid collection", f"collection {name!r} is not allowed")
        caller_of(scope).check(action, "knowledge", name)
        return name, self._site.runtime.knowledge(self._named[name])


async def _read_whole(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        told = "this route takes texts; `agno-rt knowledge add` reads other files"
        raise Failure(400, "INVALID_REQUEST", "the content is not UTF-8 text", told) from exc


def _check_metadata(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the metadata. Raises `Failure` 400 for values unfit for a search."""
    for key, value in (given or {}).items():
        if not isinstance(value, str | int | float | bool):
            told = f"{key!r} is not text, a number, true or false"
            raise Failure(400, "INVALID_METADATA", "invalid metadata", told)
    return dict(given or {})


def _check_filters(given: Mapping[str, Any] | None) -> dict[str, Any]:
    for key, value in (given or {}).items():
        if not isinstance(value, str | int | float | bool):
            told = f"the filter {key!r} is not text, a number, true or false"
            raise Failure(400, "INVALID_REQUEST", "invalid request", told)
    return dict(given or {})


def _name_chunker(knowledge: Knowledge) -> str:
    chunker = knowledge.chunker
    return chunker if isinstance(chunker, str) else chunker.name


def _name_store(knowledge: Knowledge) -> str:
    store = knowledge.store
    return store.partition(":")[0] if isinstance(store, str) else type(store).__name__


def _render_hit(hit: Hit) -> OSPassage:
    chunk = hit.chunk
    metadata = {**hit.metadata, "source": chunk.source, "chunk_index": chunk.number}
    return OSPassage(f"{chunk.source}#{chunk.number}", chunk.text, hit.score, max(0.0, 1.0 - hit.score), metadata)
