"""The connection to a server: one pooled HTTP client for each model, and the errors of the transport.

The meaning of the bytes belongs to wire.py.
"""

from __future__ import annotations

import functools
import logging
import ssl
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress

import attrs
import httpx2
import trio

from agno_rt import Limiter, ModelRequest, ModelResponse
from agno_rt.errors import ConfigError, ModelError
from agno_rt.events import Delta
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit
from agno_rt.wire import chat_completions
from agno_rt_openai import refusals, wire
from agno_rt_openai.profile import Key, Server, without_query

__all__ = ["OpenAIModel"]

MAX_BODY = 32 * 2**20
"""Bytes of an answer that is not streamed; a larger answer is refused."""

MAX_ERROR_BODY = 64 * 2**10
KEEPALIVE_SECONDS = 30.0
TAIL_SECONDS = 5.0
"""Seconds to wait for the tail of a finished answer: token counts, and the end of the body."""

CLOSE_SECONDS = 5.0
_BEFORE, _WITHIN = "before it answered", "in the middle of its answer"


class OpenAIModel:
    """A model behind the chat completions format.

    By default the server is OpenAI's. `server` names another server; `base_url` and `api_key` override its fields:
    `OpenAIModel("qwen3", base_url="http://127.0.0.1:8080/v1")` asks any compatible server. Errors call the provider
    `server_name`; `profile` has the known facts of the model. The first request opens the client; `aclose` closes the
    client, and a later request opens a new client.

    Raises `UsageError` for a server with unusable settings.
    """

    def __init__(
        self,
        model: str,
        server: Server | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        server_name: str = "",
    ) -> None:
        server = server or Server()
        if base_url is not None:
            server = attrs.evolve(server, base_url=base_url)
        if api_key is not None:
            server = attrs.evolve(server, api_key=api_key)
        facts = server.facts(model)
        self.model = model
        self.server = server
        self.profile = facts.profile()
        self._dialect = wire.Dialect(
            official=server.is_official,
            think_tags=facts.think_tags or "off",
            reasoning_field=facts.reasoning_field or "",
            system_first=facts.system == "first",
        )
        self.name = f"openai:{server_name}:{model}" if server_name else f"openai:{model}"
        # Two servers may have the same name; the URL keeps their answers apart in a cache.
        self.identity = server.base_url
        self.provider = server_name or ("openai" if server.is_official else server.host)
        self._connections = Limiter(f"{self.provider} max_connections", server.max_connections, server.max_waiting)
        self._client: httpx2.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"OpenAIModel({self.model!r}, base_url={without_query(self.server.base_url)!r})"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        `UsageError` for media outside the format, `Overloaded` if too many requests wait for a connection.
        """
        key = self.server.key()
        peer = self._peer(key)
        stream = emit is not None
        body = wire.request_bytes(request, self.model, self._dialect, stream=stream)
        async with self._connections:
            answer = await self._send(body, _build_headers(self.server, key, stream=stream), peer)
            try:
                return await _read_response(
                    answer, _Reading(peer, self._dialect, chat_completions.tool_names(request)), emit
                )
            finally:
                await answer.aclose()

    def check_ready(self) -> None:
        """Raise `ConfigError` if the server needs a key and the key is missing. Does not ask the server."""
        self.server.key()

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of requests waiting for a connection."""
        return (self._connections.statistics(),)

    def _peer(self, key: Key) -> refusals.Peer:
        return refusals.Peer(
            name=self.name,
            provider=self.provider,
            model=self.model,
            url=self.server.shown_url,
            key_source=key.source,
            secrets=(key.text, *self.server.headers.values(), *self.server.query_values),
        )

    async def _send(self, body: bytes, headers: Mapping[str, str], peer: refusals.Peer) -> _Answer:
        if self._client is None:
            self._client = _open_client(self.server)
        request = self._client.build_request("POST", self.server.chat_url, content=body, headers=headers)
        try:
            response = await self._client.send(request, stream=True)
        except (httpx2.HTTPError, UnicodeError) as exc:
            raise _translate_error(exc, peer, self.server, _BEFORE) from exc
        return _Answer(response, peer, self.server)


class _Answer:
    """An answer with the body still to come; each failure to read the body is a `ModelError`."""

    def __init__(self, response: httpx2.Response, peer: refusals.Peer, server: Server) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.encoding = response.headers.get("content-encoding", "").strip().lower()
        self.content_type = response.headers.get("content-type", "").lower()
        self._response = response
        self._chunks: AsyncGenerator[bytes, None] = response.aiter_raw()
        self._peer = peer
        self._server = server

    async def read(self) -> bytes:
        """Read the next piece of the body; empty at the end."""
        try:
            return await anext(self._chunks, b"")
        except httpx2.HTTPError as exc:
            raise _translate_error(exc, self._peer, self._server, _WITHIN) from exc

    async def read_soon(self) -> bytes:
        """Read the next piece of the tail of a finished answer; empty if the tail is over, late or lost."""
        with trio.move_on_after(TAIL_SECONDS), suppress(ModelError):
            return await self.read()
        return b""

    async def read_all(self) -> bytes:
        """Read the whole body. Raises `ModelError` for more than `MAX_BODY` bytes."""
        body = bytearray()
        while chunk := await self.read():
            body += chunk
            if len(body) > MAX_BODY:
                raise self._peer.error(f"answered with more than {MAX_BODY} bytes")
        return bytes(body)

    async def read_error(self) -> bytes:
        """Read the start of an error's body: the status counts even if the rest never comes."""
        body = bytearray()
        while len(body) < MAX_ERROR_BODY and (chunk := await self.read_soon()):
            body += chunk
        return bytes(body)

    async def aclose(self) -> None:
        """Return the connection to the pool if the body was read to the end; else close the connection."""
        # httpx2 leaves one of its own generators unfinished if a body is closed before the end, and trio warns about
        # the generator. A read that is cancelled while waiting finishes all generators.
        with trio.CancelScope(shield=True) as scope, suppress(httpx2.HTTPError):
            scope.cancel()
            while await anext(self._chunks, b""):
                pass
        with trio.move_on_after(CLOSE_SECONDS, shield=True), suppress(httpx2.HTTPError):
            await self._response.aclose()


@attrs.frozen
class _Reading:
    """The context for reading an answer: the sender, its dialect, and the tools' own names."""

    peer: refusals.Peer
    dialect: wire.Dialect
    names: Mapping[str, str]


async def _read_response(answer: _Answer, reading: _Reading, emit: Emit | None) -> ModelResponse:
    peer, dialect, names = reading.peer, reading.dialect, reading.names
    if not 200 <= answer.status < 300:
        raise refusals.refusal(peer, answer.status, answer.headers, await answer.read_error(), time.time())
    if answer.encoding not in ("", "identity"):
        raise peer.error(f"answered in the encoding {answer.encoding!r}, which was not asked for")
    if _is_stream(answer.content_type, asked_for=emit is not None):
        return await _read_stream(answer, wire.ChatStream(peer, dialect, names), emit or _discard_delta)
    response = wire.completion(await answer.read_all(), peer, dialect, answer.content_type, names)
    if emit is not None:
        for delta in wire.deltas(response):
            await emit(delta)
    return response


async def _read_stream(answer: _Answer, stream: wire.ChatStream, emit: Emit) -> ModelResponse:
    while not stream.done and (data := await (answer.read_soon() if stream.finished else answer.read())):
        for delta in stream.feed(data):
            await emit(delta)
    for delta in stream.end():
        await emit(delta)
    if stream.done:
        # The connection is reusable only after the body was read to the end.
        await answer.read_soon()
    return stream.response()


def _is_stream(content_type: str, *, asked_for: bool) -> bool:
    if "text/event-stream" in content_type:
        return True
    # Some servers send events without their content type. JSON and HTML are read as whole bodies.
    return asked_for and not ("json" in content_type or "html" in content_type)


def _build_headers(server: Server, key: Key, *, stream: bool) -> dict[str, str]:
    headers = {
        "accept": "text/event-stream" if stream else "application/json",
        # The body is read raw, so ask for no compression.
        "accept-encoding": "identity",
        "content-type": "application/json",
    }
    if key.text:
        headers["authorization"] = f"Bearer {key.text}"
    return headers | {name.lower(): value for name, value in server.headers.items()}


async def _discard_delta(delta: Delta) -> None:
    """Drop the delta: nobody listens."""


class _WithoutQuery(logging.Filter):
    """A filter that cuts the query off the completion addresses logged by the HTTP library: a query may hold a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record through, without secrets."""
        if isinstance(record.args, tuple):
            record.args = tuple(_hide_query(arg) for arg in record.args)
        return True


def _hide_query(arg: object) -> object:
    if not isinstance(arg, httpx2.URL) or not arg.path.endswith("/chat/completions"):
        return arg
    return arg.copy_with(query=None)


_HIDES_QUERIES = _WithoutQuery()


def _open_client(server: Server) -> httpx2.AsyncClient:
    # Adding the filter again changes nothing.
    logging.getLogger("httpx2").addFilter(_HIDES_QUERIES)
    timeout = httpx2.Timeout(
        connect=server.connect_timeout, read=server.read_timeout, write=server.read_timeout, pool=None
    )
    # `_connections` admits at most max_connections requests, so the pool never waits and needs no timeout.
    limits = httpx2.Limits(
        max_connections=server.max_connections,
        max_keepalive_connections=server.max_connections,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )
    try:
        return httpx2.AsyncClient(
            verify=_load_certificates()
            if server.base_url.startswith("https:")
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            http2=server.http2,
            timeout=timeout,
            limits=limits,
            trust_env=not server.is_loopback,
            headers={"user-agent": "agno-rt-openai"},
        )
    except ImportError as exc:
        hint = "pip install 'agno-rt-openai[http2]', or leave http2 off."
        raise ConfigError("http2 is on, and the package h2 is not installed", hint=hint) from exc


@functools.cache
def _load_certificates() -> ssl.SSLContext:
    """Return the trusted certificates. Loading them takes tens of milliseconds, so load once, and for https only."""
    return httpx2.create_ssl_context()


# The first matching row counts, so subclasses stand before their base classes.
_FAILURES: tuple[tuple[type[Exception], str, bool, str], ...] = (
    (httpx2.ConnectTimeout, "did not accept a connection at {url} within {connect:g} s", True, "running"),
    (httpx2.ConnectError, "cannot be reached at {url}: {text}", True, "running"),
    (httpx2.ReadTimeout, "stalled: nothing came for {read:g} s {phase}", True, "patience"),
    (httpx2.WriteTimeout, "stalled: it accepted nothing of the request for {read:g} s", True, "patience"),
    (httpx2.NetworkError, "dropped the connection {phase}: {text}", True, ""),
    (httpx2.RemoteProtocolError, "broke the connection off, or does not speak HTTP, {phase}: {text}", True, ""),
    (httpx2.ProxyError, "cannot be reached, because the proxy refused: {text}", True, "proxy"),
    (Exception, "cannot be asked at {url}: {text}", False, "running"),
)
_HINTS = {
    "": "",
    "running": "Is the server running at {url}? base_url says where it is.",
    "patience": "If the model needs longer, raise read_timeout.",
    "proxy": "Check the proxy's address: HTTP_PROXY, HTTPS_PROXY, NO_PROXY.",
    "tls": "Check that the server speaks https, and that this machine trusts its certificate (SSL_CERT_FILE).",
}


def _translate_error(exc: Exception, peer: refusals.Peer, server: Server, phase: str) -> ModelError:
    problem, retryable, hint = next(row[1:] for row in _FAILURES if isinstance(exc, row[0]))
    cause = _find_cause(exc)
    # A wrong certificate, or a server without TLS, stays wrong: a retry cannot help.
    if isinstance(cause, ssl.SSLError):
        retryable, hint = False, "tls"
    text = str(cause) or str(exc) or type(exc).__name__
    facts = {"url": peer.url, "connect": server.connect_timeout, "read": server.read_timeout, "phase": phase}
    return peer.error(problem.format(text=text, **facts), hint=_HINTS[hint].format(**facts), retryable=retryable)


def _find_cause(exc: BaseException) -> BaseException:
    """Return the first cause: the operating system's error says more than the libraries' errors above."""
    while True:
        below = exc.exceptions[0] if isinstance(exc, BaseExceptionGroup) else exc.__cause__
        # httpcore2 keeps the original error as context only; any other context may be unrelated.
        if below is None and isinstance(exc.__context__, _UNDERLYING):
            below = exc.__context__
        if below is None:
            return exc
        exc = below


_UNDERLYING = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
