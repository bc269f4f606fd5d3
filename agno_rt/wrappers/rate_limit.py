"""A wrapper that keeps requests and tokens within the rate of the model's provider."""

from __future__ import annotations

import math
from collections import OrderedDict

import attrs
import msgspec
import trio

from agno_rt._decide.history import CHARACTERS_PER_TOKEN, estimate_tokens
from agno_rt._drive.scopes import cause
from agno_rt.errors import ModelError, Overloaded, UsageError
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit, Model, ModelRequest, ModelResponse
from agno_rt.wrappers._shared import LastingClock
from agno_rt.wrappers.base import Wrapper

__all__ = ["RateLimit"]


class RateLimit(Wrapper):
    """Lets a number of requests and of tokens through to the model in each period; other requests wait for their turn.

    Each limit is a token bucket, which begins full and fills continuously, at `requests / per` a second; the content
    may be spent at once. The tokens of a request are estimated in advance (texts, plus `max_tokens` of the settings)
    and corrected by the reported usage. A bucket may go into debt, which is paid back before the next request goes
    through. A request larger than a bucket goes through when the bucket is full. A failed request counts with its
    estimate.

    Each user's requests wait in order, and the users take turns, so a user with many requests delays nobody else.
    Runs without a user count as one user. When the queue is full, the last request of the user with the most is refused
    with `Overloaded`, or the new request, if nobody has more than its user.

    When the provider refuses with status 429, the buckets are emptied. Until the `retry_after` of any `ModelError` has
    passed, no request goes through. The error itself is raised: put a `Retry` around the rate limit.

    A waiting run keeps its place among `Limits(model_calls=...)`, and its deadlines go on.

    Args:
        model: a spec string, a `Model` or another wrapper
        requests: requests in a period
        tokens: tokens in a period, input and output together
        per: the period, in seconds
        burst: the size of the buckets, in seconds of their rate; `None` for a whole period. A bucket has room for at
            least one request
        queue: the most requests that may wait

    Attributes:
        waiting: requests waiting now
    """

    kind = "rate limit"

    def __init__(
        self,
        model: str | Model,
        *,
        requests: float | None = None,
        tokens: float | None = None,
        per: float = 60.0,
        burst: float | None = None,
        queue: int = 1_000,
    ) -> None:
        if requests is None and tokens is None:
            raise UsageError("a rate limit has no limit", hint="Give requests=..., tokens=..., or both.")
        given = {"requests": requests, "tokens": tokens, "per": per, "burst": burst}
        for name, value in given.items():
            if value is not None and not _is_amount(value):
                raise UsageError(f"{name} is {value!r}", hint="Give a number above 0.")
        if not isinstance(queue, int) or isinstance(queue, bool) or queue < 0:
            raise UsageError(f"queue is {queue!r}", hint="Give a whole number, 0 or more.")
        self.requests = requests
        self.tokens = tokens
        self.per = per
        self.burst = per if burst is None else burst
        self.queue = queue
        super().__init__(model)

    def begin(self) -> None:
        """Begin with full buckets and nobody waiting."""
        self._clock = LastingClock()
        self._not_before = -math.inf
        self._line = _Line()
        self._buckets = tuple(
            _Bucket(name, rate / self.per, max(1.0, rate * self.burst / self.per))
            for name, rate in (("requests", self.requests), ("tokens", self.tokens))
            if rate is not None
        )

    @property
    def waiting(self) -> int:
        """The number of requests waiting now."""
        return self._line.length

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait for a turn and ask the model. Raises `Overloaded` if the queue is full, and the model's own errors."""
        model = self.inner
        need = tuple(1.0 if bucket.name == "requests" else _estimate_need(request) for bucket in self._buckets)
        await self._admit(request.user, need)
        try:
            response = await model.respond(request, emit)
        except Exception as exc:
            self._heed(cause(exc))
            raise
        self._settle(need, response)
        return response

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return for each bucket the size, the amount spent and not yet back, and the number of waiting requests."""
        # trio's clock can be read only inside of a trio run; outside, the last known levels are returned.
        if trio.lowlevel.in_trio_run():
            now = self._clock.now()
            for bucket in self._buckets:
                bucket.fill(now)
        return tuple(
            LimitStatistics(f"{bucket.name} of {self.name}", bucket.size, bucket.size - bucket.level, self.waiting)
            for bucket in self._buckets
        )

    async def _admit(self, user: str | None, need: tuple[float, ...]) -> None:
        if not self._line.length and self._seconds(need) <= 0:
            self._take(need)
            return
        waiter = self._join_queue(user, need)
        try:
            while True:
                await self._turn(waiter, need)
                # A waiter that is already cancelled must not take what another could use.
                await trio.lowlevel.checkpoint_if_cancelled()
                if waiter.refused:
                    raise self._overloaded(need)
                if self._line.first is waiter and self._seconds(need) <= 0:
                    self._take(need)
                    self._line.pass_turn(waiter)
                    return
        finally:
            # After a served, a refused and a cancelled waiter alike, the next in line looks at the buckets again.
            self._line.remove(waiter)
            self._line.wake()

    async def _turn(self, waiter: _Waiter, need: tuple[float, ...]) -> None:
        """Wait until the first waiter's amount may be there, or until another waiter is woken to look again."""
        waiter.woken = trio.Event()
        seconds = self._seconds(need) if self._line.first is waiter else math.inf
        if seconds > 0:
            with trio.move_on_after(seconds):
                await waiter.woken.wait()

    def _join_queue(self, user: str | None, need: tuple[float, ...]) -> _Waiter:
        if self._line.length >= self.queue and not self._line.give_way(user):
            raise self._overloaded(need)
        return self._line.add(user)

    def _overloaded(self, need: tuple[float, ...]) -> Overloaded:
        bucket = max(zip(self._buckets, need, strict=True), key=lambda pair: pair[0].seconds(pair[1]))[0]
        rate = getattr(self, bucket.name)
        asked = self._not_before > self._clock.now()
        return Overloaded(
            f"limit {bucket.name} of {self.name} is reached: {rate:g} in {self.per:g} s, {self.waiting} waiting"
            + (", and the provider asked to wait" if asked else ""),
            limit=bucket.name,
            hint=f"Try again later, or raise {bucket.name} or the queue ({self.queue}) of its RateLimit.",
        )

    def _seconds(self, need: tuple[float, ...]) -> float:
        """Return the seconds until all buckets have enough; 0 if they have enough now."""
        now = self._clock.now()
        for bucket in self._buckets:
            bucket.fill(now)
        longest = max(bucket.seconds(amount) for bucket, amount in zip(self._buckets, need, strict=True))
        longest = max(longest, self._not_before - now)
        # The clock may not advance by a wait that is too short for its resolution, and the loop would never end.
        return 0.0 if longest <= 0 else max(longest, _TICK)

    def _take(self, need: tuple[float, ...]) -> None:
        for bucket, amount in zip(self._buckets, need, strict=True):
            bucket.level -= amount

    def _settle(self, need: tuple[float, ...], response: object) -> None:
        used = response.usage.total_tokens if isinstance(response, ModelResponse) else 0
        if self.tokens is None or not used:
            return
        bucket, estimated = self._buckets[-1], need[-1]  # the tokens come last, see `begin`
        bucket.fill(self._clock.now())
        bucket.level = min(bucket.size, bucket.level + estimated - used)
        if estimated > used:
            self._line.wake()

    def _heed(self, failure: BaseException) -> None:
        if not isinstance(failure, ModelError):
            return
        now = self._clock.now()
        if failure.status == 429:
            # The provider's count is ahead of ours, so what is saved up here is not there.
            for bucket in self._buckets:
                bucket.fill(now)
                bucket.level = min(bucket.level, 0.0)
        if failure.retry_after is not None and math.isfinite(failure.retry_after):
            self._not_before = max(self._not_before, now + failure.retry_after)


_TICK = 1e-6
"""The shortest wait, in seconds."""


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _estimate_need(request: ModelRequest) -> float:
    """Estimate the tokens of a request: messages, tools, output schema, and the longest answer."""
    characters = sum(len(tool.name) + len(tool.description) + _json_length(tool.parameters) for tool in request.tools)
    characters += 0 if request.output is None else _json_length(request.output)
    tokens = sum(map(estimate_tokens, request.messages)) + characters // CHARACTERS_PER_TOKEN
    return float(tokens + (request.settings.max_tokens or 0))


def _json_length(schema: object) -> int:
    return len(msgspec.json.encode(schema))


@attrs.define(eq=False)
class _Bucket:
    """A bucket that fills by `rate` a second, up to its `size`. A level below zero is debt."""

    name: str
    rate: float
    size: float
    level: float = attrs.field(init=False)
    _at: float | None = None

    def __attrs_post_init__(self) -> None:
        self.level = self.size

    def fill(self, now: float) -> None:
        """Add the amount that has flowed in since the last call."""
        if self._at is not None:
            self.level = min(self.size, self.level + (now - self._at) * self.rate)
        self._at = now

    def seconds(self, amount: float) -> float:
        """Return the seconds until the bucket has the amount, or is full."""
        missing = min(amount, self.size) - self.level
        return max(0.0, missing / self.rate)


@attrs.define(eq=False)
class _Waiter:
    user: str | None
    woken: trio.Event = attrs.Factory(trio.Event)
    refused: bool = False


class _Line:
    """The waiters: a queue for each user, with the users taking turns. Only the very first waiter may be served."""

    def __init__(self) -> None:
        # A cancelled waiter leaves from the middle of its queue, which a list or deque can only do by a search.
        self._users: OrderedDict[str | None, OrderedDict[_Waiter, None]] = OrderedDict()
        self.length = 0

    @property
    def first(self) -> _Waiter | None:
        """The waiter whose turn comes next."""
        return next(iter(next(iter(self._users.values()))), None) if self._users else None

    def add(self, user: str | None) -> _Waiter:
        """Add a waiter at the end of the user's queue."""
        waiter = _Waiter(user)
        self._users.setdefault(user, OrderedDict())[waiter] = None
        self.length += 1
        return waiter

    def pass_turn(self, waiter: _Waiter) -> None:
        """Remove a waiter that was served, and pass the turn to the next user."""
        self.remove(waiter)
        if waiter.user in self._users:
            self._users.move_to_end(waiter.user)

    def remove(self, waiter: _Waiter) -> None:
        """Remove a waiter, if it still waits."""
        queue = self._users.get(waiter.user)
        if queue is not None and waiter in queue:
            del queue[waiter]
            self.length -= 1
            if not queue:
                del self._users[waiter.user]

    def give_way(self, user: str | None) -> bool:
        """Make room for `user`: refuse the last waiter of the longest queue. Return whether there is room now."""
        most = max(self._users.values(), key=len, default=None)
        # Only if that queue stays at least as long as the newcomer's will be; else refusing would only swap roles.
        if most is None or len(most) <= len(self._users.get(user, ())) + 1:
            return False
        waiter = next(reversed(most))
        self.remove(waiter)
        waiter.refused = True
        waiter.woken.set()
        return True

    def wake(self) -> None:
        """Wake the first waiter, so that it checks the buckets again."""
        if (first := self.first) is not None:
            first.woken.set()
