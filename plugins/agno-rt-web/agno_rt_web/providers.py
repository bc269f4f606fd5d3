"""Providers of web search: what each is asked, and how its answer is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qs, urljoin, urlsplit

import trio

from agno_rt.wire.html_tags import Tag, read_tags
from agno_rt_web.client import Reply
from agno_rt_web.decode import clean_line
from agno_rt_web.errors import ServiceError
from agno_rt_web.services import ServiceClient, list_of, text_of

__all__ = ["PROVIDERS", "Found", "plain_text", "search_duckduckgo"]

LONGEST = 2_000

Found = dict[str, str]
"""A result: title, url and snippet."""


def plain_text(markup: str, most: int = 500) -> str:
    """Return the words of a piece of HTML on one line."""
    return clean_line(
        "".join(part if isinstance(part, str) else " " * (part.name in ("p", "br")) for part in read_tags(markup)), most
    )


async def search_duckduckgo(service: ServiceClient, query: str, most: int) -> list[Found]:
    """Search by the page of DuckDuckGo for browsers without scripts. It has no documented format."""
    reply = await service.post_form("/html/", {"q": query, "kl": "wt-wt"})
    return await trio.to_thread.run_sync(read_duckduckgo, reply, most, abandon_on_cancel=True)


def read_duckduckgo(reply: Reply, most: int) -> list[Found]:
    """Return the results of a page, without advertisements. Raises `ServiceError` for a page that asks for a person."""
    page = reply.text
    results: list[Found] = []
    into = ""
    is_advertisement = False
    for part in read_tags(page):
        if isinstance(part, str):
            if into and results and not is_advertisement:
                results[-1][into] = (results[-1][into] + part)[:LONGEST]
        elif part.is_end:
            into = "" if part.name == "a" else into
        elif part.name == "div" and "result" in part.classes:
            is_advertisement = "result--ad" in part.classes
        elif not is_advertisement and (into := _choose_part(part, results, into)) == "full":
            break
        if len(results) > most:
            break
    if not results and ("anomaly" in page or reply.status == 202):
        hint = "Try again later. The operator can choose another provider: provider in [plugins.web]."
        raise ServiceError("DuckDuckGo asks for a person, and does not answer programs now", hint=hint)
    return [{name: clean_line(text, 400) for name, text in each.items()} for each in results[:most]]


def _choose_part(tag: Tag, results: list[Found], into: str) -> str:
    """Return the part of a result that the texts behind a tag belong to."""
    if tag.name != "a":
        return into
    if "result__a" in tag.classes:
        results.append({"title": "", "url": unwrap_link(tag.attributes.get("href", "")), "snippet": ""})
        return "title"
    return "snippet" if "result__snippet" in tag.classes and results else ""


def unwrap_link(link: str) -> str:
    """Return the address that a link of DuckDuckGo leads to: `//duckduckgo.com/l/?uddg=ADDRESS`."""
    url = urljoin("https://duckduckgo.com/", link)
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if (parts.hostname or "").endswith("duckduckgo.com") and parts.path == "/l/":
        return parse_qs(parts.query, max_num_fields=20).get("uddg", [""])[0]
    return url


async def search_brave(service: ServiceClient, query: str, most: int) -> list[Found]:
    """Search by Brave. https://api-dashboard.search.brave.com/app/documentation/web-search/responses"""
    headers = {"x-subscription-token": service.need_key(), "accept": "application/json"}
    value = await service.get_json("/res/v1/web/search", {"q": query, "count": min(most, 20)}, headers)
    return [
        {
            "title": plain_text(text_of(each, "title")),
            "url": text_of(each, "url", most=2_000),
            "snippet": plain_text(text_of(each, "description", most=1_000)),
        }
        for each in list_of(value, "web", "results", most=most)
    ]


async def search_searxng(service: ServiceClient, query: str, most: int) -> list[Found]:
    """Search by a server of SearXNG. https://docs.searxng.org/dev/search_api.html"""
    service.need_address()
    try:
        value = await service.get_json("/search", {"q": query, "format": "json"})
    except ServiceError as exc:
        if exc.status != 403:
            raise
        hint = "Tell your operator to add json to search.formats in the settings.yml of SearXNG."
        raise ServiceError(exc.problem, hint=hint, status=403) from None
    return [
        {"title": text_of(each, "title"), "url": text_of(each, "url", most=2_000), "snippet": text_of(each, "content")}
        for each in list_of(value, "results", most=most)
    ]


async def search_tavily(service: ServiceClient, query: str, most: int) -> list[Found]:
    """Search by Tavily. https://docs.tavily.com/documentation/api-reference/endpoint/search"""
    headers = {"authorization": f"Bearer {service.need_key()}"}
    value = await service.post_json("/search", {"query": query, "max_results": min(most, 20)}, headers)
    return [
        {"title": text_of(each, "title"), "url": text_of(each, "url", most=2_000), "snippet": text_of(each, "content")}
        for each in list_of(value, "results", most=most)
    ]


Search = Callable[[ServiceClient, str, int], Awaitable[list[Found]]]
PROVIDERS: Mapping[str, Search] = {
    "duckduckgo": search_duckduckgo,
    "brave": search_brave,
    "searxng": search_searxng,
    "tavily": search_tavily,
}
"""The search of each provider, by the service's name."""
