"""A model around a model that is asked no more often, and for no more tokens, than its provider allows."""

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
    """Lets so many requests, and so many tokens, through to the model in a period; the others wait for their turn.

    Each limit is a bucket that begins full and is filled without a pause, `requests / per` a second. What is in it may
    be spent at once. The tokens of a request are estimated before it is made (what it says, and the `max_tokens` of its
    settings), and put right afterwards by the usage that the model reports: a bucket may go into debt, which is paid
    back before anybody else is let through. A request that is larger than a bucket goes through when that is full. A
    request that fails is taken to have used what it was estimated at.

    Who waits waits in order, and users take turns: a user who asks for much at once waits behind their own requests,
    and nobody else does. Runs without a user are as of one user. When the queue is full, the user with most in it gives
    way: the last of theirs is refused with `Overloaded`, or the newcomer, if nobody has more in it.

    When the provider refuses with status 429, the buckets are emptied; and until the `retry_after` of any `ModelError`
    has passed, nobody asks. The error itself is raised as it is: put a `Retry` around this.

    A waiting run holds its place among `Limits(model_calls=...)`, and its deadlines go on.

    Args:
        model: a spec string, a `Model` or another wrapper
        requests: requests in a period
        tokens: tokens in a period, input and output together
        per: the period, in seconds
        burst: how much may be saved up and spent at once, as seconds' worth; a whole period's for `None`, at least one
            request
        queue: how many may wait

    Attributes:
        waiting: how many wait now
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
            raise UsageError("a rate limit of nothing", hint="Give requests=..., tokens=..., or both.")
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
        """How many wait now."""
        return self._line.length

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait for a turn and ask the model. Raises `Overloaded` when the queue is full, and what the model raises."""
        model = self.inner
        need = tuple(1.0 if bucket.name == "requests" else _estimate(request) for bucket in self._buckets)
        await self._admit(request.user, need)
        try:
            response = await model.respond(request, emit)
        except Exception as exc:
            self._heed(cause(exc))
            raise
        self._settle(need, response)
        return response

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Each bucket: its size, what has been spent of it and is not back yet, and how many wait."""
        # Asked outside of trio, there is no time: how it stood last.
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
        waiter = self._queued(user, need)
        try:
            while True:
                await self._turn(waiter, need)
                # Else one who is cancelled already would take what another could use.
                await trio.lowlevel.checkpoint_if_cancelled()
                if waiter.refused:
                    raise self._overloaded(need)
                if self._line.first is waiter and self._seconds(need) <= 0:
                    self._take(need)
                    self._line.served(waiter)
                    return
        finally:
            self._line.remove(waiter)
            self._line.wake()

    async def _turn(self, waiter: _Waiter, need: tuple[float, ...]) -> None:
        """Wait until the waiter is first and it is time; or until there is reason to look again."""
        waiter.woken = trio.Event()
        seconds = self._seconds(need) if self._line.first is waiter else math.inf
        if seconds > 0:
            with trio.move_on_after(seconds):
                await waiter.woken.wait()

    def _queued(self, user: str | None, need: tuple[float, ...]) -> _Waiter:
        if self._line.length >= self.queue and not self._line.give_way(user):
            raise self._overloaded(need)
        return self._line.add(user)

    def _overloaded(self, need: tuple[float, ...]) -> Overloaded:
        bucket = max(zip(self._buckets, need, strict=True), key=lambda pair: pair[0].seconds(pair[1]))[0]
        rate = getattr(self, bucket.name)
        asked = self._not_before > self._clock.now()
        return Overloaded(
            f"limit {bucket.name} of {self.name} is reached: {rate:g} in {self.per:g} s, {self.waiting} waiting"
            + (", and its provider asked to wait" if asked else ""),
            limit=bucket.name,
            hint=f"Try again later, or raise {bucket.name} or the queue ({self.queue}) of its RateLimit.",
        )

    def _seconds(self, need: tuple[float, ...]) -> float:
        """How long until there is enough; 0 when there is."""
        now = self._clock.now()
        for bucket in self._buckets:
            bucket.fill(now)
        longest = max(bucket.seconds(amount) for bucket, amount in zip(self._buckets, need, strict=True))
        longest = max(longest, self._not_before - now)
        # A wait too short for the clock to show would never end.
        return 0.0 if longest <= 0 else max(longest, _TICK)

    def _take(self, need: tuple[float, ...]) -> None:
        for bucket, amount in zip(self._buckets, need, strict=True):
            bucket.level -= amount

    def _settle(self, need: tuple[float, ...], response: object) -> None:
        used = response.usage.total_tokens if isinstance(response, ModelResponse) else 0
        if self.tokens is None or not used:
            return
        bucket, estimated = self._buckets[-1], need[-1]
        bucket.fill(self._clock.now())
        bucket.level = min(bucket.size, bucket.level + estimated - used)
        if estimated > used:
            self._line.wake()

    def _heed(self, failure: BaseException) -> None:
        if not isinstance(failure, ModelError):
            return
        now = self._clock.now()
        if failure.status == 429:
            # The provider counts otherwise than we do, and what is saved up here is not there.
            for bucket in self._buckets:
                bucket.fill(now)
                bucket.level = min(bucket.level, 0.0)
        if failure.retry_after is not None and math.isfinite(failure.retry_after):
            self._not_before = max(self._not_before, now + failure.retry_after)


_TICK = 1e-6


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _estimate(request: ModelRequest) -> float:
    """About how many tokens the request will use: what it says, what describes its tools, and what it may answer."""
    described = sum(len(tool.name) + len(tool.description) + _length(tool.parameters) for tool in request.tools)
    described += 0 if request.output is None else _length(request.output)
    said = sum(map(estimate_tokens, request.messages)) + described // CHARACTERS_PER_TOKEN
    return float(said + (request.settings.max_tokens or 0))


def _length(schema: object) -> int:
    return len(msgspec.json.encode(schema))


@attrs.define(eq=False)
class _Bucket:
    """`rate` runs into it every second, up to its `size`. Below zero is debt."""

    name: str
    rate: float
    size: float
    level: float = attrs.field(init=False)
    _at: float | None = None

    def __attrs_post_init__(self) -> None:
        self.level = self.size

    def fill(self, now: float) -> None:
        """Let run in what came since it was last asked."""
        if self._at is not None:
            self.level = min(self.size, self.level + (now - self._at) * self.rate)
        self._at = now

    def seconds(self, amount: float) -> float:
        """How long until the amount is there, or the bucket is full."""
        missing = min(amount, self.size) - self.level
        return max(0.0, missing / self.rate)


@attrs.define(eq=False)
class _Waiter:
    user: str | None
    woken: trio.Event = attrs.Factory(trio.Event)
    refused: bool = False


class _Line:
    """Who waits: a queue for each user, and the users in turn. Only the first of all may be served."""

    def __init__(self) -> None:
        self._users: OrderedDict[str | None, OrderedDict[_Waiter, None]] = OrderedDict()
        self.length = 0

    @property
    def first(self) -> _Waiter | None:
        """Whose turn it is."""
        return next(iter(next(iter(self._users.values()))), None) if self._users else None

    def add(self, user: str | None) -> _Waiter:
        """Put one more behind the user's others."""
        waiter = _Waiter(user)
        self._users.setdefault(user, OrderedDict())[waiter] = None
        self.length += 1
        return waiter

    def served(self, waiter: _Waiter) -> None:
        """Take out one that got what it waited for, and go on to the next user."""
        self.remove(waiter)
        if waiter.user in self._users:
            self._users.move_to_end(waiter.user)

    def remove(self, waiter: _Waiter) -> None:
        """Take one out, if it is there still."""
        theirs = self._users.get(waiter.user)
        if theirs is not None and waiter in theirs:
            del theirs[waiter]
            self.length -= 1
            if not theirs:
                del self._users[waiter.user]

    def give_way(self, user: str | None) -> bool:
        """Refuse the last of the user with most, if that leaves them with no fewer than this one; whether it did."""
        most = max(self._users.values(), key=len, default=None)
        if most is None or len(most) <= len(self._users.get(user, ())) + 1:
            return False
        waiter = next(reversed(most))
        self.remove(waiter)
        waiter.refused = True
        waiter.woken.set()
        return True

    def wake(self) -> None:
        """Let the first look whether it is time."""
        if (first := self.first) is not None:
            first.woken.set()
