"""`agno-rt keys`: keeps API keys in a file that only the user can read. Never prints a key."""

from __future__ import annotations

import os
import sys

import attrs
import click

from agno_rt.cli.options import debug_option, json_option
from agno_rt.cli.report import notice

__all__ = ["ListedKey", "command"]

_MOST_CHARACTERS = 10_000


@attrs.frozen
class ListedKey:
    """A row of the list. `overridden` tells that the environment has a key of the name, which counts."""

    name: str
    file: str
    overridden: bool


@click.group("keys")
def command() -> None:
    """Keep API keys in a file that only you can read.

    A key's name is the name of its environment variable. A variable that is set counts, and not the file. Keys are
    never printed. AGNO_RT_KEYS names another file.
    """


@command.command("set")
@click.argument("name")
@debug_option
def set_key(name: str) -> None:
    """Keep a key, in place of an older one.

    NAME is the name of the environment variable, such as OPENAI_API_KEY. The key is asked for, or read from standard
    input: `agno-rt keys set OPENAI_API_KEY < key.txt`. It is not an argument, which other programs could see.
    """
    from agno_rt.keys.key_file import KeyFile

    if sys.stdin.isatty():
        text = click.prompt(f"Key for {name}", hide_input=True, err=True)
    else:
        text = sys.stdin.read(_MOST_CHARACTERS)
    file = KeyFile()
    file.set(name, text)
    notice(f"{name} is kept in {file.shown}.")
    if os.environ.get(name, "").strip():
        notice(f"The environment variable {name} is set, and counts.")


@command.command("list")
@json_option
@debug_option
def list_keys(as_json: bool) -> None:
    """List the names of the keys."""
    from agno_rt.cli.tables import Column, print_json_lines, print_table
    from agno_rt.keys.key_file import KeyFile

    file = KeyFile()
    keys = [ListedKey(name, file.shown, bool(os.environ.get(name, "").strip())) for name in file.names()]
    if as_json:
        print_json_lines(keys)
        return
    rows = [(key.name, "the environment variable counts" if key.overridden else "") for key in keys]
    empty = f"There are no keys in {file.shown}. For one: agno-rt keys set OPENAI_API_KEY"
    print_table((Column("NAME", whole=True), Column("")), rows, empty=empty)


@command.command("remove")
@click.argument("name")
@debug_option
def remove_key(name: str) -> None:
    """Forget a key."""
    from agno_rt.errors import NotFound
    from agno_rt.keys.key_file import KeyFile

    file = KeyFile()
    names = file.names()
    if not file.remove(name):
        raise NotFound("key", name, names, where=file.shown)
    notice(f"{name} is removed from {file.shown}.")
