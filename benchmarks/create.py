"""Creating an agent: what it takes, in time and in bytes."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import attrs

from agno_rt import Agent
from agno_rt.memory import MemoryPolicy

from .common import INSTANT, double

TOOLS = (double,)
POLICY = MemoryPolicy(20)


@attrs.define(eq=False, weakref_slot=False)
class Bare:
    """The floor: a slotted attrs object with as many fields as an agent."""

    one: Any
    two: Any = ""
    three: Any = ""
    four: Any = ()
    five: Any = None
    six: Any = None
    seven: Any = None
    eight: Any = None


MAKERS: dict[str, Callable[[], object]] = {
    "simple": lambda: Agent(INSTANT, "assistant"),
    "with tools": lambda: Agent(INSTANT, "assistant", "", TOOLS),
    "with memory": lambda: Agent(INSTANT, "assistant", "", (), None, POLICY),
}


class Create:
    """An agent, made as a program makes it."""

    params = tuple(MAKERS)
    param_names = ("agent",)

    def setup(self, agent: str) -> None:
        """Choose the agent."""
        self.make = MAKERS[agent]

    def time_create(self, agent: str) -> None:
        """One agent."""
        self.make()

    def track_ratio_to_bare_object(self, agent: str) -> float:
        """How much longer it takes than a bare slotted object, made in turns with it."""
        bare: Callable[[], object] = lambda: Bare(INSTANT, "assistant")  # noqa: E731 - the same call as the agents'
        best = [float("inf"), float("inf")]
        for _ in range(200):
            for at, make in enumerate((self.make, bare)):
                start = time.perf_counter()
                for _ in range(500):
                    make()
                best[at] = min(best[at], time.perf_counter() - start)
        return best[0] / best[1]

    def track_bytes(self, agent: str) -> float:
        """The bytes that each of 10,000 agents holds, the garbage collector's header included: exact."""
        made: list[object] = [None] * 10_000
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for at in range(len(made)):
                made[at] = self.make()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return round((after - before) / len(made))

    track_bytes.unit = "bytes"  # type: ignore[attr-defined]  # asv reads the unit from the function

    def track_bytes_of_object(self, agent: str) -> int:
        """What Python says that one agent takes."""
        return sys.getsizeof(self.make())

    track_bytes_of_object.unit = "bytes"  # type: ignore[attr-defined]  # asv reads the unit from the function
