"""Exact search by vectors: the vectors of a space in memory, read from the file as far as they are new.

With numpy (`agno-rt[vectors]`), 10,000 vectors of 384 dimensions take about a millisecond; without, they take a
hundred. numpy was chosen over sqlite-vec, which took five times as long at 100,000 vectors and needs a second SQLite
in the process: two SQLites on one file lose each other's locks (https://sqlite.org/howtocorrupt.html, 2.2.1).
"""

from __future__ import annotations

import heapq
import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import mul
from typing import Any, Protocol

import attrs

from agno_rt.defaults.sqlite.knowledge_filter import Where
from agno_rt.defaults.sqlite.knowledge_rows import HIT, decode_hit, wrong_dimensions
from agno_rt.knowledge.documents import Hit

__all__ = ["VectorIndex"]

_FIRST = 100
"""The nearest vectors to look up first; if too few of their chunks fit the filter, the fitting ones are compared."""


class _Rows(Protocol):
    """Vectors of length 1, by their places from 0."""

    def append(self, vectors: Sequence[bytes]) -> None:
        """Add vectors at the end."""
        ...

    def keep(self, places: Sequence[int]) -> None:
        """Keep the vectors at these ascending places, and drop the others."""
        ...

    def find_nearest(self, vector: array[float], count: int, among: Sequence[int] | None) -> list[tuple[int, float]]:
        """Return the places nearest to the vector with their cosines, nearest first; of `among`, if given."""
        ...


class _PlainRows:
    """Vectors in arrays."""

    def __init__(self) -> None:
        self._vectors: list[array[float]] = []

    def append(self, vectors: Sequence[bytes]) -> None:
        """See `_Rows`."""
        self._vectors += [array("f", vector) for vector in vectors]

    def keep(self, places: Sequence[int]) -> None:
        """See `_Rows`."""
        self._vectors = [self._vectors[place] for place in places]

    def find_nearest(self, vector: array[float], count: int, among: Sequence[int] | None) -> list[tuple[int, float]]:
        """See `_Rows`."""
        places: Iterable[int] = range(len(self._vectors)) if among is None else among
        asked = list(vector)
        scored = ((sum(map(mul, self._vectors[place], asked)), -place) for place in places)
        return [(-place, score) for score, place in heapq.nlargest(count, scored)]


class _NumpyRows:
    """Vectors in one matrix, with room to grow."""

    def __init__(self, dimensions: int, numpy: Any) -> None:
        self._numpy = numpy
        self._matrix = numpy.empty((0, dimensions), numpy.float32)
        self._count = 0

    def append(self, vectors: Sequence[bytes]) -> None:
        """See `_Rows`."""
        need = self._count + len(vectors)
        if need > len(self._matrix):
            grown = self._numpy.empty((max(need, self._count * 3 // 2), self._matrix.shape[1]), self._numpy.float32)
            grown[: self._count] = self._matrix[: self._count]
            self._matrix = grown
        new = self._numpy.frombuffer(b"".join(vectors), self._numpy.float32)
        self._matrix[self._count : need] = new.reshape(len(vectors), -1)
        self._count = need

    def keep(self, places: Sequence[int]) -> None:
        """See `_Rows`."""
        self._matrix = self._matrix[self._numpy.fromiter(places, self._numpy.intp, len(places))]
        self._count = len(places)

    def find_nearest(self, vector: array[float], count: int, among: Sequence[int] | None) -> list[tuple[int, float]]:
        """See `_Rows`."""
        matrix, asked = self._matrix[: self._count], self._numpy.frombuffer(vector, self._numpy.float32)
        places = None if among is None else self._numpy.fromiter(among, self._numpy.intp, len(among))
        # Not `@`: the threads of OpenBLAS wait by spinning, and on busy cores take thirty times as long as one thread.
        scores = self._numpy.vecdot(matrix if places is None else matrix[places], asked)
        best = self._numpy.argpartition(scores, -count)[-count:] if count < len(scores) else range(len(scores))
        ordered = sorted(best, key=lambda at: (-scores[at], at))
        return [(int(at if places is None else places[at]), float(scores[at])) for at in ordered]


@attrs.define(eq=False)
class _Space:
    """The vectors of a space as far as they were read: `seqs` and `keys` of the rows, in the order of the file."""

    id: int
    dimensions: int
    rows: _Rows
    removed: int
    seqs: list[int] = attrs.Factory(list)
    keys: list[bytes] = attrs.Factory(list)


class VectorIndex:
    """The vectors of a file's spaces, for one connection at a time."""

    def __init__(self) -> None:
        self._spaces: dict[str, _Space] = {}

    def clear(self) -> None:
        """Forget everything: another file may be in the place of the first."""
        self._spaces.clear()

    def search(
        self, connection: sqlite3.Connection, vector: array[float], space: str, where: Where, limit: int
    ) -> list[Hit]:
        """Return the chunks with the nearest vectors. Raises `UsageError` for a vector of other dimensions."""
        read = self._read(connection, space)
        if read is None:
            return []
        if len(vector) != read.dimensions:
            raise wrong_dimensions(space, read.dimensions, len(vector))
        first = max(_FIRST, limit)
        hits = self._find(connection, read, read.rows.find_nearest(vector, first, None), where, limit)
        if len(hits) < limit and len(read.seqs) > first:
            among = _find_fitting(connection, read, where)
            hits = self._find(connection, read, read.rows.find_nearest(vector, limit, among), where, limit)
        return hits

    def _read(self, connection: sqlite3.Connection, name: str) -> _Space | None:
        """Read the new vectors of the space, and drop the removed vectors."""
        found = connection.execute("SELECT id, dimensions FROM knowledge_spaces WHERE name = ?", (name,)).fetchone()
        if found is None:
            self._spaces.pop(name, None)
            return None
        (removed,) = connection.execute("SELECT removed FROM knowledge_schema").fetchone()
        space = self._spaces.get(name)
        # A space that was removed and made again may have another id, or other dimensions.
        if space is None or (space.id, space.dimensions) != tuple(found):
            space = self._spaces[name] = _Space(found[0], found[1], _make_rows(found[1]), removed)
        if removed != space.removed:
            rows = connection.execute("SELECT seq FROM knowledge_vectors WHERE space = ?", (space.id,))
            there = {row[0] for row in rows}
            places = [place for place, seq in enumerate(space.seqs) if seq in there]
            space.rows.keep(places)
            space.seqs = [space.seqs[place] for place in places]
            space.keys = [space.keys[place] for place in places]
            space.removed = removed
        last = space.seqs[-1] if space.seqs else 0
        new = connection.execute(
            "SELECT seq, key, vector FROM knowledge_vectors WHERE seq > ? AND space = ? ORDER BY seq", (last, space.id)
        ).fetchall()
        if new:
            space.rows.append([row[2] for row in new])
            space.seqs += [row[0] for row in new]
            space.keys += [row[1] for row in new]
        return space

    def _find(
        self,
        connection: sqlite3.Connection,
        space: _Space,
        nearest: Sequence[tuple[int, float]],
        where: Where,
        limit: int,
    ) -> list[Hit]:
        """Look up the chunks of the nearest vectors that fit the filter."""
        scores = {space.keys[place]: score for place, score in nearest}
        found: list[tuple[float, int, tuple[Any, ...]]] = []
        keys = list(scores)
        for at in range(0, len(keys), _FIRST):
            some = keys[at : at + _FIRST]
            rows = connection.execute(
                f"SELECT c.key, {HIT} FROM knowledge_chunks AS c JOIN knowledge_documents AS d ON d.id = c.document"
                f" WHERE c.key IN ({', '.join('?' * len(some))}) AND {where.sql}",
                (*some, *where.parameters),
            )
            found += [(-scores[key], row[0], tuple(row)) for key, *row in rows]
            if len(found) >= limit:
                break
        return [decode_hit(row, -score, "vectors") for score, _, row in sorted(found)[:limit]]


def _find_fitting(connection: sqlite3.Connection, space: _Space, where: Where) -> list[int]:
    """Return the places of the vectors with a chunk that fits the filter."""
    rows = connection.execute(
        "SELECT DISTINCT v.seq FROM knowledge_documents AS d JOIN knowledge_chunks AS c ON c.document = d.id"
        f" JOIN knowledge_vectors AS v ON v.key = c.key AND v.space = ? WHERE {where.sql}",
        (space.id, *where.parameters),
    )
    there = {row[0] for row in rows}
    return [place for place, seq in enumerate(space.seqs) if seq in there]


def _make_rows(dimensions: int) -> _Rows:
    with suppress(ImportError):
        import numpy as np

        return _NumpyRows(dimensions, np)
    return _PlainRows()
