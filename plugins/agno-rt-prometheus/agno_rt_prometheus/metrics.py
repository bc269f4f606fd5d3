"""Prometheus metrics from the counts, made for each scrape; and the registry of each runtime."""

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
    """The metrics of a runtime; in the default registry, of all runtimes in one namespace together."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.counts = Counts(settings.buckets, settings.names)
        self.registry = registry
        self.settings = settings
        self.runtimes: WeakSet[Runtime] = WeakSet()
        self._prefix = settings.namespace
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        yield from self._collect_agents()
        yield from self._collect_models()
        yield self._make_histogram(
            "tool_call_duration_seconds", "Durations of the calls of tools.", "tool", self.counts.tools
        )
        guards = self._make_counter(
            "guard_trips", "Guardrails that blocked a run or changed a text.", "guard", "action"
        )
        for guard in self.counts.guards:
            # Copied before iterating: a scrape in another thread must not meet a new key.
            for action, count in tuple(guard.actions.items()):
                guards.add_metric([guard.name, action], count)
        yield guards
        approvals = self._make_counter("approvals_asked", "Tool calls for which a run waits for a person.", "kind")
        for kind, count in tuple(self.counts.approvals.items()):
            approvals.add_metric([kind], count)
        yield approvals
        yield from self._collect_limits()

    def _collect_agents(self) -> Iterator[Metric]:
        agents = self.counts.agents
        created = self._make_counter(
            "agent_creations",
            "Agents run for the first time, by name: making an Agent runs nothing, and cannot be observed. All agents "
            "without a name count as one, and so do all agents beyond the setting `names`.",
        )
        created.add_metric([], len(agents))
        yield created
        text = "Durations of runs, from the start, or the place of the resumption, to the end or pause."
        yield self._make_histogram("agent_run_duration_seconds", text, "agent", agents)
        under_way = self._make_gauge("agent_runs_in_progress", "Runs in progress.", "agent")
        resumed = self._make_counter("agent_runs_resumed", "Resumed runs.", "agent")
        restarts = self._make_counter("agent_turns_restarted", "Restarted turns: their streamed text is void.", "agent")
        for agent in agents:
            under_way.add_metric([agent.name], agent.under_way)
            resumed.add_metric([agent.name], agent.resumed)
            restarts.add_metric([agent.name], agent.restarts)
        yield from (under_way, resumed, restarts)

    def _collect_models(self) -> Iterator[Metric]:
        models = self.counts.models
        yield self._make_histogram("model_call_duration_seconds", "Durations of the calls of models.", "model", models)
        text = "Tokens of completed calls: the input includes cached tokens, the output includes reasoning."
        tokens = self._make_counter("model_tokens", text, "model", "type")
        cost = self._make_counter(
            "model_cost", "Money, in the unit of the models' prices: usually US dollars.", "model"
        )
        for model in models:
            tokens.add_metric([model.name, "input"], model.input_tokens)
            tokens.add_metric([model.name, "output"], model.output_tokens)
            tokens.add_metric([model.name, "reasoning"], model.reasoning_tokens)
            tokens.add_metric([model.name, "cached"], model.cached_tokens)
            tokens.add_metric([model.name, "cache_write"], model.cache_write_tokens)
            cost.add_metric([model.name], model.cost)
        yield from (tokens, cost)

    def _collect_limits(self) -> Iterator[Metric]:
        # Limits with one name become one: there may be several runtimes, and two wrappers around one model.
        limits: dict[str, tuple[float, float, int]] = {}
        for runtime in tuple(self.runtimes):
            for limit in runtime.statistics():
                total, in_use, waiting = limits.get(limit.name, (0.0, 0.0, 0))
                limits[limit.name] = total + limit.total, in_use + limit.in_use, waiting + limit.waiting
        size = self._make_gauge("limit_size", "The size of the limit.", "limit")
        used = self._make_gauge("limit_in_use", "The used or spent part of the limit.", "limit")
        queue = self._make_gauge("limit_waiting", "The number of waiting requests.", "limit")
        for name, (total, in_use, waiting) in limits.items():
            size.add_metric([name], total)
            used.add_metric([name], in_use)
            queue.add_metric([name], waiting)
        yield from (size, used, queue)

    def _make_counter(self, name: str, text: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"{self._prefix}_{name}", text, labels=labels)

    def _make_gauge(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=labels)

    def _make_histogram(self, name: str, text: str, label: str, timed: Iterable[Any]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(f"{self._prefix}_{name}", text, labels=[label, "status"])
        for one in timed:
            for status, durations in tuple(one.ended.items()):
                family.add_metric([one.name, status], self._sum_buckets(durations), durations.sum)
        return family

    def _sum_buckets(self, durations: Durations) -> Sequence[tuple[str, float]]:
        buckets, below = [], 0
        for bound, count in zip((*self.counts.bounds, inf), tuple(durations.counts), strict=True):
            below += count
            buckets.append(("+Inf" if bound == inf else repr(float(bound)), float(below)))
        return buckets


# Weak, so that metrics do not keep a closed runtime in memory.
_KNOWN: WeakKeyDictionary[Runtime, Metrics] = WeakKeyDictionary()
_SHARED: dict[str, Metrics] = {}
"""Metrics in the default registry, by namespace: a process has one default registry."""


def known(runtime: Runtime) -> Metrics | None:
    """Return the runtime's metrics, or None before the first call of `metrics_of`."""
    return _KNOWN.get(runtime)


def metrics_of(runtime: Runtime) -> Metrics:
    """Return the runtime's metrics, made on first use. Raises `ConfigError` for invalid settings."""
    metrics = _KNOWN.get(runtime)
    if metrics is None:
        given: Mapping[str, Any] = runtime.settings.get("prometheus", {})
        settings = read_settings(Settings, given, "[plugins.prometheus]")
        if settings.registry == "own":
            metrics = Metrics(settings, CollectorRegistry(auto_describe=True))
        else:
            metrics = _get_shared(settings)
        metrics.runtimes.add(runtime)
        _KNOWN[runtime] = metrics
    return metrics


def _get_shared(settings: Settings) -> Metrics:
    metrics = _SHARED.get(settings.namespace)
    if metrics is None:
        metrics = _SHARED[settings.namespace] = Metrics(settings, REGISTRY)
    if metrics.settings != settings:
        hint = "Give all of them the same buckets and names, or each a namespace of its own in [plugins.prometheus]."
        raise UsageError("runtimes that share the default registry differ in their settings", hint=hint)
    return metrics
