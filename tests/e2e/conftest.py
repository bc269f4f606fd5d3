"""Real processes for the whole path: the installed command, its server, and the embedded model's weights."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import attrs
import pytest

COMMAND = str(Path(sys.executable).with_name("agno-rt"))
START_SECONDS = 60
STOP_SECONDS = 30


@attrs.define
class Server:
    """A running server with address and printed lines."""

    process: subprocess.Popen[str]
    url: str
    lines: Queue[str]

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """Return the next printed line that contains the text. Raises `queue.Empty` after `seconds`."""
        while text not in (line := self.lines.get(timeout=seconds)):
            pass
        return line

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait, and return the exit code."""
        self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def serving(arguments: list[str], folder: Path, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """Run a serving command, wait for the address, and end the command afterwards."""
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: Queue[str] = Queue()
    reader = threading.Thread(target=_forward_lines, args=(process, lines))
    reader.start()
    try:
        server = Server(process, "", lines)
        line = server.wait_for("http://127.0.0.1:", START_SECONDS * 5)
        server.url = re.findall(r"http://127\.0\.0\.1:\d+", line)[0]
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(STOP_SECONDS)
        reader.join(STOP_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


def _forward_lines(process: subprocess.Popen[str], lines: Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)


@pytest.fixture(scope="session")
def curl_is_here() -> None:
    """Skip the test if curl is missing; in CI, fail."""
    if shutil.which("curl") is None:
        reason = "this test asks with curl: install it, as with apt-get install curl"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def weights() -> None:
    """Fetch the embedded model's weights, once, by the command for users."""
    subprocess.run([COMMAND, "llamacpp", "pull"], check=True, capture_output=True, timeout=600)


@pytest.fixture
def agno_rt(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command in an empty folder, with all data there."""
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"), "AGNO_RT_DEBUG": ""}

    def run(*arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=tmp_path,
            env=environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
