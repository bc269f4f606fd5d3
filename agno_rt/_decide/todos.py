"""A todo list as a run changes it: written anew, changed by item, and merged with the changes of other runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from agno_rt._decide.journal import Called
from agno_rt._decide.session_data import Kept, read_kept, write_kept
from agno_rt.errors import BackendError
from agno_rt.tools import ToolArgumentError

__all__ = [
    "MOST_CHARACTERS",
    "MOST_TODOS",
    "TODO_TOOLS",
    "TodoBoard",
    "TodoItem",
    "TodoStatus",
    "keep_todos",
    "merge_todos",
    "read_todos",
    "show_todos",
]

TodoStatus: TypeAlias = Literal["pending", "in_progress", "completed"]

MOST_TODOS = 100
"""The most items of a list."""

MOST_CHARACTERS = 500
"""The most characters of an item."""

TODO_TOOLS = frozenset(("write_todos", "update_todo"))
"""The tools that change the list. Each returns the whole list, from which a resumed run has it again."""


class TodoItem(msgspec.Struct, frozen=True, gc=False):
    """An item of a todo list. The `id` is the item's for good: no other item of the list ever has it."""

    id: int
    content: str
    status: TodoStatus = "pending"


class StoredTodos(msgspec.Struct, frozen=True):
    """A todo list as stored with the session, and the id of the next new item."""

    items: tuple[TodoItem, ...] = ()
    next: int = 1


_EMPTY = StoredTodos()
_read_items = msgspec.json.Decoder(list[TodoItem]).decode
_read_stored = msgspec.json.Decoder(StoredTodos).decode


class TodoBoard:
    """The todo list of one run: `base` is the list at the run's beginning, `items` the list now."""

    def __init__(self, base: StoredTodos = _EMPTY) -> None:
        self.base = base
        self.items: Sequence[TodoItem] = base.items
        self.next = base.next

    @classmethod
    def reopen(cls, begun: bytes, steps: Iterable[Any]) -> TodoBoard:
        """Return the list of a resumed run: its beginning, and the last list that a tool returned."""
        board = cls(_read_stored(begun))
        for step in steps:
            if isinstance(step, Called) and step.name in TODO_TOOLS and step.status == "completed":
                try:
                    board.items = _read_items(step.content if isinstance(step.content, str) else "")
                except msgspec.MsgspecError:
                    continue  # a hook has replaced the result
                board.next = max(board.next, *(item.id + 1 for item in board.items), 0)
        return board

    def encode_base(self) -> msgspec.Raw:
        """Return the list at the run's beginning, for the journal."""
        return msgspec.Raw(msgspec.json.encode(self.base))

    def write(self, asked: Sequence[tuple[str, TodoStatus, int | None]]) -> None:
        """Replace the list. Items keep their ids, found by the id or else by the same content.

        Raises `ToolArgumentError` for too many items, and for an empty or too long content.
        """
        if len(asked) > MOST_TODOS:
            raise ToolArgumentError(f"{len(asked)} todos are too many: at most {MOST_TODOS}. Combine some.")
        known = {item.id: item for item in self.items}
        written: list[TodoItem] = []
        new = self.next
        for content, status, number in asked:
            text = _check_content(content)
            same = number if number in known else None
            if same is None:
                same = next((item.id for item in known.values() if item.content == text), None)
            if same is None:
                same, new = new, new + 1
            known.pop(same, None)
            written.append(TodoItem(same, text, status))
        self.items, self.next = written, new

    def update(self, id: int, status: TodoStatus, content: str) -> None:
        """Change one item; an empty content stays as it is. Raises `ToolArgumentError` for an unknown id."""
        found = next((item for item in self.items if item.id == id), None)
        if found is None:
            known = ", ".join(str(item.id) for item in self.items) or "none"
            raise ToolArgumentError(f"There is no todo {id}. The ids are: {known}.")
        changed = TodoItem(id, _check_content(content) if content else found.content, status)
        self.items = [changed if item.id == id else item for item in self.items]

    def merge_into(self, stored: StoredTodos) -> StoredTodos:
        """Return the stored list with this run's changes; the changes of other runs stay.

        Of an item that both have changed, this run's version counts. New items of other runs follow this run's.
        """
        if stored == self.base:
            return StoredTodos(tuple(self.items), self.next)
        before = {item.id: item for item in self.base.items}
        theirs = {item.id: item for item in stored.items}
        merged: list[TodoItem] = []
        new = max(self.next, stored.next)
        for item in self.items:
            if item.id not in before:
                if item.id not in theirs:
                    merged.append(item)
                elif theirs[item.id].content == item.content:  # a fork, and the run that it is from
                    merged.append(item)
                    del theirs[item.id]
                else:  # two runs have used one id, for two items
                    merged.append(TodoItem(new, item.content, item.status))
                    new += 1
                continue
            other = theirs.pop(item.id, None)
            if item != before[item.id]:
                merged.append(item)
            elif other is not None:  # else another run has removed the item
                merged.append(other)
        # What this run has removed stays removed, unless another run has changed it.
        merged += [item for item in theirs.values() if before.get(item.id) != item]
        return StoredTodos(tuple(merged[:MOST_TODOS]), new)


def _check_content(content: str) -> str:
    text = " ".join(content.split())
    if not text:
        raise ToolArgumentError("A todo has no content.")
    if len(text) > MOST_CHARACTERS:
        raise ToolArgumentError(f"A todo has {len(text)} characters: at most {MOST_CHARACTERS}.")
    return text


def _decode_kept(kept: Kept, session: str) -> StoredTodos:
    if not bytes(kept.todos):
        return _EMPTY
    try:
        return _read_stored(kept.todos)
    except msgspec.MsgspecError as exc:
        hint = "Restore them from a backup, or delete the session."
        raise BackendError(f"the todos of session {session!r} are damaged: {exc}", hint=hint) from exc


def read_todos(data: bytes, session: str) -> StoredTodos:
    """Return the list in a session's data. Raises `BackendError` for damaged data."""
    return _decode_kept(read_kept(data, session), session)


def merge_todos(board: TodoBoard, data: bytes, session: str) -> bytes:
    """Return the session's data with the changes of the run. Raises as `read_todos`."""
    kept = read_kept(data, session)
    stored = _decode_kept(kept, session)
    merged = board.merge_into(stored)
    return data if merged == stored else keep_todos(kept, merged)


def keep_todos(kept: Kept, todos: StoredTodos) -> bytes:
    """Return the session's data with another list."""
    kept.todos = msgspec.Raw(msgspec.json.encode(todos))
    return write_kept(kept)


_MARKS = {"pending": " ", "in_progress": ">", "completed": "x"}


def show_todos(items: Iterable[TodoItem]) -> str:
    """Return the list as lines of text: `3. [x] write the tests`."""
    return "\n".join(f"{item.id}. [{_MARKS[item.status]}] {item.content}" for item in items)
