"""The plugin `prometheus`: counts what the runs of a runtime do, and shows it at /metrics.

Ask for it by `observers = ["prometheus"]`. The client library is imported only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Observer, Register

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from agno_rt import Runtime

__all__ = ["agno_rt_observe", "agno_rt_register_routes", "registry"]


@hookimpl
def agno_rt_observe(runtime: Any) -> Observer:
    """Count what the runtime's runs do."""
    from agno_rt_prometheus.metrics import metrics_of

    return metrics_of(runtime).counts.observe


@hookimpl
def agno_rt_register_routes(register: Register) -> None:
    """Offer `/metrics`."""
    register("metrics", _page, help="Metrics for Prometheus to scrape.")


def registry(runtime: Runtime) -> CollectorRegistry:
    """The registry that has the runtime's metrics, for whoever exposes them by other means than `/metrics`.

    Raises `ConfigError` for settings that cannot be.
    """
    from agno_rt_prometheus.metrics import metrics_of

    return metrics_of(runtime).registry


def _page(runtime: Any) -> Any:
    from agno_rt_prometheus.page import Page

    return Page(runtime)
