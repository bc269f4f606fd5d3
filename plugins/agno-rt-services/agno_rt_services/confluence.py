"""Confluence: list spaces, search pages, read pages.

References: "The Confluence Cloud REST API" version 2 (spaces, pages) and version 1 (search), and "Confluence Data
Center REST API" (spaces, content).
"""

from __future__ import annotations

from typing import Annotated, Any

import attrs
from msgspec import Meta

from agno_rt.tools import Tool
from agno_rt_services.service import Definition, Service, quote_part
from agno_rt_services.settings import ServiceSettings
from agno_rt_services.texts import find_parameter, html_to_text, pick, shorten, show_part

__all__ = ["SERVICE", "ConfluenceSettings"]

PART = 12_000
"""The most characters of a page in one result."""

Limit = Annotated[int, Meta(ge=1, le=50)]
Cursor = Annotated[str, Meta(description="The next_cursor of an earlier result, for the next page.", max_length=4_000)]


@attrs.frozen(kw_only=True, slots=False)
class ConfluenceSettings(ServiceSettings):
    """The settings of Confluence. `data_center` is for a server of your own, whose interface has version 1."""

    data_center: bool = False


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of an open service."""
    old = service.settings.data_center

    @service.reading()
    async def list_spaces(limit: Limit = 25, cursor: Cursor = "") -> dict[str, Any]:
        """List the spaces of Confluence that the account can see."""
        path = "rest/api/space" if old else "api/v2/spaces"
        found = await service.get(path, limit=limit, **_write_cursor(service, cursor))
        spaces = [
            {
                "id": pick(each, "id"),
                "key": pick(each, "key"),
                "name": shorten(pick(each, "name")),
                "type": pick(each, "type"),
                "url": _link(service, found, each),
            }
            for each in found.get("results") or []
        ]
        return {"spaces": spaces, "count": len(spaces)} | _read_cursor(found)

    @service.reading()
    async def search_pages(
        query: Annotated[str, Meta(min_length=1, max_length=1_000)],
        space_key: Annotated[str, Meta(max_length=255)] = "",
        limit: Limit = 10,
        cursor: Cursor = "",
    ) -> dict[str, Any]:
        """Search pages of Confluence by words.

        Args:
            query: the words to find in titles and texts
            space_key: search in this space alone
            limit: the most pages
        """
        cql = f"type = page AND text ~ {_quote_cql(query)}"
        if space_key:
            cql += f" AND space = {_quote_cql(space_key)}"
        more = _write_cursor(service, cursor)
        found = await service.get("rest/api/search", cql=cql, limit=limit, expand="content.space", **more)
        pages = [
            {
                "id": pick(each, "content", "id"),
                "title": _plain(pick(each, "title") or pick(each, "content", "title")),
                "space": pick(each, "content", "space", "key"),
                "excerpt": _plain(pick(each, "excerpt")),
                "last_modified": pick(each, "lastModified"),
                "url": _link(service, found, each),
            }
            for each in found.get("results") or []
        ]
        return {"query": query, "pages": pages, "count": len(pages), "space_key": space_key} | _read_cursor(found)

    @service.reading()
    async def get_page_content(
        page_id: Annotated[str, Meta(min_length=1, max_length=100)], start: Annotated[int, Meta(ge=0)] = 0
    ) -> dict[str, Any]:
        """Read a page of Confluence as text. A long page comes in parts.

        Args:
            page_id: the id of the page, from a search
            start: the next_start of an earlier result, for the next part
        """
        part = quote_part(page_id)
        if old:
            found = await service.get(f"rest/api/content/{part}", expand="body.storage,version,space")
        else:
            found = await service.get(f"api/v2/pages/{part}", **{"body-format": "storage"})
        page = {
            "id": found.get("id"),
            "title": found.get("title"),
            "space": pick(found, "space", "key") or found.get("spaceId"),
            "version": pick(found, "version", "number"),
            "url": _link(service, found, found),
        }
        return {"page": page | show_part(html_to_text(pick(found, "body", "storage", "value") or ""), start, PART)}

    return [list_spaces, search_pages, get_page_content]


def _write_cursor(service: Service, cursor: str) -> dict[str, str]:
    return {"start" if service.settings.data_center else "cursor": cursor}


def _read_cursor(found: dict[str, Any]) -> dict[str, str]:
    cursor = find_parameter(pick(found, "_links", "next"), "cursor", "start")
    return {"next_cursor": cursor} if cursor else {}


def _link(service: Service, found: dict[str, Any], each: Any) -> str:
    link = pick(each, "_links", "webui") or pick(each, "url")
    base = pick(found, "_links", "base")
    if not isinstance(link, str):
        return ""
    return f"{base}{link}" if isinstance(base, str) else service.link(link)


def _plain(text: Any) -> str:
    """Return a text of the search without the marks around found words."""
    return shorten(text.replace("@@@hl@@@", "").replace("@@@endhl@@@", "")) if isinstance(text, str) else ""


def _quote_cql(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


SERVICE = Definition(
    "confluence",
    "CONFLUENCE_API_TOKEN",
    make_tools,
    ConfluenceSettings,
    address="https://example.atlassian.net/wiki",
)
