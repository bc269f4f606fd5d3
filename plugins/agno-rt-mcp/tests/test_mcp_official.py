"""Servers made with the official SDK, in both eras of the protocol: over stdio and over HTTP on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_mcp import make_toolkit
from agno_rt_mcp.settings import ServerSettings

from agno_rt import Agent, Runtime
from agno_rt.errors import PluginError
from agno_rt.events import ToolProgress
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.testing import ScriptedModel

# The SDK leaves generators of httpx2 unfinished when it has read the answer in a stream of events.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")

SERVER = Path(__file__).with_name("official.py")


class Served:
    """A server over HTTP in a child process."""

    def __init__(self, transport: str, log: Path) -> None:
        self.log = log
        log.touch()
        command = [sys.executable, str(SERVER), transport, str(log)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}/mcp"

    def stop(self) -> None:
        """End the server."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve over HTTP for the module."""
    server = Served("http", tmp_path_factory.mktemp("http") / "log")
    yield server
    server.stop()


@asynccontextmanager
async def opened(server: ServerSettings) -> AsyncIterator[tuple[dict[str, Any], Any]]:
    """Open the server's toolkit, and yield the tools by name, and the later lists."""
    kit: Any = make_toolkit(server)
    async with kit.open() as lists:
        yield {tool.name: tool for tool in await anext(aiter(lists))}, lists


def over(transport: str, protocol: str, served: Served, tmp_path: Path) -> tuple[ServerSettings, Path]:
    """Return the settings of a server, and the log."""
    if transport == "http":
        return ServerSettings("official", url=served.url, protocol=protocol), served.log
    log = tmp_path / "log"
    log.touch()
    command = {"command": sys.executable, "args": (str(SERVER), "stdio", str(log))}
    return ServerSettings("official", protocol=protocol, **command), log  # type: ignore[arg-type]


def read(log: Path) -> str:
    """Return the server's log."""
    return log.read_text()


async def wait_for(log: Path, text: str) -> None:
    """Wait until the server logged the text."""
    with trio.fail_after(60):
        while text not in read(log):  # noqa: ASYNC110 - the server is another process
            await trio.sleep(0.01)


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_tools_of_a_server(transport: str, protocol: str, served: Served, tmp_path: Path) -> None:
    """Results, hints, failures, cancellation and changes are the same on both transports and in both eras."""
    server, log = over(transport, protocol, served, tmp_path)
    log.write_text("")
    async with opened(server) as (tools, lists):
        assert json.loads(await tools["add"].function(a=1, b=2)) == {"total": 3}
        assert tools["add"].read_only
        assert not tools["add"].approve
        assert tools["wipe"].approve
        with pytest.raises(ValueError, match="the disk is full"):
            await tools["fail"].function()
        with trio.move_on_after(60) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tools["hang"].function)
                await wait_for(log, "hangs")
                nursery.cancel_scope.cancel()
        assert not scope.cancelled_caught
        await wait_for(log, "was cancelled")
        name = f"grown_{protocol}_{transport}"
        assert await tools["grow"].function(name=name) == "grown"
        with trio.fail_after(60):
            changed = await anext(aiter(lists))
        assert name in {tool.name for tool in changed}


async def test_a_destructive_tool_waits_for_a_person(served: Served) -> None:
    """The run pauses for the server's destructive tool, and calls it after the approval."""

    def respond(request: ModelRequest) -> ModelResponse:
        if request.messages[-1].role == "tool":
            return ModelResponse(request.messages[-1].text)
        return ModelResponse("", (ToolCall("1", "wipe"),))

    kit = make_toolkit(ServerSettings("official", url=served.url))
    agent = Agent(ScriptedModel(respond), "a", tools=[kit], memory=MemoryPolicy(journal=True))
    async with Runtime() as runtime:
        runtime.add(agent)
        paused = await runtime.run(agent, "go", session="s")
        assert paused.status == "paused"
        [approval] = paused.approvals
        await runtime.approve(approval.id)
        assert (await runtime.resume(paused.run_id)).content == "wiped"


@pytest.mark.parametrize("decision", ["answered", "denied"])
async def test_a_servers_question_is_a_stored_question(decision: str, served: Served, tmp_path: Path) -> None:
    """The run pauses with the question; another runtime answers, resumes, and calls the tool with the answer."""

    def make_agent() -> Agent:
        def respond(request: ModelRequest) -> ModelResponse:
            if request.messages[-1].role == "tool":
                return ModelResponse(request.messages[-1].text)
            return ModelResponse("", (ToolCall("1", "order", {"item": "lamps"}),))

        kit = make_toolkit(ServerSettings("official", url=served.url))
        return Agent(ScriptedModel(respond), "a", tools=[kit], memory=MemoryPolicy(journal=True))

    memory = f"sqlite:///{tmp_path / 'runs.db'}"
    async with Runtime(memory=memory) as runtime:
        runtime.add(make_agent())
        paused = await runtime.run(make_agent(), "go", session="s")
        assert paused.status == "paused"
        [approval] = paused.approvals
        assert approval.kind == "input"
        assert "order: How many of lamps?" in approval.call.arguments
    async with Runtime(memory=memory) as runtime:
        runtime.add(make_agent())
        if decision == "answered":
            await runtime.answer(approval.id, {"amount": 3})
        else:
            await runtime.deny(approval.id)
        done = await runtime.resume(paused.run_id)
    assert done.content == ("ordered {'amount': 3}" if decision == "answered" else "no order")
    assert "state of lamps" in read(served.log)


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_progress_of_a_call_is_an_event(protocol: str, served: Served) -> None:
    """A stream of the run has the server's progress, in order. An overtaken report may be missing."""

    def respond(request: ModelRequest) -> ModelResponse:
        return ModelResponse("", (ToolCall("1", "count"),)) if len(request.messages) == 1 else ModelResponse("done")

    kit = make_toolkit(ServerSettings("official", url=served.url, protocol=protocol))
    agent = Agent(ScriptedModel(respond), "a", tools=[kit])
    async with Runtime() as runtime, runtime.stream(agent, "go") as events:
        seen = [event.data async for event in events if isinstance(event, ToolProgress)]
    told = [{"progress": 1.0, "total": 2.0, "message": "half"}, {"progress": 2.0, "total": 2.0}]
    assert seen
    assert seen == [each for each in told if each in seen]


async def test_resources_are_listed_and_read_by_tools(served: Served) -> None:
    """Two tools list the resources and the templates, and read one; an unknown address is an error with the name."""
    async with opened(ServerSettings("notes", url=served.url, resources=True)) as (tools, _):
        listed = json.loads(json.dumps(await tools["notes_list_resources"].function()))
        assert [each["uri"] for each in listed] == ["notes://first", "notes://{name}/copy"]
        assert listed[0]["description"] == "The first note."
        assert await tools["notes_read_resource"].function(uri="notes://first") == ["notes://first:\nBuy lamps."]
        [copied] = await tools["notes_read_resource"].function(uri="notes://second/copy")
        assert "A copy of second." in copied
        with pytest.raises(PluginError, match="'notes' refused"):
            await tools["notes_read_resource"].function(uri="notes://none")
    async with opened(ServerSettings("notes", url=served.url)) as (tools, _):
        assert "notes_read_resource" not in tools


async def test_agents_share_the_connection_of_a_spec(served: Served) -> None:
    """Two agents with the same spec are two users of one connection."""
    agents = [Agent(ScriptedModel(["hi"]), name, tools=[f"mcp:{served.url}"]) for name in ("a", "b")]
    async with Runtime() as runtime:
        for agent in agents:
            assert (await runtime.run(agent, "go")).content == "hi"
        [toolkits] = [each for each in runtime.statistics() if each.name == "toolkits"]
        assert toolkits.in_use == 1


async def test_a_dead_server_over_http_is_named(tmp_path: Path) -> None:
    """Calls under way and later calls fail with an error with the server's name; nothing hangs."""
    first = Served("http", tmp_path / "log")
    async with opened(ServerSettings("official", url=first.url)) as (tools, _), trio.open_nursery() as nursery:
        failures = []

        async def hang() -> None:
            try:
                await tools["hang"].function()
            except PluginError as exc:
                failures.append(exc)

        nursery.start_soon(hang)
        await wait_for(first.log, "hangs")
        first.stop()
        with trio.fail_after(60):
            while not failures:  # noqa: ASYNC110 - the call ends by itself
                await trio.sleep(0.01)
            with pytest.raises(PluginError, match="'official'"):
                await tools["add"].function(a=1, b=2)
    assert "the MCP server 'official'" in failures[0].message


async def test_nobody_at_the_url() -> None:
    """The error names the server and the fault."""
    kit: Any = make_toolkit(ServerSettings("nobody", url="http://127.0.0.1:9/mcp"))
    with pytest.RaisesGroup(pytest.RaisesExc(PluginError, match="'nobody' cannot be reached")):
        async with kit.open():
            await trio.sleep_forever()
