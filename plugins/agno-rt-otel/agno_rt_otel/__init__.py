"""The plugin `otel`: traces the runs of a runtime through OpenTelemetry, by its conventions for generative AI.

Ask for it by `observers = ["otel"]`. Where spans go is the OpenTelemetry SDK's configuration, which belongs to the
application; without one there are no spans. The library is imported only when the plugin is asked for.
"""

from __future__ import annotations

from typing import Any

import attrs

from agno_rt import hookimpl
from agno_rt.config import read_settings
from agno_rt.hookspecs import Observer

__all__ = ["Settings", "agno_rt_observe"]


@attrs.frozen
class Settings:
    """The table `[plugins.otel]` of agno-rt.toml.

    Attributes:
        tracer: the name of the tracer, which OpenTelemetry calls the instrumentation scope
        content: whether spans have what was said: input, answer, arguments and results of tools. They may be anybody's
    """

    tracer: str = "agno_rt"
    content: bool = False


@hookimpl
def agno_rt_observe(runtime: Any) -> Observer:
    """Trace the runtime's runs."""
    from opentelemetry import trace

    from agno_rt_otel.spans import Spans

    settings = read_settings(Settings, runtime.settings.get("otel", {}), "[plugins.otel]")
    return Spans(trace.get_tracer(settings.tracer), content=settings.content).observe
