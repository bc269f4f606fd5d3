"""Sends a tool's progress while its calls are under way, from trio's thread or a worker thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import trio

from agno_rt._drive.emitter import Emitter
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import UsageError
from agno_rt.events import ToolProgress
from agno_rt.failures import must_pass, named
from agno_rt.messages import ToolCall

__all__ = ["Progress"]


class Progress:
    """Sends the progress of some calls to the run's listeners. Close it when the calls are over."""

    __slots__ = ("_calls", "_closed", "_emitter", "_relays", "_token")

    def __init__(self, emitter: Emitter | None, calls: Sequence[ToolCall]) -> None:
        self._emitter = emitter
        self._calls = calls
        self._closed = False
        self._relays: set[trio.CancelScope] = set()
        self._token = trio.lowlevel.current_trio_token()

    async def send(self, data: Any) -> None:
        """Send the data, after waiting for a reader far behind. Raises `UsageError` for data that is not JSON."""
        text = _encode_progress(data, self._calls[0].name)
        emitter = self._emitter
        if emitter is None or self._closed:
            return
        if emitter.buffer is not None:
            await emitter.buffer.room()
        self._post(text)

    def report(self, data: Any) -> None:
        """Send the data from a sync function. In a worker thread this waits like `send`; in trio's own it does not."""
        text = _encode_progress(data, self._calls[0].name)
        if self._emitter is None or self._closed:
            return
        if trio.lowlevel.in_trio_run():
            self._post(text)
            return
        try:
            trio.from_thread.run(self._relay, text, trio_token=self._token)
        except trio.RunFinishedError:
            # A thread left behind can outlive trio itself; nobody listens any more.
            return

    def close(self) -> None:
        """Send no more progress. A thread left behind that waits in `report` goes on at once."""
        self._closed = True
        for scope in self._relays:
            scope.cancel()

    async def _relay(self, text: bytes) -> None:
        assert self._emitter is not None
        with trio.CancelScope() as scope:
            self._relays.add(scope)
            try:
                if not self._closed and self._emitter.buffer is not None:
                    await self._emitter.buffer.room()
                self._post(text)
            finally:
                self._relays.discard(scope)

    def _post(self, text: bytes) -> None:
        emitter = self._emitter
        if emitter is None or self._closed:
            return
        for call in self._calls:
            # Decoded anew for each event, so that no listener shares the object with the tool or another listener.
            emitter.post(ToolProgress(emitter.run_id, call, msgspec.json.decode(text)))


def _encode_progress(data: Any, name: str) -> bytes:
    try:
        return msgspec.json.encode(data, enc_hook=plain_value)
    except BaseException as exc:
        if must_pass(exc):
            raise
        hint = "Send text, numbers, lists, dicts, or classes of these."
        raise UsageError(f"the progress of the tool {name} cannot be sent as JSON: {named(exc)}", hint=hint) from exc
