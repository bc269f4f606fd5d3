"""Sessions over real sockets: listed in pages, searched, shown, renamed, deleted, exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agno_rt import Agent, Message, ModelRequest, ModelResponse
from agno_rt.cli.transfer.lines import LineReader
from agno_rt.cli.transfer.sessions import SessionLine
from agno_rt.models import Emit


class Echo:
    """A model that repeats the last message, and says how many messages it was shown."""

    name = "echo"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return ModelResponse(f"{request.messages[-1].text} {len(request.messages)}")


ECHO = Agent(Echo(), "echo")


def client(served: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False)


async def say(http: httpx2.AsyncClient, text: str, session: str, user: str | None = None) -> None:
    """Make one run of the session."""
    done = await http.post("/agents/echo/runs", json={"input": text, "session": session, "user": user})
    assert done.status_code == 200


@pytest.fixture(params=["memory:", "sqlite"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The memory of this process, and an SQLite file."""
    return "memory:" if request.param == "memory:" else f"sqlite:///{tmp_path}/agents.db"


async def test_lists_sessions_in_pages(serve_agents: Any, memory: str) -> None:
    """Each page has the place of the next, except the last. Other users' sessions are on no page."""
    async with client(await serve_agents(ECHO, memory=memory)) as http:
        for at in range(5):
            await say(http, f"number {at}", f"s{at}")
        await say(http, "secret", "hers", "ann")
        pages, query = [], {"limit": "2"}
        while True:
            page = (await http.get("/sessions", params=query)).json()
            pages.append([each["id"] for each in page["sessions"]])
            if page["next"] is None:
                break
            query["before"] = page["next"]
        whole = (await http.get("/sessions", params={"limit": "5"})).json()
        hers = (await http.get("/sessions", params={"user": "ann"})).json()

    assert pages == [["s4", "s3"], ["s2", "s1"], ["s0"]]
    assert [each["id"] for each in whole["sessions"]] == [each for page in pages for each in page]
    assert whole["next"] is None
    [first] = hers["sessions"]
    assert first.keys() == {"id", "title", "agent", "user", "messages", "created_at", "updated_at"}
    assert (first["id"], first["title"], first["agent"], first["user"], first["messages"]) == (
        "hers",
        "secret",
        "echo",
        "ann",
        2,
    )


async def test_searches_titles(serve_agents: Any, memory: str) -> None:
    """`q` finds words in titles, in upper or lower case, for one user alone."""
    async with client(await serve_agents(ECHO, memory=memory)) as http:
        for session, text, user in (("a", "Ärger in Rome", None), ("b", "rome again", None), ("c", "Rome", "ann")):
            await say(http, text, session, user)
        found = {}
        for q in ("ROME", "ärger", " rome ", "%", ""):
            sessions = (await http.get("/sessions", params={"q": q})).json()["sessions"]
            found[q] = sorted(each["id"] for each in sessions)

    assert found == {"ROME": ["a", "b"], "ärger": ["a"], " rome ": ["a", "b"], "%": [], "": ["a", "b"]}


async def test_shows_a_session(serve_agents: Any, memory: str) -> None:
    """A session has the messages for the next run; `last` gives only the last ones."""
    async with client(await serve_agents(ECHO, memory=memory)) as http:
        await say(http, "one", "s")
        await say(http, "two", "s")
        whole = (await http.get("/sessions/s")).json()
        last = (await http.get("/sessions/s", params={"last": "1"})).json()
        unknown = await http.get("/sessions/nobody")

    assert (whole["id"], whole["title"], whole["agent"], whole["user"], whole["total"]) == ("s", "one", "echo", None, 4)
    assert [(each["role"], each["content"]) for each in whole["messages"]] == [
        ("user", "one"),
        ("assistant", "one 1"),
        ("user", "two"),
        ("assistant", "two 3"),
    ]
    assert ([each["content"] for each in last["messages"]], last["total"]) == (["two 3"], 4)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert "sqlite" in unknown.json()["error"]["hint"]


async def test_renames_and_deletes(serve_agents: Any, memory: str) -> None:
    """A title may be given and taken back; a deleted session begins anew."""
    async with client(await serve_agents(ECHO, memory=memory)) as http:
        await say(http, "first words", "s", "ann")
        ann = {"user": "ann"}
        refused = [
            await http.patch("/sessions/s", json={"title": "Mine"}),
            await http.patch("/sessions/s", json={"title": "Mine", "user": "bob"}),
            await http.delete("/sessions/s"),
            await http.delete("/sessions/s", params={"user": "bob"}),
        ]
        renamed = (await http.patch("/sessions/s", json={"title": " My\ntrip ", **ann})).json()
        listed = (await http.get("/sessions", params=ann)).json()["sessions"]
        back = (await http.patch("/sessions/s", json={"title": "", **ann})).json()
        wrong = await http.patch("/sessions/s", json=ann)
        deleted = await http.delete("/sessions/s", params=ann)
        again = await http.delete("/sessions/s", params=ann)
        await say(http, "anew", "s")
        anew = (await http.get("/sessions/s")).json()

    assert [each.status_code for each in refused] == [404] * 4
    assert renamed["title"] == "My trip"
    assert listed == [renamed]
    assert back == renamed | {"title": "first words"}
    assert (wrong.status_code, "title" in wrong.json()["error"]["message"]) == (400, True)
    assert (deleted.status_code, deleted.json(), again.status_code) == (200, {"deleted": True}, 404)
    assert (anew["title"], anew["total"], anew["messages"][1]["content"]) == ("anew", 2, "anew 1")


async def test_exports(serve_agents: Any, memory: str, tmp_path: Path) -> None:
    """An exported session is a line for `agno-rt sessions import`, with title and agent."""
    async with client(await serve_agents(ECHO, memory=memory)) as http:
        await say(http, "hi", "s", "ann")
        await http.patch("/sessions/s", json={"title": "Called so", "user": "ann"})
        exported = await http.get("/sessions/s/export", params={"user": "ann"})
    (tmp_path / "s.jsonl").write_bytes(exported.content)
    with (tmp_path / "s.jsonl").open("rb") as file:
        [(_, kept)] = LineReader("session", SessionLine).read(file)

    assert isinstance(kept, SessionLine)
    assert exported.headers["content-type"] == "application/x-ndjson"
    assert "s.jsonl" in exported.headers["content-disposition"]
    assert exported.content.endswith(b"\n")
    assert json.loads(exported.content)["id"] == "s"
    assert (kept.user, kept.title, kept.agent) == ("ann", "Called so", "echo")
    assert kept.messages == (Message("user", "hi"), Message("assistant", "hi 1"))


@pytest.mark.parametrize("name", ["chat-a@~/my/agno-rt.toml", "100 % sure?", "대화", "a#b", "export"])
async def test_names_of_any_kind(serve_agents: Any, name: str) -> None:
    """A session's name may have any characters allowed in names, escaped in the path."""
    async with client(await serve_agents(ECHO)) as http:
        await say(http, "hi", name)
        path = f"/sessions/{httpx2.URL(params={'q': name}).query.decode()[2:].replace('+', '%20')}"
        shown = (await http.get(path)).json()
        exported = await http.get(f"{path}/export")
        renamed = (await http.patch(path, json={"title": "x"})).json()
        deleted = await http.delete(path)

    assert (shown["id"], json.loads(exported.content)["id"], renamed["title"]) == (name, name, "x")
    assert deleted.status_code == 200


async def test_pages_of_other_sites_may_not(serve_agents: Any) -> None:
    """A page of another origin can neither read nor change sessions; an allowed page may also delete."""
    async with client(await serve_agents(ECHO, cors_origins=("https://a.example",))) as http:
        await say(http, "hi", "s")
        other = {"Origin": "https://b.example"}
        refused = [
            await http.get("/sessions", headers=other),
            await http.patch("/sessions/s", json={"title": "x"}, headers=other),
            await http.delete("/sessions/s", headers=other),
        ]
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "DELETE"}
        allowed = await http.options("/sessions/s", headers=asked)

    assert [each.status_code for each in refused] == [403] * 3
    assert "DELETE" in allowed.headers["access-control-allow-methods"]


async def test_methods_that_are_none(serve_agents: Any) -> None:
    """A method not accepted on a path is a 405 that names the accepted methods."""
    async with client(await serve_agents(ECHO)) as http:
        refused = await http.put("/sessions/s", json={})
        head = await http.head("/sessions")

    assert refused.status_code == 405
    assert {each.strip() for each in refused.headers["allow"].split(",")} == {"GET", "HEAD", "PATCH", "DELETE"}
    assert (head.status_code, head.content) == (200, b"")


async def test_options(serve_agents: Any) -> None:
    """OPTIONS tells the methods of a path, and of `*` that the server lives; an unknown path stays unknown."""
    served = await serve_agents(ECHO)
    async with client(served) as http:
        answers = [await http.options(path) for path in ("/sessions/s", "/agents/echo/runs", "/health", "/nothing")]
    async with await served.dial() as wire:
        await wire.send(b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n")
        everything = await wire.answer()

    allowed = [sorted(answer.headers.get("allow", "").split(", ")) for answer in answers]
    assert allowed[0] == ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH"]
    assert allowed[1:3] == [["OPTIONS", "POST"], ["GET", "HEAD", "OPTIONS"]]
    assert [answer.status_code for answer in answers] == [204, 204, 204, 404]
    assert (everything.status, everything.body) == (204, b"")


async def test_no_cache_keeps_an_answer(serve_agents: Any) -> None:
    """Answers about users, and errors, say that no cache may keep them, on the way or in the browser."""
    async with client(await serve_agents(ECHO)) as http:
        answers = [await http.post("/agents/echo/runs", json={"input": "hello", "session": "s"})]
        answers += [await http.get(path) for path in ("/sessions", "/sessions/s", "/agents", "/sessions/none")]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404]
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 5


async def test_without_the_key(serve_agents: Any) -> None:
    """On a server with a key, every route of sessions needs the key."""
    async with client(await serve_agents(ECHO, key="k" * 32)) as http:
        paths = ("/sessions", "/sessions/s", "/sessions/s/export", "/runs", "/runs/r", "/approvals", "/approvals/a")
        refused = [await http.get(path) for path in paths]
        allowed = await http.get("/sessions", headers={"Authorization": f"Bearer {'k' * 32}"})

    assert {each.status_code for each in refused} == {401}
    assert allowed.json() == {"sessions": [], "next": None}
