"""SpendLimit: a window's money or tokens, by payer, over any memory and over processes."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, Message, ModelRequest, ModelResponse, Runtime, SpendLimit
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import BackendError, LimitExceeded, ModelError, UsageError
from agno_rt.memory import MemoryBackend, Session
from agno_rt.messages import Usage
from agno_rt.models import Emit, Model, ModelProfile, Price
from agno_rt.wrappers.spend_limit import OWNER, Spent

NOON = dt.datetime(2026, 12, 31, 12, 0, tzinfo=dt.UTC).timestamp()


class Priced:
    """A model of a known price: each answer costs 1.5 and has 500,000 tokens."""

    name = "acme:one"
    profile = ModelProfile(price=Price(2.0, 4.0))

    def __init__(self) -> None:
        self.asked = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer, or fail as asked."""
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if request.messages[-1].text == "fail":
            raise ModelError("no", provider="acme")
        return ModelResponse("Yes.", usage=Usage(250_000, 250_000))


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def bind(limit: SpendLimit, memory: MemoryBackend) -> SpendLimit:
    """Return the limit as a runtime with the memory has it."""

    class Part:
        def __init__(self) -> None:
            self.memory = memory

        def model(self, spec: str | Model) -> Model:
            assert not isinstance(spec, str)
            return spec

    bound = limit.bound(Part())
    assert isinstance(bound, SpendLimit)
    return bound


def make_request(text: str = "Hi.", user: str | None = None) -> ModelRequest:
    """Return a request of a user."""
    return ModelRequest((Message("user", text),), user=user)


async def test_a_spent_window_refuses_until_the_next() -> None:
    """When the money is spent, requests are refused before the model is asked; the next day is a new window."""
    model, clock = Priced(), Clock()
    limit = bind(SpendLimit(model, cost=3.0), InProcessMemory())
    limit.clock = clock
    for _ in range(2):
        await limit.respond(make_request())
    with pytest.raises(LimitExceeded, match=r"has spent 3 of its 3 \(cost\) for 2026-12-31") as caught:
        await limit.respond(make_request())
    assert caught.value.limit == "spend_cost"
    assert "2027-01-01 00:00 UTC" in caught.value.hint
    assert model.asked == 2
    clock.now += 12 * 3_600
    assert await limit.spent() == Spent("2027-01-01")
    await limit.respond(make_request())
    assert await limit.spent() == Spent("2027-01-01", 1.5, 500_000)


@pytest.mark.parametrize(
    ("window", "label", "begins"),
    [
        ("hour", "2026-12-31T12", "2026-12-31 13:00 UTC"),
        ("day", "2026-12-31", "2027-01-01 00:00 UTC"),
        ("month", "2026-12", "2027-01-01 00:00 UTC"),
    ],
)
async def test_windows_are_of_the_calendar(window: Any, label: str, begins: str) -> None:
    """Hours, days and months begin in UTC, also over the end of a year."""
    limit = bind(SpendLimit(Priced(), tokens=1, window=window), InProcessMemory())
    limit.clock = Clock()
    await limit.respond(make_request())
    assert (await limit.spent()).window == label
    with pytest.raises(LimitExceeded, match="tokens") as caught:
        await limit.respond(make_request())
    assert begins in caught.value.hint


async def test_each_payer_has_a_budget() -> None:
    """By user, or by a function of the request: one payer's spending does not refuse another's request."""
    by_user = bind(SpendLimit(Priced(), cost=1.0, by="user"), InProcessMemory())
    await by_user.respond(make_request(user="ann"))
    await by_user.respond(make_request(user="bob"))
    with pytest.raises(LimitExceeded, match="of ann has spent"):
        await by_user.respond(make_request(user="ann"))
    by_tenant = bind(
        SpendLimit(Priced(), cost=1.0, by=lambda request: (request.user or "").partition("@")[2]), InProcessMemory()
    )
    await by_tenant.respond(make_request(user="ann@acme"))
    with pytest.raises(LimitExceeded, match="of acme has spent"):
        await by_tenant.respond(make_request(user="bob@acme"))
    await by_tenant.respond(make_request(user=f"eve@{'x' * 400}"))


async def test_a_failed_request_costs_nothing() -> None:
    """A failure passes as it is and is not counted."""
    limit = bind(SpendLimit(Priced(), cost=1.0), InProcessMemory())
    for _ in range(3):
        with pytest.raises(ModelError):
            await limit.respond(make_request("fail"))
    assert (await limit.spent()).cost == 0


async def test_the_runtimes_memory_keeps_the_amount(tmp_path: Path) -> None:
    """Without a store, the runtime's memory counts, over the ends of runtimes; nobody's sessions show the budget."""
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    agent = Agent(SpendLimit(Priced(), cost=3.0), name="clerk")
    for _ in range(2):
        async with Runtime(memory=url) as runtime:
            result = await runtime.run(agent, "Hi.", session="s", user="ann")
            assert result.usage.cost == 1.5
    async with Runtime(memory=url) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(agent, "Hi.", session="s", user="ann")
        assert [info.id for info in await runtime.memory.sessions(user="ann")] == ["s"]
        assert [info.id for info in await runtime.memory.sessions(unowned=True)] == []
        assert len(await runtime.memory.sessions(user=OWNER)) == 1
        assert any(each.name == "cost of default a day" and each.in_use == 3.0 for each in runtime.statistics())


async def test_simultaneous_requests_are_all_counted() -> None:
    """Of many requests at once, each is counted, by one wrapper and by two with the same budget."""
    store = InProcessMemory()
    limits = [bind(SpendLimit(Priced(), tokens=10**12, budget="shared"), store) for _ in range(2)]
    async with trio.open_nursery() as nursery:
        for at in range(40):
            nursery.start_soon(limits[at % 2].respond, make_request())
    assert (await limits[0].spent()).tokens == 40 * 500_000


def test_processes_count_together(tmp_path: Path) -> None:
    """Processes that spend at one time from one file count everything."""
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    program = tmp_path / "spend.py"
    program.write_text(f"""
import sys, trio
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_spend_limit import Priced
from agno_rt import Agent, Runtime, SpendLimit

async def main():
    async with Runtime(memory={url!r}) as runtime:
        agent = Agent(SpendLimit(Priced(), tokens=10**12, window="month"), name="clerk")
        for _ in range(15):
            await runtime.run(agent, "Hi.")

trio.run(main)
""")
    running = [subprocess.Popen([sys.executable, str(program)]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]

    async def read() -> int:
        async with Runtime(memory=url) as runtime:
            limit = runtime.model(SpendLimit(Priced(), tokens=1, window="month"))
            assert isinstance(limit, SpendLimit)
            return (await limit.spent()).tokens

    assert trio.run(read) == 30 * 500_000


class Failing(InProcessMemory):
    """A memory that cannot be written, or read, while a test says so."""

    writes = reads = True

    async def append(self, session: str, messages: Sequence[Message], **options: Any) -> int:
        """Append, or fail."""
        if not self.writes:
            raise BackendError("the disk is full")
        return await super().append(session, messages, **options)

    async def load(self, session: str, last: int | None = None) -> Session:
        """Load, or fail."""
        if not self.reads:
            raise BackendError("the disk is gone")
        return await super().load(session, last)


async def test_an_amount_that_cannot_be_stored_is_owed() -> None:
    """The answer is not lost, the amount counts at once, and is stored with the next one."""
    store = Failing()
    limit = bind(SpendLimit(Priced(), cost=10.0), store)
    store.writes = False
    assert (await limit.respond(make_request())).content == "Yes."
    assert (limit.failures, (await limit.spent()).cost) == (1, 1.5)
    store.writes = True
    await limit.respond(make_request())
    other = bind(SpendLimit(Priced(), cost=10.0), store)
    assert (await other.spent()).cost == 3.0


async def test_an_amount_that_cannot_be_read_asks_nothing() -> None:
    """Without the amount nobody knows whether there is money left: the request fails before it costs anything."""
    store, model = Failing(), Priced()
    store.reads = False
    with pytest.raises(BackendError):
        await bind(SpendLimit(model, cost=10.0), store).respond(make_request())
    assert model.asked == 0


async def test_a_cancelled_run_still_counts_its_answer() -> None:
    """An answer that came before the cancellation is paid for, and is counted."""

    class Late(Priced):
        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            response = await super().respond(request, emit)
            scope.cancel()
            return response

    limit = bind(SpendLimit(Late(), cost=10.0), InProcessMemory())
    with trio.CancelScope() as scope:
        await limit.respond(make_request())
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert (await limit.spent()).cost == 1.5


async def test_an_unknown_price_holds_no_limit_of_cost() -> None:
    """A model without a price is refused, with the remedy; a limit of tokens holds for it."""

    class Unpriced(Priced):
        profile = ModelProfile()

    with pytest.raises(UsageError, match="price of acme:one is unknown"):
        await bind(SpendLimit(Unpriced(), cost=1.0), InProcessMemory()).respond(make_request())
    await bind(SpendLimit(Unpriced(), tokens=1), InProcessMemory()).respond(make_request())


@pytest.mark.parametrize(
    "settings",
    [{}, {"cost": -1}, {"tokens": True}, {"cost": float("inf")}, {"cost": 1, "window": "week"}, {"cost": 1, "by": "x"}],
)
def test_unusable_settings_are_refused(settings: dict[str, Any]) -> None:
    """Each error names the setting and the remedy."""
    with pytest.raises(UsageError) as caught:
        SpendLimit("acme:one", **settings)
    assert caught.value.hint


async def test_a_limit_without_a_memory_says_so() -> None:
    """Outside of a runtime, a store must be given."""
    with pytest.raises(UsageError, match="outside of a runtime"):
        await SpendLimit(Priced(), cost=1.0).respond(make_request())
