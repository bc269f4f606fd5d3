"""The common ground of both bindings: the version and user of a request, and streams of server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import trio

from agno_rt import AgnoError
from agno_rt_serve.api.a2a.follow import Tell
from agno_rt_serve.api.a2a.operations import Peer
from agno_rt_serve.api.a2a.refusals import VERSION_NOT_SUPPORTED, Refusal
from agno_rt_serve.api.a2a.shapes import StreamAnswer
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.runner import STREAM_HEADERS
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Scope, Send, header, request_id

__all__ = ["VERSIONS", "Encode", "Stream", "Streams", "find_version", "read_query_fields", "read_user"]

Stream: TypeAlias = Callable[[Peer, Any, Tell], Awaitable[None]]
Encode: TypeAlias = Callable[["StreamAnswer | HttpError"], bytes]

VERSIONS = ("1.0", "0.3")


def read_query_fields(scope: Scope) -> dict[str, str]:
    """Return the fields of the query; a field without a value counts as left out."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1")))


def read_user(scope: Scope) -> str | None:
    """Return the user that the query names."""
    return read_query_fields(scope).get("user")


def find_version(scope: Scope) -> str:
    """Return the version of the protocol that the client speaks: 0.3 for a client that does not say.

    Raises `Refusal` for any other version.
    """
    said = header(scope, b"a2a-version").decode("latin-1").strip() or _find_in_query(scope)
    version = ".".join(said.split(".")[:2]) if said else "0.3"
    if version not in VERSIONS:
        problem = f"version {said!r} of A2A is not supported"
        raise Refusal(VERSION_NOT_SUPPORTED, problem, f"This server speaks {' and '.join(VERSIONS)}.")
    return version


def _find_in_query(scope: Scope) -> str:
    fields = read_query_fields(scope) if scope["query_string"] else {}
    return next((value for name, value in fields.items() if name.lower() == "a2a-version"), "")


class Streams:
    """Answers with the updates of a task as server-sent events, with a comment after each `ping` seconds of silence.

    A proxy would cut a silent stream, and the server would not notice that its client is gone.
    """

    def __init__(self, faults: Faults, ping: float) -> None:
        self._faults = faults
        self._ping = ping

    async def run(self, operation: Stream, peer: Peer, asked: Any, send: Send, encode: Encode) -> None:
        """Answer a request. Raises the error of a stream that has not begun."""
        sent = _Sent(send, encode)
        error: AgnoError | HttpError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sent.ping, self._ping)
            try:
                await operation(peer, asked, sent.tell)
            except (AgnoError, HttpError) as exc:
                error = exc
            nursery.cancel_scope.cancel()
        if error is not None:
            if not sent.begun:
                raise error
            if isinstance(error, AgnoError):
                error = self._faults.describe(error, request_id(peer.scope))
            await sent.tell(error)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Sent:
    """A stream of server-sent events, one piece at a time."""

    def __init__(self, send: Send, encode: Encode) -> None:
        self.begun = False
        self._send = send
        self._encode = encode
        self._turn = trio.Lock()
        self._last = 0.0

    async def tell(self, answer: StreamAnswer | HttpError) -> None:
        """Send an element of the stream; the first one begins the answer."""
        if not self.begun:
            self.begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        await self._write(b"data: %b\n\n" % self._encode(answer))

    async def ping(self, seconds: float) -> None:
        """Send a comment whenever nothing was sent for some time, until cancelled."""
        while True:
            await trio.sleep(seconds)
            if self.begun and trio.current_time() >= self._last + seconds:
                await self._write(b":\n\n")

    async def _write(self, piece: bytes) -> None:
        async with self._turn:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            self._last = trio.current_time()
