"""A wrapper that asks its model again after a temporary failure."""

from __future__ import annotations

import random
from collections.abc import Callable

import trio

from agno_rt._drive.scopes import cause
from agno_rt.errors import ModelError
from agno_rt.models import Emit, Model, ModelRequest, ModelResponse
from agno_rt.wrappers.backoff import Backoff
from agno_rt.wrappers.base import Teller, Wrapper

__all__ = ["Retry"]


class Retry(Wrapper):
    """Asks the model again, after a wait, when it raises a `ModelError` that is `retryable`.

    The wait is exponential backoff with full jitter: a random time between 0 and `wait * 2**n`, at most `max_wait`, so
    that clients which failed together do not come back together (Marc Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015). If the service names a wait (`retry_after`), the wait is as long, plus a little jitter; if
    it names more than `max_wait`, the model is not asked again.

    A `TurnRestarted` takes back the deltas of a failed attempt. After the last attempt, the last error is raised as it
    is, with the number of attempts and the time in its hint. A wait counts towards the run's deadlines, and ends when
    the run is cancelled.

    Args:
        model: a spec string, a `Model` or another wrapper
        attempts: the most attempts, including the first
        wait: the bound of the first wait, in seconds; it doubles with each further wait
        max_wait: the bound of every wait, in seconds
        jitter: returns the share of the bound to wait, from 0 to 1; `random.Random(7).random` makes waits repeatable

    Attributes:
        retries: the number of retries so far
        waiting: the number of requests that wait now for a retry
    """

    kind = "retry"

    def __init__(
        self,
        model: str | Model,
        *,
        attempts: int = 4,
        wait: float = 0.5,
        max_wait: float = 30.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._backoff = Backoff(attempts, wait, max_wait, jitter)
        self.attempts = attempts
        self.wait = wait
        self.max_wait = max_wait
        super().__init__(model)

    def begin(self) -> None:
        """Count from nothing."""
        self.retries = 0
        self.waiting = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the model until it answers. Raises the last attempt's error, or at once an error that cannot pass."""
        model = self.inner
        teller = None if emit is None else Teller(emit)
        began, attempt = trio.current_time(), 0
        while True:
            try:
                return await model.respond(request, teller)
            except Exception as exc:
                failure = cause(exc)
                if not isinstance(failure, ModelError) or not failure.retryable:
                    raise
                attempt += 1
                wait = self._backoff.next_wait(failure, attempt)
                if wait is None:
                    self._backoff.explain(failure, attempt, trio.current_time() - began)
                    try:
                        raise failure from failure.__cause__
                    finally:
                        # The error's traceback holds this frame, so holding the error here would make a cycle.
                        del failure
            await self._pause(wait, failure, teller)

    async def _pause(self, wait: float, failure: ModelError, teller: Teller | None) -> None:
        self.retries += 1
        self.waiting += 1
        try:
            if teller is not None:
                await teller.restart(f"{self.name} is asked again: {failure.message}")
            await trio.sleep(wait)
        finally:
            self.waiting -= 1
