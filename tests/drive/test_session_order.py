"""Runs of several processes or runtimes on one session: in order, and without lost answers."""

from __future__ import annotations

import functools
import json
import signal
import stat
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Limits, Message, ModelRequest, Runtime, ToolCall, tool
from agno_rt.context import State
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import AgnoError, BackendError, DeadlineExceeded, Forbidden, SessionConflict
from agno_rt.memory import MemoryBackend, MemoryPolicy, SessionLocks, Summary
from agno_rt.testing import Faults, Pauses, ScriptedModel, cancel_everywhere, fail_everywhere
from agno_rt.testing.cancelling import CancelPoint

linux = pytest.mark.skipif(sys.platform != "linux", reason="locks among processes are Linux's")

PROGRAM = """
import json, sys, attrs, trio
from agno_rt import Agent, MemoryPolicy, ModelRequest, Runtime, ToolCall, tool
from agno_rt.context import State
from agno_rt.testing import Faults, Pauses, ScriptedModel, cancel_everywhere, fail_everywhere
from agno_rt.testing.cancelling import CancelPoint

@attrs.define
class Count:
    runs: int = 0

@tool(inline=True)
def count(state: State[Count]) -> str:
    state.runs += 1
    return str(state.runs)

async def answer(request):
    await trio.sleep(0.002)
    if request.messages[-1].role == "user" and request.tools:
        return ToolCall("c", "count")
    return str(len([message for message in request.messages if message.role == "user"]))

async def main(url, runs, kind):
    state = MemoryPolicy(None, state=Count) if kind == "state" else MemoryPolicy(None, journal=kind == "journal")
    agent = Agent(ScriptedModel(answer), "a", tools=[count] if kind == "state" else [], memory=state)
    async with Runtime(memory=url) as rt:
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(int(runs)):
            result = await rt.run(agent, "hi", session="s")
            print(json.dumps(result.content), flush=True)

trio.run(main, *sys.argv[1:])
"""

HOLDER = """
import sys, trio
from agno_rt import Agent, Runtime
from agno_rt.testing import Faults, Pauses, ScriptedModel, cancel_everywhere, fail_everywhere
from agno_rt.testing.cancelling import CancelPoint

async def answer(request):
    print("holds", flush=True)
    await trio.sleep_forever()

async def main(url):
    async with Runtime(memory=url) as rt:
        await rt.run(Agent(ScriptedModel([answer])), "hi", session="s")

trio.run(main, *sys.argv[1:])
"""


@attrs.define
class Count:
    """A session's state."""

    runs: int = 0


@tool(inline=True)
def count(state: State[Count]) -> str:
    """Count."""
    state.runs += 1
    return str(state.runs)


def answers_of_processes(url: str, processes: int, runs: int, kind: str) -> list[list[int]]:
    """Run processes on one session at once. Return the answers of each process."""
    arguments = [sys.executable, "-c", PROGRAM, url, str(runs), kind]
    started = [
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        told = [process.communicate(timeout=60)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * processes
    return [[int(json.loads(line)) for line in text.splitlines()] for text in told]


@linux
class TestProcesses:
    """Programs with a shared file."""

    @pytest.mark.parametrize("kind", ["plain", "journal", "state"])
    def test_each_run_sees_those_before_it(self, kind: str, tmp_path: Path) -> None:
        """Several processes on one session store every run after exactly the runs it was shown."""
        url = f"sqlite:///{tmp_path}/a.db"

        told = answers_of_processes(url, 4, 6, kind)
        stored = trio.run(SQLiteMemory(tmp_path / "a.db").load, "s")

        assert sorted(number for answers in told for number in answers) == list(range(1, 25))
        assert [message.text for message in stored.messages if message.role == "assistant" and message.text] == [
            str(number) for number in range(1, 25)
        ]
        if kind == "state":
            assert b'"runs":24' in stored.data

    def test_a_process_that_is_killed(self, tmp_path: Path) -> None:
        """A process killed during a run holds up no other process."""
        url = f"sqlite:///{tmp_path}/a.db"
        arguments = [sys.executable, "-c", HOLDER, url]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "holds\n"

            async def main() -> str:
                async with Runtime(memory=url) as rt:
                    run = await rt.start(Agent(ScriptedModel(["ok"])), "hi", session="s")
                    with trio.fail_after(60):
                        while "another process has" not in str(rt.tasks()):  # noqa: ASYNC110 - the wait for a lock sets no event
                            await trio.sleep(0.001)
                    holder.send_signal(signal.SIGKILL)
                    with trio.fail_after(60):
                        return (await run.wait()).content

            try:
                assert trio.run(main) == "ok"
            finally:
                holder.kill()

    async def test_the_file_of_locks_is_private(self, tmp_path: Path) -> None:
        """The file of locks has the database's permissions, is made by the first run, and stays empty."""
        path = tmp_path / "a.db"
        async with Runtime(memory=f"sqlite:///{path}") as rt:
            await rt.memory.load("s")
            made_by_looking = (tmp_path / "a.db-lock").exists()
            await rt.run(Agent(ScriptedModel(["ok"])), "hi", session="s")

        status = (tmp_path / "a.db-lock").stat()
        assert not made_by_looking
        assert stat.S_IMODE(status.st_mode) == stat.S_IMODE(path.stat().st_mode)
        assert status.st_size == 0


def held(memory: MemoryBackend, session: str = "s") -> Any:
    """Take the session's lock, like another process."""
    assert isinstance(memory, SessionLocks)
    return memory.lock_session(session, wait=False)


@linux
class TestWaiting:
    """Runs on a session held by another process."""

    async def test_has_a_limit(self, tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
        """A run that waits too long gets the limit's name before the model is asked. The session is free later."""
        path = tmp_path / "a.db"
        other = SQLiteMemory(path)
        hasty = Agent(ScriptedModel([]), limits=Limits(queue_timeout=1))
        async with Runtime(memory=f"sqlite:///{path}") as rt:
            assert await held(other)
            with pytest.raises(DeadlineExceeded, match="session 's', which another process has") as caught:
                await rt.run(hasty, "hi", session="s")
            await rt.run(Agent(ScriptedModel(["other"])), "hi", session="another")
            await other.aclose()
            result = await rt.run(Agent(ScriptedModel(["ok"])), "hi", session="s")

        assert caught.value.limit == "queue_timeout"
        assert result.content == "ok"

    async def test_two_that_wait_for_each_other(self, tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
        """Nested runs of two processes, each on the other's session, end with a clear error."""
        url = f"sqlite:///{tmp_path}/a.db"
        both = trio.Event()
        inner: list[BaseException] = []

        def outer(rt: Runtime, wanted: str) -> Agent:
            @tool
            async def ask() -> str:
                """Ask somebody else."""
                if first.statistics()[0].in_use and second.statistics()[0].in_use:
                    both.set()
                await both.wait()
                try:
                    await rt.run(Agent(ScriptedModel(["inner"])), "hi", session=wanted)
                except DeadlineExceeded as exc:
                    inner.append(exc)
                return "asked"

            return Agent(ScriptedModel([ToolCall("c", "ask"), "done"]), tools=[ask])

        async with Runtime(memory=url) as first, Runtime(memory=url) as second, trio.open_nursery() as nursery:
            runs = [
                await first.start(outer(first, "y"), "hi", session="x"),
                await second.start(outer(second, "x"), "hi", session="y"),
            ]
            for run in runs:
                nursery.start_soon(run.wait)

        assert [run.result.content for run in runs if run.result is not None] == ["done", "done"]
        assert inner
        assert "another process has" in str(inner[0])

    async def test_one_that_is_cancelled(self, tmp_path: Path) -> None:
        """A run cancelled while waiting leaves the session to others."""
        path = tmp_path / "a.db"
        other = SQLiteMemory(path)
        async with Runtime(memory=f"sqlite:///{path}") as rt:
            assert await held(other)
            run = await rt.start(Agent(ScriptedModel([])), "hi", session="s")
            await trio.testing.wait_all_tasks_blocked()
            run.cancel()
            assert (await run.wait()).status == "cancelled"
            await other.unlock_session("s")
            again = await held(other)
        await other.aclose()

        assert again

    async def test_runtimes_that_share_a_backend(self, tmp_path: Path) -> None:
        """Runs of two runtimes with one backend take turns too."""
        memory = SQLiteMemory(tmp_path / "a.db")

        async def answer(request: ModelRequest) -> str:
            await trio.lowlevel.checkpoint()
            return str(len(request.messages))

        agent = Agent(ScriptedModel(answer), memory=MemoryPolicy(None, state=Count))
        async with Runtime(memory=memory) as one, Runtime(memory=memory) as two, trio.open_nursery() as nursery:
            for rt in (one, two, one, two, one):
                nursery.start_soon(functools.partial(rt.run, agent, "hi", session="s"))
        stored = await memory.load("s")
        await memory.aclose()

        assert [message.text for message in stored.messages] == ["hi", "1", "hi", "3", "hi", "5", "hi", "7", "hi", "9"]


class Busy(InProcessMemory):
    """A backend whose session is changed by another writer before each of the first appends."""

    def __init__(self, times: int, *, user: str | None = None) -> None:
        super().__init__()
        self.times = times
        self.user = user

    async def append(self, session: str, messages: Sequence[Message], *, version: int, **rest: Any) -> int:
        """Append after the other writer."""
        if self.times:
            self.times -= 1
            now = await self.load(session)
            await super().append(session, [Message("user", "other")], version=now.version, user=self.user)
        return await super().append(session, messages, version=version, **rest)


class TestWithoutLocks:
    """Backends without locks among processes: answers are stored after other writers'."""

    @pytest.mark.parametrize(
        "policy",
        [
            MemoryPolicy(),
            MemoryPolicy(journal=True),
            MemoryPolicy(state=Count),
            MemoryPolicy(messages=1, summary=Summary()),
        ],
        ids=["plain", "journal", "state that is not changed", "summary"],
    )
    @pytest.mark.parametrize("times", [1, 3])
    async def test_stored_after_them(self, policy: MemoryPolicy, times: int) -> None:
        """A run on a session changed meanwhile is stored whole, after the change."""
        memory = Busy(0)
        await memory.append("s", [Message("user", "a"), Message("assistant", "b")], version=0, data=b"")
        if policy.state is not None:
            async with Runtime(memory=memory) as rt:
                await rt.run(Agent(ScriptedModel(["c"]), memory=policy), "hi", session="s")
        before = (await memory.load("s")).total
        memory.times = times
        async with Runtime(memory=memory) as rt:
            script = ["sum", "ok"] if policy.summary else ["ok"]
            result = await rt.run(Agent(ScriptedModel(script), memory=policy), "hi", session="s")
            stored = await memory.load("s")

        assert result.content == "ok"
        assert [message.text for message in stored.messages[before:]] == [*["other"] * times, "hi", "ok"]

    async def test_a_changed_state(self) -> None:
        """A changed state cannot be stored over another writer's: the run raises a conflict with the answer."""
        memory = Busy(1)
        agent = Agent(ScriptedModel([ToolCall("c", "count"), "ok"]), tools=[count], memory=MemoryPolicy(state=Count))
        async with Runtime(memory=memory) as rt:
            with pytest.raises(SessionConflict, match=r"(?s)session 's'.*result") as caught:
                await rt.run(agent, "hi", session="s")
            stored = await memory.load("s")

        assert caught.value.result.content == "ok"
        assert [message.text for message in stored.messages] == ["other"]

    async def test_a_session_that_somebody_else_began(self) -> None:
        """A run never adds to a session begun meanwhile by another user."""
        memory = Busy(1, user="bob")
        async with Runtime(memory=memory) as rt:
            with pytest.raises(Forbidden) as caught:
                await rt.run(Agent(ScriptedModel(["ok"])), "hi", session="s", user="ann")
            stored = await memory.load("s")

        assert caught.value.result.content == "ok"
        assert [message.text for message in stored.messages] == ["other"]

    async def test_a_session_that_was_deleted(self) -> None:
        """A session deleted during a run stays deleted."""
        memory = InProcessMemory()
        await memory.append("s", [Message("user", "secret")], version=0)

        async def answer(_: object) -> str:
            await memory.delete("s")
            return "ok"

        async with Runtime(memory=memory) as rt:
            with pytest.raises(SessionConflict, match="deleted"):
                await rt.run(Agent(ScriptedModel([answer])), "hi", session="s")
            stored = await memory.load("s")

        assert stored.total == 0

    async def test_a_session_that_never_comes_to_rest(self) -> None:
        """A run gives up after a number of tries, and the error has the answer."""
        memory = Busy(1_000)
        async with Runtime(memory=memory) as rt:
            with pytest.raises(SessionConflict) as caught:
                await rt.run(Agent(ScriptedModel(["ok"])), "hi", session="s")

        assert caught.value.result.content == "ok"
        assert memory.times > 900

    async def test_a_folder_that_takes_no_locks(self, tmp_path: Path) -> None:
        """Runs go on unlocked without a file of locks."""
        path = tmp_path / "a.db"
        (tmp_path / "a.db-lock").mkdir()
        async with Runtime(memory=f"sqlite:///{path}") as rt:
            result = await rt.run(Agent(ScriptedModel(["ok"])), "hi", session="s")

        assert result.content == "ok"

    async def test_a_lock_that_fails(self) -> None:
        """A failure to lock is an error with the session's name before the model is asked."""

        class Failing(InProcessMemory):
            async def lock_session(self, session: str, *, wait: bool) -> bool:
                raise OSError("no locks")

            async def unlock_session(self, session: str) -> None:
                raise AssertionError("it was not locked")

        async with Runtime(memory=Failing()) as rt:
            with pytest.raises(BackendError, match="session 's': OSError: no locks"):
                await rt.run(Agent(ScriptedModel([])), "hi", session="s")

    async def test_an_unlocking_that_fails(self) -> None:
        """A failure to unlock a stored run is only a warning."""

        class Failing(InProcessMemory):
            async def lock_session(self, session: str, *, wait: bool) -> bool:
                return True

            async def unlock_session(self, session: str) -> None:
                raise OSError("no locks")

        memory = Failing()
        async with Runtime(memory=memory) as rt:
            for number in range(2):
                with pytest.warns(RuntimeWarning, match="unlock session 's': OSError: no locks"):
                    result = await rt.run(Agent(ScriptedModel(["ok"])), "hi", session="s")
                assert result.content == "ok"
                assert (await memory.load("s")).version == number + 1


class Locking(InProcessMemory):
    """A backend that locks sessions among runtimes of one process, with checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.held: set[str] = set()

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """Take the lock once free."""
        await trio.lowlevel.checkpoint()
        while session in self.held:
            if not wait:
                return False
            await trio.sleep(0.01)
        self.held.add(session)
        return True

    async def unlock_session(self, session: str) -> None:
        """Give the lock back."""
        await trio.lowlevel.checkpoint()
        self.held.remove(session)


class TestEverywhere:
    """A backend with locks, and runs that end at any step."""

    def test_cancelled(self) -> None:
        """A run cancelled at any step frees the session, and is stored whole or not at all."""

        async def scenario(point: CancelPoint) -> None:
            memory, pauses = Locking(), Pauses()
            async with Runtime(memory=pauses.memory(memory)) as rt, Runtime(memory=memory) as other:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(functools.partial(other.run, Agent(ScriptedModel(["1"])), "a", session="s"))
                    with point:
                        await rt.run(Agent(pauses.model(ScriptedModel(["2"]))), "b", session="s")
                assert memory.held == set()
                with trio.fail_after(60):
                    await other.run(Agent(ScriptedModel(["3"])), "c", session="s")
            told = [message.text for message in (await memory.load("s")).messages]
            both = (["a", "1", "b", "2", "c", "3"], ["b", "2", "a", "1", "c", "3"])
            assert told in both or (point.cancelled and told == ["a", "1", "c", "3"])

        cancel_everywhere(scenario, at_least=5, virtual=True)

    def test_failing(self) -> None:
        """A failure of the store or of the model frees the session too."""

        async def scenario(faults: Faults) -> None:
            memory = Locking()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a failure to unlock
                async with Runtime(memory=faults.memory(memory)) as rt:
                    try:
                        await rt.run(Agent(faults.model(ScriptedModel(["1"]))), "a", session="s")
                        told = ["a", "1"]
                    except AgnoError as exc:
                        told = ["a", "1"] if "append, done" in str(exc) else []
            assert [message.text for message in (await memory.load("s")).messages] == told

        fail_everywhere(scenario, at_least=5, virtual=True)
