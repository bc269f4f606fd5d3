"""`agno-rt` with closed or full standard streams, or without a reader; and the log observer on such streams."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SECONDS, command_line

Agno = Callable[..., subprocess.CompletedProcess[str]]
Shell = Callable[[str], subprocess.CompletedProcess[str]]

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@pytest.fixture
def shell(project: Path, environment: dict[str, str]) -> Shell:
    """Run a line of shell, in which AGNO is the command."""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        script = line.replace("AGNO", shlex.join(command_line()))
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", ["run echo Hello!", "run echo Hello! --json", "run caller hi", "plugins", "top"])
def test_without_some_of_the_streams(shell: Shell, arguments: str, closed: str) -> None:
    """A closed stream loses its output; everything else works as ever."""
    done = shell(f"AGNO {arguments} {closed}")

    assert "Traceback" not in done.stderr
    assert done.returncode == 0
    if arguments == "run echo Hello!":
        assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "1: Hello!\n")


def test_without_an_input(shell: Shell) -> None:
    """A closed standard input is an empty input."""
    done = shell("AGNO run echo <&-")

    assert done.returncode == 2
    assert done.stderr.startswith("error: the input is empty")


def test_an_error_that_nobody_can_be_told(shell: Shell) -> None:
    """With standard error closed, the exit code reports the error."""
    assert shell("AGNO run nobody Hello! 2>&-").returncode == 2


def test_what_is_opened_next_is_not_taken_for_a_stream(shell: Shell, project: Path) -> None:
    """Closed streams leave their numbers free: a database must not get one, since all output would go into the file."""
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\nmemory = "sqlite:///kept.db"\n')
    shell("AGNO run echo --session s Hello! <&- >&- 2>&-")

    done = shell("AGNO run echo --session s Again!")

    assert (done.stdout, done.returncode) == ("2: Again!\n", 0)


@pytest.mark.parametrize("arguments", ["run flood x", "run echo Hello!", "plugins"])
def test_a_reader_that_has_gone(shell: Shell, arguments: str) -> None:
    """A closed pipe ends the command quietly."""
    done = shell(f"AGNO {arguments} | true")

    assert done.stderr == ""


@FULL
@pytest.mark.parametrize("arguments", ["run echo Hello!", "run echo Hello! --json", "plugins", "--help", "--version"])
def test_a_disk_that_is_full(shell: Shell, arguments: str) -> None:
    """An answer that cannot be written is an error of one line."""
    done = shell(f"AGNO {arguments} > /dev/full")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr in ("", "error: the output cannot be written: No space left on device\n")


class TestLog:
    """`observers = ["log"]`."""

    @pytest.fixture
    def logging(self, project: Path) -> None:
        """Let the project's runtime log."""
        (project / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\nobservers = ["log"]\n')

    @pytest.mark.usefixtures("logging")
    def test_leaves_standard_output_to_the_answer(self, agno: Agno) -> None:
        """Log lines go to standard error."""
        done = agno("run", "echo", "Hello!")
        assert done.stdout == "1: Hello!\n"
        assert "run completed" in done.stderr
        assert "agent=echo" in done.stderr

        done = agno("run", "echo", "Hello!", "--json")
        assert json.loads(done.stdout)["content"] == "1: Hello!"
        assert "run completed" in done.stderr

    @pytest.mark.usefixtures("logging")
    @pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-"])
    def test_where_nothing_can_be_logged(self, shell: Shell, closed: str) -> None:
        """The run goes on without a place for log lines."""
        assert shell(f"AGNO run echo Hello! {closed}").returncode == 0

    @pytest.mark.parametrize("how", ["sys.stderr = None", "sys.stderr.close()", "os.close(2)", "pass"])
    def test_in_a_program(self, how: str) -> None:
        """No program, with standard error or without, gets an error from its observer."""
        program = f"""
import os, sys
from agno_rt import Agent, run
from agno_rt.testing import ScriptedModel
{how}
print(run(Agent(ScriptedModel(["Hello."])), "Hi.", observers=["log"]).content)
"""
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=False
        )

        assert (done.stdout, done.returncode) == ("Hello.\n", 0)
        assert "Traceback" not in done.stderr
        assert ("run completed" in done.stderr) == (how == "pass")

    def test_an_application_that_has_configured_it(self) -> None:
        """The application's configuration directs log lines, even if made after the runtime was opened."""
        program = """
import structlog, sys, trio
from agno_rt import Agent, Runtime
from agno_rt.testing import ScriptedModel

async def main():
    async with Runtime(observers=["log"]) as rt:
        structlog.configure(processors=[structlog.processors.JSONRenderer()])
        await rt.run(Agent(ScriptedModel(["Hello."])), "Hi.")

trio.run(main)
"""
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=False
        )

        assert json.loads(done.stdout)["event"] == "run completed"
        assert done.stderr == ""
