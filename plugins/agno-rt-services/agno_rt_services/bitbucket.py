"""Bitbucket Cloud: list workspaces, repositories and pull requests.

References: "The Bitbucket Cloud REST API" version 2.0 (workspaces, repositories, pull requests, pagination). The lists
over all workspaces ended on 27 February 2026 (CHANGE-2770); `user/workspaces` is their successor (CHANGE-3022).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from msgspec import Meta

from agno_rt.tools import Tool
from agno_rt_services.service import Definition, Service, quote_part
from agno_rt_services.settings import ServiceSettings
from agno_rt_services.texts import find_parameter, pick, shorten

__all__ = ["SERVICE", "BitbucketSettings"]

Limit = Annotated[int, Meta(ge=1, le=50)]
Page = Annotated[str, Meta(description="The next_page of an earlier result, for the next page.", max_length=1_000)]
Slug = Annotated[str, Meta(min_length=1, max_length=200)]


@attrs.frozen(kw_only=True, slots=False)
class BitbucketSettings(ServiceSettings):
    """The settings of Bitbucket Cloud."""

    base_url: str = "https://api.bitbucket.org/2.0"


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of an open service."""

    @service.reading()
    async def list_workspaces(limit: Limit = 25, page: Page = "") -> dict[str, Any]:
        """List the workspaces of Bitbucket that the account can see."""
        found = await service.get("user/workspaces", pagelen=limit, page=page)
        spaces = []
        for each in found.get("values") or []:
            space = pick(each, "workspace") or each
            shown = {name: pick(space, name) for name in ("slug", "name", "uuid", "is_private")}
            spaces.append({name: value for name, value in shown.items() if value is not None})
        return {"workspaces": spaces, "count": len(spaces)} | _read_next(found)

    @service.reading()
    async def list_repositories(workspace: Slug, limit: Limit = 25, page: Page = "") -> dict[str, Any]:
        """List the repositories of a workspace of Bitbucket, the last changed first.

        Args:
            workspace: the slug of the workspace
        """
        path = f"repositories/{quote_part(workspace)}"
        found = await service.get(path, pagelen=limit, page=page, sort="-updated_on")
        repositories = [
            {
                "slug": pick(each, "slug"),
                "full_name": pick(each, "full_name"),
                "description": shorten(pick(each, "description")),
                "is_private": pick(each, "is_private"),
                "language": pick(each, "language"),
                "main_branch": pick(each, "mainbranch", "name"),
                "updated_on": pick(each, "updated_on"),
            }
            for each in found.get("values") or []
        ]
        return {"workspace": workspace, "repositories": repositories, "count": len(repositories)} | _read_next(found)

    @service.reading()
    async def list_pull_requests(
        workspace: Slug,
        repository: Slug,
        state: Literal["OPEN", "MERGED", "DECLINED", "SUPERSEDED"] = "OPEN",
        limit: Limit = 25,
        page: Page = "",
    ) -> dict[str, Any]:
        """List the pull requests of a repository of Bitbucket.

        Args:
            workspace: the slug of the workspace
            repository: the slug of the repository
        """
        path = f"repositories/{quote_part(workspace)}/{quote_part(repository)}/pullrequests"
        found = await service.get(path, state=state, pagelen=limit, page=page)
        requests = [_show_request(each) for each in found.get("values") or []]
        shown = {"workspace": workspace, "repository": repository, "pull_requests": requests, "count": len(requests)}
        return shown | _read_next(found)

    return [list_workspaces, list_repositories, list_pull_requests]


def _show_request(each: Any) -> dict[str, Any]:
    return {
        "id": pick(each, "id"),
        "title": shorten(pick(each, "title")),
        "state": pick(each, "state"),
        "draft": pick(each, "draft"),
        "author": pick(each, "author", "display_name"),
        "source": pick(each, "source", "branch", "name"),
        "destination": pick(each, "destination", "branch", "name"),
        "comments": pick(each, "comment_count"),
        "created_on": pick(each, "created_on"),
        "updated_on": pick(each, "updated_on"),
        "url": pick(each, "links", "html", "href"),
    }


def _read_next(found: dict[str, Any]) -> dict[str, Any]:
    """Return the name of the next page, which is not always a number."""
    page = find_parameter(found.get("next"), "page")
    shown = {"next_page": page} if page else {}
    return shown | ({"size": found["size"]} if isinstance(found.get("size"), int) else {})


SERVICE = Definition("bitbucket", "BITBUCKET_API_TOKEN", make_tools, BitbucketSettings)
