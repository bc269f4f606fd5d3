"""The policy of retries: which failure is tried again, after which wait. Waits for nothing itself."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs

from agno_rt.errors import ModelError, UsageError
from agno_rt.wrappers._shared import remark

__all__ = ["Backoff"]


@attrs.frozen
class Backoff:
    """Exponential backoff with full jitter, as `Retry` describes it. Raises `UsageError` for unusable values."""

    attempts: int = 4
    wait: float = 0.5
    max_wait: float = 30.0
    jitter: Callable[[], float] = random.random

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool) or self.attempts < 1:
            raise UsageError(f"attempts is {self.attempts!r}", hint="Give a whole number of at least 1.")
        for name, seconds in (("wait", self.wait), ("max_wait", self.max_wait)):
            if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
                raise UsageError(f"{name} is {seconds!r}", hint="Give seconds, 0 or more.")

    def next_wait(self, failure: ModelError, attempt: int) -> float | None:
        """Return the seconds to wait after the failure of an attempt, counted from 1; `None` to give up."""
        if not failure.retryable or attempt >= self.attempts or not self._may_wait(failure):
            return None
        # The exponent has a bound, as a float overflows at 2**1024.
        if failure.retry_after is None:
            return self.jitter() * min(self.max_wait, self.wait * 2.0 ** min(attempt - 1, 60))
        return min(self.max_wait, max(0.0, failure.retry_after) + self.jitter() * self.wait)

    def explain(self, failure: ModelError, attempt: int, seconds: float) -> None:
        """Add to the error why it is not tried again, and how often it was."""
        if attempt < self.attempts and not self._may_wait(failure):
            wanted = f"{failure.retry_after:g} s"
            remark(failure, f"The service asks to wait {wanted}, more than max_wait ({self.max_wait:g} s).")
        if attempt > 1:
            remark(failure, f"The model was asked {attempt} times, over {seconds:.3g} s.")

    def _may_wait(self, failure: ModelError) -> bool:
        # `<=` is false for a nan, which thus counts as too long.
        return failure.retry_after is None or failure.retry_after <= self.max_wait
