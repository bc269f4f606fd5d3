"""The plugin `prometheus`: counts the work of a runtime's runs, and shows the counts at /metrics.

Switch the plugin on by `observers = ["prometheus"]`. The client library is imported only then.
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
    """Count the work of the runtime's runs."""
    from agno_rt_prometheus.metrics import metrics_of

    return metrics_of(runtime).counts.observe


@hookimpl
def agno_rt_register_routes(register: Register) -> None:
    """Offer `/metrics`."""
    register("metrics", _make_page, help="Metrics for Prometheus to scrape.")


def registry(runtime: Runtime) -> CollectorRegistry:
    """Return the registry with the runtime's metrics, for programs that expose the metrics themselves.

    Raises `ConfigError` for invalid settings.
    """
    from agno_rt_prometheus.metrics import metrics_of

    return metrics_of(runtime).registry


def _make_page(runtime: Any) -> Any:
    from agno_rt_prometheus.page import Page

    return Page(runtime)
