"""The schedule fuzzer finds planted races, names the seed, and repeats the failure with the seed."""

from __future__ import annotations

import re
from functools import partial

import pytest
import trio

import agno_rt.testing._scheduling as scheduling
from agno_rt import Agent, Runtime
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import SessionConflict, UsageError
from agno_rt.memory import MemoryBackend
from agno_rt.testing import Pauses, ScriptedModel, pause, run_schedules


def seed_of(caught: pytest.ExceptionInfo[BaseException]) -> int:
    """Return the seed named by a failure."""
    told = r"seed (\d+), after \1 that passed. Replay it: first=\1, count=1, or pytest --agno-rt-seed=\1\."
    found = re.search(told, "\n".join(caught.value.__notes__))
    assert found is not None
    return int(found[1])


class TestFindsRaces:
    """Planted bugs invisible in a plain run."""

    def test_a_lost_update(self) -> None:
        """A lost update of two tasks is found, and repeated by the seed alone."""

        async def scenario() -> None:
            total = 0

            async def add() -> None:
                nonlocal total
                seen = total
                await pause()
                total = seen + 1

            async with trio.open_nursery() as nursery:
                nursery.start_soon(add)
                nursery.start_soon(add)
            assert total == 2

        with pytest.raises(AssertionError) as caught:
            run_schedules(scenario, 100)
        seed = seed_of(caught)
        for _ in range(3):
            with pytest.raises(AssertionError):
                run_schedules(scenario, 1, first=seed)

        assert run_schedules(scenario, seed) == seed

    def test_a_task_that_is_far_slower_than_another(self) -> None:
        """Some schedules slow a task down, so that few steps take longer than many."""

        async def scenario() -> None:
            done: list[str] = []

            async def work(name: str, steps: int) -> None:
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                done.append(name)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(work, "short", 2)
                nursery.start_soon(work, "long", 20)
            assert done == ["short", "long"]

        with pytest.raises(AssertionError):
            run_schedules(scenario, 200)

    def test_a_deadlock(self) -> None:
        """Two locks taken in opposite orders are found as a hang, with the line of each waiting task."""

        async def scenario() -> None:
            one, two = trio.Lock(), trio.Lock()

            async def both(first: trio.Lock, second: trio.Lock) -> None:
                async with first:
                    await pause()
                    async with second:
                        pass

            async with trio.open_nursery() as nursery:
                nursery.start_soon(both, one, two)
                nursery.start_soon(both, two, one)

        with pytest.raises(AssertionError, match=r"it hangs: .*in both \(.*; .*in both \("):
            run_schedules(scenario, 100)

    def test_what_a_fast_stand_in_hides(self) -> None:
        """A backend without checkpoints hides a conflict; `Pauses` around the backend shows the conflict."""

        async def scenario(memory: MemoryBackend) -> None:
            async def write() -> None:
                session = await memory.load("s")
                await memory.append("s", [], version=session.version)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                nursery.start_soon(write)

        assert run_schedules(lambda: scenario(InProcessMemory()), 100) == 100
        with pytest.RaisesGroup(SessionConflict) as caught:
            run_schedules(lambda: scenario(Pauses().memory(InProcessMemory())), 100)
        assert seed_of(caught) < 100


class TestSchedules:
    """Effects of a seed."""

    def test_a_seed_is_a_schedule(self) -> None:
        """Equal seeds give equal orders, and different seeds give many orders."""
        orders: list[str] = []

        async def scenario() -> None:
            order: list[str] = []

            async def step(name: str) -> None:
                for _ in range(3):
                    await trio.lowlevel.checkpoint()
                    order.append(name)

            async with trio.open_nursery() as nursery:
                for name in "abcd":
                    nursery.start_soon(step, name)
            orders.append("".join(order))

        run_schedules(scenario, 50)
        run_schedules(scenario, 50)

        assert orders[:50] == orders[50:]
        assert len(set(orders)) > 40

    def test_all_tasks_come_to_an_end(self) -> None:
        """No task waits for ever, and the clock is virtual."""
        ends: list[float] = []

        async def scenario() -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(trio.sleep, 3_600)
            ends.append(trio.current_time())

        assert run_schedules(scenario, 30) == 30
        assert ends == [3_600] * 30

    def test_a_real_clock(self) -> None:
        """Without the virtual clock, time is the machine's."""

        async def scenario() -> None:
            assert trio.current_time() > 0

        assert run_schedules(scenario, 3, virtual=False) == 3

    async def test_pause_is_a_checkpoint(self) -> None:
        """`pause` is a checkpoint, even without a seed."""
        with trio.CancelScope() as scope:
            scope.cancel()
            await pause()

        assert scope.cancelled_caught

    def test_trio_is_as_it_was_afterwards(self) -> None:
        """trio's own order is restored, even after a failure."""
        module = scheduling.find_trio_scheduler()
        before = module._r, module._ALLOW_DETERMINISTIC_SCHEDULING

        async def scenario() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run_schedules(scenario)

        assert (module._r, module._ALLOW_DETERMINISTIC_SCHEDULING) == before
        assert scheduling.current_scheduler() is None

    async def test_needs_a_test_that_is_not_async(self) -> None:
        """The function runs trio itself, and raises `UsageError` within a trio run."""

        async def scenario() -> None:
            raise NotImplementedError

        with pytest.raises(UsageError, match="it is running already"):
            run_schedules(scenario)

    def test_a_trio_that_does_not_ask(self) -> None:
        """A schedule without an effect on trio raises an error instead of passing."""
        with pytest.raises(UsageError, match="did not ask for an order"), scheduling.use_seed(1):
            pass

    def test_a_trio_that_is_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A trio with another scheduler raises an error with the supported versions."""
        monkeypatch.delattr(scheduling.find_trio_scheduler(), "_ALLOW_DETERMINISTIC_SCHEDULING")
        with pytest.raises(UsageError, match="has no _ALLOW_DETERMINISTIC_SCHEDULING") as caught:
            run_schedules(trio.lowlevel.checkpoint, 1)

        assert "Use trio 0.32" in caught.value.hint


def test_two_runs_on_one_session() -> None:
    """Under a thousand schedules no message of two runs is lost, and their messages do not mix."""

    async def scenario() -> None:
        pauses = Pauses()
        memory = InProcessMemory()
        scripts = {"a?": ["a!"], "b?": ["b!"]}
        with ScriptedModel(scripts) as model:
            agent = Agent(pauses.model(model))
            async with Runtime(memory=pauses.memory(memory)) as rt, trio.open_nursery() as nursery:
                for text in scripts:
                    nursery.start_soon(partial(rt.run, agent, text, session="s"))
        texts = [message.text for message in (await memory.load("s")).messages]
        assert texts in (["a?", "a!", "b?", "b!"], ["b?", "b!", "a?", "a!"])

    run_schedules(scenario, 1_000)
