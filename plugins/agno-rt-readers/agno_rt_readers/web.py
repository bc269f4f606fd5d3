"""The reader of web pages and of documents on the web."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from email.message import Message
from typing import TYPE_CHECKING

import attrs
import msgspec
import trio

from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Document
from agno_rt.knowledge.reading import Reader, Unread, Visit
from agno_rt.library.files import guess_media_type
from agno_rt.library.text_reader import TextReader
from agno_rt_readers import READERS, make_reader
from agno_rt_readers.addresses import find_address
from agno_rt_readers.settings import ReaderSettings

if TYPE_CHECKING:
    import httpx2

__all__ = ["WebReader"]

NOT_MODIFIED = 304
MOST_MARK = 500
"""The most characters of an ETag that is sent back."""

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_VAGUE = ("", "application/octet-stream", "binary/octet-stream")
_AS_TEXT = ("utf-8", "utf8", "us-ascii", "utf-16", "")


@attrs.define
class Seen:
    """The facts about a page that was read, by which its server can tell whether it changed."""

    url: str
    etag: str = ""
    modified: str = ""
    type: str = ""
    reader: str = ""

    @classmethod
    def read(cls, version: str) -> Seen | None:
        """Return the facts of a version; None for a text that is not one."""
        try:
            return cls(*msgspec.json.decode(version, type=tuple[str, str, str, str, str]))
        except msgspec.MsgspecError:
            return None

    def write(self) -> str:
        """Return the version for the next visit; empty if the server names nothing to ask by."""
        return msgspec.json.encode(attrs.astuple(self)).decode() if self.etag or self.modified else ""


@attrs.frozen
class Page:
    """An answer as something to read."""

    file: Unread
    seen: Seen


class WebReader:
    """A `Reader` of `https:` and `http:` addresses: the answer is read by the reader of its media type.

    Refuses hosts beside the public internet, also after redirects, unless `allow` has the host; large answers, and slow
    answers. Sends no cookies, and uses no proxy.
    """

    name = "web-1"

    def __init__(self, settings: ReaderSettings | None = None) -> None:
        self.settings = settings or ReaderSettings()
        self._client: httpx2.AsyncClient | None = None
        self._readers: dict[str, Reader] = {}

    async def read(self, unread: Unread) -> Sequence[Document]:
        """See `Reader.read`."""
        return (await self.revisit(unread, "")).documents or ()

    async def revisit(self, unread: Unread, version: str) -> Visit:
        """See `RevisitingReader.revisit`: the server is asked whether the page is as it was, by ETag or date.

        RFC 9110, section 13.1.
        """
        seen = self._read_version(version)
        try:
            with trio.fail_after(self.settings.timeout):
                page = await self._fetch(unread, seen)
        except trio.TooSlowError as exc:
            hint = "Try again later, or raise timeout in [plugins.readers]."
            raise UsageError(f"{unread.source} was not read in {self.settings.timeout:g} s", hint=hint) from exc
        if page is None:
            return Visit(None, version)
        reader = self._find_reader(page.file)
        documents = await reader.read(page.file)
        page.seen.reader, page.seen.type = reader.name, page.file.media_type
        return Visit(documents, page.seen.write())

    def _read_version(self, version: str) -> Seen | None:
        """Return what the server is asked about; None if the reader of the page's type is another one now."""
        seen = Seen.read(version)
        if seen is not None:
            with suppress(UsageError):
                if self._find_reader(Unread("", media_type=seen.type)).name == seen.reader:
                    return seen
        return None

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _fetch(self, unread: Unread, seen: Seen | None) -> Page | None:
        """Return the page, following redirects; None if it is as it was seen. Raises `UsageError`."""
        import httpx2  # slow to import

        if self._client is None:
            self._client = httpx2.AsyncClient(
                trust_env=False,
                timeout=self.settings.timeout,
                headers={"user-agent": self.settings.user_agent},
                # Connections go by address: another host at the same one must show a certificate of its own.
                limits=httpx2.Limits(max_keepalive_connections=0),
            )
        source = unread.source
        try:
            url = httpx2.URL(source)
            for _ in range(self.settings.redirects + 1):
                page = await self._ask(self._client, unread, url, seen)
                if not isinstance(page, str):
                    return page
                url = url.join(page)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, ValueError) as exc:
            raise UsageError(
                f"{source} cannot be read: {exc or type(exc).__name__}", hint="Check the address."
            ) from exc
        hint = "Name the address where the page is now."
        raise UsageError(f"{source} leads to more than {self.settings.redirects} other addresses", hint=hint)

    async def _ask(
        self, client: httpx2.AsyncClient, unread: Unread, url: httpx2.URL, seen: Seen | None
    ) -> Page | str | None:
        """Return the page, the address of a redirect, or None for a page that is as it was seen."""
        source = unread.source
        if url.scheme not in _PORTS or not url.host:
            raise UsageError(f"{source} leads to {str(url)[:200]!r}", hint="Only http and https are followed.")
        if url.userinfo:
            raise UsageError(f"{url.host}: an address with a name and a password is not read", hint="Leave them out.")
        port = url.port or _PORTS[url.scheme]
        address = await find_address(source, url.host, port, self.settings.allow)
        # The connection goes to the address that was checked; the host's name is for the server and its certificate.
        request = client.build_request(
            "GET",
            url.copy_with(host=address, fragment=None),
            headers={"host": url.netloc.decode("ascii"), "accept-encoding": "identity", **_ask_for_changes(url, seen)},
            extensions={"sni_hostname": url.host},
        )
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return str(response.headers["location"])
            if response.status_code == NOT_MODIFIED and _ask_for_changes(url, seen):
                return None
            if not response.is_success:
                hint = "Open the address in a browser to see what is wrong."
                raise UsageError(f"{source} cannot be read: the server answers {response.status_code}", hint=hint)
            data = await self._read_body(source, response)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(5):
                await response.aclose()
        file = _as_file(unread, url, response.headers.get("content-type", ""), data)
        marks = (response.headers.get(name, "") for name in ("etag", "last-modified"))
        return Page(file, Seen(str(url), *(mark if len(mark) <= MOST_MARK else "" for mark in marks)))

    async def _read_body(self, source: str, response: httpx2.Response) -> bytes:
        import httpx2

        most, body = self.settings.max_bytes, bytearray()
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            # Unpacked, a small answer may be large; no compression was asked for.
            raise UsageError(f"{source} is sent as {encoding[:40]!r}", hint="Save the page, and add the file.")
        pieces = response.aiter_raw()
        try:
            while piece := await anext(pieces, b""):
                body += piece
                if len(body) > most:
                    hint = "Save it, and cut it, or raise max_bytes in [plugins.readers]."
                    raise UsageError(f"{source} has more than {most:,} bytes", hint=hint)
        finally:
            # httpx2 leaves generators of its own unfinished if a body is closed before the end; a read that is
            # cancelled while waiting finishes them all.
            with trio.CancelScope(shield=True) as scope, suppress(httpx2.HTTPError):
                scope.cancel()
                while await anext(pieces, b""):
                    pass
        return bytes(body)

    def _find_reader(self, page: Unread) -> Reader:
        """Return the reader of a page's media type. Raises `UsageError`."""
        kind = page.media_type
        if kind not in self._readers:
            if kind in READERS:
                self._readers[kind] = make_reader(kind, attrs.asdict(self.settings))
            elif kind.startswith("text/"):
                self._readers[kind] = TextReader()
            else:
                hint = "Pages, documents and text can be read."
                raise UsageError(f"{page.source} has the type {kind!r}, which has no reader", hint=hint)
        return self._readers[kind]


def _ask_for_changes(url: httpx2.URL, seen: Seen | None) -> dict[str, str]:
    """Return the headers that ask for the page only if it changed. They are for the address that they came from."""
    if seen is None or seen.url != str(url):
        return {}
    # A server that knows ETags ignores the date.
    asked = {"if-none-match": seen.etag, "if-modified-since": seen.modified}
    return {name: value for name, value in asked.items() if value}


def _as_file(unread: Unread, url: httpx2.URL, content_type: str, data: bytes) -> Unread:
    """Return the answer as something to read: with its media type, and text in UTF-8."""
    header = Message()
    header["content-type"] = content_type or "application/octet-stream"
    kind, charset = header.get_content_type(), str(header.get_param("charset", "")).strip("'\"").lower()
    if kind in _VAGUE:
        kind = guess_media_type(url.path) or "text/html"
    is_text = kind.startswith("text/") or kind in ("application/xhtml+xml", "application/json", "application/jsonl")
    if is_text and charset not in _AS_TEXT:
        try:
            data = b"\xef\xbb\xbf" + data.decode(charset).encode()
        except (LookupError, UnicodeError) as exc:
            hint = "Save the page, convert it to UTF-8, and add the file."
            raise UsageError(f"{unread.source} is not in {charset[:40]!r}, as its server says", hint=hint) from exc
    return attrs.evolve(unread, media_type=kind, data=data)
