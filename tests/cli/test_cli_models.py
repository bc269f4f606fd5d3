"""`agno-rt models check` asks one model; `agno-rt models` shows the known prices."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import trio

from agno_rt.testing import ChatFormat, WireAnswer, WireReply, open_wire_server

Agno: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
WIRE = ChatFormat()


async def check_served(agno: Agno, project: Path, reply: WireReply, more: str = "") -> tuple[Any, str, int]:
    """Check a model of a server with this reply; return the result, the text for people and the exit code."""
    async with open_wire_server(reply) as server:
        table = f'[plugins.openai.servers.local]\nbase_url = "{server.url}/v1"\n{more}'
        (project / "agno-rt.toml").write_text(table)
        shown = await trio.to_thread.run_sync(agno, "models", "check", "openai:local:m")
        done = await trio.to_thread.run_sync(agno, "models", "check", "openai:local:m", "--json")
    return json.loads(done.stdout), shown.stdout + shown.stderr, shown.returncode


async def test_a_good_model_answers(agno: Agno, project: Path) -> None:
    """The answer comes with time, tokens and the request's id; the cost is unknown without a price."""
    reply = WireReply(tuple(WIRE.render_stream(WireAnswer("ready"))), content_type=WIRE.stream_type)
    told, shown, code = await check_served(agno, project, reply)
    assert code == 0
    assert "openai:local:m answered in" in shown
    assert "'ready' (12 tokens in, 5 out, cost unknown)" in shown
    assert (told["answer"], told["cost"], told["error"]) == ("ready", None, None)
    assert told["seconds"] >= told["first"] > 0


async def test_a_known_price_makes_a_cost(agno: Agno, project: Path) -> None:
    """With a price in the settings, the check and the list show money, and the price's date."""
    reply = WireReply(tuple(WIRE.render_stream(WireAnswer("ready"))), content_type=WIRE.stream_type)
    price = 'models.MODEL.price = { input = 1.25, output = 10.0, as_of = "2026-11-30" }\n'
    told, shown, _ = await check_served(agno, project, reply, f"{price}{price.replace('MODEL', 'm')}")
    assert told["cost"] == (12 * 1.25 + 5 * 10.0) / 1e6
    assert "cost $0.000065" in shown
    listed = agno("models")
    assert "1.25 / 10 (2026-11-30)" in listed.stdout
    assert "unknown" in listed.stdout
    rows = {row["spec"]: row for row in map(json.loads, agno("models", "--json").stdout.splitlines())}
    assert rows["openai:local:MODEL"]["price"]["output"] == 10.0
    assert rows["openai:gpt-5"]["media"]
    takes = {line.split()[0]: line for line in listed.stdout.splitlines() if line}
    assert " text, images, PDF " in takes["openai:gpt-5"]
    assert " text, images, sound, video, PDF " in takes["google:vertex:gemini-3.8-flash"]
    assert " text  " in takes["llamacpp:smollm2"]


async def test_a_refusal_is_told(agno: Agno, project: Path) -> None:
    """A refusal shows the provider's words, the remedy and the request's id, and ends with 1."""
    reply = WireReply((WIRE.render_error(404, "no such model"),), 404, headers={"x-request-id": "req_9"})
    told, shown, code = await check_served(agno, project, reply)
    assert code == 1
    for text in ("no such model", "(request req_9)", "Check the model's name"):
        assert text in shown
    assert (told["status"], told["request_id"]) == (404, "req_9")


def test_a_missing_server_is_told(agno: Agno, project: Path) -> None:
    """A server that is not running is told with its address."""
    (project / "agno-rt.toml").write_text('[plugins.openai.servers.local]\nbase_url = "http://127.0.0.1:9/v1"\n')
    done = agno("models", "check", "openai:local:m")
    assert done.returncode == 1
    assert "cannot be reached at http://127.0.0.1:9/v1" in done.stderr


def test_an_unknown_model_is_a_wrong_word(agno: Agno) -> None:
    """An unknown plugin is a usage error with a suggestion."""
    done = agno("models", "check", "opena:m")
    assert done.returncode == 2
    assert "Did you mean 'openai'?" in done.stderr


async def test_doctor_reaches_servers_online(agno: Agno, project: Path) -> None:
    """With --online, `doctor` reaches the servers of the agents' models, and sends neither key nor question."""
    async with open_wire_server(WireReply((b"{}",))) as server:
        table = '[plugins.openai.servers.NAME]\nbase_url = "URL/v1"\napi_key = "sk-planted-0123"\n'
        agents = '[agents.good]\nmodel = "openai:here:m"\n[agents.bad]\nmodel = "openai:gone:m"\n'
        here = table.replace("NAME", "here").replace("URL", server.url)
        gone = table.replace("NAME", "gone").replace("URL", "http://127.0.0.1:9")
        (project / "agno-rt.toml").write_text(f"{agents}{here}{gone}[plugins.serve]\nport = 0\n")
        offline = await trio.to_thread.run_sync(agno, "doctor")
        assert server.connections == 0
        online = await trio.to_thread.run_sync(agno, "doctor", "--online")
    assert "can be reached" not in offline.stdout
    assert "the server of openai:here:m can be reached" in online.stdout
    assert "! openai:gone:m cannot be reached" in online.stdout
    assert [each.method for each in server.requests] == ["HEAD"]
    assert "sk-planted" not in f"{online.stdout}{online.stderr}{server.requests}"


def test_doctor_lists_the_names_of_keys(agno: Agno, tmp_path: Path) -> None:
    """`doctor` lists the names of the kept keys, and a file that others can read is an error."""
    agno("keys", "set", "ACME_KEY", input="sk-planted-0123")
    done = agno("doctor")
    assert "✓ 1 key in ~/.config/agno-rt/keys.toml: ACME_KEY" in done.stdout
    assert "sk-planted" not in done.stdout + done.stderr
    (tmp_path / ".config" / "agno-rt" / "keys.toml").chmod(0o644)
    done = agno("doctor")
    assert done.returncode == 1
    assert "can be read by others" in done.stdout
