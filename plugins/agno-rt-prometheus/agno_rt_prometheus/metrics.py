"""Makes Prometheus metrics of what was counted, when they are scraped; and knows which runtime's are where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from agno_rt import Runtime
from agno_rt.config import read_settings
from agno_rt.errors import UsageError
from agno_rt_prometheus.counts import Counts, Durations
from agno_rt_prometheus.settings import Settings

__all__ = ["Metrics", "known", "metrics_of"]


class Metrics(Collector):
    """The metrics of a runtime; in the default registry those of all runtimes that are counted there as one."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.counts = Counts(settings.buckets, settings.names)
        self.registry = registry
        self.settings = settings
        self.runtimes: WeakSet[Runtime] = WeakSet()
        self._prefix = settings.namespace
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield from self._of_agents()
        yield from self._of_models()
        yield self._histogram(
            "tool_call_duration_seconds", "How long the calls of tools took.", "tool", self.counts.tools
        )
        guards = self._counter("guard_trips", "Guardrails that blocked a run or changed a text.", "guard", "action")
        for guard in self.counts.guards:
            for action, count in tuple(guard.actions.items()):
                guards.add_metric([guard.name, action], count)
        yield guards
        approvals = self._counter("approvals_asked", "Tool calls for which a run waits for a person.", "kind")
        for kind, count in tuple(self.counts.approvals.items()):
            approvals.add_metric([kind], count)
        yield approvals
        yield from self._of_limits()

    def _of_agents(self) -> Iterator[Metric]:
        agents = self.counts.agents
        created = self._counter(
            "agent_creations",
            "Agents that were run for the first time, told apart by their names: making an Agent runs nothing, and "
            "cannot be observed. Those without a name are one, and so are those above the setting `names`.",
        )
        created.add_metric([], len(agents))
        yield created
        text = "How long runs took, from their start, or from where they were resumed, to their end or pause."
        yield self._histogram("agent_run_duration_seconds", text, "agent", agents)
        under_way = self._gauge("agent_runs_in_progress", "Runs that are under way.", "agent")
        resumed = self._counter("agent_runs_resumed", "Runs that were resumed.", "agent")
        restarts = self._counter("agent_turns_restarted", "Turns that began anew: what was streamed is void.", "agent")
        for agent in agents:
            under_way.add_metric([agent.name], agent.under_way)
            resumed.add_metric([agent.name], agent.resumed)
            restarts.add_metric([agent.name], agent.restarts)
        yield from (under_way, resumed, restarts)

    def _of_models(self) -> Iterator[Metric]:
        models = self.counts.models
        yield self._histogram("model_call_duration_seconds", "How long the calls of models took.", "model", models)
        text = "Tokens of completed calls: cached ones are among the input, reasoning is among the output."
        tokens = self._counter("model_tokens", text, "model", "type")
        cost = self._counter("model_cost", "Money, in the unit of the models' prices: US dollars as a rule.", "model")
        for model in models:
            tokens.add_metric([model.name, "input"], model.input_tokens)
            tokens.add_metric([model.name, "output"], model.output_tokens)
            tokens.add_metric([model.name, "reasoning"], model.reasoning_tokens)
            tokens.add_metric([model.name, "cached"], model.cached_tokens)
            cost.add_metric([model.name], model.cost)
        yield from (tokens, cost)

    def _of_limits(self) -> Iterator[Metric]:
        # Limits of one name are one: there may be several runtimes, and two wrappers around one model.
        limits: dict[str, tuple[float, float, int]] = {}
        for runtime in tuple(self.runtimes):
            for limit in runtime.statistics():
                total, in_use, waiting = limits.get(limit.name, (0.0, 0.0, 0))
                limits[limit.name] = total + limit.total, in_use + limit.in_use, waiting + limit.waiting
        size = self._gauge("limit_size", "How much there is of what is limited.", "limit")
        used = self._gauge("limit_in_use", "How much of it is in use, or spent.", "limit")
        queue = self._gauge("limit_waiting", "How many wait for it.", "limit")
        for name, (total, in_use, waiting) in limits.items():
            size.add_metric([name], total)
            used.add_metric([name], in_use)
            queue.add_metric([name], waiting)
        yield from (size, used, queue)

    def _counter(self, name: str, text: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"{self._prefix}_{name}", text, labels=labels)

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=labels)

    def _histogram(self, name: str, text: str, label: str, timed: Iterable[Any]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(f"{self._prefix}_{name}", text, labels=[label, "status"])
        for one in timed:
            for status, durations in tuple(one.ended.items()):
                family.add_metric([one.name, status], self._buckets(durations), durations.sum)
        return family

    def _buckets(self, durations: Durations) -> Sequence[tuple[str, float]]:
        buckets, below = [], 0
        for bound, count in zip((*self.counts.bounds, inf), tuple(durations.counts), strict=True):
            below += count
            buckets.append(("+Inf" if bound == inf else repr(float(bound)), float(below)))
        return buckets


_KNOWN: WeakKeyDictionary[Runtime, Metrics] = WeakKeyDictionary()
_SHARED: dict[str, Metrics] = {}
"""Those in the default registry, by their namespace: a process has one of it, whoever asks."""


def known(runtime: Runtime) -> Metrics | None:
    """The runtime's metrics, if somebody asked for them."""
    return _KNOWN.get(runtime)


def metrics_of(runtime: Runtime) -> Metrics:
    """The runtime's metrics, made when first asked for. Raises `ConfigError` for settings that cannot be."""
    metrics = _KNOWN.get(runtime)
    if metrics is None:
        given: Mapping[str, Any] = runtime.settings.get("prometheus", {})
        settings = read_settings(Settings, given, "[plugins.prometheus]")
        if settings.registry == "own":
            metrics = Metrics(settings, CollectorRegistry(auto_describe=True))
        else:
            metrics = _shared(settings)
        metrics.runtimes.add(runtime)
        _KNOWN[runtime] = metrics
    return metrics


def _shared(settings: Settings) -> Metrics:
    metrics = _SHARED.get(settings.namespace)
    if metrics is None:
        metrics = _SHARED[settings.namespace] = Metrics(settings, REGISTRY)
    if metrics.settings != settings:
        hint = "Give all of them the same buckets and names, or each a namespace of its own in [plugins.prometheus]."
        raise UsageError("runtimes that share the default registry differ in their settings", hint=hint)
    return metrics
