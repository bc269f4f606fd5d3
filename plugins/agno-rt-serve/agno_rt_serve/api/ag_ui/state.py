"""The state of a run's session, watched as the agent's tools change it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET

from agno_rt import Hook, ModelRequest, RunContext, ToolCall
from agno_rt.output import plain_value
from agno_rt_serve.api.ag_ui import events as sent
from agno_rt_serve.api.ag_ui.patches import list_changes

__all__ = ["StateWatch"]


class StateWatch(Hook):
    """Looks at the state before each request to the model and after each call of a tool. One for each run."""

    def __init__(self) -> None:
        # The states as seen, in order: the reader of the stream may be behind the run.
        self._seen: list[Any] = []
        self._told: Any = UNSET

    async def before_model(self, context: RunContext, request: ModelRequest) -> None:
        """Look at the state."""
        self.look(context.state)

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> None:
        """Look at the state."""
        self.look(context.state)

    def look(self, state: Any) -> None:
        """Note the state as it is now, unless it is None."""
        if state is not None:
            self._seen.append(msgspec.json.decode(msgspec.json.encode(state, enc_hook=plain_value)))

    def tell(self) -> Iterator[sent.Sent]:
        """Make the events for the client: the whole state at first, and then each change."""
        for seen in self._seen:
            before, self._told = self._told, seen
            if before is UNSET:
                yield sent.StateSnapshot(snapshot=seen)
            elif changes := list(list_changes(before, seen)):
                yield sent.StateDelta(delta=changes)
        self._seen.clear()

    def tell_whole(self) -> Iterator[sent.Sent]:
        """Make the event with the whole state, if there is one."""
        if self._seen:
            self._told = self._seen[-1]
            self._seen.clear()
        if self._told is not UNSET:
            yield sent.StateSnapshot(snapshot=self._told)
