"""Agents as tools of an MCP server, used by the official SDK's client: both eras, over stdio and over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp_types as types
import pytest
import trio
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from .projects import PATIENCE, Agents, answer_with, connect, read_text

pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")

ERAS = ["legacy", "auto"]
CALLS: dict[str, dict[str, Any]] = {
    "echo": {"input": "hi"},
    "typed": {"input": "a trip"},
    "counts": {"input": "some numbers"},
    "order": {"item": "shirt", "count": 2},
    "pair": {"input": "hello"},
    "add": {"a": 1, "b": 2},
    "draw": {},
    "fail": {},
    "broken": {"input": "x"},
}


@asynccontextmanager
async def opened(transport: str, web: Any, agents: Agents, mode: str, **options: Any) -> AsyncIterator[Client]:
    """Open a client over the transport."""
    if transport == "stdio":
        async with agents.stdio(mode, **options) as client:
            yield client
    else:
        async with connect(web[0], mode, **options) as client:
            yield client


async def approve(url: str, run: str) -> None:
    """Approve the call of a run on the server's own page."""
    async with httpx2.AsyncClient(base_url=url.removesuffix("/mcp"), timeout=60) as http:
        [approval] = (await http.get("/approvals", params={"run": run})).json()["approvals"]
        assert (await http.post(f"/approvals/{approval['id']}", json={"decision": "approve"})).status_code == 200


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_agents_are_tools(transport: str, mode: str, web: Any, agents: Agents) -> None:
    """Agents, teams, workflows and chosen tools are listed and called: texts, structured answers, media, failures."""
    async with opened(transport, web, agents, mode) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        called = {name: await client.call_tool(name, arguments) for name, arguments in CALLS.items()}
        unfit = await client.call_tool("order", {"item": 3})
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("nothing", {})

    agents_first = [
        "echo",
        "typed",
        "counts",
        "cleaner",
        "slow",
        "broken",
        "helper",
        "office",
        "pair",
        "sizes",
        "order",
    ]
    assert list(tools) == [*agents_first, "add", "draw", "fail", "guarded", "resume_run"]
    assert tools["echo"].description == "Repeats what you say."
    assert list(tools["echo"].input_schema["properties"]) == ["input", "session"]
    assert tools["order"].input_schema["required"] == ["item"]
    assert tools["typed"].output_schema is not None
    assert tools["add"].annotations is not None
    assert tools["add"].annotations.read_only_hint
    assert tools["cleaner"].annotations is not None
    assert tools["cleaner"].annotations.destructive_hint
    assert {name for name, result in called.items() if result.is_error} == {"fail", "broken"}
    assert read_text(called["echo"]) == "1: hi"
    assert called["typed"].structured_content == {"city": "Seoul", "days": 3}
    assert called["counts"].structured_content == {"result": [1, 2]}
    assert called["order"].structured_content == {"item": "shirt", "count": 2}
    assert "1: hello" in read_text(called["pair"])
    assert read_text(called["add"]) == "3"
    assert [each.type for each in called["draw"].content] == ["text", "image"]
    assert "the disk is full" in read_text(called["fail"])
    assert unfit.is_error
    assert "Give JSON for: item, count." in read_text(unfit)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_session_is_a_conversation(mode: str, web: Any) -> None:
    """Calls with the same session go on with the same conversation."""
    async with connect(web[0], mode) as client:
        heard = [read_text(await client.call_tool("echo", {"input": "hi", "session": mode})) for _ in range(2)]

    assert heard == ["1: hi", "3: hi"]


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_progress_and_cancellation(transport: str, mode: str, web: Any, agents: Agents) -> None:
    """Steps of a run are progress, which only grows; a cancelled call cancels the run, and its tool."""
    project = agents if transport == "stdio" else web[1]
    project.log.write_text("")
    said: list[tuple[float, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        said.append((progress, message))

    async with opened(transport, web, agents, mode) as client, trio.open_nursery() as nursery:

        async def call() -> None:
            await client.call_tool("slow", {"input": "x"}, progress_callback=note)

        nursery.start_soon(call)
        await project.wait_for("hangs")
        with trio.fail_after(60):
            while len(said) < 3:  # noqa: ASYNC110 - the client tells nothing more
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    await project.wait_for("was cancelled")

    # The client's SDK starts a task for each report, and so may pass on reports that came together in another order.
    assert len({done for done, _ in said}) == len(said)
    assert [message for _, message in sorted(said)] == ["slow begins", "calls hang", "hang: 1 of 3 one third"]


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_approvals_and_questions(transport: str, mode: str, web: Any, agents: Agents) -> None:
    """The client's user decides about a call, and answers a workflow's question by a flat form."""
    asked: list[Any] = []

    async def answer(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params)
        if "size" in params.requested_schema["properties"]:
            return types.ElicitResult(action="accept", content={"size": "large", "count": 3})
        return types.ElicitResult(action="accept", content={"allow": "b.txt" not in params.message, "reason": "keep"})

    async with opened(transport, web, agents, mode, elicitation_callback=answer) as client:
        listed = {each.name for each in (await client.list_tools()).tools}
        allowed = await client.call_tool("cleaner", {"input": "a.txt"})
        refused = await client.call_tool("cleaner", {"input": "b.txt"})
        sized = await client.call_tool("sizes", {"input": "shirts"})
        direct = await client.call_tool("guarded", {"word": "please"})

    assert "resume_run" not in listed
    assert read_text(allowed) == "The tool said: a.txt is gone"
    assert read_text(refused) == "The tool said: wipe was denied: keep"
    assert read_text(sized) == "shipped 3 large shirts"
    assert read_text(direct) == "said please"
    assert 'cleaner wants to call wipe({"path": "a.txt"})' in asked[0].message
    assert asked[2].requested_schema["properties"]["size"]["enum"] == ["large", "small"]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_cannot_ask(mode: str, web: Any) -> None:
    """A client without forms learns that the run is paused and how to go on; a person decides elsewhere."""
    url, _ = web
    async with connect(url, mode) as client:
        paused = await client.call_tool("cleaner", {"input": f"{mode}.txt"})
        assert paused.meta is not None
        run = paused.meta["agno-rt/run"]
        again = await client.call_tool("resume_run", {"run": run})
        await approve(url, run)
        done = await client.call_tool("resume_run", {"run": run})
        unknown = await client.call_tool("resume_run", {"run": "0" * 32})

    assert f'call resume_run with {{"run": "{run}"}}' in read_text(paused)
    assert not paused.is_error
    assert "is paused" in read_text(again)
    assert read_text(done) == f"The tool said: {mode}.txt is gone"
    assert unknown.is_error


@pytest.mark.parametrize("action", ["decline", "cancel"])
@pytest.mark.parametrize("mode", ERAS)
async def test_a_user_who_does_not_agree(mode: str, action: Any, web: Any) -> None:
    """A user who declines denies the call; one who dismisses the form leaves the run paused."""

    async def answer(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action=action)

    async with connect(web[0], mode, elicitation_callback=answer) as client:
        said = read_text(await client.call_tool("cleaner", {"input": "c.txt"}))

    assert ("was denied: the user declined" in said) is (action == "decline")
    assert ("is paused until a person decides" in said) is (action == "cancel")


@pytest.mark.parametrize("mode", ERAS)
async def test_an_answer_that_does_not_fit(mode: str, web: Any) -> None:
    """An unfit answer is asked for again, with the reason; the number of rounds has a bound."""
    asked: list[str] = []

    async def answer(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"size": "small" if len(asked) > 2 else "huge"})

    async with connect(web[0], mode, elicitation_callback=answer) as client:
        said = read_text(await client.call_tool("sizes", {"input": "hats"}))

    assert said == "shipped 1 small hats"
    assert len(asked) == 3
    assert "huge" in asked[1]


async def test_a_pause_outlives_the_server(agents: Agents) -> None:
    """The state is the run: another process goes on with the paused call, and repeats the answer if asked again."""
    asks: Any = {"elicitation_callback": answer_with(allow=True)}
    async with agents.stdio(**asks) as client:
        paused: Any = await client.session.call_tool("cleaner", {"input": "d.txt"}, allow_input_required=True)
    assert isinstance(paused, types.InputRequiredResult)
    assert paused.input_requests is not None
    responses: Any = {
        key: types.ElicitResult(action="accept", content={"allow": True}) for key in paused.input_requests
    }
    again: Any = {"input_responses": responses, "request_state": paused.request_state}
    async with agents.stdio(**asks) as client:
        first = await client.session.call_tool("cleaner", {"input": "d.txt"}, **again)
        second = await client.session.call_tool("cleaner", {"input": "d.txt"}, **again)
        for state in ("0" * 32, "rubbish"):
            with pytest.raises(MCPError, match="does not belong"):
                await client.session.call_tool("cleaner", {}, request_state=state)
        with pytest.raises(MCPError, match="does not belong"):
            await client.session.call_tool("sizes", {}, request_state=paused.request_state)

    assert read_text(first) == read_text(second) == "The tool said: d.txt is gone"
    assert agents.log.read_text().count("wiped d.txt") == 1


class TestWire:
    """Servers over stdio that meet raw lines."""

    def start(self, agents: Agents, serve: str = "") -> subprocess.Popen[str]:
        """Start a server whose settings have the lines."""
        agents.configure(serve)
        return agents.launch("mcp", "serve", stderr=subprocess.PIPE)

    def talk(self, process: subprocess.Popen[str], *lines: str) -> list[Any]:
        """Write the lines, and read as many answers."""
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(f"{line}\n" for line in lines))
        process.stdin.flush()
        return [json.loads(process.stdout.readline()) for _ in lines]

    def test_stdout_has_messages_alone(self, agents: Agents) -> None:
        """Prints of the project go to stderr; nonsense is answered, and the server goes on."""
        process = self.start(agents)
        found = self.talk(process, "nonsense", "[1, 2]", "\x00\xff", '{"jsonrpc": "2.0", "id": 1, "method": "ping"}')
        out, err = process.communicate(timeout=60)

        assert [each.get("error", {}).get("code") for each in found] == [-32700, -32700, -32700, None]
        assert found[-1] == {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert out == ""
        assert "a print of the project" in err
        assert process.returncode == 0

    def test_long_lines_are_refused(self, agents: Agents) -> None:
        """A message above the limit is refused by its id, without being kept, and the next one is answered."""
        process = self.start(agents, "max_message = 1000")
        long = "x" * 300_000
        lines = [
            f'{{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {{"x": "{long}"}}}}',
            f'{{"method": "ping", "params": {{"x": "{long}"}}, "jsonrpc": "2.0", "id": "last"}}',
            '{"jsonrpc": "2.0", "id": 8, "method": "ping"}',
        ]
        found = self.talk(process, *lines)

        assert [each["id"] for each in found] == [7, "last", 8]
        assert "1,000 bytes" in found[0]["error"]["message"]
        assert "result" in found[2]

    def test_the_end_of_the_client_ends_the_server(self, agents: Agents) -> None:
        """A server whose client closes the pipe in the middle of a call cancels the run, and ends."""
        process = self.start(agents)
        assert process.stdin is not None
        meta = '"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}'
        process.stdin.write(f'{{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {{{meta}}}}}\n')
        process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        call = '{"name": "slow", "arguments": {"input": "x"}}'
        process.stdin.write(f'{{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {call}}}\n')
        process.stdin.flush()
        trio.run(agents.wait_for, "hangs")
        process.communicate(timeout=60)

        assert process.returncode == 0
        assert "was cancelled" in agents.log.read_text()


@pytest.mark.parametrize("arguments", [(), ("--port", "0")], ids=["stdio", "http"])
@pytest.mark.parametrize(
    ("line", "problem", "remedy"),
    [
        ('tools = ["calculator"]', "tools of [plugins.mcp.serve]: unknown tool 'calculator'", "toolkits:calculator"),
        ('agents = ["helpr"]', "unknown agent 'helpr' (agents of [plugins.mcp.serve])", "Did you mean 'helper'?"),
    ],
)
def test_misspelt_settings_are_told_at_the_start(
    agents: Agents, arguments: tuple[str, ...], line: str, problem: str, remedy: str
) -> None:
    """A wrong name in the settings ends the command with an error, before any client asks."""
    agents.configure(line)

    server = agents.launch("mcp", "serve", *arguments, stderr=subprocess.PIPE)
    _, said = server.communicate(timeout=PATIENCE)

    assert server.returncode == 2, said
    assert problem in said
    assert remedy in said


def test_a_client_is_told_why_the_server_of_agents_ended(agents: Agents) -> None:
    """The client's error of an `agno-rt mcp serve` that ends has the error line and the hint."""
    client = agents.launch("mcp", "list", f"{sys.executable} -m agno_rt.cli mcp serve nope.py", stderr=subprocess.PIPE)
    _, said = client.communicate(timeout=PATIENCE)

    assert client.returncode == 1
    assert "ended with exit status 2: no such file: 'nope.py'. Check the name" in said
