"""The chat page: its files, with their types, hashes and policy. Reads `page/` once, when the server starts."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable

import attrs

from agno_rt_serve.api.routing import Route
from agno_rt_serve.http.asgi import Receive, Scope, Send, header, respond
from agno_rt_serve.settings import Settings

__all__ = ["page_routes"]

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}

# The page runs only its own files. Trusted types: no script of the page can turn text into markup, except DOMPurify,
# which cleans its output. Images come from the conversation, as data; none is ever fetched.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    b"media-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types dompurify"
)
# RapiDoc styles its parts in their markup, and makes them with lit. Nothing else differs: it fetches the document, and
# sends requests of the reader, to this server alone.
_DOCS_POLICY = _POLICY.replace(b"style-src 'self'", b"style-src 'self' 'unsafe-inline'").replace(
    b"trusted-types dompurify", b"trusted-types lit-html"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    # The browser keeps the file and asks each time whether it changed: an upgraded server is seen at once.
    (b"cache-control", b"no-cache"),
    (b"vary", b"accept-encoding"),
]


@attrs.define(slots=False)
class _File:
    """A file of the page, as an ASGI handler. It answers 304 to a browser that has the file already."""

    kind: bytes
    body: bytes
    policy: bytes = _POLICY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        headers = [(b"content-security-policy", self.policy), *_HEADERS, (b"etag", self._etag)]
        if self._etag in header(scope, b"if-none-match"):
            await respond(send, 304, headers, b"")
            return
        headers.append((b"content-type", self.kind))
        body = self.body
        if b"gzip" in header(scope, b"accept-encoding"):
            headers.append((b"content-encoding", b"gzip"))
            body = self._packed
        await respond(send, 200, headers, body)

    @cached_property
    def _etag(self) -> bytes:
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'.encode()

    @cached_property
    def _packed(self) -> bytes:
        # Without a time in it, every start of the server packs a file to the same bytes.
        return gzip.compress(self.body, mtime=0)


def page_routes(settings: Settings) -> Iterator[Route]:
    """Yield a route for each file of the page; `/` is the page itself, `/docs` the reference of the API.

    The HTML carries the settings that the page needs before its first request.
    """
    told = json.dumps({"max_media": settings.max_media, "max_body": settings.max_body})
    for path, file in _read_files(resources.files("agno_rt_serve") / "page", "/page"):
        if path == "/page/index.html":
            file.body = file.body.replace(b"{settings}", told.replace('"', "&quot;").encode())
            yield Route("GET", "/", file)
        elif path == "/page/docs/index.html":
            file.policy = _DOCS_POLICY
            yield Route("GET", "/docs", file)
        else:
            yield Route("GET", path, file)


def _read_files(folder: Traversable, path: str) -> Iterator[tuple[str, _File]]:
    for each in sorted(folder.iterdir(), key=lambda one: one.name):
        if each.is_dir():
            yield from _read_files(each, f"{path}/{each.name}")
            continue
        kind = _TYPES.get(each.name.rpartition(".")[2])
        if kind is not None:
            yield f"{path}/{each.name}", _File(kind, each.read_bytes())
