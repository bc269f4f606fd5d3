"""A wrapper is a model around models: a runtime binds specs, and uses models as they are."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable
from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock

from agno_rt import Agent, Runtime
from agno_rt.errors import ModelError, UsageError
from agno_rt.events import TextDelta, TurnRestarted
from agno_rt.models import Emit, Model, ModelProfile, ModelRequest, ModelResponse, Price
from agno_rt.testing import ScriptedModel
from agno_rt.wrappers._shared import LastingClock, remark, shared_media
from agno_rt.wrappers.base import Teller, Wrapper
from agno_rt.wrappers.cache import Cache
from agno_rt.wrappers.fallback import Fallback, Hedge
from agno_rt.wrappers.rate_limit import RateLimit
from agno_rt.wrappers.retry import Retry
from tests.services import Reader, Registry, Service, ask, busy


class TestWrapper:
    """The base class of wrappers."""

    async def test_asks_the_model_within(self) -> None:
        """A wrapper without a `respond` of its own changes nothing."""
        service = Service("Hello.")
        wrapper = Wrapper(service)

        assert (await wrapper.respond(ask())).content == "Hello."
        assert isinstance(wrapper, Model)
        assert wrapper.name == "service"
        assert wrapper.inner is service
        assert wrapper.models() == (service,)

    def test_refuses_what_is_no_model(self) -> None:
        """The error names the wrapper and the wrong value."""
        with pytest.raises(UsageError, match="7 within a retry is not a model") as caught:
            Retry(7)  # type: ignore[arg-type]

        assert "openai:gpt-5" in caught.value.hint

    async def test_a_spec_is_bound_by_a_runtime(self) -> None:
        """A bound wrapper is a copy around the runtime's model; the original has the spec, and raises when asked."""
        service = Service("Hello.", profile=ModelProfile("tool"))
        wrapper = Retry("busy")
        bound = wrapper.bound(Registry(busy=service))

        assert bound is not wrapper
        assert (await bound.respond(ask())).content == "Hello."
        assert isinstance(bound, Retry)
        assert bound.profile.output == "tool"
        assert wrapper.profile.output == "schema"
        assert (wrapper.name, repr(wrapper)) == ("busy", "Retry('busy')")
        for use in (wrapper.models, lambda: wrapper.inner):
            with pytest.raises(UsageError, match="the retry of 'busy' was asked outside of a runtime"):
                use()

    def test_around_models_it_is_used_as_it_is(self) -> None:
        """A wrapper around models, at any depth, needs no binding."""
        wrapper = Retry(Fallback(Service(), Service()))

        assert wrapper.bound(Registry()) is wrapper

    async def test_each_runtime_begins_anew(self) -> None:
        """Each bound copy counts for itself."""
        wrapper = Retry("a", wait=0)
        one, other = (wrapper.bound(Registry(a=Service(busy(), "Hello."))) for _ in range(2))
        assert isinstance(one, Retry)
        assert isinstance(other, Retry)
        await one.respond(ask())

        assert (one.retries, other.retries, wrapper.retries) == (1, 0, 0)

    async def test_a_runtime_binds_it_once(self) -> None:
        """Agents with the same wrapper share its cache, and the run asks through the wrapper."""
        wrapper = Cache(ScriptedModel(["Hello."]))
        async with Runtime() as runtime:
            results = [await runtime.run(Agent(wrapper, name), "Hi") for name in ("one", "other")]

            assert [result.content for result in results] == ["Hello.", "Hello."]
            assert runtime.model(wrapper) is wrapper
            assert [limit.name for limit in runtime.statistics()][-1] == "cache of scripted"
        assert (wrapper.hits, wrapper.misses) == (1, 1)


class TestTeller:
    """A `Teller` remembers if readers have seen part of the turn."""

    async def test_tells_of_a_restart_only_what_was_told(self) -> None:
        """A restart is emitted once, and only after a delta."""
        reader = Reader()
        teller = Teller(reader)
        await teller.restart("nothing yet")
        await teller(TextDelta("Hel"))
        await teller.restart("it broke")
        await teller.restart("it broke again")

        assert [type(delta) for delta in reader.deltas] == [TextDelta, TurnRestarted]
        assert reader.restarts == ["it broke"]


class TestSharedMedia:
    """Media types common to several models."""

    @pytest.mark.parametrize(
        ("takes", "shared"),
        [
            ([None, None], None),
            ([None, ("image/*",)], ("image/*",)),
            ([("image/*", "audio/*"), ("image/png", "video/*")], ("image/png",)),
            ([("image/png",), ("*/*",)], ("image/png",)),
            ([("image/*",), ("audio/*",)], ()),
            ([("image/*",), ()], ()),
        ],
    )
    def test_is_what_all_take(self, takes: list[tuple[str, ...] | None], shared: tuple[str, ...] | None) -> None:
        """A type is shared if each model with a list of media accepts the type."""
        assert shared_media([ModelProfile(media=media) for media in takes]) == shared
        models = [Service(profile=ModelProfile(media=media)) for media in takes]
        assert Fallback(*models).profile.media == shared


class TestLastingClock:
    """A clock over several runs of trio."""

    def test_never_goes_back(self) -> None:
        """Virtual time goes on from one run to the next, although each run's own clock starts anew."""
        clock = LastingClock()

        async def wait() -> tuple[float, float]:
            began = clock.now()
            await trio.sleep(100)
            return began, clock.now()

        first = trio.run(wait, clock=MockClock(autojump_threshold=0))
        second = trio.run(wait, clock=MockClock(autojump_threshold=0))

        assert first[1] - first[0] == pytest.approx(100)
        assert first[1] <= second[0] < first[1] + 60
        assert second[1] - second[0] == pytest.approx(100)


def test_a_remark_goes_where_people_read_it() -> None:
    """A remark goes into the hint of an `AgnoError`, and into a note of other errors."""
    ours, other = ModelError("no", hint="Wait."), ValueError("no")
    remark(ours, "Twice.")
    remark(other, "Twice.")

    assert ours.hint == "Wait. Twice."
    assert other.__notes__ == ["Twice."]


class _FailingService(Service):
    """A service with a new error each time, and weak references to its errors."""

    errors: ClassVar[weakref.WeakSet[ModelError]] = weakref.WeakSet()

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        raise self._error()

    def _error(self) -> ModelError:
        error = busy()
        self.errors.add(error)
        return error


@pytest.mark.parametrize("emit", [None, Reader()], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "make",
    [
        Wrapper,
        lambda model: Retry(model, attempts=3, wait=0),
        lambda model: Fallback(model, model),
        lambda model: Hedge(model, model),
        lambda model: RateLimit(model, requests=10),
        Cache,
    ],
    ids=["wrapper", "retry", "fallback", "hedge", "rate limit", "cache"],
)
async def test_an_error_holds_nothing_alive(make: Callable[[Model], Model], emit: Emit | None) -> None:
    """After the caller drops the error, the errors of all models are freed without the garbage collector."""
    _FailingService.errors.clear()
    wrapper = make(_FailingService())
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ModelError):
            await wrapper.respond(ask(), emit)
        await trio.lowlevel.checkpoint()

        assert not list(_FailingService.errors)
    finally:
        gc.enable()


class TestComposition:
    """Wrappers around wrappers around specs, bound together."""

    async def test_all_at_once(self, autojump_clock: MockClock) -> None:
        """A cache of a retried fallback: the first fails, both fail, the second answers, the cache repeats it."""
        first = Service(busy(), name="a:x")
        second = Service(["Hel", busy()], ["Hel", "lo."], name="b:y", profile=ModelProfile(price=Price(1e5, 2e5)))
        stack = Cache(Retry(Fallback("a:x", "b:y"), wait=1, jitter=lambda: 1.0))
        bound = stack.bound(Registry(**{"a:x": first, "b:y": second}))
        assert isinstance(bound, Cache)
        reader, other = Reader(), Reader()
        response = await bound.respond(ask(), reader)
        again = await bound.respond(ask(), other)

        assert bound.name == "a:x or b:y"
        assert (response.content, response.usage.cost) == ("Hello.", 2.0)
        assert (again.content, again.usage.total_tokens, again.usage.cost) == ("Hello.", 0, 0)
        assert (reader.text, other.text) == ("Hello.", "Hello.")
        assert len(reader.restarts) == 1
        assert first.asked_at == second.asked_at == [0, 1]
        assert bound.saved.cost == 2.0

    async def test_through_a_runtime(self, autojump_clock: MockClock) -> None:
        """A run asks through all wrappers, and counts the tokens of the model that answered."""
        service = Service(busy(), "Hello.", name="first")
        model = Cache(RateLimit(Retry(Hedge(service, Service(busy(), name="second"))), requests=10))
        async with Runtime() as runtime:
            result = await runtime.run(Agent(model), "Hi")
            again = await runtime.run(Agent(model), "Hi")

        assert (result.content, result.usage.total_tokens) == ("Hello.", 15)
        assert (again.content, again.usage.total_tokens) == ("Hello.", 0)
        assert len(service.requests) == 2
