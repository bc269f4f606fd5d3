"""The tools of GitHub and Slack against servers on loopback that speak the documented formats.

References: "GitHub REST API" (search, issues, contents with base64, rate limits by 403 with `retry-after`); "Slack Web
API" (`ok`, `error`, `needed`, `response_metadata.next_cursor`, `Retry-After`).
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agno_rt.testing import WireServer, open_wire_server
from tests.servers.service_formats import KEY, call_tool, render

ISSUE = {
    "number": 7,
    "title": "Crash",
    "state": "open",
    "user": {"login": "ann"},
    "labels": [{"name": "bug"}],
    "comments": 1,
    "updated_at": "2026-11-30T10:00:00Z",
    "html_url": "https://github.com/acme/shop/issues/7",
    "body": "It crashes.",
}
SHOWN = {
    "number": 7,
    "title": "Crash",
    "state": "open",
    "kind": "issue",
    "author": "ann",
    "labels": ["bug"],
    "comment_count": 1,
    "updated": "2026-11-30T10:00:00Z",
    "url": "https://github.com/acme/shop/issues/7",
}


async def github(server: WireServer, tool: str, arguments: dict[str, Any]) -> Any:
    """Call a tool of GitHub at the test's server."""
    return await call_tool("github", tool, arguments, base_url=server.url, api_key=KEY)


async def slack(server: WireServer, tool: str, arguments: dict[str, Any]) -> Any:
    """Call a tool of Slack at the test's server."""
    return await call_tool("slack", tool, arguments, base_url=f"{server.url}/api", api_key=KEY)


async def test_issues_are_searched_and_listed() -> None:
    """A search has a total, and a list goes on while its pages are full; pull requests are marked."""
    found = render({"total_count": 3, "incomplete_results": False, "items": [ISSUE]})
    async with open_wire_server(found, render([ISSUE | {"pull_request": {"url": "x"}}])) as server:
        searched = await github(server, "github_search_issues", {"query": "repo:acme/shop crash", "limit": 1})
        listed = await github(server, "github_list_issues", {"repository": "acme/shop", "limit": 5})
        one, two = server.requests
    assert searched == {"issues": [SHOWN], "count": 1, "total_count": 3, "next_page": 2}
    assert listed == {"issues": [SHOWN | {"kind": "pull request"}], "count": 1}
    assert one.path == "/search/issues?q=repo%3Aacme%2Fshop+crash&per_page=1&page=1"
    assert two.path == "/repos/acme/shop/issues?state=open&per_page=5&page=1"
    assert one.headers["x-github-api-version"] == "2022-11-28"
    assert one.headers["accept"] == "application/vnd.github+json"
    assert one.headers["authorization"] == f"Bearer {KEY}"


async def test_an_issue_is_read_with_comments() -> None:
    """The comments come by a second request, if there are any."""
    comments = [{"user": {"login": "bob"}, "created_at": "2026-11-30", "body": "x" * 3_000}]
    async with open_wire_server(render(ISSUE), render(comments)) as server:
        told = await github(server, "github_get_issue", {"repository": "acme/shop", "number": 7})
        paths = [request.path for request in server.requests]
    assert paths == ["/repos/acme/shop/issues/7", "/repos/acme/shop/issues/7/comments?per_page=10"]
    assert told["text"] == "It crashes."
    assert told["comments"][0]["text"].endswith("[... 3,000 characters in all]")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"type": "file", "encoding": "base64", "content": "SGVsbG8s\nIHRoZXJlLg==\n", "size": 13}, "Hello, there."),
        ({"type": "file", "encoding": "base64", "content": base64.b64encode(b"\0\1").decode()}, "is not a text"),
        ({"type": "file", "encoding": "none", "content": "", "size": 9_000_000}, "at most 1 MB"),
        ([{"path": "docs/a.md", "type": "file", "size": 5, "url": "x"}], "docs/a.md"),
    ],
)
async def test_files_and_folders(answer: Any, text: str) -> None:
    """A text is decoded, a folder listed, and anything else told."""
    async with open_wire_server(render(answer)) as server:
        told = await github(server, "github_get_file", {"repository": "acme/shop", "path": "docs/a b.md", "ref": "v1"})
        assert server.requests[0].path == "/repos/acme/shop/contents/docs/a%20b.md?ref=v1"
    assert text in str(told)


async def test_an_issue_is_opened_and_commented() -> None:
    """The title, the text and the labels are sent; a comment goes to the issue."""
    made = render({"number": 8, "html_url": "https://github.com/acme/shop/issues/8"}, 201)
    async with open_wire_server(made, render({"id": 5, "html_url": "u"}, 201)) as server:
        arguments = {"repository": "acme/shop", "title": "Crash", "body": "It does.", "labels": ["bug"]}
        told = await github(server, "github_create_issue", arguments)
        added = await github(server, "github_add_comment", {"repository": "acme/shop", "number": 8, "body": "Same."})
        issue, comment = server.requests
    assert told == {"number": 8, "url": "https://github.com/acme/shop/issues/8", "status": "created"}
    assert added == {"id": 5, "url": "u", "status": "added"}
    assert issue.json() == {"title": "Crash", "body": "It does.", "labels": ["bug"]}
    assert (comment.path, comment.json()) == ("/repos/acme/shop/issues/8/comments", {"body": "Same."})


async def test_a_secondary_limit_of_github_is_waited_for() -> None:
    """A refusal with 403 and a wait is a limit, not a missing right."""
    busy = render({"message": "You have exceeded a secondary rate limit."}, 403, {"retry-after": "0"})
    async with open_wire_server(busy, render([ISSUE])) as server:
        told = await github(server, "github_list_issues", {"repository": "acme/shop"})
    assert told["count"] == 1


@pytest.mark.parametrize("repository", ["acme", "acme/shop/x", "acme/.."])
async def test_a_repository_has_an_owner_and_a_name(repository: str) -> None:
    """Anything else is refused before a request."""
    async with open_wire_server(render([])) as server:
        await github(server, "github_list_issues", {"repository": repository})
        assert server.requests == []


async def test_channels_and_messages_of_slack() -> None:
    """Channels come in pages, and messages with a time that a model can read."""
    channel = {"id": "C1", "name": "ops", "topic": {"value": "All  ops"}, "is_member": True, "creator": "U1"}
    channels = {"ok": True, "channels": [channel], "response_metadata": {"next_cursor": "dGVhbQ=="}}
    message = {"type": "message", "user": "U1", "text": "Down?", "ts": "1764496800.000200", "reply_count": 2}
    messages = {"ok": True, "messages": [message], "has_more": False, "response_metadata": {"next_cursor": ""}}
    async with open_wire_server(render(channels), render(messages), render(messages)) as server:
        listed = await slack(server, "slack_list_channels", {})
        told = await slack(server, "slack_read_messages", {"channel": "C1"})
        await slack(server, "slack_read_messages", {"channel": "C1", "thread_ts": "1764496800.000200"})
        one, two, three = server.requests
    assert listed["channels"] == [{"id": "C1", "name": "ops", "topic": "All ops", "is_member": True}]
    assert listed["next_cursor"] == "dGVhbQ=="
    assert told == {
        "messages": [
            {
                "ts": "1764496800.000200",
                "time": "2025-11-30T10:00:00+00:00",
                "user": "U1",
                "text": "Down?",
                "replies": 2,
            }
        ],
        "count": 1,
    }
    assert one.path == "/api/conversations.list?limit=100&exclude_archived=true"
    assert two.path == "/api/conversations.history?channel=C1&limit=15"
    assert three.path == "/api/conversations.replies?channel=C1&ts=1764496800.000200&limit=15"


async def test_a_message_is_sent() -> None:
    """The message is sent as JSON with the token, once."""
    async with open_wire_server(render({"ok": True, "channel": "C1", "ts": "1.2"})) as server:
        arguments = {"channel": "C1", "text": "Up again.", "thread_ts": "1.1"}
        told = await slack(server, "slack_send_message", arguments)
        [request] = server.requests
    assert told == {"channel": "C1", "ts": "1.2", "status": "sent"}
    assert request.json() == arguments
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"ok": False, "error": "channel_not_found"}, "List the channels"),
        ({"ok": False, "error": "missing_scope", "needed": "chat:write", "provided": "x"}, "Needed: chat:write."),
        ({"ok": False, "error": "invalid_auth"}, "Another call does not help"),
        ({}, "no reason"),
    ],
)
async def test_a_refusal_of_slack_is_told(answer: dict[str, Any], words: str) -> None:
    """A refusal has status 200, and is told all the same."""
    async with open_wire_server(render(answer)) as server:
        told = await slack(server, "slack_send_message", {"channel": "C1", "text": "Hi."})
    assert "slack refused" in told
    assert words in told
