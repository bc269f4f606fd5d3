"""The plugin `otel`: traces the runs of a runtime through OpenTelemetry, by its conventions for generative AI.

Switch the plugin on by `observers = ["otel"]`. The application configures the OpenTelemetry SDK, and so the destination
of the spans; without a configuration there are no spans. The library is imported only when the plugin is on.
"""

from __future__ import annotations

from typing import Any

import attrs

from agno_rt import hookimpl
from agno_rt.hookspecs import Observer

__all__ = ["Settings", "agno_rt_observe"]


@attrs.frozen
class Settings:
    """The table `[plugins.otel]` of agno-rt.toml.

    Attributes:
        tracer: the name of the tracer, which OpenTelemetry calls the instrumentation scope
        content: put input, answer, and arguments and results of tools into the spans. Such texts may be private
    """

    tracer: str = "agno_rt"
    content: bool = False


@hookimpl
def agno_rt_observe(runtime: Any) -> Observer:
    """Trace the runtime's runs."""
    from opentelemetry import trace

    from agno_rt.config import read_settings
    from agno_rt_otel.spans import Spans

    settings = read_settings(Settings, runtime.settings.get("otel", {}), "[plugins.otel]")
    return Spans(trace.get_tracer(settings.tracer), content=settings.content).observe
