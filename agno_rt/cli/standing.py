"""Standing approvals on the command line: the options of `approvals approve`, and the verbs `grants` and `revoke`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import click

from agno_rt.cli.options import json_option, owner_option
from agno_rt.cli.transfer.verbs import memory_options
from agno_rt.errors import UsageError
from agno_rt.run_store import Grant, GrantScope, Standing

if TYPE_CHECKING:
    from agno_rt.runtime import Runtime

__all__ = ["add_standing_options", "add_standing_verbs"]

F = TypeVar("F", bound=Callable[..., Any])

MANY = 10_000


def add_standing_options(function: F) -> F:
    """Add the options that make an approval stand for later calls; the function gets them as `standing`."""

    @functools.wraps(function)
    def with_standing(
        *, lasts: str | None, scope: GrantScope | None, patterns: tuple[str, ...], any_arguments: bool, **others: Any
    ) -> Any:
        return function(standing=_read_standing(lasts, scope, patterns, any_arguments=any_arguments), **others)

    made: Any = with_standing
    options = (
        click.option(
            "--for",
            "lasts",
            metavar="TIME",
            help="Approve later calls, too, for a time such as 1h, 30m or 7d; or `always`.",
        ),
        click.option(
            "--scope",
            type=click.Choice(get_args(GrantScope)),
            help="With --for: in this session (the default), by this agent, or by any agent for the user.",
        ),
        click.option(
            "--any-arguments", is_flag=True, help="With --for: with any arguments, and not only with the same."
        ),
        click.option(
            "--like",
            "patterns",
            multiple=True,
            metavar="NAME=PATTERN",
            help="With --for: with fitting arguments; * stands for any text.",
        ),
    )
    for option in reversed(options):
        made = option(made)
    return cast(F, made)


def _read_standing(
    lasts: str | None, scope: GrantScope | None, patterns: tuple[str, ...], *, any_arguments: bool
) -> Standing | None:
    """Return the standing approval of the options; `None` without `--for`. Raises `UsageError`."""
    if lasts is None:
        if scope is not None or any_arguments or patterns:
            raise UsageError("nothing says how long the approval stands", hint="Add --for 1h, or --for always.")
        return None
    if any_arguments and patterns:
        raise UsageError("--any-arguments does not go with --like", hint="Leave one of them out.")
    from agno_rt.upkeep.ages import parse_age

    seconds = None if lasts == "always" else parse_age(lasts, "--for")
    arguments: Any = "any" if any_arguments else dict(map(_read_pattern, patterns)) or "same"
    return Standing(scope or "session", seconds, arguments)


def _read_pattern(text: str) -> tuple[str, Any]:
    """Return the name and the pattern: a number, true, false or null as JSON, anything else as text."""
    import msgspec

    name, equals, pattern = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--like {text!r} has no name", hint="Write --like to='*@example.org'.")
    try:
        value = msgspec.json.decode(pattern)
    except msgspec.MsgspecError:
        return name, pattern
    return name, value


def add_standing_verbs(group: click.Group) -> None:
    """Add `grants` and `revoke`."""
    group.add_command(_list_grants)
    group.add_command(_revoke)


@click.command("grants")
@owner_option
@json_option
@memory_options
def _list_grants(user: str | None, as_json: bool, **place: str | None) -> None:
    """List the standing approvals, the newest first.

    `approvals approve ID --for TIME` makes one. Standing approvals in agno-rt.toml and in code are not listed.
    """
    from agno_rt.cli.open_memory import Place
    from agno_rt.cli.tables import Column, print_json_lines, print_table, when

    async def load(runtime: Runtime) -> list[Grant]:
        return await runtime.grants(user=user, limit=MANY)

    found = Place(**place).open(load)
    if as_json and found:
        print_json_lines(found)
        return
    rows = [
        (
            each.id,
            each.tool,
            _describe_arguments(each),
            each.agent or "any",
            each.session or "any",
            each.user or "",
            each.by or "",
            when(each.created_at),
            when(each.expires_at) or "never",
        )
        for each in found
    ]
    names = ("TOOL", "ARGUMENTS", "AGENT", "SESSION", "USER", "BY", "GRANTED", "ENDS")
    print_table((Column("ID", whole=True), *map(Column, names)), rows, empty="No standing approvals.")


def _describe_arguments(grant: Grant) -> str:
    import msgspec

    if grant.arguments is not None:
        return grant.arguments
    return f"like {msgspec.json.encode(grant.pattern).decode()}" if grant.pattern else "any"


@click.command("revoke")
@click.argument("grants", nargs=-1, required=True, metavar="ID...")
@owner_option
@memory_options
def _revoke(grants: tuple[str, ...], user: str | None, **place: str | None) -> None:
    """End standing approvals: later calls ask a person again.

    Give a standing approval by its id or the beginning of the id. Runs that wait are not touched.
    """
    from agno_rt.cli.open_memory import Place, match_id
    from agno_rt.cli.tables import one_line

    async def act(runtime: Runtime) -> list[Grant]:
        known = [each.id for each in await runtime.grants(user=user, limit=MANY)]
        chosen = dict.fromkeys(match_id("standing approval", each, known) for each in grants)
        return [await runtime.revoke(each, user=user) for each in chosen]

    for each in Place(**place).open(act):
        click.echo(f"revoked {one_line(each.id)}: {one_line(each.tool)}")
