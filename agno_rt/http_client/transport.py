"""The connections to a server, and answers read from them: every failure of httpx2 becomes a `ModelError`.

Imports httpx2; `client` imports this module with the first request.
"""

from __future__ import annotations

import functools
import logging
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import httpx2
import trio

from agno_rt.errors import ConfigError, ModelError
from agno_rt.http_client.failures import BEFORE, WITHIN, translate_failure
from agno_rt.http_client.server import HttpServer
from agno_rt.wire.refusals import Peer, refusal, request_id

__all__ = ["MAX_BODY", "Answer", "Transport", "hidden_in_logs", "hide_in_logs"]

MAX_BODY = 32 * 2**20
"""Bytes of an answer that is not streamed; a larger answer is refused."""

MAX_ERROR_BODY = 64 * 2**10
KEEPALIVE_SECONDS = 30.0
TAIL_SECONDS = 5.0
"""Seconds to wait for the tail of a finished answer: token counts, and the end of the body."""

CLOSE_SECONDS = 5.0
_SECRET_LENGTH = 8
"""Shorter texts stay in logs: cutting them out would leave holes in plain words."""

_MOST_SECRETS = 1_000
_ASKED = {
    # The body is read raw, so ask for no compression.
    "accept-encoding": "identity",
}


class Transport:
    """An open pool of connections. Raises `ConfigError` for unusable certificates, and for HTTP/2 without h2."""

    def __init__(self, server: HttpServer, user_agent: str) -> None:
        self._server = server
        self._client = _open_client(server, user_agent)
        hide_in_logs(server.base_url)

    async def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str], peer: Peer) -> Answer:
        """Send the request and return the answer with the body still to come. Raises `ModelError`."""
        _HIDES_SECRETS.hide(peer.secrets)
        try:
            request = self._client.build_request(method, url, content=body, headers={**_ASKED, **headers})
            response = await self._client.send(request, stream=True)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as exc:
            raise translate_failure(exc, peer, self._server, BEFORE) from exc
        return Answer(response, peer, self._server)

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        await self._client.aclose()


class Answer:
    """An answer with the body still to come; each failure to read the body is a `ModelError`.

    `peer` is the server for errors about this answer, with the service's number for the request.
    """

    def __init__(self, response: httpx2.Response, peer: Peer, server: HttpServer) -> None:
        number = request_id(response.headers)
        self.status = response.status_code
        self.headers = response.headers
        self.content_type = response.headers.get("content-type", "").lower()
        self.peer = attrs.evolve(peer, request_id=number) if number else peer
        self._response = response
        self._chunks: AsyncGenerator[bytes, None] = response.aiter_raw()
        self._server = server

    async def check(self) -> None:
        """Raise the `ModelError` of an answer without success, or in an encoding that was not asked for."""
        if not 200 <= self.status < 300:
            raise refusal(self.peer, self.status, self.headers, await self.read_error(), time.time())
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise self.peer.error(f"answered in the encoding {encoding!r}, which was not asked for")

    def is_stream(self, *, asked_for: bool) -> bool:
        """Return whether the body is a stream of events, from its content type and from the request."""
        if "text/event-stream" in self.content_type:
            return True
        # Some servers send events without their content type. JSON and HTML are read as whole bodies.
        return asked_for and not ("json" in self.content_type or "html" in self.content_type)

    async def read(self) -> bytes:
        """Read the next piece of the body; empty at the end."""
        try:
            return await anext(self._chunks, b"")
        except httpx2.HTTPError as exc:
            raise translate_failure(exc, self.peer, self._server, WITHIN) from exc

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
                raise self.peer.error(f"answered with more than {MAX_BODY} bytes")
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


class _WithoutSecrets(logging.Filter):
    """A filter for the HTTP library's logs: cuts queries and passwords off addresses of servers, and cuts secrets out.

    A query may hold a key. The most detailed logs have the headers of answers, and some servers echo a key there.
    """

    def __init__(self) -> None:
        super().__init__()
        # As many as there are servers in the settings, and messages to webhooks under way.
        self.hosts: Counter[bytes] = Counter()
        self._secrets: dict[str, None] = {}

    def hide(self, secrets: Iterable[str]) -> None:
        """Cut these texts out of later records."""
        for secret in secrets:
            if len(secret) >= _SECRET_LENGTH and secret not in self._secrets:
                self._secrets[secret] = None
                if len(self._secrets) > _MOST_SECRETS:
                    # Tokens replace one another; the oldest has long expired.
                    del self._secrets[next(iter(self._secrets))]

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record through, without secrets."""
        if isinstance(record.args, tuple):
            record.args = tuple(self._hide_query(arg) for arg in record.args)
        text = record.getMessage()
        if (hidden := self._hide_secrets(text)) != text:
            record.msg, record.args = hidden, ()
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            if (hidden := self._hide_secrets(text)) != text:
                record.exc_info, record.exc_text = None, hidden
        return True

    def _hide_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _hide_query(self, arg: object) -> object:
        if isinstance(arg, httpx2.URL) and arg.netloc in self.hosts:
            return arg.copy_with(query=None, userinfo=b"")
        return arg


_HIDES_SECRETS = _WithoutSecrets()
_LOGGERS = ("httpx2", *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
"""The loggers of the HTTP library: a filter holds for the records of its own logger only."""


def hide_in_logs(url: str, *secrets: str, loggers: Iterable[str] = ()) -> None:
    """Keep the queries and passwords of a server's addresses, and `secrets`, out of the HTTP library's logs.

    A plugin with a client of its own calls this before the first request, with an address of the server. `loggers` are
    more loggers that tell of the server.
    """
    # Adding the filter again changes nothing.
    for name in (*_LOGGERS, *loggers):
        logging.getLogger(name).addFilter(_HIDES_SECRETS)
    _HIDES_SECRETS.hosts[httpx2.URL(url).netloc] += 1
    _HIDES_SECRETS.hide(secrets)


@contextmanager
def hidden_in_logs(url: str) -> Iterator[None]:
    """Do as `hide_in_logs` within the block, for a server that is in no settings: there may be any number of them."""
    hide_in_logs(url)
    try:
        yield
    finally:
        _HIDES_SECRETS.hosts -= Counter([httpx2.URL(url).netloc])  # leaves out counts of 0


def _open_client(server: HttpServer, user_agent: str) -> httpx2.AsyncClient:
    timeout = httpx2.Timeout(
        connect=server.connect_timeout, read=server.read_timeout, write=server.read_timeout, pool=None
    )
    # `HttpClient` admits at most max_connections requests, so the pool never waits and needs no timeout.
    limits = httpx2.Limits(
        max_connections=server.max_connections,
        max_keepalive_connections=server.max_connections,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )
    try:
        return httpx2.AsyncClient(
            verify=_choose_certificates(server),
            http2=server.http2,
            timeout=timeout,
            limits=limits,
            proxy=server.proxy or None,
            trust_env=server.proxy is None and not server.is_loopback,
            headers={"user-agent": user_agent},
        )
    except ImportError as exc:
        missing = "socksio" if (server.proxy or "").startswith("socks") else "h2"
        hint = f"pip install 'httpx2[{'socks' if missing == 'socksio' else 'http2'}]', or change the setting."
        raise ConfigError(f"the package {missing} is needed, and is not installed", hint=hint) from exc


def _choose_certificates(server: HttpServer) -> ssl.SSLContext:
    if server.ca_file:
        server.check_files()
        try:
            return ssl.create_default_context(cafile=str(Path(server.ca_file).expanduser()))
        except ssl.SSLError as exc:
            hint = "Name a file of certificates in PEM form."
            raise ConfigError(f"ca_file {server.ca_file!r} has no certificate", hint=hint) from exc
    secure = server.base_url.startswith("https:") or (server.proxy or "").startswith("https:")
    return _load_certificates() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def _load_certificates() -> ssl.SSLContext:
    """Return the trusted certificates. Loading them takes tens of milliseconds, so load once, and for https only."""
    return httpx2.create_ssl_context()
