"""A wrapper that stops asking a model when a day, a month or a tenant has spent its money or its tokens.

The spent amounts lie in a memory backend, so that they outlive the process and count for all processes together. Each
budget is the data of a session without messages: an append to a session is atomic, and refused if another process came
first.
"""

from __future__ import annotations

import calendar
import hashlib
import math
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import msgspec
import trio

from agno_rt.errors import BackendError, LimitExceeded, SessionConflict, UsageError
from agno_rt.limits import LimitStatistics
from agno_rt.memory import MemoryBackend
from agno_rt.models import Binder, Emit, Model, ModelRequest, ModelResponse, profile_of
from agno_rt.wrappers._shared import add_cost
from agno_rt.wrappers.base import Wrapper

__all__ = ["OWNER", "SpendLimit", "Spent", "Window"]

Window: TypeAlias = Literal["hour", "day", "month"]
Payer: TypeAlias = Literal["all", "user"] | Callable[[ModelRequest], str]

OWNER = "agno-rt:spend"
"""The user of the sessions with spent amounts, so that no list of a person's sessions shows them."""

_SECONDS = {"hour": 3_600.0, "day": 86_400.0}
_LABELS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
_STORE_SECONDS = 10.0
"""Seconds to store an amount while the run is being cancelled."""
_MOST_LETTERS = 200


class Spent(msgspec.Struct, frozen=True):
    """The amounts spent in a window, which is named by its beginning, in UTC: `2026-11-30`."""

    window: str = ""
    cost: float = 0.0
    tokens: int = 0

    def plus(self, other: Spent) -> Spent:
        """Return both amounts together; the amount of an older window does not count."""
        if self.window != other.window:
            return max(self, other, key=lambda each: each.window)
        return Spent(self.window, self.cost + other.cost, self.tokens + other.tokens)


_decode = msgspec.json.Decoder(Spent).decode


class SpendLimit(Wrapper):
    """Refuses requests once a payer has spent a window's money or tokens: in an hour, a day or a month of UTC.

    Requests under way when the amount is used up still finish, so a window may spend a little more. A response counts
    when it has come; a request that fails or is cancelled counts nothing, because its tokens are unknown. If an amount
    cannot be stored, it is added to the payer's next one. The amounts lie in the memory of the runtime that binds the
    wrapper.

    Args:
        model: a spec string, a `Model` or another wrapper
        cost: the money for a window, in the unit of the model's price; the price must be known
        tokens: the tokens for a window, input and output together
        window: `hour`, `day` or `month`
        by: the payer: `all` requests together, each `user`, or a function that returns a request's payer, such as the
            tenant of its user
        budget: the name of the budget: wrappers with the same name and the same memory share what they spend

    Attributes:
        clock: returns the seconds since the epoch; `time.time`, unless set
        failures: amounts that could not be stored at once

    Raises `UsageError` for unusable settings. `respond` raises `LimitExceeded` with the limit `spend_cost` or
    `spend_tokens`, `UsageError` for a model of unknown price, and `BackendError` if the spent amount cannot be read.
    """

    kind = "spend limit"

    def __init__(
        self,
        model: str | Model,
        *,
        cost: float | None = None,
        tokens: int | None = None,
        window: Window = "day",
        by: Payer = "all",
        budget: str = "default",
    ) -> None:
        if cost is None and tokens is None:
            raise UsageError("a spend limit has no limit", hint="Give cost=..., tokens=..., or both.")
        for name, value in (("cost", cost), ("tokens", tokens)):
            if value is not None and (isinstance(value, bool) or not 0 <= value < math.inf):
                raise UsageError(f"{name} is {value!r}", hint="Give a number, 0 or more.")
        if window not in get_args(Window):
            raise UsageError(f"window is {window!r}", hint="Give 'hour', 'day' or 'month'.")
        if by not in ("all", "user") and not callable(by):
            raise UsageError(f"by is {by!r}", hint="Give 'all', 'user', or a function of the request.")
        self.cost = cost
        self.tokens = tokens
        self.window = window
        self.budget = budget
        self._by = by
        self.clock: Callable[[], float] = time.time
        super().__init__(model)

    def begin(self) -> None:
        """Begin without amounts that wait to be stored."""
        self.failures = 0
        self._owed: dict[str, Spent] = {}
        self._last = Spent()
        self._store: MemoryBackend | None = None

    def bound(self, binder: Binder) -> Model:
        """Bind as every wrapper, and use the runtime's memory backend."""
        bound = super().bound(binder)
        if bound is self:
            # The memory belongs to this runtime alone, and the original may be bound by others.
            bound = self._copy_with(self.models())
        assert isinstance(bound, SpendLimit)
        bound._store = binder.memory
        return bound

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the model if the payer has something left, and count the response."""
        model = self.inner
        if self.cost is not None and profile_of(model).price is None:
            hint = "Give the model a price in its settings, or limit tokens=... instead."
            raise UsageError(f"the price of {model.name} is unknown, so that no limit of cost can hold", hint=hint)
        payer = self._find_payer(request)
        self._check(await self.spent(payer), payer)
        response = add_cost(await model.respond(request, emit), model)
        usage = response.usage
        # The window of the end counts: only now the tokens are known.
        amount = Spent(self._label(), usage.cost, usage.total_tokens)
        session = self._session(payer)
        self._owed[session] = self._owed.get(session, Spent()).plus(amount)
        await self._store_owed(session)
        return response

    async def spent(self, payer: str = "") -> Spent:
        """Return what the payer has spent in the present window; all requests together have the payer `""`."""
        session = self._session(payer)
        stored = _read((await self._require_store().load(session, 0)).data)
        return Spent(self._label()).plus(stored).plus(self._owed.get(session, Spent()))

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return each limit with the amount that the last payer has spent."""
        limits = (("cost", self.cost, self._last.cost), ("tokens", self.tokens, self._last.tokens))
        return tuple(
            LimitStatistics(f"{name} of {self.budget} a {self.window}", limit, spent, 0)
            for name, limit, spent in limits
            if limit is not None
        )

    def _find_payer(self, request: ModelRequest) -> str:
        if self._by == "all":
            return ""
        payer = request.user or "" if self._by == "user" else self._by(request)
        if not isinstance(payer, str):
            raise UsageError(f"`by` of a spend limit returned {payer!r}", hint="Return the payer's name as a text.")
        return payer

    def _check(self, spent: Spent, payer: str) -> None:
        self._last = spent
        of = f" of {payer}" if payer else ""
        for name, limit, amount in (("cost", self.cost, spent.cost), ("tokens", self.tokens, spent.tokens)):
            if limit is not None and amount >= limit:
                raise LimitExceeded(
                    f"the budget {self.budget}{of} has spent {amount:g} of its {limit:g} ({name}) for {spent.window}",
                    limit=f"spend_{name}",
                    hint=f"The next {self.window} begins at {self._write_next()}. For more now, raise {name}=... .",
                )

    async def _store_owed(self, session: str) -> None:
        """Add what the payer owes to the stored amount, even while the run is being cancelled."""
        with trio.move_on_after(_STORE_SECONDS, shield=True):
            while session in self._owed:
                owed = self._owed.pop(session)
                try:
                    await self._add(session, owed)
                except SessionConflict:
                    self._owe(session, owed)  # another process came first: read its amount, and add to that
                except BackendError:
                    self.failures += 1
                    self._owe(session, owed)
                    return
                except BaseException:
                    self._owe(session, owed)
                    raise

    def _owe(self, session: str, amount: Spent) -> None:
        self._owed[session] = amount.plus(self._owed.get(session, Spent(amount.window)))

    async def _add(self, session: str, amount: Spent) -> None:
        store = self._require_store()
        found = await store.load(session, 0)
        self._last = total = _read(found.data).plus(amount)
        await store.append(
            session, (), version=found.version, user=OWNER, data=msgspec.json.encode(total), agent=self.kind
        )

    def _require_store(self) -> MemoryBackend:
        if self._store is None:
            hint = "Run an agent with the spend limit, or ask the model that `runtime.model(wrapper)` returns."
            raise UsageError("a spend limit was used outside of a runtime, which has the memory", hint=hint)
        return self._store

    def _session(self, payer: str) -> str:
        if len(payer) > _MOST_LETTERS:
            payer = hashlib.sha256(payer.encode("utf-8", "replace")).hexdigest()
        return f"spend:{self.budget}:{self.window}:{payer}"

    def _label(self) -> str:
        return time.strftime(_LABELS[self.window], time.gmtime(self.clock()))

    def _write_next(self) -> str:
        now, begin = self.clock(), 0.0
        if self.window == "month":
            year, month = time.gmtime(now)[:2]
            begin = calendar.timegm((year + month // 12, month % 12 + 1, 1, 0, 0, 0))
        else:
            begin = (now // _SECONDS[self.window] + 1) * _SECONDS[self.window]
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(begin))


def _read(data: Any) -> Spent:
    """Return the stored amount; nothing for a new session."""
    return _decode(data) if data else Spent()
