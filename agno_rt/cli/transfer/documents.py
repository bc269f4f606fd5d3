"""Documents of a knowledge as JSON lines, with their passages and metadata. Vectors are left out, and made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from agno_rt.cli.transfer.base import Outcome, Skipped, Store, check_owner
from agno_rt.cli.transfer.lines import FORMAT, Line, encode_line
from agno_rt.errors import NotFound, UsageError
from agno_rt.knowledge.copies import DocumentCopy
from agno_rt.knowledge.documents import Chunk, Document, DocumentInfo
from agno_rt.knowledge.store import Filter
from agno_rt.names import check_name

if TYPE_CHECKING:
    from agno_rt.library.open import OpenKnowledge

__all__ = ["DocumentLine", "DocumentTransfer", "list_documents"]

Key = tuple[str, str | None]
_PAGE = 1_000


class Passage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A chunk of a document. The fields are those of `Chunk`; the number is the place in the line."""

    text: str
    start: int = 0
    end: int = 0
    headings: tuple[str, ...] = ()
    place: str = ""


class DocumentLine(Line, kw_only=True):
    """A document. The fields are those of `DocumentInfo`."""

    source: str
    user: str | None = None
    title: str = ""
    media_type: str = "text/plain"
    metadata: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    digest: str = ""
    characters: int = 0
    passages: tuple[Passage, ...] = ()

    def check(self) -> None:
        """Raise `UsageError` for a source, user or metadata that cannot be stored, and for places beyond the text."""
        if self.user is not None:
            check_name("the user's name", self.user)
        Document(self.source, "", title=self.title, metadata=self.metadata)
        for each in self.passages:
            if not 0 <= each.start <= each.end <= self.characters:
                hint = "`start` and `end` are offsets in a text of so many `characters`."
                raise UsageError(f"a passage is from {each.start} to {each.end} of {self.characters}", hint=hint)

    def copy(self) -> DocumentCopy:
        """Return the document for `OpenKnowledge.import_document`."""
        chunks = [
            Chunk(
                each.text,
                self.source,
                number=number,
                start=each.start,
                end=each.end,
                headings=each.headings,
                place=each.place,
            )
            for number, each in enumerate(self.passages)
        ]
        sizes = self.digest, len(chunks), self.characters
        info = DocumentInfo(self.source, self.user, self.title, self.media_type, self.metadata, *sizes)
        return DocumentCopy(info, chunks)


async def list_documents(opened: OpenKnowledge, sources: Sequence[str], user: str | None) -> list[DocumentInfo]:
    """Return the documents of the sources, or all documents, of the user or of everyone.

    A source that ends with / stands for the whole folder. Raises `NotFound` for an unknown source.
    """
    found: dict[Key, DocumentInfo] = {}
    for source in sources or ("",):
        infos = await _list_all(opened, source, user)
        fitting = [info for info in infos if not source or source.endswith("/") or info.source == source]
        if not fitting and sources:
            raise NotFound("document", source, [info.source for info in infos[:20]])
        found.update({(info.source, info.user): info for info in fitting})
    return list(found.values())


async def _list_all(opened: OpenKnowledge, prefix: str, user: str | None) -> list[DocumentInfo]:
    wanted = Filter(user, shared=user is None, all_users=user is None, prefix=prefix)
    found: list[DocumentInfo] = []
    after: Key | None = None
    while page := await opened.documents(wanted, after=after, limit=_PAGE):
        found += page
        after = page[-1].source, page[-1].user
    return found


class DocumentTransfer:
    """Moves documents, see `Transfer`. Its store is an `OpenKnowledge`."""

    kind = "document"
    line = DocumentLine

    async def find(self, store: Store, ids: Sequence[str], user: str | None) -> list[Key]:
        """Return the sources and users of documents."""
        return [(info.source, info.user) for info in await list_documents(store, ids, user)]

    async def export(self, store: Store, key: Key, write: Callable[[bytes], object]) -> bool:
        """Write a document."""
        copy = await store.export_document(key[0], user=key[1])
        if copy is None:
            return False
        info = copy.info
        line = DocumentLine(
            format=FORMAT,
            kind=self.kind,
            source=info.source,
            user=info.user,
            title=info.title,
            media_type=info.media_type,
            metadata=dict(info.metadata),
            digest=info.digest,
            characters=info.characters,
            passages=tuple(Passage(each.text, each.start, each.end, each.headings, each.place) for each in copy.chunks),
        )
        write(encode_line(line))
        return True

    async def load(self, store: Store, line: DocumentLine, user: str | None) -> Outcome:
        """Store a document, unless this version is there."""
        line.user = check_owner(line.user, user)
        try:
            return "stored" if await store.import_document(line.copy()) else "same"
        except UsageError as exc:
            raise Skipped(exc.message, hint=exc.hint) from exc
