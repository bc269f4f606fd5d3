"""A rate limit admits requests at its rate, in order and in turns, and loses nothing when a caller gives up."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from agno_rt import Agent, Limits, Runtime, tool
from agno_rt.errors import DeadlineExceeded, ModelError, Overloaded, UsageError
from agno_rt.limits import LimitStatistics
from agno_rt.messages import Usage
from agno_rt.models import ModelResponse, ModelSettings
from agno_rt.testing import run_schedules, run_virtually
from agno_rt.wrappers.rate_limit import RateLimit
from agno_rt.wrappers.retry import Retry
from tests.services import PAUSE, Act, Service, ask, busy


def response_using(tokens: int) -> ModelResponse:
    """Return a response with the tokens as usage."""
    return ModelResponse("Hello.", usage=Usage(tokens, 0))


async def ask_all(limit: RateLimit, count: int, user: str | None = None) -> None:
    """Ask `count` times at once, in order."""
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(limit.respond, ask(user=user))
            await wait_all_tasks_blocked()


class TestRequests:
    """Requests in a period."""

    async def test_lets_a_periods_worth_through_at_once(self, autojump_clock: MockClock) -> None:
        """A period's requests pass at once; then one passes each time the bucket has room, without polling."""
        service = Service("Hello.")
        await ask_all(RateLimit(service, requests=3, per=60), 6)

        assert service.asked_at == [0, 0, 0, 20, 40, 60]

    async def test_a_burst_is_what_may_be_saved_up(self, autojump_clock: MockClock) -> None:
        """A shorter burst spreads the same rate; a burst is at least one request."""
        spread, one = Service("Hello."), Service("Hello.")
        await ask_all(RateLimit(spread, requests=60, per=60, burst=2), 4)
        began = trio.current_time()
        await ask_all(RateLimit(one, requests=1, per=10, burst=0.5), 3)

        assert spread.asked_at == [0, 0, 1, 2]
        assert [at - began for at in one.asked_at] == [0, 10, 20]

    async def test_is_filled_while_nobody_asks(self, autojump_clock: MockClock) -> None:
        """The bucket fills up to its size while idle, and no further."""
        service = Service("Hello.")
        limit = RateLimit(service, requests=2, per=10)
        await ask_all(limit, 2)
        await trio.sleep(1_000)
        await ask_all(limit, 3)

        assert service.asked_at == [0, 0, 1_000, 1_000, 1_005]

    async def test_with_room_it_does_not_wait(self) -> None:
        """With room in the bucket there is no checkpoint before the model."""
        with trio.CancelScope() as scope:
            scope.cancel()
            await RateLimit(Service("Hello."), requests=1, tokens=1_000).respond(ask())

        assert not scope.cancelled_caught

    @settings(deadline=None, max_examples=60)
    @given(
        rate=st.floats(0.3, 1e6),
        per=st.floats(1e-3, 1e5),
        count=st.integers(1, 30),
        burst=st.floats(1e-3, 1e3) | st.none(),
    )
    def test_never_more_than_the_rate(self, rate: float, per: float, count: int, burst: float | None) -> None:
        """Any span admits at most the bucket and its refill, for all settings; all requests end."""
        service = Service("Hello.")
        limit = RateLimit(service, requests=rate, per=per, burst=burst)
        run_virtually(ask_all, limit, count)
        size = max(1.0, rate * (per if burst is None else burst) / per)

        assert len(service.asked_at) == count
        for first in range(count):
            for last in range(first, count):
                span = service.asked_at[last] - service.asked_at[first]
                assert last - first + 1 <= size + span * rate / per + 1e-3 + 2e-6 * rate / per


class TestTokens:
    """Tokens in a period."""

    async def test_settles_with_what_was_used(self, autojump_clock: MockClock) -> None:
        """Usage beyond the estimate is a debt, paid back before the next request."""
        service = Service(response_using(100), response_using(300), response_using(10))
        limit = RateLimit(service, tokens=100, per=100)
        for _ in range(3):
            await limit.respond(ask())

        # The estimate of "Hi" is 5: after the first request the bucket is empty, after the second the debt is 300.
        assert service.asked_at == [0, 5, 305]

    async def test_gives_back_what_was_not_used(self, autojump_clock: MockClock) -> None:
        """A waiting request passes as soon as the usage of another turns out lower than its estimate."""
        service = Service([10.0, response_using(20)])
        limit = RateLimit(service, tokens=1_000, per=10_000)
        big = ask(settings=ModelSettings(max_tokens=900))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(limit.respond, big)
            await wait_all_tasks_blocked()
            nursery.start_soon(limit.respond, big)

        assert service.asked_at == [0, 10]
        assert limit.statistics()[0].in_use == pytest.approx(40 - 20 / 10)

    async def test_a_response_without_usage_used_the_estimate(self, autojump_clock: MockClock) -> None:
        """A response without usage counts as its estimate, and so does a failure."""
        service = Service(ModelResponse("Hello."), busy(), "Hello.")
        limit = RateLimit(service, tokens=10, per=10)
        await limit.respond(ask())
        with pytest.raises(ModelError):
            await limit.respond(ask())
        await limit.respond(ask())

        assert service.asked_at == [0, 0, 5]

    async def test_larger_than_the_bucket(self, autojump_clock: MockClock) -> None:
        """A request larger than the bucket waits for a full bucket, then leaves a debt; a refusal would never end."""
        service = Service(response_using(50), response_using(500), response_using(5))
        limit = RateLimit(service, tokens=100, per=100)
        await limit.respond(ask())
        await limit.respond(ask(settings=ModelSettings(max_tokens=500)))
        await limit.respond(ask())

        assert service.asked_at == [0, 50, 455]

    async def test_counts_tools_and_schemas(self, autojump_clock: MockClock) -> None:
        """The estimate includes tools and schemas."""

        @tool
        def look(where: str) -> str:
            """Look somewhere."""
            return where

        plain, told = (RateLimit(Service(ModelResponse("Hi.")), tokens=1_000_000) for _ in range(2))
        await plain.respond(ask("x" * 400))
        await told.respond(ask("x" * 400, tools=[look], output={"type": "object"}))

        assert plain.statistics()[0].in_use == pytest.approx(104, abs=1)
        assert plain.statistics()[0].in_use + 20 < told.statistics()[0].in_use

    async def test_both_limits_hold(self, autojump_clock: MockClock) -> None:
        """With two limits, the slower one decides each time."""
        service = Service(response_using(5), response_using(55), response_using(5))
        limit = RateLimit(service, requests=1, tokens=10, per=10)
        for _ in range(3):
            await limit.respond(ask())

        assert service.asked_at == [0, 10, 60]


class TestRefusals:
    """Refusals by the provider."""

    async def test_nobody_asks_before_the_provider_said(self, autojump_clock: MockClock) -> None:
        """After `retry_after`, all requests wait for the provider's time: repeated, queued and new."""
        service = Service(busy(status=503, retry_after=30), "Hello.")
        limit = RateLimit(service, requests=100)
        with pytest.raises(ModelError):
            await limit.respond(ask())
        await ask_all(limit, 2)

        assert service.asked_at == [0, 30, 30]

    async def test_a_429_empties_the_buckets(self, autojump_clock: MockClock) -> None:
        """A 429 empties the buckets; refilling begins at the refusal."""
        service = Service(busy(status=429), "Hello.")
        limit = RateLimit(service, requests=6, tokens=600, per=60)
        with pytest.raises(ModelError):
            await limit.respond(ask())
        await ask_all(limit, 2)

        assert service.asked_at == [0, 10, 20]

    async def test_who_waits_already_waits_longer(self, autojump_clock: MockClock) -> None:
        """A refusal delays requests that already wait."""
        service = Service([5.0, busy(status=429, retry_after=100)], "Hello.")
        limit = RateLimit(service, requests=1, per=10)
        async with trio.open_nursery() as nursery:

            async def refused() -> None:
                with pytest.raises(ModelError):
                    await limit.respond(ask())

            nursery.start_soon(refused)
            await wait_all_tasks_blocked()
            nursery.start_soon(limit.respond, ask())

        assert service.asked_at == [0, 105]

    @pytest.mark.parametrize("seconds", [math.inf, math.nan, -5.0])
    async def test_a_wait_that_is_none(self, seconds: float, autojump_clock: MockClock) -> None:
        """An infinite, negative or NaN `retry_after` is ignored."""
        service = Service(busy(retry_after=seconds), "Hello.")
        limit = RateLimit(service, requests=10)
        with pytest.raises(ModelError):
            await limit.respond(ask())
        await limit.respond(ask())

        assert service.asked_at == [0, 0]

    async def test_under_a_retry(self, autojump_clock: MockClock) -> None:
        """Requests refused together are retried within the rate."""
        refusals: list[list[Act]] = [[1.0, busy(status=429, retry_after=30)] for _ in range(3)]
        service = Service(*refusals, "Hello.")
        limit = Retry(RateLimit(service, requests=3, per=30), wait=0)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(limit.respond, ask())

        assert service.asked_at == [0, 0, 0, 31, 31, 31]

    async def test_other_errors_are_no_matter(self, autojump_clock: MockClock) -> None:
        """Other errors are raised unchanged, and do not slow the limit."""
        error = ValueError("a bug")
        limit = RateLimit(Service(error, "Hello."), requests=2)
        with pytest.raises(ValueError, match="a bug") as caught:
            await limit.respond(ask())
        await limit.respond(ask())

        assert caught.value is error
        assert trio.current_time() == 0


class TestQueue:
    """Order and length of the queue."""

    async def test_refuses_beyond_the_queue(self, autojump_clock: MockClock) -> None:
        """A full queue refuses at once; the error names the limit, the model and a remedy."""
        limit = RateLimit(Service("Hello."), requests=1, tokens=1e9, per=60, queue=1)
        async with trio.open_nursery() as nursery:
            await limit.respond(ask())
            nursery.start_soon(limit.respond, ask())
            await wait_all_tasks_blocked()
            with pytest.raises(
                Overloaded, match=r"limit requests of service is reached: 1 in 60 s, 1 waiting\n"
            ) as caught:
                await limit.respond(ask())
            assert trio.current_time() == 0

        assert caught.value.limit == "requests"
        assert caught.value.hint == "Try again later, or raise requests or the queue (1) of its RateLimit."

    async def test_names_the_tokens(self, autojump_clock: MockClock) -> None:
        """The error names the exhausted limit, and a wait requested by the provider."""
        limit = RateLimit(Service(response_using(100)), requests=100, tokens=10, queue=0)
        await limit.respond(ask())
        with pytest.raises(Overloaded, match="limit tokens of service") as caught:
            await limit.respond(ask())
        assert caught.value.limit == "tokens"
        asked = RateLimit(Service(busy(retry_after=30)), requests=100, queue=0)
        with pytest.raises(ModelError):
            await asked.respond(ask())
        with pytest.raises(Overloaded, match="and the provider asked to wait"):
            await asked.respond(ask())

    async def test_a_newcomer_does_not_pass(self, autojump_clock: MockClock) -> None:
        """A small new request does not pass a large one in the queue."""
        service = Service(response_using(50), response_using(1))
        limit = RateLimit(service, tokens=100, per=100)
        await limit.respond(ask())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(limit.respond, ask("large " * 60))
            await wait_all_tasks_blocked()
            nursery.start_soon(limit.respond, ask("small"))

        assert [request.messages[0].text[:5] for request in service.requests] == ["Hi", "large", "small"]

    async def test_one_that_gave_up_is_passed_over(self, autojump_clock: MockClock) -> None:
        """After a request gives up, the next in line takes its place and its moment."""
        service = Service("Hello.")
        limit = RateLimit(service, requests=1, per=10)
        await limit.respond(ask())
        async with trio.open_nursery() as nursery:
            scopes = [trio.CancelScope() for _ in range(3)]

            async def give_up(scope: trio.CancelScope) -> None:
                with scope:
                    await limit.respond(ask())

            for scope in scopes:
                nursery.start_soon(give_up, scope)
                await wait_all_tasks_blocked()
            await trio.sleep(5)
            scopes[0].cancel()
            scopes[1].cancel()
            await wait_all_tasks_blocked()
            assert limit.waiting == 1

        assert service.asked_at == [0, 10]
        assert limit.waiting == 0

    async def test_one_that_gives_up_as_its_turn_comes(self, autojump_clock: MockClock) -> None:
        """A request cancelled at its turn uses no tokens, and is not sent."""
        service = Service([10.0, response_using(20)])
        limit = RateLimit(service, tokens=1_000, per=10_000)
        big = ask(settings=ModelSettings(max_tokens=900))
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def give_up() -> None:
                with scope:
                    await limit.respond(big)

            async def finish() -> None:
                await limit.respond(big)
                scope.cancel()

            nursery.start_soon(finish)
            await wait_all_tasks_blocked()
            nursery.start_soon(give_up)

        assert service.asked_at == [0]
        assert limit.statistics()[0].in_use == 20 - 10 / 10

    async def test_is_given_up_at_a_runs_deadline(self, autojump_clock: MockClock) -> None:
        """The wait counts towards the model's deadline."""
        limit = RateLimit(Service("Hello."), requests=1)
        async with Runtime() as runtime:
            agent = Agent(limit, limits=Limits(model_timeout=5))
            await runtime.run(agent, "Hi")
            with pytest.raises(DeadlineExceeded):
                await runtime.run(agent, "Hi")
            assert runtime.statistics()[-1] == LimitStatistics("requests of service", 1, 1 - 5 / 60, 0)


class TestFairness:
    """Users take turns."""

    async def test_a_burst_of_one_does_not_hold_up_others(self, autojump_clock: MockClock) -> None:
        """Users take turns; the requests of each user keep their order."""
        service = Service("Hello.")
        limit = RateLimit(service, requests=1, per=1)
        users = ["a", "a", "a", "a", "b", "c", "b"]
        async with trio.open_nursery() as nursery:
            for number, user in enumerate(users):
                nursery.start_soon(limit.respond, ask(str(number), user=user))
                await wait_all_tasks_blocked()

        asked = [(request.user, request.messages[0].text) for request in service.requests]
        assert asked == [("a", "0"), ("a", "1"), ("b", "4"), ("c", "5"), ("a", "2"), ("b", "6"), ("a", "3")]

    async def test_who_fills_the_queue_gives_way(self, autojump_clock: MockClock) -> None:
        """A full queue refuses the last request of the busiest user in favour of a newcomer with fewer requests."""
        service = Service("Hello.")
        limit = RateLimit(service, requests=1, per=1, queue=4)
        refused: list[str] = []

        async def run(user: str, number: int) -> None:
            try:
                await limit.respond(ask(str(number), user=user))
            except Overloaded:
                refused.append(f"{user}{number}")

        await limit.respond(ask())
        async with trio.open_nursery() as nursery:
            for number, user in enumerate("aaaabbb"):
                nursery.start_soon(run, user, number)
                await wait_all_tasks_blocked()
                assert limit.waiting <= 4

        assert refused == ["a3", "a2", "b6"]
        assert [request.messages[0].text for request in service.requests[1:]] == ["0", "4", "1", "5"]

    async def test_runs_without_a_user_are_of_one(self, autojump_clock: MockClock) -> None:
        """Runs without a user share one user's turns."""
        service = Service("Hello.")
        limit = RateLimit(service, requests=1, per=1)
        async with trio.open_nursery() as nursery:
            for user in (None, None, None, None, "b"):
                nursery.start_soon(limit.respond, ask(user=user))
                await wait_all_tasks_blocked()

        assert [request.user for request in service.requests] == [None, None, "b", None, None]


class TestStatistics:
    """Statistics of the limits."""

    async def test_says_what_is_spent_and_who_waits(self, autojump_clock: MockClock) -> None:
        """The use falls as time goes by; a debt is more than the size."""
        limit = RateLimit(Service([1.0, response_using(900)]), requests=1, tokens=600)
        assert limit.statistics() == (
            LimitStatistics("requests of service", 1, 0, 0),
            LimitStatistics("tokens of service", 600, 0, 0),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(limit.respond, ask())
            await wait_all_tasks_blocked()
            nursery.start_soon(limit.respond, ask())
            await trio.sleep(1.5)
            requests, tokens = limit.statistics()
            assert (requests.waiting, tokens.waiting) == (1, 1)
            assert requests.in_use == pytest.approx(1 - 1.5 / 60)
            assert tokens.in_use > 600
            nursery.cancel_scope.cancel()

    def test_can_be_asked_outside_of_trio(self) -> None:
        """Outside of trio the statistics have the last state."""
        limit = RateLimit(Service("Hello."), requests=2)
        run_virtually(limit.respond, ask())

        assert limit.statistics()[0].in_use == 1


def test_under_many_schedules() -> None:
    """While users give up at any moment, all others are served in turns, within the time of the rate."""

    async def scenario() -> None:
        service = Service([PAUSE, "Hello."])
        limit = RateLimit(service, requests=1, per=1)
        served: list[int] = []

        async def run(number: int, patience: float) -> None:
            with trio.move_on_after(patience):
                await limit.respond(ask(user=str(number % 3)))
                served.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(run, number, 2.0 if number % 4 == 1 else math.inf)

        assert set(served) >= {number for number in range(12) if number % 4 != 1}
        # A request that gave up has cost no permit: one second passes for each request but the first.
        assert service.asked_at == list(range(len(service.asked_at)))
        assert limit.waiting == 0

    run_schedules(scenario, 300)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"requests": 0},
        {"tokens": -1},
        {"requests": True},
        {"requests": "1"},
        {"requests": 1, "per": 0},
        {"requests": 1, "per": math.inf},
        {"requests": 1, "burst": 0},
        {"requests": 1, "queue": -1},
        {"requests": 1, "queue": 1.5},
    ],
    ids=str,
)
def test_refuses_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    """A wrong setting raises `UsageError` in the constructor."""
    with pytest.raises(UsageError, match=r"a rate limit has no limit|(requests|tokens|per|burst|queue) is "):
        RateLimit("a:x", **settings)
