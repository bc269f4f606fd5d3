"""Options that several verbs share, and what they leave behind for `main`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = [
    "State",
    "agent_argument",
    "agent_options",
    "complete_agent",
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


def agent_argument(function: F) -> F:
    """`[AGENT]`: without one the verb lists those there are."""
    return click.argument("agent", required=False, shell_complete=complete_agent)(function)


def complete_agent(context: click.Context, argument: click.Parameter, incomplete: str) -> list[str]:
    """The names of the project's agents that begin so, for a shell; none where the project cannot be loaded."""
    if context.params.get("words"):
        return []  # what comes after the agent is its input
    from agno_rt.errors import AgnoError
    from agno_rt.project import load_project

    try:
        return [name for name in load_project(context.params.get("config")).agents if name.startswith(incomplete)]
    except AgnoError:
        return []


def agent_options(function: F) -> F:
    """`--model`, `--system` and `--tool`, which `agno_rt.cli.choose_agent.Changes` takes as they are."""
    model = "Model to ask, as in openai:gpt-5: in place of the agent's, or without an agent."
    tool = "Another tool: plugin:tool or FILE.py:function. May be given several times."
    options = (
        click.option("-m", "--model", metavar="SPEC", help=model),
        click.option("-s", "--system", metavar="TEXT", help="Instructions, in place of the agent's."),
        click.option("-t", "--tool", "tools", metavar="SPEC", multiple=True, help=tool),
    )
    for option in reversed(options):
        function = option(function)
    return function


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
    text = "Conversation to go on with, and to keep."
    return click.option("--session", metavar="NAME", callback=_check_name, help=text)(function)


def user_option(function: F) -> F:
    """`--user NAME`, for what makes runs."""
    text = "Who is asking. A session belongs to the user, or to none, for whom it began."
    return click.option("--user", metavar="NAME", callback=_check_name, help=text)(function)


def _check_name(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuse a name that nothing can be kept under, the empty one for instance."""
    if value is not None:
        from agno_rt.names import check_name

        check_name(f"the name after --{option.name}", value)
    return value


def owner_option(function: F) -> F:
    """`--user NAME`, for what is kept."""
    return click.option("--user", metavar="NAME", help="As if there were only what belongs to this user.")(function)


def yes_option(function: F) -> F:
    """`--yes`."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask whether to.")(function)
