"""The server over stdin and stdout. Stray output of programs goes to stderr; lines that are too long are refused.

Standard input may be a pipe, a terminal or a file, and so a thread reads. The thread has a limiter of its own, so that
tools in threads cannot keep a cancellation from being read.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import anyio
import attrs
import mcp_types as types
import trio
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage

__all__ = ["Wire", "claim_stdio", "serve_stdio"]

_CHUNK = 65_536
_KEPT = 4_096  # bytes at both ends of a line that is too long, in which to look for the request's id

_ID = re.compile(rb'"id"\s*:\s*(\d{1,15}|"[^"\\]{1,100}")')


@attrs.frozen
class Wire:
    """The descriptors of the client's messages."""

    input: int
    output: int


@contextmanager
def claim_stdio() -> Iterator[Wire]:
    """Yield stdin and stdout for messages alone. Meanwhile the process reads nothing, and prints to stderr."""
    sys.stdout.flush()
    wire = Wire(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    try:
        yield wire
    finally:
        sys.stdout.flush()  # what was printed meanwhile is for stderr
        os.dup2(wire.input, 0)
        os.dup2(wire.output, 1)
        os.close(wire.output)
        # A thread may still read there: the number must not be another file's by then.


async def serve_stdio(server: Server[Any], wire: Wire, max_message: int) -> None:
    """Serve the one client, until it closes its end, or this process is told to end. Calls under way are cancelled."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_obey_signals, nursery.cancel_scope)
        async with _open_streams(wire, max_message) as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())
        nursery.cancel_scope.cancel()


async def _obey_signals(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()


@asynccontextmanager
async def _open_streams(wire: Wire, max_message: int) -> AsyncIterator[Any]:
    incoming, read_stream = anyio.create_memory_object_stream[Any](0)
    write_stream, outgoing = anyio.create_memory_object_stream[Any](0)
    pipe = _Pipe(wire, max_message)
    async with trio.open_nursery() as nursery, incoming, read_stream, write_stream, outgoing:
        nursery.start_soon(pipe.read_messages, incoming, write_stream.clone())
        nursery.start_soon(pipe.write_messages, outgoing)
        yield read_stream, write_stream
        nursery.cancel_scope.cancel()


class _Pipe:
    def __init__(self, wire: Wire, max_message: int) -> None:
        self._wire = wire
        self._most = max_message
        self._reading = trio.CapacityLimiter(1)
        self._writing = trio.CapacityLimiter(1)

    async def read_messages(self, incoming: Any, faults: Any) -> None:
        """Hand on each message; answer lines that are not messages with an error."""
        async with incoming, faults:
            try:
                async with aclosing(self._read_lines()) as lines:
                    async for line in lines:
                        if isinstance(line, types.JSONRPCError):
                            await faults.send(SessionMessage(line))
                        elif line:
                            await self._hand_on(line, incoming, faults)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the session has ended

    async def _hand_on(self, line: bytes, incoming: Any, faults: Any) -> None:
        try:
            message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            await faults.send(SessionMessage(_make_fault(types.PARSE_ERROR, "The line is not a message")))
        else:
            await incoming.send(SessionMessage(message))

    async def _read_lines(self) -> AsyncGenerator[bytes | types.JSONRPCError]:
        buffer, head, skipping = bytearray(), b"", False
        while chunk := await self._read():
            buffer += chunk
            while (end := buffer.find(b"\n")) >= 0:
                line = bytes(buffer[:end])
                del buffer[: end + 1]
                if skipping or len(line) > self._most:
                    yield self._refuse_line(head or line[:_KEPT], line[-_KEPT:])
                    head, skipping = b"", False
                else:
                    yield line.strip()
            if len(buffer) > self._most:
                head, skipping = head or bytes(buffer[:_KEPT]), True
            if skipping:
                del buffer[:-_KEPT]
        if buffer and not skipping:
            yield bytes(buffer).strip()

    def _refuse_line(self, head: bytes, tail: bytes) -> types.JSONRPCError:
        # Clients write the id first, or last.
        found = _ID.search(head) or next(iter(reversed(list(_ID.finditer(tail)))), None)
        text = None if found is None else found[1].decode(errors="replace")
        request = None if text is None else text.strip('"') if text.startswith('"') else int(text)
        return _make_fault(types.INVALID_REQUEST, f"The message has more than {self._most:,} bytes", request)

    async def write_messages(self, outgoing: Any) -> None:
        """Write each message on a line."""
        async for each in outgoing:
            text = each.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
            try:
                await trio.to_thread.run_sync(
                    _write_whole, self._wire.output, text, abandon_on_cancel=True, limiter=self._writing
                )
            except OSError:
                return  # the client is gone; the end of the input tells the rest

    async def _read(self) -> bytes:
        return await trio.to_thread.run_sync(
            os.read, self._wire.input, _CHUNK, abandon_on_cancel=True, limiter=self._reading
        )


def _write_whole(file: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(file, view) :]


def _make_fault(code: int, message: str, request: Any = None) -> types.JSONRPCError:
    return types.JSONRPCError(jsonrpc="2.0", id=request, error=types.ErrorData(code=code, message=message))
