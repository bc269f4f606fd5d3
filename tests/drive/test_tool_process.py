"""Process tools run in a process of their own, killed after a timeout or a cancellation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trio_parallel  # type: ignore[import-untyped]  # the package has no types

from agno_rt import Agent, Limits, Runtime, ToolCall
from agno_rt._drive.tool_process import Processes, run_in_process
from agno_rt.errors import UsageError
from agno_rt.events import Event, ToolEnded
from agno_rt.messages import Media
from agno_rt.project import load_project
from agno_rt.testing import ScriptedModel
from agno_rt.tools import tool
from tests import process_tools
from tests.helpers import told
from tests.tool_helpers import calls_of, job_of, listening, told_of

ROOT = Path(__file__).parents[2]


def gone(pid: int) -> bool:
    """Return True without a process of the id, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def dead(pid: int) -> bool:
    """Return True if the process has ended, even as a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return gone(pid)
    return state == "Z"


async def written(file: Path) -> int:
    """Wait for the file, and return the number inside."""
    path, text = trio.Path(file), ""
    with trio.fail_after(30):
        while not text:
            await trio.lowlevel.checkpoint()
            if await path.exists():
                text = await path.read_text(encoding="utf-8")
    return int(text)


async def test_it_runs_elsewhere() -> None:
    """The function runs in another process, kept for the next call."""
    first, second = await told_of(job_of(process_tools.where), calls_of("where", "{}")) + await told_of(
        job_of(process_tools.where), calls_of("where", "{}")
    )

    assert int(str(first)) != os.getpid()
    assert first == second


async def test_arguments_and_results() -> None:
    """Arguments and results may be classes or media. Refusals, failures and invalid results are told to the model."""
    tools = [process_tools.mirror, process_tools.draw, process_tools.odd, process_tools.refuse, process_tools.fail]
    job = job_of(*tools)

    assert await told_of(job, calls_of("mirror", '{"point": {"x": 1, "y": 2}}')) == ['{"x":2,"y":1}']
    [drawn] = await told_of(job, calls_of("draw", "{}"))
    assert isinstance(drawn, tuple)
    text, picture = drawn
    assert text == "a dot"
    assert isinstance(picture, Media)
    assert (picture.name, len(picture.data or b"")) == ("dot.png", 40)
    [odd] = await told_of(job, calls_of("odd", "{}"))
    assert str(odd).startswith("odd failed: TypeError: it returned something of type object")
    assert await told_of(job, calls_of("refuse", "{}")) == ["Say please."]
    assert await told_of(job, calls_of("fail", "{}")) == ["fail failed: Own: by itself"]
    [misfit] = await told_of(job, calls_of("mirror", '{"point": 1}'))
    assert "do not fit" in str(misfit)


async def test_a_batch() -> None:
    """A batch is one call in the process."""
    calls = calls_of("double", '{"item": 1}', '{"item": 2}')
    assert await told_of(job_of(process_tools.double), calls) == ["2", "4"]


async def jump(clock: trio.testing.MockClock, file: Path, seconds: float) -> None:
    """Let the seconds pass once the file is written: the function is at work, however long its process took."""
    await written(file)
    clock.jump(seconds)


async def test_at_its_deadline(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """A function that spins is killed at its deadline: the process is gone, and the model is told."""
    file = tmp_path / "pid"
    async with Runtime() as rt, trio.open_nursery() as nursery:
        nursery.start_soon(jump, mock_clock, file, 2)
        replies: list[Any] = [ToolCall("1", "where"), ToolCall("2", "spin", f'{{"file": "{file}"}}'), "too slow"]
        result = await rt.run(Agent(ScriptedModel(replies), tools=[process_tools.where, process_tools.spin]), "x")

    assert told(result)[1:] == ["spin failed: the tool spin took longer than 2 s, and was killed"]
    assert gone(await written(file))
    assert trio_parallel.default_context_statistics().running_workers == 0


async def test_at_the_runs_deadline(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """The run's `tool_timeout` kills the process too, and the next call gets a new process."""
    file = tmp_path / "pid"
    job = job_of(process_tools.spin_on, process_tools.where, limits=Limits(tool_timeout=1.5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(jump, mock_clock, file, 1.5)
        [content] = await told_of(job, calls_of("spin_on", f'{{"file": "{file}"}}'))
    assert content == "spin_on failed: the tool spin_on took longer than 1.5 s, and was killed"
    assert gone(await written(file))
    job = job_of(process_tools.where)
    assert int(str((await told_of(job, calls_of("where", "{}")))[0])) != os.getpid()


@pytest.mark.parametrize("calls", [1, 2])
async def test_cancelled(tmp_path: Path, calls: int) -> None:
    """A cancelled run leaves no process behind, and each call has ended as cancelled."""
    files = [tmp_path / str(at) for at in range(calls)]
    asked = [ToolCall(str(at), "spin_on", f'{{"file": "{file}"}}') for at, file in enumerate(files)]
    events: list[Event] = []
    # The default is one worker a processor: on one processor the second call would wait for ever.
    limiter = trio_parallel.current_default_worker_limiter()
    limiter.total_tokens = max(limiter.total_tokens, calls)
    async with Runtime(observers=[events.append]) as rt:
        run = await rt.start(Agent(ScriptedModel([asked]), tools=[process_tools.spin_on]), "x")
        pids = [await written(file) for file in files]
        assert not any(map(gone, pids))
        run.cancel()
        assert (await run.wait()).status == "cancelled"

    assert all(map(gone, pids))
    assert [event.status for event in events if isinstance(event, ToolEnded)] == ["cancelled"] * calls
    assert trio_parallel.default_context_statistics().running_workers == 0


async def test_a_runtimes_own_processes() -> None:
    """A runtime's processes are kept between calls and gone after closing. A dead process is not an error."""
    processes = Processes()
    await processes.aclose()  # closing without processes
    try:
        pids = [int(await run_in_process(process_tools.where, {}, None, None, processes)) for _ in range(2)]
        assert pids[0] == pids[1]
        assert not gone(pids[0])
    finally:
        await processes.aclose()
    assert gone(pids[0])

    try:
        died = int(await run_in_process(process_tools.where, {}, None, None, processes))
        os.kill(died, signal.SIGKILL)
    finally:
        await processes.aclose()
    assert gone(died)


async def test_a_crash() -> None:
    """A crash is told to the model with the exit code, and the run goes on."""
    async with Runtime() as rt:
        model = ScriptedModel([ToolCall("1", "crash"), ToolCall("2", "leave"), ToolCall("3", "where"), "x"])
        tools = [process_tools.crash, process_tools.leave, process_tools.where]
        crashed, left, again = told(await rt.run(Agent(model, tools=tools), "x"))

    assert crashed == "crash failed: its process died (exit code 3)"
    assert left == "leave failed: SystemExit: enough"
    assert int(again) != os.getpid()


@pytest.mark.parametrize("how", ["signal", "exit", "at once"])
async def test_tried_again(tmp_path: Path, how: str) -> None:
    """A process killed or ended by itself counts as one attempt."""
    arguments = f'{{"file": "{tmp_path / "asked"}", "how": "{how}"}}'
    assert await told_of(job_of(process_tools.die), calls_of("die", arguments)) == ["alive"]


async def test_a_function_under_another_name() -> None:
    """A tool may have another name than its function. A function that is not found is an error for the caller."""
    assert await told_of(job_of(process_tools.renamed), calls_of("renamed", "{}")) == ["original"]

    events: list[Event] = []
    with pytest.raises(UsageError, match=r"cannot find its function: tests\.process_tools\._make_lost") as caught:
        await told_of(job_of(process_tools.lost, emitter=listening(events)), calls_of("lost", "{}"))
    assert "under its own name" in caught.value.hint
    assert isinstance(events[-1], ToolEnded)


async def test_arguments_that_cannot_be_sent() -> None:
    """Arguments of a class unknown to the process are a failure."""

    def decode(text: str) -> dict[str, object]:
        return {"point": lambda: None}

    mirror = tool(process_tools.mirror.function, process=True)
    mirror.decode = decode
    [content] = await told_of(job_of(mirror), calls_of("mirror", "{}"))
    assert str(content).startswith("mirror failed: its arguments cannot be sent to its process")


async def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without trio-parallel ends with an error that names the package to install."""
    monkeypatch.setitem(sys.modules, "trio_parallel", None)
    async with Runtime() as rt:
        with pytest.raises(UsageError, match="'where' runs in a process, but trio-parallel is not installed") as caught:
            await rt.run(Agent(ScriptedModel([ToolCall("1", "where")]), tools=[process_tools.where]), "x")

    assert "pip install 'agno-rt[process]'" in caught.value.hint


AGENTS = '''
import attrs

from agno_rt import Agent, ToolCall, tool
from agno_rt.testing import ScriptedModel

SEVEN = 7


@attrs.frozen
class Point:
    """A place."""

    x: int
    y: int


@tool(process=True)
def swap(point: Point) -> str:
    """Swap the two."""
    return f"{Point(point.y, point.x)} of {SEVEN}"


@tool(process=True)
def listed() -> str:
    """Say nothing."""
    return ""


swapper = Agent(ScriptedModel([ToolCall("1", "swap", '{"point": {"x": 1, "y": 2}}'), "done"]), tools=[swap])
lister = Agent(ScriptedModel([ToolCall("1", "listed"), "done"]), tools=[listed])
'''

KILLED = '''
import os
import re
import sys
import time
from pathlib import Path

from agno_rt import Agent, ToolCall, run, tool
from agno_rt.testing import ScriptedModel


@tool(process=True)
def spin(file: str) -> None:
    """Note which process this is, and never end."""
    Path(file).write_text(str(os.getpid()), encoding="utf-8")
    BODY


if __name__ == "__main__":
    call = ToolCall("1", "spin", '{"file": "FILE"}')
    run(Agent(ScriptedModel([call, "x"]), tools=[spin]), "x")
'''


@pytest.mark.parametrize("body", ["while True: pass", "re.match('(a+)+b', 'a' * 60)", "time.sleep(600)"])
async def test_it_ends_with_a_program_that_is_killed(tmp_path: Path, body: str) -> None:
    """Workers of a killed program end by themselves, even in code with the GIL."""
    noted, file = tmp_path / "pid", tmp_path / "program.py"
    file.write_text(KILLED.replace("BODY", body).replace("FILE", str(noted)), encoding="utf-8")

    process = await trio.lowlevel.open_process([sys.executable, str(file)], cwd=ROOT)
    try:
        pid = await written(noted)
    finally:
        process.kill()
        await process.wait()

    with trio.fail_after(30):
        while not dead(pid):
            await trio.lowlevel.checkpoint()


class TestProject:
    """Tools in a project's agents.py, unknown to the import system."""

    @pytest.mark.parametrize("file", ["agents.py", "odd name.py"])
    async def test_its_process_reads_the_same_file(self, tmp_path: Path, file: str) -> None:
        """The process finds the function, classes and constants in the file."""
        (tmp_path / file).write_text(AGENTS, encoding="utf-8")
        project = load_project(str(tmp_path / file))

        async with project.runtime() as rt:
            result = await rt.run(project.agent("swapper"), "x")

        assert told(result) == ["Point(x=2, y=1) of 7"]

    async def test_two_files_of_one_name(self, tmp_path: Path) -> None:
        """Two files of the same name have their own functions."""
        results = []
        projects = []
        for at in (1, 2):
            (tmp_path / str(at)).mkdir()
            path = tmp_path / str(at) / "agents.py"
            path.write_text(AGENTS.replace("SEVEN = 7", f"SEVEN = {at}"), encoding="utf-8")
            projects.append(load_project(str(path)))

        for project in projects:
            async with project.runtime() as rt:
                results += told(await rt.run(project.agent("swapper"), "x"))

        assert results == ["Point(x=2, y=1) of 1", "Point(x=2, y=1) of 2"]

    async def test_a_file_that_fails_there(self, tmp_path: Path) -> None:
        """A failure to read the file in the process is told with the file's name."""
        path = tmp_path / "agents.py"
        path.write_text(AGENTS, encoding="utf-8")
        project = load_project(str(path))
        path.write_text("1 / 0", encoding="utf-8")

        async with project.runtime() as rt:
            result = await rt.run(project.agent("lister"), "x")

        assert told(result) == [f"listed failed: its process cannot import {path}: ZeroDivisionError: division by zero"]

    def test_from_the_command_line(self, tmp_path: Path) -> None:
        """Process tools work in `agno-rt run agents.py`."""
        (tmp_path / "agents.py").write_text(AGENTS, encoding="utf-8")
        done = program("-m", "agno_rt.cli", "run", str(tmp_path / "agents.py:swapper"), "x")

        assert "swap: Point(x=2, y=1) of 7" in done.stderr
        assert done.stdout == "done\n"


def test_a_module_that_nobody_can_read() -> None:
    """A function of a module made by the program is refused beforehand."""
    module = types.ModuleType("made_up")
    sys.modules["made_up"] = module
    try:
        exec("def add(a: int) -> int:\n    return a", vars(module))
        made = tool(module.add, process=True)
        with pytest.raises(UsageError, match="the module made_up was made by the program") as caught:
            Runtime().check(Agent(ScriptedModel([]), tools=[made]))
    finally:
        del sys.modules["made_up"]

    assert "Put the function into a module" in caught.value.hint


PROGRAM = '''
from agno_rt import Agent, ToolCall, run, tool
from agno_rt.testing import ScriptedModel

@tool(process=True)
def add(a: int, b: int) -> int:
    """Add."""
    return a + b

def main() -> None:
    model = ScriptedModel([ToolCall("1", "add", '{"a": 2, "b": 3}'), "done"])
    print([message.content for message in run(Agent(model, tools=[add]), "x").messages])

'''
GUARD = "if __name__ == '__main__':\n    main()\n"


def program(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python on its own."""
    return subprocess.run(
        [sys.executable, *arguments], input=text, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )


class TestMain:
    """Tools in a program's own file."""

    def test_a_program(self, tmp_path: Path) -> None:
        """A guarded program works."""
        file = tmp_path / "program.py"
        file.write_text(PROGRAM + GUARD, encoding="utf-8")
        done = program(str(file))

        assert done.stdout == "['x', '', '5', 'done']\n", done.stderr
        assert done.returncode == 0

    def test_one_without_a_guard(self, tmp_path: Path) -> None:
        """An unguarded program would run twice: the process says so, and the model gets its death."""
        file = tmp_path / "program.py"
        file.write_text(PROGRAM + "main()\n", encoding="utf-8")
        done = program(str(file))

        assert "Start the program under: if __name__ == '__main__':" in done.stderr
        assert "its process died (exit code 1)" in done.stdout

    @pytest.mark.parametrize("way", ["-c", "-"])
    def test_what_was_typed_in(self, way: str) -> None:
        """A typed-in function cannot be found, and the error names a better place."""
        done = program("-c", PROGRAM + GUARD) if way == "-c" else program("-", text=PROGRAM + GUARD)

        assert "the function was typed in, not read from a file" in done.stderr
        assert "Put the function into a module" in done.stderr
        assert done.returncode == 1
