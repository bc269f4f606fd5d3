"""`agno-rt sessions`: lists, shows, renames and deletes sessions, and exports and imports them as JSON lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs
import click

from agno_rt.cli.options import (
    config_option,
    debug_option,
    json_option,
    memory_option,
    owner_option,
    page_options,
    yes_option,
)
from agno_rt.cli.report import notice
from agno_rt.cli.transfer.verbs import add_transfer_verbs
from agno_rt.errors import NotFound

if TYPE_CHECKING:
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.transfer.sessions import SessionTransfer
    from agno_rt.memory import MemoryBackend, Session, SessionInfo
    from agno_rt.runtime import Runtime

__all__ = ["command"]


@click.group("sessions")
def command() -> None:
    """See, rename, export, import and delete the conversations that are kept."""


@command.command("list")
@owner_option
@click.option("--search", metavar="TEXT", default="", help="Only sessions whose title contains TEXT.")
@page_options("sessions")
@json_option
@config_option
@memory_option
@debug_option
def list_sessions(user: str | None, search: str, limit: int, offset: int, as_json: bool, **options: str | None) -> None:
    """List the sessions, the last written first.

    The title of a session is the beginning of its first question, unless you rename the session.
    """
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.tables import Column, print_json_lines, print_table, when

    place = Place(**options)

    async def load(runtime: Runtime) -> list[SessionInfo]:
        return await runtime.memory.sessions(user=user, query=search, limit=offset + limit)

    infos = place.open(load)[offset:]
    if as_json and infos:
        print_json_lines(infos)
        return
    columns = (Column("ID", whole=True), Column("TITLE"), Column("AGENT"), Column("USER"))
    rows = [
        (info.id, info.title, info.agent, info.user or "", f"{info.messages:,}", when(info.updated_at))
        for info in infos
    ]
    print_table((*columns, Column("MESSAGES", right=True), Column("WRITTEN")), rows, empty=_describe_empty(place, user))


@command.command("rename")
@click.argument("session")
@click.argument("title")
@owner_option
@config_option
@memory_option
@debug_option
def rename(session: str, title: str, user: str | None, config: str | None, memory: str | None) -> None:
    """Give a session a title.

    SESSION is the id or the beginning of the id. An empty TITLE restores the first title: the first words of the
    first question.
    """
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.tables import one_line

    async def change(runtime: Runtime) -> SessionInfo | None:
        found = await _load_session(runtime.memory, session, 1, user)
        await runtime.memory.rename(found.id, title)
        return await runtime.memory.session_info(found.id)

    info = Place(config, memory).open(change)
    if info is not None:
        notice(f"Session {one_line(info.id)} is called {one_line(info.title)!r}.")


@command.command("show")
@click.argument("session")
@click.option("--last", metavar="N", type=click.IntRange(1), help="Only the last N messages.")
@owner_option
@json_option
@config_option
@memory_option
@debug_option
def show(
    session: str, last: int | None, user: str | None, as_json: bool, config: str | None, memory: str | None
) -> None:
    """Show the messages of a session.

    SESSION is the id or the beginning of the id. With --json, print one message a line.
    """
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.run_agent.display import message_text
    from agno_rt.cli.tables import counted, one_line, print_json_lines

    async def load(runtime: Runtime) -> Session:
        return await _load_session(runtime.memory, session, last, user)

    found = Place(config, memory).open(load)
    if as_json:
        print_json_lines([attrs.evolve(message, native=None) for message in found.messages])
        return
    shown = "" if last is None or last >= found.total else f", the last {len(found.messages):,} of them here"
    of = f" of {one_line(found.user)}" if found.user else ""
    notice(f"Session {one_line(found.id)}{of}: {counted(found.total, 'message')}{shown}.")
    for message in found.messages:
        click.echo(message_text(message))


@command.command("delete")
@click.argument("sessions", nargs=-1, required=True)
@owner_option
@yes_option
@config_option
@memory_option
@debug_option
def delete(sessions: tuple[str, ...], user: str | None, yes: bool, config: str | None, memory: str | None) -> int:
    """Delete sessions.

    SESSIONS are whole ids. Facts about users stay.
    """
    from agno_rt.cli.open_memory import Place, confirm_deletion
    from agno_rt.cli.tables import counted, one_line

    place, asked = Place(config, memory), tuple(dict.fromkeys(sessions))

    async def look(runtime: Runtime) -> dict[str, int]:
        return {session: (await _load_exact(runtime.memory, session, user)).total for session in asked}

    async def forget(runtime: Runtime) -> list[str]:
        return [session for session in asked if await runtime.memory.delete(session)]

    found = place.open(look)
    what = f"session {asked[0]}" if len(asked) == 1 else counted(len(asked), "session")
    if not confirm_deletion(f"Delete {what} with {counted(sum(found.values()), 'message')}?", yes=yes):
        return 1
    for session in place.open(forget):
        click.echo(f"deleted {one_line(session)} ({counted(found[session], 'message')})")
    return 0


@command.command("prune")
@click.option("--older-than", metavar="AGE", help="Delete sessions last written so long ago: 12h, 30d, 4w.")
@click.option("--keep", metavar="N", type=click.IntRange(0), help="Delete all but the N sessions written last.")
@click.option("--dry-run", is_flag=True, help="Print the sessions that would be deleted, and delete none.")
@yes_option
@config_option
@memory_option
@debug_option
def prune(
    older_than: str | None, keep: int | None, dry_run: bool, yes: bool, config: str | None, memory: str | None
) -> int:
    """Delete old sessions.

    A session stays while a run of it is running or paused. With both options, a session goes that either of them names.
    """
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.prune import prune_stored
    from agno_rt.upkeep import SessionPruning

    def find_prune(runtime: Runtime) -> Callable[..., Awaitable[list[str]]] | None:
        store = runtime.memory
        return store.prune_sessions if isinstance(store, SessionPruning) else None

    return prune_stored("session", find_prune, Place(config, memory), (older_than, keep), dry_run=dry_run, yes=yes)


def _describe_empty(place: Place, user: str | None) -> str:
    """Return the text for an empty list."""
    from agno_rt.cli.default_memory import tilde

    file = place.file()
    return f"No sessions{f' of {user}' if user else ''}{f' in {tilde(file)}' if file else ''}."


async def _load_session(memory: MemoryBackend, given: str, last: int | None, user: str | None) -> Session:
    """Load the session with the id `given`, or the only session whose id begins so. `user` limits the search."""
    from agno_rt.cli.open_memory import MANY, match_id

    session = await memory.load(given, last)
    if session.version and user in (None, session.user):
        return session
    ids = [info.id for info in await memory.sessions(user=user, limit=MANY)]
    return await memory.load(match_id("session", given, ids), last)


async def _load_exact(memory: MemoryBackend, session: str, user: str | None) -> Session:
    from agno_rt.cli.open_memory import MANY

    found = await memory.load(session, 1)
    if not found.version or user not in (None, found.user):
        # All ids are named, since a beginning does not count here.
        raise NotFound("session", session, [info.id for info in await memory.sessions(user=user, limit=MANY)])
    return found


def _open(act: Callable[[MemoryBackend], Awaitable[Any]], /, **place: Any) -> Any:
    from agno_rt.cli.open_memory import Place

    return Place(**place).open(lambda runtime: act(runtime.memory))


def _load_transfer() -> SessionTransfer:
    from agno_rt.cli.transfer.sessions import SessionTransfer

    return SessionTransfer()


add_transfer_verbs(
    command,
    _load_transfer,
    _open,
    export_help=(
        "A line is a session with messages, media, state, summary and times; a session of many megabytes has several"
        " lines."
    ),
    import_help=(
        "A session that is there in part is completed. To give a session to a user, export it, delete it, and import"
        " it with --user."
    ),
)
