"""Options that several verbs share, and what they leave behind for `main`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = [
    "State",
    "config_option",
    "debug_option",
    "json_option",
    "memory_option",
    "owner_option",
    "plain_option",
    "reasoning_option",
    "session_option",
    "user_option",
    "yes_option",
]

F = TypeVar("F", bound=Callable[..., Any])


class State:
    """What `main` must know once the verb has ended: whether an error is shown with its traceback."""

    # Written out, because importing attrs here would cost `--version` more than all else in this package.
    __slots__ = ("debug",)

    def __init__(self) -> None:
        self.debug = os.environ.get("AGNO_RT_DEBUG", "") not in ("", "0")


def _note_debug(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(State).debug = True


def debug_option(function: F) -> F:
    """`--debug`."""
    text = "Show the traceback of an error (as AGNO_RT_DEBUG=1 does)."
    return click.option("--debug", is_flag=True, expose_value=False, callback=_note_debug, help=text)(function)


def config_option(function: F) -> F:
    """`--config SOURCE`."""
    text = "Project to use: a .toml or .py file, or a module. Default: agno-rt.toml in this folder, if there is one."
    return click.option("-c", "--config", metavar="SOURCE", help=text)(function)


def json_option(function: F) -> F:
    """`--json`, for what may have several lines."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")(function)


def memory_option(function: F) -> F:
    """`--memory URL`."""
    text = "Memory to use, as in sqlite:///agents.db. Default: the project's, or else the file of `agno-rt chat`."
    return click.option("--memory", metavar="URL", help=text)(function)


def plain_option(function: F) -> F:
    """`--plain`, or `--no-markdown`."""
    text = "Show answers as they are written, without Markdown's forms and wrapped words."
    return click.option("--plain", "--no-markdown", is_flag=True, help=text)(function)


def reasoning_option(function: F) -> F:
    """`--reasoning` and `--no-reasoning`."""
    text = "Show what the model thinks, or do not. Default: dimly, in a terminal."
    return click.option("--reasoning/--no-reasoning", default=None, help=text)(function)


def session_option(function: F) -> F:
    """`--session NAME`."""
    return click.option("--session", metavar="NAME", help="Conversation to go on with, and to keep.")(function)


def user_option(function: F) -> F:
    """`--user NAME`, for what makes runs."""
    text = "Who is asking. A session belongs to the user, or to none, for whom it began."
    return click.option("--user", metavar="NAME", help=text)(function)


def owner_option(function: F) -> F:
    """`--user NAME`, for what is kept."""
    return click.option("--user", metavar="NAME", help="As if there were only what belongs to this user.")(function)


def yes_option(function: F) -> F:
    """`--yes`."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask whether to.")(function)
