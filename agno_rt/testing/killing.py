"""Ends a program at each of its writes in turn, as a crash does, so that a test can go on in a new runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, final

from agno_rt.errors import UsageError
from agno_rt.failures import leaves, let_pass
from agno_rt.result import RunResult
from agno_rt.run_store import RunStore
from agno_rt.runnable import Runnable
from agno_rt.runtime import Runtime
from agno_rt.testing._repeat import Repeat, make_clock, run_in_trio, try_every_point
from agno_rt.testing._wrapping import Wrapping

__all__ = ["KillPoint", "Killed", "kill_everywhere"]


class Killed(BaseException):
    """The end of the program. Nothing is stored after it."""


let_pass(Killed)


@final
class KillPoint(Wrapping):
    """A program to kill: a block `with point:` in which the runtime's memory is `point.memory(backend)`.

    The program dies just after a write to the memory has succeeded. From then on it can neither write nor read; the
    block swallows its end. `killed` tells whether it died this time.
    """

    def __init__(self) -> None:
        self.arm(0)

    def arm(self, at: int) -> None:
        """Start over: die after the `at`-th write from here."""
        self._left, self._used, self._fired = at, False, ""

    @property
    def fired(self) -> str:
        """The write after which the program died; empty while it lives."""
        return self._fired

    @property
    def used(self) -> bool:
        """True if the memory was written to."""
        return self._used

    @property
    def killed(self) -> bool:
        """True if the program died."""
        return bool(self._fired)

    async def finish(self, runtime: Runtime, runnable: Runnable, input: str) -> RunResult:
        """Go on with the program's run in a new runtime, whose memory is the backend itself; return the result.

        A completed run is forked at its last step, as it has no more to do; a run that was not stored begins anew.
        """
        store = runtime.memory
        if not isinstance(store, RunStore):
            raise UsageError("the memory stores no runs", hint="Give the runtime a backend that is a RunStore.")
        found = [run for run in await store.runs(limit=10_000) if run.parent is None and run.agent == runnable.name]
        runs = [run for run in found if run.continued_by is None]  # without the journals before `flow.again`
        if not runs:
            return await runtime.run(runnable, input)
        [run] = runs
        return await runtime.resume(await runtime.fork(run.id) if run.status == "completed" else run.id, runnable)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return exc is not None and any(isinstance(leaf, Killed) for leaf in leaves(exc))

    async def _before(self, what: str) -> None:
        if self._fired:
            raise Killed(self._fired)

    async def _after(self, what: str) -> None:
        self._used = True
        self._left -= 1
        if self._left == 0:
            self._fired = f"killed after {what}"
            raise Killed(self._fired)


def kill_everywhere(
    scenario: Callable[[KillPoint], Awaitable[Any]],
    *,
    at_least: int = 1,
    limit: int = 10_000,
    seed: int = 0,
    only: int | range | None = None,
    virtual: bool = False,
) -> int:
    """Run the scenario repeatedly, each time killed one write later, until the program ends before its point.

    The scenario takes a `KillPoint`. It makes a backend, runs a runnable in `with point:` on `point.memory(backend)`,
    opens a new runtime on the backend, and checks the result of `point.finish(...)`: it equals the undisturbed
    result, and no finished step was done again. Each time it runs in a trio run of its own, under the schedule of
    `seed`, on a virtual clock if `virtual`. `only` tries a single point, or the points of a range: tests with several
    seeds may share the points of a long scenario, as `only=range(seed, 10_000, 5)`.

    Returns the number of points. Raises the errors of the scenario, with a note that names the point, and
    `AssertionError` for fewer than `at_least` points or more than `limit`.
    """
    point = KillPoint()

    def attempt() -> None:
        run_in_trio(lambda: scenario(point), make_clock(virtual))

    return try_every_point(point, attempt, Repeat(at_least, limit, seed, only))
