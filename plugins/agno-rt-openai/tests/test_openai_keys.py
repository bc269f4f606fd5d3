"""A planted API key is nowhere: logs, events, errors, journals, sessions, caches, cassettes, reprs, commands."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agno_rt_openai import OpenAIModel, Server

from agno_rt import Agent, MemoryPolicy, Runtime, tool
from agno_rt.defaults.log import make_observer
from agno_rt.errors import AgnoError
from agno_rt.events import Event
from agno_rt.keys.key_file import KeyFile
from agno_rt.messages import ToolCall
from agno_rt.testing import Cassette, ChatFormat, WireAnswer, WireReply, open_wire_server
from agno_rt.wrappers.cache import Cache

SECRET = "sk-planted-0123456789abcdef"
NAME = "PLANTED_API_KEY"
WIRE = ChatFormat()
_CALL = WireAnswer(tool_calls=(ToolCall("call_1", "tell_time", "{}"),), finish_reason="tool_calls")


@tool
async def tell_time() -> str:
    """The time."""
    return "noon"


@pytest.fixture(params=["environment", "file", "code"])
def planted(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put the key into one of its places, and return the settings that lead to the key."""
    monkeypatch.setenv("AGNO_RT_KEYS", str(tmp_path / "keys" / "keys.toml"))
    monkeypatch.delenv(NAME, raising=False)
    if request.param == "environment":
        monkeypatch.setenv(NAME, SECRET)
    elif request.param == "file":
        KeyFile().set(NAME, SECRET)
    return {"api_key": SECRET} if request.param == "code" else {"api_key_env": NAME}


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.lines.append(f"{level} {event} {fields}")


async def test_a_planted_key_is_nowhere(
    planted: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Good and bad runs, with everything that is kept and told switched on, leave the key nowhere.

    The server quotes the key in refusals, in an answer that is not JSON, and in the middle of a stream.
    """
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    events: list[Event] = []
    log = Lines()
    observe = make_observer(log)
    folder = tmp_path / "kept"
    folder.mkdir()

    def note(event: Event) -> None:
        events.append(event)
        observe(event)

    streamed = tuple(WIRE.render_stream(WireAnswer("Noon, I think.")))
    quoting = WireReply((*streamed[:2], WIRE.render_stream_error(f"bad key {SECRET}")), content_type=WIRE.stream_type)
    replies = [
        WireReply((WIRE.render_error(401, f"Incorrect API key provided: {SECRET}"),), 401),
        WireReply((f"<html>{SECRET}</html>".encode(),), content_type="text/html"),
        WireReply((f"not JSON {SECRET}".encode(),)),
        WireReply((), ending="reset"),
    ]
    async with open_wire_server() as server:
        model = OpenAIModel("m", Server(base_url=f"{server.url}/v1", **planted))
        cassette = Cassette(folder / "cassette.json", Cache(model, store="memory"), mode="record")
        agent = Agent(cassette, name="clerk", tools=[tell_time], memory=MemoryPolicy(journal=True))
        async with Runtime(memory=f"sqlite:///{folder / 'kept.db'}", observers=[note]) as runtime:
            told += [repr(model), repr(model.server), str(model.server), repr(agent), repr(runtime.statistics())]
            for reply in replies:
                server.play(reply)
                told += await run_badly(runtime, agent, stream=False)
            server.play(quoting)
            told += await run_badly(runtime, agent, stream=True)
            server.play(WireReply((WIRE.render_answer(_CALL),)), WireReply((WIRE.render_answer(WireAnswer("Noon.")),)))
            result = await runtime.run(agent, "What time is it?", session="s")
            assert result.content == "Noon."
            told += [repr(result), repr(await runtime.memory.load("s"))]
        await model.aclose()
    # Otherwise the test would show nothing: the key has been sent, and quoted.
    assert all(SECRET in each.headers["authorization"] for each in server.requests)
    assert len(server.requests) == len(replies) + 3
    assert len(events) > 20
    assert len(log.lines) >= len(replies)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"kept.db", "cassette.json"} <= set(kept)
    output = capfd.readouterr()
    told += [*log.lines, caplog.text, output.out, output.err, *map(repr, events)]
    told += [record.getMessage() for record in caplog.records]
    places = {f"told {at}": text.encode() for at, text in enumerate(told)} | kept
    places["events"] = msgspec.json.encode(events)
    assert [place for place, data in places.items() if SECRET.encode() in data or b"planted-0123" in data] == []


async def run_badly(runtime: Runtime, agent: Agent, *, stream: bool) -> list[str]:
    """Run the agent, which fails, and return everything that the failure tells."""
    try:
        if stream:
            async with runtime.stream(agent, "Now?") as events:
                async for _ in events:
                    pass
        else:
            await runtime.run(agent, "Now?", session="bad")
    except AgnoError as exc:
        chain = "".join(traceback.format_exception(exc))
        return [str(exc), exc.full_text, repr(exc), repr(vars(exc)), repr(exc.result), chain]
    raise AssertionError("the run did not fail")


def test_commands_do_not_show_a_planted_key(planted: dict[str, Any], tmp_path: Path) -> None:
    """`doctor`, `models`, `keys list`, `agents` and a failing `run` with --debug print everything but the key."""
    settings = "\n".join(f'{name} = "{value}"' for name, value in planted.items())
    agents = '[agents.clerk]\nmodel = "openai:m"\n[plugins.serve]\nport = 0\n'
    (tmp_path / "agno-rt.toml").write_text(
        f'{agents}[plugins.openai]\nbase_url = "http://127.0.0.1:9/v1"\n{settings}\n'
    )
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}
    said = []
    for command in (
        "doctor",
        "doctor --json",
        "models",
        "models --json",
        "keys list",
        "agents",
        "run clerk Hi --debug",
    ):
        done = subprocess.run(
            [sys.executable, "-m", "agno_rt.cli", *command.split()],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stdout or done.stderr
        said.append(done.stdout + done.stderr)
    assert "cannot be reached" in said[-1]
    assert [text for text in said if SECRET in text] == []
