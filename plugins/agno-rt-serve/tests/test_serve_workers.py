"""`agno-rt serve --workers` as real processes: a common port, a killed worker, the end of all, a failed start."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest
from agno_rt_serve.process.worker import LINGER

PATIENCE = 60.0

AGENTS = """
import os
import time
from pathlib import Path
import trio
from agno_rt import Agent, ModelResponse

class Model:
    name = "test"

    def __init__(self, seconds, wait=trio.sleep):
        self.seconds = seconds
        self.wait = wait

    async def respond(self, request, emit=None):
        os.write(1, b"asked %d\\n" % os.getpid())
        await self.wait(self.seconds)
        return ModelResponse(f"{os.getpid()} {len(request.messages)}")

async def block(seconds):
    time.sleep(seconds)

async def wait_for_gate(seconds):
    while not Path("gate").exists():
        await trio.sleep(seconds)

quick = Agent(Model(0), "quick")
brief = Agent(Model(0.005), "brief")
slow = Agent(Model(1), "slow")
gated = Agent(Model(0.02, wait_for_gate), "gated")
endless = Agent(Model(3600), "endless")
blocking = Agent(Model(100, block), "blocking")
"""


ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the terminal of the process, and runs the command."""


WAIT_TO_LOAD = """
while not Path("go").exists() and not Path(f"go-{os.getpid()}").exists():
    time.sleep(0.01)
"""


def workers_of(pid: int) -> set[int]:
    """Return the process ids of the workers that a server has started, and that live."""
    found: set[int] = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            with suppress(OSError):
                if b"--worker\0" in Path(f"/proc/{child}/cmdline").read_bytes():  # nothing is in a zombie's
                    found.add(int(child))
    return found


class Lines:
    """The lines of a stream as they come, read by a separate thread."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[str] = []
        self._ended = False
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(stream,))
        self._thread.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._more:
                    self.lines.append(line)
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def find(self, pattern: str, count: int = 1) -> list[str]:
        """Wait for so many lines with the pattern. Return its group in each."""
        with self._more:
            self._more.wait_for(lambda: self._ended or len(self._found(pattern)) >= count, PATIENCE)
            found = self._found(pattern)
        assert len(found) >= count, (pattern, self.lines)
        return found

    def _found(self, pattern: str) -> list[str]:
        return re.findall(pattern, "".join(self.lines), re.MULTILINE)

    def rest(self) -> str:
        """Return everything, once the stream has ended."""
        self._thread.join(PATIENCE)
        return "".join(self.lines)


class Process:
    """A server of two workers on a free port."""

    def __init__(self, folder: Path, *arguments: str, terminal: bool = False) -> None:
        command = [sys.executable, "-m", "agno_rt.cli", "serve", "--port", "0", "--workers", "2", *arguments]
        pipe = subprocess.PIPE
        self._terminal = -1
        self._gate = folder / "gate"
        if terminal:
            self._terminal, slave = os.openpty()
            command = [sys.executable, "-c", ON_TERMINAL, *command]
        else:
            slave = os.open(os.devnull, os.O_RDONLY)
        # In a session of its own, so that the terminal of the tests is not the server's.
        self.popen = subprocess.Popen(
            command, cwd=folder, stdin=slave, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        os.close(slave)
        assert self.popen.stdout is not None
        assert self.popen.stderr is not None
        self.out, self.err = Lines(self.popen.stdout), Lines(self.popen.stderr)
        self.url = ""
        self.patience = PATIENCE

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self._terminal)
        self._terminal = -1

    def open_gate(self) -> None:
        """Let the runs of the agent `gated` end."""
        self._gate.touch()

    def greet(self) -> None:
        """Wait until the server has announced its address."""
        self.url = self.out.find(r"^Serving .* at (http://\S+:\d+) with 2 workers \(Ctrl-C stops\)$")[0]
        self.out.find("^(Try: ).*\n")

    def pids(self) -> set[int]:
        """Return the process ids of its workers: ask over new connections until two have answered."""
        found: set[int] = set()
        deadline = time.monotonic() + PATIENCE
        while len(found) < 2:
            assert time.monotonic() < deadline, found
            found.add(int(self.ask("quick").split()[0]))
        return found

    def ask(self, agent: str, **more: str) -> str:
        """Return the answer to one run, or the status of an error."""
        body = json.dumps({"input": "x", **more}).encode()
        request = urllib.request.Request(f"{self.url}/agents/{agent}/runs", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.patience) as answer:
                return str(json.load(answer)["content"])
        except urllib.error.HTTPError as error:
            with error:
                return str(error.code)

    def answers_within(self, seconds: float) -> bool:
        """Return whether any worker accepts a connection and answers it in time."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=seconds):
                return True
        except OSError:
            return False

    def ask_each(self, agent: str) -> dict[int, Callable[[], Any]]:
        """Start a run on each worker. Return, by process id, a function that waits for the answer."""
        runs: dict[int, Callable[[], Any]] = {}
        while len(runs) < 2:
            number = len(self.out.find(r"^asked (\d+)$", 0)) + 1
            result = in_background(lambda: self.ask(agent))
            runs[int(self.out.find(r"^asked (\d+)$", number)[-1])] = result
        return runs

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end. Return the exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(PATIENCE)


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server, `start("--grace", "5", runtime='memory = "..."')`; the fixture kills a server that outlives the
    test.
    """
    started: list[Process] = []
    (tmp_path / "agents.py").write_text(AGENTS)

    def begin(*arguments: str, runtime: str = 'memory = "sqlite:///sessions.db"', terminal: bool = False) -> Process:
        (tmp_path / "agno-rt.toml").write_text(f'[runtime]\nload = ["agents.py"]\n{runtime}\n')
        started.append(Process(tmp_path, *arguments, terminal=terminal))
        started[-1].greet()
        return started[-1]

    yield begin
    for process in started:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.wait()
        if process._terminal >= 0:
            process.hang_up()
        process.out.rest()
        process.err.rest()


def in_background(function: Callable[[], Any]) -> Callable[[], Any]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function())
        except OSError as exc:
            results.append(exc)

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        thread.join(PATIENCE)
        return results[0]

    return result


def fails(*arguments: str, cwd: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "agno_rt.cli", "serve", "--workers", "2", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


def gone(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        with socket.create_connection((host, int(port)), PATIENCE):
            return False
    except OSError:
        return True


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a worker, so that the other one accepts all connections."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestServing:
    def test_all_serve_on_one_port(self, start: Start) -> None:
        """Each worker is a separate process, all have the port, and one line says so."""
        process = start()
        pids = process.pids()

        assert len(pids) == 2
        assert process.popen.pid not in pids
        assert (process.end(), process.err.rest()) == (0, "")
        assert process.out.rest().count("Serving") == process.out.rest().count("Try: ") == 1

    def test_a_session_is_known_to_all(self, start: Start) -> None:
        """A session in a database goes on, whichever worker answers."""
        process = start()
        pids: set[str] = set()
        turns = 0
        while len(pids) < 2:
            pid, messages = process.ask("quick", session="s").split()
            pids.add(pid)
            turns += 1

            # The model sees the last hundred messages and the input; the system chooses the worker for a connection.
            assert int(messages) == min(2 * turns - 1, 101)
            assert turns < 2_000

    def test_memory_of_the_command_line(self, start: Start, tmp_path: Path) -> None:
        """`--memory` takes the place of the project's memory in each worker, also in one that is started later."""
        process = start("--memory", "sqlite:///other.db")
        for pid in process.pids():
            os.kill(pid, signal.SIGKILL)
        for _ in range(20):
            assert process.ask("quick", session="s").split()[0].isdigit()
        process.end()
        with closing(sqlite3.connect(tmp_path / "other.db")) as database:
            ((stored,),) = database.execute("SELECT count(*) FROM messages WHERE session = 's'").fetchall()

        assert (stored, (tmp_path / "sessions.db").exists()) == (40, False)

    def test_clients_of_one_session_follow_one_another(self, start: Start, tmp_path: Path) -> None:
        """Clients of one session are answered one after the other, each after all earlier messages, on any worker."""
        process = start()
        answers: list[list[str]] = []
        while len({pid for pid, *_ in answers}) < 2:  # the system chooses the worker for a connection
            clients = [in_background(lambda: [process.ask("brief", session="s") for _ in range(20)]) for _ in range(4)]
            answers += [answer.split() for client in clients for answer in client()]
            assert len(answers) < 2_000
        process.end()
        with closing(sqlite3.connect(tmp_path / "sessions.db")) as database:
            ((stored,),) = database.execute("SELECT count(*) FROM messages WHERE session = 's'").fetchall()

        assert [answer for answer in answers if len(answer) != 2] == []
        assert sorted(int(shown) for _, shown in answers)[:50] == list(range(1, 100, 2))
        assert stored == 2 * len(answers)

    def test_warns_of_memory_that_is_not_shared(self, start: Start) -> None:
        """With a memory that workers do not share, the server warns and names the remedy."""
        process = start(runtime="")

        assert process.err.find(r"^warning: .*(memory = \"sqlite:///\S+\")") == ['memory = "sqlite:///agents.db"']

    def test_logs_each_request_once(self, start: Start) -> None:
        """The access log has the requests of all workers."""
        process = start("--access-log")
        for _ in range(10):
            assert process.ask("quick")
        process.out.find(r"(/agents/quick/runs)", 10)
        assert process.end() == 0

        assert len(re.findall("/agents/quick/runs.*status", process.out.rest())) == 10

    def test_top_shows_each(self, start: Start) -> None:
        """`agno-rt top` asks each worker for its runs."""
        process = start("--grace", "0")
        runs = process.ask_each("endless")

        def ask_top(pid: int) -> tuple[str, str]:
            # With patience, or a machine that stalls for a moment counts as a blocked event loop.
            command = [sys.executable, "-m", "agno_rt.cli", "top", str(pid), "--json", "--patience", "30"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
            return done.stdout, done.stderr

        for pid in runs:
            [report] = map(json.loads, ask_top(pid)[0].splitlines())
            assert (report["pid"], report["tasks"]["runs"][0]["agent"]) == (pid, "endless")
        shown, said = ask_top(process.popen.pid)
        assert (shown, str(process.popen.pid) in said) == ("", True)


class TestDying:
    def test_one_that_is_killed_is_started_again(self, start: Start) -> None:
        """A killed worker loses only its own run and connection; a new worker takes the place."""
        process = start()
        runs = process.ask_each("gated")
        killed, other = runs
        os.kill(killed, signal.SIGKILL)

        assert isinstance(runs[killed](), OSError)
        process.open_gate()
        assert runs[other]() == f"{other} 1"
        said = process.err.find(rf"^warning: (worker \d \(process {killed}\) was killed by signal 9; .*)$")
        assert said[0].endswith("it is started again at once")
        assert killed not in process.pids()
        assert process.end() == 0

    def test_requests_in_between_are_answered(self, start: Start) -> None:
        """While a worker is gone, the other one accepts all connections."""
        process = start()
        killed = process.pids().pop()
        os.kill(killed, signal.SIGKILL)
        process.err.find(rf"(process {killed})")
        answers = [process.ask("quick") for _ in range(50)]

        assert all(answer.endswith(" 1") for answer in answers)

    def test_one_that_is_told_to_stop_answers_first(self, start: Start) -> None:
        """SIGTERM to a worker replaces the worker without a loss, after the end of all its runs."""
        process = start("--grace", "60")
        runs = process.ask_each("gated")
        told, other = runs
        os.kill(told, signal.SIGTERM)
        # While the other worker is stopped, only a worker that has not heeded the signal yet answers.
        with stopped(other):
            wait_until(lambda: not process.answers_within(0.5))
        process.open_gate()

        assert runs[told]() == f"{told} 1"
        assert runs[other]() == f"{other} 1"
        process.err.find(rf"(process {told}\) ended with exit code 0)")
        assert process.end() == 0

    def test_none_that_starts_is_the_end(self, start: Start, tmp_path: Path) -> None:
        """If no worker serves and none starts any more, the parent says so and ends."""
        process = start()
        pids = process.pids()
        (tmp_path / "agents.py").write_text("import no_such_module\n")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

        # After four or five attempts of each worker, with pauses in between.
        assert process.popen.wait(4 * PATIENCE) == 1
        said = process.err.rest()
        assert "no_such_module" in said
        assert "no other worker serves" in said
        assert "Traceback" not in said
        assert gone(process.url)

    def test_none_outlives_the_parent(self, start: Start) -> None:
        """If the parent is killed, the workers end their runs and exit."""
        process = start()
        result = in_background(lambda: process.ask("slow"))
        process.out.find(r"^asked (\d+)$")
        process.popen.kill()

        assert result().endswith(" 1")
        wait_until(lambda: gone(process.url))


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_running_requests_end_first(self, start: Start, number: signal.Signals) -> None:
        """Workers told to stop answer their runs; one line says so, and the exit code is 0."""
        process = start("--grace", "60")
        runs = process.ask_each("gated")
        process.popen.send_signal(number)
        process.err.find("(second signal)")
        process.open_gate()

        assert process.popen.wait(PATIENCE) == 0
        assert [result() for result in runs.values()] == [f"{pid} 1" for pid in runs]
        assert process.err.rest() == "Stopping: waiting for running requests. A second signal stops at once.\n"

    def test_a_closed_terminal_never_insists(self, start: Start) -> None:
        """A terminal that closes stops the server, and may signal several times: runs still end first."""
        process = start("--grace", "60", terminal=True)
        runs = process.ask_each("gated")
        process.hang_up()
        process.err.find("(second signal)")
        for _ in range(3):
            process.popen.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        process.open_gate()

        assert [result() for result in runs.values()] == [f"{pid} 1" for pid in runs]
        assert process.popen.wait(PATIENCE) == 0

    def test_a_second_signal_stops_at_once(self, start: Start) -> None:
        """A second signal ends the grace period."""
        process = start("--grace", "3600")
        runs = process.ask_each("endless")
        process.popen.send_signal(signal.SIGINT)
        process.err.find("(second signal)")

        assert process.end(signal.SIGINT) == 0
        assert [result() == "503" or isinstance(result(), OSError) for result in runs.values()] == [True, True]

    def test_a_third_signal_kills(self, start: Start) -> None:
        """A third signal kills a worker with a blocked event loop, and says so."""
        process = start("--grace", "3600")
        result = in_background(lambda: process.ask("blocking"))
        process.out.find(r"^asked (\d+)$")
        while process.popen.poll() is None:
            process.popen.send_signal(signal.SIGTERM)
            time.sleep(0.1)

        assert process.popen.returncode == 1
        assert re.search(r"error: worker \d \(process \d+\) did not stop, and was killed", process.err.rest())
        assert isinstance(result(), OSError)

    def test_a_terminal_signals_once(self, start: Start) -> None:
        """Ctrl-C reaches only the parent's group, without the workers: runs still end first."""
        process = start()

        assert all(os.getpgid(pid) != os.getpgid(process.popen.pid) for pid in process.pids())


class Load:
    """Clients that ask over kept connections, one request after the other, and note each failure.

    A client that was held up for longer than a server lingers may find its connection closed, and asks again. The time
    counts from the beginning of the request before: its answer may have waited long for the client to read it.
    """

    def __init__(self, url: str, clients: int) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._place = url.removeprefix("http://")
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _ask(self) -> None:
        connection, before = http.client.HTTPConnection(self._place, timeout=PATIENCE), time.monotonic()
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                # http.client connects anew after an answer with Connection: close.
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/agents/brief/runs", b'{"input": "x"}', headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as exc:
                if time.monotonic() - before < LINGER:
                    self.failures.append(repr(exc))
                connection.close()
                continue
            finally:
                before = began
            if answer.status == 200:
                self.answers += 1
            else:
                self.failures.append(f"{answer.status} {body!r}")
        connection.close()


def test_rates_count_for_all_workers(start: Start) -> None:
    """Requests to any worker take from the same bucket, also after the workers were replaced."""
    rate = '[plugins.serve]\nrate_address = "100/day"'
    process = start(runtime=f'memory = "sqlite:///sessions.db"\n{rate}')
    answers = [process.ask("quick")]
    with stopped(int(answers[0].split()[0])):
        answers.append(process.ask("quick"))  # the other worker
    answers += [process.ask("quick") for _ in range(108)]

    assert answers[100:] == ["429"] * 10
    assert "429" not in answers[:100]
    assert len({each.split()[0] for each in answers[:2]}) == 2
    process.popen.send_signal(signal.SIGHUP)
    process.err.find("^(All workers are new)")
    assert process.ask("quick") == "429"
    assert process.end() == 0


class TestReplacing:
    def test_no_request_is_lost(self, start: Start, tmp_path: Path) -> None:
        """SIGHUP under load replaces every worker, with the code of the day; each request is answered."""
        process = start()
        before = process.pids()
        load = Load(process.url, 3)
        try:
            (tmp_path / "agents.py").write_text(AGENTS + 'new = Agent(Model(0), "new")\n')
            process.popen.send_signal(signal.SIGHUP)
            process.err.find("^(All workers are new)")
            asked = load.answers
            wait_until(lambda: load.answers > asked + 100)
        finally:
            load.stop()

        assert load.failures == []
        assert not process.pids() & before
        assert process.ask("new").endswith(" 1")
        wait_until(lambda: not any(map(is_alive, before)))
        assert process.end() == 0

    def test_the_old_workers_are_waited_for(self, start: Start) -> None:
        """The end of the change is told once no old worker accepts: a connection made later reaches new code."""
        process = start()
        before = process.pids()
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        process.popen.send_signal(signal.SIGHUP)
        assert not process.pids() & before
        time.sleep(0.5)
        assert "All workers are new" not in "".join(process.err.lines)
        for pid in before:
            os.kill(pid, signal.SIGCONT)
        process.err.find("^(All workers are new)")
        assert process.end() == 0

    def test_a_fault_in_the_new_code_keeps_the_old(self, start: Start, tmp_path: Path) -> None:
        """If a new worker cannot start, it says why, and the old workers go on."""
        process = start()
        before = process.pids()
        (tmp_path / "agents.py").write_text("def broken(:\n")
        process.popen.send_signal(signal.SIGHUP)
        process.err.find("(the old workers go on)")

        assert process.pids() == before
        assert "agents.py" in "".join(process.err.lines)
        assert process.end() == 0

    def test_a_successor_that_dies_is_replaced(self, start: Start) -> None:
        """A new worker that is killed is started again at once, although the old one still has runs to end."""
        process = start("--grace", "600")
        process.patience = 600
        before = process.ask_each("gated")
        process.popen.send_signal(signal.SIGHUP)
        process.err.find("^(All workers are new)")
        new = process.pids()
        os.kill(min(new), signal.SIGKILL)
        process.err.find("(was killed by signal 9; it is started again at once)")
        wait_until(lambda: int(process.ask("quick").split()[0]) not in new)
        assert all(map(is_alive, before))
        process.open_gate()

        assert {int(answer().split()[0]) for answer in before.values()} == before.keys()
        assert not new & before.keys()
        assert process.end() == 0

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
    def test_an_old_one_that_dies_meanwhile(self, start: Start, tmp_path: Path) -> None:
        """A worker killed during the replacement is started again, and its successor hands over once it can."""
        process = start()
        before = process.pids()
        (tmp_path / "agents.py").write_text(AGENTS + WAIT_TO_LOAD)
        process.popen.send_signal(signal.SIGHUP)
        wait_until(lambda: len(workers_of(process.popen.pid)) == 3)
        [new] = workers_of(process.popen.pid) - before
        number = min(before)  # the first worker is the first to be replaced
        os.kill(number, signal.SIGKILL)
        wait_until(lambda: bool(workers_of(process.popen.pid) - before - {new}))
        [again] = workers_of(process.popen.pid) - before - {new}
        with stopped(again):  # before it has read its orders
            (tmp_path / f"go-{new}").touch()
            wait_until(lambda: process.ask("quick").startswith(f"{new} "))
            time.sleep(0.5)
        (tmp_path / "go").touch()
        process.err.find("^(All workers are new)")

        assert not process.pids() & before
        wait_until(lambda: len(workers_of(process.popen.pid)) == 2)
        assert process.end() == 0


class TestFailing:
    def test_a_port_in_use(self, tmp_path: Path) -> None:
        """A port in use is one error, before any worker starts."""
        (tmp_path / "agents.py").write_text(AGENTS)
        with socket.create_server(("127.0.0.1", 0)) as other:
            code, said = fails("agents.py", "--port", str(other.getsockname()[1]), cwd=tmp_path)

        assert code == 2
        assert said.count("error:") == 1
        assert "is in use" in said

    def test_agents_that_cannot_be_loaded(self, tmp_path: Path) -> None:
        """A broken file of agents is one error that names the file."""
        (tmp_path / "agents.py").write_text("import no_such_module\n")
        code, said = fails("agents.py", "--port", "0", cwd=tmp_path)

        assert code == 2
        assert said.count("error:") == said.count("no_such_module") == 1

    def test_agents_that_cannot_run(self, tmp_path: Path) -> None:
        """An error that only a worker finds ends all workers, is said once, and sets the exit code."""
        (tmp_path / "agents.py").write_text('from agno_rt import Agent\na = Agent("nothing:at-all", "a")\n')
        code, said = fails("agents.py", "--port", "0", cwd=tmp_path)

        assert code == 2
        assert said.count("error:") == 1
        assert "'nothing'" in said

    def test_a_worker_that_is_killed_at_its_start(self, tmp_path: Path) -> None:
        """The parent reports a worker killed before it could say why."""
        killer = "import os, sys\nfrom agno_rt import Agent\n"
        killer += 'if "--worker" in sys.argv:\n    os.kill(os.getpid(), 9)\na = Agent("nothing:at-all", "a")\n'
        (tmp_path / "agents.py").write_text(killer)
        code, said = fails("agents.py", "--port", "0", cwd=tmp_path)

        assert code == 1
        assert re.search(r"error: worker 1 \(process \d+\) was killed by signal 9", said)

    def test_too_few(self, tmp_path: Path) -> None:
        """Less than one worker is refused, on the command line and in the file."""
        (tmp_path / "agents.py").write_text(AGENTS)
        (tmp_path / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\n[plugins.serve]\nworkers = 0\n')
        command = [sys.executable, "-m", "agno_rt.cli", "serve"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)

        assert done.returncode == 2
        assert "workers is 0" in done.stderr
        code, said = fails("--workers", "0", cwd=tmp_path)
        assert code == 2
        assert "--workers" in said

    def test_a_worker_without_a_parent(self, tmp_path: Path) -> None:
        """A worker started by hand ends with a hint."""
        (tmp_path / "agents.py").write_text(AGENTS)
        code, said = fails("agents.py", "--worker", "99", cwd=tmp_path)

        assert code == 2
        assert "--workers 2" in said
