"""The protocol of knowledge stores: documents by source and user, searched by words and by vectors. Knows no trio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs

from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Chunk, Document, DocumentInfo, Hit, Metadata, Value
from agno_rt.names import check_name

__all__ = ["EVERYTHING", "Filter", "KnowledgeStatistics", "KnowledgeStore", "PendingText", "list_values"]

Wanted = Value | Sequence[Value]


def _check_user(value: object, field: Any, user: str | None) -> None:
    if user is not None:
        check_name("the user of a search", user)


@attrs.frozen
class Filter:
    """The documents that a search or a list considers. Raises `UsageError` for a user's name that cannot be one.

    Attributes:
        user: the user who asks. They see the documents for everyone, and their own; without a user, only the former
        shared: false to leave out the documents for everyone
        all_users: true to consider the documents of every user: for operators, never for a model
        metadata: the values to require of a document's metadata; of a sequence, any value fits. A document
            without the key does not fit. Text, numbers and truth values are different: 1 fits neither "1" nor True
        prefix: the beginning of the sources to consider, such as `docs/`, compared character by character
    """

    user: str | None = attrs.field(default=None, validator=_check_user)
    shared: bool = attrs.field(default=True, kw_only=True)
    all_users: bool = attrs.field(default=False, kw_only=True)
    metadata: Mapping[str, Wanted] = attrs.field(factory=dict, kw_only=True)
    prefix: str = attrs.field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        for key, wanted in self.metadata.items():
            check_name("a key of metadata", key)
            for value in list_values(wanted):
                if not isinstance(value, str | int | float | bool):
                    hint = "Give text, a number, True or False, or a list of them."
                    raise UsageError(f"a filter's metadata {key!r} is {value!r}", hint=hint)

    def sees(self, user: str | None) -> bool:
        """Return whether the filter considers documents of the user; None stands for documents for everyone."""
        return self.all_users or (self.shared if user is None else user == self.user)

    def fits(self, source: str, user: str | None, metadata: Metadata) -> bool:
        """Return true for a document that the filter considers: the law for every store."""
        return (
            self.sees(user)
            and source.startswith(self.prefix)
            and all(
                key in metadata and any(_is_same(metadata[key], value) for value in list_values(wanted))
                for key, wanted in self.metadata.items()
            )
        )


EVERYTHING = Filter(all_users=True)
"""The filter for the documents of all users."""


def list_values(wanted: Wanted) -> tuple[Value, ...]:
    """Return the fitting values of a filter: a single value, or each of a sequence."""
    return (wanted,) if isinstance(wanted, str | int | float) else tuple(wanted)


def _is_same(have: Value, wanted: Value) -> bool:
    if isinstance(have, bool) or isinstance(wanted, bool) or isinstance(have, str) or isinstance(wanted, str):
        return type(have) is type(wanted) and have == wanted
    return have == wanted


@attrs.frozen
class PendingText:
    """A text without a vector. `key` stands for the text in `add_vectors`; nobody but the store reads the key."""

    key: str
    text: str = attrs.field(repr=False)


@attrs.frozen
class KnowledgeStatistics:
    """The size of a store: documents, chunks, chunks with a vector by space, and bytes (0 if the store cannot say)."""

    documents: int
    chunks: int
    vectors: Mapping[str, int] = attrs.field(factory=dict)
    bytes: int = 0


@runtime_checkable
class KnowledgeStore(Protocol):
    """The protocol of a knowledge plugin. Every method raises `BackendError` if the store cannot be used.

    A document is known by its user and its source. Any number of tasks and processes may share a store. A method
    cancelled while waiting to begin does nothing; once a method has begun to write, it finishes, shielded, and returns.

    A *space* names an embedder (`llamacpp:minilm`): vectors of different spaces are never
    compared. A chunk has one vector for each space, or a store may keep the vectors of the last space alone.
    """

    async def put(
        self, document: Document, chunks: Sequence[Chunk], *, digest: str = "", user: str | None = None
    ) -> None:
        """Store a document and its chunks in one atomic step, replacing the document of the same user and source.

        After concurrent puts of a source, the store has exactly one version, whole. The chunks are numbered as in
        `number_chunks`. A chunk with a text of the version before may keep the vectors; other chunks have none.

        Raises the errors of `check_name` for the user.
        """
        ...

    async def digests(self, sources: Sequence[str], *, user: str | None = None) -> dict[str, str]:
        """Return the digests of the user's documents of the sources; unknown sources are left out."""
        ...

    async def remove(self, sources: Sequence[str], *, user: str | None = None) -> int:
        """Remove the user's documents of the sources, in one atomic step; return the number of documents.

        `user=None` removes documents for everyone, and never a user's document.
        """
        ...

    async def documents(
        self, filter: Filter = EVERYTHING, *, after: tuple[str, str | None] | None = None, limit: int = 100
    ) -> list[DocumentInfo]:
        """List documents by source, in the order of code points; of the same source, the document for everyone first.

        `after` is the `(source, user)` of a document after which the list continues.
        """
        ...

    async def search_words(self, query: str, filter: Filter = EVERYTHING, *, limit: int = 10) -> list[Hit]:
        """Return the chunks with words of the query, best first; at most `limit`.

        The query is plain text: no character of it is syntax. Case does not count, and a chunk with more of the words,
        or rarer words, comes first. In scripts without spaces between words, parts of a sentence are found (see
        `split_words`). No word is left out as too common. A query of signs alone finds the chunks that contain exactly
        these signs (see `query_signs`); a query without visible characters finds nothing. The search looks at
        `Chunk.searched_text`.
        """
        ...

    async def search_vectors(
        self, vector: Sequence[float], space: str, filter: Filter = EVERYTHING, *, limit: int = 10
    ) -> list[Hit]:
        """Return the chunks whose vectors in the space are nearest by cosine, nearest first; at most `limit`.

        The score is the cosine. Chunks without a vector in the space are not found.
        """
        ...

    async def pending(self, space: str, *, limit: int = 100) -> list[PendingText]:
        """Return texts (`Chunk.searched_text`) of chunks without a vector in the space, those stored first first.

        Chunks with the same text may share a key.
        """
        ...

    async def add_vectors(self, space: str, vectors: Mapping[str, Sequence[float]]) -> int:
        """Store vectors by the keys of `pending`; return the number of chunks that have a new vector.

        Keys of texts that are gone meanwhile are ignored. Vectors need not have length 1.

        Raises `UsageError` if a vector's dimensions differ from the space's other vectors.
        """
        ...

    async def remove_vectors(self, space: str) -> int:
        """Remove all vectors of the space, and return the number of chunks that had one.

        The space may have vectors of other dimensions afterwards, and its texts are `pending` again.
        """
        ...

    async def statistics(self) -> KnowledgeStatistics:
        """Return the size of the store."""
        ...

    async def aclose(self) -> None:
        """Release open resources. Later calls may raise."""
        ...
