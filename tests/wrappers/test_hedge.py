"""A hedge takes the first answer, and returns after the other models have ended."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from agno_rt import Agent, Runtime
from agno_rt.errors import ModelError, UsageError
from agno_rt.events import Delta
from agno_rt.models import Emit, ModelRequest, ModelResponse
from agno_rt.testing import run_schedules
from agno_rt.wrappers.fallback import Hedge
from tests.services import PAUSE, Act, Reader, Service, ask, busy


def make_service(name: str, *acts: Act, shield: float = 0) -> Service:
    """Make a service with a name and the same acts for each call."""
    return Service(list(acts), name=name, shield=shield)


class TestRace:
    """The winner of the race."""

    async def test_a_quick_first_is_alone(self, autojump_clock: MockClock) -> None:
        """After an answer in time, no other model is asked."""
        first, second = make_service("a", 1.9, "A."), make_service("b", "B.")
        hedge = Hedge(first, second, after=2)

        assert (await hedge.respond(ask())).content == "A."
        assert not second.requests
        assert hedge.hedged == 0
        assert hedge.answered == {"a": 1, "b": 0}

    async def test_a_slow_first_loses(self, autojump_clock: MockClock) -> None:
        """After a wait the second model is asked; its answer cancels the first."""
        first, second = make_service("a", 60.0, "A."), make_service("b", 1.0, "B.")
        hedge = Hedge(first, second, after=2)

        assert (await hedge.respond(ask())).content == "B."
        assert (trio.current_time(), first.cancelled, first.running) == (3, 1, 0)
        assert (hedge.hedged, hedge.answered) == (1, {"a": 0, "b": 1})

    async def test_the_first_may_still_win(self, autojump_clock: MockClock) -> None:
        """The second call does not stop the first."""
        first, second = make_service("a", 3.0, "A."), make_service("b", 60.0, "B.")
        hedge = Hedge(first, second, after=2)

        assert (await hedge.respond(ask())).content == "A."
        assert (trio.current_time(), second.cancelled) == (3, 1)

    async def test_the_loser_has_ended(self, autojump_clock: MockClock) -> None:
        """The hedge waits until a slow loser has ended."""
        first = make_service("a", 60.0, "A.", shield=5)
        response = await Hedge(first, make_service("b", "B."), after=2).respond(ask())

        assert response.content == "B."
        assert (first.running, trio.current_time()) == (0, 7)

    async def test_at_once(self, autojump_clock: MockClock) -> None:
        """Without a wait all models are asked together."""
        models = [make_service(name, 1.0, name) for name in "abc"]
        await Hedge(*models, after=0).respond(ask())

        assert [model.asked_at for model in models] == [[0], [0], [0]]

    async def test_each_is_given_its_time(self, autojump_clock: MockClock) -> None:
        """The third model is asked after twice the wait."""
        models = make_service("a", 60.0), make_service("b", 60.0), make_service("c", 60.0)
        with trio.move_on_after(10):
            await Hedge(*models, after=2).respond(ask())

        assert [model.asked_at for model in models] == [[0], [2], [4]]


class TestFailures:
    """A failed model leaves the race."""

    async def test_the_next_is_asked_at_once(self, autojump_clock: MockClock) -> None:
        """After a failure the next model is asked without a wait."""
        second = make_service("b", 1.0, "B.")
        hedge = Hedge(make_service("a", 0.5, busy()), second, after=60)

        assert (await hedge.respond(ask())).content == "B."
        assert second.asked_at == [0.5]

    async def test_and_the_one_after_that_in_its_time(self, autojump_clock: MockClock) -> None:
        """A failure hurries one model, not all."""
        third = make_service("c", "C.")
        await Hedge(make_service("a", 0.5, busy()), make_service("b", 60.0), third, after=2).respond(ask())

        assert third.asked_at == [2.5]

    async def test_one_that_fails_late_is_no_matter(self, autojump_clock: MockClock) -> None:
        """The race goes on after a late failure."""
        hedge = Hedge(make_service("a", 3.0, busy()), make_service("b", 3.0, "B."), after=2)

        assert (await hedge.respond(ask())).content == "B."

    async def test_all_fail(self, autojump_clock: MockClock) -> None:
        """The first model's error is raised, in any order of failure, and its hint has the other errors."""
        errors = [busy(), ModelError("no key"), ModelError("no such model")]
        hedge = Hedge(
            make_service("a", 9.0, errors[0]), make_service("b", errors[1]), make_service("c", errors[2]), after=2
        )
        with pytest.raises(ModelError) as caught:
            await hedge.respond(ask())

        assert caught.value is errors[0]
        assert caught.value.hint == "Wait. b failed too: no key. c failed too: no such model."
        assert hedge.answered == {"a": 0, "b": 0, "c": 0}

    async def test_what_another_would_meet_too_ends_it(self, autojump_clock: MockClock) -> None:
        """A bug in the program is raised bare, and the other models are cancelled."""
        other = make_service("a", 60.0)
        with pytest.raises(ValueError, match="a bug"):
            await Hedge(other, make_service("b", ValueError("a bug")), after=2).respond(ask())

        assert other.cancelled == 1

    async def test_a_group_of_one_is_that_one(self, autojump_clock: MockClock) -> None:
        """A group with a single error is raised as the error itself."""
        group = ExceptionGroup("nursery", [busy()])
        with pytest.raises(ModelError):
            await Hedge(make_service("a", group), make_service("b", busy()), after=2).respond(ask())

    async def test_a_cancellation_stops_all(self, autojump_clock: MockClock) -> None:
        """A cancellation reaches all models, and passes through."""
        models = make_service("a", 60.0), make_service("b", 60.0)
        with trio.move_on_after(5) as scope:
            await Hedge(*models, after=2).respond(ask())

        assert scope.cancelled_caught
        assert [model.cancelled for model in models] == [1, 1]


class TestStreams:
    """Readers get one model's stream."""

    async def test_to_emit_is_to_win(self, autojump_clock: MockClock) -> None:
        """The first delta decides the race; readers get nothing of the other models."""
        first, second = make_service("a", 5.0, "A", 5.0, "a."), make_service("b", 4.0, "B", 60.0, "b.")
        reader = Reader()
        response = await Hedge(first, second, after=2).respond(ask(), reader)

        assert (response.content, reader.text) == ("Aa.", "Aa.")
        assert second.cancelled == 1
        assert trio.current_time() == 10

    async def test_a_sign_in_time_is_enough(self, autojump_clock: MockClock) -> None:
        """A first delta in time stops the hedge, however long the answer takes."""
        second = make_service("b", "B.")
        response = await Hedge(make_service("a", 1.0, "A", 60.0, "a."), second, after=2).respond(ask(), Reader())

        assert response.content == "Aa."
        assert not second.requests

    async def test_a_winner_that_fails_has_failed_for_all(self, autojump_clock: MockClock) -> None:
        """A winner's failure ends the request: only a retry around the hedge can take back the emitted deltas."""
        first, second = make_service("a", 60.0, "A."), make_service("b", "B", busy())
        with pytest.raises(ModelError, match="it is busy"):
            await Hedge(first, second, after=2).respond(ask(), Reader())

        assert first.cancelled == 1

    async def test_a_loser_that_goes_on_is_not_heard(self, autojump_clock: MockClock) -> None:
        """Deltas of a shielded loser do not reach the readers, and do not hang the hedge."""

        class Deaf(Service):
            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                with trio.CancelScope(shield=True):
                    return await super().respond(request, emit)
                raise AssertionError("a shield that let something through")

        reader = Reader()
        response = await Hedge(Deaf([3.0, "A", 3.0, "a."]), make_service("b", "B."), after=2).respond(ask(), reader)

        assert (response.content, reader.text) == ("B.", "B.")

    async def test_a_reader_that_fails_ends_it(self, autojump_clock: MockClock) -> None:
        """An error of `emit` is raised bare."""

        async def emit(delta: Delta) -> None:
            raise ValueError("no reader")

        with pytest.raises(ValueError, match="no reader"):
            await Hedge(make_service("a", "A."), make_service("b", "B.")).respond(ask(), emit)

    async def test_through_a_runtime(self, autojump_clock: MockClock) -> None:
        """A run has the winner's answer and usage."""
        agent = Agent(Hedge(make_service("a", 60.0, "A."), make_service("b", "B.")))
        async with Runtime() as runtime:
            result = await runtime.run(agent, "Hi")

        assert (result.content, result.usage.total_tokens) == ("B.", 15)


def test_under_many_schedules() -> None:
    """In any schedule the readers get one whole answer, and no model runs on."""

    async def scenario() -> None:
        models = [Service([PAUSE, f"{name}1", PAUSE, f"{name}2"], name=name) for name in "abc"]
        hedge, reader = Hedge(*models, after=0), Reader()
        response = await hedge.respond(ask(), reader)

        assert reader.text == response.content
        assert response.content in ("a1a2", "b1b2", "c1c2")
        assert sum(hedge.answered.values()) == 1
        assert not any(model.running for model in models)

    run_schedules(scenario, 200)


@pytest.mark.parametrize("after", [-1.0, float("nan"), float("inf"), True, "2"])
def test_refuses_a_wait_that_cannot_be(after: float) -> None:
    """A wrong setting raises `UsageError` in the constructor."""
    with pytest.raises(UsageError, match="after is"):
        Hedge("a:x", "b:y", after=after)


def test_of_one() -> None:
    """A hedge needs two models."""
    with pytest.raises(UsageError, match="a hedge of 1 models has too few"):
        Hedge("a:x")
