"""A cache repeats the answer to an equal request, separates different requests, and makes one call for many askers."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from agno_rt import Agent, Limits, Runtime, ToolCall, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import AgnoError, BackendError, ModelError, NotFound, UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.limits import LimitStatistics
from agno_rt.memory import CacheStore
from agno_rt.messages import Media, Message, Usage
from agno_rt.models import NO_USAGE, Model, ModelProfile, ModelRequest, ModelResponse, ModelSettings, Price
from agno_rt.testing import ScriptedModel, pause, run_schedules
from agno_rt.tools import Tool
from agno_rt.wrappers._cache_key import identity, key_of, pack, unpack
from agno_rt.wrappers.base import Wrapper
from agno_rt.wrappers.cache import Cache, is_complete
from agno_rt.wrappers.retry import Retry
from tests.services import PAUSE, Act, Reader, Registry, Service, ask, busy


class Store:
    """A slow, fallible store; `values` has its contents."""

    def __init__(self, *, seconds: float = 0, read_error: Exception | None = None) -> None:
        self.seconds = seconds
        self.read_error = read_error
        self.write_error: Exception | None = None
        self.values: dict[str, bytes] = {}
        self.asked: list[tuple[float | None, int | None]] = []
        self.reads = 0

    async def cached(self, key: str) -> bytes | None:
        """Return the value of the key."""
        self.reads += 1
        await trio.sleep(self.seconds)
        if self.read_error is not None:
            raise self.read_error
        return self.values.get(key)

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """Keep the value."""
        await trio.sleep(self.seconds)
        if self.write_error is not None:
            raise self.write_error
        self.asked.append((seconds, size))
        self.values[key] = value

    async def uncache(self, key: str | None = None) -> int:
        """Forget all values."""
        count = len(self.values)
        self.values.clear()
        return count


def make_counting_service(**service: Any) -> Service:
    """Make a service with a different answer for each call."""
    return Service(*[f"Answer {number}." for number in range(100)], **service)


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


PICTURE = Media("image", "image/png", b"one")
REQUEST = ModelRequest(
    (
        Message("system", "Be brief."),
        Message("user", ("Hi", PICTURE)),
        Message("assistant", "", (ToolCall("1", "look", '{"where": "here"}'),), reasoning="Hm."),
        Message("tool", "nothing", (), "1", "look"),
    ),
    [look],
    "auto",
    {"type": "object", "properties": {"a": {}, "b": {}}},
    ModelSettings(0.5, 100, 7, ("END",), extra={"effort": "low", "top": 1}),
    user="ann",
)


def with_message(at: int, **changes: Any) -> ModelRequest:
    """Return the request with one message changed."""
    messages = list(REQUEST.messages)
    messages[at] = attrs.evolve(messages[at], **changes)
    return attrs.evolve(REQUEST, messages=messages)


def with_media(**changes: Any) -> ModelRequest:
    """Return the request with other media."""
    return with_message(1, content=("Hi", attrs.evolve(PICTURE, **changes)))


def with_call(**changes: Any) -> ModelRequest:
    """Return the request with another call in its history."""
    return with_message(2, tool_calls=(attrs.evolve(REQUEST.messages[2].tool_calls[0], **changes),))


def with_settings(**changes: Any) -> ModelRequest:
    """Return the request with other settings."""
    return attrs.evolve(REQUEST, settings=attrs.evolve(REQUEST.settings, **changes))


def with_tool(**changes: Any) -> ModelRequest:
    """Return the request with another tool."""
    return attrs.evolve(REQUEST, tools=[attrs.evolve(look, **changes)])


DIFFERENT = {
    "role": with_message(0, role="user"),
    "text": with_message(0, content="Be long."),
    "parts": with_message(0, content=("Be brief.",)),
    "parts joined": with_message(1, content=("H", "i", PICTURE)),
    "order of parts": with_message(1, content=(PICTURE, "Hi")),
    "media bytes": with_media(data=b"other"),
    "media type": with_media(media_type="image/jpeg"),
    "media url": with_media(data=None, url="https://example.com/one.png"),
    "media name": with_media(name="one.png"),
    "media kind": with_media(kind="file"),
    "reasoning": with_message(2, reasoning=""),
    "call id": with_call(id="2"),
    "call name": with_call(name="see"),
    "call arguments": with_call(arguments='{"where": "there"}'),
    "result": with_message(3, content="something"),
    "result of": with_message(3, tool_call_id="2"),
    "result name": with_message(3, name="see"),
    "fewer messages": attrs.evolve(REQUEST, messages=REQUEST.messages[:-1]),
    "order of messages": attrs.evolve(REQUEST, messages=REQUEST.messages[::-1]),
    "no tools": attrs.evolve(REQUEST, tools=()),
    "tool name": with_tool(name="see"),
    "tool description": with_tool(description="See."),
    "tool parameters": with_tool(parameters={**look.parameters, "required": []}),
    "tool choice": attrs.evolve(REQUEST, tool_choice="none"),
    "no output": attrs.evolve(REQUEST, output=None),
    "output": attrs.evolve(REQUEST, output={"type": "array"}),
    "order of properties": attrs.evolve(REQUEST, output={"type": "object", "properties": {"b": {}, "a": {}}}),
    "temperature": with_settings(temperature=0.6),
    "no temperature": with_settings(temperature=None),
    "max tokens": with_settings(max_tokens=101),
    "seed": with_settings(seed=8),
    "stop": with_settings(stop=("E", "ND")),
    "tool choice of the settings": with_settings(tool_choice="none"),
    "extra": with_settings(extra={"effort": "high", "top": 1}),
    "type in extra": with_settings(extra={"effort": "low", "top": True}),
    "user": attrs.evolve(REQUEST, user="bob"),
    "no user": attrs.evolve(REQUEST, user=None),
}


class TestKey:
    """The key of a request: equal requests share an answer."""

    async def test_the_same_again_is_not_asked(self) -> None:
        """Equal requests get one answer, even when their messages are different objects."""
        service = make_counting_service()
        cache = Cache(service)
        same = msgspec.convert(msgspec.to_builtins(REQUEST.messages), tuple[Message, ...])
        answers = [await cache.respond(REQUEST), await cache.respond(attrs.evolve(REQUEST, messages=list(same)))]

        assert [answer.content for answer in answers] == ["Answer 0.", "Answer 0."]
        assert (cache.hits, cache.misses, len(service.requests)) == (1, 1, 1)

    @pytest.mark.parametrize("other", DIFFERENT.values(), ids=DIFFERENT.keys())
    async def test_whatever_may_change_an_answer_is_asked(self, other: ModelRequest) -> None:
        """Each difference leads to a call; a shared cache ignores a different user."""
        cache, shared = Cache(make_counting_service()), Cache(make_counting_service(), shared=True)
        for one in (cache, shared):
            await one.respond(REQUEST)
        is_user = other.user != REQUEST.user

        assert (await cache.respond(other)).content == "Answer 1."
        assert (await shared.respond(other)).content == ("Answer 0." if is_user else "Answer 1.")

    def test_every_field_is_thought_of(self) -> None:
        """Each field is in the key or cannot change the answer; a new field fails here until somebody decides."""
        assert {field.name for field in attrs.fields(ModelRequest)} == {
            *("messages", "tools", "tool_choice", "output", "settings", "user"),
            "turn",  # providers never see the turn
        }
        assert {"name", "description", "parameters"} <= {field.name for field in attrs.fields(Tool)}

    async def test_the_turn_is_no_difference(self) -> None:
        """A request in another turn of the same conversation hits the cache."""
        cache = Cache(make_counting_service())
        await cache.respond(REQUEST)
        await cache.respond(attrs.evolve(REQUEST, turn=9))

        assert cache.hits == 1

    @given(
        st.lists(
            st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text("ab:\n", max_size=3)), max_size=3),
            min_size=2,
            max_size=2,
            unique_by=tuple,
        )
    )
    def test_no_two_conversations_run_together(self, conversations: list[list[tuple[Any, str]]]) -> None:
        """Different conversations have different keys, even where their joined texts are equal."""
        one, other = (
            key_of([], ModelRequest([Message(role, text) for role, text in conversation]), shared=False)
            for conversation in conversations
        )

        assert one != other

    def test_models_are_told_apart(self) -> None:
        """Class, name, `identity` and wrappers set models apart; the scripted answers do not."""

        class Other(Service):
            """A second model class."""

        class Translated(Wrapper):
            """A wrapper with changed answers."""

        class Configured(Service):
            """A model with one name and several configurations."""

            def __init__(self, identity: Any) -> None:
                super().__init__()
                self.identity = identity

        german = Translated(Service())
        german.identity = "de"
        models: list[Model] = [
            *(Service(), Service(name="other"), Other(), Translated(Service()), german),
            *(Retry(Service()), Retry(Other()), Translated(Retry(Service())), Configured("here"), Configured("there")),
        ]
        keys = {key_of(identity(model), REQUEST, shared=False) for model in models}

        assert len(keys) == len(models)
        assert identity(Service("one answer")) == identity(Service("another"))
        assert identity(Configured(len)) == identity(Configured(""))

    def test_a_key_is_the_same_in_every_process(self) -> None:
        """A change of the key empties all stores: raise the format's number, and write the new key here."""
        key = key_of(["a.Model", "a:x", "", []], ask(settings=ModelSettings(0.5), user="ann"), shared=False)

        assert key == "2d69b91379df9fbb176e2e283ac04e00ef1010364e36791a7f469090d6815774"

    @pytest.mark.parametrize(
        "extra",
        [{"seed": 2**70}, {"on": object()}, {"text": "\ud800"}],
        ids=["int", "object", "text"],
    )
    async def test_what_cannot_be_told_apart_goes_past(self, extra: dict[Any, Any]) -> None:
        """A request without a key reaches the model each time, and the cache keeps nothing."""
        cache = Cache(make_counting_service())
        request = with_settings(extra=extra)
        answers = [(await cache.respond(request)).content for _ in range(2)]

        assert answers == ["Answer 0.", "Answer 1."]
        assert (cache.bypassed, cache.hits, cache.misses, cache.statistics()[0].in_use) == (2, 0, 0, 0)


class TestHit:
    """Answers from the cache."""

    async def test_costs_nothing(self) -> None:
        """A hit has zero usage; `saved` counts the usage of the original."""
        profile = ModelProfile(price=Price(1, 1))
        answer = ModelResponse("Hello.", usage=Usage(10, 5, 2, 1, 0.25))
        cache = Cache(Service(answer, profile=profile))
        first, second = await cache.respond(ask()), await cache.respond(ask())

        assert first is answer
        assert second == attrs.evolve(answer, usage=NO_USAGE)
        assert cache.saved == answer.usage
        assert cache.profile is profile

    async def test_a_runs_budget_is_not_charged(self) -> None:
        """A run with a cached answer uses no tokens."""
        agent = Agent(Cache(Service("Hello.")), limits=Limits(tokens=15))
        async with Runtime() as runtime:
            results = [await runtime.run(agent, "Hi") for _ in range(3)]

        assert [result.usage.total_tokens for result in results] == [15, 0, 0]

    async def test_has_all_of_the_answer(self) -> None:
        """A hit has the text, reasoning, calls and finish reason of the answer."""
        answer = ModelResponse(
            "Hello.", [ToolCall("1", "look", "{}"), ToolCall("2", "look")], "Hm.", NO_USAGE, "tool_calls"
        )
        cache = Cache(Service(answer))
        await cache.respond(ask())
        hit = await cache.respond(ask())

        assert hit == attrs.evolve(answer, tool_calls=tuple(answer.tool_calls))

    async def test_nobody_shares_it(self) -> None:
        """A caller who changes a response changes only their own copy."""
        cache = Cache(Service(ModelResponse("Hello.", [ToolCall("1", "look")])))
        first = await cache.respond(ask())
        for spoiled in (first, await cache.respond(ask()), await cache.respond(ask())):
            spoiled.tool_calls[0].name = "spoiled"
            spoiled.content = "spoiled"

        assert await cache.respond(ask()) == ModelResponse("Hello.", (ToolCall("1", "look"),))

    async def test_is_emitted(self) -> None:
        """A reader gets the reasoning, the text and each call of a hit, each in one piece."""
        calls = [ToolCall("1", "look", '{"where": "here"}'), ToolCall("2", "look", "{}")]
        cache = Cache(ScriptedModel([ModelResponse("Hello to you.", calls, "Hm.")]))
        first, second = Reader(), Reader()
        await cache.respond(ask(), first)
        await cache.respond(ask(), second)

        assert second.response == first.response == ModelResponse("Hello to you.", tuple(calls), "Hm.")
        assert [type(delta) for delta in second.deltas] == [ReasoningDelta, TextDelta, ToolCallDelta, ToolCallDelta]
        assert len(first.deltas) > len(second.deltas)

    async def test_of_text_alone_emits_text_alone(self) -> None:
        """A hit with text alone emits text alone."""
        cache, reader = Cache(Service("Hello.")), Reader()
        await cache.respond(ask())
        await cache.respond(ask(), reader)

        assert [type(delta) for delta in reader.deltas] == [TextDelta]

    async def test_through_a_runtime(self) -> None:
        """A streamed run with a hit has the same events as any run."""
        model = ScriptedModel([ToolCall("1", "look", '{"where": "here"}'), "Nothing."])
        agent = Agent(Cache(model), tools=[look])
        async with Runtime() as runtime:
            first = await runtime.run(agent, "Look")
            async with runtime.stream(agent, "Look") as events:
                texts = [event.text async for event in events if isinstance(event, TextDelta)]
        model.check()

        assert (first.content, texts) == ("Nothing.", ["Nothing."])


class TestKeeping:
    """Contents, lifetime and size of a cache."""

    @pytest.mark.parametrize(
        ("response", "kept"),
        [
            (ModelResponse("Hello."), True),
            (ModelResponse("", (ToolCall("1", "look"),), finish_reason="tool_calls"), True),
            (ModelResponse("Hel", finish_reason="length"), False),
            (ModelResponse("", finish_reason="content_filter"), False),
            (ModelResponse("", reasoning="Hm."), False),
        ],
        ids=["text", "calls", "cut off", "filtered", "empty"],
    )
    async def test_only_what_is_complete(self, response: ModelResponse, kept: bool) -> None:
        """The cache does not keep a cut off or empty answer."""
        service = Service(response)
        cache = Cache(service)
        for _ in range(2):
            await cache.respond(ask())

        assert is_complete(response) is kept
        assert len(service.requests) == (1 if kept else 2)

    async def test_keep_decides(self) -> None:
        """`keep` chooses the answers to keep."""
        service = make_counting_service()
        cache = Cache(service, keep=lambda response: response.content != "Answer 0.")

        assert [(await cache.respond(ask())).content for _ in range(3)] == ["Answer 0.", "Answer 1.", "Answer 1."]

    async def test_never_errors(self) -> None:
        """A failure is not kept: the next request reaches the model."""
        cache = Cache(Service(busy(), "Hello."))
        with pytest.raises(ModelError):
            await cache.respond(ask())

        assert (await cache.respond(ask())).content == "Hello."

    async def test_for_its_time(self, autojump_clock: MockClock) -> None:
        """An answer expires after its `ttl`; a hit does not prolong the time."""
        cache = Cache(make_counting_service(), ttl=10)
        answers = []
        for _ in range(4):
            answers.append((await cache.respond(ask())).content)
            await trio.sleep(4.9)

        assert answers == ["Answer 0."] * 3 + ["Answer 1."]

    async def test_for_ever(self, autojump_clock: MockClock) -> None:
        """Without a `ttl`, an answer never expires."""
        cache = Cache(make_counting_service(), ttl=None)
        await cache.respond(ask())
        await trio.sleep(80_000)

        assert (await cache.respond(ask())).content == "Answer 0."

    async def test_so_many(self) -> None:
        """A full cache forgets the least recently used answers."""
        service = make_counting_service()
        cache = Cache(service, size=2)
        for text in ("a", "b", "a", "c", "a", "b"):
            await cache.respond(ask(text))

        assert [request.messages[0].text for request in service.requests] == ["a", "b", "c", "b"]
        assert cache.statistics() == (LimitStatistics("cache of service", 2, 2, 0),)

    async def test_until_it_is_cleared(self) -> None:
        """After `clear`, each request reaches the model."""
        cache = Cache(make_counting_service())
        await cache.respond(ask())
        await cache.clear()

        assert cache.statistics()[0].in_use == 0
        assert (await cache.respond(ask())).content == "Answer 1."

    async def test_an_answer_from_before_is_not_kept_after_clearing(self, autojump_clock: MockClock) -> None:
        """An answer requested before `clear` reaches its callers only; a later request makes a new call."""
        cache = Cache(Service([5.0, "old"], [1.0, "new"]))
        answers = []

        async def run() -> None:
            answers.append((await cache.respond(ask())).content)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await wait_all_tasks_blocked()
            nursery.start_soon(run)
            await wait_all_tasks_blocked()
            await cache.clear()
            nursery.start_soon(run)
            await trio.sleep(2)
            assert answers == ["new"]

        assert answers == ["new", "old", "old"]
        assert (await cache.respond(ask())).content == "new"


class TestStore:
    """A store outside of the cache."""

    async def test_outlives_the_cache(self) -> None:
        """A second cache with the same store has the answers; the store gets the lifetime and the size."""
        store, service = Store(), make_counting_service()
        await Cache(service, store=store, ttl=5, size=7).respond(ask())
        hit = await Cache(service, store=store).respond(ask())

        assert (hit.content, hit.usage) == ("Answer 0.", NO_USAGE)
        assert store.asked == [(5, 7)]

    async def test_holds_apart_what_differs(self) -> None:
        """A store separates users, models of different names, and shared caches."""
        store = Store()
        await Cache(make_counting_service(), store=store).respond(ask(user="ann"))
        for cache, user in (
            (Cache(make_counting_service(), store=store), "bob"),
            (Cache(make_counting_service(name="other"), store=store), "ann"),
            (Cache(make_counting_service(), store=store, shared=True), "ann"),
        ):
            await cache.respond(ask(user=user))
            assert cache.hits == 0

        assert len(store.values) == 4

    @pytest.mark.parametrize(
        "value", [b"", b"\xc1 no value", msgspec.msgpack.encode(("agno_rt cache 0", ModelResponse()))]
    )
    async def test_what_is_damaged_is_not_there(self, value: bytes) -> None:
        """A damaged value counts as missing: the model is asked, and the new answer replaces the value."""
        store = Store()
        cache = Cache(make_counting_service(), store=store)
        await cache.respond(ask())
        for key in store.values:
            store.values[key] = value
        answers = [(await cache.respond(ask())).content for _ in range(2)]

        assert answers == ["Answer 1.", "Answer 1."]
        assert cache.failures == 0

    @given(at=st.integers(0, 200), bit=st.integers(0, 7), length=st.integers(0, 200))
    def test_any_damage(self, at: int, bit: int, length: int) -> None:
        """Damaged bytes yield a response or `None`, never an error."""
        value = pack(ModelResponse("Hello.", (ToolCall("1", "look"),), "Hm.", Usage(1, 2, 3, 4, 0.5)))
        assert value is not None
        flipped = bytearray(value)
        flipped[at % len(value)] ^= 1 << bit

        for damaged in (bytes(flipped), value[: length % len(value)], value + b"\0"):
            response = unpack(damaged)
            assert response is None or isinstance(response.content, str)

    async def test_that_fails_holds_nobody_up(self) -> None:
        """A failing store does not fail the request; `failures` and `failure` report the fault."""
        store = Store(read_error=BackendError("it cannot be read"))
        cache = Cache(make_counting_service(), store=store)

        assert (await cache.respond(ask())).content == "Answer 0."
        assert (cache.failures, cache.failure) == (1, "it cannot be read")
        store.read_error, store.write_error = None, BackendError("it is full", hint="Make room.")
        await cache.clear()
        assert (await cache.respond(ask())).content == "Answer 1."
        assert (cache.failures, cache.failure) == (2, "it is full\nMake room.")
        assert (await cache.respond(ask())).content == "Answer 2."

    async def test_a_bug_in_it_is_raised(self) -> None:
        """An error outside of a store's contract is raised."""
        store = Store(read_error=ValueError("a bug"))
        cache = Cache(make_counting_service(), store=store)
        with pytest.raises(ValueError, match="a bug"):
            await cache.respond(ask())
        store.read_error = None

        assert (await cache.respond(ask())).content == "Answer 0."

    async def test_is_read_once_for_all_who_ask(self, autojump_clock: MockClock) -> None:
        """Concurrent equal requests share one read and the answer."""
        store, service = Store(seconds=1), make_counting_service()
        await Cache(service, store=store).respond(ask())
        store.reads = 0
        cache, readers = Cache(service, store=store), [Reader() for _ in range(3)]
        async with trio.open_nursery() as nursery:
            for reader in readers:
                nursery.start_soon(cache.respond, ask(), reader)

        assert (store.reads, cache.hits, cache.misses, len(service.requests)) == (1, 3, 0, 1)
        assert [reader.text for reader in readers] == ["Answer 0."] * 3

    async def test_nobody_waits_for_the_writing_of_another(self, autojump_clock: MockClock) -> None:
        """A request gets an answer before the answer is written to a slow store."""
        store = Store(seconds=10)
        cache = Cache(make_counting_service(), store=store)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.respond, ask())
            await trio.sleep(15)
            assert (await cache.respond(ask())).content == "Answer 0."
            assert trio.current_time() == 15

        assert trio.current_time() == 20


class TestMemory:
    """A cache in the runtime's memory backend."""

    async def test_is_bound_to_it(self) -> None:
        """A cache around a spec and around a model use the runtime's memory; the answers outlive the bound cache."""
        memory, service = InProcessMemory(), make_counting_service()
        for model in ("a", service):
            bound = Cache(model, store="memory").bound(Registry(memory, a=service))
            assert (await bound.respond(ask())).content == "Answer 0."

        assert len(service.requests) == 1

    @pytest.mark.parametrize("where", ["memory", "sqlite"])
    async def test_through_a_runtime(self, where: str, tmp_path: Path) -> None:
        """Two runtimes with one memory ask the model once, in one process and through a file."""
        memory = InProcessMemory() if where == "memory" else f"sqlite:///{tmp_path / 'agents.db'}"
        service = make_counting_service()
        cache = Cache(service, store="memory")
        contents = []
        for _ in range(2):
            async with Runtime(memory=memory) as runtime:
                contents.append((await runtime.run(Agent(cache), "Hi")).content)
                bound = runtime.model(cache)
                assert isinstance(bound, Cache)
                assert (bound.failures, bound.hits + bound.misses) == (0, 1)

        assert contents == ["Answer 0.", "Answer 0."]
        assert len(service.requests) == 1

    async def test_each_runtime_has_its_own(self) -> None:
        """Each runtime gets a bound cache with its own memory; the original cache stays unbound."""
        cache, memories = Cache(make_counting_service(), store="memory"), [InProcessMemory(), InProcessMemory()]
        bound = [cache.bound(Registry(memory)) for memory in memories]
        answers = [(await model.respond(ask())).content for model in bound]

        assert answers == ["Answer 0.", "Answer 1."]
        with pytest.raises(UsageError):
            await cache.respond(ask())

    def test_that_keeps_no_answers(self) -> None:
        """The error names a memory without a cache, and a remedy."""

        class Sessions:
            """A memory for sessions alone."""

        with pytest.raises(UsageError, match="the memory Sessions is not a CacheStore") as caught:
            Cache("a", store="memory").bound(Registry(Sessions(), a=Service()))

        assert "leave store out" in caught.value.hint

    async def test_outside_of_a_runtime(self) -> None:
        """A cache in the runtime's memory raises `UsageError` outside of a runtime."""
        cache = Cache(Service(), store="memory")
        for use in (cache.respond(ask()), cache.clear()):
            with pytest.raises(UsageError, match="outside of a runtime"):
                await use


class TestTogether:
    """Equal requests by many callers at once."""

    async def test_is_asked_once(self, autojump_clock: MockClock) -> None:
        """One call serves all callers; each gets a separate object, and one pays."""
        service = Service([5.0, ModelResponse("Hello.", (ToolCall("1", "look"),), usage=Usage(10, 5))])
        cache = Cache(service)
        answers: list[ModelResponse] = []

        async def run() -> None:
            answers.append(await cache.respond(ask()))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(run)
            await wait_all_tasks_blocked()
            assert cache.statistics()[0] == LimitStatistics("cache of service", 1_000, 0, 3)

        assert len(service.requests) == 1
        assert [answer.content for answer in answers] == ["Hello."] * 4
        assert sorted(answer.usage.total_tokens for answer in answers) == [0, 0, 0, 15]
        assert len({id(answer) for answer in answers}) == len({id(answer.tool_calls[0]) for answer in answers}) == 4
        assert (cache.hits, cache.misses, cache.saved, cache.waiting) == (3, 1, Usage(30, 15), 0)

    async def test_others_are_asked_beside(self, autojump_clock: MockClock) -> None:
        """Different requests, and requests of different users, run at the same time."""
        service = Service([5.0, "Hello."])
        cache = Cache(service)
        async with trio.open_nursery() as nursery:
            for text, user in (("a", "ann"), ("b", "ann"), ("a", "bob")):
                nursery.start_soon(cache.respond, ask(text, user=user))

        assert (service.most, trio.current_time()) == (3, 5)

    async def test_an_answer_that_is_not_kept_is_shared_all_the_same(self, autojump_clock: MockClock) -> None:
        """All callers of one call share an answer, even where the cache does not keep the answer."""
        service = Service([5.0, ModelResponse("Hel", finish_reason="length")])
        cache = Cache(service)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.respond, ask())
            nursery.start_soon(cache.respond, ask())

        assert len(service.requests) == 1

    async def test_streams_to_all_as_it_comes(self, autojump_clock: MockClock) -> None:
        """All readers get the stream as it comes; a late reader catches up, and each gets separate deltas."""
        cache = Cache(Service(["One ", 5.0, "two ", 5.0, "three."]))
        readers = [Reader() for _ in range(3)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.respond, ask(), readers[0])
            nursery.start_soon(cache.respond, ask(), readers[1])
            await trio.sleep(6)
            nursery.start_soon(cache.respond, ask(), readers[2])
            await trio.sleep(1)
            assert [reader.text for reader in readers] == ["One two "] * 3

        assert [reader.text for reader in readers] == ["One two three."] * 3
        assert all(delta.run_id == "" for reader in readers for delta in reader.deltas)
        assert not any(reader.restarts for reader in readers)

    async def test_a_stream_behind_one_that_does_not(self, autojump_clock: MockClock) -> None:
        """Behind a silent call, a streaming caller gets the whole answer at the end; the reverse works too."""
        cache, reader = Cache(Service([5.0, "One ", "two."])), Reader()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.respond, ask())
            await wait_all_tasks_blocked()
            nursery.start_soon(cache.respond, ask(), reader)
            nursery.start_soon(cache.respond, ask("b"), Reader())
            await wait_all_tasks_blocked()
            nursery.start_soon(cache.respond, ask("b"))

        assert reader.text == "One two."
        assert len(reader.deltas) == 1

    async def test_a_reader_that_is_slow_holds_up_nobody_else(self, autojump_clock: MockClock) -> None:
        """A slow reader delays neither the other callers nor the call."""
        cache, reader = Cache(Service(["One ", "two ", "three."])), Reader()
        done: list[float] = []

        async def slow(delta: Delta) -> None:
            await trio.sleep(100)
            await slow_reader(delta)

        async def run() -> None:
            await cache.respond(ask(), reader)
            done.append(trio.current_time())

        slow_reader = Reader()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.respond, ask(), slow)
            await wait_all_tasks_blocked()
            nursery.start_soon(run)

        assert done == [0]
        assert reader.text == slow_reader.text == "One two three."
        assert trio.current_time() == 300

    async def test_what_is_not_kept_is_for_those_who_waited(self, autojump_clock: MockClock) -> None:
        """An answer that is not kept serves the callers of its time; a later request makes a new call."""
        cut = ModelResponse("Hel", finish_reason="length")
        cache, reader = Cache(Service(["Hel", 1.0, cut], "Hello.")), Reader()

        async def slow(delta: Delta) -> None:
            await trio.sleep(100)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.respond, ask(), slow)
            await wait_all_tasks_blocked()
            nursery.start_soon(cache.respond, ask(), reader)
            await trio.sleep(50)
            assert (await cache.respond(ask())).content == "Hello."

        assert reader.text == "Hel"

    async def test_two_streams_read_in_any_order(self, autojump_clock: MockClock) -> None:
        """A program can read two runs' streams one after the other, beginning with the follower's."""
        agent = Agent(Cache(Service([*["word "] * 250, 5.0, *["word "] * 250])))
        async with Runtime() as runtime, runtime.stream(agent, "Hi") as one:
            await wait_all_tasks_blocked()
            async with runtime.stream(agent, "Hi") as other:
                texts = [
                    [event.text async for event in events if isinstance(event, TextDelta)] for events in (other, one)
                ]

        assert texts == [["word "] * 500] * 2

    async def test_signs_of_life_reach_all(self, autojump_clock: MockClock) -> None:
        """A run behind another's call stays alive while the answer streams in."""
        agent = Agent(Cache(Service([3.0, "word "] * 5)), limits=Limits(idle_timeout=5))
        contents: list[str] = []

        async with Runtime() as runtime:

            async def read() -> None:
                async with runtime.stream(agent, "Hi") as events:
                    contents.append("".join([event.text async for event in events if isinstance(event, TextDelta)]))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                nursery.start_soon(read)

        assert contents == ["word " * 5] * 2


class TestFailure:
    """A shared call fails for all callers."""

    async def test_all_have_the_error(self, autojump_clock: MockClock) -> None:
        """The first caller gets the error, the others get copies; a change of one error does not reach another."""
        error = busy(retry_after=3)
        error.__cause__ = OSError("refused")
        error.add_note("a note")
        cache = Cache(Service([5.0, error], "Hello."))
        caught: list[AgnoError] = []

        async def run() -> None:
            try:
                await cache.respond(ask())
            except ModelError as exc:
                exc.result = "mine"
                exc.hint += f" {len(caught)}"
                exc.add_note("mine")
                caught.append(exc)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(run)

        assert caught[0] is error
        assert len({id(exc) for exc in caught}) == 3
        for at, exc in enumerate(caught):
            assert isinstance(exc, ModelError)
            assert (exc.message, exc.status, exc.retryable, exc.retry_after) == ("it is busy", 503, True, 3)
            assert exc.hint == f"Wait. {at}"
            assert exc.__notes__ == ["Wait.", "a note", "mine"]
            assert exc.__cause__ is error.__cause__
        assert (await cache.respond(ask())).content == "Hello."
        assert (cache.waiting, cache.hits) == (0, 0)

    async def test_any_of_our_errors(self, autojump_clock: MockClock) -> None:
        """Errors with parameters of their own are copied too."""
        cache = Cache(Service([5.0, NotFound("model", "x", ["y"])]))
        texts: list[str] = []

        async def run() -> None:
            with pytest.raises(NotFound) as caught:
                await cache.respond(ask())
            texts.append(f"{caught.value} {caught.value.name}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            nursery.start_soon(run)

        assert texts[0] == texts[1]

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_bug_is_the_callers_own(self, streamed: bool, autojump_clock: MockClock) -> None:
        """A bug reaches one caller only: the next caller makes a new call."""
        service = Service([5.0, ValueError("a bug")], ["Hello."])
        cache, answers = Cache(service), []

        async def fail() -> None:
            with pytest.raises(ValueError, match="a bug"):
                await cache.respond(ask(), Reader() if streamed else None)

        async def run() -> None:
            answers.append((await cache.respond(ask(), Reader() if streamed else None)).content)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await wait_all_tasks_blocked()
            nursery.start_soon(run)
            nursery.start_soon(run)

        assert answers == ["Hello.", "Hello."]
        assert len(service.requests) == 2

    async def test_a_reader_that_fails_is_the_callers_own(self, autojump_clock: MockClock) -> None:
        """A reader's error is raised bare and ends the call; the next caller makes a new call."""
        cache, reader = Cache(Service(["Hel", 5.0, "lo."])), Reader()

        async def emit(delta: Delta) -> None:
            await trio.sleep(1)
            raise ValueError("no reader")

        async def fail() -> None:
            with pytest.raises(ValueError, match="no reader"):
                await cache.respond(ask(), emit)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await wait_all_tasks_blocked()
            nursery.start_soon(cache.respond, ask(), reader)

        assert reader.text == "Hello."
        assert len(reader.restarts) == 1

    async def test_what_is_no_response_is_passed_on(self, autojump_clock: MockClock) -> None:
        """A result without a response goes to its caller alone, for the run to report."""

        class Broken(Service):
            async def respond(self, request, emit=None):  # type: ignore[no-untyped-def]
                await super().respond(request, emit)

        broken = Broken([1.0, "text"])
        cache, answers = Cache(broken), []

        async def run() -> None:
            answers.append(await cache.respond(ask(), Reader()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            nursery.start_soon(run)

        assert answers == [None, None]
        assert len(broken.requests) == 2

    async def test_a_response_that_cannot_be_kept(self, autojump_clock: MockClock) -> None:
        """Text outside of Unicode reaches the caller, and is not kept."""
        service = Service([1.0, ModelResponse("\ud800")])
        cache = Cache(service)

        assert (await cache.respond(ask())).content == "\ud800"
        assert cache.statistics()[0].in_use == 0


class TestCancellation:
    """The calling task or a waiting task is cancelled."""

    async def test_another_takes_over(self, autojump_clock: MockClock) -> None:
        """A waiting task repeats a cancelled call; all others get the answer."""
        service = Service([5.0, "Hello."])
        cache, answers = Cache(service), []

        async def run() -> None:
            answers.append((await cache.respond(ask())).content)

        async with trio.open_nursery() as nursery:
            with trio.move_on_after(3):
                async with trio.open_nursery() as inner:
                    inner.start_soon(cache.respond, ask())
                    await wait_all_tasks_blocked()
                    for _ in range(3):
                        nursery.start_soon(run)

        assert answers == ["Hello."] * 3
        assert (service.asked_at, service.cancelled) == ([0, 3], 1)
        assert trio.current_time() == 8

    async def test_its_readers_are_told(self, autojump_clock: MockClock) -> None:
        """A follower's reader gets a restart when the followed call is cancelled."""
        cache, reader = Cache(Service(["Hel", 5.0, "lo."])), Reader()
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(3):
                async with trio.open_nursery() as inner:
                    inner.start_soon(cache.respond, ask(), Reader())
                    await wait_all_tasks_blocked()
                    nursery.start_soon(cache.respond, ask(), reader)

        assert reader.text == "Hello."
        assert reader.restarts == ["service is asked again: the run that had asked it was ended"]

    async def test_stops_a_model_that_only_emits(self) -> None:
        """A model that only emits still meets a cancellation: emitting is a checkpoint."""
        service = Service(["word "] * 100)
        with trio.CancelScope() as scope:

            async def emit(delta: Delta) -> None:
                scope.cancel()

            await Cache(service).respond(ask(), emit)

        assert scope.cancelled_caught
        assert service.cancelled == 1

    async def test_one_that_waits_is_no_loss(self, autojump_clock: MockClock) -> None:
        """The call goes on when a waiting task gives up."""
        service = Service([5.0, "Hello."])
        cache, answers = Cache(service), []

        async def run(patience: float) -> None:
            with trio.move_on_after(patience):
                answers.append((await cache.respond(ask())).content)

        async with trio.open_nursery() as nursery:
            for patience in (math.inf, 1.0, math.inf):
                nursery.start_soon(run, patience)
                await wait_all_tasks_blocked()

        assert answers == ["Hello.", "Hello."]
        assert (len(service.requests), cache.waiting) == (1, 0)

    async def test_a_runs_deadline_is_its_own(self, autojump_clock: MockClock) -> None:
        """A deadline ends one run; another run behind the same call gets the answer."""
        service = Service([5.0, "Hello."])
        cache = Cache(service)
        async with Runtime() as runtime, trio.open_nursery() as nursery:

            async def hasty() -> None:
                with pytest.raises(AgnoError, match="took longer than 3 s"):
                    await runtime.run(Agent(cache, limits=Limits(model_timeout=3)), "Hi")

            nursery.start_soon(hasty)
            await wait_all_tasks_blocked()
            result = await runtime.run(Agent(cache), "Hi")

        assert result.content == "Hello."
        assert len(service.requests) == 2

    async def test_nothing_is_held_afterwards(self) -> None:
        """A cancelled call leaves no flight in memory."""
        before = list_flights()  # whatever earlier tests of this process hold
        cache = Cache(Service([60.0, "Hello."]))
        with trio.move_on_after(0):
            await cache.respond(ask(), Reader())

        assert not [flight for flight in list_flights() if flight not in before]


def list_flights() -> list[Any]:
    """List the flights of this process that are not garbage."""
    gc.collect()
    return [each for each in gc.get_objects() if type(each).__name__ == "Flight"]


def _try_schedules(streamed: bool, store: Callable[[], CacheStore | None]) -> None:
    outcomes: list[str] = []
    keeps_slowly = store() is not None

    async def scenario() -> None:
        service = Service([PAUSE, "Hel", PAUSE, "lo."])
        cache = Cache(service, store=store())
        scopes = [trio.CancelScope() for _ in range(5)]
        readers = [Reader() for _ in scopes]
        answers: dict[int, str] = {}

        async def run(at: int) -> None:
            with scopes[at]:
                await pause()
                answers[at] = (await cache.respond(ask(), readers[at] if streamed else None)).content

        async def end(at: int) -> None:
            await pause()
            await pause()
            scopes[at].cancel()

        async with trio.open_nursery() as nursery:
            for at in range(5):
                nursery.start_soon(run, at)
            for at in (0, 1):
                nursery.start_soon(end, at)

        assert {2, 3, 4} <= answers.keys()
        assert set(answers.values()) == {"Hello."}
        assert service.most == 1, "two asked at once"
        # A slow store may lose the answer of a finished call to a cancellation; without a store each answer is kept.
        assert len(service.requests) == 1 + service.cancelled or (keeps_slowly and len(service.requests) <= 3)
        assert cache.waiting == 0
        if streamed:
            assert {readers[at].text for at in answers} == {"Hello."}
        outcomes.append(f"{service.cancelled}")

    run_schedules(scenario, 300)
    # Without both outcomes the schedules have not tried the takeover.
    assert {"0", "1"} <= set(outcomes)


class _PausingStore(Store):
    """A store with a pause in each method."""

    async def cached(self, key: str) -> bytes | None:
        await pause()
        return self.values.get(key)

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        await pause()
        self.values[key] = value


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("store", [lambda: None, _PausingStore], ids=["own", "elsewhere"])
def test_under_many_schedules(streamed: bool, store: Callable[[], CacheStore | None]) -> None:
    """Of five equal requests two are cancelled at any moment: the others get the answer, with one call at a time."""
    _try_schedules(streamed, store)


def test_failures_under_many_schedules() -> None:
    """A failed call fails its callers, and later callers get a new answer; no caller hangs."""

    async def scenario() -> None:
        calls: list[list[Act]] = [[PAUSE, "Hel", busy()], [PAUSE, ValueError("a bug")], [PAUSE, "Hello."]]
        cache, outcomes = Cache(Service(*calls)), []

        async def run(reader: Reader | None) -> None:
            await pause()
            try:
                response = await cache.respond(ask(), reader)
            except (ModelError, ValueError) as exc:
                outcomes.append(type(exc).__name__)
            else:
                outcomes.append(response.content)
                assert reader is None or reader.text == "Hello."

        async with trio.open_nursery() as nursery:
            for at in range(6):
                nursery.start_soon(run, Reader() if at % 2 else None)

        assert len(outcomes) == 6
        assert "ModelError" in outcomes
        assert outcomes.count("ValueError") <= 1

    run_schedules(scenario, 300)


@pytest.mark.parametrize(
    "settings",
    [{"store": "redis://"}, {"store": 7}, {"ttl": 0}, {"ttl": math.inf}, {"ttl": True}, {"size": 0}, {"size": 1.5}],
    ids=str,
)
def test_refuses_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    """A wrong setting raises `UsageError` in the constructor."""
    with pytest.raises(UsageError, match=r"^(the store of a cache|ttl|size) is "):
        Cache("a:x", **settings)
