"""Many servers, many starts, shared servers, and cancellation anywhere: nothing of a server stays."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from agno_rt_mcp import make_toolkit
from agno_rt_mcp.settings import ServerSettings

from agno_rt import Agent, Runtime
from agno_rt.messages import ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.testing import CancelPoint, ScriptedModel

ROGUE = Path(__file__).with_name("rogue.py")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the file with the messages received by all servers."""
    path = tmp_path / "log"
    path.touch()
    return path


def server(mode: str, log: Path, name: str = "rogue", **more: Any) -> ServerSettings:
    """Return the settings of the rogue server."""
    given: dict[str, Any] = {"grace": 0.3, "connect_timeout": 55.0} | more
    return ServerSettings(name, command=sys.executable, args=(str(ROGUE), mode, str(log)), **given)


def entries(log: Path, *keys: str) -> list[Any]:
    """Return the values of the keys in the servers' log."""
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [each[key] for each in found for key in keys if key in each]


def is_alive(process: int) -> bool:
    """Return whether the process exists, and is not a zombie of another parent."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def exists(process: int) -> bool:
    """Return whether the process exists, if only as a zombie."""
    return Path(f"/proc/{process}").exists()


def clear(log: Path) -> None:
    """Empty the log."""
    log.write_text("")


async def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until the condition holds."""
    with trio.fail_after(seconds):
        while not (found := condition()):  # noqa: ASYNC110 - the condition is another process's
            await trio.sleep(0.01)
    return found


def call_tools(*names: str) -> ScriptedModel:
    """Make a model that calls the tools at once, and answers with the results."""

    def respond(request: ModelRequest) -> ModelResponse:
        told = [each.text for each in request.messages if each.role == "tool"]
        if told:
            return ModelResponse(" ".join(told))
        return ModelResponse("", tuple(ToolCall(name, name, {"of": name}) for name in names))

    return ScriptedModel(respond)


async def test_a_hundred_servers_at_once(log: Path) -> None:
    """One agent opens a hundred servers side by side, calls a tool of each in one turn, and leaves none behind."""
    kits = [make_toolkit(server("plain", log, f"s{n}", prefix=f"s{n}_", allow=["echo"])) for n in range(100)]
    names = [f"s{n}_echo" for n in range(100)]
    async with Runtime() as runtime:
        result = await runtime.run(Agent(call_tools(*names), "a", tools=kits, limits={"tools": 100}), "go")
        assert result.content.split("} {")[42].strip("{}") == '"of": "s42_echo"'
        processes = entries(log, "start")
        assert len(set(processes)) == 100
        assert all(map(is_alive, processes))
    assert not any(map(is_alive, processes))


@pytest.mark.parametrize("kind", ["ends", "cancelled", "wrapped"])
async def test_twenty_stubborn_servers_leave_nothing(log: Path, kind: str) -> None:
    """Servers deaf to SIGTERM with children deaf to it: no process of any group stays, and no zombie (P4).

    A wrapper such as `npx` is a shell with the server as a child, which ends before the server.
    """
    settings = server("stubborn", log)
    if kind == "wrapped":
        words = shlex.join([settings.command, *settings.args])
        settings = attrs.evolve(settings, command="/bin/sh", args=("-c", f"trap 'exit 0' TERM; {words}; true"))

    async def use() -> None:
        kit: Any = make_toolkit(settings)
        async with kit.open() as lists:
            await anext(aiter(lists))
            if kind == "cancelled":
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(use)
        if kind == "cancelled":
            await until(lambda: len(entries(log, "start")) == 20)
            await until(lambda: entries(log, "method").count("tools/list") == 20)
            nursery.cancel_scope.cancel()
    processes = entries(log, "start", "child")
    assert len(processes) == 40
    await until(lambda: not any(map(is_alive, processes)))
    if kind != "wrapped":
        assert not any(map(exists, entries(log, "start")))


async def test_agents_share_a_server_and_one_is_cancelled(log: Path) -> None:
    """The calls of two agents are under way in one server; the cancelled call ends alone, and the other answers."""
    kit = make_toolkit(server("plain", log))
    hanging = Agent(call_tools("hang"), "a", tools=[kit])
    asking = Agent(call_tools("echo"), "b", tools=[kit])
    async with Runtime() as runtime:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.run, hanging, "go")
            await until(lambda: "tools/call" in entries(log, "method"))
            assert (await runtime.run(asking, "go")).content == '{"of": "echo"}'
            nursery.cancel_scope.cancel()
        await until(lambda: "notifications/cancelled" in entries(log, "method"))
        assert (await runtime.run(asking, "go")).content == '{"of": "echo"}'
    assert len(entries(log, "start")) == 1


async def test_a_runtime_that_ends_in_a_call_tells_the_server(log: Path) -> None:
    """The client leaves in the middle of a call: the server is told, and ends (P2)."""
    agent = Agent(call_tools("hang"), "a", tools=[make_toolkit(server("plain", log, grace=30.0))])
    async with trio.open_nursery() as nursery:

        async def use() -> None:
            async with Runtime() as runtime:
                await runtime.run(agent, "go")

        nursery.start_soon(use)
        await until(lambda: "tools/call" in entries(log, "method"))
        nursery.cancel_scope.cancel()
    assert entries(log, "method")[-1] == "notifications/cancelled"
    assert not any(map(is_alive, entries(log, "start")))


def test_a_run_is_cancelled_anywhere(log: Path, cancel_everywhere: Callable[..., int]) -> None:
    """From before the server's start to after its end: wherever the run is cancelled, no process stays.

    Each sixteenth point is tried, since each is a start of a server.
    """

    async def scenario(point: CancelPoint) -> None:
        clear(log)
        agent = Agent(call_tools("echo"), "a", tools=[make_toolkit(server("plain", log))])
        with point:
            async with Runtime() as runtime:
                assert (await runtime.run(agent, "go")).content == '{"of": "echo"}'
        assert not any(map(is_alive, entries(log, "start")))

    cancel_everywhere(scenario, only=range(1, 10_000, 16))


def test_calls_of_many_runs_under_many_schedules(log: Path, run_schedules: Callable[..., int]) -> None:
    """In any order of the tasks, each of ten runs has its own answer, and a crash in between costs one start."""

    async def scenario() -> None:
        clear(log)
        kit = make_toolkit(server("plain", log))
        answers: dict[int, str] = {}

        async def run(runtime: Runtime, number: int) -> None:
            model = ScriptedModel([ModelResponse("", (ToolCall("1", "echo", {"n": number}),)), "done"])
            result = await runtime.run(Agent(model, f"a{number}", tools=[kit]), "go")
            [answers[number]] = [each.text for each in result.messages if each.role == "tool"]

        async with Runtime() as runtime:
            for rounds in range(2):
                async with trio.open_nursery() as nursery:
                    for number in range(5 * rounds, 5 * rounds + 5):
                        nursery.start_soon(run, runtime, number)
                if rounds == 0:
                    await runtime.run(Agent(call_tools("crash"), "c", tools=[kit]), "go")
        assert answers == {number: f'{{"n": {number}}}' for number in range(10)}
        assert len(entries(log, "start")) == 2

    run_schedules(scenario, 6, virtual=False)
