"""A planted API key is sent to its server, and found nowhere else: events, results, stores, logs, commands."""

from __future__ import annotations

import contextlib
import io
import logging
import pickle
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, MemoryPolicy, Runtime
from agno_rt.errors import AgnoError
from agno_rt.testing import ChatFormat, WireAnswer, WireReply, WireServer, open_wire_server

KEY = "sk-planted-4f0c9d2e7a61b8835d"
WIRE = ChatFormat()
GOOD = WireReply((WIRE.render_answer(WireAnswer("Hello.")),), headers={"x-echo": KEY, "set-cookie": f"session={KEY}"})
STREAMED = WireReply(
    tuple(WIRE.render_stream(WireAnswer("Hello."))), content_type=WIRE.stream_type, headers={"x-echo": KEY}
)
REFUSED = WireReply((WIRE.render_error(401, f"Incorrect API key provided: {KEY}"),), 401, headers={"x-echo": KEY})
BROKEN = WireReply((f'{{"key": "{KEY}"'.encode(),))
REPLIES = {"good": GOOD, "streamed": STREAMED, "refused": REFUSED, "broken": BROKEN}


def settings_of(server: WireServer) -> dict[str, Any]:
    """Return settings with the key, and with secrets in headers, query and proxy user."""
    return {"openai": {"base_url": f"{server.url}/v1?token={KEY}", "api_key": KEY, "headers": {"x-secret": KEY}}}


@pytest.fixture
def collected_logs() -> Any:
    """Collect every log record of every library, at the most detailed level."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    try:
        yield stream
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@pytest.mark.parametrize("kind", REPLIES)
async def test_a_run_leaves_no_key(kind: str, collected_logs: io.StringIO, tmp_path: Path) -> None:
    """Events, the result, the error with its traceback, the journal, the session and all logs are free of the key."""
    seen: list[str] = []
    database = tmp_path / "a.db"
    async with open_wire_server(*[REPLIES[kind]] * 4) as server:
        observe = lambda event: seen.append(repr(event))  # noqa: E731
        memory = f"sqlite:///{database}"
        async with Runtime(memory=memory, settings=settings_of(server), observers=[observe]) as runtime:
            model = runtime.model("openai:m")
            agent = Agent("openai:m", memory=MemoryPolicy(journal=True))
            for stream in (False, True):
                try:
                    if stream:
                        async with runtime.stream(agent, "Hi", session="s2") as events:
                            seen += [repr(event) async for event in events]
                    else:
                        seen.append(repr(await runtime.run(agent, "Hi", session="s1")))
                except AgnoError as exc:
                    seen += [repr(exc), "".join(traceback.format_exception(exc)), exc.full_text, repr(vars(exc))]
            seen += [repr(model), repr(runtime.statistics()), str(runtime.tasks())]
            with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
                seen.append(repr(pickle.dumps(model)))
        sent = [request.headers.get("authorization", "") for request in server.requests]
    assert sent
    assert all(KEY in header for header in sent)
    for text in seen:
        assert KEY not in text
    assert KEY not in collected_logs.getvalue()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert KEY not in "\n".join(connection.iterdump())
    assert not _find_files_with_key(tmp_path)


def _find_files_with_key(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if KEY.encode() in path.read_bytes()]


async def test_the_commands_print_no_key(tmp_path: Path) -> None:
    """The commands that show models, plugins, settings, costs and profiles print no key, at the most detailed level."""
    async with open_wire_server() as server:
        server.play(*[STREAMED] * 200)
        (tmp_path / "agno-rt.toml").write_text(
            f'[plugins.openai]\nbase_url = "{server.url}/v1?token={KEY}"\napi_key = "{KEY}"\n'
            f'headers = {{ x-a = "{KEY}" }}\n'
            '[agents.a]\nmodel = "openai:m"\n'
        )
        for command in (
            ["run", "a", "Hi", "--json"],
            ["run", "a", "Hi", "--debug"],
            ["models", "--json"],
            ["models", "check", "openai:m", "--json"],
            ["doctor", "--online"],
            ["plugins", "--json"],
            ["bench", "--agent", "a", "--help"],
        ):
            done = await trio.to_thread.run_sync(_run_command, command, tmp_path)
            assert KEY not in done.stdout + done.stderr, command


def _run_command(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "agno_rt.cli", *command]
    return subprocess.run(whole, check=False, cwd=folder, capture_output=True, text=True, timeout=120)
