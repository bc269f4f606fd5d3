"""Unix sockets, and what workers tell each other through them."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from agno_rt_serve.http.listening import bind_unix, remove_unix
from agno_rt_serve.process.siblings import Siblings

from agno_rt.errors import UsageError

PATIENCE = 60.0

AGENTS = """
import os
from agno_rt import Agent, ModelResponse

class Model:
    name = "test"

    async def respond(self, request, emit=None):
        return ModelResponse(str(os.getpid()))

a = Agent(Model(), "a")
"""


class TestListening:
    def test_others_are_kept_out(self, tmp_path: Path) -> None:
        """The socket has its permissions from the first moment on."""
        path = tmp_path / "s"
        with bind_unix(str(path), 0o600):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        remove_unix(str(path))
        with bind_unix(str(path)):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660

    def test_a_stale_socket_is_replaced(self, tmp_path: Path) -> None:
        """A socket that a killed server left behind does not keep the next from starting."""
        path = str(tmp_path / "s")
        bind_unix(path).close()

        with bind_unix(path), socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    def test_a_socket_in_use_is_left_alone(self, tmp_path: Path) -> None:
        """A second server is refused, and neither replaces nor removes the socket of the first."""
        path = str(tmp_path / "s")
        with bind_unix(path):
            with pytest.raises(UsageError, match="another process listens there"):
                bind_unix(path)
            remove_unix(path)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)

    def test_a_file_is_left_alone(self, tmp_path: Path) -> None:
        """Nothing but a socket is ever replaced."""
        path = tmp_path / "s"
        path.write_text("precious")

        with pytest.raises(UsageError, match="not a socket"):
            bind_unix(str(path))
        remove_unix(str(path))
        assert path.read_text() == "precious"

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        """The fault and the way out are told."""
        with pytest.raises(UsageError, match="cannot listen on") as caught:
            bind_unix(str(tmp_path / "none" / "s"))
        assert "--unix" in caught.value.hint


ANSWERS = """
import sys
import trio
from agno_rt_serve.process.siblings import Siblings

print(trio.run(Siblings(sys.argv[1], 2).collect, {"headers": []}, "/numbers", b"+".join, b"3"))
"""


async def test_own_answers_of_a_worker_that_ended(tmp_path: Path) -> None:
    """The last answer of a worker counts after its end, though no other worker ever asked for it."""
    command = [sys.executable, "-c", ANSWERS, str(tmp_path)]
    assert (await trio.run_process(command, capture_stdout=True)).stdout == b"[]\n"
    siblings = Siblings(str(tmp_path), 1)
    with siblings.listener:
        answers = await siblings.collect({"headers": []}, "/numbers", b"+".join)

    assert answers == [b"3"]


def count_runs(text: str) -> float:
    return sum(map(float, re.findall(r"^agno_agent_run_duration_seconds_count\{.*\} (\S+)$", text, re.MULTILINE)))


def wait_for(condition: Callable[[], Any]) -> Any:
    found = condition()
    for _ in range(int(PATIENCE / 0.05)):
        if found:
            return found
        subprocess.run(["sleep", "0.05"], check=True)
        found = condition()
    raise AssertionError("waited in vain")


def test_one_page_of_metrics_for_all_workers(launch: Any, tmp_path: Path) -> None:
    """Over a Unix socket, any worker tells the counts of all: also of one that was killed, and of its successor."""
    path = tmp_path / "s"
    arguments = ("--workers", "2", "--unix", str(path))
    process = launch(AGENTS, *arguments, memory="sqlite:///agents.db", more='observers = ["prometheus"]')
    assert process.stdout.readline() == f"Serving a at unix:{path} with 2 workers (Ctrl-C stops)\n"
    assert f"curl --unix-socket {path} http://localhost/agents/a/runs" in process.stdout.readline()

    def get(place: str) -> str:
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), timeout=PATIENCE) as client:
            return client.get(f"http://localhost{place}").text

    def run() -> int:
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), timeout=PATIENCE) as client:
            return int(client.post("http://localhost/agents/a/runs", json={"input": "x"}).json()["content"])

    ran: list[int] = []
    wait_for(lambda: ran.append(run()) or len(set(ran)) == 2)  # type: ignore[func-returns-value]
    assert [count_runs(get("/metrics")) for _ in range(10)] == [len(ran)] * 10
    assert "agno_agent_runs_in_progress" in get("/metrics")

    os.kill(ran[0], signal.SIGKILL)
    assert process.stderr.readline().startswith("warning: worker ")
    wait_for(lambda: ran.append(run()) or len(set(ran)) == 3)  # type: ignore[func-returns-value]
    assert [count_runs(get("/metrics")) for _ in range(10)] == [len(ran)] * 10

    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert not path.exists()
