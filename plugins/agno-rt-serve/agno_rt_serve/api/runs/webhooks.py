"""Webhooks: messages to other servers about the ends of runs, signed and sent again until they are taken.

The format and the signature are those of https://github.com/standard-webhooks/standard-webhooks: the headers
`webhook-id`, `webhook-timestamp` and `webhook-signature`, an HMAC of the three with the body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs
import msgspec
import trio

from agno_rt.errors import ConfigError
from agno_rt.output import plain_value
from agno_rt.result import RunResult
from agno_rt.wire.public_addresses import is_public
from agno_rt_serve import log
from agno_rt_serve.api.run_format import WebhookBody
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.runs.webhook_settings import WebhookSettings
from agno_rt_serve.errors import HttpError

if TYPE_CHECKING:
    import httpx2

__all__ = ["Place", "Webhooks", "make_webhooks", "sign"]

RETRY_SECONDS = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0)
"""The waits between attempts, give or take a fifth."""
ATTEMPT_SECONDS = 15.0
MOST_WAITING = 1_000
"""The most messages to be on their way at once; further ones are dropped, and the log says so."""

_encode = msgspec.json.Encoder(enc_hook=plain_value).encode


@attrs.frozen
class Place:
    """An address to tell. Messages are signed if there is a secret; `headers` go out with each."""

    url: str
    secret: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    media: str = "application/json"


class Webhooks:
    """Tells the addresses of the settings, and of single runs, about the ends of runs.

    `waits` are the seconds between attempts. Messages are in memory until they are taken: those that are under way when
    the server stops are lost, and the log has their runs.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        nursery: Callable[[], trio.Nursery],
        waits: Sequence[float] = RETRY_SECONDS,
    ) -> None:
        self._settings = settings
        self._nursery = nursery
        self._waits = waits
        self._waiting = 0
        self._client: httpx2.AsyncClient | None = None
        self._places = [Place(url, read_secret(settings.secret)) for url in settings.urls]

    @property
    def tells_all(self) -> bool:
        """Whether the settings name addresses that are told of every run."""
        return bool(self._places)

    async def check(self, asked: WebhookBody) -> None:
        """Raise `HttpError` 400 for an address that may not be told, or without a secret to sign with."""
        if not self._settings.runs:
            raise _refuse("requests may not name webhooks here", "The server's settings name webhooks for all runs.")
        if find_spec("httpx2") is None:
            raise HttpError(501, "not_supported", "this server sends no webhooks", "It lacks the package httpx2.")
        read_secret(asked.secret or self._settings.secret)
        await self._find_address(asked.url)

    def tell(self, task: Task, result: RunResult) -> None:
        """Send word of the end of a run, in the background."""
        if result.status not in self._settings.statuses:
            return
        places = list(self._places)
        if task.webhook is not None:
            places.append(Place(task.webhook.url, read_secret(task.webhook.secret or self._settings.secret)))
        body = _encode(_describe_end(task, result))
        for place in places:
            self.send(place, body, result.run_id)

    def send(self, place: Place, body: bytes, run: str) -> None:
        """Send a message about the run, in the background."""
        if self._waiting >= MOST_WAITING:
            log.write("error", "webhook dropped: too many wait", url=_without_query(place.url), run=run)
            return
        try:
            nursery = self._nursery()
        except HttpError:
            log.write("warning", "webhook lost: the server stops", url=_without_query(place.url), run=run)
            return
        self._waiting += 1
        nursery.start_soon(self._deliver, place, body, run)

    @property
    def can_be_named(self) -> bool:
        """Whether requests may name addresses of their own."""
        return self._settings.runs and find_spec("httpx2") is not None

    async def check_address(self, url: str) -> None:
        """Raise `HttpError` 400 for an address that may not be told."""
        await self._find_address(url)

    def make_place(self, url: str, headers: Mapping[str, str], media: str) -> Place:
        """Return an address whose messages are signed with the server's secret, if any. A send checks the address."""
        secret = read_secret(self._settings.secret) if self._settings.secret else b""
        return Place(url, secret, headers, media)

    async def _deliver(self, place: Place, body: bytes, run: str) -> None:
        """Send the message, again and again until it is taken."""
        message, problem = f"msg_{uuid.uuid4().hex}", ""
        known = {"url": _without_query(place.url), "run": run, "message": message}
        try:
            for wait in (*self._waits, None):
                status, problem = await self._attempt(place, message, body)
                # 410: the receiver wants no more messages, as the specification says.
                if 200 <= status < 300 or status == 410 or wait is None:
                    break
                await trio.sleep(wait * random.uniform(0.8, 1.2))
        except trio.Cancelled:
            log.write("warning", "webhook lost: the server stops", **known)
            raise
        finally:
            self._waiting -= 1
        if problem:
            log.write("error", "webhook given up", problem=problem, **known)

    async def _attempt(self, place: Place, message: str, body: bytes) -> tuple[int, str]:
        """Send the message once. Return the status, 0 for none, and the problem, if any."""
        import httpx2  # few servers have webhooks

        from agno_rt.http_client.transport import hidden_in_logs

        try:
            address = await self._find_address(place.url)
            url = httpx2.URL(place.url)
            # To the address that was checked: the name could lead elsewhere a moment later.
            checked = url.copy_with(host=address)
            headers = {"host": url.netloc.decode(), "content-type": place.media, **place.headers}
            if place.secret:
                headers |= sign(place.secret, message, int(time.time()), body)
            if self._client is None:
                # Connections go by address: another host at the same one must show a certificate of its own.
                limits = httpx2.Limits(max_keepalive_connections=0)
                self._client = httpx2.AsyncClient(trust_env=False, follow_redirects=False, limits=limits)
            with hidden_in_logs(str(checked)), trio.fail_after(ATTEMPT_SECONDS):
                async with self._client.stream(
                    "POST",
                    checked,
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": url.host},
                ) as answer:
                    status = answer.status_code
        except HttpError as error:
            return 0, error.message
        except (httpx2.HTTPError, trio.TooSlowError, OSError) as exc:
            return 0, f"{type(exc).__name__}: {exc}"
        return status, "" if 200 <= status < 300 else f"the receiver answered {status}"

    async def _find_address(self, url: str) -> str:
        """Return an address to connect to. Raises `HttpError` 400 if any address of the host may not be told."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            host, port, parts = None, 0, urlsplit("")
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise _refuse("the webhook is not a URL of http or https", 'Send {"url": "https://..."}.')
        try:
            found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise _refuse(f"the webhook's host {host!r} is unknown", "Check the URL.") from exc
        addresses = [str(each[4][0]).partition("%")[0] for each in found]
        for address in addresses:
            if not (self._settings.private or is_public(ip_address(address))):
                hint = "The server's settings may allow it: private = true in [plugins.serve.webhooks]."
                raise _refuse(f"the webhook's host {host!r} is not on the public internet", hint)
        return addresses[0]

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()


def make_webhooks(settings: WebhookSettings, nursery: Callable[[], trio.Nursery]) -> Webhooks:
    """Return the webhooks of the settings. Raises `ConfigError` for a wrong secret, or without the package httpx2."""
    if not settings.urls:
        return Webhooks(settings, nursery)
    if find_spec("httpx2") is None:
        hint = "Install it: pip install 'agno-rt-serve[webhooks]'."
        raise ConfigError("[plugins.serve.webhooks] needs the package httpx2", hint=hint)
    try:
        return Webhooks(settings, nursery)
    except HttpError as error:
        raise ConfigError(f"[plugins.serve.webhooks]: {error.message}", hint=error.hint) from error


def sign(secret: bytes, message: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message: its id, the time in seconds, and the signature."""
    signed = b"%b.%d.%b" % (message.encode(), at, body)
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}


def read_secret(text: str) -> bytes:
    """Return the secret's bytes. Raises `HttpError` 400 for a text of another form, or a short secret."""
    hint = "Make one: python -c 'import base64, os; print(\"whsec_\" + base64.b64encode(os.urandom(32)).decode())'"
    try:
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _refuse("the webhook's secret is not whsec_ and base64", hint) from exc
    # The bounds of the specification.
    if not 24 <= len(secret) <= 64:
        raise _refuse("the webhook's secret does not have 24 to 64 bytes", hint)
    return secret


def _describe_end(task: Task, result: RunResult) -> dict[str, Any]:
    error = result.error
    data = {
        "run_id": result.run_id,
        "agent": task.agent.name,
        "session": task.shown_session,
        "user": task.user,
        "status": result.status,
        "content": result.content,
        "usage": result.usage,
        # The code alone: an error's text may hold what is for the server's log.
        "code": None if error is None else getattr(error, "code", "error"),
        "approvals": [each.id for each in result.approvals],
    }
    return {"type": f"run.{result.status}", "timestamp": datetime.now(UTC).isoformat(), "data": data}


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _refuse(problem: str, hint: str) -> HttpError:
    return HttpError(400, "invalid_webhook", problem, hint)
