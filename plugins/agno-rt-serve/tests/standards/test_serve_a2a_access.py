"""Who sees which cards and tasks of A2A, the errors of both bindings, lists, and version 0.3 of the protocol."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from agno_rt_serve.api.a2a.settings import A2ASettings
from agno_rt_serve.auth.key_store import KeyStore, Rights
from agno_rt_serve.auth.settings import AnonymousSettings

from agno_rt import Agent, Ask, Flow, Team, ToolCall, tool, workflow
from agno_rt.errors import ConfigError
from agno_rt.testing import ScriptedModel
from standards.a2a_talk import VERSION, Talk, message, read_stream, states

PATIENCE = 30.0
CARD = "/.well-known/agent-card.json"
Serve = Callable[..., Awaitable[Any]]


@tool(approve=True)
def pay(to: str) -> str:
    """Pay somebody."""
    return f"paid {to}"


def ask_to_pay(request: Any) -> Any:
    """Call `pay` first, and then repeat the result."""
    last = request.messages[-1]
    return last.text if last.role == "tool" else ToolCall("1", "pay", '{"to": "ann"}')


def desk() -> Agent:
    """Return an agent that asks before it pays."""
    return Agent(ScriptedModel(ask_to_pay), "desk", tools=[pay], description="Looks after orders.")


def plain() -> Agent:
    """Return an agent that greets."""
    return Agent(ScriptedModel(lambda request: "Hello."), "plain")


@workflow(name="asker")
async def asker(flow: Flow) -> str:
    """Ask a question."""
    name: str = await flow.ask(Ask(str, "Name?"))
    return f"Hello {name}"


@asynccontextmanager
async def open_client(served: Any, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE, headers=headers) as http:
        yield http


def make_keys(folder: Path, **scopes: tuple[str, ...]) -> tuple[str, dict[str, dict[str, str]]]:
    """Make keys, and return the file, and the headers of each name."""
    store = KeyStore(folder / "keys.json")
    made = {name: store.add(name, Rights(each), now=time.time())[0] for name, each in scopes.items()}
    return str(store.path), {name: {**VERSION, "Authorization": f"Bearer {key}"} for name, key in made.items()}


class TestCards:
    async def test_of_each_runnable(self, serve_agents: Serve) -> None:
        """Each runnable has a card with its address, its tools or members as skills, and the server the first's."""
        team = Team([desk(), plain()], "sequence", name="office")
        served = await serve_agents(desk(), plain(), team, suggestions={"desk": ("Pay ann.",)})
        async with open_client(served) as http:
            first = await http.get(CARD)
            cards = {name: (await http.get(f"/a2a/{name}{CARD}")).json() for name in ("desk", "plain", "office")}
            again = await http.get(CARD, headers={"If-None-Match": first.headers["etag"]})
            unknown = await http.get(f"/a2a/nobody{CARD}")
            extended = await Talk(http, "desk").refused("GetExtendedAgentCard")

        card = first.json()
        assert card == cards["desk"]
        assert card["supportedInterfaces"][0] == {
            "url": f"{served.url}/a2a/desk",
            "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0",
        }
        assert card["capabilities"] == {"streaming": True, "pushNotifications": True, "extendedAgentCard": False}
        assert [skill["name"] for skill in card["skills"]] == ["desk", "pay"]
        assert (card["skills"][0]["examples"], card["description"]) == (["Pay ann."], "Looks after orders.")
        assert {"desk", "plain"} <= {skill["name"] for skill in cards["office"]["skills"]}
        assert "securitySchemes" not in card
        assert (again.status_code, again.content, unknown.status_code) == (304, b"", 404)
        assert "max-age" in first.headers["cache-control"]
        assert extended == (-32004, "UNSUPPORTED_OPERATION")

    async def test_settings(self, serve_agents: Serve) -> None:
        """The settings choose the server's card and its address, and turn the routes off."""
        served = await serve_agents(desk(), plain(), a2a=A2ASettings(agent="plain", url="https://agents.example/"))
        off = await serve_agents(desk(), a2a=A2ASettings(enabled=False))
        async with open_client(served) as http, open_client(off) as other:
            card = (await http.get(CARD)).json()
            gone = [(await other.get(CARD)).status_code, (await other.post("/a2a/desk", json={})).status_code]

        assert card["supportedInterfaces"][0]["url"] == "https://agents.example/a2a/plain"
        assert gone == [404, 404]
        with pytest.raises(ConfigError, match="nobody"):
            await serve_agents(desk(), a2a=A2ASettings(agent="nobody"))

    async def test_open_cards(self, serve_agents: Serve, tmp_path: Path) -> None:
        """With open_cards a stranger sees the beginning of a card, and a key gets the rest as extended card."""
        file, keys = make_keys(tmp_path, ann=(), other=("agents:plain:run",))
        served = await serve_agents(desk(), plain(), keys_file=file, a2a=A2ASettings(open_cards=True))
        async with open_client(served) as http:
            card = (await http.get(CARD)).json()
            own = (await http.get(f"/a2a/desk{CARD}")).json()
            stranger = await http.post("/a2a/desk", json={}, headers=VERSION)
            extended = await Talk(http, "desk", keys["ann"]).call("GetExtendedAgentCard")
            by_path = (await http.get("/a2a/desk/extendedAgentCard", headers=keys["ann"])).json()
            old = (await http.get(f"/a2a/desk/v0.3{CARD}")).json()
            old_key = {"Authorization": keys["ann"]["Authorization"]}
            old_extended = await Talk(http, "desk", old_key).call("agent/getAuthenticatedExtendedCard")
            refused = await http.get("/a2a/desk/extendedAgentCard", headers=keys["other"])

        assert card == own
        assert [skill["name"] for skill in card["skills"]] == ["desk"]
        assert card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"] == {
            "scheme": "Bearer",
            "description": "A key of this server, or a token that it trusts.",
        }
        assert card["securityRequirements"] == [{"schemes": {"bearer": {"list": []}}}]
        assert card["capabilities"]["extendedAgentCard"] is True
        assert (stranger.status_code, refused.status_code) == (401, 403)
        assert [skill["name"] for skill in extended["skills"]] == ["desk", "pay"]
        assert by_path == extended
        assert old["securitySchemes"]["bearer"]["type"] == "http"
        assert (old["security"], old["supportsAuthenticatedExtendedCard"]) == ([{"bearer": []}], True)
        assert [skill["name"] for skill in old_extended["skills"]] == ["desk", "pay"]

    async def test_closed_cards(self, serve_agents: Serve, tmp_path: Path) -> None:
        """Without open_cards a server with keys shows no card to strangers, nor one that the key may not read."""
        file, keys = make_keys(tmp_path, ann=(), other=("agents:plain:run",))
        served = await serve_agents(desk(), plain(), keys_file=file)
        async with open_client(served) as http:
            found = [
                (await http.get(path, headers=headers)).status_code
                for headers in ({}, keys["ann"], keys["other"])
                for path in (CARD, f"/a2a/desk{CARD}", f"/a2a/plain{CARD}")
            ]
        assert found == [401, 401, 401, 200, 200, 200, 403, 403, 200]

    async def test_pages_of_other_sites(self, serve_agents: Serve) -> None:
        """A page of another site, or under another name of the host, gets neither a card nor a task."""
        served = await serve_agents(plain())
        body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message("Hi.")}
        async with open_client(served, **VERSION) as http:
            rebound = await http.get(CARD, headers={"Host": "evil.example"})
            foreign = await http.post("/a2a/plain", json=body, headers={"Origin": "https://evil.example"})
            form = await http.post("/a2a/plain", content=json.dumps(body), headers={"Content-Type": "text/plain"})

        assert (rebound.status_code, foreign.status_code, form.status_code) == (421, 403, 415)
        assert form.json()["error"]["code"] == -32005


class TestUsers:
    async def test_tasks_of_others(self, serve_agents: Serve, tmp_path: Path) -> None:
        """To another user, a task and its context are not there, by any operation; to another agent neither."""
        file, keys = make_keys(tmp_path, ann=(), bob=())
        served = await serve_agents(asker, plain(), keys_file=file, memory=f"sqlite:///{tmp_path}/a.db")
        async with open_client(served) as http:
            ann, bob = (Talk(http, "asker", keys[name]) for name in ("ann", "bob"))
            task = await ann.send("Go.")
            id_ = {"id": task["id"]}
            config = {"taskId": task["id"], "url": "https://example.com/"}
            attempts: dict[str, Any] = {
                "GetTask": id_,
                "CancelTask": id_,
                "SubscribeToTask": id_,
                "SendMessage": message("Bob", taskId=task["id"]),
                "SendStreamingMessage": message("Bob", taskId=task["id"]),
                "GetTaskPushNotificationConfig": config | {"id": "1"},
                "ListTaskPushNotificationConfigs": config,
                "DeleteTaskPushNotificationConfig": config | {"id": "1"},
            }
            unknown = "0123456789abcdef01234567"
            for method, params in attempts.items():
                assert await bob.refused(method, params) == (-32001, "TASK_NOT_FOUND"), method
                elsewhere = Talk(http, "plain", keys["ann"])
                assert await elsewhere.refused(method, params) == (-32001, "TASK_NOT_FOUND"), method
                missing = json.loads(json.dumps(params).replace(task["id"], unknown))
                both = [(await bob.ask(method, each))["error"]["message"] for each in (params, missing)]
                assert both[0].replace(task["id"], unknown) == both[1], "a foreign task looks as a missing one"
            talked = await Talk(http, "plain", keys["ann"]).send("Hi.")
            context = message("Hi.", contextId=talked["contextId"])
            taken = (await Talk(http, "plain", keys["bob"]).ask("SendMessage", context))["error"]
            listed = [await each.call("ListTasks") for each in (ann, bob)]
            done = await ann.send("Ann", taskId=task["id"])

        assert taken["code"] == -32000
        assert [[each["id"] for each in page["tasks"]] for page in listed] == [[task["id"]], []]
        assert [page["totalSize"] for page in listed] == [1, 0]
        assert done["artifacts"][0]["parts"] == [{"text": "Hello Ann"}]

    async def test_scopes(self, serve_agents: Serve, tmp_path: Path) -> None:
        """Reading is not running, and running is not deciding."""
        file, keys = make_keys(
            tmp_path, ann=("agents:*:read", "users"), runner=("agents:*:run", "users"), boss=("admin",)
        )
        served = await serve_agents(desk(), keys_file=file, memory=f"sqlite:///{tmp_path}/a.db")
        async with open_client(served) as http:
            reader, runner, boss = (Talk(http, "desk", keys[name], "?user=kim") for name in ("ann", "runner", "boss"))
            task = await runner.send("Pay.")
            yes = message("yes", taskId=task["id"])
            seen = await reader.call("GetTask", {"id": task["id"]})
            found = [
                await reader.refused("SendMessage", message("Pay.")),
                await reader.refused("CancelTask", {"id": task["id"]}),
                await reader.refused("SendMessage", yes),
                await runner.refused("SendMessage", yes),
            ]
            done = await boss.send("yes", taskId=task["id"])

        assert seen["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        assert found == [(-32000, "SCOPE_MISSING")] * 4
        assert done["status"]["state"] == "TASK_STATE_COMPLETED"

    async def test_anonymous(self, serve_agents: Serve) -> None:
        """A caller without a key runs what anybody may run, sees its card, and comes back to nothing."""
        served = await serve_agents(plain(), desk(), anonymous=AnonymousSettings(("plain",), rate="1000/m"))
        async with open_client(served, **VERSION) as http:
            talk = Talk(http, "plain")
            task = await talk.send("Hi.")
            card = (await http.get(CARD)).json()
            found = [
                await talk.refused("GetTask", {"id": task["id"]}),
                await talk.refused("ListTasks"),
                await talk.refused("SendMessage", message("Hi.", contextId="mine")),
            ]
            other = await http.get(f"/a2a/desk{CARD}")

        assert task["artifacts"][0]["parts"] == [{"text": "Hello."}]
        assert card["securityRequirements"] == [{"schemes": {"bearer": {"list": []}}}, {"schemes": {}}]
        assert found == [(-32000, "FORBIDDEN")] * 3
        assert other.status_code == 403


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"{", -32700),
            (b"[]", -32600),
            (b'{"id": 1, "method": "GetTask"}', -32600),
            (b'{"jsonrpc": "1.0", "id": 1, "method": "GetTask"}', -32600),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "Nothing"}', -32601),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {}}', -32601),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": []}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {}}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}', -32001),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"pageSize": 101}}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"pageToken": "x"}}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"status": "done"}}', -32602),
        ],
    )
    async def test_json_rpc(self, serve_agents: Serve, body: bytes, code: int) -> None:
        """A request that does not fit is answered with the code for its fault, and with the request's id."""
        served = await serve_agents(plain())
        async with open_client(served, **VERSION) as http:
            answer = await http.post("/a2a/plain/", content=body, headers={"Content-Type": "application/json"})

        told = answer.json()
        assert (answer.status_code, told["error"]["code"]) == (200, code), told
        assert told["id"] == (1 if b'"id": 1' in body else None)
        assert told["error"]["data"][0]["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"

    async def test_the_field_is_named(self, serve_agents: Serve) -> None:
        """An error about a field names it; names in snake_case are understood, and unknown ones ignored."""
        served = await serve_agents(plain())
        empty = {"message": {"messageId": "1", "role": "ROLE_USER", "parts": []}}
        snake = {"message": {"message_id": "1", "role": "ROLE_USER", "parts": [{"text": "Hi."}], "new": 1}, "more": 2}
        async with open_client(served) as http:
            talk = Talk(http, "plain")
            error = (await talk.ask("SendMessage", empty))["error"]
            task = (await talk.call("SendMessage", snake))["task"]

        assert error["data"][1]["fieldViolations"][0]["field"] == "message.parts"
        assert task["status"]["state"] == "TASK_STATE_COMPLETED"

    async def test_versions(self, serve_agents: Serve) -> None:
        """Patch numbers do not count, the query may name the version, and without one it is 0.3."""
        served = await serve_agents(plain())
        found = []
        async with open_client(served) as http:
            for said, query in (("1.0.7", ""), ("", "?A2A-Version=1.0"), ("", ""), ("0.3", ""), ("2.0", "")):
                talk = Talk(http, "plain", {"A2A-Version": said} if said else {}, query)
                answer = await talk.ask("SendMessage", message("Hi."))
                found.append(answer.get("error", {}).get("code"))
            rest = await http.get("/a2a/plain/tasks")

        assert found == [None, None, -32009, -32009, -32009]
        assert (rest.status_code, rest.json()["error"]["details"][0]["reason"]) == (400, "VERSION_NOT_SUPPORTED")

    async def test_http_json(self, serve_agents: Serve) -> None:
        """The same operations have paths, and errors the status and form of google.rpc."""
        served = await serve_agents(asker)
        media = {"Content-Type": "application/a2a+json"}
        async with open_client(served, **VERSION) as http:
            base = "/a2a/asker"
            sent = await http.post(f"{base}/message:send", content=json.dumps(message("Go.")), headers=media)
            task = sent.json()["task"]
            one = f"{base}/tasks/{task['id']}"
            got = await http.get(one, params={"historyLength": 0})
            listed = await http.get(f"{base}/tasks", params={"contextId": task["contextId"], "pageSize": 1})
            streamed = await http.post(f"{base}/message:stream", json=message("Ann", taskId=task["id"]))
            over = await http.post(f"{one}:cancel")
            late = await http.get(f"{one}:subscribe")
            missing = await http.get(f"{base}/tasks/x")
            unfit = await http.get(f"{base}/tasks", params={"pageSize": "many"})
            bad = await http.post(f"{base}/message:send", content=b"{", headers=media)
            typed = await http.post(f"{base}/message:send", content=b"{}", headers={"Content-Type": "text/plain"})

        assert sent.status_code == 200
        assert (got.json()["id"], "history" in got.json()) == (task["id"], False)
        assert [each["id"] for each in listed.json()["tasks"]] == [task["id"]]
        updates = [json.loads(line[6:]) for line in streamed.text.split("\n") if line.startswith("data: ")]
        assert states(updates)[-1] == "COMPLETED"
        found = [(each.status_code, each.json()["error"]) for each in (over, late, missing, unfit, bad, typed)]
        assert [(status, error["code"] == status, error["details"][0]["reason"]) for status, error in found] == [
            (400, True, "TASK_NOT_CANCELABLE"),
            (400, True, "UNSUPPORTED_OPERATION"),
            (404, True, "TASK_NOT_FOUND"),
            (400, True, "INVALID_PARAMS"),
            (400, True, "INVALID_PARAMS"),
            (400, True, "CONTENT_TYPE_NOT_SUPPORTED"),
        ]
        assert found[2][1]["status"] == "NOT_FOUND"


async def test_list(serve_agents: Serve) -> None:
    """Tasks are listed by page, the last changed first, by context, state and time, with artifacts if asked for."""
    served = await serve_agents(asker, plain())
    async with open_client(served) as http:
        talk = Talk(http, "asker")
        made = [(await talk.send(f"Go {number}."))["id"] for number in range(5)]
        done = await talk.send("Ann", taskId=made[2])
        await Talk(http, "plain").send("Hi.")
        pages: list[dict[str, Any]] = []
        token = ""
        while not pages or token:
            pages.append(await talk.call("ListTasks", {"pageSize": 2, "pageToken": token}))
            token = pages[-1]["nextPageToken"]
        waiting = await talk.call("ListTasks", {"status": "TASK_STATE_INPUT_REQUIRED", "historyLength": 0})
        whole = await talk.call("ListTasks", {"contextId": done["contextId"], "includeArtifacts": True})
        recent = await talk.call("ListTasks", {"statusTimestampAfter": done["status"]["timestamp"]})
        none = await talk.call("ListTasks", {"statusTimestampAfter": "2100-01-01T00:00:00Z"})

    order = [made[2], *(each for each in reversed(made) if each != made[2])]
    assert [[each["id"] for each in page["tasks"]] for page in pages] == [order[:2], order[2:4], order[4:]]
    assert {(page["pageSize"], page["totalSize"]) for page in pages} == {(2, 5)}
    assert not any("artifacts" in each for page in pages for each in page["tasks"])
    assert [each["id"] for each in waiting["tasks"]] == order[1:]
    assert not any("history" in each for each in waiting["tasks"])
    assert [each["artifacts"][0]["parts"] for each in whole["tasks"]] == [[{"text": "Hello Ann"}]]
    assert [each["id"] for each in recent["tasks"]] == [made[2]]
    assert none == {"tasks": [], "nextPageToken": "", "pageSize": 50, "totalSize": 0}


async def test_version_0_3(serve_agents: Serve) -> None:
    """A client of 0.3 sends, streams, answers, gets, cancels and is refused, in that version's words."""
    served = await serve_agents(asker)

    def old(text: str, **more: Any) -> dict[str, Any]:
        parts = [{"kind": "text", "text": text}]
        return {"message": {"kind": "message", "messageId": "1", "role": "user", "parts": parts, **more}}

    async with open_client(served) as http:
        card = (await http.get(f"/a2a/asker/v0.3{CARD}")).json()
        talk = Talk(http, "asker", {})
        task = await talk.call("message/send", old("Go."))
        updates = await talk.follow("message/stream", old("Ann", taskId=task["id"]))
        got = await talk.call("tasks/get", {"id": task["id"], "historyLength": 1})
        now = {**old("Go."), "configuration": {"blocking": False}}
        other = await talk.call("message/send", now)
        cancelled = await talk.call("tasks/cancel", {"id": other["id"]})
        missing = await talk.refused("tasks/get", {"id": "x"})
        unfit = await talk.refused("message/send", {"message": {}})

    assert (card["url"], card["preferredTransport"]) == (f"{served.url}/a2a/asker", "JSONRPC")
    assert "supportedInterfaces" not in card
    assert (task["kind"], task["status"]["state"]) == ("task", "input-required")
    assert task["status"]["message"]["parts"][0] == {"kind": "text", "text": "Name?"}
    assert [(each["kind"], each.get("final")) for each in updates] == [
        ("task", None),
        ("status-update", False),
        ("artifact-update", None),
        ("status-update", True),
    ]
    assert got["artifacts"][0]["parts"] == [{"kind": "text", "text": "Hello Ann"}]
    assert [(each["kind"], each["role"]) for each in got["history"]] == [("message", "user")]
    assert cancelled["status"]["state"] == "canceled"
    assert (missing[0], unfit[0]) == (-32001, -32602)
    assert read_stream("") == []
