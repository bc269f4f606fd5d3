"""One WebSocket under trio: ASGI's `websocket` on one side, frames (RFC 6455) on the other. Knows no route.

wsproto reads and writes the frames. One task reads: it answers pings, keeps a few messages for the application, and
stops reading while those wait, so that a fast client waits too. A silent client is pinged, and cut off if it stays
silent. Messages are not compressed: a short frame could otherwise unfold to a gigabyte.
"""

from __future__ import annotations

import logging
import math
import socket
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from agno_rt.failures import must_pass
from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.http.asgi import JSON, ASGIApp, ClientGone, Message, Scope, is_gone
from agno_rt_serve.http.budget import Budget
from agno_rt_serve.http.protocol import Headers
from agno_rt_serve.settings import Settings

__all__ = ["Link", "Refusal", "WebSocket"]

_logger = logging.getLogger("agno_rt.serve")
_RECEIVE = 65_536
# Messages that wait for the application; while there are so many, nothing is read.
_WAITING = 16
# Seconds for the client to answer a close.
_LINGER = 2.0
# Codes of section 7.4.1 of RFC 6455, and of the registry that it opens.
_NORMAL, _GOING_AWAY, _NO_STATUS, _ABNORMAL, _TOO_BIG, _FAILED, _TRY_LATER = 1000, 1001, 1005, 1006, 1009, 1011, 1013
# A close frame's reason has at most so many bytes.
_LONGEST_REASON = 123


class Link(Protocol):
    """The WebSocket's view of its connection."""

    sock: socket.socket
    since: float
    stuck: bool
    reason: Any

    async def write(self, data: bytes) -> None:
        """Send all of the data. Raises `ClientGone` if nobody takes it."""


class Refusal(Protocol):
    """An HTTP exchange, for a handshake that the application refuses."""

    async def send(self, message: Message) -> None:
        """Take a message of an HTTP response."""

    async def finish(self, failure: BaseException | None) -> None:
        """Answer 500 if the application sent nothing."""

    async def switch(self, headers: Headers) -> None:
        """Send the 101 that opens the WebSocket."""


class WebSocket:
    """A WebSocket: `run` the application on it. `opened` is true once the application accepted the handshake."""

    __slots__ = (
        "_answer",
        "_arrived",
        "_budget",
        "_code",
        "_ended",
        "_held",
        "_link",
        "_lock",
        "_messages",
        "_nursery",
        "_parts",
        "_pinged",
        "_protocol",
        "_reason",
        "_refusal",
        "_refused",
        "_room",
        "_settings",
        "_told",
        "opened",
    )

    def __init__(
        self, link: Link, refusal: Refusal, answer: bytes, *, early: bytes, settings: Settings, budget: Budget
    ) -> None:
        self.opened = False
        self._refused = self._told = self._pinged = False
        self._link = link
        self._refusal = refusal
        self._answer = answer
        self._settings = settings
        self._budget = budget
        self._protocol = Connection(ConnectionType.SERVER, trailing_data=early)
        self._lock = trio.Lock()
        self._messages: deque[tuple[Message, int]] = deque()
        self._parts: list[Any] = []
        # Bytes of the message that is arriving.
        self._held = 0
        self._code, self._reason = 0, ""
        self._ended = trio.Event()
        self._arrived, self._room = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application until it returns, then close. Raises `ClientGone` if nobody is left to be told."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                failure: BaseException | None = None
                try:
                    await app(scope, self.receive, self.send)
                except BaseException as exc:
                    if must_pass(exc):
                        raise
                    failure = exc
                await self._finish(failure, scope["path"])
                nursery.cancel_scope.cancel()
        finally:
            self._part()

    async def receive(self) -> Message:
        """Return the next message; once the client has gone, `websocket.disconnect` each time."""
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        await trio.lowlevel.checkpoint()
        while not self._messages:
            if self._code:
                return {"type": "websocket.disconnect", "code": self._code, "reason": self._reason}
            await self._arrived.park()
        message, size = self._messages.popleft()
        self._budget.free += size
        self._room.unpark_all()
        return message

    async def send(self, message: Message) -> None:
        """Take a message of the application. Raises `ClientGone` (an `OSError`) once the WebSocket is closed."""
        kind = message["type"]
        if not self.opened:
            await self._answer_handshake(kind, message)
        elif kind == "websocket.send":
            text = message.get("text")
            await self._write(BytesMessage(message["bytes"]) if text is None else TextMessage(text))
        elif kind == "websocket.close":
            code, reason = message.get("code") or _NORMAL, _shorten(message.get("reason"))
            await self._write(CloseConnection(code, reason))
            self._leave(code, reason)
        else:
            raise RuntimeError(f"an open WebSocket has no message {kind!r}")

    async def _answer_handshake(self, kind: str, message: Message) -> None:
        if self._code or (self._refused and kind != "websocket.http.response.body"):
            raise ClientGone("the handshake is over")
        if kind == "websocket.accept":
            headers = [(b"sec-websocket-accept", self._answer), *message.get("headers", ())]
            if message.get("subprotocol"):
                headers.append((b"sec-websocket-protocol", message["subprotocol"].encode("latin-1")))
            await self._refusal.switch(headers)
            self.opened = True
            # From now on the reading task learns of a hang-up, behind all that the client sent before.
            self._link.since = math.inf
            assert self._nursery is not None
            self._nursery.start_soon(self._read)
        elif kind == "websocket.close":
            self._refused = True
            error = HttpError(403, "websocket_refused", "the server does not open a WebSocket here")
            await self._refusal.send({"type": "http.response.start", "status": error.status, "headers": JSON})
            await self._refusal.send({"type": "http.response.body", "body": error_body(error)})
        elif kind in ("websocket.http.response.start", "websocket.http.response.body"):
            self._refused = True
            await self._refusal.send({**message, "type": kind.removeprefix("websocket.")})
        else:
            raise RuntimeError(f"a WebSocket that is not accepted has no message {kind!r}")

    async def _finish(self, failure: BaseException | None, path: str) -> None:
        if failure is not None and not is_gone(failure):
            _logger.error("the application failed on the WebSocket %r", path, exc_info=failure)
        if not self.opened:
            await self._refusal.finish(failure)
            return
        if self._protocol.state is ConnectionState.OPEN and not self._code:
            try:
                await self._write(CloseConnection(_NORMAL if failure is None else _FAILED))
            except ClientGone:
                return
        # The client may send on before it answers the close: what comes is dropped.
        self._drop_messages()
        self._room.unpark_all()
        with trio.move_on_after(_LINGER):
            await self._ended.wait()

    async def _read(self) -> None:
        with suppress(OSError):  # the client is gone
            await self._read_events()
        self._leave(_ABNORMAL)
        self._ended.set()

    async def _read_events(self) -> None:
        while True:
            for event in self._protocol.events():
                if not await self._take(event):
                    return
            data = await self._receive_data()
            if data:
                self._protocol.receive_data(data)
            elif data is not None:
                return

    async def _receive_data(self) -> bytes | None:
        """Return the next bytes; `None` if there are none yet, and nothing at the connection's end."""
        with trio.move_on_after(self._settings.ping) as silence:
            await trio.lowlevel.wait_readable(self._link.sock)
        if not silence.cancelled_caught:
            self._pinged = False
            try:
                return self._link.sock.recv(_RECEIVE)
            except BlockingIOError:
                return None
        if self._pinged:
            return b""  # two times of silence: the client is gone, though nobody said so
        self._pinged = True
        await self._write(Ping(b""))
        return None

    async def _take(self, event: Event) -> bool:
        """Take an event of the client. Return False if it was the last."""
        if isinstance(event, TextMessage | BytesMessage):
            return await self._take_part(event)
        if isinstance(event, Ping):
            if self._protocol.state is ConnectionState.OPEN:
                await self._write(event.response())
        elif isinstance(event, CloseConnection):
            if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                self._leave(event.code or _NO_STATUS, event.reason or "")
                await self._write(event.response())
            elif self._protocol.state is not ConnectionState.CLOSED:
                # Not a close by the client: wsproto says what is wrong with the frame.
                await self._break_off(event.code, event.reason or "")
            return False
        return True

    async def _take_part(self, event: TextMessage | BytesMessage) -> bool:
        if self._protocol.state is not ConnectionState.OPEN:
            return True  # the application has closed: what comes is dropped
        size = len(event.data.encode() if isinstance(event.data, str) else event.data)
        if self._held + size > self._settings.max_body:
            await self._break_off(_TOO_BIG, f"a message has at most {self._settings.max_body} bytes")
            return False
        if not self._budget.has_room(size, self._held + size):
            await self._break_off(_TRY_LATER, "the server's memory for messages is full")
            return False
        self._held += size
        self._budget.free -= size
        self._parts.append(event.data)
        if event.message_finished:
            self._add_message()
            while len(self._messages) >= _WAITING:
                await self._room.park()
        return True

    def _add_message(self) -> None:
        # The parts are of one kind: all frames of a message continue its first.
        whole = self._parts[0][:0].join(self._parts)
        name, other = ("text", "bytes") if isinstance(whole, str) else ("bytes", "text")
        self._messages.append(({"type": "websocket.receive", name: whole, other: None}, self._held))
        self._parts, self._held = [], 0
        self._arrived.unpark_all()

    async def _break_off(self, code: int, reason: str) -> None:
        """Close because of what the client sent. Nothing more is read."""
        if self._protocol.state is ConnectionState.OPEN:
            await self._write(CloseConnection(code, _shorten(reason)))
            # The client may be in the middle of a long message: let it read the close before the connection is reset.
            self._link.sock.shutdown(socket.SHUT_WR)
        self._leave(code, reason)
        with trio.move_on_after(_LINGER):
            while await self._receive_data():
                pass

    async def _write(self, event: Event) -> None:
        # Behind the lock, since the reading task answers pings between the application's messages.
        async with self._lock:
            if self._code and not isinstance(event, CloseConnection):
                raise ClientGone("the WebSocket is closed")
            try:
                data = self._protocol.send(event)
            except LocalProtocolError as exc:
                raise ClientGone("the WebSocket is closed") from exc
            await self._link.write(data)

    def _leave(self, code: int, reason: str = "") -> None:
        if not self._code:
            self._code, self._reason = code, reason
        self._arrived.unpark_all()

    def _part(self) -> None:
        """Give back the memory. If the connection is ended from outside, tell the client if that needs no wait."""
        self._drop_messages()
        self._budget.free += self._held
        self._held = 0
        self._parts = []
        if self.opened and self._protocol.state is ConnectionState.OPEN and not (self._code or self._link.stuck):
            try:
                self._link.sock.send(self._protocol.send(CloseConnection(_GOING_AWAY, "the server is stopping")))
                self._link.sock.shutdown(socket.SHUT_WR)
            except OSError:
                return  # the client is gone, or takes nothing

    def _drop_messages(self) -> None:
        while self._messages:
            self._budget.free += self._messages.popleft()[1]


def _shorten(reason: str | None) -> str:
    """Return as much of the reason as a close frame may have."""
    return (reason or "").encode()[:_LONGEST_REASON].decode(errors="ignore")
