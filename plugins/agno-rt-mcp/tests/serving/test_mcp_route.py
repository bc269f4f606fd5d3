"""The route `/mcp` of `agno-rt serve`: keys, users and sessions, other sites, crowds, and clients that vanish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx2
import mcp_types as types
import pytest
import trio
from agno_rt_mcp.server.offers import Offers
from agno_rt_mcp.server.settings import read_serve_settings
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from agno_rt import Agent, AgnoError, Runtime, tool
from agno_rt.access import Access
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.testing import ScriptedModel

from .projects import PATIENCE, Agents, answer_with, connect, read_text

pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")

ERAS = ["legacy", "auto"]
EVERYTHING = ("agents:*:*", "teams:*:*", "workflows:*:*", "sessions:*:*")
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
TASKS = ("tasks/get", "tasks/result", "tasks/update", "tasks/cancel")
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@attrs.frozen
class Keyed:
    """A server with keys: the URL, the project, and the keys of people."""

    url: str
    project: Agents
    keys: dict[str, str]

    def headers(self, who: str) -> dict[str, str]:
        """Return the headers of a request of the person."""
        return {"Authorization": f"Bearer {self.keys[who]}", **ACCEPT}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """Serve with keys.

    ann and bob may do everything over MCP, cy may run one agent, dan has no right to the route. eve has a second key,
    for fewer tools.
    """
    made = Agents(tmp_path_factory.mktemp("keyed"))
    made.configure('tools_of = ["helper"]')
    scopes = {
        "ann": ("routes:mcp:use", *EVERYTHING, "tools:add:run"),
        "bob": ("routes:mcp:use", *EVERYTHING),
        "cy": ("routes:mcp:use", "agents:echo:run", "agents:cleaner:run"),
        "dan": EVERYTHING,
        "eve": ("routes:mcp:use", *EVERYTHING, "tools:add:run", "tools:guarded:run"),
        "eve_low": ("routes:mcp:use", "agents:*:decide", "tools:add:run"),
    }
    try:
        keys = {who: add_key(made, who, *given) for who, given in scopes.items()}
        yield Keyed(made.serve(), made, keys)
    finally:
        made.end()


def add_key(project: Agents, who: str, *scopes: str) -> str:
    """Add a key. Return the text."""
    options = ["--user", who.partition("_")[0], *(each for scope in scopes for each in ("--scope", scope))]
    out, _ = project.launch("serve", "keys", "add", who, *options).communicate(timeout=60)
    return next(word for word in out.split() if word.startswith("agno_"))


async def ask_about_task(keyed: Keyed, who: str, method: str, task: str) -> Any:
    """Send a request about a task, in protocol 2026-07-28. Return the answer."""
    version, prefix = "2026-07-28", "io.modelcontextprotocol"
    meta: Any = {f"{prefix}/protocolVersion": version, f"{prefix}/clientCapabilities": {}}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"taskId": task, "_meta": meta}}
    headers = keyed.headers(who) | {"MCP-Protocol-Version": version, "Mcp-Method": method, "Mcp-Name": task}
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        return (await http.post(keyed.url, json=body, headers=headers)).json()


class TestRights:
    """The rights of keys over MCP."""

    async def test_the_route_needs_a_key_and_a_scope(self, keyed: Keyed) -> None:
        """Without a key a request is refused with 401, without the scope of the route with 403."""
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            nobody = await http.post(keyed.url, json=INITIALIZE, headers=ACCEPT)
            dan = await http.post(keyed.url, json=INITIALIZE, headers=keyed.headers("dan"))

        assert nobody.status_code == 401
        assert dan.status_code == 403
        assert "routes:mcp:use" in dan.text

    @pytest.mark.parametrize("mode", ERAS)
    async def test_tools_are_those_of_the_scopes(self, mode: str, keyed: Keyed) -> None:
        """A key sees and calls its own agents alone; direct tools need a scope of their own."""
        async with connect(keyed.url, mode, keyed.keys["cy"]) as client:
            seen = [each.name for each in (await client.list_tools()).tools]
            said = read_text(await client.call_tool("echo", {"input": "hi"}))
            for name in ("typed", "add", "sizes"):
                with pytest.raises(MCPError, match="Unknown tool"):
                    await client.call_tool(name, {"input": "x"})
        async with connect(keyed.url, mode, keyed.keys["ann"]) as client:
            ann = [each.name for each in (await client.list_tools()).tools]

        assert seen == ["echo", "cleaner", "resume_run"]
        assert said == "1: hi"
        assert "add" in ann
        assert "draw" not in ann

    @pytest.mark.parametrize("mode", ERAS)
    async def test_decisions_need_a_scope(self, mode: str, keyed: Keyed) -> None:
        """The user of a key without the right to decide is not asked: somebody else has to."""
        asks: Any = {"elicitation_callback": answer_with(allow=True)}
        async with connect(keyed.url, mode, keyed.keys["cy"], **asks) as client:
            said = await client.call_tool("cleaner", {"input": "x.txt"})

        assert "is paused until a person decides" in read_text(said)
        assert "wiped x.txt" not in keyed.project.log.read_text()

    async def test_runs_belong_to_their_user(self, keyed: Keyed) -> None:
        """Another user cannot go on with a paused run, by its state or its id, nor answer its questions."""
        asks: Any = {"elicitation_callback": answer_with(allow=True)}
        async with connect(keyed.url, "auto", keyed.keys["ann"], **asks) as client:
            paused: Any = await client.session.call_tool("cleaner", {"input": "y.txt"}, allow_input_required=True)
            own: Any = await client.session.call_tool("cleaner", {"input": "z.txt"}, allow_input_required=True)
        responses: Any = {
            key: types.ElicitResult(action="accept", content={"allow": True}) for key in paused.input_requests
        }
        async with connect(keyed.url, "auto", keyed.keys["bob"], **asks) as client:
            with pytest.raises(MCPError, match="does not belong"):
                await client.session.call_tool(
                    "cleaner", {}, request_state=paused.request_state, input_responses=responses
                )
            again = await client.call_tool("resume_run", {"run": paused.request_state})
        tasks = [await ask_about_task(keyed, "bob", method, paused.request_state) for method in TASKS]
        own_task = await ask_about_task(keyed, "ann", "tasks/get", paused.request_state)
        async with connect(keyed.url, "auto", keyed.keys["ann"], **asks) as client:
            # An answer to a question of another run of her own is not for this call.
            with pytest.raises(MCPError, match="not for a question of this call"):
                await client.session.call_tool(
                    "cleaner", {}, request_state=own.request_state, input_responses=responses
                )

        assert [answer["error"]["code"] for answer in tasks] == [-32602] * 4
        assert own_task["result"]["status"] == "input_required"
        assert again.is_error
        assert "unknown run" in read_text(again)
        assert "wiped" not in keyed.project.log.read_text()

    async def test_a_direct_call_belongs_to_its_tool(self, keyed: Keyed) -> None:
        """A key for one tool does not go on with the same user's call of another: not by its state, nor by its id."""
        asks: Any = {"elicitation_callback": answer_with(allow=True)}
        async with connect(keyed.url, "auto", keyed.keys["eve"], **asks) as client:
            paused: Any = await client.session.call_tool("guarded", {"word": "boo"}, allow_input_required=True)
        run = paused.request_state
        allowed = types.ElicitResult(action="accept", content={"allow": True})
        responses: Any = dict.fromkeys(paused.input_requests, allowed)
        async with connect(keyed.url, "auto", keyed.keys["eve_low"], **asks) as client:
            with pytest.raises(MCPError, match="does not belong"):
                await client.session.call_tool("add", {}, request_state=run, input_responses=responses)
            again = await client.call_tool("resume_run", {"run": run})
        task = await ask_about_task(keyed, "eve_low", "tasks/get", run)
        async with connect(keyed.url, "auto", keyed.keys["eve"], **asks) as client:
            with pytest.raises(MCPError, match="does not belong"):
                await client.session.call_tool("add", {}, request_state=run, input_responses=responses)
            done = await client.session.call_tool("guarded", {}, request_state=run, input_responses=responses)

        assert again.is_error
        assert "unknown run" in read_text(again)
        assert task["error"]["code"] == -32602
        assert read_text(done) == "said boo"

    @pytest.mark.parametrize("mode", ERAS)
    async def test_conversations_belong_to_their_user(self, mode: str, keyed: Keyed) -> None:
        """Two users with the same session do not share a conversation."""
        async with connect(keyed.url, mode, keyed.keys["ann"]) as client:
            await client.call_tool("echo", {"input": "secret", "session": f"shared {mode}"})
        async with connect(keyed.url, mode, keyed.keys["bob"]) as client:
            said = await client.call_tool("echo", {"input": "hi", "session": f"shared {mode}"})

        assert said.is_error
        assert "secret" not in read_text(said)


class TestSessions:
    """Sessions of the earlier protocol."""

    async def test_a_session_is_its_own_caller_s(self, keyed: Keyed) -> None:
        """Another key cannot use, listen to or end the session; no event is replayed to anybody."""
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            opened = await http.post(keyed.url, json=INITIALIZE, headers=keyed.headers("ann"))
            session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
            ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
            stolen = [
                await http.post(keyed.url, json=ping, headers=keyed.headers("bob") | session),
                await http.get(keyed.url, headers=keyed.headers("bob") | session),
                await http.get(keyed.url, headers=keyed.headers("bob") | session | {"Last-Event-ID": "1"}),
                await http.get(keyed.url, headers=keyed.headers("ann") | {"Last-Event-ID": "1"}),
                await http.delete(keyed.url, headers=keyed.headers("bob") | session),
            ]
            own = await http.post(keyed.url, json=ping, headers=keyed.headers("ann") | session)
            ended = await http.delete(keyed.url, headers=keyed.headers("ann") | session)
            after = await http.post(keyed.url, json=ping, headers=keyed.headers("ann") | session)

        assert [answer.status_code for answer in stolen] == [404, 404, 404, 400, 404]
        assert own.status_code == 200
        assert ended.status_code == 200
        assert after.status_code == 404

    async def test_no_event_is_replayed(self, keyed: Keyed) -> None:
        """A stream with any `Last-Event-ID` has no event of the past: streams cannot be resumed."""
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            opened = await http.post(keyed.url, json=INITIALIZE, headers=keyed.headers("ann"))
            session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
            for last in ("0", "1", "rubbish", "ce4d7b371622"):
                headers = keyed.headers("ann") | session | {"Last-Event-ID": last}
                async with http.stream("GET", keyed.url, headers=headers) as answer:
                    heard = b""
                    with trio.move_on_after(0.2):
                        async for chunk in answer.aiter_bytes():
                            heard += chunk
                assert answer.status_code < 500
                assert b"data: {" not in heard


class TestRefusals:
    """Requests that the server refuses before any tool."""

    async def test_other_sites_and_names(self, web: Any) -> None:
        """A page of another origin, and a name that is not the server's, are refused."""
        url, _ = web
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            origin = await http.post(url, json=INITIALIZE, headers=ACCEPT | {"Origin": "https://evil.example"})
            host = await http.post(url, json=INITIALIZE, headers=ACCEPT | {"Host": "evil.example"})
            own = await http.post(url, json=INITIALIZE, headers=ACCEPT | {"Origin": url.removesuffix("/mcp")})

        assert (origin.status_code, host.status_code, own.status_code) == (403, 421, 200)

    async def test_large_and_broken_bodies(self, web: Any) -> None:
        """A body above the limit, and one that is not JSON, are refused; the server goes on."""
        url, _ = web
        large = json.dumps(INITIALIZE | {"params": {"x": "x" * 5_000_000}})
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            refused = await http.post(url, content=large, headers=ACCEPT)
            broken = await http.post(url, content=b"\xff\x00{", headers=ACCEPT)
            own = await http.post(url, json=INITIALIZE, headers=ACCEPT)

        assert (refused.status_code, broken.status_code, own.status_code) == (413, 400, 200)


async def test_another_server_knows_a_direct_call(agents: Agents) -> None:
    """A server that has listed no tools yet tells of a direct call's task that another server began."""
    asks: Any = {"elicitation_callback": answer_with(allow=True)}
    async with connect(agents.serve(), "auto", **asks) as client:
        paused: Any = await client.session.call_tool("guarded", {"word": "boo"}, allow_input_required=True)
    agents.end()
    keyed = Keyed(agents.serve(), agents, {"ann": "none"})
    task = await ask_about_task(keyed, "ann", "tasks/get", paused.request_state)

    assert task["result"]["status"] == "input_required"


@pytest.mark.parametrize("mode", ERAS)
async def test_a_hundred_clients(mode: str, web: Any) -> None:
    """A hundred clients at once get their own answers."""
    said: dict[int, str] = {}

    async def talk(number: int) -> None:
        async with connect(web[0], mode) as client:
            said[number] = read_text(await client.call_tool("echo", {"input": f"{number}"}))

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(talk, number)

    assert said == {number: f"1: {number}" for number in range(100)}


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_vanishes(mode: str, web: Any) -> None:
    """A client that hangs up in the middle of a call leaves no run behind, in either era."""
    url, project = web
    project.log.write_text("")
    call: dict[str, Any] = {"name": "slow", "arguments": {"input": "x"}}
    headers = dict(ACCEPT)
    async with httpx2.AsyncClient(timeout=60) as http, trio.open_nursery() as nursery:
        if mode == "legacy":
            opened = await http.post(url, json=INITIALIZE, headers=headers)
            headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
            await http.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
        else:
            version = "2026-07-28"
            headers |= {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": "slow"}
            prefix = "io.modelcontextprotocol"
            call["_meta"] = {f"{prefix}/protocolVersion": version, f"{prefix}/clientCapabilities": {}}
        request = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}

        async def ask() -> None:
            await http.post(url, json=request, headers=headers)

        nursery.start_soon(ask)
        await project.wait_for("hangs")
        nursery.cancel_scope.cancel()
    await project.wait_for("was cancelled")


async def test_a_session_that_ends_under_a_message(web: Any) -> None:
    """The SDK may fail on messages for a session that ends meanwhile. The other clients go on."""
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}

    async with httpx2.AsyncClient(timeout=PATIENCE, headers=ACCEPT) as http:

        async def race() -> None:
            opened = await http.post(web[0], json=INITIALIZE)
            session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(partial(http.post, web[0], json=note, headers=session))
                nursery.start_soon(partial(http.delete, web[0], headers=session))
                nursery.start_soon(partial(http.post, web[0], json=note, headers=session))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(race)
        assert (await http.post(web[0], json=INITIALIZE)).status_code == 200


@pytest.mark.parametrize("mode", ERAS)
async def test_a_run_has_the_id_of_its_request(mode: str, web: tuple[str, Agents]) -> None:
    """A stored run has the id of the HTTP request with the call, also in a session that an earlier request opened."""
    url, project = web
    calls: list[str] = []

    async def note(response: httpx2.Response) -> None:
        if b'"tools/call"' in response.request.content:
            calls.append(response.headers["x-request-id"])

    async with (
        httpx2.AsyncClient(timeout=PATIENCE, event_hooks={"response": [note]}) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        for _ in range(2):
            await client.call_tool("cleaner", {"input": "a"})
    memory = SQLiteMemory(project.folder / "agents.db")
    found = [await memory.runs_of_request(each) for each in calls]
    await memory.aclose()

    assert len(set(calls)) == len(calls) == 2
    assert [[each.agent for each in runs] for runs in found] == [["cleaner"], ["cleaner"]]


async def test_the_earlier_protocol_without_sessions(agents: Agents) -> None:
    """With `sessions = false` each request stands alone, as with several workers: a pause is told, not asked about."""
    agents.configure("sessions = false")
    asks: Any = {"elicitation_callback": answer_with(allow=True)}
    async with connect(agents.serve(), "legacy", **asks) as client:
        said = read_text(await client.call_tool("echo", {"input": "hi"}))
        paused = read_text(await client.call_tool("cleaner", {"input": "a"}))

    assert said == "1: hi"
    assert "is paused until a person decides" in paused


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"agents": ["ecko"]}, "echo"),
        ({"agents": "echo"}, "array"),
        ({"agents": [], "tools_of": []}, "nothing to offer"),
        ({"tools_of": ["nobody"]}, "nobody"),
        ({"tools_of": ["tools"]}, "two tools 'echo'"),
        ({"names": 3}, "name"),
        ({"name": ""}, "name is empty"),
        ({"max_message": 0}, "max_message"),
    ],
)
async def test_settings_are_checked(settings: dict[str, Any], told: str) -> None:
    """Unknown names, two tools of one name and wrong values are told before anything is served."""

    @tool
    async def say() -> str:
        """Say something."""
        return "said"

    model = ScriptedModel([])
    known = {"echo": Agent(model, "echo"), "tools": Agent(model, "tools", tools=[attrs.evolve(say, name="echo")])}
    async with Runtime() as rt:
        with pytest.raises(AgnoError) as caught:
            await Offers(rt, known, read_serve_settings({"serve": settings})).list(Access())

    assert told in caught.value.full_text


def test_a_wrong_setting_stops_the_command(agents: Agents) -> None:
    """The command ends with the error, and stdout stays empty."""
    agents.configure('agents = ["ecko"]')
    out, err = agents.launch("mcp", "serve", stderr=-1).communicate(timeout=60)

    assert "Did you mean 'echo'?" in err
    assert out == ""


def test_a_wrong_setting_stops_the_server(agents: Agents) -> None:
    """`agno-rt serve`, which mounts the route, ends with the same error, and not with one about groups."""
    agents.configure('agents = ["ecko"]')
    _, err = agents.launch("serve", "--port", "0", stderr=-1).communicate(timeout=60)

    assert "Did you mean 'echo'?" in err
    assert "Group" not in err


def test_a_project_without_agents(tmp_path: Path) -> None:
    """A project without agents is refused, and stdout stays empty."""
    project = Agents(tmp_path)
    (tmp_path / "agno-rt.toml").write_text("")
    project.log.touch()
    out, err = project.launch("mcp", "serve", stderr=-1).communicate(timeout=60)

    assert "no agents to serve" in err
    assert out == ""
