"""What has been counted: plain numbers that an observer adds to, in microseconds. Knows nothing of Prometheus.

A metric of the client library takes a lock for each addition. Events come from one thread, so nothing here needs one;
whoever reads from another gets each number as it was at some moment of the reading.
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
"""What those are called that are too many to be told apart."""

UNNAMED = "unnamed"
"""What an agent without a name is called: a label without a value is no label."""

_LONGEST = 100
"""Characters of a name. A model may call tools that there are not, by any name it likes."""


class Durations:
    """How often something took how long: `counts[i]` took at most the bound `i`, and longer than the one before."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0


class _Timed:
    """Something that has a name and ends in some way, each time after some time."""

    __slots__ = ("_bounds", "ended", "name")

    def __init__(self, name: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.ended: dict[str, Durations] = {}
        self._bounds = bounds

    def end(self, status: str, seconds: float) -> None:
        """Count one that ended like that, after so many seconds."""
        durations = self.ended.get(status)
        if durations is None:
            durations = self.ended[status] = Durations(self._bounds)
        durations.counts[bisect_left(self._bounds, seconds)] += 1
        durations.sum += seconds


class AgentCounts(_Timed):
    """The runs of the agents of one name."""

    __slots__ = ("restarts", "resumed", "under_way")

    def __init__(self, name: str, bounds: Sequence[float]) -> None:
        super().__init__(name, bounds)
        self.under_way = self.resumed = self.restarts = 0


class ModelCounts(_Timed):
    """The calls of a model."""

    __slots__ = ("cached_tokens", "cost", "input_tokens", "output_tokens", "reasoning_tokens")

    def __init__(self, name: str, bounds: Sequence[float]) -> None:
        super().__init__(name, bounds)
        self.input_tokens = self.output_tokens = self.reasoning_tokens = self.cached_tokens = 0
        self.cost = 0.0


class ToolCounts(_Timed):
    """The calls of a tool."""

    __slots__ = ()


class GuardCounts:
    """What a guardrail did, by what it did."""

    __slots__ = ("actions", "name")

    def __init__(self, name: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.actions: dict[str, int] = {}


C = TypeVar("C")


class _Table(dict[str, C]):
    """What is counted of each name: the first so many have a place of their own, all others share one.

    `places` has each place once, by its label: names that look the same as labels are one.
    """

    def __init__(self, make: Callable[[str, Sequence[float]], C], bounds: Sequence[float], names: int) -> None:
        super().__init__()
        self.places: dict[str, C] = {}
        self._make = make
        self._bounds = bounds
        self._names = names

    def __missing__(self, name: str) -> C:
        full = len(self) >= self._names
        label = OTHER if full else _label(name)
        place = self.places.get(label)
        if place is None:
            place = self.places[label] = self._make(label, self._bounds)
        if not full:
            self[name] = place
        return place


def _label(name: str) -> str:
    # A model may write what is no Unicode, and one such name would keep all metrics from being shown.
    return name[:_LONGEST].encode("utf-8", "replace").decode() or UNNAMED


class Counts:
    """Counts what happens in runs: `observe` is the observer.

    `bounds` are those of durations, `names` is how many of a kind are told apart; `clock` gives the seconds.
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
        """By agent."""
        return tuple(self._agents.places.values())

    @property
    def models(self) -> Sequence[ModelCounts]:
        """By model."""
        return tuple(self._models.places.values())

    @property
    def tools(self) -> Sequence[ToolCounts]:
        """By tool."""
        return tuple(self._tools.places.values())

    @property
    def guards(self) -> Sequence[GuardCounts]:
        """By guardrail."""
        return tuple(self._guards.places.values())

    def observe(self, event: Event) -> None:
        """Count the event, if it is one that counts."""
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
        model = self._models[event.model]
        model.end(event.status, now - self._calls.pop((event.run_id, event.turn), now))
        usage = event.usage
        model.input_tokens += usage.input_tokens
        model.output_tokens += usage.output_tokens
        if usage.reasoning_tokens or usage.cached_tokens or usage.cost:
            model.reasoning_tokens += usage.reasoning_tokens
            model.cached_tokens += usage.cached_tokens
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
