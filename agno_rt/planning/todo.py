"""The todo list of an agent: tools to write the list, and a note of the open list at the start of each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import attrs
import msgspec

from agno_rt._decide.todos import (
    MOST_CHARACTERS,
    MOST_TODOS,
    TodoBoard,
    TodoItem,
    TodoStatus,
    read_todos,
    show_todos,
)
from agno_rt.context import RunContext
from agno_rt.models import Binder
from agno_rt.providers import Context
from agno_rt.tools import Toolkit, tool

__all__ = ["Todo", "TodoItem"]


class Todo(Toolkit):
    """A todo list for the model, kept with the session: `Agent(..., tools=[Todo()])`, or `tools = ["todo"]`.

    The tools are `write_todos(todos)` to replace the list, `update_todo(id, status)` and `read_todos()`. The list is
    stored beside the session's messages: the list survives compaction, a restart and other runs, and belongs to the
    session's user. Each run without a session has a list. A resumed or forked run goes on with the list of the moment.

    At the start of a run the model sees the list just before the input, if something is left to do; the system message
    and the history stay the same for the provider's cache. When the conversation is compacted, the list follows the
    summary. Two runs of a session do not lose each other's items: a run stores only changes.
    """

    def __init__(self) -> None:
        super().__init__("todo", (_write_todos, _update_todo, _read_todos))


@attrs.frozen
class NewTodo:
    """An item to write.

    Attributes:
        content: the step, in a few words
        status: `in_progress` for the step at hand
        id: the earlier id of a step in other words
    """

    content: Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]
    status: TodoStatus = "pending"
    id: int | None = None


def find_board(context: RunContext) -> TodoBoard:
    """Return the list of the run, empty at first."""
    board: TodoBoard = context.kept.setdefault(TodoBoard, TodoBoard())
    return board


@attrs.frozen
class TodoNotes:
    """Shows the session's list to the model, if something is left, and keeps the list for the run's tools."""

    name: str = "todo"
    _runtime: Any = None

    def bound(self, runtime: Binder) -> TodoNotes:
        """Return a copy that reads the list in the runtime's memory."""
        return attrs.evolve(self, runtime=runtime)

    async def provide(self, context: RunContext) -> Context | None:
        """Return the list as notes, if something is left. A resumed run has its list already."""
        if TodoBoard in context.kept:
            return None
        board = find_board(context)
        if context.session is not None:
            session = await self._runtime.memory.load(context.session, 0)
            board = context.kept[TodoBoard] = TodoBoard(read_todos(session.data, context.session))
        if all(item.status == "completed" for item in board.items):
            return None
        return Context(notes=f"{_NOTES}\n{show_todos(board.items)}")


_NOTES = "Your todo list, from earlier ([ ] pending, [>] in progress, [x] completed):"


# Parallel calls would change the list in any order. A call that is made again after a crash leads to the same list.
@tool(name="write_todos", parallel=False, idempotent=True)
async def _write_todos(
    context: RunContext, todos: Annotated[list[NewTodo], msgspec.Meta(max_length=MOST_TODOS)]
) -> Sequence[TodoItem]:
    """Write your todo list for this conversation, in place of the list before, and receive it with the items' ids.

    Use a list for work of three or more steps, and when the user gives several tasks; not for a single easy step.
    Write the steps before you begin. Mark a step in_progress when you begin, and completed as soon as the step is
    done, not before. Leave out needless steps. The list stays when older messages are cut off.
    """
    board = find_board(context)
    board.write([(each.content, each.status, each.id) for each in todos])
    return board.items


@tool(name="update_todo", parallel=False, idempotent=True)
async def _update_todo(context: RunContext, id: int, status: TodoStatus, content: str = "") -> Sequence[TodoItem]:
    """Change one item of your todo list, and receive the list.

    Args:
        id: the item's id
        status: the new status
        content: other words for the step; empty to keep them
    """
    board = find_board(context)
    board.update(id, status, content)
    return board.items


@tool(name="read_todos", idempotent=True)
async def _read_todos(context: RunContext) -> Sequence[TodoItem]:
    """Read your todo list."""
    return find_board(context).items


for _each in (_write_todos, _update_todo, _read_todos):
    # Marks the tools for the resolver: the provider comes with them.
    _each.function.provider = TodoNotes()  # type: ignore[attr-defined]
