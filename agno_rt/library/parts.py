"""The parts of an open knowledge, as a runtime makes them, and the results of adding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import attrs

from agno_rt.errors import AgnoError
from agno_rt.knowledge.embedders import Embedder
from agno_rt.knowledge.reading import Chunker, Reader
from agno_rt.knowledge.rerankers import Reranker
from agno_rt.knowledge.store import KnowledgeStore

__all__ = ["Added", "KnowledgeParts", "KnowledgeStatus", "OnProgress", "Progress"]

State = Literal["added", "unchanged", "removed", "failed", "skipped"]


@attrs.frozen
class KnowledgeParts:
    """The parts of an open knowledge.

    Attributes:
        embedder: None to search by words alone; `notice` then says why, if an embedder was wanted
        find_reader: returns the reader of a media type, or of a URL's scheme with its colon
        start: starts a function in the background of the runtime; None before the runtime is open
    """

    store: KnowledgeStore
    chunker: Chunker
    embedder: Embedder | None
    reranker: Reranker | None
    find_reader: Callable[[str], Reader | None]
    start: Callable[[Callable[[], Any]], None]
    root: str = "."
    notice: str = ""


@attrs.frozen
class Progress:
    """A step of adding: `done` of `total` files, the last file's `source`, and the outcome for this file."""

    done: int
    total: int
    source: str
    state: State


class OnProgress(Protocol):
    """A function to call after each added file or document."""

    def __call__(self, progress: Progress, /) -> object:
        """Take notice of the progress."""
        ...


@attrs.define
class Added:
    """The result of adding, as sources.

    Attributes:
        added: stored, as new or changed
        unchanged: the same as the last time, and so neither read nor stored again
        removed: gone from an added folder or file since the last time
        failed: not read, with the errors; an earlier version stays
        skipped: files of a folder without an installed reader
    """

    added: list[str] = attrs.Factory(list)
    unchanged: list[str] = attrs.Factory(list)
    removed: list[str] = attrs.Factory(list)
    failed: list[tuple[str, AgnoError]] = attrs.Factory(list)
    skipped: list[str] = attrs.Factory(list)


@attrs.frozen
class KnowledgeStatus:
    """The state of an open knowledge.

    Attributes:
        documents: stored documents
        chunks: chunks of all documents
        embedded: the chunks with a vector of the embedder, which are found by meaning
        embedder: the embedder's name; empty if searches are by words alone
        notice: the reason for searches by words alone if an embedder was wanted, or the embedder's failure
    """

    documents: int
    chunks: int
    embedded: int = 0
    embedder: str = ""
    notice: str = ""
