"""Reads a streamed answer: bytes from the connection to a reader of the format, deltas to the run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from agno_rt.events import Delta
from agno_rt.models import Emit, ModelResponse
from agno_rt.wire.deltas import split_response

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["StreamReader", "emit_whole", "read_stream"]


class StreamReader(Protocol):
    """A reader of a streamed answer in some format. Its methods raise `ModelError` for an invalid stream.

    `finished` is true when only counts and the end may follow; `done` is true after the end of the stream.
    """

    @property
    def finished(self) -> bool:
        """True when the answer is complete, though counts may follow."""
        ...

    @property
    def done(self) -> bool:
        """True after the end of the stream."""
        ...

    def feed(self, data: bytes) -> Iterable[Delta]:
        """Take in the next bytes and return their deltas."""
        ...

    def end(self) -> Iterable[Delta]:
        """End the stream and return the last deltas. Raises `ModelError` for a stream that broke off."""
        ...

    def response(self) -> ModelResponse:
        """Return the whole response."""
        ...


async def read_stream(answer: Answer, reader: StreamReader, emit: Emit | None) -> ModelResponse:
    """Read the answer to its end, emit the deltas as they come, and return the response.

    Raises `ModelError` for a broken stream and a lost connection; exceptions of `emit` pass.
    """
    while not reader.done and (data := await (answer.read_soon() if reader.finished else answer.read())):
        for delta in reader.feed(data):
            if emit is not None:
                await emit(delta)
    for delta in reader.end():
        if emit is not None:
            await emit(delta)
    if reader.done:
        # The connection is reusable only after the body was read to the end.
        await answer.read_soon()
    return reader.response()


async def emit_whole(response: ModelResponse, emit: Emit | None) -> ModelResponse:
    """Emit a whole response as deltas, for a server that did not stream, and return the response."""
    if emit is not None:
        for delta in split_response(response):
            await emit(delta)
    return response
