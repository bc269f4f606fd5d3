"""The embedders and rerankers of a runtime: made of specs at the first use, shared, and closed with the runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from agno_rt._runtime.check_parts import wrong_product_error
from agno_rt._runtime.kept import keep
from agno_rt.errors import UsageError
from agno_rt.failures import repr_of
from agno_rt.knowledge.embedders import Embedder
from agno_rt.knowledge.rerankers import Reranker
from agno_rt.limits import LimitStatistics
from agno_rt.wrappers.batches import Batches, RerankerBatches

if TYPE_CHECKING:
    from agno_rt.plugins import PluginHost

__all__ = ["Retrieval"]

B = TypeVar("B", Batches, RerankerBatches)


class Retrieval:
    """Makes the embedders and rerankers of one runtime, each in batches."""

    def __init__(self, plugins: PluginHost, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self._plugins = plugins
        self._settings = settings
        self._made: list[Any] = []
        self._embedders: dict[str, Batches] = {}
        self._rerankers: dict[str, RerankerBatches] = {}
        self._given: dict[int, tuple[Any, Any]] = {}

    def embedder(self, spec: str | Embedder) -> Batches:
        """Return the embedder of a spec, or the given one, in batches. See `Runtime.embedder`."""
        if not isinstance(spec, str):
            return self._wrap(spec, Embedder, Batches, "an embedder")
        if spec not in self._embedders:
            made = self._make(spec, self._plugins.embedder, Embedder)
            self._embedders[spec] = made if isinstance(made, Batches) else Batches(made)
        return self._embedders[spec]

    def reranker(self, spec: str | Reranker) -> RerankerBatches:
        """Return the reranker of a spec, or the given one, in batches. See `Runtime.reranker`."""
        if not isinstance(spec, str):
            return self._wrap(spec, Reranker, RerankerBatches, "a reranker")
        if spec not in self._rerankers:
            made = self._make(spec, self._plugins.reranker, Reranker)
            self._rerankers[spec] = made if isinstance(made, RerankerBatches) else RerankerBatches(made)
        return self._rerankers[spec]

    def statistics(self) -> Iterator[LimitStatistics]:
        """Yield the limits of the embedders and rerankers as they stand now."""
        for part in (*self._embedders.values(), *self._rerankers.values(), *(each for _, each in self._given.values())):
            yield from part.statistics()

    def release(self) -> list[Any]:
        """Forget everything, and return the parts made of specs, to close them. Given parts stay open."""
        made, self._made = self._made, []
        self._embedders.clear()
        self._rerankers.clear()
        self._given.clear()
        return made

    def _make(self, spec: str, make: Callable[..., Any], kind: type[Any]) -> Any:
        made = make(spec, self._settings)
        if not isinstance(made, kind):
            raise wrong_product_error(spec, made, kind.__name__)
        self._made.append(made)
        return made

    def _wrap(self, given: Any, kind: type[Any], batches: type[B], noun: str) -> B:
        if isinstance(given, batches):
            return given
        if not isinstance(given, kind) or isinstance(given, type):
            hint = "Give a spec such as 'llamacpp:minilm', or an instance of a class with the protocol's methods."
            raise UsageError(f"{repr_of(given)} is not {noun}", hint=hint)
        # By identity: given parts may compare by value, or have no hash. The part is kept beside its batches, so that
        # no other object can get the same id.
        known: tuple[Any, B] = self._given.get(id(given)) or (given, batches(given))
        keep(self._given, id(given), known)
        return known[1]
