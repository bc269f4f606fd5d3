"""The value of a whole document in a store, and the protocol of stores that give their documents away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import attrs

from agno_rt.knowledge.documents import Chunk, Document, DocumentInfo

__all__ = ["DocumentCopy", "DocumentCopyStore"]


@attrs.frozen
class DocumentCopy:
    """A stored document with its chunks, as stored. Vectors are left out: an embedder makes them again."""

    info: DocumentInfo
    chunks: Sequence[Chunk] = ()

    @property
    def document(self) -> Document:
        """The document, for `KnowledgeStore.put`.

        Stores keep chunks alone, so spaces stand in the text where no chunk is. The text is as long as the original.
        """
        info = self.info
        return Document(
            info.source, self._join_chunks(), title=info.title, media_type=info.media_type, metadata=info.metadata
        )

    def _join_chunks(self) -> str:
        parts, at = list[str](), 0
        for chunk in sorted(self.chunks, key=lambda each: each.start):
            # A chunk may overlap the chunk before, and may be written otherwise than in the text.
            own = chunk.text[max(0, at - chunk.start) :] if len(chunk.text) == chunk.end - chunk.start else ""
            start = max(at, chunk.start)
            if own:
                parts += [" " * (start - at), own]
                at = start + len(own)
        return "".join((*parts, " " * (self.info.characters - at)))[: self.info.characters]


@runtime_checkable
class DocumentCopyStore(Protocol):
    """The protocol of a `KnowledgeStore` whose documents can be read whole, for `agno-rt knowledge export`."""

    async def export_document(self, source: str, *, user: str | None = None) -> DocumentCopy | None:
        """Return the user's document of the source with all chunks, in one version; None for an unknown document.

        `user=None` stands for the document for everyone.
        """
        ...
