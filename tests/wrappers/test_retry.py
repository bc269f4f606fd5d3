"""A retry asks again after a transient failure, waits as long as the service demands, and says when it gives up."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from agno_rt import Agent, Limits, Runtime
from agno_rt.errors import DeadlineExceeded, ModelError, Overloaded, UsageError
from agno_rt.events import TurnRestarted
from agno_rt.testing import run_virtually
from agno_rt.wrappers.retry import Retry
from tests.services import Reader, Service, ask, busy


def full_jitter() -> float:
    """Return jitter of the whole bound."""
    return 1.0


class TestAsksAgain:
    """Number and times of the attempts."""

    async def test_an_answer_needs_no_retry(self, autojump_clock: MockClock) -> None:
        """A model that answers is asked once, without a wait."""
        retry = Retry(Service("Hello."))

        assert (await retry.respond(ask())).content == "Hello."
        assert retry.retries == 0
        assert trio.current_time() == 0

    async def test_doubles_its_wait_up_to_a_bound(self, autojump_clock: MockClock) -> None:
        """The wait begins at `wait`, doubles each time, and ends at `max_wait`."""
        service = Service(*[busy()] * 5, "Hello.")
        retry = Retry(service, attempts=6, wait=1, max_wait=5, jitter=full_jitter)

        assert (await retry.respond(ask())).content == "Hello."
        assert service.asked_at == [0, 1, 3, 7, 12, 17]
        assert retry.retries == 5

    @given(part=st.floats(0, 1), failures=st.integers(1, 8))
    def test_waits_for_a_part_of_the_bound(self, part: float, failures: int) -> None:
        """Jitter picks a moment between nothing and the bound."""
        service = Service(*[busy()] * failures, "Hello.")
        retry = Retry(service, attempts=9, wait=0.5, max_wait=4, jitter=lambda: part)
        run_virtually(retry.respond, ask())

        assert service.asked_at[-1] == pytest.approx(part * sum(min(4, 0.5 * 2**n) for n in range(failures)), abs=1e-4)

    async def test_its_jitter_is_random(self, autojump_clock: MockClock) -> None:
        """The default jitter spreads requests that failed together."""
        services = [Service(busy(), "Hello.") for _ in range(5)]
        async with trio.open_nursery() as nursery:
            for service in services:
                nursery.start_soon(Retry(service, wait=10).respond, ask())

        assert len({service.asked_at[1] for service in services}) > 1
        assert all(0 <= service.asked_at[1] <= 10 for service in services)

    async def test_any_number_of_attempts(self, autojump_clock: MockClock) -> None:
        """The exponent does not overflow after many attempts."""
        service = Service(*[busy()] * 1_100, "Hello.")

        assert (await Retry(service, attempts=1_101, wait=1, max_wait=1).respond(ask())).content == "Hello."

    async def test_a_group_of_one_error_is_that_error(self, autojump_clock: MockClock) -> None:
        """A group with a single error counts as the error itself."""
        service = Service(ExceptionGroup("nursery", [busy()]), "Hello.")

        assert (await Retry(service).respond(ask())).content == "Hello."


class TestRetryAfter:
    """The service's `retry_after` sets the wait."""

    async def test_waits_as_long_as_the_service_asks(self, autojump_clock: MockClock) -> None:
        """The wait is `retry_after` plus jitter of at most the first wait."""
        service = Service(busy(retry_after=20), "Hello.")
        await Retry(service, wait=0.5, jitter=full_jitter).respond(ask())

        assert service.asked_at == [0, 20.5]

    async def test_no_longer_than_the_bound(self, autojump_clock: MockClock) -> None:
        """The wait with jitter stays within `max_wait`; a negative `retry_after` adds no wait."""
        service = Service(busy(retry_after=30), busy(retry_after=-5), "Hello.")
        await Retry(service, wait=1, jitter=full_jitter).respond(ask())

        assert service.asked_at == [0, 30, 31]

    @pytest.mark.parametrize("seconds", [31.0, float("inf"), float("nan")])
    async def test_asked_for_too_much_it_gives_up(self, seconds: float, autojump_clock: MockClock) -> None:
        """A `retry_after` beyond `max_wait` ends the request at once, and the hint says why."""
        service = Service(busy(retry_after=seconds), "Hello.")
        with pytest.raises(ModelError) as caught:
            await Retry(service).respond(ask())

        assert trio.current_time() == 0
        assert caught.value.hint == f"Wait. The service asks to wait {seconds:g} s, more than max_wait (30 s)."


class TestGivesUp:
    """Errors after the last attempt."""

    async def test_raises_the_last_error(self, autojump_clock: MockClock) -> None:
        """The last error is raised with its cause; its hint has the number of attempts and the time."""
        errors = [busy(), busy(), busy()]
        errors[-1].__cause__ = OSError("refused")
        retry = Retry(Service(*errors), attempts=3, wait=1, jitter=full_jitter)
        with pytest.raises(ModelError) as caught:
            await retry.respond(ask())

        assert caught.value is errors[-1]
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.hint == "Wait. The model was asked 3 times, over 3 s."
        assert errors[0].hint == "Wait."

    @pytest.mark.parametrize(
        "error",
        [ModelError("no key", status=401), Overloaded("full", limit="runs"), ValueError("a bug")],
        ids=["not retryable", "not a model's", "not ours"],
    )
    async def test_other_errors_are_raised_at_once(self, error: Exception, autojump_clock: MockClock) -> None:
        """A permanent error is raised at once, unchanged."""
        service = Service(error, "Hello.")
        with pytest.raises(type(error)) as caught:
            await Retry(service).respond(ask())

        assert caught.value is error
        assert len(service.requests) == 1
        assert str(error) == str(caught.value)
        assert not getattr(error, "hint", "")

    async def test_one_attempt_is_none_again(self, autojump_clock: MockClock) -> None:
        """A single attempt leaves the error unchanged."""
        error = busy()
        with pytest.raises(ModelError) as caught:
            await Retry(Service(error), attempts=1).respond(ask())

        assert caught.value.hint == "Wait."


class TestStreams:
    """Events for readers."""

    async def test_takes_back_what_was_emitted(self, autojump_clock: MockClock) -> None:
        """A restart comes before the wait, and names the failed model and the reason."""
        reader = Reader()
        retry = Retry(Service(["Hel", busy()], ["Hello."]), wait=9, jitter=full_jitter)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(retry.respond, ask(), reader)
            await trio.sleep(5)
            assert isinstance(reader.deltas[-1], TurnRestarted)
            assert retry.waiting == 1

        assert reader.text == "Hello."
        assert reader.restarts == ["service is asked again: it is busy"]
        assert retry.waiting == 0

    async def test_with_nothing_emitted_there_is_no_restart(self, autojump_clock: MockClock) -> None:
        """Without emitted deltas there is no restart."""
        reader = Reader()
        await Retry(Service(busy(), "Hello.")).respond(ask(), reader)

        assert reader.restarts == []

    async def test_through_a_runtime(self, autojump_clock: MockClock) -> None:
        """A run's stream has the restart among its events, and the run has the answer."""
        agent = Agent(Retry(Service(["Hel", busy()], ["Hello."])))
        async with Runtime() as runtime, runtime.stream(agent, "Hi") as events:
            seen = [event async for event in events]

        assert [event.run_id for event in seen if isinstance(event, TurnRestarted)] == [seen[0].run_id]
        assert events.run.result is None or events.run.result.content == "Hello."


class TestWaiting:
    """Waits and the caller's cancel scopes."""

    async def test_ends_at_a_cancellation(self, autojump_clock: MockClock) -> None:
        """A cancelled wait asks no model, and does not count as waiting."""
        service = Service(busy(), "Hello.")
        retry = Retry(service, wait=100, max_wait=100, jitter=full_jitter)
        with trio.move_on_after(50) as scope:
            await retry.respond(ask())

        assert scope.cancelled_caught
        assert trio.current_time() == 50
        assert (retry.waiting, len(service.requests)) == (0, 1)

    async def test_counts_who_waits(self, autojump_clock: MockClock) -> None:
        """Several requests through one wrapper wait side by side."""
        retry = Retry(Service(busy(), busy(), "Hello."), wait=1, jitter=full_jitter)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(retry.respond, ask())
            nursery.start_soon(retry.respond, ask())
            await wait_all_tasks_blocked()
            assert retry.waiting == 2

        assert (retry.waiting, retry.retries) == (0, 2)

    async def test_ends_at_a_runs_deadline(self, autojump_clock: MockClock) -> None:
        """The deadline is raised with its own name."""
        agent = Agent(Retry(Service(busy()), attempts=99, wait=10), limits=Limits(model_timeout=60))
        async with Runtime() as runtime:
            with pytest.raises(DeadlineExceeded) as caught:
                await runtime.run(agent, "Hi")

        assert caught.value.limit == "model_timeout"
        assert trio.current_time() == 60


@pytest.mark.parametrize(
    "settings",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 2.0},
        {"wait": -1},
        {"wait": float("nan")},
        {"max_wait": float("inf")},
        {"max_wait": "1"},
    ],
    ids=str,
)
def test_refuses_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    """A wrong setting raises `UsageError` in the constructor."""
    with pytest.raises(UsageError, match=r"^(attempts|wait|max_wait) is "):
        Retry("a:x", **settings)
