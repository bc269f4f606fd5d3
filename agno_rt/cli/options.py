"""Options shared by several verbs, and the `State` they set for `main`."""

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
    "page_options",
    "plain_option",
    "reasoning_option",
    "session_option",
    "svg_option",
    "user_option",
    "yes_option",
]

F = TypeVar("F", bound=Callable[..., Any])


class State:
    """Facts for `main` after the end of the verb: whether to show an error's traceback."""

    # No attrs class: importing attrs here would cost `--version` more than the rest of this package.
    __slots__ = ("debug",)

    def __init__(self) -> None:
        self.debug = os.environ.get("AGNO_RT_DEBUG", "") not in ("", "0")


def _note_debug(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(State).debug = True


def debug_option(function: F) -> F:
    """Add `--debug`."""
    text = "Show the traceback of an error (as AGNO_RT_DEBUG=1 does)."
    return click.option("--debug", is_flag=True, expose_value=False, callback=_note_debug, help=text)(function)


def agent_argument(function: F) -> F:
    """Add `[AGENT]`. Without an agent the verb lists the project's agents."""
    return click.argument("agent", required=False, shell_complete=complete_agent)(function)


def complete_agent(context: click.Context, argument: click.Parameter, incomplete: str) -> list[str]:
    """Return the agents' names with the beginning, for a shell; nothing if the project cannot be loaded."""
    if context.params.get("words"):
        return []  # the words after the agent are its input
    from agno_rt.errors import AgnoError
    from agno_rt.project import load_project

    try:
        return [name for name in load_project(context.params.get("config")).agents if name.startswith(incomplete)]
    except AgnoError:
        return []


def agent_options(function: F) -> F:
    """Add `--model`, `--system` and `--tool`: the fields of `agno_rt.cli.choose_agent.Changes`."""
    model = "Model to ask, as in openai:gpt-5: instead of the agent's, or without an agent."
    tool = "Another tool: plugin:tool, as `agno-rt plugins` lists, or FILE.py:function. May be given several times."
    options = (
        click.option("-m", "--model", metavar="SPEC", help=model),
        click.option("-s", "--system", metavar="TEXT", help="Instructions, instead of the agent's."),
        click.option("-t", "--tool", "tools", metavar="SPEC", multiple=True, help=tool),
    )
    # Reversed, as decorators apply from the innermost out: `--help` then lists the options in this order.
    for option in reversed(options):
        function = option(function)
    return function


def config_option(function: F) -> F:
    """Add `--config SOURCE`."""
    text = "Project to use: a .toml or .py file, or a module. Default: agno-rt.toml in this folder, if there is one."
    return click.option("-c", "--config", metavar="SOURCE", help=text)(function)


def json_option(function: F) -> F:
    """Add `--json`, for a verb that prints one or more objects."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")(function)


def memory_option(function: F) -> F:
    """Add `--memory URL`."""
    text = "Memory to use, as in sqlite:///agents.db. Default: the project's, or else the file of `agno-rt chat`."
    return click.option("--memory", metavar="URL", help=text)(function)


def plain_option(function: F) -> F:
    """Add `--plain`, also spelled `--no-markdown`."""
    text = "Show answers as plain text, without Markdown and line wrapping."
    return click.option("--plain", "--no-markdown", is_flag=True, help=text)(function)


def reasoning_option(function: F) -> F:
    """Add `--reasoning` and `--no-reasoning`."""
    text = "Show or hide the model's reasoning. Default: shown dimly in a terminal."
    return click.option("--reasoning/--no-reasoning", default=None, help=text)(function)


def session_option(function: F) -> F:
    """Add `--session NAME`."""
    text = "Session to continue; its messages are stored."
    return click.option("--session", metavar="NAME", callback=_check_name, help=text)(function)


def svg_option(function: F) -> F:
    """Add `--svg FILE`, for a verb that draws a picture."""
    text = "Write a picture to this SVG file; - for standard output."
    return click.option("--svg", metavar="FILE", help=text)(function)


def user_option(function: F) -> F:
    """Add `--user NAME`, for a verb that runs an agent."""
    text = "Name of the user who asks. A session belongs to the user who began it."
    return click.option("--user", metavar="NAME", callback=_check_name, help=text)(function)


def _check_name(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Return the name. Raises `UsageError` for a name that cannot be stored, for instance an empty one."""
    if value is not None:
        from agno_rt.names import check_name

        check_name(f"the name after --{option.name}", value)
    return value


def owner_option(function: F) -> F:
    """Add `--user NAME`, for a verb that looks at stored things."""
    return click.option("--user", metavar="NAME", help="Only what belongs to this user.")(function)


def page_options(what: str) -> Callable[[F], F]:
    """Add `--limit` and `--offset`, for a verb that lists things."""

    def add(function: F) -> F:
        least = f"Maximum number of {what}."
        offset = f"Leave out so many {what} at the beginning: the page after the first is --offset 100."
        function = click.option("--offset", default=0, type=click.IntRange(0), metavar="N", help=offset)(function)
        return click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help=least)(function)

    return add


def yes_option(function: F) -> F:
    """Add `--yes`."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")(function)
