"""The settings of the plugin: the table `[plugins.prometheus]` of agno-rt.toml. Knows no other module."""

from __future__ import annotations

import math
import re
from typing import Literal

import attrs

from agno_rt.errors import UsageError

__all__ = ["Settings"]


@attrs.frozen
class Settings:
    """The settings.

    namespace  the start of the names of all metrics
    registry   `own`: each runtime has its own registry; `default`: the registry of the client library, shared with all
               of its users. All runtimes in the default registry are counted together
    buckets    the upper bounds of all durations, in seconds, ascending
    names      agents, models, tools and guardrails counted separately, of each kind; the rest are `other`
    """

    namespace: str = "agno"
    registry: Literal["own", "default"] = "own"
    buckets: tuple[float, ...] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
    names: int = 100

    def __attrs_post_init__(self) -> None:
        if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", self.namespace):
            hint = "Use letters, digits and underscores, and begin with a letter."
            raise UsageError(f"namespace {self.namespace!r} cannot begin a metric's name", hint=hint)
        ascending = all(a < b for a, b in zip(self.buckets, self.buckets[1:], strict=False))
        if not self.buckets or not ascending or not all(map(math.isfinite, self.buckets)):
            hint = "Give at least one bound, in ascending order; the unbounded bucket is added."
            raise UsageError(f"buckets are {list(self.buckets)}", hint=hint)
        if self.names < 1:
            raise UsageError(f"names is {self.names}", hint="Give a whole number of at least 1.")
