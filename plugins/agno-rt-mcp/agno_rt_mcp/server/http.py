"""Streamable HTTP: hands each request to the SDK, with the caller as the owner of sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import trio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from agno_rt import Runnable, Runtime
from agno_rt.access import Access, access_of
from agno_rt_mcp.server.exchange import GONE
from agno_rt_mcp.server.protocol import make_server
from agno_rt_mcp.server.settings import ServeSettings

__all__ = ["Endpoint"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_FAREWELL = 5.0  # seconds for the answer to a client that is gone to end

# The SDK hands any other version to its own check, and so does this module.
_HANDSHAKE = ("", *HANDSHAKE_PROTOCOL_VERSIONS)


class Endpoint:
    """The endpoint of the protocol. `live` has to run beside the requests."""

    def __init__(self, runtime: Runtime, runnables: Mapping[str, Runnable], settings: ServeSettings) -> None:
        server, self._tasks = make_server(runtime, runnables, settings, Access())
        bound = self._most = settings.max_message
        self._nursery: trio.Nursery
        self._stateless = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=bound)
        self._stateful = self._stateless
        if settings.sessions:
            self._stateful = StreamableHTTPSessionManager(server, max_request_body_size=bound)

    async def live(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the sessions until cancelled."""
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            for manager in {id(each): each for each in (self._stateless, self._stateful)}.values():
                await stack.enter_async_context(manager.run())
            self._nursery = nursery
            await nursery.start(self._tasks.live)
            task_status.started()
            await trio.sleep_forever()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. A stream without an end ends when the server is told to stop."""
        access = access_of(scope)
        scope["user"] = _make_owner(access)
        if _find_header(scope, b"mcp-protocol-version") not in _HANDSHAKE:
            await self._stateless.handle_request(scope, receive, send)
            return
        manager = self._stateful if access.is_alone else self._stateless
        # Streams cannot be resumed, and the SDK would not answer a request for it: the client gets a new stream.
        scope["headers"] = [each for each in scope["headers"] if each[0] != b"last-event-id"]
        detached = _Detached(scope, receive, send, self._most)
        if await detached.read_body():
            await detached.run(manager, self._nursery)


class _Detached:
    """A request of the earlier protocol, answered in a task of its own.

    A server may cancel the task of a request as soon as its client has hung up, and clients hang up when they have what
    they want. The SDK would then take a session that has just been opened for one that failed.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._most = most
        self._body: bytes | None = b""
        self._gone = trio.Event()
        self._done = trio.Event()
        self._failure: Exception | None = None
        scope[GONE] = self._gone

    async def read_body(self) -> bool:
        """Read the body, or so much of it that it is too large. Return False if the client is gone."""
        body = bytearray()
        while len(body) <= self._most:
            message = await self._receive()
            if message["type"] != "http.request":
                return False
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self._body = bytes(body)
        return True

    async def run(self, manager: StreamableHTTPSessionManager, nursery: trio.Nursery) -> None:
        """Answer the request; return when the answer is sent, or the client is gone. Raises the SDK's errors."""
        nursery.start_soon(self._answer, manager)
        try:
            async with trio.open_nursery() as waiting:
                waiting.start_soon(self._watch, waiting.cancel_scope)
                stopping = self._scope.get("state", {}).get("stopping")
                if self._scope["method"] == "GET" and stopping is not None:
                    waiting.start_soon(_cancel_at, stopping, waiting.cancel_scope)
                await self._done.wait()
                waiting.cancel_scope.cancel()
        finally:
            self._gone.set()
            with trio.move_on_after(_FAREWELL, shield=True):
                await self._done.wait()  # nothing is sent after the end of the request
        if self._failure is not None:
            raise self._failure

    async def _watch(self, scope: trio.CancelScope) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _answer(self, manager: StreamableHTTPSessionManager) -> None:
        try:
            await manager.handle_request(self._scope, self._next_message, self._pass_on)
        except Exception as exc:
            # The SDK fails on a message for a session that has just ended. The nursery has all other clients' requests.
            self._failure = exc
        finally:
            self._done.set()

    async def _next_message(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _pass_on(self, message: Message) -> None:
        if self._gone.is_set():
            return
        try:
            await self._send(message)
            # A server may keep the head until the body begins. A client that listens would wait for the first event.
            if (b"content-type", b"text/event-stream") in message.get("headers", ()):
                await self._send({"type": "http.response.body", "body": b": open\r\n\r\n", "more_body": True})
        except OSError:
            self._gone.set()


async def _cancel_at(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _find_header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _make_owner(access: Access) -> AuthenticatedUser:
    """Return the owner of the caller's sessions, which the SDK compares at each request."""
    token = AccessToken(token="", client_id=access.caller or "local", scopes=[], subject=access.user)
    return AuthenticatedUser(token)
