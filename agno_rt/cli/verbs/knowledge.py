"""`agno-rt knowledge`: adds, searches, lists and moves documents, and measures how well they are found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from agno_rt.cli.options import config_option, debug_option, json_option, owner_option, page_options, yes_option
from agno_rt.cli.report import notice, show_error, show_warning
from agno_rt.cli.transfer.verbs import add_transfer_verbs

if TYPE_CHECKING:
    from agno_rt.cli.transfer.documents import DocumentTransfer
    from agno_rt.knowledge.base import Knowledge
    from agno_rt.knowledge.documents import DocumentInfo, Hit
    from agno_rt.library.evaluation import Recall
    from agno_rt.library.open import OpenKnowledge
    from agno_rt.library.parts import Added, KnowledgeStatus

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

DEFAULT_STORE = "sqlite:///knowledge.db"
"""The store in a folder without a table `[knowledge.NAME]`."""


@click.group("knowledge")
def command() -> None:
    """Add documents, and look things up in them.

    The documents are those of [knowledge.NAME] in agno-rt.toml, or in knowledge.db of this folder.
    """


def _place_options(function: F) -> F:
    """Add the options that name a knowledge: `name`, `store`, `embedder` and `config`."""
    name = "Table [knowledge.NAME] of agno-rt.toml. Default: the only table."
    store = f"Store to use, as in {DEFAULT_STORE}: instead of the table's, or without a table."
    embedder = "Embedder to use, as in llamacpp:minilm; `none` for words alone."
    for option in (
        click.option("--embedder", metavar="SPEC", help=embedder),
        click.option("--store", "--memory", "store", metavar="URL", help=store),
        click.option("-k", "--knowledge", "name", metavar="NAME", help=name),
    ):
        function = option(function)
    return debug_option(config_option(function))


@command.command("add")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@owner_option
@_place_options
def add(paths: tuple[str, ...], user: str | None, **place: str | None) -> None:
    """Add files, folders and web pages.

    Adding again reads only what changed, and removes files that are gone from a folder. Words are found at once;
    Ctrl-C while the passages are embedded loses nothing, and the next `add` or `search` goes on.
    """

    async def act(opened: OpenKnowledge) -> tuple[Added, KnowledgeStatus]:
        with _show_progress("Reading") as advance:
            added = await opened.add(*paths, user=user, on_progress=lambda step: advance(step.done, step.total))
        await _finish_embedding(opened)
        return added, await opened.status()

    added, status = _Place(**place).open(act)
    _report_added(added, status)


async def _finish_embedding(opened: OpenKnowledge) -> None:
    """Wait until all passages have vectors, and show how far it is."""
    import trio

    from agno_rt.errors import AgnoError

    status = await opened.status()
    if not status.embedder or status.embedded >= status.chunks:
        return
    with _show_progress("Embedding") as advance:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                while True:
                    now = await opened.status()
                    advance(now.embedded, now.chunks)
                    await trio.sleep(0.5)

            nursery.start_soon(watch)
            try:
                await opened.embedded()
            except AgnoError as exc:
                show_warning(exc.message, exc.hint)
            nursery.cancel_scope.cancel()


def _report_added(added: Added, status: KnowledgeStatus) -> None:
    from agno_rt.cli.tables import counted

    for source, error in added.failed:
        show_error(error.message if source in error.message else f"{source}: {error.message}", error.hint)
    groups = (
        (added.added, "added"),
        (added.unchanged, "unchanged"),
        (added.removed, "removed"),
        (added.failed, "failed"),
        (added.skipped, "skipped"),
    )
    parts = [f"{len(sources):,} {what}" for sources, what in groups if sources]
    notice(f"{', '.join(parts) or 'Nothing to add'}.")
    if added.skipped:
        notice(f"Skipped, because no reader of their types is installed: {', '.join(added.skipped[:5])}")
    notice(f"{counted(status.documents, 'document')} with {counted(status.chunks, 'passage')} now.")
    if status.notice:
        show_warning(*status.notice.split("\n", 1))
    if added.failed:
        raise click.exceptions.Exit(1)


@command.command("search", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, metavar="WORDS...")
@click.option("--limit", default=5, show_default=True, type=click.IntRange(1), help="Maximum number of passages.")
@click.option(
    "--by",
    type=click.Choice(["both", "words", "vectors"]),
    default="both",
    show_default=True,
    help="Rankers to ask: by words, by meaning, or both together.",
)
@owner_option
@json_option
@_place_options
def search(words: tuple[str, ...], limit: int, by: Any, user: str | None, as_json: bool, **place: str | None) -> None:
    """Show the passages that fit WORDS best.

    No character of WORDS has a special meaning.
    """
    from agno_rt.cli.report import clean, styled
    from agno_rt.cli.tables import one_line, print_json_lines
    from agno_rt.knowledge.store import Filter

    async def act(opened: OpenKnowledge) -> tuple[list[Hit], KnowledgeStatus]:
        return await opened.search(" ".join(words), Filter(user), limit=limit, by=by), await opened.status()

    hits, status = _Place(**place).open(act)
    if as_json:
        print_json_lines(hits)
        return
    for number, hit in enumerate(hits, 1):
        click.echo(styled(f"[{number}] {one_line(hit.chunk.where)}", bold=True))
        click.echo(f"{clean(hit.chunk.text)}\n")
    if not hits:
        notice("No passage fits." if status.documents else "There are no documents yet: agno-rt knowledge add PATH")
    if status.notice:
        notice(status.notice.partition("\n")[0])


@command.command("list")
@owner_option
@page_options("documents")
@json_option
@_place_options
def list_documents(user: str | None, limit: int, offset: int, as_json: bool, **place: str | None) -> None:
    """List the documents."""
    from agno_rt.cli.tables import Column, counted, print_json_lines, print_table, when
    from agno_rt.knowledge.store import EVERYTHING, Filter

    async def act(opened: OpenKnowledge) -> tuple[list[DocumentInfo], KnowledgeStatus]:
        wanted = EVERYTHING if user is None else Filter(user)
        return (await opened.documents(wanted, limit=offset + limit))[offset:], await opened.status()

    infos, status = _Place(**place).open(act)
    if as_json:
        print_json_lines(infos)
        return
    columns = (Column("SOURCE", whole=True), Column("TITLE"), Column("USER"), Column("PASSAGES", right=True))
    rows = [(info.source, info.title, info.user or "", f"{info.chunks:,}", when(info.added_at)) for info in infos]
    print_table((*columns, Column("ADDED")), rows, empty="There are no documents: agno-rt knowledge add PATH")
    if infos and user is None:  # the numbers are those of all users
        by = f"{status.embedded:,} embedded by {status.embedder}" if status.embedder else "found by words alone"
        notice(f"{counted(status.documents, 'document')}, {counted(status.chunks, 'passage')}: {by}.")


@command.command("show")
@click.argument("source")
@owner_option
@json_option
@_place_options
def show(source: str, user: str | None, as_json: bool, **place: str | None) -> None:
    """Show the metadata and the passages of a document."""
    from agno_rt.cli.report import clean, styled
    from agno_rt.cli.tables import one_line, print_json_lines, print_pairs, when
    from agno_rt.cli.transfer.documents import list_documents as find_documents
    from agno_rt.errors import NotFound, UsageError
    from agno_rt.knowledge.copies import DocumentCopy

    async def act(opened: OpenKnowledge) -> DocumentCopy:
        infos = [info for info in await find_documents(opened, (source,), user) if info.source == source]
        if len(infos) > 1:
            users = " | ".join(info.user or "" for info in infos if info.user)
            raise UsageError(f"{len(infos)} users have a document {source!r}", hint=f"--user {users}")
        found = await opened.export_document(source, user=infos[0].user) if infos else None
        if found is None:
            raise NotFound("document", source, ())
        return found

    found = _Place(**place).open(act)
    info = found.info
    if as_json:
        print_json_lines([{**attrs.asdict(info), "passages": found.chunks}])
        return
    metadata = ", ".join(f"{name}={value}" for name, value in info.metadata.items())
    pairs = [("source", info.source), ("title", info.title), ("user", info.user or ""), ("type", info.media_type)]
    print_pairs([*pairs, ("metadata", metadata), ("added", when(info.added_at)), ("passages", f"{info.chunks:,}")])
    for chunk in found.chunks:
        click.echo(styled(f"\n{one_line(chunk.where)}", bold=True))
        click.echo(clean(chunk.text))


@command.command("delete")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@owner_option
@yes_option
@_place_options
def delete(sources: tuple[str, ...], user: str | None, yes: bool, **place: str | None) -> int:
    """Delete documents, by their sources as `list` shows them. A SOURCE that ends with / deletes the whole folder.

    Without --user, the documents for everyone are deleted. `remove` is another name for `delete`.
    """
    from agno_rt.cli.open_memory import confirm_deletion
    from agno_rt.cli.tables import counted
    from agno_rt.errors import NotFound
    from agno_rt.knowledge.store import Filter

    async def find(opened: OpenKnowledge) -> list[str]:
        found: list[str] = []
        for source in sources:
            own = Filter(user, shared=user is None, prefix=source)
            infos = await opened.documents(own, limit=1_000_000)
            exact = [info.source for info in infos if source.endswith("/") or info.source == source]
            if not exact:
                raise NotFound("document", source, [info.source for info in infos[:20]])
            found += exact
        return list(dict.fromkeys(found))

    async def act(opened: OpenKnowledge) -> int:
        return await opened.remove(*found, user=user)

    found = _Place(**place).open(find)
    if not confirm_deletion(f"Delete {counted(len(found), 'document')}?", yes=yes):
        return 1
    notice(f"{counted(_Place(**place).open(act), 'document')} deleted.")
    return 0


command.add_command(
    click.Command("remove", callback=delete.callback, params=delete.params, help=delete.help, hidden=True)
)


@command.command("prune-vectors")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@yes_option
@_place_options
def prune_vectors(dry_run: bool, yes: bool, **place: str | None) -> int:
    """Remove the vectors of embedders that are not used any more.

    The vectors of this knowledge's embedder stay, and those of other tables of agno-rt.toml with the same store. With
    `--embedder none`, this knowledge has none to keep. Documents stay, and are found by words.
    """
    from agno_rt.cli.open_memory import confirm_deletion
    from agno_rt.cli.tables import Column, counted, print_table

    where = _Place(**place)
    keep = where.list_embedders()

    async def prune(opened: OpenKnowledge, dry_run: bool) -> dict[str, int]:
        return await opened.prune_vectors(keep=keep, dry_run=dry_run)

    found = where.open(lambda opened: prune(opened, True))
    columns = Column("EMBEDDER", whole=True), Column("PASSAGES", right=True)
    print_table(columns, [(name, f"{count:,}") for name, count in found.items()], empty="No vectors to remove.")
    total = counted(sum(found.values()), "vector")
    if dry_run or not found:
        if found:
            notice(f"{total} would be removed.")
        return 0
    if not confirm_deletion(f"Remove {total}?", yes=yes):
        return 1
    removed = where.open(lambda opened: prune(opened, False))
    notice(f"{counted(sum(removed.values()), 'vector')} removed.")
    return 0


@command.command("evaluate")
@click.argument("questions", type=click.Path(path_type=Path), metavar="FILE")
@json_option
@_place_options
def evaluate_questions(questions: Path, as_json: bool, **place: str | None) -> None:
    """Measure how often the right document is found for the labelled questions of FILE.

    FILE has JSON lines such as {"question": "...", "sources": ["docs/a.md"]}, or TOML tables [[questions]] with the
    same keys. @1 is the share of questions whose first document is right, @5 that of a right one among the first five.
    """
    from agno_rt.cli.tables import Column, counted, one_line, print_json_lines, print_table
    from agno_rt.library.evaluation import evaluate, find_unknown_sources, load_questions

    labelled = load_questions(questions)

    async def act(opened: OpenKnowledge) -> tuple[list[Recall], KnowledgeStatus]:
        if unknown := await find_unknown_sources(opened, labelled):
            shown = one_line(", ".join(unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            problem = f"no document has {counted(len(unknown), 'source')} of the questions: {shown}"
            show_warning(problem, "Write sources as `agno-rt knowledge list` shows them.")
        await _finish_embedding(opened)
        status = await opened.status()
        rankers: Any = ("words", "vectors", "both") if status.embedder else ("words",)
        with _show_progress("Asking") as advance:
            return await evaluate(opened, labelled, rankers=rankers, on_progress=advance), status

    results, status = _Place(**place).open(act)
    if as_json:
        print_json_lines(results)
        return
    columns = Column("LANGUAGE"), Column("BY", whole=True), Column("QUESTIONS", right=True)
    rows = [
        (each.language or "all", each.by, f"{each.questions:,}", f"{each.at_1:.2f}", f"{each.at_5:.2f}")
        for each in results
    ]
    print_table((*columns, Column("@1", right=True), Column("@5", right=True)), rows, empty="")
    if status.notice:
        show_warning(*status.notice.split("\n", 1))


@attrs.frozen
class _Place:
    """The knowledge that the options name."""

    name: str | None = None
    store: str | None = None
    embedder: str | None = None
    config: str | None = None

    def open(self, act: Callable[[OpenKnowledge], Awaitable[T]]) -> T:
        """Open the knowledge, and return the result of `act`."""
        from agno_rt.cli.open_memory import Place

        return Place(self.config, "memory:").open(lambda runtime: act(runtime.knowledge(self._find())))

    def list_embedders(self) -> list[str]:
        """Return the names of the embedders whose vectors this knowledge and the others in its store use."""
        from agno_rt.cli.target import configuration
        from agno_rt.knowledge.base import DEFAULT_EMBEDDER

        name, own = self._choose()
        tables = configuration(self.config).knowledge
        used = [own, *(each for other, each in tables.items() if other != name and each.store == own.store)]
        return [DEFAULT_EMBEDDER if each.embedder == "auto" else str(each.embedder) for each in used if each.embedder]

    def _find(self) -> Knowledge:
        return self._choose()[1]

    def _choose(self) -> tuple[str | None, Knowledge]:
        """Return the name of the table, if any, and the knowledge as the options change it."""
        from agno_rt.cli.target import configuration
        from agno_rt.errors import NotFound, UsageError
        from agno_rt.knowledge.base import Knowledge

        known = configuration(self.config).knowledge
        if self.name is not None and self.name not in known:
            raise NotFound("knowledge", self.name, known, hint="" if known else "agno-rt.toml has no [knowledge.NAME].")
        if self.name is None and len(known) > 1 and self.store is None:
            raise UsageError("agno-rt.toml has several tables [knowledge.NAME]", hint=f"Choose: -k {' | '.join(known)}")
        name = self.name or (next(iter(known)) if len(known) == 1 else None)
        found = Knowledge(DEFAULT_STORE) if name is None else known[name]
        if self.store is not None:
            found = attrs.evolve(found, store=self.store)
        if self.embedder is not None:
            found = attrs.evolve(found, embedder=None if self.embedder == "none" else self.embedder)
        return name, found


@contextmanager
def _show_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar in a terminal, and yield a function that is told how much is done. Elsewhere show nothing."""
    import sys

    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _open(act: Callable[[OpenKnowledge], Awaitable[T]], /, **place: Any) -> T:
    async def act_and_embed(opened: OpenKnowledge) -> T:
        result = await act(opened)
        await _finish_embedding(opened)
        return result

    return _Place(**place).open(act_and_embed)


def _load_transfer() -> DocumentTransfer:
    from agno_rt.cli.transfer.documents import DocumentTransfer

    return DocumentTransfer()


add_transfer_verbs(
    command,
    _load_transfer,
    _open,
    export_help="A line is a document with passages and metadata, without vectors: the import makes them again.",
    import_help="Another version of a document stays, and the line is skipped.",
    place_options=_place_options,
)
