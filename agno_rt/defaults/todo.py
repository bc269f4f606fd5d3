"""The todo list for agents: `tools = ["todo"]`. Imports nothing slow: the code comes with the toolkit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_rt.errors import UsageError
from agno_rt.hookspecs import Register, hookimpl
from agno_rt.tools import Toolkit

__all__ = ["agno_rt_register_tools"]


def _make_todo(rest: str, settings: Mapping[str, Any]) -> Toolkit:
    from agno_rt.planning.todo import Todo

    if rest:
        raise UsageError(f"'todo:{rest}' is not known", hint="Write todo.")
    return Todo()


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `todo`."""
    register("todo", _make_todo, help="A todo list for the session: write_todos, update_todo, read_todos.")
