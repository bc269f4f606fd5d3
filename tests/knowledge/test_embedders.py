"""Embedders and rerankers through the runtime: made of specs, batched, bounded, tried again and closed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import trio

from agno_rt import Runtime
from agno_rt.errors import ModelError, NotFound, PluginError, UsageError
from agno_rt.knowledge import Embedder, EmbedderProfile, Embeddings, Purpose, Ranked, Reranker, unit_vector
from agno_rt.messages import Usage
from agno_rt.plugins import PluginHost
from agno_rt.testing import EmbedderContract, RerankerContract, WordEmbedder, WordReranker, run_virtually
from agno_rt.wrappers.backoff import Backoff
from agno_rt.wrappers.batches import Batches, RerankerBatches

MakePoint = Callable[..., EntryPoint]


class TestWordEmbedder(EmbedderContract):
    """The testing kit's embedder keeps the contract."""

    knows_meaning = False

    def make_embedder(self) -> Embedder:
        """Make the embedder, with a bound."""
        return WordEmbedder(max_tokens=20)


class TestBatches(EmbedderContract):
    """An embedder in batches of two keeps the contract."""

    knows_meaning = False

    def make_embedder(self) -> Embedder:
        """Make batches."""
        return Batches(WordEmbedder(max_tokens=20), batch_texts=2, requests=2)


class TestWordReranker(RerankerContract):
    """The testing kit's reranker keeps the contract."""

    knows_meaning = False

    def make_reranker(self) -> Reranker:
        """Make the reranker."""
        return WordReranker()


class TestRerankerBatches(RerankerContract):
    """A reranker in batches of two keeps the contract."""

    knows_meaning = False

    def make_reranker(self) -> Reranker:
        """Make batches."""
        return RerankerBatches(WordReranker(), batch_texts=2)


class Closable(WordEmbedder):
    """An embedder with a note of each closing."""

    closed = 0

    async def aclose(self) -> None:
        """Note."""
        self.closed += 1


async def test_the_runtime_makes_an_embedder_once(plugin_point: MakePoint) -> None:
    """`rt.embedder(spec)` makes the plugin's embedder once with the settings; the runtime closes the embedder."""
    made: list[Closable] = []

    def make(rest: str, settings: Any) -> Closable:
        made.append(Closable(int(rest or settings["size"])))
        return made[-1]

    point = plugin_point(
        "mine",
        agno_rt_register_embedders=lambda register: register("words", make, "Counts words."),
        agno_rt_register_rerankers=lambda register: register("words", lambda rest, settings: WordReranker()),
    )
    async with Runtime(plugins=PluginHost([point]), settings={"mine": {"size": 8}}) as rt:
        embedder = rt.embedder("mine:words")
        assert rt.embedder("mine:words") is embedder
        assert rt.embedder("mine:words:16") is not embedder
        assert len((await embedder.embed(["one"])).vectors[0]) == 8
        assert (await rt.reranker("mine:words").rerank("a b", ["c", "a"], top=1))[0].place == 1
        names = [each.name for each in rt.statistics()]
        assert "words:8 requests" in names
        with pytest.raises(NotFound, match="unknown embedder 'mine:wrods'") as caught:
            rt.embedder("mine:wrods")
        assert "mine:words" in caught.value.hint
    assert [each.closed for each in made] == [1, 1]


async def test_the_runtime_leaves_a_given_embedder_open() -> None:
    """A given embedder is batched once for all callers, and stays open."""
    own = Closable()
    async with Runtime() as rt:
        batches = rt.embedder(own)
        assert rt.embedder(own) is batches
        assert rt.embedder(batches) is batches
        for wrong in (WordEmbedder, 5, WordReranker()):
            with pytest.raises(UsageError, match="is not an embedder"):
                rt.embedder(wrong)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="is not a reranker"):
            rt.reranker(own)  # type: ignore[arg-type]
    assert own.closed == 0


async def test_a_plugin_that_makes_something_else(plugin_point: MakePoint) -> None:
    """A factory whose product is not an embedder is named."""
    point = plugin_point("odd", agno_rt_register_embedders=lambda register: register("x", lambda rest, settings: 5))
    async with Runtime(plugins=PluginHost([point])) as rt:
        with pytest.raises(PluginError, match="'odd' made a int of 'odd:x', which is not a Embedder"):
            rt.embedder("odd:x")


class Rehearsed:
    """An embedder with a list of steps: an error to raise, seconds to take, or vectors to return."""

    name = "rehearsed"
    dimensions = None
    profile = EmbedderProfile(batch_texts=2, requests=3)

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.calls: list[tuple[str, ...]] = []
        self.most = self.now = 0

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """Do the next step; without one, return vectors with the numbers in the texts."""
        self.calls.append(tuple(texts))
        step = self.steps.pop(0) if self.steps else 0.0
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await trio.sleep(step if isinstance(step, float) else 0.0)
        finally:
            self.now -= 1
        if isinstance(step, Exception):
            raise step
        if isinstance(step, list):
            return Embeddings(step)
        return Embeddings([array("f", [float(text), 1.0]) for text in texts], Usage(input_tokens=len(texts)), (0,))


def numbers(count: int) -> list[str]:
    """Return numbers as texts."""
    return [str(number) for number in range(count)]


def test_batches_keep_the_order() -> None:
    """Vectors are in the texts' order, whichever request ends first; usage and cut texts add up."""

    async def main() -> None:
        inner = Rehearsed(3.0, 1.0, 2.0, 0.5)
        found = await Batches(inner).embed(numbers(7))
        assert [vector[0] for vector in found.vectors] == [0, 1, 2, 3, 4, 5, 6]
        assert found.usage.input_tokens == 7
        assert found.cut == (0, 2, 4, 6)
        assert inner.most == 3
        assert sorted(map(len, inner.calls)) == [1, 2, 2, 2]

    run_virtually(main)


def test_batches_are_bounded_by_tokens() -> None:
    """A request has at most so many estimated tokens; a text above the bound goes alone."""

    async def main() -> None:
        inner = WordEmbedder()
        await Batches(inner, batch_tokens=40).embed(["a" * 60, "b" * 30, "c" * 300, "d", "e" * 30])
        assert [[text[0] for text in call] for call in sorted(inner.calls)] == [["a", "b"], ["c"], ["d", "e"]]

    run_virtually(main)


def test_calls_share_the_limit() -> None:
    """All calls of an embedder together have at most `requests` under way."""

    async def main() -> None:
        inner = Rehearsed(*[1.0] * 20)
        batches = Batches(inner, requests=2)
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(batches.embed, numbers(5))
        assert inner.most == 2
        assert len(inner.calls) == 12
        (limit,) = batches.statistics()
        assert (limit.total, limit.in_use, limit.waiting) == (2, 0, 0)

    run_virtually(main)


def busy(after: float | None = None) -> ModelError:
    """Return a passing error."""
    return ModelError("the service is busy", provider="p", status=429, retryable=True, retry_after=after)


def test_a_passing_failure_is_tried_again() -> None:
    """A request is sent again after the service's wait, without the place; others go on."""

    async def main() -> None:
        inner = Rehearsed(busy(after=5.0), 0.0)
        batches = Batches(inner, requests=1, backoff=Backoff(jitter=lambda: 0.0))
        began = trio.current_time()
        found = await batches.embed(numbers(4))
        assert [vector[0] for vector in found.vectors] == [0, 1, 2, 3]
        assert trio.current_time() - began == pytest.approx(5.0)
        assert batches.retries == 1
        assert inner.calls.count(("0", "1")) == 2

    run_virtually(main)


def test_a_failure_for_good_cancels_the_rest() -> None:
    """A lasting error, or the last of all attempts, is raised unchanged; no request is left under way."""

    async def main() -> None:
        refused = ModelError("no such model", provider="p", status=404)
        inner = Rehearsed(9.0, refused, 9.0)
        with pytest.raises(ModelError, match="no such model") as caught:
            await Batches(inner).embed(numbers(50))
        assert caught.value is refused
        assert (inner.now, len(inner.calls)) == (0, 3)

        again = Rehearsed(busy(), busy(), busy())
        with pytest.raises(ModelError, match="busy") as caught:
            await Batches(again, backoff=Backoff(attempts=2)).embed(numbers(1))
        assert "asked 2 times" in caught.value.hint
        assert len(again.calls) == 2

    run_virtually(main)


def test_cancellation_leaves_nothing() -> None:
    """A cancelled call ends all requests and retries, and gives the places back, at any moment."""

    async def main() -> None:
        for seconds in (0.0, 0.5, 1.5):
            inner = Rehearsed(*[1.0, busy(after=9.0)] * 20)
            batches = Batches(inner)
            with trio.move_on_after(seconds) as scope:
                await batches.embed(numbers(99))
            assert scope.cancelled_caught
            assert inner.now == 0
            assert batches.statistics()[0].in_use == 0

    run_virtually(main)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ([array("f", [1.0])], "returned 1 vectors for 2 texts"),
        ([array("f", [1.0])] * 3, "returned 3 vectors for 2 texts"),
        ([array("f", [1.0]), array("f", [1.0, 0.0])], "several lengths: 1, 2"),
    ],
)
async def test_an_answer_that_does_not_fit(vectors: list[Any], said: str) -> None:
    """An answer of another number of vectors, or of ragged vectors, is an error with the counts."""
    with pytest.raises(ModelError, match=said):
        await Batches(Rehearsed(vectors)).embed(numbers(2))


@pytest.mark.parametrize(
    "ranked", [[(0, 1.0)], [(0, 1.0), (0, 0.5)], [(0, 1.0), (2, 0.5)], [(0, 1.0), (-1, 0.5)]], ids=str
)
async def test_a_ranking_that_does_not_fit(ranked: list[tuple[int, float]]) -> None:
    """A ranking with a text too few, a text twice or an unknown text is an error."""

    class Wrong:
        name = "wrong"

        async def rerank(self, query: str, texts: Sequence[str], *, top: int | None = None) -> list[Ranked]:
            return [Ranked(*each) for each in ranked]

    with pytest.raises(ModelError, match="of 2 texts, where 2 were asked for"):
        await RerankerBatches(Wrong()).rerank("q", ["a", "b"])


async def test_rankings_of_several_requests_are_merged() -> None:
    """The best texts of all requests come first, by the places in the whole list; `top` counts over all."""
    texts = ["no", "a b", "a", "a b c", "b", "no"]
    inner = WordReranker()
    batches = RerankerBatches(inner, batch_texts=2)
    assert [each.place for each in await batches.rerank("a b c", texts)] == [3, 1, 2, 4, 0, 5]
    assert [each.place for each in await batches.rerank("a b c", texts, top=2)] == [3, 1]
    assert len(inner.calls) == 6


@pytest.mark.parametrize("bounds", [{"batch_texts": -1}, {"requests": True}, {"batch_texts": 2.5}], ids=str)
def test_refuses_unusable_bounds(bounds: dict[str, Any]) -> None:
    """Bounds are numbers above 0."""
    with pytest.raises(UsageError, match=next(iter(bounds))):
        Batches(WordEmbedder(), **bounds)


async def test_refuses_an_unknown_purpose() -> None:
    """A purpose is `document` or `query`."""
    with pytest.raises(UsageError, match="purpose is 'search'"):
        await Batches(WordEmbedder()).embed(["a"], purpose="search")  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0], []], ids=str)
def test_a_vector_needs_a_direction(values: list[float]) -> None:
    """Zeros, NaN and infinities have no direction, and are refused."""
    with pytest.raises(ValueError, match="zeros"):
        unit_vector(values)
