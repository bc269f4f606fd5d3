"""A pool lends things one by one, in order. However a block ends, its thing is reset and lent to the next block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import Agent, AgentPool, ModelRequest, Runtime, ToolCall, tool
from agno_rt.context import Deps
from agno_rt.errors import Overloaded, UsageError
from agno_rt.limits import LimitStatistics
from agno_rt.pool import Pool
from agno_rt.testing import ScriptedModel
from agno_rt.testing.cancelling import CancelPoint, cancel_everywhere
from agno_rt.testing.schedules import pause, run_schedules


@attrs.define(eq=False)
class Browser:
    """A thing with a state."""

    number: int
    page: str = ""
    closed: bool = False
    users: int = 0


class Maker:
    """An opener of browsers that keeps a list of all browsers."""

    def __init__(self, *, opening: float = 0, closing: float = 0) -> None:
        self.opening, self.closing = opening, closing
        self.browsers: list[Browser] = []
        self.begun = 0

    @property
    def open(self) -> list[int]:
        """List the numbers of the open browsers."""
        return [browser.number for browser in self.browsers if not browser.closed]

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        """Open a browser."""
        self.begun += 1
        await trio.sleep(self.opening)
        browser = Browser(len(self.browsers))
        self.browsers.append(browser)
        try:
            yield browser
        finally:
            browser.closed = True
            await trio.sleep(self.closing)


async def blank(browser: Browser) -> None:
    """Reset a browser, with a checkpoint."""
    await trio.lowlevel.checkpoint()
    browser.page = ""


async def test_makes_when_needed_and_lends_again() -> None:
    """Things are made on demand, up to the size. The thing used last is lent first."""
    maker = Maker()
    async with Pool(2, maker.browser, name="browsers") as pool:
        assert (pool.made, pool.idle) == (0, 0)
        async with pool.take() as first, pool.take() as second:
            assert (first.number, second.number) == (0, 1)
            assert pool.statistics() == LimitStatistics("browsers", 2, 2, 0)
        assert (pool.made, pool.idle) == (2, 2)
        async with pool.take() as again:
            assert again is first
        assert pool.made == 2

    assert maker.open == []


async def test_an_idle_thing_is_taken_without_waiting() -> None:
    """Taking an idle thing is not a checkpoint, nor is giving back without a reset."""
    async with Pool(1, Maker().browser) as pool:
        async with pool.take():
            pass
        with trio.CancelScope() as scope:
            scope.cancel()
            async with pool.take():
                pass

    assert not scope.cancelled_caught


async def test_waiters_are_served_in_order() -> None:
    """Waiters are served in order, and each gets a reset thing."""
    served: list[tuple[int, str]] = []
    async with Pool(1, Maker().browser, reset=blank) as pool, trio.open_nursery() as nursery:

        async def visit(number: int) -> None:
            async with pool.take() as browser:
                served.append((number, browser.page))
                browser.page = f"page {number}"
                await trio.lowlevel.checkpoint()

        async with pool.take():
            for number in range(5):
                nursery.start_soon(visit, number)
                await wait_all_tasks_blocked()
            assert pool.statistics() == LimitStatistics("pool", 1, 1, 5)

    assert served == [(number, "") for number in range(5)]


async def test_refuses_beyond_its_queue() -> None:
    """A pool with a bounded queue refuses further waiters at once."""
    async with Pool(1, Maker().browser, queue=0, name="browsers") as pool, pool.take():
        with pytest.raises(Overloaded, match="limit browsers is reached") as caught:
            async with pool.take():
                raise AssertionError("there was none")
        assert caught.value.limit == "browsers"


async def test_a_waiter_that_is_cancelled_as_it_is_handed_one_gives_it_on() -> None:
    """A thing handed to a cancelled waiter goes on to the next waiter, in both orders of the two events."""
    for cancel_first in (True, False):
        served: list[int] = []
        async with Pool(1, Maker().browser) as pool, trio.open_nursery() as nursery:
            scopes = [trio.CancelScope(), trio.CancelScope()]

            async def wait(number: int, pool: Pool[Browser] = pool, served: list[int] = served) -> None:
                with scopes[number]:  # noqa: B023 - each round has its own scopes
                    async with pool.take():
                        await trio.lowlevel.checkpoint()
                        served.append(number)

            taken = pool.take()
            await taken.__aenter__()
            for number in range(2):
                nursery.start_soon(wait, number)
                await wait_all_tasks_blocked()
            if cancel_first:
                scopes[0].cancel()
            await taken.__aexit__(None, None, None)
            scopes[0].cancel()

        assert served == [1]
        assert pool.statistics().in_use == 0


async def test_a_cancelled_block_gives_its_thing_back_reset() -> None:
    """A reset is shielded from the cancellation of the block."""
    async with Pool(1, Maker().browser, reset=blank) as pool:
        with trio.CancelScope() as scope:
            async with pool.take() as browser:
                browser.page = "half read"
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert (pool.idle, pool.dropped, browser.page) == (1, 0, "")


async def test_a_failed_block_gives_its_thing_back_reset() -> None:
    """A failed block raises its own error after the reset. A reset may be synchronous."""
    async with Pool(1, Maker().browser, reset=lambda browser: setattr(browser, "page", "")) as pool:
        used: list[Browser] = []

        async def read() -> None:
            async with pool.take() as browser:
                used.append(browser)
                browser.page = "half read"
                raise ValueError("unreadable")

        with pytest.raises(ValueError, match="unreadable"):
            await read()
        assert (pool.idle, used[0].page) == (1, "")


async def test_a_thing_that_cannot_be_reset_is_replaced() -> None:
    """A thing with a failed reset is closed before the replacement is made. The pool records the error, the caller gets
    none."""
    maker = Maker()

    def refuse(browser: Browser) -> None:
        if browser.number == 0:
            raise RuntimeError("it has crashed")

    async with Pool(1, maker.browser, reset=refuse) as pool:
        for number in range(3):
            async with pool.take() as browser:
                assert browser.number == min(number, 1)
                assert maker.open == [browser.number]
        assert (pool.made, pool.dropped, repr(pool.last_error)) == (2, 1, "RuntimeError('it has crashed')")


async def test_a_reset_has_so_long(autojump_clock: trio.testing.MockClock) -> None:
    """A reset that hangs fails after the timeout, so that the block's end waits no longer."""
    maker = Maker()

    async def hang(browser: Browser) -> None:
        await trio.sleep_forever()

    async with Pool(1, maker.browser, reset=hang, timeout=3) as pool:
        async with pool.take():
            pass
        assert trio.current_time() == 3
        assert (pool.idle, pool.dropped, maker.open) == (0, 1, [])
        assert str(pool.last_error) == "the reset took longer than 3 s"


async def test_what_fails_to_be_made_is_told_to_who_asked() -> None:
    """An error in making reaches the caller bare. The place is free again, and the next caller gets a new thing."""
    maker, refusals = Maker(), [ValueError("no display")]

    @asynccontextmanager
    async def make() -> AsyncIterator[Browser]:
        async with trio.open_nursery(), maker.browser() as browser:
            if refusals:
                raise refusals.pop()
            yield browser

    async with Pool(1, make) as pool:
        with pytest.raises(ValueError, match="no display"):
            async with pool.take():
                raise AssertionError("there was none")
        assert pool.statistics().in_use == 0
        async with pool.take() as browser:
            assert browser.number == 1


async def test_making_ends_with_who_asked_for_it(autojump_clock: trio.testing.MockClock) -> None:
    """A deadline around the block also bounds the making."""
    maker = Maker(opening=60)
    async with Pool(1, maker.browser) as pool:
        with trio.move_on_after(5) as scope:
            async with pool.take():
                raise AssertionError("it was too late")
        assert scope.cancelled_caught
        assert trio.current_time() == 5
        assert (maker.begun, pool.made, pool.statistics().in_use) == (1, 0, 0)


async def test_what_is_made_although_nobody_waits_any_more_is_closed() -> None:
    """A thing whose making ignores the cancellation is closed as soon as made."""
    maker, go = Maker(), trio.Event()

    @asynccontextmanager
    async def make() -> AsyncIterator[Browser]:
        with trio.CancelScope(shield=True) as shield:
            await go.wait()
            async with maker.browser() as browser:
                shield.shield = False
                yield browser

    async with Pool(1, make) as pool, trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def wait() -> None:
            with scope:
                async with pool.take():
                    raise AssertionError("it was too late")

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        scope.cancel()
        await wait_all_tasks_blocked()
        go.set()
        await wait_all_tasks_blocked()
        assert scope.cancelled_caught
        assert (len(maker.browsers), maker.open, pool.statistics().in_use) == (1, [], 0)


async def test_a_thing_that_ends_by_itself_is_replaced() -> None:
    """A connection whose own task fails is not lent again."""
    broken: list[trio.Event] = []

    @asynccontextmanager
    async def connection() -> AsyncIterator[int]:
        async def watch(event: trio.Event) -> None:
            await event.wait()
            raise OSError("the peer has gone")

        async with trio.open_nursery() as nursery:
            broken.append(trio.Event())
            nursery.start_soon(watch, broken[-1])
            yield len(broken)
            nursery.cancel_scope.cancel()

    async with Pool(1, connection) as pool:
        async with pool.take() as number:
            assert number == 1
        broken[0].set()
        await wait_all_tasks_blocked()
        assert (pool.idle, pool.dropped, repr(pool.last_error)) == (0, 1, "OSError('the peer has gone')")
        async with pool.take() as number:
            assert number == 2
            broken[1].set()
            await wait_all_tasks_blocked()
        assert (pool.idle, pool.dropped) == (0, 2)
        async with pool.take() as number:
            assert number == 3


async def test_what_an_async_function_made_is_closed_by_its_aclose() -> None:
    """A thing made by an async function is closed by its own `aclose`."""

    class Client:
        closed = 0

        async def aclose(self) -> None:
            """Close it."""
            Client.closed += 1

    async def connect() -> Client:
        await trio.lowlevel.checkpoint()
        return Client()

    async with Pool(2, connect) as pool, pool.take(), pool.take():
        assert Client.closed == 0

    assert Client.closed == 2


async def test_leaving_waits_until_all_are_given_back() -> None:
    """Closing a pool waits for lent things. Waiters get an error."""
    maker, seen = Maker(), list[object]()
    give_back = trio.Event()

    async def hold() -> None:
        async with pool.take() as browser:
            await give_back.wait()
            seen.append(browser.closed)

    async def wait() -> None:
        with pytest.raises(UsageError, match="browsers was closed meanwhile"):
            async with pool.take():
                raise AssertionError("there was none")
        seen.append("told")

    async with trio.open_nursery() as nursery, Pool(1, maker.browser, name="browsers") as pool:
        nursery.start_soon(hold)
        await wait_all_tasks_blocked()
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        nursery.start_soon(pool.aclose)
        await wait_all_tasks_blocked()
        with pytest.raises(UsageError, match="browsers is not open"):
            async with pool.take():
                raise AssertionError("there was none")
        assert maker.open == [0]
        give_back.set()

    assert seen == [False, "told"]
    assert maker.open == []


async def test_cancelled_around_the_pool_the_block_ends_first() -> None:
    """A cancelled block can still use its thing while unwinding."""
    maker, seen = Maker(), []
    with trio.CancelScope() as scope:
        async with Pool(1, maker.browser) as pool, pool.take() as browser:
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked()
                    seen.append(browser.closed)

    assert scope.cancelled_caught
    assert seen == [False]
    assert maker.open == []


async def test_cancelled_while_it_waits_for_others_it_closes_at_once() -> None:
    """A cancelled pool does not wait for holders outside the pool's scope."""
    maker, done = Maker(), trio.Event()

    async def hold(pool: Pool[Browser]) -> None:
        async with pool.take() as browser:
            await done.wait()
            assert browser.closed

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with Pool(1, maker.browser) as pool:
                nursery.start_soon(hold, pool)
                await wait_all_tasks_blocked()
                scope.cancel()
        assert scope.cancelled_caught
        assert maker.open == []
        done.set()

    assert pool.statistics().in_use == 0


async def test_closing_has_so_long(autojump_clock: trio.testing.MockClock) -> None:
    """Closing a thing beyond the timeout raises `TimeoutError`."""
    maker = Maker(closing=60)
    with pytest.raises(TimeoutError, match="closing took longer than 2 s"):
        async with Pool(2, maker.browser, timeout=2) as pool, pool.take(), pool.take():
            pass

    assert trio.current_time() == 2


async def test_a_failure_to_close_does_not_hide_the_blocks_error() -> None:
    """An error in closing becomes a note of the block's error."""

    @asynccontextmanager
    async def make() -> AsyncIterator[int]:
        yield 1
        raise OSError("stuck")

    async def use() -> None:
        async with Pool(1, make, name="things") as pool:
            async with pool.take():
                pass
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        await use()

    assert caught.value.__notes__ == ["things: OSError: stuck"]


async def test_wrong_use_is_told() -> None:
    """Errors for wrong use say what to do."""
    with pytest.raises(UsageError, match="size is 0"):
        Pool(0, Maker().browser)
    with pytest.raises(UsageError, match="timeout is 0"):
        Pool(1, Maker().browser, timeout=0)
    pool = Pool(1, Maker().browser)
    with pytest.raises(UsageError, match="pool is not open"):
        await pool.take().__aenter__()
    async with pool:
        with pytest.raises(UsageError, match="open already"):
            await pool.__aenter__()
        taking = pool.take()
        async with taking:
            with pytest.raises(UsageError, match="taken already"):
                await taking.__aenter__()
    async with AgentPool(1, lambda: "an agent") as agents:  # type: ignore[arg-type,return-value]
        with pytest.raises(UsageError, match="agents: str was made, which is not an Agent"):
            await agents.take().__aenter__()


async def test_a_pool_is_opened_again() -> None:
    """A closed pool may be opened again, with new things."""
    maker = Maker()
    pool = Pool(1, maker.browser)
    for number in range(2):
        async with pool, pool.take() as browser:
            assert browser.number == number


async def test_runs_of_pooled_agents() -> None:
    """A pooled agent runs with a browser of its own."""
    maker = Maker()

    @asynccontextmanager
    async def reader() -> AsyncIterator[Agent]:
        async with maker.browser() as browser:

            @tool
            async def visit(url: str) -> str:
                """Open a page."""
                browser.users += 1
                await trio.lowlevel.checkpoint()
                assert browser.users == 1
                browser.users -= 1
                return f"{url} in browser {browser.number}"

            def answer(request: ModelRequest) -> ToolCall | str:
                last = request.messages[-1]
                return last.text if last.role == "tool" else ToolCall("1", "visit", '{"url": "a"}')

            yield Agent(ScriptedModel(answer), "reader", tools=[visit])

    answers: list[str] = []
    async with Runtime() as runtime, AgentPool(3, reader) as agents, trio.open_nursery() as nursery:

        async def one() -> None:
            async with agents.take() as agent:
                answers.append((await runtime.run(agent, "Read.")).content)

        for _ in range(20):
            nursery.start_soon(one)

    assert sorted(set(answers)) == [f"a in browser {number}" for number in range(3)]
    assert (len(answers), agents.made, maker.open) == (20, 3, [])


async def test_a_pooled_dependency() -> None:
    """One agent is shared, and each run gets a pooled dependency."""

    @tool
    async def page(browser: Deps[Browser]) -> str:
        """The page."""
        return browser.page

    agent = Agent(ScriptedModel([ToolCall("1", "page", "{}"), "Done."]), tools=[page])
    async with Runtime() as runtime, Pool(1, Maker().browser, reset=blank) as pool, pool.take() as browser:
        browser.page = "news"
        result = await runtime.run(agent, "Read.", deps=browser)

    assert [message.text for message in result.messages if message.role == "tool"] == ["news"]


async def _use_pool() -> None:
    """Take things in many tasks. Some tasks are cancelled, some fail, and some resets fail."""
    maker, resets = Maker(), 0

    async def reset(browser: Browser) -> None:
        nonlocal resets
        resets += 1
        assert browser.users == 0
        await pause()
        if resets % 4 == 0:
            raise RuntimeError("it has crashed")

    async def use(number: int) -> None:
        with trio.CancelScope() as scope:
            try:
                async with pool.take() as browser:
                    browser.users += 1
                    assert browser.users == 1
                    assert not browser.closed
                    try:
                        if number % 3 == 0:
                            scope.cancel()
                        await pause()
                        if number % 3 == 1:
                            raise ValueError(number)
                    finally:
                        browser.users -= 1
            except ValueError:
                pass

    try:
        async with Pool(2, maker.browser, reset=reset) as pool:
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(use, number)
            assert pool.statistics() == LimitStatistics("pool", 2, 0, 0)
            assert pool.idle == len(maker.open) <= 2
            assert pool.made == len(maker.browsers) <= 2 + pool.dropped
    finally:
        assert maker.open == []


def test_in_many_orders() -> None:
    """No thing is lent twice or closed, in any order of tasks, and all things are closed in the end."""
    run_schedules(_use_pool, 100)


def test_cancelled_anywhere() -> None:
    """A cancellation at any checkpoint leaves no thing open or taken."""

    async def scenario(point: CancelPoint) -> None:
        with point:
            await _use_pool()

    cancel_everywhere(scenario, at_least=20)
