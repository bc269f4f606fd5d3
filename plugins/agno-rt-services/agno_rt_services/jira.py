"""Jira: search and read issues, add comments and worklogs.

References: "The Jira Cloud platform REST API" version 3 (issue search, issues, issue comments, issue worklogs), and
"Jira Data Center REST API" version 2, whose texts are plain.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import attrs
from msgspec import Meta

from agno_rt.tools import Tool, ToolArgumentError
from agno_rt_services.service import Definition, Service, quote_part
from agno_rt_services.settings import ServiceSettings
from agno_rt_services.texts import pick, read_document, shorten, write_document

__all__ = ["SERVICE", "JiraSettings"]

MOST_TEXT = 10_000
MOST_COMMENTS = 10
_LISTED = ["summary", "status", "assignee", "issuetype", "priority", "updated"]
_READ = [*_LISTED, "reporter", "created", "description", "labels", "comment"]

Issue = Annotated[
    str, Meta(description="The key or the id of the issue, such as DEV-17.", min_length=1, max_length=100)
]
Text = Annotated[str, Meta(min_length=1, max_length=30_000)]


@attrs.frozen(kw_only=True, slots=False)
class JiraSettings(ServiceSettings):
    """The settings of Jira. `data_center` is for a server of your own, whose interface has version 2."""

    data_center: bool = False


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of an open service."""
    return [_make_search(service), _make_get(service), _make_comment(service), _make_worklog(service)]


def _make_search(service: Service) -> Tool:
    @service.reading()
    async def jira_search_issues(
        jql: Annotated[str, Meta(min_length=1, max_length=4_000)],
        limit: Annotated[int, Meta(ge=1, le=50)] = 20,
        page_token: Annotated[str, Meta(max_length=2_000)] = "",
    ) -> dict[str, Any]:
        """Search issues of Jira by JQL.

        Args:
            jql: the query, such as: project = DEV AND status = "In Progress" ORDER BY updated DESC
            limit: the most issues
            page_token: the next_page_token of an earlier result, for the next page
        """
        body: dict[str, Any] = {"jql": jql, "maxResults": limit, "fields": _LISTED}
        if service.settings.data_center:
            body["startAt"] = _read_number(page_token)
        elif page_token:
            body["nextPageToken"] = page_token
        path = "search" if service.settings.data_center else "search/jql"
        found = await service.post(f"{_root(service)}/{path}", body, repeatable=True)
        issues = [_show_issue(service, each) for each in (found.get("issues") or [])[:limit]]
        shown: dict[str, Any] = {"issues": issues, "count": len(issues)}
        token = found.get("nextPageToken") or _next_start(found)
        return shown | ({"next_page_token": token} if token else {})

    return jira_search_issues


def _make_get(service: Service) -> Tool:
    @service.reading()
    async def jira_get_issue(issue_id: Issue) -> dict[str, Any]:
        """Read an issue of Jira: its fields, its description and its last comments."""
        found = await service.get(f"{_root(service)}/issue/{quote_part(issue_id)}", fields=",".join(_READ))
        fields = found.get("fields")
        comments = pick(fields, "comment", "comments") or []
        return _show_issue(service, found) | {
            "reporter": pick(fields, "reporter", "displayName"),
            "created": pick(fields, "created"),
            "labels": (pick(fields, "labels") or [])[:20],
            "description": _cut(read_document(pick(fields, "description"))),
            "comments": [
                {
                    "author": pick(each, "author", "displayName"),
                    "created": pick(each, "created"),
                    "text": _cut(read_document(pick(each, "body")), MOST_TEXT // MOST_COMMENTS),
                }
                for each in comments[-MOST_COMMENTS:]
            ],
            "comment_count": pick(fields, "comment", "total") or len(comments),
        }

    return jira_get_issue


def _make_comment(service: Service) -> Tool:
    @service.changing()
    async def jira_add_comment(issue_id: Issue, comment: Text) -> dict[str, Any]:
        """Add a comment to an issue of Jira."""
        path = f"{_root(service)}/issue/{quote_part(issue_id)}/comment"
        made = await service.post(path, {"body": _write_text(service, comment)})
        return {"id": made.get("id"), "self": made.get("self"), "status": "added"}

    return jira_add_comment


def _make_worklog(service: Service) -> Tool:
    @service.changing()
    async def jira_add_worklog(
        issue_id: Issue,
        time_spent_seconds: Annotated[float, Meta(ge=60, le=3_600_000)],
        started: Annotated[str, Meta(min_length=8, max_length=40)],
        comment: Annotated[str, Meta(max_length=30_000)] = "",
    ) -> dict[str, Any]:
        """Add a worklog to an issue of Jira: the time that somebody worked on the issue.

        Args:
            time_spent_seconds: the time in seconds, a minute at least
            started: the time when the work began, in ISO 8601, such as 2026-11-30T09:00:00+01:00; without a zone, UTC
            comment: what was done
        """
        body: dict[str, Any] = {"started": _write_time(started), "timeSpentSeconds": int(time_spent_seconds)}
        if comment.strip():
            body["comment"] = _write_text(service, comment)
        made = await service.post(f"{_root(service)}/issue/{quote_part(issue_id)}/worklog", body)
        return {"id": made.get("id"), "self": made.get("self"), "status": "logged"}

    return jira_add_worklog


def _root(service: Service) -> str:
    return f"rest/api/{2 if service.settings.data_center else 3}"


def _show_issue(service: Service, issue: Any) -> dict[str, Any]:
    fields, key = pick(issue, "fields"), pick(issue, "key")
    return {
        "key": key,
        "summary": shorten(pick(fields, "summary")),
        "status": pick(fields, "status", "name"),
        "type": pick(fields, "issuetype", "name"),
        "priority": pick(fields, "priority", "name"),
        "assignee": pick(fields, "assignee", "displayName"),
        "updated": pick(fields, "updated"),
        "url": service.link(f"browse/{key}"),
    }


def _next_start(found: dict[str, Any]) -> str:
    """Return the start of the next page in an answer of version 2, or an empty text."""
    start, total = found.get("startAt"), found.get("total")
    if not isinstance(start, int) or not isinstance(total, int):
        return ""
    end = start + len(found.get("issues") or [])
    return str(end) if start < end < total else ""


def _read_number(token: str) -> int:
    if token and not token.isdecimal():
        raise ToolArgumentError(f"page_token is {token!r}, which is not from an earlier result")
    return int(token or 0)


def _write_text(service: Service, text: str) -> Any:
    if not text.strip():
        raise ToolArgumentError("the comment is blank")
    return text if service.settings.data_center else write_document(text)


def _write_time(text: str) -> str:
    """Return the time in the only form that Jira reads: 2026-11-30T09:00:00.000+0000."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ToolArgumentError(
            f"started is {text!r}, not a time in ISO 8601, such as 2026-11-30T09:00:00+01:00"
        ) from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}{time:%z}"


def _cut(text: str, most: int = MOST_TEXT) -> str:
    return text if len(text) <= most else f"{text[:most]}\n[... {len(text):,} characters in all]"


SERVICE = Definition("jira", "JIRA_API_TOKEN", make_tools, JiraSettings, address="https://example.atlassian.net")
