"""A client for web servers: guarded addresses, limits of bytes and time, redirects, further attempts, and a pace."""

from __future__ import annotations

import functools
import math
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import httpcore2
import httpx2
import trio

from agno_rt.errors import ConfigError
from agno_rt.wire.refusals import retry_after
from agno_rt_web.addresses import Guard, Prefix, parse_url, port_of
from agno_rt_web.connect import GuardedBackend
from agno_rt_web.decode import Unpacker, decode_body, split_content_type
from agno_rt_web.errors import AddressRefused, Broken, WebError
from agno_rt_web.settings import WebSettings

__all__ = ["Credential", "Reply", "Request", "WebClient", "hide_secrets", "load_certificates"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({429, 500, 502, 503, 504})
"""Statuses that may pass with time."""

BACKOFF = 0.5
"""Seconds before the second attempt; each further attempt waits twice as long."""

CLOSE_SECONDS = 2.0
KEEPALIVE_SECONDS = 15.0
_SECRET_LENGTH = 8
_KNOWN_HOSTS = 1_000
"""The most hosts whose pace is known."""


@attrs.frozen
class Request:
    """A request: method, address, headers and body. `most` is the most bytes of the answer; 0 for the settings'.

    `repeat` allows further attempts: the request changes nothing on the server. `interval` is the pace.
    """

    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = b""
    repeat: bool = True
    interval: float = 0.0


@attrs.frozen
class Reply:
    """An answer: the address after redirects, the status, the headers in small letters, and the body.

    `is_cut` is true if the body has more bytes than allowed.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
    is_cut: bool = False

    @property
    def media_type(self) -> str:
        """The media type in small letters; empty without one."""
        return split_content_type(self.headers.get("content-type", ""))[0]

    @property
    def text(self) -> str:
        """The body as text."""
        return decode_body(self.body, split_content_type(self.headers.get("content-type", ""))[1])


@attrs.frozen
class Credential:
    """Headers for addresses with a prefix. `find` returns the headers and their secrets, for each request."""

    prefix: Prefix
    find: Callable[[], tuple[Mapping[str, str], Sequence[str]]] = attrs.field(repr=False)


def hide_secrets(text: str, secrets: Sequence[str]) -> str:
    """Cut the secrets out of a text: some servers repeat what they were sent."""
    for secret in sorted((each for each in secrets if len(each) >= _SECRET_LENGTH), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


class WebClient:
    """Sends requests: `await client.send(Request("GET", url))`. `aclose` closes the connections.

    `allowed` are the beginnings of the only addresses to ask, also after redirects; empty for every address that the
    guard allows.
    """

    def __init__(
        self,
        settings: WebSettings,
        guard: Guard,
        *,
        certificates: ssl.SSLContext,
        allowed: Sequence[Prefix] = (),
        credentials: Sequence[Credential] = (),
    ) -> None:
        self.settings = settings
        self._allowed = tuple(allowed)
        self._credentials = tuple(credentials)
        self._next: dict[str, float] = {}
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=certificates,
            max_connections=settings.connections,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=GuardedBackend(guard),
        )

    async def send(self, request: Request) -> Reply:
        """Return the answer, whatever its status, after redirects and attempts.

        Raises `AddressRefused` for a forbidden address, and `WebError` for a request without an answer in time.
        """
        seconds = self.settings.timeout
        url = self._check(request.url)
        with trio.move_on_after(seconds):
            return await self._follow(request, url)
        hint = "Try again later, or use another address."
        raise WebError(f"{_show(url)} did not answer in full within {seconds:g} s", hint=hint)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets in the headers of credentials. Raises `ConfigError` for a missing key."""
        return tuple(secret for each in self._credentials for secret in each.find()[1])

    def check_credentials(self) -> None:
        """Raise `ConfigError` for a missing key of a header."""
        _ = self.secrets

    async def aclose(self) -> None:
        """Close the connections."""
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._pool.aclose()

    def _check(self, address: str | httpx2.URL) -> httpx2.URL:
        """Return an address that may be asked. Raises `AddressRefused`."""
        url = parse_url(str(address))
        if self._allowed and not any(prefix.covers(url) for prefix in self._allowed):
            shown = ", ".join(f"{each.scheme}://{_name_host(each)}{each.path}" for each in self._allowed[:10])
            raise AddressRefused(f"{_show(url)} is not an allowed address", hint=f"Allowed are: {shown}")
        return url

    async def _follow(self, request: Request, url: httpx2.URL) -> Reply:
        for _ in range(self.settings.redirects + 1):
            reply = await self._attempt(request, url)
            target = reply.headers.get("location", "") if reply.status in REDIRECTS else ""
            if not target:
                return reply
            try:
                following = url.join(target)
            except (httpx2.InvalidURL, UnicodeError, ValueError):
                raise AddressRefused(f"{_show(url)} leads to {target[:200]!r}, which is not an address") from None
            following = self._check(following)
            request = _redirect(request, reply.status, url, following)
            url = following
        hint = "Use the address where the page is now."
        raise WebError(f"{request.url[:200]} leads to more than {self.settings.redirects} other addresses", hint=hint)

    async def _attempt(self, request: Request, url: httpx2.URL) -> Reply:
        """Return the answer of the first attempt that is not a passing failure, or of the last one."""
        attempts = 1 + (int(self.settings.retries) if request.repeat else 0)
        for attempt in range(attempts):
            await self._keep_pace(url.host, request.interval)
            wait = BACKOFF * 2**attempt
            try:
                reply = await self._exchange(request, url)
            except Broken:
                if attempt == attempts - 1:
                    raise
            else:
                asked = retry_after(reply.headers, time.time()) if reply.status in PASSING else 0.0
                wait = wait if asked is None else asked
                is_final = attempt == attempts - 1 or wait > self.settings.patience or _ends_before(wait)
                if reply.status not in PASSING or is_final:
                    return reply
            await trio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _keep_pace(self, host: str, interval: float) -> None:
        """Wait until the host may be asked again."""
        if not interval:
            return
        now = trio.current_time()
        start = max(now, self._next.pop(host, now))
        if len(self._next) >= _KNOWN_HOSTS:
            del self._next[next(iter(self._next))]
        # Set before the wait: others queue behind this request.
        self._next[host] = start + interval
        await trio.sleep_until(start)

    async def _exchange(self, request: Request, url: httpx2.URL) -> Reply:
        settings = self.settings
        timeout = {"connect": settings.stall, "read": settings.stall, "write": settings.stall}
        sent = httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=self._build_headers(request, url),
            content=request.body or None,
            extensions={"timeout": timeout},
        )
        try:
            response = await self._pool.handle_async_request(sent)
            headers = _read_headers(response.headers)
            unpacker = await _read_body(response, headers.get("content-encoding", ""), settings.max_bytes)
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as exc:
            raise _explain_failure(exc, url, settings.stall) from exc
        return Reply(str(url), response.status, headers, bytes(unpacker.body), unpacker.is_full)

    def _build_headers(self, request: Request, url: httpx2.URL) -> list[tuple[bytes, bytes]]:
        headers = {
            "host": url.netloc.decode("ascii"),
            "user-agent": self.settings.user_agent,
            "accept": "*/*",
            "accept-encoding": "gzip, deflate",
            **{name.lower(): value for name, value in request.headers.items()},
        }
        for each in self._credentials:
            if each.prefix.covers(url):
                headers |= each.find()[0]
        if request.body:
            headers["content-length"] = str(len(request.body))
        return [(name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items()]


def _name_host(prefix: Prefix) -> str:
    return prefix.host if prefix.port in (80, 443) else f"{prefix.host}:{prefix.port}"


def _show(url: httpx2.URL) -> str:
    """Return an address for errors, without its query, which may hold a key."""
    return str(url.copy_with(query=None))[:200]


def _ends_before(wait: float) -> bool:
    """Return whether the call ends before the wait does. A cancelled call waits, and is cancelled there."""
    deadline = trio.current_effective_deadline()
    return math.isfinite(deadline) and trio.current_time() + wait >= deadline


def _redirect(request: Request, status: int, url: httpx2.URL, following: httpx2.URL) -> Request:
    """Return the request at a new address: as browsers do, and without its own headers at another server."""
    same = (url.scheme, url.host, port_of(url)) == (following.scheme, following.host, port_of(following))
    headers = request.headers if same else {}
    if request.method == "GET" or (status not in (307, 308)):
        return attrs.evolve(request, method="GET", headers=headers, body=b"")
    if not same:
        hint = "Send the request to the new address, if you trust it."
        raise AddressRefused(f"{_show(url)} leads a {request.method} to {_show(following)}", hint=hint)
    return request


def _read_headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


async def _read_body(response: httpcore2.Response, encoding: str, most: int) -> Unpacker:
    """Read the body until its end or its limit, and close the answer."""
    pieces = response.aiter_stream()
    try:
        unpacker = Unpacker(encoding, most)
        while not unpacker.is_full and (piece := await anext(pieces, b"")):
            unpacker.feed(piece)
        return unpacker
    finally:
        # The library leaves generators of its own unfinished if a body is closed before the end; a read that is
        # cancelled while waiting finishes them all, and closes the connection.
        with trio.CancelScope(shield=True) as scope, suppress(httpcore2.NetworkError, httpcore2.ProtocolError):
            scope.cancel()
            while await anext(pieces, b""):
                pass
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await response.aclose()


def _explain_failure(exc: Exception, url: httpx2.URL, stall: float) -> WebError:
    host = url.host
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            hint = "Use another address. The operator can trust a certificate by ca_file in [plugins.web]."
            reason = getattr(cause, "verify_message", "") or cause.reason or str(cause)
            return WebError(f"{host} has no valid certificate: {reason}", hint=hint)
        cause = cause.__cause__ or cause.__context__
    if isinstance(exc, httpcore2.ConnectTimeout | httpcore2.ConnectError):
        return Broken(f"{host} cannot be reached", hint="Check the address, or try again later.")
    if isinstance(exc, httpcore2.TimeoutException):
        return Broken(f"{host} sent nothing for {stall:g} s", hint="Try again later, or use another address.")
    return Broken(f"{host} broke off, or does not speak HTTP", hint="Try again later, or use another address.")


@functools.cache
def load_certificates(ca_file: str) -> ssl.SSLContext:
    """Return the trusted certificates: the usual authorities, or those of a file. Raises `ConfigError` for the file.

    Loading takes a tenth of a second: load once, in a thread.
    """
    if not ca_file:
        return httpx2.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=str(Path(ca_file).expanduser()))
    except (OSError, ssl.SSLError) as exc:
        hint = "Name a file of certificates in PEM form."
        raise ConfigError(f"ca_file {ca_file!r} cannot be used: {exc}", hint=hint) from exc
