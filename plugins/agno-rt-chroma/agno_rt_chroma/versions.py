"""Versions of documents: Chroma writes record by record, so a version is written first and then made visible.

A document's record in the collection of documents names the visible version; one write of it shows the new version and
hides the old one. Chunks of any other version are never shown. Before the first chunk of a version is written, a
*note* names the version, so that what a killed process leaves is found and deleted later.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

import msgspec

from agno_rt_chroma.collections import Collections, Found
from agno_rt_chroma.records import ChunkKey, Record

__all__ = ["STALE_SECONDS", "Versions", "make_version"]

STALE_SECONDS = 3600.0
"""The age of a note after which its process counts as dead."""

_STAGED, _LEFT = "staged", "left"
_MOST = 500


def make_version(now: float) -> str:
    """Return a new version: later ones sort behind."""
    return f"{int(now * 1e6):016x}{secrets.token_hex(4)}"


class Versions:
    """The notes of a store, and the removal of versions that nobody sees."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    async def stage(self, version: str, documents: Sequence[str]) -> None:
        """Note a version of documents that is being written."""
        await self._note(version, documents, _STAGED)

    async def leave(self, version: str, documents: Sequence[str]) -> None:
        """Note that other versions of the documents are to be deleted: of `version`, or of a removal."""
        await self._note(version, documents, _LEFT)

    async def clean(self, version: str, documents: Sequence[str]) -> None:
        """Delete the hidden versions of the documents, then the note, and then what dead processes left."""
        notes = await self._clean(documents)
        await self._collections.documents.delete(ids=[_name_note(version)])
        now = time.time()
        for note in notes:
            if note.metadata["w"] != version and now - note.metadata["at"] > STALE_SECONDS:
                # First no longer staged, so that the version is deleted, too.
                left = msgspec.json.decode(note.metadata["ds"], type=list[str])
                await self._note(note.metadata["w"], left, _LEFT)
                await self._clean(left)
                await self._collections.documents.delete(ids=[note.id])

    async def is_clean(self) -> bool:
        """Return whether each stored chunk is of a visible version."""
        return not await self._collections.documents.get(where={"k": {"$in": [_STAGED, _LEFT]}}, limit=1)

    async def _note(self, version: str, documents: Sequence[str], kind: str) -> None:
        listed = msgspec.json.encode(documents).decode()
        note = Record(_name_note(version), "", {"k": kind, "w": version, "ds": listed, "at": time.time()})
        await self._collections.documents.put([note])

    async def _list_notes(self) -> list[Found]:
        return await self._collections.documents.get(where={"k": {"$in": [_STAGED, _LEFT]}}, metadata=True)

    async def _clean(self, documents: Sequence[str]) -> list[Found]:
        """Delete the hidden versions of the documents, and return all notes."""
        # The order matters. A version that is listed, is not staged afterwards, and is not visible after that, was
        # visible before or never will be: notes are made before chunks, and a version is made visible while staged.
        listed = {
            ChunkKey.read(each.id).version
            for at in range(0, len(documents), _MOST)
            for each in await self._collections.chunks.get(where={"d": {"$in": list(documents[at : at + _MOST])}})
        }
        notes = await self._list_notes()
        staged = {note.metadata["w"] for note in notes if note.metadata["k"] == _STAGED}
        pointers = await self._collections.documents.get(documents, metadata=True) if listed else []
        dead = sorted(listed - staged - {each.metadata["v"] for each in pointers})
        spaces = await self._collections.list_spaces() if dead else []
        for at in range(0, len(dead), _MOST):
            where = {"v": {"$in": dead[at : at + _MOST]}}
            # Vectors first: a chunk whose vector is there is found again by its document.
            for space in spaces:
                await self._collections.delete_vectors(space, where)
            await self._collections.chunks.delete(where=where)
        return notes


def _name_note(version: str) -> str:
    return f"n-{version}"
