"""`agno-rt serve` and its output: a closed terminal, `nohup`, lines of threads and processes."""

from __future__ import annotations

import http.client
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from agno_rt_serve.process.line_writer import whole_lines

PATIENCE = 60.0

AGENTS = """
import os
import threading
import trio
from agno_rt import Agent, ModelResponse, tool

asked, release = os.environ.get("ASKED"), os.environ.get("RELEASE")

class Slow:
    name = "slow"

    async def respond(self, request, emit=None):
        open(asked, "w").close()
        while not os.path.exists(release):
            await trio.sleep(0.02)
        return ModelResponse("Done.")

class Talking:
    name = "talking"

    async def respond(self, request, emit=None):
        text = request.messages[-1].content
        await trio.to_thread.run_sync(print, text)
        print("!", text)
        return ModelResponse("ok")

slow = Agent(Slow(), "slow")
talking = Agent(Talking(), "talking")
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "agno_rt.cli", "serve", "agents.py", "--port", "0", "--access-log", *arguments]


def read_lines(number: int, lines: list[bytes]) -> None:
    """Read slowly, a little at a time, so that the pipe is often full."""
    rest = b""
    with suppress(OSError):  # how a terminal ends
        while data := os.read(number, 512):
            *whole, rest = (rest + data).split(b"\n")
            lines += whole
    lines += [rest] if rest else []


def read_url(number: int) -> str:
    """Read until the server has announced its address."""
    said = b""
    while re.search(rb"/runs -H.*\n", said) is None:
        more = os.read(number, 512)
        assert more, said
        said += more
    found = re.search(rb"http://\S+:\d+", said)
    assert found is not None, said
    return found[0].decode()


def refuses(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        with socket.create_connection((host, int(port)), PATIENCE):
            return False
    except OSError:
        return True


def ask(url: str, agent: str, text: str) -> tuple[int, str]:
    body = b'{"input": "%b"}' % text.encode()
    request = urllib.request.Request(f"{url}/agents/{agent}/runs", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.status, answer.read().decode()


def in_thread(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function(*arguments))
        except (OSError, http.client.HTTPException) as exc:
            results.append(exc)

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        thread.join(PATIENCE)
        return results[0]

    return result


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition in another process: `until(lambda: ...)`."""

    def wait(condition: Callable[[], bool]) -> None:
        waiting = threading.Event()
        for _ in range(int(PATIENCE / 0.02)):
            if condition():
                return
            waiting.wait(0.02)
        raise AssertionError("it did not come")

    return wait


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with agents; the slow one reports each run, and waits for its release, by files."""
    (tmp_path / "agents.py").write_text(AGENTS)
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setenv("RELEASE", str(tmp_path / "release"))
    return tmp_path


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """A list of processes, killed if they outlive the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
class TestTerminals:
    def test_closed_under_a_run(self, folder: Path, started: Any, until: Any, workers: str) -> None:
        """If the terminal is closed, the server ends its runs, though nobody reads its output."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *command("--workers", workers, "--grace", "60")],
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        started.append(process)
        os.close(theirs)
        url = read_url(ours)
        answer = in_thread(ask, url, "slow", "x")
        until((folder / "asked").exists)
        os.close(ours)  # now the system sends SIGHUP
        until(lambda: refuses(url))
        (folder / "release").touch()

        status, body = answer()
        assert (status, "Done." in body) == (200, True)
        assert process.wait(PATIENCE) == 0

    def test_nobody_reads(self, folder: Path, started: Any, until: Any, workers: str) -> None:
        """If its output is closed, the server goes on, and is stopped as ever."""
        ours, theirs = os.pipe()
        process = subprocess.Popen(command("--workers", workers), cwd=folder, stdout=theirs, stderr=theirs)
        started.append(process)
        os.close(theirs)
        url = read_url(ours)
        os.close(ours)
        answers = [ask(url, "talking", "x")[0] for _ in range(5)]
        process.terminate()

        assert answers == [200] * 5
        assert process.wait(PATIENCE) == 0

    def test_nohup(self, folder: Path, started: Any, until: Any, workers: str) -> None:
        """A SIGHUP that was set to be ignored stays ignored."""
        ours, theirs = os.pipe()
        process = subprocess.Popen(["nohup", *command("--workers", workers)], cwd=folder, stdout=theirs, stderr=theirs)
        started.append(process)
        os.close(theirs)
        url = read_url(ours)
        os.kill(process.pid, signal.SIGHUP)
        answers = [ask(url, "talking", "x")[0] for _ in range(5)]
        process.terminate()

        assert answers == [200] * 5
        assert process.wait(PATIENCE) == 0
        os.close(ours)


IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("unbuffered", ["1", ""])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_lines_are_whole(
    folder: Path, started: Any, until: Any, monkeypatch: pytest.MonkeyPatch, workers: str, unbuffered: str
) -> None:
    """Lines of any length from threads and processes with a common pipe do not meet."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    ours, theirs = os.pipe()
    process = subprocess.Popen(command("--workers", workers), cwd=folder, stdout=theirs, stderr=theirs)
    started.append(process)
    os.close(theirs)
    url = read_url(ours)
    lines: list[bytes] = []
    reader = threading.Thread(target=read_lines, args=(ours, lines))
    reader.start()
    texts = [
        letter * size for letter, size in zip("abcdefgh", (1, 10, 100, 1_000, 5_000, 20_000, 70_000, 100), strict=True)
    ]
    answers = [in_thread(lambda text=text: [ask(url, "talking", text)[0] for _ in range(15)]) for text in texts]
    assert [answer() for answer in answers] == [[200] * 15] * 8
    process.terminate()
    assert process.wait(PATIENCE) == 0
    reader.join(PATIENCE)

    said = [line.decode() for line in lines]
    assert sorted(line for line in said if len(set(line)) == 1) == sorted(texts * 15)
    assert sorted(line[2:] for line in said if line.startswith("! ")) == sorted(texts * 15)
    assert len([line for line in said if re.fullmatch(r".*\brequest\b.*method=POST.*status=200", line)]) == 120
    assert len([line for line in said if not line.startswith("Stopping: ")]) == 360


class TestWholeLines:
    def test_writes_a_line_at_once(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """A line goes out when it is complete or flushed; unfinished text goes out at the end."""
        pieces = (("one", False), (" two\nthree", False), ("", True), (" four\n", False), ("five", False))
        seen: list[str] = []
        with os.fdopen(os.dup(1), "w") as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            with whole_lines():
                for piece, flush in pieces:
                    print(piece, end="", flush=flush)
                    seen.append(capfd.readouterr().out)
            seen.append(capfd.readouterr().out)

        assert seen == ["", "one two\n", "three", " four\n", "", "five"]

    def test_leaves_alone_what_is_not_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Replacements of standard output that are not files stay in place."""
        before = sys.stdout
        with whole_lines():
            assert sys.stdout is before
            print("heard")
        assert capsys.readouterr().out == "heard\n"
