"""The counts: plain numbers, in microseconds of work for an observer. Knows nothing of Prometheus.

A metric of the client library takes a lock for each addition. All events come from one thread, so the counts need no
lock; a reader in another thread may see each number at a slightly different moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, TypeVar

from agno_rt.events import (
    ApprovalAsked,
    Event,
    GuardTripped,
    ModelEnded,
    ModelStarted,
    RunEnded,
    RunStarted,
    ToolEnded,
    ToolStarted,
    TurnRestarted,
)

__all__ = ["OTHER", "UNNAMED", "AgentCounts", "Counts", "Durations", "GuardCounts", "ModelCounts", "ToolCounts"]

OTHER = "other"
"""The name for all beyond the first `names` of a kind."""

UNNAMED = "unnamed"
"""The name for an agent without a name: Prometheus drops a label with an empty value."""

_LONGEST = 100
"""Characters in a name. A model may call unknown tools by any name."""


class Durations:
    """A histogram of durations: `counts[i]` took at most bound `i`, and longer than bound `i - 1`."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0


class _Timed:
    """A named kind of work with durations by final status."""

    __slots__ = ("_bounds", "ended", "name")

    def __init__(self, name: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.ended: dict[str, Durations] = {}
        self._bounds = bounds

    def end(self, status: str, seconds: float) -> None:
        """Count one end with the status, after so many seconds."""
        durations = self.ended.get(status)
        if durations is None:
            durations = self.ended[status] = Durations(self._bounds)
        # A duration equal to a bound belongs to the bucket of the bound, as in Prometheus (`le`).
        durations.counts[bisect_left(self._bounds, seconds)] += 1
        durations.sum += seconds


class AgentCounts(_Timed):
    """The runs of all agents with one name."""

    __slots__ = ("restarts", "resumed", "under_way")

    def __init__(self, name: str, bounds: Sequence[float]) -> None:
        super().__init__(name, bounds)
        self.under_way = self.resumed = self.restarts = 0


class ModelCounts(_Timed):
    """The calls of a model."""

    __slots__ = ("cache_write_tokens", "cached_tokens", "cost", "input_tokens", "output_tokens", "reasoning_tokens")

    def __init__(self, name: str, bounds: Sequence[float]) -> None:
        super().__init__(name, bounds)
        self.input_tokens = self.output_tokens = self.reasoning_tokens = 0
        self.cached_tokens = self.cache_write_tokens = 0
        self.cost = 0.0


class ToolCounts(_Timed):
    """The calls of a tool."""

    __slots__ = ()


class GuardCounts:
    """The actions of a guardrail."""

    __slots__ = ("actions", "name")

    def __init__(self, name: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.actions: dict[str, int] = {}


C = TypeVar("C")


class _Table(dict[str, C]):
    """Counts by name: the first `names` names have their own counts, all others share one.

    `places` has the counts by label: names with equal labels share their counts.
    """

    def __init__(self, make: Callable[[str, Sequence[float]], C], bounds: Sequence[float], names: int) -> None:
        super().__init__()
        self.places: dict[str, C] = {}
        self._make = make
        self._bounds = bounds
        self._names = names

    def __missing__(self, name: str) -> C:
        full = len(self) >= self._names
        label = OTHER if full else _make_label(name)
        place = self.places.get(label)
        if place is None:
            place = self.places[label] = self._make(label, self._bounds)
        # Names beyond the bound are not kept: a model may invent any number of names.
        if not full:
            self[name] = place
        return place


def _make_label(name: str) -> str:
    # A model may write invalid Unicode, and one such name would break the whole page of metrics.
    return name[:_LONGEST].encode("utf-8", "replace").decode() or UNNAMED


class Counts:
    """The counts of all runs: `observe` is the observer.

    `bounds` are the upper bounds of durations, `names` the number of names counted separately; `clock` gives seconds.
    """

    def __init__(self, bounds: Sequence[float], names: int, clock: Callable[[], float] = perf_counter) -> None:
        self.bounds = bounds
        self.approvals: dict[str, int] = {}
        self._agents = _Table(AgentCounts, bounds, names)
        self._models = _Table(ModelCounts, bounds, names)
        self._tools = _Table(ToolCounts, bounds, names)
        self._guards = _Table(GuardCounts, bounds, names)
        self._clock = clock
        self._runs: dict[str, tuple[AgentCounts, float]] = {}
        self._calls: dict[tuple[str, int | str], float] = {}
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            RunStarted: self._run_started,
            RunEnded: self._run_ended,
            ModelStarted: self._model_started,
            ModelEnded: self._model_ended,
            ToolStarted: self._tool_started,
            ToolEnded: self._tool_ended,
            TurnRestarted: self._turn_restarted,
            GuardTripped: self._guard_tripped,
            ApprovalAsked: self._approval_asked,
        }

    @property
    def agents(self) -> Sequence[AgentCounts]:
        """Return the counts by agent."""
        return tuple(self._agents.places.values())

    @property
    def models(self) -> Sequence[ModelCounts]:
        """Return the counts by model."""
        return tuple(self._models.places.values())

    @property
    def tools(self) -> Sequence[ToolCounts]:
        """Return the counts by tool."""
        return tuple(self._tools.places.values())

    @property
    def guards(self) -> Sequence[GuardCounts]:
        """Return the counts by guardrail."""
        return tuple(self._guards.places.values())

    def observe(self, event: Event) -> None:
        """Count the event; ignore events of other kinds."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _run_started(self, event: RunStarted) -> None:
        agent = self._agents[event.agent]
        agent.under_way += 1
        if event.resumed:
            agent.resumed += 1
        self._runs[event.run_id] = agent, self._clock()

    def _run_ended(self, event: RunEnded) -> None:
        run = self._runs.pop(event.run_id, None)
        if run is not None:
            agent, since = run
            agent.under_way -= 1
            agent.end(event.status, self._clock() - since)

    def _model_started(self, event: ModelStarted) -> None:
        self._calls[event.run_id, event.turn] = self._clock()

    def _model_ended(self, event: ModelEnded) -> None:
        now = self._clock()
        if not event.model:
            # A hook answered: no model was called.
            self._calls.pop((event.run_id, event.turn), None)
            return
        model = self._models[event.model]
        # The start is unknown if the observer was not there yet: count 0 seconds.
        model.end(event.status, now - self._calls.pop((event.run_id, event.turn), now))
        usage = event.usage
        model.input_tokens += usage.input_tokens
        model.output_tokens += usage.output_tokens
        if usage.reasoning_tokens or usage.cached_tokens or usage.cache_write_tokens or usage.cost:
            model.reasoning_tokens += usage.reasoning_tokens
            model.cached_tokens += usage.cached_tokens
            model.cache_write_tokens += usage.cache_write_tokens
            model.cost += usage.cost

    def _tool_started(self, event: ToolStarted) -> None:
        self._calls[event.run_id, event.call.id] = self._clock()

    def _tool_ended(self, event: ToolEnded) -> None:
        now = self._clock()
        tool = self._tools[event.call.name]
        tool.end(event.status, now - self._calls.pop((event.run_id, event.call.id), now))

    def _turn_restarted(self, event: TurnRestarted) -> None:
        run = self._runs.get(event.run_id)
        if run is not None:
            run[0].restarts += 1

    def _guard_tripped(self, event: GuardTripped) -> None:
        guard = self._guards[event.guard]
        guard.actions[event.action] = guard.actions.get(event.action, 0) + 1

    def _approval_asked(self, event: ApprovalAsked) -> None:
        self.approvals[event.kind] = self.approvals.get(event.kind, 0) + 1
