"""The tools of Jira against a server on loopback that speaks the documented format.

References: "The Jira Cloud platform REST API" version 3, pages "Issue search" (`search/jql`, `nextPageToken`),
"Issues", "Issue comments", "Issue worklogs"; "Jira Data Center REST API" version 2, "search" (`startAt`, `total`);
"Atlassian Document Format", "Structure".
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agno_rt.testing import WireServer, open_wire_server
from tests.servers.service_formats import KEY, call_tool, render

ISSUE: dict[str, Any] = {
    "id": "10002",
    "key": "DEV-17",
    "self": "https://example.atlassian.net/rest/api/3/issue/10002",
    "fields": {
        "summary": "Main  order\nflow broken",
        "status": {"name": "In Progress", "statusCategory": {"key": "indeterminate"}},
        "assignee": None,
        "issuetype": {"name": "Bug"},
        "priority": {"name": "High"},
        "updated": "2026-11-30T10:00:00.000+0000",
    },
}


async def call(server: WireServer, tool: str, arguments: dict[str, Any], **table: Any) -> Any:
    """Call a tool of Jira at the test's server."""
    return await call_tool("jira", tool, arguments, **{"base_url": server.url, "api_key": KEY, **table})


async def test_a_worklog_is_added() -> None:
    """The time is written as Jira reads it, the comment as a document, and the account by name and token."""
    made = {"id": "100028", "self": "https://example.atlassian.net/rest/api/3/issue/10002/worklog/100028"}
    async with open_wire_server(render(made, 201)) as server:
        arguments = {
            "issue_id": "DEV-17",
            "time_spent_seconds": 5400,
            "started": "2026-11-30T09:00:00+01:00",
            "comment": "Found it.\n\nMended it.",
        }
        told = await call(server, "jira_add_worklog", arguments, user="ann@example.com")
        [request] = server.requests
    assert told == {"id": "100028", "self": made["self"], "status": "logged"}
    assert (request.method, request.path) == ("POST", "/rest/api/3/issue/DEV-17/worklog")
    assert request.headers["authorization"] == "Basic " + base64.b64encode(f"ann@example.com:{KEY}".encode()).decode()
    paragraphs = [
        {"type": "paragraph", "content": [{"type": "text", "text": text}]} for text in ("Found it.", "Mended it.")
    ]
    assert request.json() == {
        "started": "2026-11-30T09:00:00.000+0100",
        "timeSpentSeconds": 5400,
        "comment": {"type": "doc", "version": 1, "content": paragraphs},
    }


@pytest.mark.parametrize(
    ("started", "sent"),
    [
        ("2026-11-30T09:00:00Z", "2026-11-30T09:00:00.000+0000"),
        ("2026-11-30 09:00", "2026-11-30T09:00:00.000+0000"),
        ("2026-11-30T09:00:00.250000-05:30", "2026-11-30T09:00:00.250-0530"),
    ],
)
async def test_times_are_written_in_one_form(started: str, sent: str) -> None:
    """Every form of ISO 8601 that Python reads becomes Jira's form."""
    async with open_wire_server(render({"id": "1"}, 201)) as server:
        arguments = {"issue_id": "A-1", "time_spent_seconds": 60, "started": started}
        await call(server, "jira_add_worklog", arguments)
        assert server.requests[0].json() == {"started": sent, "timeSpentSeconds": 60}


async def test_a_wrong_time_is_not_sent() -> None:
    """The model is told of the form, and no request is made."""
    async with open_wire_server(render({})) as server:
        arguments = {"issue_id": "A-1", "time_spent_seconds": 60, "started": "yesterday at nine"}
        told = await call(server, "jira_add_worklog", arguments)
        assert "ISO 8601" in told
        assert server.requests == []


async def test_issues_are_searched_page_by_page() -> None:
    """A search sends the query and the fields; the token of the next page goes back and forth."""
    first = render({"issues": [ISSUE], "nextPageToken": "tok-2", "isLast": False})
    async with open_wire_server(first, render({"issues": [], "isLast": True})) as server:
        told = await call(server, "jira_search_issues", {"jql": "project = DEV", "limit": 1})
        last = await call(server, "jira_search_issues", {"jql": "project = DEV", "page_token": "tok-2"})
        one, two = server.requests
    assert told == {
        "issues": [
            {
                "key": "DEV-17",
                "summary": "Main order flow broken",
                "status": "In Progress",
                "type": "Bug",
                "priority": "High",
                "assignee": None,
                "updated": "2026-11-30T10:00:00.000+0000",
                "url": f"{server.url}/browse/DEV-17",
            }
        ],
        "count": 1,
        "next_page_token": "tok-2",
    }
    assert last == {"issues": [], "count": 0}
    assert one.path == "/rest/api/3/search/jql"
    assert (one.json()["jql"], one.json()["maxResults"]) == ("project = DEV", 1)
    assert two.json()["nextPageToken"] == "tok-2"
    assert one.headers["authorization"] == f"Bearer {KEY}"


async def test_a_data_center_has_the_older_interface() -> None:
    """A server of one's own is asked in version 2: pages by number, texts as they are."""
    page = render({"issues": [ISSUE], "startAt": 20, "maxResults": 1, "total": 22})
    async with open_wire_server(page, render({"id": "7"}, 201)) as server:
        arguments = {"jql": "project = DEV", "limit": 1, "page_token": "20"}
        told = await call(server, "jira_search_issues", arguments, data_center=True)
        await call(server, "jira_add_comment", {"issue_id": "DEV-17", "comment": "*Done*"}, data_center=True)
        search, comment = server.requests
    assert told["next_page_token"] == "21"
    assert (search.path, search.json()["startAt"]) == ("/rest/api/2/search", 20)
    assert (comment.path, comment.json()) == ("/rest/api/2/issue/DEV-17/comment", {"body": "*Done*"})


async def test_an_issue_is_read_as_text() -> None:
    """Documents become lines of text, and only the last comments are shown."""
    document = {
        "type": "doc",
        "version": 1,
        "content": [
            {"type": "heading", "attrs": {"level": 1}, "content": [{"type": "text", "text": "Steps"}]},
            {
                "type": "bulletList",
                "content": [
                    {
                        "type": "listItem",
                        "content": [
                            {
                                "type": "paragraph",
                                "content": [
                                    {"type": "text", "text": "Ask "},
                                    {"type": "mention", "attrs": {"id": "1", "text": "@Ann"}},
                                ],
                            }
                        ],
                    }
                ],
            },
        ],
    }
    comments = [
        {"author": {"displayName": "Ann"}, "created": "2026-11-30", "body": document | {"content": []}}
        for _ in range(12)
    ]
    fields: dict[str, Any] = {
        **ISSUE["fields"],
        "description": document,
        "comment": {"comments": comments, "total": 40},
    }
    async with open_wire_server(render({**ISSUE, "fields": fields})) as server:
        told = await call(server, "jira_get_issue", {"issue_id": "DEV-17"})
        [request] = server.requests
    assert request.path.startswith("/rest/api/3/issue/DEV-17?fields=summary%2Cstatus")
    assert told["description"] == "Steps\n- Ask @Ann"
    assert (len(told["comments"]), told["comment_count"]) == (10, 40)


async def test_a_name_cannot_lead_elsewhere() -> None:
    """Slashes of a name are quoted, and names of dots are refused: a model cannot reach other addresses."""
    async with open_wire_server(render(ISSUE)) as server:
        await call(server, "jira_get_issue", {"issue_id": "../../admin?x=1"})
        told = await call(server, "jira_get_issue", {"issue_id": ".."})
        [request] = server.requests
    assert request.path.startswith("/rest/api/3/issue/..%2F..%2Fadmin%3Fx%3D1?fields=")
    assert "is not a name" in told
