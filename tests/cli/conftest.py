"""Fixtures that run the real `agno-rt` in a new folder, with agents whose models need no network."""

from __future__ import annotations

import codecs
import os
import pty
import select
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import attrs
import pytest

SECONDS = 60.0
"""Limit for one command, in seconds, on a machine that is busy with other things."""

GIF = b"GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
"""One pixel."""

AGENTS = '''
import trio
from agno_rt import Agent, Message, ModelResponse, ToolCall, Usage, tool
from agno_rt.context import RunContext
from agno_rt.errors import ModelError
from agno_rt.events import ReasoningDelta, TextDelta, TurnRestarted
from agno_rt_guardrails import PII
from agno_rt.hooks import Guard
from agno_rt.media import described
from agno_rt.models import ModelProfile
from agno_rt.wrappers.retry import Retry


class Echo:
    """Says how many questions the conversation has had, and repeats the last one. Emits nothing."""

    name = "echo"

    async def respond(self, request, emit=None):
        asked = [message.content for message in request.messages if message.role == "user"]
        return ModelResponse(f"{len(asked)}: {asked[-1]}", usage=Usage(2, 3))


class Slow(Echo):
    """Never ends when it is asked to wait."""

    async def respond(self, request, emit=None):
        if request.messages[-1].content == "wait":
            if emit is not None:
                await emit(TextDelta("tick "))
            await trio.sleep_forever()
        return await super().respond(request, emit)


class Flood:
    """Talks on and on."""

    name = "flood"

    async def respond(self, request, emit=None):
        while True:
            await emit(TextDelta("more and more\\n"))


class Failing:
    """Begins an answer, and fails."""

    name = "failing"

    async def respond(self, request, emit=None):
        if emit is not None:
            await emit(TextDelta("well"))
        raise ModelError("the service is down", hint="Try later.", provider="failing", status=503)


class Caller:
    """Calls its tool twice, saying so, and then answers in two pieces."""

    name = "caller"

    async def respond(self, request, emit=None):
        if sum(message.role == "tool" for message in request.messages) < 2:
            await emit(TextDelta("Let me see."))
            return ModelResponse("Let me see.", (ToolCall("1", "shout", '{"text": "hi\\\\u001b[31m"}'),))
        await emit(TextDelta("It is "))
        await emit(TextDelta("HI."))
        return ModelResponse("It is HI.")


class Thinking:
    """Thinks, in two pieces, and answers."""

    name = "thinking"

    async def respond(self, request, emit=None):
        for text in ("Hm,\\n", "so."):
            await emit(ReasoningDelta(text))
        await emit(TextDelta("Yes."))
        return ModelResponse("Yes.", reasoning="Hm,\\nso.", usage=Usage(2, 5, 4))


class Stumbling:
    """Fails in the middle of its answer, the first time."""

    name = "stumbling"
    asked = 0

    async def respond(self, request, emit=None):
        self.asked += 1
        if self.asked == 1:
            await emit(TextDelta("Wro"))
            raise ModelError("the line was cut", retryable=True)
        await emit(TextDelta("Right."))
        return ModelResponse("Right.")


class Restarting(Echo):
    """Begins its answer anew, unasked."""

    async def respond(self, request, emit=None):
        await emit(TextDelta("Wro"))
        await emit(TurnRestarted("the line was cut"))
        return await super().respond(request, emit)


class Seeing:
    """Says what it was given. It takes images alone."""

    name = "seeing"
    profile = ModelProfile(media=("image/*",))

    async def respond(self, request, emit=None):
        given = request.messages[-1].content
        parts = (given,) if isinstance(given, str) else given
        return ModelResponse(" | ".join(part if isinstance(part, str) else described(part) for part in parts))


@tool
async def count(context: RunContext) -> str:
    """Count."""
    await context.progress({"done": 0.5})
    await context.progress("almost")
    return "2"


class Counting:
    """Counts with its tool."""

    name = "counting"

    async def respond(self, request, emit=None):
        if request.messages[-1].role == "tool":
            return ModelResponse("Two.")
        return ModelResponse("", (ToolCall("1", "count"),))


@tool
def shout(text: str) -> str:
    """Shout."""
    return text.upper()


echo = Agent(Echo())
slow = Agent(Slow())
flood = Agent(Flood())
failing = Agent(Failing())
caller = Agent(Caller(), tools=[shout])
lost = Agent("opena:gpt")
thinking = Agent(Thinking())
stumbling = Agent(Retry(Stumbling(), wait=0))
restarting = Agent(Restarting())
seeing = Agent(Seeing())
counting = Agent(Counting(), tools=[count])
discreet = Agent(Echo(), hooks=[Guard(PII())])
'''

DURABLE = '''
from pathlib import Path

import trio
from agno_rt import Agent, MemoryPolicy, ModelResponse, ToolCall, tool
from agno_rt.context import FromUser


def note(line):
    """Write down what was done: no step that is stored may be there twice."""
    with Path("done.txt").open("a") as file:
        file.write(f"{line}\\n")


class Calling:
    """Makes its calls, and then answers with what they gave. After the word wait it waits for the file go first."""

    name = "calling"

    def __init__(self, *calls):
        self.calls = tuple(ToolCall(str(number), *call) for number, call in enumerate(calls, 1))

    async def respond(self, request, emit=None):
        told = [message.text for message in request.messages if message.role == "tool"]
        if not told:
            note("asked")
            return ModelResponse("Let me see.", self.calls)
        while request.messages[-len(told) - 2].text == "wait" and not Path("go").exists():
            Path("waits").touch()
            await trio.sleep(0.01)
        note("answered")
        return ModelResponse(f"Done: {'; '.join(told)}")


@tool
def look(where: str) -> str:
    """Look somewhere."""
    note(f"looked {where}")
    return f"saw {where}"


@tool(approve=lambda text: "it is loud" if text.isupper() else True)
def send(text: str) -> str:
    """Send a text."""
    note(f"sent {text}")
    return f"sent {text}"


@tool
def book(city: str, nights: FromUser[int], breakfast: FromUser[bool] = False) -> str:
    """Book a room.

    Args:
        city: where
        nights: how long the stay is
        breakfast: whether there is any
    """
    return f"{nights} nights in {city}{' with breakfast' if breakfast else ''}"


@tool(external=True)
def fetch(url: str) -> str:
    """Fetch a page."""


journal = MemoryPolicy(journal=True)
looker = Agent(Calling(("look", '{"where": "up"}')), tools=[look], memory=journal)
sender = Agent(Calling(("send", '{"text": "HI"}'), ("look", '{"where": "up"}')), tools=[look, send])
both = Agent(Calling(("send", '{"text": "one"}'), ("send", '{"text": "two"}')), tools=[send])
booker = Agent(Calling(("book", '{"city": "Seoul"}')), tools=[book])
fetcher = Agent(Calling(("fetch", '{"url": "a"}')), tools=[fetch])
'''
"""Agents with stored runs that pause."""


def command_line() -> list[str]:
    """Return the command of the `agno-rt` beside this Python, as users have it."""
    script = Path(sys.executable).with_name("agno-rt")
    return [str(script)] if script.exists() else [sys.executable, "-m", "agno_rt.cli"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a folder with an agents.py, and an agno-rt.toml that loads it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "agents.py").write_text(AGENTS)
    (folder / "dot.gif").write_bytes(GIF)
    (folder / "notes.md").write_text("Port 7070.")
    (folder / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\n')
    return folder


@pytest.fixture
def durable(project: Path) -> Path:
    """Return the project's folder, with the agents of `DURABLE` and a memory that lasts."""
    (project / "durable.py").write_text(DURABLE)
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["durable.py"]\nmemory = "sqlite:///own.db"\n')
    return project


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return variables that keep the command out of the user's folders."""
    left_out = ("AGNO_RT", "XDG", "PYTHON", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return kept | {"XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path), "TERM": "xterm", "NO_COLOR": "1"}


@pytest.fixture
def agno(project: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `agno-rt` in the project's folder, with pipes for a terminal."""

    def run(
        *args: str, input: str = "", env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command_line(), *args],
            input=input,
            env=environment | (env or {}),
            cwd=cwd or project,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


@pytest.fixture
def started(project: Path, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `agno-rt` in the project's folder, with pipes. The process is killed if the test leaves it."""
    running: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*command_line(), *args], stdin=pipe, stdout=pipe, stderr=pipe, cwd=project, env=environment, text=True
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=SECONDS)


@pytest.fixture
def under_way(started: Callable[..., subprocess.Popen[str]], durable: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a run and stop in its middle, `under_way("--session", "s")`: its tool is over, and its model asked again.

    The run goes on once there is a file `go` in the project's folder.
    """

    def start(*args: str) -> subprocess.Popen[str]:
        process, until = started("run", "looker", "wait", *args), time.monotonic() + SECONDS
        while not (durable / "waits").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, "it did not ask its model again"
            time.sleep(0.02)
        return process

    return start


@attrs.define
class Terminal:
    """A person at a terminal in which `agno-rt` runs."""

    process: subprocess.Popen[bytes]
    fd: int
    seen: str = ""
    read: int = 0
    decoder: codecs.IncrementalDecoder = attrs.Factory(codecs.getincrementaldecoder("utf-8"))

    def expect(self, text: str, seconds: float = SECONDS) -> None:
        """Wait until the text appears, after the text that was expected before."""
        deadline = time.monotonic() + seconds
        while (found := self.seen.find(text, self.read)) < 0:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} never appeared in:\n{self.seen}"
            self.seen += self.decoder.decode(os.read(self.fd, 4096))
        self.read = found + len(text)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.fd, keys.encode())

    def interrupt(self, text: str) -> None:
        """Press Ctrl-C at the prompt until the text appears.

        Python checks for signals before waiting for a key, not while waiting: a Ctrl-C in between shows at the next
        key.
        """
        for _ in range(3):
            self.type("\x03")
            try:
                return self.expect(text, seconds=10)
            except AssertionError:
                continue
        raise AssertionError(f"Ctrl-C never brought {text!r}:\n{self.seen}")

    def leave(self, keys: str = "") -> int:
        """Press the keys until they are seen (see `interrupt`), wait for the end, and return the exit code."""
        for _ in range(3 if keys else 0):
            self.type(keys)
            try:
                return self.process.wait(10)
            except subprocess.TimeoutExpired:
                continue
        return self.process.wait(SECONDS)


# The child makes the terminal its controlling one, as a shell would: only then is Ctrl-C a signal.
_LAUNCH = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture
def terminal(project: Path, environment: dict[str, str]) -> Callable[..., AbstractContextManager[Terminal]]:
    """Run `agno-rt` in a pseudo-terminal: `with terminal("chat", "echo") as person`."""

    @contextmanager
    def open_terminal(*args: str, env: dict[str, str] | None = None, columns: int = 80) -> Iterator[Terminal]:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(ours, (24, columns))
        process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *command_line(), *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=project,
            env=environment | (env or {}),
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            os.close(ours)
            if process.poll() is None:
                process.kill()
            process.wait(SECONDS)

    return open_terminal


@pytest.fixture
def distribution(tmp_path: Path) -> Callable[..., Path]:
    """Install a throwaway plugin into a folder for PYTHONPATH: a module, and metadata with an entry point."""
    folder = tmp_path / "site"

    def install(name: str, source: str) -> Path:
        info = folder / f"{name}_plugin-1.2.dist-info"
        info.mkdir(parents=True)
        (folder / f"{name}_plugin.py").write_text(textwrap.dedent(source))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[agno_rt]\n{name} = {name}_plugin\n")
        return folder

    return install
