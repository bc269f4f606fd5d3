"""`agno-rt top` with the real processes that it asks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agno_rt._watch.socket import Report
from agno_rt.tasktree import TaskTree
from tests.cli.conftest import SECONDS

Agno = Callable[..., subprocess.CompletedProcess[str]]
Program = Callable[[str], subprocess.Popen[str]]

PATIENT = ("--patience", "50")
"""Options for a process that will answer, however slow the machine is."""

PROGRAM = """
import sys
import trio
from trio.testing import wait_all_tasks_blocked
from agno_rt import Agent, Limits, ModelResponse, Runtime, ToolCall, tool


class Hanging:
    name = "hanging"

    async def respond(self, request, emit=None):
        if request.messages[-1].content == "block":
            print("blocked", flush=True)
            sys.stdin.readline()
        await trio.sleep_forever()


class Calling:
    name = "calling"

    async def respond(self, request, emit=None):
        return ModelResponse("", (ToolCall("1", "delegate"), ToolCall("2", "delegate")))


leaf = Agent(Hanging(), "leaf")


async def settled():
    await wait_all_tasks_blocked()
    print("ready", flush=True)
    await trio.to_thread.run_sync(sys.stdin.readline)


async def main():
    BODY


trio.run(main)
"""

NESTED = '''
    async with Runtime(observers=["inspect"], limits=Limits(runs=3, tool_timeout=600)) as rt:
        @tool
        async def delegate():
            """Ask another agent."""
            return (await rt.run(leaf, "x")).content

        await rt.start(Agent(Calling(), "chief", tools=[delegate]), "x", user="ann")
        await rt.start(leaf, "x", session="s")
        await wait_all_tasks_blocked()
        await rt.start(leaf, "y", session="s")
        await wait_all_tasks_blocked()
        await rt.start(leaf, "z")
        await settled()
        rt._nursery.cancel_scope.cancel()
'''

PLAIN = """
    async with Runtime(observers=["inspect"]) as rt:
        await rt.start(leaf, "x")
        await settled()
        rt._nursery.cancel_scope.cancel()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a folder with a short path, because the path of a socket has a length limit."""
    with tempfile.TemporaryDirectory(prefix="top") as name:
        yield Path(name)


@pytest.fixture
def environment(environment: dict[str, str], place: Path) -> dict[str, str]:
    """Return variables that hide all processes but those of the test."""
    return environment | {"XDG_RUNTIME_DIR": str(place), "TMPDIR": str(place)}


@pytest.fixture
def program(tmp_path: Path, environment: dict[str, str]) -> Iterator[Program]:
    """Start a program with this body for its main function, and wait until it prints a line."""
    running: list[subprocess.Popen[str]] = []

    def start(body: str) -> subprocess.Popen[str]:
        file = tmp_path / f"program{len(running)}.py"
        file.write_text(PROGRAM.replace("    BODY", body))
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, str(file)], stdin=pipe, stdout=pipe, stderr=pipe, env=environment, text=True
        )
        running.append(process)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise AssertionError(process.communicate(timeout=SECONDS)[1])
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=SECONDS)


def ended(process: subprocess.Popen[str]) -> None:
    """Let the program end by itself."""
    _, said = process.communicate("\n", timeout=SECONDS)
    assert process.returncode == 0, said


def reports(done: subprocess.CompletedProcess[str]) -> list[Report]:
    """Read the reports of `--json`."""
    assert (done.returncode, done.stderr) == (0, "")
    return [msgspec.json.decode(line, type=Report) for line in done.stdout.splitlines()]


def test_nobody_to_ask(agno: Agno) -> None:
    """Without a process to ask, a person is told how to make one; a script gets nothing."""
    done = agno("top")

    assert (done.returncode, done.stdout) == (0, "")
    assert "`agno-rt serve` can" in done.stderr
    assert 'observers = ["inspect"]' in done.stderr
    assert agno("top", "--json").stdout == ""


def test_a_tree(agno: Agno, program: Program) -> None:
    """The tree shows runs, parallel calls, nested runs, a queue and a session, with the object of each wait."""
    process = program(NESTED)
    done = agno("top", *PATIENT)
    (report,) = reports(agno("top", str(process.pid), "--json", *PATIENT))

    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"process {process.pid} (program0.py)"
    assert lines[1].startswith("limits: runs 3/3, 1 waiting, model_calls 3/1000")
    assert re.sub(r"[0-9a-f]{24}", "ID", "\n".join(lines)).count("asking hanging at Hanging.respond (program0.py:") == 3
    assert report.pid == process.pid
    assert report.tasks is not None
    by_agent = {run.agent: run for run in report.tasks.runs if run.agent == "chief"}
    assert [[leaf.agent for leaf in call.runs] for call in by_agent["chief"].calls] == [["leaf"], ["leaf"]]
    assert by_agent["chief"].user == "ann"
    assert all(call.deadlines[0].limit == "tool_timeout" for call in by_agent["chief"].calls)
    doing = {run.doing: run for run in report.tasks.runs}
    assert doing.keys() == {
        "calling delegate (0 of 2 done)",
        "asking hanging",
        "waiting for session 's'",
        "queued for a place (runs)",
    }
    assert doing["waiting for session 's'"].held_by == (doing["asking hanging"].id,)
    ended(process)
    assert "No process" in agno("top").stderr


def test_several(agno: Agno, program: Program) -> None:
    """Each runtime of each process is shown; a PID chooses one."""
    first, second = program(PLAIN), program(PLAIN)
    both = program("""
    async with Runtime(observers=["inspect"]), Runtime(observers=["inspect"]):
        await settled()
""")

    assert [report.pid for report in reports(agno("top", "--json"))] == sorted(
        [first.pid, second.pid, both.pid, both.pid]
    )
    assert [report.pid for report in reports(agno("top", "--json", str(second.pid)))] == [second.pid]
    idle = f"process {both.pid} (program2.py)\nnothing under way\n"
    assert agno("top", str(both.pid), *PATIENT).stdout == f"{idle}\n{idle}"


def test_a_process_that_cannot_be_asked(agno: Agno, program: Program) -> None:
    """A process without a socket is an error that names the others and a remedy."""
    process = program(PLAIN)
    done = agno("top", "1")

    assert done.returncode == 2
    assert "unknown process '1'" in done.stderr
    assert f"These can be asked: {process.pid}." in done.stderr
    assert 'observers = ["inspect"]' in done.stderr


def test_a_dead_process(agno: Agno, program: Program, place: Path) -> None:
    """The socket of a killed process is skipped, and removed."""
    process, other = program(PLAIN), program(PLAIN)
    process.kill()
    process.wait(SECONDS)
    assert len(list(place.glob("agno-rt/*.sock"))) == 2

    assert [report.pid for report in reports(agno("top", "--json"))] == [other.pid]
    assert [path.name for path in place.glob("agno-rt/*")] == [f"{other.pid}.0.sock"]


def test_a_forked_child(agno: Agno, program: Program) -> None:
    """A child that unwinds its inherited stack leaves the parent's socket alone."""
    process = program("""
    import os
    from agno_rt.defaults.inspect import inspect

    async with Runtime() as rt:
        inspector = inspect(rt)
        child = os.fork()
        if not child:
            inspector.close()
            os._exit(0)
        os.waitpid(child, 0)
        await settled()
        inspector.close()
""")

    assert [report.pid for report in reports(agno("top", "--json"))] == [process.pid]
    ended(process)
    assert agno("top", "--json").stdout == ""


def test_a_process_that_is_stopped(agno: Agno, program: Program, place: Path) -> None:
    """A stopped process differs from a dead one: its socket stays."""
    process = program(PLAIN)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        (report,) = reports(agno("top", "--json", "--patience", "0.1"))
    finally:
        os.kill(process.pid, signal.SIGCONT)

    assert "may be stopped" in report.error
    (report,) = reports(agno("top", "--json", *PATIENT))
    assert report.tasks is not None


def test_a_blocked_event_loop(agno: Agno, program: Program) -> None:
    """A blocked loop is reported with its place and the run that blocks; afterwards the process answers again."""
    process = program("""
    async with Runtime(observers=["inspect"]) as rt:
        await rt.start(Agent(Hanging(), "culprit"), "block")
        await trio.sleep(0)
        await settled()
        rt._nursery.cancel_scope.cancel()
""")
    done = agno("top", "--patience", "0.2")
    (report,) = reports(agno("top", "--patience", "0.2", "--json"))

    assert done.returncode == 0
    assert re.search(r"the event loop has not answered for \d", done.stdout)
    assert "sys.stdin.readline()" in done.stdout
    assert report.tasks is None
    assert report.blocked is not None
    assert report.blocked.seconds >= 0.2
    assert report.blocked.stack[-1].startswith("respond (")
    assert [(run.agent, run.doing) for run in report.blocked.runs] == [("culprit", "asking hanging")]
    assert "/trio/" not in "".join(report.blocked.stack)

    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    (report,) = reports(agno("top", "--json", *PATIENT))
    assert report.tasks is not None
    ended(process)


@pytest.mark.parametrize("setting", ["true", "false"])
def test_a_server(agno: Agno, started: Callable[..., subprocess.Popen[str]], project: Path, setting: str) -> None:
    """`agno-rt serve` can be asked without configuration, unless its setting forbids."""
    with (project / "agno-rt.toml").open("a") as file:
        file.write(f"[plugins.serve]\ninspect = {setting}\n")
    server = started("serve", "--port", "0")
    assert server.stdout is not None
    assert server.stdout.readline().startswith("Serving ")
    done = agno("top")
    server.send_signal(signal.SIGTERM)

    assert server.wait(SECONDS) == 0
    assert (f"process {server.pid} (agno-rt serve --port 0" in done.stdout) == (setting == "true")


def test_a_server_that_cannot_be_asked(
    started: Callable[..., subprocess.Popen[str]], project: Path, place: Path
) -> None:
    """A server that cannot make its socket prints a warning, and serves."""
    (place / "agno-rt").mkdir(mode=0o755)
    server = started("serve", "--port", "0")
    assert server.stdout is not None
    assert server.stdout.readline().startswith("Serving ")
    server.send_signal(signal.SIGTERM)
    _, said = server.communicate(timeout=SECONDS)

    assert server.returncode == 0
    assert "warning: `agno-rt top` cannot ask this server: " in said


def test_watching(started: Callable[..., subprocess.Popen[str]], program: Program) -> None:
    """Without a terminal `--watch` prints once each interval until Ctrl-C, with exit code 0."""
    process = program(PLAIN)
    top = started("top", "--json", "--watch", "0.1")
    assert top.stdout is not None
    seen = [msgspec.json.decode(top.stdout.readline(), type=Report) for _ in range(3)]
    top.send_signal(signal.SIGINT)

    assert {report.pid for report in seen} == {process.pid}
    assert top.wait(SECONDS) == 0


def test_watching_in_a_terminal(terminal: Callable[..., object], program: Program) -> None:
    """A terminal shows the latest report, each line cut at the edge."""
    process = program(PLAIN)
    with terminal("top", "--watch", "0.1") as person:  # type: ignore[attr-defined]
        person.expect(f"process {process.pid}")
        person.expect("asking hanging")
        person.expect(f"process {process.pid}")
        assert person.leave("\x03") == 0


def test_a_folder_that_is_not_the_users_alone(agno: Agno, program: Program, place: Path) -> None:
    """In a folder that others can reach no socket is made: the runtime does not open, and names the remedy."""
    (place / "agno-rt").mkdir(mode=0o755)
    with pytest.raises(AssertionError, match="is not a folder that belongs to this user alone") as caught:
        program(PLAIN)

    assert "chmod 700" in str(caught.value)
    assert list((place / "agno-rt").iterdir()) == []
    assert agno("top").returncode == 0


def test_who_may_ask(program: Program, place: Path) -> None:
    """Only the user can reach the folder and the socket."""
    program(PLAIN)
    (path,) = place.glob("agno-rt/*")

    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_tree_is_read() -> None:
    """An empty tree survives the wire."""
    report = Report(1, "p", tasks=TaskTree())

    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
