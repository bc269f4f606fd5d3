"""The browser's way back: one page on a port of this machine that waits for the answer of an authorization server."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, urlsplit

import trio

from agno_rt.errors import UsageError

__all__ = ["Callback", "open_callback"]

PATH = "/callback"
_MOST_BYTES = 16_384
_SECONDS = 5.0  # for one request
_PAGE = """<!doctype html><meta charset="utf-8"><title>agno-rt</title>
<body style="font: 1.1rem system-ui; margin: 4rem auto; max-width: 32rem"><p>{text}</p></body>
"""


class Callback:
    """A port that waits. `redirect_uri` is the address of the page."""

    def __init__(self, listeners: list[trio.SocketListener]) -> None:
        self.port: int = listeners[0].socket.getsockname()[1]
        self.redirect_uri = f"http://127.0.0.1:{self.port}{PATH}"
        self._listeners = listeners
        self._answer: Mapping[str, str] | None = None
        self._answered = trio.Event()
        self._state = ""

    async def wait(self, state: str) -> Mapping[str, str]:
        """Return the parameters of the first answer with the state."""
        self._state = state
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._serve, self._listeners)
            await self._answered.wait()
            nursery.cancel_scope.cancel()
        assert self._answer is not None
        return self._answer

    async def _serve(self, stream: trio.SocketStream) -> None:
        # The browser opens connections that it may not use, and other programs can come, too.
        with trio.move_on_after(_SECONDS), suppress(trio.BrokenResourceError):
            async with stream:
                data = b""
                while b"\r\n\r\n" not in data and len(data) < _MOST_BYTES:
                    if not (chunk := await stream.receive_some(_MOST_BYTES)):
                        return
                    data += chunk
                status, text = self._read(data)
                page = _PAGE.format(text=text).encode()
                head = f"HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(page)}\r\n"
                await stream.send_all(f"{head}connection: close\r\n\r\n".encode() + page)
                if self._answer is not None:
                    self._answered.set()

    def _read(self, data: bytes) -> tuple[str, str]:
        """Note the answer in a request; return the status and the text of the page."""
        words = data.split(b"\r\n", 1)[0].decode("ascii", "replace").split(" ")
        target = urlsplit(words[1]) if len(words) == 3 and words[0] == "GET" else None
        if target is None or target.path != PATH:
            return "404 Not Found", "Nothing is here."
        found = dict(parse_qsl(target.query))
        # An answer without the state is not one to our question.
        if not self._state or not secrets.compare_digest(found.get("state", "").encode(), self._state.encode()):
            return "400 Bad Request", "This answer belongs to another login. Start the login again in the terminal."
        self._answer = self._answer or found
        if "code" not in found:
            return "200 OK", "The login was refused. The terminal has the reason."
        return "200 OK", "The browser's part is done. You can close this page and go back to the terminal."


@asynccontextmanager
async def open_callback(port: int, *, is_fixed: bool) -> AsyncIterator[Callback]:
    """Yield a page on the port, or on a free one if the port is in use and not fixed. Raises `UsageError`."""
    try:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    except OSError as exc:
        if is_fixed:
            raise UsageError(f"the port {port} cannot be used: {exc.strerror}", hint="Give another --port.") from exc
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    try:
        yield Callback(listeners)
    finally:
        for each in listeners:
            await each.aclose()
