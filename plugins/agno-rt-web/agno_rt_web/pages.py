"""Pages for models: fetched, turned into Markdown, remembered for a while, and read in parts."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import attrs
import trio

from agno_rt_web.addresses import parse_url
from agno_rt_web.client import Reply, Request, WebClient
from agno_rt_web.decode import clean_text
from agno_rt_web.errors import ServiceError, WebError
from agno_rt_web.markdown import Page, read_page
from agno_rt_web.robots import Robots
from agno_rt_web.settings import WebSettings

__all__ = ["Pages", "check_page_status"]

REMEMBERED = 8
"""The most pages to remember, so that the next part of a page is of the same page."""

SECONDS = 300.0
"""The seconds for which a page is remembered."""

ACCEPT = "text/html,application/xhtml+xml,text/plain;q=0.9,application/json;q=0.9,*/*;q=0.5"
_HTML = ("text/html", "application/xhtml+xml")


@attrs.frozen
class Text:
    """A page that was read: address after redirects, status, media type, title and text."""

    url: str
    status: int
    media_type: str
    page: Page
    is_cut: bool
    until: float


class Pages:
    """Reads pages with a client."""

    def __init__(self, client: WebClient, settings: WebSettings) -> None:
        self._client = client
        self._settings = settings
        self._robots = Robots(client, settings.user_agent) if settings.robots else None
        self._known: OrderedDict[str, Text] = OrderedDict()

    async def read(self, url: str, *, fresh: bool = True) -> Text:
        """Return a page; unless `fresh`, as it is remembered. Raises `WebError` for a page that cannot be read."""
        key = str(parse_url(url))
        known = self._known.get(key)
        if known is not None and not fresh and trio.current_time() < known.until:
            return known
        if self._robots is not None:
            await self._robots.check(key)
        reply = await self._client.send(Request("GET", key, {"accept": ACCEPT}, interval=self._settings.interval))
        check_page_status(reply)
        # Pages of megabytes take a tenth of a second, in which other runs would wait.
        page = await trio.to_thread.run_sync(partial(_read_reply, reply), abandon_on_cancel=True)
        until = trio.current_time() + SECONDS
        found = Text(reply.url, reply.status, reply.media_type, page, reply.is_cut, until)
        self._known[key] = found
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def read_part(self, url: str, start: int, most: int) -> dict[str, Any]:
        """Return a part of a page for a model, with the place of the next part."""
        found = await self.read(url, fresh=start == 0)
        text = found.page.text
        if start and start >= len(text):
            raise WebError(f"the page has {len(text):,} characters", hint="Start before that.")
        part = text[start : start + min(most, self._settings.characters)]
        end = start + len(part)
        shown: dict[str, Any] = {"url": found.url, "title": found.page.title, "content": part}
        shown |= {"start": start, "total_characters": len(text)}
        if end < len(text):
            shown["next_start"] = end
        if found.is_cut:
            shown["note"] = "The page is larger than allowed, and its end is missing."
        return shown


_HINTS = {
    401: "The page needs a sign-in.",
    403: "The server refuses programs, or needs a sign-in.",
    404: "Check the address.",
    410: "The page is gone. Use another address.",
    429: "Too many requests. Try again later.",
}


def check_page_status(reply: Reply) -> None:
    """Raise `ServiceError` for a page without success."""
    status = reply.status
    if 200 <= status < 300:
        return
    hint = _HINTS.get(status, "Try again later." if status >= 500 else "Use another address.")
    raise ServiceError(f"{reply.url[:200]} answered {status}", hint=hint, status=status)


def _read_reply(reply: Reply) -> Page:
    kind = reply.media_type
    start = reply.body[:500].lstrip().lower()
    if kind in _HTML or (not kind and start.startswith((b"<!doctype html", b"<html", b"<head", b"<body"))):
        return read_page(reply.text, reply.url)
    is_text = kind.startswith("text/") or kind.endswith(("json", "xml", "javascript", "yaml")) or not kind
    if not is_text or (b"\0" in reply.body[:2_000] and not reply.body.startswith((b"\xff\xfe", b"\xfe\xff"))):
        hint = "Only pages and texts can be read; look for the same in another format."
        raise WebError(f"{reply.url[:200]} is {kind or 'not a text'}, {len(reply.body):,} bytes", hint=hint)
    return Page("", clean_text(reply.text))
