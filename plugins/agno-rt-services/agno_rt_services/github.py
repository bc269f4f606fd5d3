"""GitHub: search and list issues, read issues and files, open issues and comment on them.

Reference: "GitHub REST API", version 2022-11-28: search, issues, issue comments, repository contents.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import attrs
from msgspec import Meta

from agno_rt.http_client.server import Key
from agno_rt.tools import Tool, ToolArgumentError
from agno_rt_services.service import Definition, KeyAccess, Service, quote_part
from agno_rt_services.settings import ServiceSettings
from agno_rt_services.texts import pick, shorten, show_part

__all__ = ["SERVICE", "GithubSettings"]

PART = 20_000
"""The most characters of a file or an issue in one result."""

MOST_ENTRIES = 200
MOST_COMMENTS = 10
_HEADERS = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}

Repository = Annotated[
    str, Meta(description="The repository, as in OWNER/NAME.", pattern="^[^/ ]+/[^/ ]+$", max_length=200)
]
Number = Annotated[int, Meta(ge=1)]
Limit = Annotated[int, Meta(ge=1, le=50)]
Page = Annotated[int, Meta(ge=1, le=100)]
Text = Annotated[str, Meta(max_length=60_000)]


@attrs.frozen(kw_only=True, slots=False)
class GithubSettings(ServiceSettings):
    """The settings of GitHub. A server of your own has its interface at `https://HOST/api/v3`."""

    base_url: str = "https://api.github.com"


class GithubAccess(KeyAccess):
    """GitHub's token, with the version of the interface."""

    async def find(self) -> tuple[Key, Mapping[str, str]]:
        """Return the token, and the headers of a request."""
        key, headers = await super().find()
        return key, {**_HEADERS, **headers}


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of an open service."""
    return [
        _make_search(service),
        _make_list(service),
        _make_get_issue(service),
        _make_get_file(service),
        _make_create(service),
        _make_comment(service),
    ]


def _make_search(service: Service) -> Tool:
    @service.reading()
    async def github_search_issues(
        query: Annotated[str, Meta(min_length=1, max_length=256)], limit: Limit = 20, page: Page = 1
    ) -> dict[str, Any]:
        """Search issues and pull requests of GitHub.

        Args:
            query: as in GitHub's own search, such as: repo:OWNER/NAME is:issue is:open label:bug crash
        """
        found = await service.get("search/issues", q=query, per_page=limit, page=page)
        issues = [_show_issue(each) for each in found.get("items") or []]
        total = found.get("total_count")
        shown: dict[str, Any] = {"issues": issues, "count": len(issues), "total_count": total}
        # GitHub shows the first thousand results.
        more = isinstance(total, int) and page * limit < min(total, 1_000)
        return shown | ({"next_page": page + 1} if more else {})

    return github_search_issues


def _make_list(service: Service) -> Tool:
    @service.reading()
    async def github_list_issues(
        repository: Repository, state: Literal["open", "closed", "all"] = "open", limit: Limit = 20, page: Page = 1
    ) -> dict[str, Any]:
        """List issues and pull requests of a repository of GitHub, the newest first."""
        found = await service.get(f"{_root(repository)}/issues", state=state, per_page=limit, page=page)
        items = found.get("items") or []
        shown: dict[str, Any] = {"issues": [_show_issue(each) for each in items], "count": len(items)}
        return shown | ({"next_page": page + 1} if len(items) == limit else {})

    return github_list_issues


def _make_get_issue(service: Service) -> Tool:
    @service.reading()
    async def github_get_issue(repository: Repository, number: Number) -> dict[str, Any]:
        """Read an issue or a pull request of GitHub, with its first comments."""
        path = f"{_root(repository)}/issues/{number}"
        issue = await service.get(path)
        comments: list[Any] = []
        if pick(issue, "comments"):
            comments = (await service.get(f"{path}/comments", per_page=MOST_COMMENTS)).get("items") or []
        shown = [
            {
                "author": pick(each, "user", "login"),
                "created": pick(each, "created_at"),
                "text": _cut(pick(each, "body"), 2_000),
            }
            for each in comments
        ]
        return _show_issue(issue) | {"text": _cut(pick(issue, "body"), PART), "comments": shown}

    return github_get_issue


def _make_get_file(service: Service) -> Tool:
    @service.reading()
    async def github_get_file(
        repository: Repository,
        path: Annotated[str, Meta(max_length=1_000)] = "",
        ref: Annotated[str, Meta(max_length=250)] = "",
        start: Annotated[int, Meta(ge=0)] = 0,
    ) -> dict[str, Any]:
        """Read a file of a repository of GitHub, or list a folder. A long file comes in parts.

        Args:
            path: the file or the folder; empty for the top
            ref: a branch, a tag or a commit; empty for the main branch
            start: the next_start of an earlier result, for the next part
        """
        parts = "/".join(quote_part(part) for part in path.split("/") if part)
        found = await service.get(f"{_root(repository)}/contents/{parts}", ref=ref)
        if "items" in found:
            entries = [{name: pick(each, name) for name in ("path", "type", "size")} for each in found["items"]]
            shown: dict[str, Any] = {"path": path, "entries": entries[:MOST_ENTRIES], "count": len(entries)}
            return shown
        return {"path": found.get("path"), "size": found.get("size"), **show_part(_read_file(found), start, PART)}

    return github_get_file


def _make_create(service: Service) -> Tool:
    @service.changing()
    async def github_create_issue(
        repository: Repository,
        title: Annotated[str, Meta(min_length=1, max_length=256)],
        body: Text = "",
        labels: Annotated[list[str], Meta(max_length=20)] | None = None,
    ) -> dict[str, Any]:
        """Open an issue in a repository of GitHub."""
        sent = {"title": title, "body": body, **({"labels": labels} if labels else {})}
        made = await service.post(f"{_root(repository)}/issues", sent)
        return {"number": made.get("number"), "url": made.get("html_url"), "status": "created"}

    return github_create_issue


def _make_comment(service: Service) -> Tool:
    @service.changing()
    async def github_add_comment(
        repository: Repository, number: Number, body: Annotated[str, Meta(min_length=1, max_length=60_000)]
    ) -> dict[str, Any]:
        """Add a comment to an issue or a pull request of GitHub."""
        made = await service.post(f"{_root(repository)}/issues/{number}/comments", {"body": body})
        return {"id": made.get("id"), "url": made.get("html_url"), "status": "added"}

    return github_add_comment


def _root(repository: str) -> str:
    owner, _, name = repository.partition("/")
    return f"repos/{quote_part(owner)}/{quote_part(name)}"


def _show_issue(issue: Any) -> dict[str, Any]:
    labels = pick(issue, "labels")
    return {
        "number": pick(issue, "number"),
        "title": shorten(pick(issue, "title")),
        "state": pick(issue, "state"),
        "kind": "pull request" if pick(issue, "pull_request") else "issue",
        "author": pick(issue, "user", "login"),
        "labels": [pick(label, "name") for label in (labels if isinstance(labels, list) else [])[:20]],
        "comment_count": pick(issue, "comments"),
        "updated": pick(issue, "updated_at"),
        "url": pick(issue, "html_url"),
    }


def _read_file(found: dict[str, Any]) -> str:
    """Return the text of a file. Raises `ToolArgumentError` for anything but a text of the size that GitHub gives."""
    content, path = found.get("content"), found.get("path")
    if found.get("type") != "file" or not isinstance(content, str) or found.get("encoding") != "base64":
        raise ToolArgumentError(f"{path!r} is not a file of at most 1 MB: it is {found.get('type')!r}")
    try:
        data = base64.b64decode(content)
    except (binascii.Error, ValueError):
        data = b"\0"
    if b"\0" in data:
        raise ToolArgumentError(f"{path!r} is not a text")
    return data.decode("utf-8", "replace")


def _cut(text: Any, most: int) -> str:
    text = text if isinstance(text, str) else ""
    return text if len(text) <= most else f"{text[:most]}\n[... {len(text):,} characters in all]"


SERVICE = Definition("github", "GITHUB_TOKEN", make_tools, GithubSettings, access=GithubAccess)
