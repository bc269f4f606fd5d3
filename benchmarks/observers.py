"""The cost of listening: each observer against an idle one, on the same events.

The kernel makes the events of a run if anybody listens, so making events is not the observer's cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from agno_rt import Agent, Runtime
from agno_rt.events import Event

from .common import (
    CALLING,
    INSTANT,
    Parts,
    Times,
    double,
    exact,
    few,
    in_runtime,
    measured_in,
    measuring,
    ratio,
    simple_runs,
    tool_runs,
)

with Parts() as setup:
    from agno_rt.hookspecs import Observer
    from agno_rt.plugins import PluginHost

BODIES: dict[str, Callable[[Runtime], Times]] = {"simple": simple_runs, "tool": tool_runs}
AGENTS = {"simple": Agent(INSTANT, "assistant"), "tool": Agent(CALLING, "assistant", "", (double,))}
SPANS = {"simple": 2, "tool": 4}
"""Number of spans of a run: its own, one for each call of the model, one for each call of a tool."""


def ignore(event: Event) -> None:
    """Do nothing with the event."""


def observer_of(plugin: str) -> Observer:
    """Return the observer of a plugin that may not be installed."""
    if plugin not in PluginHost().names():
        raise NotImplementedError(f"{plugin} is not installed")
    return PluginHost().observer(plugin, Runtime())


def events_of(run: str) -> list[Event]:
    """Return the events of a run."""
    events: list[Event] = []

    async def body(runtime: Runtime) -> None:
        await runtime.run(AGENTS[run], "hello")

    in_runtime(body, observers=[events.append])
    return events


def microseconds_a_run(observer: Observer, run: str, times: int = 2_000, rounds: int = 15) -> float:
    """Return the observer's time for the events of a run: the best round, without the time of an idle observer."""
    events = events_of(run)
    best = [float("inf"), float("inf")]
    for _ in range(few(rounds)):
        for at, observe in enumerate((observer, ignore)):
            start = time.perf_counter()
            for _ in range(times):
                for event in events:
                    observe(event)
            best[at] = min(best[at], time.perf_counter() - start)
    return (best[0] - best[1]) / times * 1e6


class Listened:
    """A run with an observer that does nothing; `run.Run` is the same without an observer."""

    params = tuple(BODIES)
    param_names = ("run",)

    @exact("calls")
    def track_python_calls(self, run: str) -> int:
        """Python calls of a run."""
        return int(in_runtime(lambda runtime: measuring.python_calls(BODIES[run](runtime)), observers=[ignore]))


class Prometheus:
    """The plugin `prometheus`."""

    params = tuple(BODIES)
    param_names = ("run",)

    def setup(self, run: str) -> None:
        """Make the observer."""
        self.observer = observer_of("prometheus")

    @measured_in("µs")
    def track_microseconds_a_run(self, run: str) -> float:
        """Time of counting the events of a run."""
        return microseconds_a_run(self.observer, run)

    @measured_in("x")
    def track_run_ratio(self, run: str) -> float:
        """Time of a run relative to a run with an idle observer."""
        return ratio_of(self.observer, BODIES[run])


class OpenTelemetry:
    """The plugin `otel`: without an SDK, with a recording SDK, and with a run outside the sample."""

    params = (tuple(BODIES), ("none", "recording", "not sampled"))
    param_names = ("run", "sdk")

    def setup(self, run: str, sdk: str) -> None:
        """Make the observer, and an SDK of its own, because the process's SDK can be set up only once."""
        observer_of("otel")
        from agno_rt_otel.spans import Spans
        from opentelemetry.trace import NoOpTracerProvider

        provider: Any = NoOpTracerProvider() if sdk == "none" else _make_provider(sampled=sdk == "recording")
        self.observer = Spans(provider.get_tracer("benchmark")).observe

    @measured_in("µs")
    def track_microseconds_a_span(self, run: str, sdk: str) -> float:
        """Time of a span, from its first event to the queue of the exporter."""
        return microseconds_a_run(self.observer, run, times=300) / SPANS[run]

    @measured_in("x")
    def track_run_ratio(self, run: str, sdk: str) -> float:
        """Time of a run relative to a run with an idle observer."""
        return ratio_of(self.observer, BODIES[run])


def ratio_of(observer: Observer, body: Callable[[Runtime], Times]) -> float:
    """Return the time of a run with the observer, relative to a run with an idle one."""

    async def measured(runtime: Runtime) -> float:
        async with Runtime(observers=[ignore]) as other:
            return await ratio(body(runtime), body(other), times=300)

    return float(in_runtime(measured, observers=[observer]))


def _make_provider(*, sampled: bool) -> Any:
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
    except ImportError as exc:
        raise NotImplementedError("the SDK of OpenTelemetry is not installed") from exc

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF)
    provider.add_span_processor(BatchSpanProcessor(Nowhere(), max_queue_size=1_000_000))
    return provider
