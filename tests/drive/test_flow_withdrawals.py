"""Questions of branches that others cancel: nobody has to answer them any more, from that moment on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Ask, Flow, Runtime, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.run_store import Approval, ApprovalConflict, RunStore
from agno_rt.testing import Pauses, run_schedules

URLS = pytest.mark.parametrize("url", ["memory:", "sqlite:///{}/a.db?synchronous=normal"])


class Race:
    """A workflow in which one branch asks a person, and the other ends first; then a step waits for the test."""

    def __init__(self) -> None:
        self.asked, self.goes, self.is_after, self.ends = (trio.Event() for _ in range(4))
        self.quick = 0

        @step(idempotent=True)
        async def quick_source() -> str:
            """Answer once the question is there."""
            self.quick += 1
            await self.goes.wait()
            return "quick"

        @step(idempotent=True)
        async def wait_for_test() -> None:
            """Wait for the test."""
            self.is_after.set()
            await self.ends.wait()

        @workflow(name="person")
        async def person(flow: Flow) -> str:
            return str(await flow.ask(Ask(str, "Who?")))

        @workflow(name="source")
        async def source(flow: Flow) -> str:
            return await quick_source()

        @workflow(name="nested", runnables=(person, source))
        async def nested(flow: Flow) -> str:
            result = await flow.first(person, source, input="go")
            await wait_for_test()
            return result.content

        @workflow(name="plain")
        async def plain(flow: Flow) -> str:
            found: list[str] = []

            scope = trio.CancelScope()

            async def ask() -> None:
                with scope:
                    found.append(await flow.ask(Ask(str, "Who?")))

            async def look() -> None:
                found.append(await quick_source())
                scope.cancel()

            async with flow.group() as group:
                group.start(ask)
                group.start(look)
            await wait_for_test()
            return found[0]

        self.workflows: dict[str, Any] = {"nested": nested, "plain": plain}


async def wait_for_question(store: RunStore) -> str:
    """Return the id of the question, once it is stored."""
    while not (found := await store.approvals(status="pending")):  # noqa: ASYNC110 - another process would poll, too
        await trio.sleep(0.005)
    return found[0].id


@URLS
@pytest.mark.parametrize("kind", ["plain", "nested"])
async def test_withdrawn_at_once(tmp_path: Path, url: str, kind: str) -> None:
    """The question expires while the run goes on, and an answer is refused."""
    race = Race()
    async with Runtime(memory=url.format(tmp_path)) as rt:
        run = await rt.start(race.workflows[kind], "go")
        assert run.store is not None
        with trio.fail_after(60):
            question = await wait_for_question(run.store)
            race.goes.set()
            await race.is_after.wait()
        assert [each.status for each in await run.store.approvals()] == ["expired"]
        with pytest.raises(ApprovalConflict):
            await rt.answer(question, "me")
        assert run.result is None
        race.ends.set()
        assert (await run.wait()).content == "quick"


def test_withdrawn_while_the_loser_pauses() -> None:
    """The question of a loser expires at once, whatever the loser does at that moment: ask, pause or wait."""

    async def scenario() -> None:
        race, memory = Race(), InProcessMemory()
        async with Runtime(memory=Pauses().memory(memory)) as rt:
            run = await rt.start(race.workflows["nested"], "go")
            while not await memory.approvals(status="pending"):
                await trio.lowlevel.checkpoint()
            for _ in range(next(moments)):
                await trio.lowlevel.checkpoint()
            race.goes.set()
            await race.is_after.wait()
            assert [each.status for each in await memory.approvals()] == ["expired"]
            race.ends.set()
            assert (await run.wait()).content == "quick"

    moments = itertools.cycle(range(12))
    run_schedules(scenario, 120)


class SlowAnswer(InProcessMemory):
    """A store that has written approvals a moment before it says so."""

    async def add_approvals(self, run: str, approvals: Sequence[Approval], *, owner: str) -> None:
        """Write, then wait until the branch is cancelled."""
        await super().add_approvals(run, approvals, owner=owner)
        await trio.sleep_forever()


@pytest.mark.parametrize("kind", ["plain", "nested"])
async def test_withdrawn_while_it_is_written(kind: str) -> None:
    """A question whose branch is cancelled just after it was stored expires, too."""
    race, memory = Race(), SlowAnswer()
    async with Runtime(memory=memory) as rt:
        run = await rt.start(race.workflows[kind], "go")
        with trio.fail_after(60):
            await wait_for_question(memory)
            race.goes.set()
            await race.is_after.wait()
        assert [each.status for each in await memory.approvals()] == ["expired"]
        race.ends.set()
        assert (await run.wait()).content == "quick"


@URLS
@pytest.mark.parametrize("kind", ["plain", "nested"])
async def test_a_run_that_goes_on_later(tmp_path: Path, url: str, kind: str) -> None:
    """A run that is cancelled after the withdrawal has the same answer when it is resumed."""
    race = Race()
    async with Runtime(memory=url.format(tmp_path)) as rt:
        run = await rt.start(race.workflows[kind], "go")
        assert run.store is not None
        with trio.fail_after(60):
            await wait_for_question(run.store)
            race.goes.set()
            await race.is_after.wait()
            run.cancel()
            assert (await run.wait()).status == "cancelled"
            race.ends.set()
            assert (await rt.resume(run.id, race.workflows[kind])).content == "quick"
    assert race.quick == 1


async def test_a_cancelled_run_keeps_its_question(tmp_path: Path) -> None:
    """The question of a run that is cancelled as a whole stays, for the resumed run."""
    race = Race()
    async with Runtime() as rt:
        run = await rt.start(race.workflows["plain"], "go")
        assert run.store is not None
        with trio.fail_after(60):
            await wait_for_question(run.store)
            run.cancel()
            await run.wait()
        assert [each.status for each in await run.store.approvals()] == ["pending"]
