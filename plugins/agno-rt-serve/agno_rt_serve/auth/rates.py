"""Rates of requests, as token buckets, and amounts of money in a window of time. Pure: the time is an argument."""

from __future__ import annotations

import re
from collections import OrderedDict

import attrs

from agno_rt.errors import UsageError

__all__ = ["Limiter", "Rate", "Spend", "parse_rate", "parse_spend"]

_RATE = re.compile(r"(\d{1,9})/(\d{0,9})([a-z]+)")
_SPEND = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)/([a-z]+)")
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3_600),
    **dict.fromkeys(("d", "day"), 86_400),
    "week": 604_800,
    "month": 2_592_000,
}
# The most names at once; names long unused are forgotten. A crowd of addresses must not fill memory.
_MOST = 10_000


@attrs.frozen
class Rate:
    """A number of requests in a number of seconds. A caller may make all requests at once after a quiet time."""

    count: int
    seconds: float


@attrs.frozen
class Spend:
    """An amount, in the unit of the models' prices, in each window of so many seconds since the epoch (UTC)."""

    amount: float
    seconds: int

    def window(self, now: float) -> int:
        """Return the number of the window."""
        return int(now // self.seconds)

    def wait(self, now: float) -> float:
        """Return the seconds until the next window."""
        return self.seconds - now % self.seconds


class Limiter:
    """Buckets of one rate, one for each name. A bucket loses a token with each request, and fills up steadily."""

    def __init__(self, rate: Rate, most: int = _MOST) -> None:
        self.full = float(rate.count)
        self._speed = rate.count / rate.seconds
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, now: float) -> float:
        """Take a token of the name. Return 0, or the seconds until the next token."""
        tokens, since = self._buckets.pop(name, (self.full, now))
        left, wait = self.count(tokens, since, now)
        # At the end of the order: names long unused come first.
        self._buckets[name] = (left, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return wait

    def count(self, tokens: float, since: float, now: float) -> tuple[float, float]:
        """Return the tokens that are left after a request, and 0, or the seconds until the next token."""
        tokens = min(self.full, tokens + (now - since) * self._speed)
        return (tokens - 1, 0.0) if tokens >= 1 else (tokens, (1 - tokens) / self._speed)


def parse_rate(text: str, where: str) -> Rate | None:
    """Return the rate of a text such as `60/m` or `5/10s`; `None` for an empty text. Raises `UsageError`."""
    if not text:
        return None
    found = _RATE.fullmatch(text)
    if found is None or found[3] not in _SECONDS or int(found[1]) < 1 or int(found[2] or 1) < 1:
        raise UsageError(f"{where}: {text!r} is not a rate", hint="Write a number of requests and a time: 60/m, 5/10s.")
    return Rate(int(found[1]), int(found[2] or 1) * _SECONDS[found[3]])


def parse_spend(text: str, where: str) -> Spend | None:
    """Return the amount of a text such as `5/day`; `None` for an empty text. Raises `UsageError`."""
    if not text:
        return None
    found = _SPEND.fullmatch(text)
    if found is None or found[2] not in _SECONDS or float(found[1]) <= 0:
        hint = "Write an amount in the unit of the models' prices and a time: 5/day, 0.50/hour, 100/month."
        raise UsageError(f"{where}: {text!r} is not an amount for a time", hint=hint)
    return Spend(float(found[1]), _SECONDS[found[2]])
