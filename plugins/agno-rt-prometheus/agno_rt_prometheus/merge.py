"""One text of metrics from the texts of several processes. Knows no server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

__all__ = ["fold_ended", "merge"]

# Figures of one process, such as its start and its memory: a sum would say nothing.
_OF_A_PROCESS = ("process_", "python_")


def merge(texts: Sequence[bytes]) -> CollectorRegistry:
    """Return a registry with the sum of the metrics in the texts, the first text being this process's own."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(_Sums(_add_up(texts)))
    return registry


def fold_ended(texts: Sequence[bytes]) -> bytes:
    """Return the text with what ended processes have counted. What was under way in them is not any more."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(_Sums([metric for metric in _add_up(texts) if metric.type in ("counter", "histogram")]))
    return generate_latest(registry)


def _add_up(texts: Sequence[bytes]) -> list[Metric]:
    families: dict[str, Metric] = {}
    for place, text in enumerate(texts):
        for family in text_string_to_metric_families(text.decode()):
            if place and family.name.startswith(_OF_A_PROCESS):
                continue
            known = families.get(family.name)
            if known is None:
                families[family.name] = family
            else:
                _add(known, family.samples)
    return list(families.values())


def _add(metric: Metric, samples: Iterable[Any]) -> None:
    places = {(sample.name, tuple(sorted(sample.labels.items()))): at for at, sample in enumerate(metric.samples)}
    for sample in samples:
        at = places.get((sample.name, tuple(sorted(sample.labels.items()))))
        if at is None:
            metric.samples.append(sample)
        else:
            metric.samples[at] = sample._replace(value=metric.samples[at].value + sample.value)


class _Sums(Collector):
    """Metrics that are there already, for the client library to write."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return self._metrics
