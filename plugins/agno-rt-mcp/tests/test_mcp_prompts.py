"""Prompts and completion of servers made with the official SDK, and the time for which lists hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types
import pytest
import trio
from agno_rt_mcp import fetch_prompt, make_toolkit
from agno_rt_mcp.connection import use_server
from agno_rt_mcp.errors import ServerRefused
from agno_rt_mcp.lists import Lists
from agno_rt_mcp.prompts import complete
from agno_rt_mcp.settings import ServerSettings

from agno_rt import Agent, Runtime
from agno_rt.cli.app import main
from agno_rt.errors import PluginError
from agno_rt.testing import ScriptedModel
from agno_rt.testing.clocks import JumpingClock

SERVER = Path(__file__).with_name("official.py")
TOOLS_HOLD = 600
"""The seconds for which a list of tools holds; a list of prompts holds ten times as long."""


# The SDK leaves generators of httpx2 unfinished when it has read the answer in a stream of events.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Serve over HTTP for the module, with times for lists; yield the address and the log."""
    log = tmp_path_factory.mktemp("served") / "log"
    log.touch()
    command = [sys.executable, str(SERVER), "http", str(log), "hold", str(TOOLS_HOLD)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp", log
        process.kill()


@pytest.fixture
def clock() -> JumpingClock:
    """Return the clock of the test's trio run: pytest-trio takes a fixture that is a clock."""
    return JumpingClock()


@pytest.fixture
def url(served: tuple[str, Path]) -> str:
    """Return the address of the server."""
    return served[0]


@pytest.fixture
def log(served: tuple[str, Path]) -> Path:
    """Return the server's log, empty."""
    served[1].write_text("")
    return served[1]


def server(url: str, **more: Any) -> ServerSettings:
    """Return the settings of the server."""
    return ServerSettings("notes", url=url, **more)


@asynccontextmanager
async def opened(settings: ServerSettings) -> AsyncIterator[tuple[dict[str, Any], Any]]:
    """Open the toolkit, and yield the functions of the tools by name, and the later lists."""
    kit: Any = make_toolkit(settings)
    async with kit.open() as lists:
        yield {tool.name: tool.function for tool in await anext(aiter(lists))}, lists


def count(log: Path, entry: Any) -> int:
    """Return how often the server logged the entry."""
    return [json.loads(line) for line in log.read_text().splitlines()].count(entry)


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_prompts_are_two_tools_of_a_model_if_asked_for(url: str, protocol: str) -> None:
    """One tool lists the prompts with their arguments, one fills a prompt in; both are off by default."""
    async with opened(server(url, protocol=protocol, prompts=True)) as (tools, _):
        [listed] = await tools["notes_list_prompts"]()
        assert listed == {
            "name": "review",
            "description": "Reviews a file.",
            "arguments": {"file": "required", "style": "optional"},
        }
        told = await tools["notes_get_prompt"](name="review", arguments={"file": "main.py"})
        assert told == "user: Review main.py, short.\n\nassistant: Which part?"
        with pytest.raises(PluginError, match="'notes' refused"):
            await tools["notes_get_prompt"](name="none")
    async with opened(server(url)) as (tools, _):
        assert not {"notes_get_prompt", "notes_list_prompts"} & tools.keys()


async def test_a_prompt_is_the_input_of_a_run(url: str) -> None:
    """The messages of the prompt reach the model as they are."""
    messages = await fetch_prompt(server(url), "review", {"file": "main.py", "style": "long"})
    model = ScriptedModel(["done"])
    async with Runtime() as runtime:
        assert (await runtime.run(Agent(model, "a"), messages)).content == "done"

    assert [(each.role, each.text) for each in model.requests[0].messages] == [
        ("user", "Review main.py, long."),
        ("assistant", "Which part?"),
    ]
    with pytest.raises(ServerRefused, match="'notes' refused"):
        await fetch_prompt(server(url), "none")


@pytest.mark.parametrize(
    ("told", "seconds"), [(0, 0), (1500, 1.5), (10**9, 86_400), pytest.param(10**400, 86_400, id="huge")]
)
async def test_a_list_holds_for_a_day_at_most(told: int, seconds: float) -> None:
    """A server may name any time, also one that does not fit a float."""

    async def list_page(cursor: str | None) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(tools=[], ttl_ms=told)

    assert await Lists(server("http://127.0.0.1:1/mcp")).list_pages("tools", list_page) == ([], seconds)


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_arguments_are_completed(url: str, protocol: str) -> None:
    """Values for prompts and for addresses, with the arguments that are known already."""
    settings = server(url, protocol=protocol)
    found = await use_server(settings, lambda each: complete(each.using, "review", "file", "ma", {"style": "long"}))
    assert found.values == ("main.py", "make.py", "style=long")
    assert (found.total, found.has_more) == (4, True)
    found = await use_server(settings, lambda each: complete(each.using, "notes://{name}/copy", "name", "l", {}))
    assert found.values == ("last",)


def test_the_commands_show_prompts_and_completions(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prompts are listed and filled in, and arguments completed; a missing argument is an error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["mcp", *words])
        return int(end.value.code or 0), *capfd.readouterr()

    assert "review" in run("prompts", url)[1]
    assert json.loads(run("prompts", url, "--json")[1])["arguments"]["file"] == "required"
    filled = "user: Review a.py, short.\n\nassistant: Which part?\n"
    assert run("prompts", url, "review", '{"file": "a.py"}')[1] == filled
    code, out, err = run("complete", url, "review", "file", "ma")
    assert (code, out) == (0, "main.py\nmake.py\n")
    assert "more than these 2" in err
    code, _, err = run("prompts", url, "review")
    assert code == 1
    assert "refused" in err


async def test_lists_hold_for_the_servers_time(url: str, log: Path, clock: JumpingClock) -> None:
    """No list is asked for before its time is over; a call after it lists the tools anew."""
    settings = server(url, prompts=True)
    async with opened(settings) as (tools, lists):
        await tools["add"](a=1, b=2)
        for _ in range(3):
            await tools["notes_list_prompts"]()
        assert await tools["quietly"](name="grown") == "grown"
        assert count(log, "tools/list") == 1
        clock.jump(TOOLS_HOLD + 1)
        await tools["add"](a=1, b=2)
        with trio.fail_after(60):
            listed = {tool.name for tool in await anext(aiter(lists))}
        assert "grown" in listed
        await tools["notes_list_prompts"]()
        assert count(log, "tools/list") == 2
        assert count(log, "prompts/list") == 1


async def test_lists_without_a_time_are_listed_once(url: str, log: Path) -> None:
    """An earlier server gives no time: tools are listed at the start, and resources with each wish."""
    async with opened(server(url, protocol="legacy", resources=True)) as (tools, _):
        for _ in range(2):
            await tools["notes_list_resources"]()
            await tools["add"](a=1, b=2)
    assert count(log, "tools/list") == 1
    assert count(log, "resources/list") == 2
