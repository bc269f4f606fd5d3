"""`agno-rt sessions`: lists, shows, renames and deletes sessions, and exports and imports them as JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING

import attrs
import click

from agno_rt.cli.options import config_option, debug_option, json_option, memory_option, owner_option, yes_option
from agno_rt.cli.report import notice
from agno_rt.errors import BackendError, NotFound, UsageError

if TYPE_CHECKING:
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.transfer import SessionRecord
    from agno_rt.memory import MemoryBackend, Session, SessionInfo
    from agno_rt.runtime import Runtime

__all__ = ["command"]


@click.group("sessions")
def command() -> None:
    """See, rename, export, import and delete the conversations that are kept."""


@command.command("list")
@owner_option
@click.option("--search", metavar="TEXT", default="", help="Only sessions whose title contains TEXT.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="Maximum number of sessions.")
@json_option
@config_option
@memory_option
@debug_option
def list_sessions(
    user: str | None, search: str, limit: int, as_json: bool, config: str | None, memory: str | None
) -> None:
    """List the sessions, the last written first.

    The title of a session is the beginning of its first question, unless you rename the session.
    """
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.tables import Column, print_json_lines, print_table, when

    place = Place(config, memory)

    async def load(runtime: Runtime) -> list[SessionInfo]:
        return await runtime.memory.sessions(user=user, query=search, limit=limit)

    infos = place.open(load)
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


@command.command("export")
@click.argument("sessions", nargs=-1)
@click.option("--all", "all_of_them", is_flag=True, help="All sessions.")
@owner_option
@click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
@config_option
@memory_option
@debug_option
def export(
    sessions: tuple[str, ...],
    all_of_them: bool,
    user: str | None,
    output: str | None,
    config: str | None,
    memory: str | None,
) -> int:
    """Write sessions as JSON lines.

    Each line is a whole session: messages, media, state and summary. SESSIONS are ids or the beginnings of ids. With
    --all, damaged sessions are reported and left out, and the exit code is 1. `agno-rt sessions import` reads the
    lines.
    """
    from agno_rt.cli.open_memory import MANY, Place
    from agno_rt.cli.report import show_warning
    from agno_rt.cli.tables import counted
    from agno_rt.cli.transfer import open_output, session_line

    if bool(sessions) == all_of_them:
        raise UsageError("no sessions are named, or both names and --all", hint="Name the sessions, or use --all.")

    async def copy(runtime: Runtime) -> tuple[int, int]:
        store = runtime.memory
        ids = [info.id for info in await store.sessions(user=user, limit=MANY)] if all_of_them else sessions
        # Find all sessions before writing the first, so that a missing session leaves no file.
        if not all_of_them:
            ids = [(await _load_session(store, session, 1, user)).id for session in sessions]
        written, failed = 0, 0
        with open_output(output) as file:
            for session in ids:
                try:
                    found = await store.load(session)
                except BackendError as exc:
                    # If no session can be read, the store is broken rather than the sessions.
                    failed += 1
                    if not all_of_them or failed == len(ids):
                        raise
                    show_warning(exc.message, exc.hint)
                    continue
                # The session may have been deleted meanwhile, and begun again by another user.
                if found.version and user in (None, found.user):
                    file.write(session_line(found, await store.session_info(session)))
                    written += 1
        return written, failed

    count, failed = Place(config, memory).open(copy)
    if output is not None:
        notice(f"Wrote {counted(count, 'session')} to {output}.")
    return 1 if failed else 0


@command.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--skip", is_flag=True, help="Skip sessions that exist already.")
@click.option("--user", metavar="NAME", help="Owner for sessions without one. Sessions of other users are refused.")
@config_option
@memory_option
@debug_option
def import_sessions(file: IO[bytes], skip: bool, user: str | None, config: str | None, memory: str | None) -> None:
    """Read sessions from a file.

    FILE comes from `agno-rt sessions export`; - is standard input. The whole file is checked before the first session
    is stored. A session whose id is taken is an error, unless you use --skip; to replace a session, delete it first.
    Times are those of the import. To give a session without a user to a user, export it, delete it, and import it with
    --user.
    """
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.tables import counted
    from agno_rt.cli.transfer import make_seekable, read_sessions

    name = getattr(file, "name", "-")
    lines = make_seekable(file)

    async def copy(runtime: Runtime) -> tuple[int, int]:
        return await _import_sessions(runtime.memory, lambda: read_sessions(lines, name, user), name=name, skip=skip)

    written, skipped = Place(config, memory).open(copy)
    left = f" {counted(skipped, 'session')} existed already." if skipped else ""
    notice(f"Stored {counted(written, 'session')}.{left}")


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


async def _import_sessions(
    memory: MemoryBackend, read: Callable[[], Iterable[tuple[int, SessionRecord]]], *, name: str, skip: bool
) -> tuple[int, int]:
    """Check all sessions, then store them. Return how many were stored, and how many existed already."""
    from agno_rt.memory import first_words

    taken: set[str] = set()
    lines: dict[str, int] = {}
    # Read the file twice, so that a fault in the last line stores nothing, and no session is held in memory.
    for number, kept in read():
        if kept.id in lines:
            problem = f"{name}:{number} has session {kept.id!r} again, after line {lines[kept.id]}"
            raise UsageError(problem, hint="Rename one of them. Nothing was stored.")
        lines[kept.id] = number
        if (await memory.load(kept.id, 1)).version:
            taken.add(kept.id)
            if not skip:
                hint = "Delete it first, or use --skip to keep such sessions as they are. Nothing was stored."
                raise UsageError(f"{name}:{number}: session {kept.id!r} exists already", hint=hint)
    for _, kept in read():
        if kept.id not in taken:
            await memory.append(
                kept.id, kept.messages, version=0, user=kept.user, data=kept.data or None, agent=kept.agent
            )
            if kept.title and kept.title != first_words(kept.messages):
                await memory.rename(kept.id, kept.title)
    return len(lines) - len(taken), len(taken)
