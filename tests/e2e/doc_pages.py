"""A reader of documentation pages: writes their files, types their commands, and compares the output.

Three forms count on a page. A line that ends with a file's name in backticks and a colon, followed by a code block, is
a file to write. A block of `console` has commands after `$ ` and their output: each line must come, in this order, and
`...` stands for anything. A block of `console model` shows the words of a language model, which are not compared; calls
of tools are. In commands, `ID` stands for the longest identifier printed last, and `RUN` for its first part.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue

import attrs

from tests.free_ports import find_free_port

BLOCK = re.compile(r"^```([\w-]+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`(\w[\w/-]*\.\w+|Dockerfile|Caddyfile)`[^`]*:$")  # below the reader's folder, never elsewhere
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
IDENTIFIER = re.compile(r"\b[0-9a-f]{20,40}\b(?:\.[0-9a-f]{8}\b)?")
# Commands for the setup of a machine are skipped here: tests/e2e/test_fresh_clone.py tries them.
SETUP = (
    "pip ",
    "python -m venv",
    "git clone",
    "cd agno",
    "make ",
    "source ",
    "sudo ",
    "docker ",
    "ollama ",
    "vllm ",
    ". ",
)
END = "--- that was the command"
SECONDS = 120.0


@attrs.frozen
class File:
    """A file for the reader of a page to write."""

    name: str
    text: str


@attrs.frozen
class Command:
    """A command with expected lines."""

    text: str
    printed: list[str]
    compared: bool


def read_page(path: Path) -> list[File | Command]:
    """Return the steps of the page, in order."""
    text = path.read_text(encoding="utf-8")
    steps: list[File | Command] = []
    for block in BLOCK.finditer(text):
        language, info, code = block[1], block[2], block[3]
        before = text[: block.start()].rstrip().rsplit("\n", 1)[-1]
        if language == "console":
            steps += read_commands(code, compared="model" not in info)
        elif named := FILE.search(before):
            steps.append(File(named[1], code))
    return steps


def read_commands(code: str, compared: bool) -> Iterator[Command]:
    """Yield the commands of a console block."""
    found = list(COMMAND.finditer(code))
    for command, following in zip(found, [*found[1:], None], strict=True):
        printed = code[command.end() : following.start() if following else len(code)].strip("\n").split("\n")
        yield Command(command[1], [line for line in printed if line], compared)


def check_printed(command: Command, output: str) -> None:
    """Check that each line of the page is in the output, in order."""
    rest = output
    for line in command.printed:
        if line == "..." or not (command.compared or line.startswith(("→", "←"))):
            continue
        pattern = r"\s+".join(".*?".join(map(re.escape, word.split("..."))) for word in line.split())
        match = re.search(pattern, rest, re.DOTALL if line.startswith("...") else re.NOFLAG)
        assert match, f"`{command.text}` does not print {line!r} where the page says so, but:\n{output}"
        rest = rest[match.end() :]


def install_here(folder: Path) -> None:
    """Install the package of a folder as `pip install -e .` does, into the folder itself."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    described = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(described, encoding="utf-8")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {to}\n" for name, to in points.items()) for group, points in groups]
    (metadata / "entry_points.txt").write_text("".join(lines), encoding="utf-8")


@attrs.define
class Shell:
    """A shell in a folder, with variables and jobs that last from one command to the next."""

    process: subprocess.Popen[str]
    lines: Queue[str | None]
    last_id: str = ""

    def run(self, command: Command) -> str:
        """Type a command, wait for its end, or for a server's start, and return the output."""
        text = re.sub(r"\bID\b", self.last_id, command.text)
        text = re.sub(r"\bRUN\b", self.last_id.partition(".")[0], text)
        server = text.rstrip().endswith("&")
        assert self.process.stdin is not None
        self.process.stdin.write(f"{{ {text}\n}} </dev/null; status=$?; echo; echo '{END}' $status; (exit $status)\n")
        self.process.stdin.flush()
        printed: list[str] = []
        ended, begun = False, not server
        while not (ended and begun):
            line = self.lines.get(timeout=SECONDS)
            assert line is not None, "the shell has ended"
            if line.startswith(END):
                ended, status = True, int(line.rsplit(" ", 1)[1])
            else:
                printed.append(line)
                begun = begun or "Serving" in line or "running on" in line
        output = "".join(printed).removesuffix("\n")  # the line of `echo`, since JSON ends without a line end
        # 75: the run is paused. 137: the page has killed the process.
        assert status in (0, 75, 137), f"`{text}` ended with {status}:\n{output}"
        if found := IDENTIFIER.findall(output):
            self.last_id = max(found, key=len)
        return output


@contextmanager
def opened_shell(folder: Path, variables: dict[str, str], port: int) -> Iterator[Shell]:
    """Open a shell where `agno-rt serve` uses `port`, and end all processes of the shell afterwards."""
    binaries = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "XDG_DATA_HOME": str(folder / ".data"),
        "AGNO_RT_CACHE": os.environ.get("AGNO_RT_CACHE", str(Path("~/.cache/agno-rt").expanduser())),
        "PYTHONPATH": str(folder),
        "NO_COLOR": "1",
        "COLUMNS": "120",
        **variables,
    }
    process = subprocess.Popen(
        ["bash", "--norc", "--noprofile"],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: Queue[str | None] = Queue()
    reader = threading.Thread(target=_forward_lines, args=(process, lines))
    reader.start()
    shell = Shell(process, lines)
    assert process.stdin is not None
    try:
        process.stdin.write(
            'agno-rt() { if [ "$1" = serve ] && [ "$2" != keys ]; then shift; '
            f'command agno-rt serve --port {port} "$@"; '
            'else command agno-rt "$@"; fi; }\nset -m\n'
        )
        yield shell
    finally:
        end_session(process.pid)
        process.wait(30)
        reader.join(30)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


def end_session(leader: int) -> None:
    """Kill all processes of a session: the shell and the jobs, each in a process group of its own."""
    listed = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True).stdout.split()
    for pid in map(int, listed):
        with suppress(ProcessLookupError, PermissionError):  # ended meanwhile, or of another user
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)


def _forward_lines(process: subprocess.Popen[str], lines: Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def follow_page(page: Path, folder: Path, variables: dict[str, str], replaced: dict[str, str]) -> None:
    """Follow all steps of the page in the folder, after replacements in its text, such as a provider's address."""
    port = find_free_port()
    replaced = {"7777": str(port), **replaced}

    def local(text: str) -> str:
        for before, after in replaced.items():
            text = text.replace(before, after)
        return text

    done = 0
    with opened_shell(folder, variables, port) as shell:
        for step in read_page(page):
            if isinstance(step, File):
                path = Path(shell.run(Command("pwd", [], False)).strip()) / step.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(local(step.text), encoding="utf-8")
            elif step.text == "pip install -e .":
                install_here(folder)
            elif not step.text.startswith(SETUP) and (not step.text.startswith("node ") or shutil.which("node")):
                here = attrs.evolve(step, text=local(step.text), printed=[local(line) for line in step.printed])
                check_printed(here, shell.run(here))
                done += 1
    assert done, f"{page} has no command that a test can type"
