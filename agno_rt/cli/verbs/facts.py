"""`agno-rt facts`: lists, shows, exports, imports and deletes facts about users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

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
from agno_rt.cli.transfer.verbs import add_transfer_verbs

if TYPE_CHECKING:
    from agno_rt.cli.transfer.facts import FactTransfer
    from agno_rt.memory import Fact, MemoryBackend
    from agno_rt.runtime import Runtime

__all__ = ["command"]


@click.group("facts")
def command() -> None:
    """See, export, import and delete facts about users.

    Agents keep facts with memory=MemoryPolicy(facts=UserMemory()). The id of a fact is unique among the facts about one
    user: name the user with --user if several facts have an id.
    """


@command.command("list")
@owner_option
@click.option("--search", metavar="TEXT", help="Only facts with words of TEXT, the best first; needs --user.")
@page_options("facts")
@json_option
@config_option
@memory_option
@debug_option
def list_them(
    user: str | None, search: str | None, limit: int, offset: int, as_json: bool, **place: str | None
) -> None:
    """List the facts by user, the last changed first."""
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.tables import Column, print_json_lines, print_table, when
    from agno_rt.cli.transfer.facts import list_facts
    from agno_rt.errors import UsageError

    if search is not None and user is None:
        raise UsageError("nobody is named whose facts to search", hint="Name the user: --user NAME.")

    async def load(runtime: Runtime) -> list[Fact]:
        store: Any = runtime.memory
        found = await list_facts(store, user, offset + limit)
        return found if search is None else await store.facts(user, query=search, limit=offset + limit)

    facts = Place(**place).open(load)[offset:]
    if as_json and facts:
        print_json_lines(facts)
        return
    rows = [(each.id, each.user, each.text, ", ".join(each.topics), when(each.updated_at)) for each in facts]
    columns = (Column("ID", whole=True), Column("USER"), Column("FACT"), Column("TOPICS"), Column("CHANGED"))
    print_table(columns, rows, empty=f"No facts{f' about {user}' if user else ''}.")


@command.command("show")
@click.argument("id")
@owner_option
@json_option
@config_option
@memory_option
@debug_option
def show(id: str, user: str | None, as_json: bool, **place: str | None) -> None:
    """Show a fact."""
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.tables import print_json_lines, print_pairs, when
    from agno_rt.cli.transfer.facts import find_facts

    (fact,) = Place(**place).open(lambda runtime: find_facts(runtime.memory, (id,), user))
    if as_json:
        print_json_lines([fact])
        return
    print_pairs(
        [
            ("fact", fact.text),
            ("id", fact.id),
            ("user", fact.user),
            ("topics", ", ".join(fact.topics)),
            ("session", fact.session or ""),
            ("kept", when(fact.created_at)),
            ("changed", when(fact.updated_at)),
        ]
    )


@command.command("delete")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@owner_option
@yes_option
@config_option
@memory_option
@debug_option
def delete(ids: tuple[str, ...], user: str | None, yes: bool, **place: str | None) -> int:
    """Delete facts, by their whole ids."""
    from agno_rt.cli.open_memory import Place, confirm_deletion
    from agno_rt.cli.tables import counted, one_line
    from agno_rt.cli.transfer.facts import find_facts
    from agno_rt.errors import NotFound

    async def forget(runtime: Runtime) -> list[Fact]:
        store: Any = runtime.memory
        gone = []
        for fact in found:
            try:
                await store.forget(fact.user, fact.id)
            except NotFound:
                continue  # deleted meanwhile
            gone.append(fact)
        return gone

    found = Place(**place).open(lambda runtime: find_facts(runtime.memory, ids, user))
    what = f"the fact {found[0].text!r}" if len(found) == 1 else counted(len(found), "fact")
    if not confirm_deletion(f"Delete {what}?", yes=yes):
        return 1
    for fact in Place(**place).open(forget):
        click.echo(f"deleted {one_line(fact.id)} ({one_line(fact.user)})")
    return 0


def _open(act: Callable[[MemoryBackend], Awaitable[Any]], /, **place: Any) -> Any:
    from agno_rt.cli.open_memory import Place

    return Place(**place).open(lambda runtime: act(runtime.memory))


def _load_transfer() -> FactTransfer:
    from agno_rt.cli.transfer.facts import FactTransfer

    return FactTransfer()


add_transfer_verbs(
    command,
    _load_transfer,
    _open,
    export_help="A line is a fact.",
    import_help="A fact with a known text is left out, and later facts get other ids.",
)
