"""A process tool runs in a process of its own, which is gone when it took too long or its run was cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio_parallel  # type: ignore[import-untyped]  # it comes without types

from agno_rt import Agent, Limits, Runtime, ToolCall
from agno_rt._process import Processes, run_in_process
from agno_rt.errors import UsageError
from agno_rt.events import Event, ToolEnded
from agno_rt.messages import Media
from agno_rt.testing import ScriptedModel
from agno_rt.tools import tool
from tests import process_tools
from tests.helpers import told
from tests.tool_helpers import calls_of, job_of, listening, told_of

ROOT = Path(__file__).parent.parent


def gone(pid: int) -> bool:
    """Whether there is no process of that number, not even a dead one that nobody has asked about."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def written(file: Path) -> int:
    """The number in a file, once it is there."""
    path, text = trio.Path(file), ""
    with trio.fail_after(30):
        while not text:
            await trio.lowlevel.checkpoint()
            if await path.exists():
                text = await path.read_text(encoding="utf-8")
    return int(text)


async def test_it_runs_elsewhere() -> None:
    """The function's process is not this one, and is kept for the next call."""
    first, second = await told_of(job_of(process_tools.where), calls_of("where", "{}")) + await told_of(
        job_of(process_tools.where), calls_of("where", "{}")
    )

    assert int(str(first)) != os.getpid()
    assert first == second


async def test_arguments_and_results() -> None:
    """Classes go there and come back, media too; what cannot be told, or is refused, is heard of."""
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
    """A batch is one call there, too."""
    calls = calls_of("double", '{"item": 1}', '{"item": 2}')
    assert await told_of(job_of(process_tools.double), calls) == ["2", "4"]


async def test_at_its_deadline(tmp_path: Path) -> None:
    """A function that spins is killed at its deadline: its process is gone, and the model is told."""
    await told_of(job_of(process_tools.where), calls_of("where", "{}"))  # so that a process is there
    file = tmp_path / "pid"
    async with Runtime() as rt:
        call = ToolCall("1", "spin", f'{{"file": "{file}"}}')
        result = await rt.run(Agent(ScriptedModel([call, "too slow"]), tools=[process_tools.spin]), "x")

    assert told(result) == ["spin failed: the tool spin took longer than 2 s, and was killed"]
    assert gone(await written(file))
    assert trio_parallel.default_context_statistics().running_workers == 0


async def test_at_the_runs_deadline(tmp_path: Path) -> None:
    """The run's `tool_timeout` kills it as well, and the next call has a process again."""
    await told_of(job_of(process_tools.where), calls_of("where", "{}"))
    file = tmp_path / "pid"
    job = job_of(process_tools.spin_on, process_tools.where, limits=Limits(tool_timeout=1.5))

    [content] = await told_of(job, calls_of("spin_on", f'{{"file": "{file}"}}'))
    assert content == "spin_on failed: the tool spin_on took longer than 1.5 s, and was killed"
    assert gone(await written(file))
    job = job_of(process_tools.where)
    assert int(str((await told_of(job, calls_of("where", "{}")))[0])) != os.getpid()


@pytest.mark.parametrize("calls", [1, 2])
async def test_cancelled(tmp_path: Path, calls: int) -> None:
    """A run that is cancelled leaves no process behind; each call has ended, as cancelled."""
    files = [tmp_path / str(at) for at in range(calls)]
    asked = [ToolCall(str(at), "spin_on", f'{{"file": "{file}"}}') for at, file in enumerate(files)]
    events: list[Event] = []
    # As many at once as there are processors: with one alone, the second would have to wait for ever.
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
    """They are kept between calls, and are gone when they are closed; one that died meanwhile is no error."""
    processes = Processes()
    await processes.aclose()  # there are none yet
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
    """A process that dies is told, with how it died, and the run goes on."""
    async with Runtime() as rt:
        model = ScriptedModel([ToolCall("1", "crash"), ToolCall("2", "leave"), ToolCall("3", "where"), "x"])
        tools = [process_tools.crash, process_tools.leave, process_tools.where]
        crashed, left, again = told(await rt.run(Agent(model, tools=tools), "x"))

    assert crashed == "crash failed: its process died (exit code 3)"
    assert left == "leave failed: SystemExit: enough"
    assert int(again) != os.getpid()


@pytest.mark.parametrize("how", ["signal", "exit", "at once"])
async def test_tried_again(tmp_path: Path, how: str) -> None:
    """A process that was killed, or ended itself, is one attempt."""
    arguments = f'{{"file": "{tmp_path / "asked"}", "how": "{how}"}}'
    assert await told_of(job_of(process_tools.die), calls_of("die", arguments)) == ["alive"]


async def test_a_function_under_another_name() -> None:
    """A tool may have another name than its function; one whose function is not found is the program's mistake."""
    assert await told_of(job_of(process_tools.renamed), calls_of("renamed", "{}")) == ["original"]

    events: list[Event] = []
    with pytest.raises(UsageError, match=r"cannot find its function: tests\.process_tools\._make_lost") as caught:
        await told_of(job_of(process_tools.lost, emitter=listening(events)), calls_of("lost", "{}"))
    assert "under its own name" in caught.value.hint
    assert isinstance(events[-1], ToolEnded)


async def test_arguments_that_cannot_be_sent() -> None:
    """A class that the process cannot find is told as a failure."""

    def decode(text: str) -> dict[str, object]:
        return {"point": lambda: None}

    mirror = tool(process_tools.mirror.function, process=True)
    mirror.decode = decode
    [content] = await told_of(job_of(mirror), calls_of("mirror", "{}"))
    assert str(content).startswith("mirror failed: its arguments cannot be sent to its process")


async def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where trio-parallel is not installed the run ends with what to install, whatever the model said."""
    monkeypatch.setitem(sys.modules, "trio_parallel", None)
    async with Runtime() as rt:
        with pytest.raises(UsageError, match="'where' runs in a process, for which trio-parallel is missing") as caught:
            await rt.run(Agent(ScriptedModel([ToolCall("1", "where")]), tools=[process_tools.where]), "x")

    assert "pip install 'agno-rt[process]'" in caught.value.hint


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
    """Run Python by itself."""
    return subprocess.run(
        [sys.executable, *arguments], input=text, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )


class TestMain:
    """Tools in a program's own file."""

    def test_a_program(self, tmp_path: Path) -> None:
        """A program that is guarded works."""
        file = tmp_path / "program.py"
        file.write_text(PROGRAM + GUARD, encoding="utf-8")
        done = program(str(file))

        assert done.stdout == "['x', '', '5', 'done']\n", done.stderr
        assert done.returncode == 0

    def test_one_without_a_guard(self, tmp_path: Path) -> None:
        """One that is not guarded would run twice: its process says so, and the model hears that it died."""
        file = tmp_path / "program.py"
        file.write_text(PROGRAM + "main()\n", encoding="utf-8")
        done = program(str(file))

        assert "Let the program begin with: if __name__ == '__main__':" in done.stderr
        assert "its process died (exit code 1)" in done.stdout

    @pytest.mark.parametrize("way", ["-c", "-"])
    def test_what_was_typed_in(self, way: str) -> None:
        """A function that is in no file cannot be found, and the error says where to put it."""
        done = program("-c", PROGRAM + GUARD) if way == "-c" else program("-", text=PROGRAM + GUARD)

        assert "it was typed in, not read from a file" in done.stderr
        assert "Put it into a module" in done.stderr
        assert done.returncode == 1
