"""Servers over stdio: calls, faults of servers, and the end of all processes."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_mcp import make_toolkit
from agno_rt_mcp.settings import ServerSettings

from agno_rt import Agent, Runtime
from agno_rt.errors import PluginError
from agno_rt.events import Event, ToolkitChanged
from agno_rt.limits import Limits
from agno_rt.messages import Media, Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.testing import ScriptedModel
from agno_rt.testing.clocks import JumpingClock

ROGUE = Path(__file__).with_name("rogue.py")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the file with the messages received by the server."""
    return tmp_path / "log"


@pytest.fixture
def clock() -> JumpingClock:
    """Return the clock of the test's trio run: pytest-trio takes a fixture that is a clock."""
    return JumpingClock()


def settings(mode: str, log: Path, **more: Any) -> ServerSettings:
    """Return the settings of the rogue server."""
    given: dict[str, Any] = {"grace": 0.3, "connect_timeout": 20.0} | more
    return ServerSettings("rogue", command=sys.executable, args=(str(ROGUE), mode, str(log)), **given)


def entries(log: Path) -> list[dict[str, Any]]:
    """Return the server's log."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def starts(log: Path) -> list[int]:
    """Return the ids of the server's processes."""
    return [each["start"] for each in entries(log) if "start" in each]


async def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until the condition holds."""
    with trio.fail_after(seconds):
        while not (found := condition()):  # noqa: ASYNC110 - the condition is another process's
            await trio.sleep(0.01)
    return found


def is_alive(process: int) -> bool:
    """Return whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def exists(process: int) -> bool:
    """Return whether the process exists, if only as a zombie."""
    return Path(f"/proc/{process}").exists()


class Caller:
    """Calls tools of a server as runs of an agent do."""

    def __init__(self, runtime: Runtime, server: ServerSettings, limits: Limits | None = None) -> None:
        self.runtime, self.limits = runtime, limits
        self.kit = make_toolkit(server)
        self.offered: list[str] = []

    async def call(self, name: str, /, **arguments: Any) -> Message:
        """Let an agent call a tool, and return the message with its result."""

        def respond(request: ModelRequest) -> ModelResponse:
            self.offered = [each.name for each in request.tools]
            if request.messages[-1].role == "tool":
                return ModelResponse("done")
            return ModelResponse("", (ToolCall("1", name, arguments),))

        agent = Agent(ScriptedModel(respond), "caller", tools=[self.kit], limits=self.limits)
        result = await self.runtime.run(agent, "go")
        [told] = [message for message in result.messages if message.role == "tool"]
        return told

    async def call_for_ever(self, name: str) -> None:
        """Call a tool until the toolkit is lost."""
        while True:
            await self.call(name)


@asynccontextmanager
async def calling(server: ServerSettings, limits: Limits | None = None) -> AsyncIterator[Caller]:
    """Open a runtime for calls."""
    async with Runtime() as runtime:
        yield Caller(runtime, server, limits)


async def test_results_become_texts_media_and_failures(log: Path) -> None:
    """Each kind of result reaches the model, and the failure of a tool is told apart from an error of the protocol."""
    async with calling(settings("plain", log)) as caller:
        assert (await caller.call("echo", a=1)).text == '{"a": 1}'
        assert (
            await caller.call("self", self=1, name="n", function=2)
        ).text == '{"self": 1, "name": "n", "function": 2}'
        assert (await caller.call("typed")).text == '{"n": 9}'
        assert (await caller.call("fail")).text == "the disk is full"
        refused = (await caller.call("refuse")).text
        assert "ServerRefused" in refused
        assert "no such tool: refuse (-32602)" in refused
        shapeless = (await caller.call("shapeless")).text
        assert "ServerNonsense" in shapeless
        seen = await caller.call("picture")
        assert [type(part) for part in seen.content] == [str, Media, str, str]
        assert seen.media[0].media_type == "image/png"
        assert seen.media[0].kind == "image"
        assert str(seen.content[2]).startswith("[image that cannot be read")
        assert seen.content[3] == "[log](file:///log)"
        assert len(starts(log)) == 1


@pytest.mark.parametrize(("tool", "text"), [("untyped", "seven"), ("misshapen", "eight")])
async def test_a_result_outside_of_its_schema_is_a_failure_with_the_text(log: Path, tool: str, text: str) -> None:
    """The run goes on, and the next request holds the text (P6)."""
    async with calling(settings("plain", log)) as caller:
        told = (await caller.call(tool)).text

    assert told.startswith(text)
    assert f"(The result does not fit the schema of {tool}" in told


async def test_annotations_are_kept_and_ask_for_approval(log: Path) -> None:
    """A destructive tool waits for a person; `approve` widens or narrows the rule."""
    approvals = {}
    for approve in ("declared", "writes", "always", "never"):
        kit: Any = make_toolkit(settings("plain", log, approve=approve))
        async with kit.open() as lists:
            tools = {tool.name: tool for tool in await anext(aiter(lists))}
        approvals[approve] = {name for name, tool in tools.items() if tool.approve}

    assert approvals["declared"] == {"wipe"}
    assert approvals["writes"] == tools.keys() - {"typed"}
    assert approvals["always"] == tools.keys()
    assert approvals["never"] == set()
    assert (tools["wipe"].destructive, tools["wipe"].title, tools["typed"].read_only) == (True, "Wipe all", True)
    assert tools["typed"].output_schema["required"] == ["n"]
    assert tools["typed"].idempotent
    assert list(tools) == sorted(tools)


async def test_all_pages_are_listed(log: Path) -> None:
    """101 tools at 50 a page are 101 tools (P1)."""
    async with calling(settings("pages", log)) as caller:
        await caller.call("tool0100")

    assert caller.offered == [f"tool{n:04}" for n in range(101)]


@pytest.mark.parametrize(("mode", "text", "most"), [("loop", "comes again", 2), ("endless", "max_pages, 7 pages", 7)])
async def test_pages_without_an_end_are_cut(log: Path, mode: str, text: str, most: int) -> None:
    """A constant or endless cursor is reported after a few requests (P1)."""
    async with calling(settings(mode, log, max_pages=7)) as caller:
        with pytest.raises(PluginError, match=text):
            await caller.call("echo")

    assert len([each for each in entries(log) if each.get("method") == "tools/list"]) == most


@pytest.mark.parametrize("what", ["resources", "prompts"])
async def test_pages_of_other_lists_without_an_end_are_cut(log: Path, what: str) -> None:
    """The model is told after two requests, and the connection stays (P1)."""
    async with calling(settings("plain", log, resources=True, prompts=True)) as caller:
        assert "comes again" in (await caller.call(f"rogue_list_{what}")).text
        assert (await caller.call("echo")).text == "{}"

    assert len([each for each in entries(log) if each.get("method") == f"{what}/list"]) == 2


async def test_an_allow_list_renames_and_a_prefix(log: Path) -> None:
    """Only allowed tools are offered, under new names, and called by the server's names."""
    server = settings("plain", log, allow=["echo", "fail"], rename={"echo": "repeat"}, prefix="rogue_")
    async with calling(server) as caller:
        assert (await caller.call("repeat", a=1)).text == '{"a": 1}'

    assert set(caller.offered) == {"repeat", "rogue_fail"}
    assert entries(log)[-1]["params"]["name"] == "echo"


def received_calls(log: Path, name: str) -> set[Any]:
    """Return the ids of the calls of a tool received by the server."""
    calls = [each for each in entries(log) if each.get("method") == "tools/call"]
    return {each["id"] for each in calls if each["params"]["name"] == name}


def cancelled_calls(log: Path) -> list[Any]:
    """Return the ids of the received calls cancelled on the server.

    The SDK also cancels a call cancelled before the end of the write, and a server ignores an unknown id.
    """
    told = [each["params"]["requestId"] for each in entries(log) if each.get("method") == "notifications/cancelled"]
    return [each for each in told if each in received_calls(log, "hang")]


@pytest.mark.parametrize("limit", ["timeout of the server", "tool_timeout"])
async def test_a_deadline_reaches_the_server(log: Path, limit: str, clock: JumpingClock) -> None:
    """A call beyond its limit is cancelled on the server, the model is told, and the connection stays (P2)."""
    is_servers = limit == "timeout of the server"
    server = settings("plain", log, **{"timeout": 55.0} if is_servers else {})
    async with calling(server, None if is_servers else Limits(tool_timeout=55.0)) as caller:
        told: list[Message] = []

        async def hang() -> None:
            told.append(await caller.call("hang"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang)
            await until(lambda: received_calls(log, "hang"))
            clock.jump(60)
        assert "took longer than 55 s" in told[0].text
        assert len(await until(lambda: cancelled_calls(log))) == 1
        assert (await caller.call("echo")).text == "{}"
    assert len(starts(log)) == 1


async def test_a_cancelled_run_reaches_the_server(log: Path) -> None:
    """The server learns of a run's cancellation, and serves the next call (P2)."""
    async with calling(settings("plain", log)) as caller, trio.open_nursery() as nursery:
        nursery.start_soon(caller.call, "hang")
        await until(lambda: [each for each in entries(log) if each.get("method") == "tools/call"])
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await until(lambda: cancelled_calls(log))
            assert (await caller.call("echo")).text == "{}"
    assert len(starts(log)) == 1


async def test_a_call_can_be_cancelled_at_every_step(log: Path) -> None:
    """Wherever a call is cancelled, the connection serves the next call, and the server is the same (P2)."""
    kit: Any = make_toolkit(settings("plain", log))
    async with kit.open() as lists:
        tools = {tool.name: tool.function for tool in await anext(aiter(lists))}
        for steps in range(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(functools.partial(tools["echo"], n=steps))
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            assert json.loads(await tools["echo"](n=-steps)) == {"n": -steps}
    assert len(starts(log)) == 1


async def test_agents_call_one_server_side_by_side(log: Path) -> None:
    """Each of many calls at once gets the own answer, while others of them are cancelled."""
    kit: Any = make_toolkit(settings("plain", log, grace=10.0))
    async with kit.open() as lists, trio.open_nursery() as nursery:
        tools = {tool.name: tool.function for tool in await anext(aiter(lists))}
        answers = {}

        async def call(number: int) -> None:
            with trio.move_on_after(0.3 if number % 5 == 0 else 60):
                answers[number] = json.loads(await tools["hang" if number % 5 == 0 else "echo"](n=number))

        for number in range(200):
            nursery.start_soon(call, number)
    assert answers == {number: {"n": number} for number in range(200) if number % 5}
    assert sorted(cancelled_calls(log)) == sorted(received_calls(log, "hang"))
    assert len(starts(log)) == 1


async def test_late_progress_and_unknown_notifications_are_ignored(log: Path) -> None:
    """The connection survives (P3)."""
    async with calling(settings("plain", log)) as caller:
        assert (await caller.call("late")).text == "done"
        assert (await caller.call("echo")).text == "{}"

    assert len(starts(log)) == 1


async def test_a_question_of_the_earlier_protocol_is_cancelled(log: Path) -> None:
    """`questions = false`: the server is told at once, and the call does not hang."""
    async with calling(settings("plain", log, questions=False)) as caller:
        assert json.loads((await caller.call("ask")).text) == {"action": "cancel"}


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("crash", ["ServerLost", "exit status 3", "boom: out of cheese"]),
        ("flood", ["ServerLost", "a line of more than max_message"]),
        ("garbage", ["ServerLost", "lines in a row that are not messages", "This is a log line."]),
    ],
)
async def test_a_server_that_breaks_is_named_and_started_again(log: Path, tool: str, said: list[str]) -> None:
    """The call fails with the reason, and the next call finds a new server."""
    async with calling(settings("plain", log, max_message=1_000_000)) as caller:
        told = (await caller.call(tool)).text
        assert all(text in told for text in said), told
        assert (await caller.call("echo", a=2)).text == '{"a": 2}'
        assert len(starts(log)) == 2


async def test_observers_hear_of_losses(log: Path) -> None:
    """The opening, the loss with its reason and the time of the next start, and the new start are events, in order."""
    heard: list[ToolkitChanged] = []

    def observe(event: Event) -> None:
        if isinstance(event, ToolkitChanged):
            heard.append(event)

    async with Runtime(observers=[observe]) as runtime:
        caller = Caller(runtime, settings("plain", log))
        assert "ServerLost" in (await caller.call("crash")).text
        assert (await caller.call("echo")).text == "{}"
    assert [(event.toolkit, event.state) for event in heard] == [
        ("rogue", "opened"),
        ("rogue", "lost"),
        ("rogue", "opened"),
    ]
    assert "boom: out of cheese" in (heard[1].error or "")
    assert 0 < (heard[1].retry_in or 0) <= 0.5
    assert heard[0].tools == heard[2].tools == 18


async def test_a_server_that_stays_away_is_not_tried_for_ever(log: Path) -> None:
    """The starts are counted and spread; then the toolkit is lost, and the next run has the reason."""
    async with calling(settings("fragile", log, restarts=1)) as caller:
        assert "ServerLost" in (await caller.call("crash")).text
        await until(lambda: len(starts(log)) == 2)
        with pytest.raises(PluginError, match="the second start fails"):
            await caller.call_for_ever("echo")

    # One at first, one again, and one or more by the runs that found the toolkit lost: never a stream of them.
    assert 3 <= len(starts(log)) <= 6


@pytest.mark.parametrize(
    ("server", "text"),
    [
        (lambda log: settings("dead", log), "no licence found"),
        (lambda log: settings("mute", log, connect_timeout=0.5), "did not answer within 0.5 s"),
        (lambda log: ServerSettings("x", command="/no/such/program"), "No such file"),
    ],
)
async def test_a_server_that_does_not_open_is_named(log: Path, server: Callable[[Path], Any], text: str) -> None:
    """The run fails with an error that names the server and the reason."""
    async with calling(server(log)) as caller:
        with pytest.raises(PluginError, match=text):
            await caller.call("echo")


async def test_changed_tools_are_listed_anew(log: Path) -> None:
    """The next run has the new tool."""
    async with calling(settings("plain", log)) as caller:
        assert (await caller.call("change")).text == "changed"
        assert "new" not in caller.offered
        with trio.fail_after(60):
            while "new" not in caller.offered:
                await caller.call("echo")


async def test_secrets_of_this_process_stay_here(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server has the configured variables, with keys filled in, and no others; a missing key is named."""
    monkeypatch.setenv("AGNO_SECRET", "s3cret")
    monkeypatch.setenv("NOTES_TOKEN", "t0ken")
    async with calling(settings("plain", log, env={"TOKEN": "Bearer ${NOTES_TOKEN}"})) as caller:
        seen = json.loads((await caller.call("secrets")).text)
    assert seen["TOKEN"] == "Bearer t0ken"
    assert "AGNO_SECRET" not in seen
    assert "NOTES_TOKEN" not in seen

    lacking = settings("plain", log, env={"TOKEN": "${NO_SUCH_TOKEN_HERE}"})
    assert "NO_SUCH_TOKEN_HERE" not in repr(lacking)
    async with calling(lacking) as caller:
        with pytest.raises(PluginError, match="needs NO_SUCH_TOKEN_HERE") as error:
            await caller.call("echo")
    assert "t0ken" not in str(error.value)


@pytest.mark.parametrize("end", ["ends", "cancelled"])
async def test_nothing_of_a_stubborn_server_stays(log: Path, end: str) -> None:
    """A server deaf to SIGTERM is gone with all children, and leaves no zombie (P4)."""
    async with trio.open_nursery() as nursery, calling(settings("stubborn", log)) as caller:
        await caller.call("echo")
        if end == "cancelled":
            nursery.cancel_scope.cancel()

    processes = [value for each in entries(log) for key, value in each.items() if key in ("start", "child")]
    assert len(processes) == 2
    await until(lambda: not any(map(is_alive, processes)))
    assert not exists(processes[0])


def test_nothing_of_a_stubborn_server_stays_after_a_kill(log: Path) -> None:
    """The server's group ends, too, when this process is killed without a word (P4)."""
    program = f"""
import sys, trio
sys.path.insert(0, {str(ROGUE.parent)!r})
from pathlib import Path
from test_mcp_stdio import calling, settings

async def main():
    async with calling(settings("stubborn", Path({str(log)!r}))) as caller:
        await caller.call("echo")
        print("ready", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"ready\n"
        processes = [value for each in entries(log) for key, value in each.items() if key in ("start", "child")]
        assert len(processes) == 2
        assert all(map(is_alive, processes))
        os.kill(runner.pid, signal.SIGKILL)

    async def wait() -> None:
        await until(lambda: not any(map(is_alive, processes)))

    trio.run(wait)
