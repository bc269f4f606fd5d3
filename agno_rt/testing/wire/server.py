"""A server on loopback that plays a provider: answers, streams and failures over real sockets, without a network.

The server speaks HTTP/1.1 and knows no provider: a test gives it `Reply` values, one a request, and reads the
`requests` that came. `contract` makes the replies in a provider's format.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

import attrs
import trio

from agno_rt._drive.scopes import cause
from agno_rt.errors import UsageError

__all__ = ["Ending", "WireReply", "WireRequest", "WireServer", "open_wire_server"]

Ending: TypeAlias = Literal["whole", "cut", "reset", "stall", "silent"]
_MOST_HEAD = 2**20
_LINGER = b"\1\0\0\0\0\0\0\0"
"""The value of SO_LINGER that makes a close send a reset."""


@attrs.frozen
class WireRequest:
    """A request as it arrived. The headers' names are in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as a value. Raises `ValueError` for a body that is not JSON."""
        return json.loads(self.body)


@attrs.frozen
class WireReply:
    """An answer to one request: the `pieces` of the body, and the way it ends.

    Attributes:
        pieces: the parts of the body; each is sent alone, as a chunk
        status: the HTTP status
        content_type: the type of the body
        headers: more headers
        ending: `whole` completes the answer and keeps the connection; `cut` closes and `reset` resets the connection
            after the pieces, before the end of the body; `stall` sends nothing more after the pieces, until the client
            leaves; `silent` sends nothing at all, until the client leaves
        until: the server sends the first byte when this event is set
    """

    pieces: tuple[bytes, ...] = ()
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.Factory(dict)
    ending: Ending = "whole"
    until: trio.Event | None = None


_NO_REPLY = WireReply((b"the test gave the server no reply",), 500, "text/plain")


class WireServer:
    """A server that answers each request with the next of its replies, and all later ones with the last.

    Attributes:
        url: the address, as `http://127.0.0.1:PORT`
        requests: the requests so far
        connections: connections since the start
        most_connections: the most connections open at one time
        open_connections: connections open now
        busy: requests that are being answered now
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[WireRequest] = []
        self.connections = self.open_connections = self.most_connections = self.busy = 0
        self._replies: deque[WireReply] = deque()
        self._stalls = 0
        self._changed = trio.Condition()

    def play(self, *replies: WireReply) -> None:
        """Take these replies from now on. Raises `UsageError` for none."""
        if not replies:
            raise UsageError("play() got no reply", hint="Give one reply or more; the last is repeated.")
        self._replies = deque(replies)

    async def wait_requested(self, count: int) -> None:
        """Wait until `count` requests have come since the start."""
        async with self._changed:
            while len(self.requests) < count:
                await self._changed.wait()

    async def wait_stalled(self, count: int = 1) -> None:
        """Wait until the server has stalled or stayed silent `count` times since the start."""
        async with self._changed:
            while self._stalls < count:
                await self._changed.wait()

    async def wait_idle(self) -> None:
        """Wait until no request is being answered: the clients of stalled answers have left."""
        async with self._changed:
            while self.busy:
                await self._changed.wait()

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen on a free port of the loopback interface until cancelled."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        task_status.started()
        await trio.serve_listeners(self._talk, [listener])

    async def _talk(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.open_connections += 1
        self.most_connections = max(self.most_connections, self.open_connections)
        received = bytearray()
        try:
            async with stream:
                while (request := await _read_request(stream, received)) is not None:
                    self.requests.append(request)
                    await self._notify()
                    if not await self._answer(stream, request):
                        return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client left, which many tests are about
        finally:
            self.open_connections -= 1

    async def _answer(self, stream: trio.SocketStream, request: WireRequest) -> bool:
        """Send the next reply; return whether the connection stays open."""
        reply = _NO_REPLY
        if self._replies:
            reply = self._replies.popleft() if len(self._replies) > 1 else self._replies[0]
        self.busy += 1
        try:
            if reply.until is not None:
                await reply.until.wait()
            await _send_reply(stream, reply, head_only=request.method == "HEAD")
            if reply.ending in ("stall", "silent"):
                await self._note_stall()
                await _wait_for_end(stream)
            if reply.ending == "reset":
                stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, _LINGER)
        finally:
            with trio.CancelScope(shield=True):
                if reply.ending != "whole":
                    # Close before the count, so that an idle server has no connection with half an answer.
                    await trio.aclose_forcefully(stream)
                self.busy -= 1
                await self._notify()
        return reply.ending == "whole"

    async def _note_stall(self) -> None:
        self._stalls += 1
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def open_wire_server(*replies: WireReply) -> AsyncIterator[WireServer]:
    """Run a server within the block, on a free port of the loopback interface."""
    server = WireServer()
    if replies:
        server.play(*replies)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            yield server
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The test's own failure, and not a group around it.
        raise cause(group) from None


async def _send_reply(stream: trio.SocketStream, reply: WireReply, *, head_only: bool = False) -> None:
    if reply.ending == "silent":
        return
    phrase = next((each.phrase for each in HTTPStatus if each == reply.status), "Unknown")
    headers = {"content-type": reply.content_type, "transfer-encoding": "chunked", **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    await stream.send_all(f"HTTP/1.1 {reply.status} {phrase}\r\n{lines}\r\n".encode())
    if head_only:
        return
    for piece in filter(None, reply.pieces):
        await stream.send_all(b"%x\r\n%b\r\n" % (len(piece), piece))
        # Let the client read: a piece that comes alone is a harder test than pieces that come together.
        await trio.lowlevel.checkpoint()
    if reply.ending == "whole":
        await stream.send_all(b"0\r\n\r\n")


async def _wait_for_end(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


async def _read_request(stream: trio.SocketStream, received: bytearray) -> WireRequest | None:
    """Return the next request; `None` when the client has left. Bytes of a later request stay in `received`."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) > _MOST_HEAD or not await _receive_more(stream, received):
            return None
    first, *lines = received[:end].decode("latin-1").split("\r\n")
    del received[: end + 4]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, path, _ = first.split(" ", 2)
    length = int(headers.get("content-length", "0"))
    while len(received) < length:
        if not await _receive_more(stream, received):
            return None
    body = bytes(received[:length])
    del received[:length]
    return WireRequest(method, path, headers, body)


async def _receive_more(stream: trio.SocketStream, received: bytearray) -> bool:
    data = await stream.receive_some()
    received += data
    return bool(data)
