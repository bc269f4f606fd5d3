"""Adds files, folders, URLs and documents to a store: reads changed files, and removes missing files."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import attrs
import msgspec
import trio

from agno_rt._drive.scopes import raise_first
from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.knowledge.documents import Chunk, Document, Metadata, number_chunks
from agno_rt.knowledge.reading import MAX_VERSION, Reader, RevisitingReader, Unread, Visit
from agno_rt.knowledge.store import Filter
from agno_rt.library.files import Found, expand_pattern, guess_media_type, hash_file, list_files, name_source
from agno_rt.library.parts import Added, KnowledgeParts, OnProgress, Progress, State

__all__ = ["Item", "add_items"]

Item: TypeAlias = "str | Path | Document | Unread"
"""Something to add: the path of a file or a folder, a pattern of paths, a URL, a document, or the bytes of a file."""

AT_ONCE = 8
"""The files to read at once: more would only wait for the store."""
_PAGE = 1_000


@attrs.frozen
class _Task:
    """A file, URL or document to add, and the digests of the stored documents of the same origin, by source."""

    unread: Unread
    named: bool = True
    document: Document | None = None
    known: Mapping[str, str] = attrs.Factory(dict)

    @property
    def kind(self) -> str:
        """The first part of the digest: only files of a folder can be gone from it."""
        if self.unread.data is not None:
            return "data"
        return "text" if self.document is not None else "file" if self.unread.path else "url"


async def add_items(
    parts: KnowledgeParts,
    items: Sequence[Item],
    user: str | None,
    metadata: Metadata,
    on_progress: OnProgress | None,
) -> Added:
    """Add the items and return the outcomes. Raises `NotFound` for a missing path or pattern."""
    adding = _Adding(parts, user, metadata, on_progress)
    tasks = [task for item in items for each in await _expand(item) for task in await adding.plan(each)]
    adding.total = len(tasks)
    # The workers share one iterator: a long list needs few tasks.
    left = iter(tasks)
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(min(AT_ONCE, len(tasks))):
                nursery.start_soon(adding.work, left)
    except BaseExceptionGroup as group:
        raise_first(group)
    await adding.remove_gone()
    for sources in (adding.result.added, adding.result.unchanged, adding.result.skipped):
        sources.sort()
    adding.result.failed.sort(key=lambda failure: failure[0])
    return adding.result


async def _expand(item: Item) -> list[Item]:
    """Return the files of a pattern; anything else alone."""
    if isinstance(item, Document) or not isinstance(item, str | Path) or "://" in str(item):
        return [item]
    return list(await trio.to_thread.run_sync(expand_pattern, os.fspath(item)))


class _Adding:
    """One call of `add`."""

    def __init__(
        self, parts: KnowledgeParts, user: str | None, metadata: Metadata, on_progress: OnProgress | None
    ) -> None:
        self.result = Added()
        self.total = 0
        self._parts = parts
        self._user = user
        self._metadata = dict(metadata)
        self._on_progress = on_progress
        self._gone: list[str] = []
        self._done = 0

    async def plan(self, item: Item) -> list[_Task]:
        """Return the tasks of an item, and remember the missing files of a folder."""
        if isinstance(item, Document):
            document = attrs.evolve(item, metadata={**self._metadata, **item.metadata})
            stored = await self._parts.store.digests([item.source], user=self._user)
            return [_Task(Unread(item.source, media_type=item.media_type), document=document, known=stored)]
        if isinstance(item, Unread) and item.data is not None:
            media_type = item.media_type or guess_media_type(item.source)
            metadata = {**self._metadata, **item.metadata}
            # Without a path: the bytes are read, and never a file of this machine.
            unread = attrs.evolve(item, media_type=media_type, metadata=metadata, path="")
            return [_Task(unread, known=await self._list_parts(item.source, "data"))]
        if not isinstance(item, str | Path):
            hint = "Give paths, URLs, a Document(source, text) for text of your own, or an Unread(source, data=...)."
            raise UsageError(f"{item!r} cannot be added to knowledge", hint=hint)
        if isinstance(item, str) and "://" in item:
            unread = Unread(item, media_type=guess_media_type(item.partition("?")[0]), metadata=self._metadata)
            return [_Task(unread, known=await self._list_parts(item, "url"))]
        found = await trio.to_thread.run_sync(list_files, os.fspath(item), self._parts.root)
        is_file = len(found) == 1 and found[0].named
        prefix = found[0].source if is_file else _folder_prefix(os.fspath(item), self._parts.root)
        known = await self._list_known(prefix, "file")
        groups = _group_by_file(known, found)
        if not is_file:
            there = {source for sources in groups.values() for source in sources}
            self._gone += [source for source in known if source not in there]
        return [
            _Task(
                Unread(each.source, media_type=each.media_type, path=each.path, metadata=self._metadata),
                each.named,
                known=groups.get(each.source, {}),
            )
            for each in found
        ]

    async def work(self, tasks: Iterator[_Task]) -> None:
        """Carry out tasks until none is left."""
        for task in tasks:
            source = task.unread.source
            try:
                state: State = await self._add(task)
            except _Unreadable as exc:
                self.result.failed.append((source, exc.error))
                state = "failed"
            else:
                getattr(self.result, state).append(source)
            self._report(source, state)

    async def remove_gone(self) -> None:
        """Remove the missing files of the added folders."""
        gone = sorted(set(self._gone))
        await self._parts.store.remove(gone, user=self._user)
        for source in gone:
            self.result.removed.append(source)
            self._report(source, "removed")

    async def _add(self, task: _Task) -> State:
        """Add a file, URL or document, unless nothing changed."""
        unread, reader = task.unread, None
        if task.document is None:
            reader = self._find_reader(task)
            if reader is None:
                return "skipped"
        with _reading(unread.source):
            unread, digest = await self._hash(task, reader)
        if digest in task.known.values():
            return "unchanged"
        documents = [task.document] if task.document is not None else []
        with _reading(unread.source):
            if reader is not None:
                visit = await self._visit(task, unread, reader)
                if visit.documents is None:
                    return "unchanged"
                documents = list(visit.documents)
                _check_sources(unread.source, documents)
                if not digest:
                    digest = self._digest_page(task, reader, documents)
                    # A page with a new version and the same text stays as it is: storing it would cost its vectors.
                    if digest in map(_digest_of_text, task.known.values()) and len(task.known) == len(documents):
                        return "unchanged"
                    if visit.version and len(visit.version) <= MAX_VERSION:
                        digest = f"{digest} {self._digest_settings(reader)} {visit.version}"
            cut = [(each, await trio.to_thread.run_sync(self._cut, each)) for each in documents]
        for document, chunks in cut:
            await self._parts.store.put(document, chunks, digest=digest, user=self._user)
        left = task.known.keys() - {document.source for document in documents}
        await self._parts.store.remove(sorted(left), user=self._user)
        return "added"

    def _find_reader(self, task: _Task) -> Reader | None:
        """Return the reader; None for a file of a folder without a reader, which is skipped."""
        unread = task.unread
        name = unread.media_type if unread.path or unread.data is not None else unread.source.partition("/")[0]
        reader = self._parts.find_reader(name or ("text/plain" if task.named else ""))
        if reader is None and task.named:
            hint = "`agno-rt plugins` lists the readers that are installed."
            problem = f"{unread.source} has the type {name or 'unknown'}, and no reader of that type is installed"
            raise _Unreadable(UsageError(problem, hint=hint))
        return reader

    async def _hash(self, task: _Task, reader: Reader | None) -> tuple[Unread, str]:
        """Return the file with the content, unless the file is large, and the digest of everything of influence."""
        unread, content = task.unread, ""
        if task.document is not None:
            document = task.document
            content = msgspec.json.encode([document.text, document.title, document.metadata]).decode()
        elif unread.data is not None:
            content = hashlib.sha256(unread.data).hexdigest()
        elif unread.path:
            most = getattr(reader, "max_bytes", math.inf)
            content, data = await trio.to_thread.run_sync(hash_file, unread.source, unread.path, most)
            unread = attrs.evolve(unread, data=data)
        else:
            return unread, ""  # known when the page has been read: see `_digest_page`
        counts = content, "" if reader is None else reader.name, self._parts.chunker.name, unread.media_type
        whole = msgspec.json.encode([*counts, self._metadata])
        return unread, f"{task.kind}:{hashlib.sha256(whole).hexdigest()}"

    async def _visit(self, task: _Task, unread: Unread, reader: Reader) -> Visit:
        """Read a file, or a URL as far as it changed since it was stored with the same settings."""
        if unread.path or not isinstance(reader, RevisitingReader):
            return Visit(await reader.read(unread))
        stored = set(task.known.values())
        _, settings, version = _split_digest(stored.pop()) if len(stored) == 1 else ("", "", "")
        return await reader.revisit(unread, version if settings == self._digest_settings(reader) else "")

    def _digest_settings(self, reader: Reader) -> str:
        """Return the digest of all that makes passages of a page, besides the page."""
        whole = msgspec.json.encode([reader.name, self._parts.chunker.name, self._metadata])
        return hashlib.sha256(whole).hexdigest()[:16]

    def _digest_page(self, task: _Task, reader: Reader, documents: Sequence[Document]) -> str:
        """Return the digest of what a reader made of a URL: an unchanged page is neither stored nor embedded again."""
        read = [[each.source, each.text, each.title, each.media_type, each.metadata, each.marks] for each in documents]
        whole = msgspec.json.encode([read, reader.name, self._parts.chunker.name, self._metadata])
        return f"{task.kind}:{hashlib.sha256(whole).hexdigest()}"

    def _cut(self, document: Document) -> tuple[Chunk, ...]:
        chunks = [chunk for chunk in self._parts.chunker.cut(document) if chunk.text.strip()]
        return number_chunks(document, chunks)

    async def _list_known(self, prefix: str, kind: str) -> dict[str, str]:
        """Return the digests of stored documents of a kind, by source."""
        own = Filter(self._user, shared=self._user is None, prefix=prefix)
        known: dict[str, str] = {}
        after: tuple[str, str | None] | None = None
        while page := await self._parts.store.documents(own, after=after, limit=_PAGE):
            known.update({info.source: info.digest for info in page if info.digest.startswith(f"{kind}:")})
            after = page[-1].source, page[-1].user
        return known

    async def _list_parts(self, source: str, kind: str) -> dict[str, str]:
        """Return the digests of the stored documents of one source, by source."""
        known = await self._list_known(source, kind)
        # The list also has longer addresses: https://a.example/12 begins with https://a.example/1.
        return {each: digest for each, digest in known.items() if each == source or each.startswith(f"{source}#")}

    def _report(self, source: str, state: State) -> None:
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(Progress(self._done, max(self.total, self._done), source, state))


def _split_digest(digest: str) -> tuple[str, str, str]:
    """Return the digest of a page's text, that of the settings, and the version for the next visit."""
    text, _, rest = digest.partition(" ")
    settings, _, version = rest.partition(" ")
    return text, settings, version


def _digest_of_text(digest: str) -> str:
    return _split_digest(digest)[0]


class _Unreadable(Exception):
    """One thing cannot be read; the others go on."""

    def __init__(self, error: AgnoError) -> None:
        self.error = error


class _reading:  # noqa: N801 - used as a function
    """Turns failures of readers and chunkers into `_Unreadable`, with the source."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if isinstance(exc, AgnoError):
            raise _Unreadable(exc) from exc
        if exc is None or must_pass(exc):
            return
        hint = "Open the file with its own program to see whether it is damaged."
        raise _Unreadable(UsageError(f"{self._source} cannot be read: {named(exc)}", hint=hint)) from exc


def _check_sources(source: str, documents: Sequence[Document]) -> None:
    for document in documents:
        if document.source != source and not document.source.startswith(f"{source}#"):
            hint = f"A reader names its documents {source!r}, or {source + '#...'!r} for several."
            raise UsageError(f"the reader of {source} made a document {document.source!r}", hint=hint)


def _folder_prefix(path: str, root: str) -> str:
    """Return the beginning of the sources of a folder's files."""
    if os.path.abspath(path) == os.path.abspath(root):
        return ""
    return f"{name_source(path, root)}/"


def _group_by_file(known: Mapping[str, str], found: Sequence[Found]) -> dict[str, dict[str, str]]:
    """Return the stored documents of each found file; several of a file have a `#` and a name at the end."""
    there = {each.source for each in found}
    groups: dict[str, dict[str, str]] = {}
    for source, digest in known.items():
        file, at = source, source.find("#")
        while file not in there and at >= 0:
            file, at = source[:at], source.find("#", at + 1)
        if file in there:
            groups.setdefault(file, {})[source] = digest
    return groups
