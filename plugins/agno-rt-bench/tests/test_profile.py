"""`agno-rt profile`: real profilers around real commands, and their files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.cli.conftest import SECONDS, Terminal

Agno = Callable[..., subprocess.CompletedProcess[str]]

BUSY = '''
import sys
import time

import trio
from agno_rt import Agent, ModelResponse, Runtime, ToolCall, tool

kept = []


def spin(seconds):
    """Work for so long, in time of this thread alone."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@tool(inline=True)
def spin_in_the_loop() -> str:
    """Work in the event loop."""
    spin(0.2)
    return "ok"


@tool
def spin_in_a_thread() -> str:
    """Work in a thread."""
    spin(0.2)
    return "ok"


@tool
def hoard() -> str:
    """Keep memory."""
    kept.append([object() for _ in range(50_000)])
    return "ok"


class Calling:
    name = "calling"

    async def respond(self, request, emit=None):
        if request.messages[-1].role == "tool":
            return ModelResponse("Done.")
        calls = ("spin_in_the_loop", "spin_in_a_thread", "hoard")
        return ModelResponse("", tuple(ToolCall(name, name) for name in calls))


busy = Agent(Calling(), "busy", tools=[spin_in_the_loop, spin_in_a_thread, hoard])


async def main():
    async with Runtime() as rt:
        print((await rt.run(busy, "go")).content)


if __name__ == "__main__":
    trio.run(main)
    sys.exit(3)
'''

ENDLESS = """
import time

def spin_on(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        kept[:] = [object() for _ in range(50_000)]

kept = []
spin_on(0.5)
print("spinning", flush=True)
while True:
    time.sleep(1)
"""

KEEPING = """
def keep():
    kept.append(bytes(50_000))

def let_go():
    return len(bytes(50_000))

kept = []
keep()
let_go()
"""

TELLING = "import sys; print(__name__, sys.argv, sys.flags.optimize, sys.stdin.read()); print('e', file=sys.stderr)"


@pytest.fixture
def busy(project: Path) -> Path:
    """The project's folder, with programs to profile."""
    (project / "busy.py").write_text(BUSY)
    (project / "endless.py").write_text(ENDLESS)
    return project


def written(folder: Path) -> list[str]:
    """Return the profiles in the folder."""
    return sorted(path.name for path in folder.iterdir() if "profile" in path.name)


class TestCpu:
    def test_a_file(self, busy: Path, agno: Agno) -> None:
        """A flame graph has code from the event loop and from threads; output and exit code are the program's own."""
        done = agno("profile", "cpu", "--", "busy.py")

        assert (done.returncode, done.stdout) == (3, "Done.\n")
        [name] = written(busy)
        assert name.startswith("profile-cpu-")
        assert done.stderr.startswith(f"Wrote {name}: ")
        graph = (busy / name).read_text()
        assert graph.rstrip().endswith("</svg>")
        assert all(f"{function} (" in graph for function in ("main", "spin_in_the_loop", "spin_in_a_thread", "spin"))
        assert ">agno-rt profile cpu -- busy.py<" in graph

    def test_a_verb(self, busy: Path, agno: Agno) -> None:
        """A command of agno-rt is profiled as typed; its standard output has only the answer."""
        command = ("agno-rt", "run", "busy.py:busy", "go")
        done = agno("profile", "cpu", "--format", "raw", "--lines", "-o", "out.txt", "--", *command)

        assert (done.returncode, done.stdout) == (0, "Done.\n")
        stacks = [line.rpartition(" ")[0].split(";") for line in (busy / "out.txt").read_text().splitlines()]
        assert any(stack[-1].startswith("spin (busy.py:") for stack in stacks)

    def test_for_speedscope(self, busy: Path, agno: Agno) -> None:
        """The other format is JSON; an option of the command is not an option of the profile."""
        done = agno("profile", "cpu", "--format", "speedscope", "-o", "out.json", "run", "busy.py:busy", "go", "--json")

        assert (done.returncode, json.loads(done.stdout)["content"]) == (0, "Done.")
        names = {frame["name"] for frame in json.loads((busy / "out.json").read_text())["shared"]["frames"]}
        assert {"spin_in_the_loop", "spin_in_a_thread"} <= names

    def test_python(self, busy: Path, agno: Agno) -> None:
        """`python` is this Python, with its options; the program has its name, arguments and standard input."""
        code = f"import time; end = time.time() + 0.2\nwhile time.time() < end: pass\n{TELLING}"
        done = agno("profile", "cpu", "-o", "out.svg", "--", "python", "-O", "-c", code, "a", "-o", input="typed")

        assert (done.returncode, done.stdout) == (0, "__main__ ['-c', 'a', '-o'] 1 typed\n")
        assert done.stderr.startswith("e\nWrote out.svg: ")

    def test_a_module_with_its_error(self, busy: Path, agno: Agno) -> None:
        """A module in the current folder is found, its traceback is shown, and its failure is the exit code."""
        (busy / "failing.py").write_text("import busy\nbusy.spin(0.2)\nraise SystemExit('it failed')\n")
        done = agno("profile", "cpu", "-o", "out.svg", "--", "python", "-m", "failing")

        assert done.returncode == 1
        assert "it failed\nWrote out.svg" in done.stderr

    def test_a_command_that_is_killed(self, busy: Path, agno: Agno) -> None:
        """A killed command has no exit code; a note says so, and the profile is written."""
        (busy / "killed.py").write_text("import busy, os\nbusy.spin(0.3)\nos.kill(os.getpid(), 9)\n")
        done = agno("profile", "cpu", "-o", "out.svg", "killed.py")

        assert done.returncode == 1
        assert "was killed" in done.stderr
        assert "spin (" in (busy / "out.svg").read_text()


class TestMemory:
    def test_a_file(self, busy: Path, agno: Agno) -> None:
        """A page has the function with the objects at the peak; the exit code is the program's own."""
        done = agno("profile", "memory", "busy.py")

        assert (done.returncode, done.stdout) == (3, "Done.\n")
        [name] = written(busy)
        assert name.startswith("profile-memory-")
        assert done.stderr.startswith(f"Wrote {name}: ")
        page = (busy / name).read_text()
        assert '"hoard"' in page
        assert '<script src="http' not in page

    def test_a_verb(self, busy: Path, agno: Agno) -> None:
        """On request, memray's recording of a command is kept for memray's own reports."""
        done = agno("profile", "memory", "--format", "bin", "-o", "out.bin", "--", "run", "busy.py:busy", "go")

        assert (done.returncode, done.stdout) == (0, "Done.\n")
        report = [sys.executable, "-m", "memray", "stats", "-n", "500", "out.bin"]
        shown = subprocess.run(report, cwd=busy, capture_output=True, text=True, timeout=SECONDS, check=True)
        assert "busy.py:" in shown.stdout

    def test_a_command_that_is_killed(self, busy: Path, agno: Agno) -> None:
        """The recording up to a kill, perhaps for too much memory, is shown."""
        code = "import os\nkept = [bytes(50_000) for _ in range(100)]\nos.kill(os.getpid(), 9)\n"
        (busy / "killed.py").write_text(code)
        done = agno("profile", "memory", "-o", "out.html", "killed.py")

        assert done.returncode == 137
        assert "killed.py" in (busy / "out.html").read_text()

    def test_a_table_of_what_was_left(self, busy: Path, agno: Agno) -> None:
        """A table of memory at the end has kept objects, and no freed objects."""
        (busy / "keeping.py").write_text(KEEPING)
        done = agno("profile", "memory", "--format", "table", "--leaks", "-o", "out.html", "keeping.py")

        assert done.returncode == 0
        page = (busy / "out.html").read_text()
        assert "keep at keeping.py:3" in page
        assert "let_go at keeping.py:6" not in page


class TestStopping:
    @pytest.mark.parametrize("what", ["cpu", "memory"])
    def test_ctrl_c(self, busy: Path, terminal: Callable[..., AbstractContextManager[Terminal]], what: str) -> None:
        """Ctrl-C ends the command, as without the profiler; the file is written."""
        with terminal("profile", what, "-o", "out", "endless.py") as person:
            person.expect("spinning")
            person.interrupt("KeyboardInterrupt")
            person.expect("Wrote out")

            assert person.leave() == 130
        assert "spin_on" in (busy / "out").read_text()

    @pytest.mark.parametrize("what", ["cpu", "memory"])
    def test_a_time_limit(self, busy: Path, agno: Agno, what: str) -> None:
        """The time limit ends an endless command; the old file is replaced."""
        (busy / "out").write_text("old")
        done = agno("profile", what, "--seconds", "12", "-o", "out", "endless.py")

        assert (done.returncode, done.stdout) == (130, "spinning\n")
        assert "spin_on" in (busy / "out").read_text()


REFUSED = {
    "nothing": ((), "Missing argument", "agno-rt profile cpu --help"),
    "no file": (("nowhere.py",), "there is no file nowhere.py", "Name a Python file"),
    "no verb": (("rnu", "echo"), "unknown command 'rnu'", "Did you mean 'run'?"),
    "agno-rt alone": (("agno-rt",), "there is no command to profile", "Write one"),
    "python alone": (("python", "-O"), "python has no program", "-- python script.py"),
    "another python": (("elsewhere/python3", "x.py"), "not the Python that agno-rt runs in", "elsewhere/python3 -m"),
    "no folder": (("-o", "nowhere/out.svg", "busy.py"), "nowhere/out.svg cannot be written", "Name another"),
}


class TestRefusing:
    @pytest.mark.parametrize("case", REFUSED)
    def test_what_cannot_be(self, busy: Path, agno: Agno, case: str) -> None:
        """For an impossible command, nothing runs and no file is written; the error has a remedy."""
        words, message, hint = REFUSED[case]
        done = agno("profile", "cpu", *words)

        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert hint in done.stderr
        assert written(busy) == []

    @pytest.mark.parametrize(("what", "tool"), [("cpu", "py-spy"), ("memory", "memray")])
    def test_a_tool_that_is_missing(
        self, busy: Path, tmp_path: Path, environment: dict[str, str], what: str, tool: str
    ) -> None:
        """Without the profilers, the error names the package to install."""
        python = without_tools(tmp_path / "venv")
        done = subprocess.run(
            [python, "-m", "agno_rt.cli", "profile", what, "busy.py"],
            cwd=busy,
            env=environment | {"PATH": str(tmp_path / "nowhere")},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: {tool} is not installed\nhint: Install it: pip install agno-rt-bench\n"


def without_tools(folder: Path) -> Path:
    """Make a virtual environment like the current one, without the profilers; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], timeout=SECONDS, check=True)
    python = folder / "bin" / "python"
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(ask, capture_output=True, text=True, timeout=SECONDS, check=True).stdout.strip())
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("memray", "py_spy")) and not (site / path.name).exists():
            os.symlink(path, site / path.name)
    return python
