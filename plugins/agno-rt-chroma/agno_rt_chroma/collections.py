"""The collections of a store, and requests for their records."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import attrs

from agno_rt_chroma.records import Record
from agno_rt_chroma.wire import Refused, Wire

__all__ = ["Collection", "Collections", "Found", "Space"]

AT_ONCE = 200
"""The records of one request; the server takes 5,461 at most."""

MOST_BYTES = 4_000_000
"""About the most bytes of one request with more than one record."""

MOST_IDS = 1_000
HASH = 24
_LIST = 100
_GONE = 404


@attrs.frozen
class Found:
    """A record as read: `metadata` is empty if it was not asked for."""

    id: str
    metadata: Mapping[str, Any]


class Collection:
    """The records of a collection without meaningful vectors, made at the first use."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.name = name
        self._wire = wire
        self._path = ""

    async def count(self) -> int:
        """Return the number of records."""
        return int(await self._ask("GET", "count"))

    async def get(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        having: Mapping[str, Any] | None = None,
        metadata: bool = False,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Found]:
        """Return records by ids, or by conditions on metadata (`where`) and on the document (`having`).

        `limit` and `offset` are for conditions alone.
        """
        body = {"where": where, "where_document": having, "include": ["metadatas"] if metadata else []}
        if ids is None:
            paged = _leave_out_none({**body, "limit": limit, "offset": offset})
            return _read_found(await self._ask("POST", "get", paged))
        found: list[Found] = []
        for at in range(0, len(ids), MOST_IDS):
            some = {**_leave_out_none(body), "ids": ids[at : at + MOST_IDS]}
            found += _read_found(await self._ask("POST", "get", some))
        return found

    async def put(self, records: Iterable[Record]) -> None:
        """Write records whole, in place of those with the same ids."""
        for some in _split_records(records):
            # The server wants a vector for each record. Equal ones would make its graph a long chain.
            body = {
                "ids": [each.id for each in some],
                "documents": [each.document for each in some],
                "metadatas": [each.metadata for each in some],
                "embeddings": [[random.random()] for _ in some],
            }
            await self._ask("POST", "upsert", body)

    async def mark(self, ids: Sequence[str], values: Mapping[str, str]) -> None:
        """Add values to the metadata of records. Unknown ids are ignored."""
        for at in range(0, len(ids), AT_ONCE):
            some = ids[at : at + AT_ONCE]
            await self._ask("POST", "update", {"ids": some, "metadatas": [values] * len(some)})

    async def delete(self, *, ids: Sequence[str] = (), where: Mapping[str, Any] | None = None) -> None:
        """Delete records, by ids in one step, or by a condition."""
        if ids or where is not None:
            await self._ask("POST", "delete", {"ids": list(ids)} if where is None else {"where": where})

    async def _ask(self, method: str, what: str, body: Any = None) -> Any:
        # A collection that somebody deleted meanwhile is made again, once.
        for _ in range(2):
            if not self._path:
                wanted = {"name": self.name, "get_or_create": True, "configuration": {"hnsw": {"space": "l2"}}}
                self._path = f"/collections/{(await self._wire.ask('POST', '/collections', wanted))['id']}"
            try:
                return await self._wire.ask(method, f"{self._path}/{what}", body)
            except Refused as exc:
                if exc.status != _GONE:
                    raise
                self._path, gone = "", exc
        raise gone


@attrs.frozen
class Space:
    """The collection of an embedder's vectors: its id on the server, and the vectors' length if there are any."""

    id: str
    name: str
    dimensions: int | None


class Collections:
    """All collections of a store."""

    def __init__(self, wire: Wire, prefix: str) -> None:
        self.documents = Collection(wire, f"{prefix}-documents")
        self.chunks = Collection(wire, f"{prefix}-chunks")
        self._wire = wire
        self._vectors = f"{prefix}-vectors-"
        # Another store's prefix may begin with this one's.
        self._is_own = re.compile(rf"{re.escape(self._vectors)}[0-9a-f]{{{HASH}}}").fullmatch

    async def find_space(self, name: str) -> Space | None:
        """Return the collection of the embedder's vectors; None if there is none."""
        try:
            found = await self._wire.ask("GET", f"/collections/{quote(self._name(name), safe='')}")
        except Refused as exc:
            if exc.status == _GONE:
                return None
            raise
        return Space(found["id"], name, found["dimension"])

    async def make_space(self, name: str) -> Space:
        """Return the collection of the embedder's vectors, made if there is none."""
        # A wide search of the graph: about exact for a store of ordinary size.
        graph = {"space": "cosine", "ef_construction": 200, "ef_search": 400, "max_neighbors": 32}
        body = {"name": self._name(name), "get_or_create": True, "configuration": {"hnsw": graph}}
        found = await self._wire.ask("POST", "/collections", {**body, "metadata": {"space": name}})
        return Space(found["id"], name, found["dimension"])

    async def list_spaces(self) -> list[Space]:
        """Return the collections of all embedders' vectors."""
        spaces: list[Space] = []
        at = 0
        while True:
            some = await self._wire.ask("GET", f"/collections?limit={_LIST}&offset={at}")
            spaces += [
                Space(each["id"], str((each["metadata"] or {}).get("space", "")), each["dimension"])
                for each in some
                if self._is_own(each["name"])
            ]
            if len(some) < _LIST:
                return spaces
            at += len(some)

    async def drop_space(self, name: str) -> None:
        """Delete the collection of the embedder's vectors."""
        try:
            await self._wire.ask("DELETE", f"/collections/{quote(self._name(name), safe='')}")
        except Refused as exc:
            if exc.status != _GONE:
                raise

    async def put_vectors(self, space: Space, records: Sequence[Record], vectors: Sequence[Sequence[float]]) -> None:
        """Write vectors with the conditions of their chunks."""
        for at in range(0, len(records), AT_ONCE):
            some = records[at : at + AT_ONCE]
            body = {
                "ids": [each.id for each in some],
                "documents": [each.document for each in some],
                "metadatas": [each.metadata for each in some],
                "embeddings": [list(map(float, vector)) for vector in vectors[at : at + AT_ONCE]],
            }
            await self._wire.ask("POST", f"/collections/{space.id}/upsert", body)

    async def find_nearest(
        self,
        space: Space,
        vector: Sequence[float],
        count: int,
        where: Mapping[str, Any] | None,
        having: Mapping[str, Any] | None,
    ) -> list[tuple[str, float]]:
        """Return the ids of the nearest records with their cosines, nearest first."""
        asked = {"query_embeddings": [list(map(float, vector))], "n_results": count, "include": ["distances"]}
        body = _leave_out_none({**asked, "where": where, "where_document": having})
        found = await self._wire.ask("POST", f"/collections/{space.id}/query", body)
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [(each, 1.0 - distance) for each, distance in pairs if distance is not None]

    async def list_vectors(self, space: Space) -> list[str]:
        """Return the ids of all vectors of a space."""
        found = await self._wire.ask("POST", f"/collections/{space.id}/get", {"include": []})
        return list(found["ids"])

    async def count_vectors(self, space: Space) -> int:
        """Return the number of vectors of a space."""
        return int(await self._wire.ask("GET", f"/collections/{space.id}/count"))

    async def delete_vectors(self, space: Space, where: Mapping[str, Any]) -> None:
        """Delete vectors by a condition; nothing if the collection is gone."""
        try:
            await self._wire.ask("POST", f"/collections/{space.id}/delete", {"where": where})
        except Refused as exc:
            if exc.status != _GONE:
                raise

    def _name(self, space: str) -> str:
        return f"{self._vectors}{hashlib.sha256(space.encode()).hexdigest()[:HASH]}"


def _split_records(records: Iterable[Record]) -> Iterable[list[Record]]:
    some, size = list[Record](), 0
    for record in records:
        length = len(record.document) + sum(len(value) for value in record.metadata.values() if isinstance(value, str))
        if some and (len(some) == AT_ONCE or size + length > MOST_BYTES):
            yield some
            some, size = [], 0
        some.append(record)
        size += length
    if some:
        yield some


def _read_found(answer: Mapping[str, Any]) -> list[Found]:
    ids = answer["ids"]
    return [Found(each, made or {}) for each, made in zip(ids, answer["metadatas"] or [{}] * len(ids), strict=True)]


def _leave_out_none(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
