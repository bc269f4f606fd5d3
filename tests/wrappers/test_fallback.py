"""A fallback asks the next model after a failure, and reports all failures at the end."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from agno_rt import Agent, Runtime
from agno_rt.errors import ModelError, OutputError, Overloaded, UsageError
from agno_rt.events import TurnRestarted
from agno_rt.messages import Usage
from agno_rt.models import ModelProfile, ModelResponse, Price
from agno_rt.wrappers.fallback import Fallback, another_may
from tests.services import Act, Reader, Service, ask, busy


def make_service(name: str, *calls: Act | list[Act]) -> Service:
    """Make a service with a name."""
    return Service(*calls, name=name)


class TestChain:
    """The order of the models."""

    async def test_the_first_that_answers(self) -> None:
        """The first answer wins: later models are not asked, and `answered` counts the answers by model."""
        models = (
            make_service("a", busy()),
            make_service("b", ModelError("no key", status=401)),
            make_service("c", "Hello."),
            make_service("d"),
        )
        fallback = Fallback(*models)

        assert (await fallback.respond(ask())).content == "Hello."
        assert [len(model.requests) for model in models] == [1, 1, 1, 0]
        assert fallback.answered == {"a": 0, "b": 0, "c": 1, "d": 0}
        assert fallback.name == "a or b or c or d"

    async def test_the_first_is_asked_first_each_time(self) -> None:
        """Each request begins with the first model, even after a failure."""
        fallback = Fallback(make_service("a", busy(), "A."), make_service("b", "B."))

        assert [(await fallback.respond(ask())).content for _ in range(2)] == ["B.", "A."]
        assert fallback.answered == {"a": 1, "b": 1}

    async def test_a_group_of_one_error_is_that_error(self) -> None:
        """A group with a single error counts as the error itself."""
        fallback = Fallback(make_service("a", ExceptionGroup("nursery", [busy()])), make_service("b", "B."))

        assert (await fallback.respond(ask())).content == "B."

    async def test_the_answer_has_the_price_of_its_model(self) -> None:
        """The response has the cost at its own model's price; the fallback's profile has no price."""
        price = ModelProfile("tool", price=Price(1_000_000, 2_000_000))
        fallback = Fallback(make_service("a", busy()), Service("B.", name="b", profile=price))
        paid = Fallback(Service(ModelResponse("A.", usage=Usage(1, 1, cost=7.0)), profile=price))

        assert (await fallback.respond(ask())).usage == Usage(10, 5, cost=20.0)
        assert (await paid.respond(ask())).usage.cost == 7.0
        assert fallback.profile.price is None
        assert fallback.profile.output == "schema"

    def test_the_first_model_says_where_models_run(self) -> None:
        """A fallback is loaded into the process if its first model is."""
        here, there = Service("A.", profile=ModelProfile(in_process=True)), make_service("b", "B.")

        assert Fallback(here, there).profile.in_process
        assert not Fallback(there, here).profile.in_process

    async def test_a_cancellation_is_no_failure(self, autojump_clock: MockClock) -> None:
        """A cancellation passes through, and no other model is asked."""
        second = make_service("b")
        with trio.move_on_after(1) as scope:
            await Fallback(make_service("a", [60.0]), second).respond(ask())

        assert scope.cancelled_caught
        assert not second.requests


class TestStreams:
    """Events for readers."""

    async def test_takes_back_what_the_failed_one_emitted(self) -> None:
        """The restart names the failed model, the reason and the next model."""
        reader = Reader()
        fallback = Fallback(make_service("a", ["Hel", busy()]), make_service("b", busy()), make_service("c", "Hello."))
        await fallback.respond(ask(), reader)

        assert reader.text == "Hello."
        assert reader.restarts == ["a failed, and b is asked: it is busy."]

    async def test_through_a_runtime(self) -> None:
        """The run goes on with the next model, and its stream has the restart."""
        agent = Agent(Fallback(make_service("a", ["Hel", busy()]), make_service("b", "Hello.")))
        async with Runtime() as runtime:
            async with runtime.stream(agent, "Hi") as events:
                seen = [event async for event in events]
            result = await runtime.run(agent, "Hi")

        assert sum(isinstance(event, TurnRestarted) for event in seen) == 1
        assert result.content == "Hello."


class TestAllFail:
    """Errors at the end of the chain."""

    async def test_the_last_error_tells_of_the_others(self) -> None:
        """The last error keeps its cause; its hint has a line for each earlier failure, its notes the full texts."""
        long = ModelError(f"{'x' * 300}\nmore", hint="Nothing.")
        last = busy()
        last.__cause__ = OSError("refused")
        with pytest.raises(ModelError) as caught:
            await Fallback(
                make_service("a", ModelError("no key.")), make_service("b", long), make_service("c", last)
            ).respond(ask())

        assert caught.value is last
        assert isinstance(last.__cause__, OSError)
        assert last.hint == f"Wait. a failed too: no key. b failed too: {'x' * 200}..."
        assert last.__notes__[1] == "a failed too: ModelError: no key."
        assert last.__notes__[2].endswith("more\nNothing.")

    @pytest.mark.parametrize("error", [OutputError("no fit"), ValueError("a bug"), UsageError("too large")])
    async def test_errors_that_another_would_meet_too(self, error: Exception) -> None:
        """An error outside of `on` is raised at once, with notes on earlier failures."""
        last = make_service("c")
        with pytest.raises(type(error)) as caught:
            await Fallback(make_service("a", busy()), make_service("b", error), last).respond(ask())

        assert caught.value is error
        assert not last.requests
        assert error.__notes__ == ["a failed too: ModelError: it is busy\nWait."]

    async def test_on_decides(self) -> None:
        """`on` chooses the errors after which the next model is asked."""
        models = make_service("a", ValueError("a bug")), make_service("b", "B.")

        assert (await Fallback(*models, on=lambda exc: isinstance(exc, ValueError)).respond(ask())).content == "B."
        with pytest.raises(ModelError):
            await Fallback(make_service("a", busy()), make_service("b"), on=lambda exc: False).respond(ask())

    def test_by_default_a_models_errors_are(self) -> None:
        """Errors of models lead to the next model; `OutputError`, bugs and others do not."""
        assert another_may(busy())
        assert another_may(Overloaded("full", limit="requests"))
        assert not another_may(OutputError("no fit"))
        assert not another_may(ValueError("a bug"))

    def test_of_none(self) -> None:
        """A fallback without models is refused in the constructor."""
        with pytest.raises(UsageError, match="a fallback of 0 models has too few"):
            Fallback()
