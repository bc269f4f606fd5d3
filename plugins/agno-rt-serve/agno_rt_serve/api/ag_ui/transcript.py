"""The conversation as the client has it after each event, for snapshots and for names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from agno_rt_serve.api.ag_ui.asked import ThreadMessage

__all__ = ["Transcript"]


class Transcript:
    """The messages of the client, and those that the run's events make.

    `known` has the names of the calls that the client has without a result, as of a run before its pause, and of those
    that are added. `make_id` returns a new name of a message.
    """

    def __init__(self, given: Sequence[ThreadMessage], make_id: Callable[[], str]) -> None:
        self._given = given
        self.make_id = make_id
        answered = {each.tool_call_id for each in given if each.role == "tool"}
        self.known = {call.id for each in given for call in each.tool_calls or () if call.id not in answered}
        self._made: list[dict[str, Any]] = []
        self._pieces: dict[str, list[str]] = {}
        # By call: the part of the message with the arguments, and the arguments in pieces, as texts are.
        self._calls: dict[str, tuple[dict[str, Any], list[str]]] = {}

    def begin(self, message: str, role: str, owner: str | None, **more: Any) -> None:
        """Add a message without text."""
        made = {"id": message, "role": role, **more}
        self._made.append(made if owner is None else made | {"subagentRunId": owner})
        self._pieces[message] = []

    def add_text(self, message: str, delta: str) -> None:
        """Add a piece of a message's text."""
        self._pieces[message].append(delta)

    def add_call(self, message: str, call: str, name: str) -> None:
        """Add a call to a message of the assistant."""
        found = next(each for each in reversed(self._made) if each["id"] == message)
        made: dict[str, Any] = {"id": call, "type": "function", "function": {"name": name, "arguments": ""}}
        found.setdefault("toolCalls", []).append(made)
        self.known.add(call)
        self._calls[call] = made["function"], []

    def add_arguments(self, call: str, delta: str) -> None:
        """Add a piece of a call's arguments."""
        self._calls[call][1].append(delta)

    def arguments(self, call: str) -> str:
        """Return the arguments of a call of this run, as far as they were sent."""
        return "".join(self._calls[call][1])

    def drop(self, messages: Collection[str]) -> None:
        """Take back messages."""
        self._made = [each for each in self._made if each["id"] not in messages]

    def render(self) -> list[Any]:
        """Return the conversation as it stands."""
        for function, pieces in self._calls.values():
            function["arguments"] = "".join(pieces)
        # Activities are the client's own, and no snapshot names them.
        given = [msgspec.to_builtins(each) for each in self._given if each.role != "activity"]
        made = [each | {"content": "".join(self._pieces[each["id"]])} for each in self._made]
        known = {each["id"] for each in made}
        return [each for each in given if each["id"] not in known] + made
