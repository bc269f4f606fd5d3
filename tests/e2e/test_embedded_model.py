"""The main job, as a user does it: agents on the embedded model, from the shell and over HTTP, in real processes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.conftest import COMMAND, Server, serving

pytestmark = pytest.mark.usefixtures("weights", "curl_is_here")

PROJECT = """
[runtime]
observers = ["log"]

[plugins.llamacpp]
cut_loops = false        # the storyteller is to go on until it is stopped

[agents.assistant]
model = "llamacpp:smollm2"
instructions = "You are a helpful assistant. Answer briefly."
settings = { temperature = 0.0, max_tokens = 40 }

[agents.storyteller]
model = "llamacpp:smollm2"
instructions = "Tell a very long story."
settings = { temperature = 0.7, max_tokens = 1500, seed = 1 }

[agents.librarian]
model = "llamacpp:smollm2"
instructions = "Answer the question from the documents. Name the file that the answer is from."
tools = ["files:search:docs"]
settings = { temperature = 0.0, tool_choice = "required", max_tokens = 60 }
"""

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project with a folder of documents."""
    (tmp_path / "agno-rt.toml").write_text(PROJECT)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "falcon.md").write_text("# Names\n\nThe project's codename is Falcon.\n")
    (tmp_path / "docs" / "lunch.md").write_text("# Lunch\n\nThe canteen opens at noon and closes at two.\n")
    return tmp_path


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    """Run `agno-rt serve` in the project."""
    with serving([COMMAND, "serve", "--port", "0"], project) as server:
        yield server


def curl(url: str, body: object, *options: str) -> str:
    """Return curl's output for a POST of JSON."""
    command = ["curl", "-sS", "--max-time", "120", url, "-H", "Content-Type: application/json", *options]
    done = subprocess.run([*command, "-d", json.dumps(body)], capture_output=True, text=True, check=True, timeout=130)
    return done.stdout


def test_curl_gets_json(server: Server) -> None:
    """A run over HTTP answers with its result as JSON."""
    result = json.loads(curl(f"{server.url}/agents/assistant/runs", {"input": "Say hello.", "session": "ann"}))

    assert result["status"] == "completed"
    assert result["content"]
    assert result["session"] == "ann"
    assert result["usage"]["output_tokens"] > 0


def test_curl_gets_an_event_stream(server: Server) -> None:
    """The same route can send a stream of numbered events as they happen, the end last."""
    body = {"input": "Which codename does the project have?"}
    text = curl(f"{server.url}/agents/librarian/runs", body, "-N", "-H", "Accept: text/event-stream")

    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_ended"
    assert [int(event["id"]) for event in events] == list(range(1, len(events) + 1))
    tool_ended = json.loads(events[kinds.index("tool_ended")]["data"])
    assert "falcon.md" in tool_ended["content"]
    deltas = [json.loads(event["data"])["text"] for event in events if event["event"] == "text_delta"]
    assert "".join(deltas) == json.loads(events[-1]["data"])["content"]


def test_the_openai_client_talks_to_an_agent(server: Server) -> None:
    """The official client talks to an agent as a model, whole or in a stream, with the same answer."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=120, max_retries=0) as client:
        assert "assistant" in [model.id for model in client.models.list()]
        messages: list[Any] = [{"role": "user", "content": "Say hello."}]
        whole = client.chat.completions.create(model="assistant", messages=messages)
        with client.chat.completions.create(model="assistant", messages=messages, stream=True) as chunks:
            streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    assert whole.choices[0].message.content
    assert streamed == whole.choices[0].message.content
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 0


def test_a_client_that_is_killed_cancels_its_run(server: Server) -> None:
    """A client killed in the middle of a stream ends its run, and the model answers the next one."""
    command = ["curl", "-sN", f"{server.url}/agents/storyteller/runs", "-H", "Accept: text/event-stream"]
    command += ["-H", "Content-Type: application/json", "-d", '{"input": "Begin."}']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        next(line for line in client.stdout if "text_delta" in line)
        client.kill()

    assert "cancelled" in server.wait_for("run cancelled")
    assert json.loads(curl(f"{server.url}/agents/assistant/runs", {"input": "Say hello."}))["content"]


def test_sigterm_during_a_run_ends_it_and_the_server(project: Path) -> None:
    """SIGTERM cancels runs that do not end in time, with a message to the client; the server exits with 0."""
    (project / "agno-rt.toml").write_text(PROJECT + "\n[plugins.serve]\ngrace = 0.2\n")
    with serving([COMMAND, "serve", "--port", "0"], project) as server:
        command = ["curl", "-sN", f"{server.url}/agents/storyteller/runs", "-H", "Accept: text/event-stream"]
        command += ["-H", "Content-Type: application/json", "-d", '{"input": "Begin."}']
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            next(line for line in client.stdout if "text_delta" in line)
            exit_code = server.stop()
            rest = client.stdout.read()

    assert exit_code == 0
    assert '"status":"cancelled"' in rest.strip().splitlines()[-1]


def test_run_streams_the_answer(agno_rt: Command) -> None:
    """`agno-rt run` prints the answer of a shipped agent, and nothing else, on standard output."""
    done = agno_rt("run", "assistant", "Say hello.")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_librarian_names_its_file(project: Path, agno_rt: Command) -> None:
    """The shipped librarian finds the passage, answers from the passage, and names the file."""
    (project / "agno-rt.toml").unlink()
    done = agno_rt("run", "librarian", "What is the codename of the project?")

    assert done.returncode == 0, done.stderr
    assert "Falcon" in done.stdout
    assert "falcon.md" in done.stdout


def test_chat_keeps_its_session_over_a_restart(agno_rt: Command) -> None:
    """A chat is still there after a restart of the program."""
    first = agno_rt("chat", "assistant", input="My name is Ann.\n")
    second = agno_rt("chat", "assistant", input="/history\n")

    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "My name is Ann." in second.stdout + second.stderr
