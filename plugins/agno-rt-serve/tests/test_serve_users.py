"""Users are separated: a walk over every route that the server declares, as another user, and without rights.

The routes come from the server's own OpenAPI document, and their bodies from its schemas: a new route is walked, too.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx2
import pytest
from agno_rt_serve.auth.gate import is_listed
from agno_rt_serve.auth.key_store import KeyStore, Rights
from agno_rt_serve.auth.settings import AnonymousSettings

from agno_rt import Agent, MemoryPolicy, ToolCall, tool
from agno_rt.testing import ScriptedModel

Serve = Callable[..., Awaitable[Any]]
MARKER = "MARKER-OF-ANN"
RUN = {"input": MARKER, "session": "session-of-ann"}
METHODS = ("get", "post", "put", "patch", "delete")
# Lists for everybody, with the caller's runnables alone.
FILTERED = {"/agents", "/knowledge", "/v1/models", "/api/v1/agents", "/.well-known/agent-card.json"}
# The body names the model: a body that does not fit is a 400 before the model is known.
NAMED_IN_BODY = {"/v1/chat/completions", "/v1/responses", "/v1/embeddings"}


@tool(approve=True)
def pay(to: str) -> str:
    """Pay somebody."""
    return f"paid {to}"


@attrs.frozen
class Operation:
    """A route of the document."""

    method: str
    path: str
    about: dict[str, Any]
    schemas: dict[str, Any]

    @property
    def is_open(self) -> bool:
        """True if the route answers without a key."""
        return self.about.get("security") == []

    def fill(self, ids: dict[str, str]) -> str:
        """Return the path with the ids of Ann's things, by the kind of thing."""
        kind = self.path.removeprefix("/api/v1").split("/")[1]
        kind = "responses" if self.path.startswith("/v1/responses/") else kind
        path = self.path
        for each in self.about.get("parameters", ()):
            if each["in"] == "path":
                path = path.replace(f"{{{each['name']}}}", ids.get(kind, ids["agents"]))
        return path

    def takes_user(self) -> bool:
        """Return True if the query has a parameter `user`."""
        return any(each["in"] == "query" and each["name"] == "user" for each in self.about.get("parameters", ()))

    def body(self, **more: Any) -> Any:
        """Return the smallest body that fits the schema, with the values of known fields."""
        content = self.about.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            return None
        schema = self._resolve(content["application/json"]["schema"])
        made = self._example(schema)
        known = schema.get("properties", {})
        return made | {name: value for name, value in more.items() if name in known} if isinstance(made, dict) else made

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def _example(self, schema: dict[str, Any]) -> Any:
        schema = self._resolve(schema)
        if "enum" in schema or "const" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return self._example(schema[choice][0])
        if schema.get("type") == "object":
            fields = schema.get("properties", {})
            return {name: self._example(fields[name]) for name in schema.get("required", ())}
        if schema.get("type") == "array":
            return [self._example(schema.get("items", {}))]
        return {"integer": schema.get("minimum", 1), "number": 1, "boolean": True}.get(schema.get("type", ""), "x")


@attrs.define
class World:
    """A server with the things of Ann, and the keys of Ann, Bob and others."""

    http: httpx2.AsyncClient
    keys: dict[str, str]
    operations: list[Operation]
    ids: dict[str, str]
    audit: Path

    async def ask(self, key: str | None, method: str, path: str, body: Any = None, **query: str) -> httpx2.Response:
        """Send a request with the key of the name."""
        headers = {} if key is None else {"Authorization": f"Bearer {self.keys[key]}"}
        return await self.http.request(method, path, json=body, params=query, headers=headers)


@pytest.fixture
async def world(serve_agents: Serve, tmp_path: Path) -> AsyncIterator[World]:
    """Serve a pausing agent, with a session, a run and an approval of Ann."""
    store = KeyStore(tmp_path / "keys.json")
    scopes = {"ann": (), "bob": (), "boss": ("admin",), "none": ("server:nothing:read",), "reader": ("agents:*:read",)}
    keys = {name: store.add(name, Rights(each), now=time.time())[0] for name, each in scopes.items()}
    steps: list[ToolCall | str] = [ToolCall("1", "pay", f'{{"to": "{MARKER}"}}'), MARKER]
    desk = Agent(ScriptedModel(lambda request: steps[request.messages[-1].role == "tool"]), "desk", tools=[pay])
    plain = Agent(ScriptedModel(lambda request: "Hello."), "plain", memory=MemoryPolicy(journal=True))
    made = await serve_agents(
        desk,
        plain,
        keys_file=str(store.path),
        memory=f"sqlite:///{tmp_path}/agents.db",
        audit_log=str(tmp_path / "audit.jsonl"),
    )
    async with httpx2.AsyncClient(base_url=made.url, timeout=30) as http:
        world = World(http, keys, [], {}, tmp_path / "audit.jsonl")
        document = (await http.get("/openapi.json", headers={"Authorization": f"Bearer {keys['ann']}"})).json()
        schemas = document["components"]["schemas"]
        world.operations = [
            Operation(method.upper(), path, about, schemas)
            for path, item in document["paths"].items()
            for method, about in item.items()
            if method in METHODS
        ]
        await world.ask("ann", "POST", "/agents/plain/runs", RUN)
        paused = (await world.ask("ann", "POST", "/agents/desk/runs", RUN)).json()
        fact = (await world.ask("ann", "POST", "/facts", {"text": MARKER})).json()
        response = (await world.ask("ann", "POST", "/v1/responses", {"model": "plain", "input": MARKER})).json()
        world.ids = {
            "responses": response["id"],
            "facts": fact["id"],
            "agents": "desk",
            "runs": paused["run_id"],
            "approvals": paused["approvals"][0]["id"],
            "sessions": RUN["session"],
            "v1": "desk",
        }
        yield world


async def see_all(world: World) -> list[Any]:
    """Return Ann's things, as Ann sees them."""
    paths = [
        f"/v1/responses/{world.ids['responses']}",
        "/facts",
        "/runs",
        f"/runs/{world.ids['runs']}",
        "/approvals",
        "/sessions",
        f"/sessions/{RUN['session']}",
    ]
    return [(await world.ask("ann", "GET", path)).json() for path in paths]


def secrets_of(world: World) -> Iterator[str]:
    yield MARKER
    yield from (world.ids[kind] for kind in ("runs", "approvals"))


def is_bad_body(operation: Operation, answer: httpx2.Response) -> bool:
    """Return True if the body of a route that names the model in the body was refused."""
    return operation.path in NAMED_IN_BODY and answer.status_code == 400


class TestUsers:
    async def test_another_user_finds_nothing(self, world: World) -> None:
        """On every route, with Ann's ids and with Ann's name, Bob sees nothing of Ann's, and changes nothing."""
        before, seen = await see_all(world), []
        for each in world.operations:
            if each.is_open or (each.path.endswith("/runs") and each.method == "POST"):
                continue  # a run of Bob tells nothing; a later test runs on Ann's session
            for said in ({}, {"user": "ann"}):
                query = said if each.takes_user() else {}
                body = each.body(session=RUN["session"], model="plain", **said)
                answer = await world.ask("bob", each.method, each.fill(world.ids), body, **query)
                assert answer.status_code < 500, (each.method, each.path, answer.text)
                if answer.status_code < 300 and any(secret in answer.text for secret in secrets_of(world)):
                    seen.append((each.method, each.path, said, answer.text))

        assert seen == []
        assert await see_all(world) == before

    async def test_the_walk_would_see(self, world: World) -> None:
        """Ann finds the things by the same walk, and so does an admin without naming a user."""
        for key in ("ann", "boss"):
            found = set()
            for each in world.operations:
                if each.method == "GET" and not each.is_open:
                    answer = await world.ask(key, "GET", each.fill(world.ids))
                    if any(secret in answer.text for secret in secrets_of(world)):
                        found.add(each.path)
            expected = {"/runs", "/runs/{id}", "/approvals", "/approvals/{id}", "/sessions", "/sessions/{id}"}
            # Facts are always about one user: an admin has to name the user.
            assert expected | ({"/facts", "/v1/responses/{id}/input_items"} if key == "ann" else set()) <= found
            assert len(found) >= 7

    @pytest.mark.parametrize("said", [{}, {"user": "ann"}])
    async def test_runs_on_a_session_of_another(self, world: World, said: dict[str, str]) -> None:
        """Bob can neither run an agent on Ann's session nor as Ann."""
        for name in ("desk", "plain"):
            answer = await world.ask("bob", "POST", f"/agents/{name}/runs", RUN | said)
            assert answer.status_code == 403
            assert MARKER not in answer.text

    async def test_decisions(self, world: World) -> None:
        """A decision is by the user of the key, whatever name the request has, and is in the audit log."""
        body = {"decision": "deny", "by": "the boss"}
        refused = await world.ask("bob", "POST", f"/approvals/{world.ids['approvals']}", body)
        decided = await world.ask("ann", "POST", f"/approvals/{world.ids['approvals']}", body)
        (line,) = [line for line in world.audit.read_text().splitlines() if "approval_decided" in line]

        assert refused.status_code == 404
        assert decided.json()["by"] == "ann"
        assert json.loads(line)["user"] == "ann"

    async def test_standing_approvals(self, world: World) -> None:
        """Ann's standing approval is Ann's alone: Bob neither sees nor revokes it; the audit log has its reach."""
        body = {"decision": "approve", "standing": {"scope": "agent", "seconds": 60, "arguments": "any"}}
        await world.ask("ann", "POST", f"/approvals/{world.ids['approvals']}", body)
        [grant] = (await world.ask("ann", "GET", "/grants")).json()["grants"]
        seen = [(await world.ask(key, "GET", "/grants")).json()["grants"] for key in ("bob", "boss")]
        refused = await world.ask("bob", "DELETE", f"/grants/{grant['id']}")
        revoked = await world.ask("ann", "DELETE", f"/grants/{grant['id']}")
        lines = [json.loads(line) for line in world.audit.read_text().splitlines()]

        assert (grant["user"], grant["by"], grant["session"]) == ("ann", "ann", None)
        assert seen == [[], [grant]]
        assert (refused.status_code, revoked.status_code) == (404, 200)
        assert [line["standing"]["scope"] for line in lines if "standing" in line] == ["agent"]
        assert [line["grant"] for line in lines if line.get("event") == "grant_revoked" or "grant" in line] == [
            grant["id"]
        ]

    async def test_admins(self, world: World) -> None:
        """An admin acts for a named user, and sees the user's things alone then."""
        mine = await world.ask("boss", "POST", "/agents/plain/runs", {"input": "Hi", "user": "bob"})
        listed = [(await world.ask("boss", "GET", "/runs", user=user)).json()["runs"] for user in ("ann", "bob")]

        assert mine.status_code == 200
        assert [{run["user"] for run in runs} for runs in listed] == [{"ann"}, {"bob"}]


class TestScopes:
    async def test_every_route_is_thought_of(self, world: World) -> None:
        """Each declared route is of a kind known to the gate, or open to anybody."""
        closed = [each.path.removeprefix("/api/v1") for each in world.operations if not each.is_open]
        assert [path for path in closed if not is_listed(path)] == []

    @pytest.mark.parametrize("key", ["none", None])
    async def test_without_rights(self, world: World, key: str | None) -> None:
        """On any route, keys without the scope and callers without a key get no further than the gate."""
        expected = {401} if key is None else {403, 404}
        opened = []
        for each in world.operations:
            if not each.is_open:
                answer = await world.ask(key, each.method, each.fill(world.ids), each.body(model="desk"))
                if answer.status_code not in expected and not is_bad_body(each, answer):
                    opened.append((each.method, each.path, answer.text))

        if key is None:
            assert opened == []
        assert {path for _, path, _ in opened} <= FILTERED | {"/runs", "/approvals", "/grants"}
        assert not any("desk" in text or world.ids["runs"] in text for _, _, text in opened)

    async def test_reading_is_not_running(self, world: World) -> None:
        """A key with the right to read an agent's runs starts no run, and lists the agent."""
        store_user = await world.ask("reader", "POST", "/agents/desk/runs", {"input": "Hi"})
        listed = await world.ask("reader", "GET", "/agents")

        assert store_user.status_code == 403
        assert {agent["name"] for agent in listed.json()["agents"]} == {"desk", "plain"}


class TestAnonymous:
    async def test_walk(self, serve_agents: Serve) -> None:
        """Without a key, only the declared agent can be run; every other route is refused."""
        agents = [Agent(ScriptedModel(lambda request: "Hello."), name) for name in ("a", "b")]
        made = await serve_agents(*agents, anonymous=AnonymousSettings(("a",), rate="1000/m"))
        async with httpx2.AsyncClient(base_url=made.url, timeout=30) as http:
            document = (await http.get("/openapi.json")).json()
            opened = {}
            for path, item in document["paths"].items():
                for method in METHODS:
                    if method in item and item[method].get("security") != []:
                        each = Operation(method.upper(), path, item[method], document["components"]["schemas"])
                        ids = {"agents": "b", "v1": "b"}
                        answer = await http.request(each.method, each.fill(ids), json=each.body(model="b"))
                        if answer.status_code not in (401, 403, 404) and not is_bad_body(each, answer):
                            opened[path] = answer.text
            allowed = await http.post("/agents/a/runs", json={"input": "Hi"})

        assert allowed.status_code == 200
        assert set(opened) <= FILTERED
        assert not any('"b"' in text for text in opened.values())
