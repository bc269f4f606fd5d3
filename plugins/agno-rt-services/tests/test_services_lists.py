"""The tools of Confluence, Bitbucket and Airflow against servers on loopback that speak the documented formats.

References: "The Confluence Cloud REST API" version 2, "Space" and "Page" (`_links.next` with a cursor), and version 1,
"Search"; "Confluence Data Center REST API", "Pagination in the REST API"; "The Bitbucket Cloud REST API", "Pagination",
"Workspaces", "Pull requests"; "Airflow REST API" versions 1 and 2. The answers of Airflow were taken from a server of
Airflow 3.3.2.
"""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

import pytest

from agno_rt.testing import WireReply, open_wire_server
from tests.servers.service_formats import KEY, call_tool, render

SPACE = {"id": "98306", "key": "DS", "name": "Demonstration", "type": "global", "_links": {"webui": "/spaces/DS"}}
RUN = {
    "dag_run_id": "manual__2026-11-30T17:49:04.781102+00:00",
    "dag_id": "hello",
    "logical_date": None,
    "queued_at": "2026-11-30T17:49:04.879137Z",
    "state": "queued",
    "run_type": "manual",
    "conf": {"a": 1},
}
TOKEN = render({"access_token": "eyJ-one"}, 201)


def read_query(path: str) -> dict[str, str]:
    """Return the query of a request."""
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


async def test_spaces_come_in_pages() -> None:
    """The cursor of the next page is taken from the link, and sent back."""
    links = {"next": "/wiki/api/v2/spaces?limit=1&cursor=eyJpZCI6IjEifQ%3D%3D", "base": "https://x.example/wiki"}
    async with open_wire_server(render({"results": [SPACE], "_links": links}), render({"results": []})) as server:
        table = {"base_url": f"{server.url}/wiki", "api_key": KEY, "user": "ann@example.com"}
        told = await call_tool("confluence", "list_spaces", {"limit": 1}, **table)
        last = await call_tool("confluence", "list_spaces", {"cursor": told["next_cursor"]}, **table)
        one, two = server.requests
    assert told == {
        "spaces": [
            {
                "id": "98306",
                "key": "DS",
                "name": "Demonstration",
                "type": "global",
                "url": "https://x.example/wiki/spaces/DS",
            }
        ],
        "count": 1,
        "next_cursor": "eyJpZCI6IjEifQ==",
    }
    assert last == {"spaces": [], "count": 0}
    assert one.path == "/wiki/api/v2/spaces?limit=1"
    assert one.headers["authorization"].startswith("Basic ")
    assert read_query(two.path) == {"limit": "25", "cursor": "eyJpZCI6IjEifQ=="}


async def test_pages_are_searched_by_literal_words() -> None:
    """Quotation marks of the model stay within the words of the query."""
    found = {
        "content": {"id": "123", "type": "page", "space": {"key": "DS"}},
        "title": "@@@hl@@@Order@@@endhl@@@ flow",
        "excerpt": "The @@@hl@@@order@@@endhl@@@ ...",
        "url": "/spaces/DS/pages/123",
        "lastModified": "2026-11-30T10:00:00.000Z",
    }
    async with open_wire_server(render({"results": [found], "_links": {"base": "https://x.example/wiki"}})) as server:
        arguments = {"query": 'order" OR space = "HR', "space_key": "DS"}
        told = await call_tool("confluence", "search_pages", arguments, base_url=server.url, api_key=KEY)
        query = read_query(server.requests[0].path)
    assert query["cql"] == 'type = page AND text ~ "order\\" OR space = \\"HR" AND space = "DS"'
    [page] = told["pages"]
    assert (page["id"], page["title"], page["excerpt"]) == ("123", "Order flow", "The order ...")
    assert page["url"] == "https://x.example/wiki/spaces/DS/pages/123"


async def test_a_page_comes_as_text_in_parts() -> None:
    """The markup is gone, code of macros stays, and a long page tells where its next part begins."""
    storage = (
        "<h1>Plan</h1><p>One &amp; two</p><ul><li>first</li></ul><ac:structured-macro><ac:plain-text-body>"
        "<![CDATA[x < 1]]></ac:plain-text-body></ac:structured-macro><script>bad()</script><p>" + "z" * 13_000 + "</p>"
    )
    page = {"id": "123", "title": "Plan", "spaceId": "98306", "version": {"number": 4}}
    page |= {"body": {"storage": {"value": storage, "representation": "storage"}}}
    async with open_wire_server(render(page)) as server:
        table = {"base_url": server.url, "api_key": KEY}
        told = (await call_tool("confluence", "get_page_content", {"page_id": "123"}, **table))["page"]
        rest = await call_tool(
            "confluence", "get_page_content", {"page_id": "123", "start": told["next_start"]}, **table
        )
        path = server.requests[0].path
    assert path == "/api/v2/pages/123?body-format=storage"
    assert told["text"].startswith("Plan\nOne & two\n- first\nx < 1\nzzz")
    assert "bad()" not in told["text"]
    assert len(told["text"]) == told["next_start"] == 12_000
    assert told["characters"] == 12_000 + len(rest["page"]["text"])
    assert "next_start" not in rest["page"]


async def test_a_data_center_of_confluence() -> None:
    """A server of one's own is asked in version 1, with pages by number."""
    links = {"next": "/rest/api/space?limit=1&start=1", "base": "https://wiki.example"}
    page = {"id": "1", "title": "T", "space": {"key": "DS"}, "body": {"storage": {"value": "<p>Hi</p>"}}}
    async with open_wire_server(render({"results": [SPACE], "_links": links}), render(page)) as server:
        table = {"base_url": server.url, "api_key": KEY, "data_center": True}
        told = await call_tool("confluence", "list_spaces", {"limit": 1, "cursor": "0"}, **table)
        shown = await call_tool("confluence", "get_page_content", {"page_id": "1"}, **table)
        spaces, content = server.requests
    assert told["next_cursor"] == "1"
    assert spaces.path == "/rest/api/space?limit=1&start=0"
    assert content.path == "/rest/api/content/1?expand=body.storage%2Cversion%2Cspace"
    assert (shown["page"]["space"], shown["page"]["text"]) == ("DS", "Hi")


async def test_workspaces_and_repositories_of_bitbucket() -> None:
    """Workspaces come from the list for the account; the next page is named as the service names it."""
    spaces = {"pagelen": 1, "values": [{"administrator": True, "workspace": {"slug": "acme", "uuid": "{1}"}}]}
    repository = {
        "slug": "shop",
        "full_name": "acme/shop",
        "description": "The  shop",
        "is_private": True,
        "language": "python",
        "mainbranch": {"name": "main"},
        "updated_on": "2026-11-30T10:00:00+00:00",
        "links": {"clone": [{"href": "x" * 1_000}]},
    }
    repositories = {
        "values": [repository],
        "next": "https://api.bitbucket.org/2.0/repositories/acme?page=Xy-2&pagelen=1",
    }
    async with open_wire_server(render(spaces), render(repositories)) as server:
        table = {"base_url": f"{server.url}/2.0", "api_key": KEY}
        told = await call_tool("bitbucket", "list_workspaces", {}, **table)
        listed = await call_tool("bitbucket", "list_repositories", {"workspace": "acme", "limit": 1}, **table)
        one, two = server.requests
    assert told == {"workspaces": [{"slug": "acme", "uuid": "{1}"}], "count": 1}
    assert one.path == "/2.0/user/workspaces?pagelen=25"
    assert two.path == "/2.0/repositories/acme?pagelen=1&sort=-updated_on"
    assert listed["next_page"] == "Xy-2"
    assert listed["repositories"] == [
        {
            "slug": "shop",
            "full_name": "acme/shop",
            "description": "The shop",
            "is_private": True,
            "language": "python",
            "main_branch": "main",
            "updated_on": "2026-11-30T10:00:00+00:00",
        }
    ]


async def test_pull_requests_of_bitbucket() -> None:
    """The state is sent, and each request is shown with its branches."""
    request = {
        "id": 7,
        "title": "Mend",
        "state": "MERGED",
        "author": {"display_name": "Ann"},
        "source": {"branch": {"name": "mend"}},
        "destination": {"branch": {"name": "main"}},
        "links": {"html": {"href": "https://bitbucket.org/acme/shop/pull-requests/7"}},
    }
    async with open_wire_server(render({"size": 1, "values": [request]})) as server:
        arguments = {"workspace": "acme", "repository": "shop", "state": "MERGED"}
        told = await call_tool("bitbucket", "list_pull_requests", arguments, base_url=server.url, api_key=KEY)
        path = server.requests[0].path
    assert path == "/repositories/acme/shop/pullrequests?state=MERGED&pagelen=25"
    assert (told["count"], told["size"]) == (1, 1)
    assert (told["pull_requests"][0]["source"], told["pull_requests"][0]["author"]) == ("mend", "Ann")


async def test_airflow_3_logs_in_and_triggers() -> None:
    """The password buys a token, and the token goes along; version 2 wants a logical date, if only null."""
    async with open_wire_server(TOKEN, render(RUN)) as server:
        table = {"base_url": server.url, "user": "admin", "api_key": KEY}
        arguments = {"dag_id": "hello", "conf": {"a": 1}, "dag_run_id": "r-1"}
        told = await call_tool("airflow", "trigger_dag_run", arguments, **table)
        login, trigger = server.requests
    assert (login.path, login.json()) == ("/auth/token", {"username": "admin", "password": KEY})
    assert trigger.path == "/api/v2/dags/hello/dagRuns"
    assert trigger.headers["authorization"] == "Bearer eyJ-one"
    assert trigger.json() == {"conf": {"a": 1}, "logical_date": None, "dag_run_id": "r-1"}
    assert (told["dag_run_id"], told["state"], told["conf"]) == (RUN["dag_run_id"], "queued", {"a": 1})


async def test_a_named_run_is_triggered_once() -> None:
    """A name that a run has already gives that run: a repeated call triggers nothing."""
    conflict = {"detail": {"reason": "Unique constraint violation", "statement": "hidden", "orig_error": "hidden"}}
    replies = (WireReply(ending="reset"), render(conflict, 409), render(RUN | {"state": "running"}))
    async with open_wire_server(*replies) as server:
        arguments = {"dag_id": "hello", "dag_run_id": "r-1"}
        told = await call_tool("airflow", "trigger_dag_run", arguments, base_url=server.url, api_key=KEY)
        assert [request.method for request in server.requests] == ["POST", "POST", "GET"]
        assert server.requests[-1].path == "/api/v2/dags/hello/dagRuns/r-1"
    assert (told["state"], told["existed"]) == ("running", True)


async def test_airflow_2_takes_the_password() -> None:
    """Version 1 gets the name and the password with each request, and no logical date."""
    async with open_wire_server(render({"dags": [], "total_entries": 0}), render(RUN)) as server:
        table = {"base_url": server.url, "user": "admin", "api_key": KEY, "api": "v1"}
        await call_tool("airflow", "list_dags", {}, **table)
        await call_tool("airflow", "trigger_dag_run", {"dag_id": "hello"}, **table)
        listed, trigger = server.requests
    assert listed.path == "/api/v1/dags?limit=25&offset=0"
    assert listed.headers["authorization"] == "Basic " + base64.b64encode(f"admin:{KEY}".encode()).decode()
    assert trigger.json() == {"conf": {}}


@pytest.mark.parametrize(("status", "detail"), [(403, "Invalid JWT token"), (401, "Token Expired")])
async def test_airflow_gets_a_new_token(status: int, detail: str) -> None:
    """A refused token is replaced once, and the call is made again."""
    dags = {"dags": [{"dag_id": f"d{n}", "tags": [{"name": "demo"}]} for n in range(2)], "total_entries": 3}
    replies = (TOKEN, render({"detail": detail}, status), render({"access_token": "eyJ-two"}, 201), render(dags))
    async with open_wire_server(*replies) as server:
        told = await call_tool("airflow", "list_dags", {"limit": 2}, base_url=server.url, user="admin", api_key=KEY)
        tokens = [request.headers.get("authorization") for request in server.requests]
    assert tokens == [None, "Bearer eyJ-one", None, "Bearer eyJ-two"]
    assert (told["next_offset"], told["dags"][0]["tags"]) == (2, ["demo"])


async def test_airflow_refuses_without_a_second_login() -> None:
    """An account that may not do something keeps its token, and the model is told."""
    async with open_wire_server(TOKEN, render({"detail": "Forbidden"}, 403)) as server:
        told = await call_tool("airflow", "list_dags", {}, base_url=server.url, user="admin", api_key=KEY)
        assert len(server.requests) == 2
    assert "airflow answered 403 Forbidden: Forbidden\nThe account may not do this." in told


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (render({"detail": "Invalid credentials"}, 401), "airflow refused the name or the password"),
        (render({"detail": "Not Found"}, 404), 'api = "v1"'),
        (WireReply((b"<html>",), content_type="text/html"), "answered without a token"),
    ],
)
async def test_a_login_that_fails(reply: WireReply, words: str) -> None:
    """The model is told that the login failed, and no further request is made."""
    async with open_wire_server(reply) as server:
        told = await call_tool("airflow", "list_dags", {}, base_url=server.url, user="admin", api_key=KEY)
        assert len(server.requests) == 1
    assert words in told
    assert KEY not in told


async def test_the_state_of_a_run_has_its_tasks() -> None:
    """The run and its tasks are asked for, and shown together."""
    tasks = {"task_instances": [{"task_id": "say", "state": "success", "try_number": 1, "pool": "default"}]}
    async with open_wire_server(render(RUN), render({**tasks, "total_entries": 1})) as server:
        arguments = {"dag_id": "hello", "dag_run_id": "manual__2026-11-30T17:49:04+00:00"}
        told = await call_tool("airflow", "get_dag_run_status", arguments, base_url=server.url, api_key=KEY)
        run, instances = server.requests
    assert run.path == "/api/v2/dags/hello/dagRuns/manual__2026-11-30T17%3A49%3A04%2B00%3A00"
    assert instances.path == f"{run.path}/taskInstances?limit=100"
    assert told["dag_run"]["state"] == "queued"
    assert told["dag_run"]["task_instances"] == [{"task_id": "say", "state": "success", "try_number": 1}]
