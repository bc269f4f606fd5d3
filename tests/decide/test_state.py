"""State of a session: typed, versioned, changed in place by tools, and stored with the messages or not at all."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import attrs
import msgspec
import pytest
import trio

from agno_rt import Agent, Message, Runtime, ToolCall, tool
from agno_rt.context import RunContext, State
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import BackendError, ModelError, SessionConflict, UsageError
from agno_rt.memory import MemoryBackend, MemoryPolicy, SessionState
from agno_rt.testing import ScriptedModel


@attrs.define
class Cart:
    """A list of things to buy."""

    items: list[str] = attrs.Factory(list)
    limit: int = 10


@tool
async def add(item: str, cart: State[Cart]) -> str:
    """Put an item into the cart."""
    cart.items.append(item)
    return f"{len(cart.items)} items"


def adding(*items: str) -> list[Any]:
    """Make a script that puts each item into the cart, and ends."""
    return [ToolCall(f"c{item}", "add", msgspec.json.encode({"item": item}).decode()) for item in items] + ["done"]


def shopping(model: ScriptedModel, state: Any = Cart) -> Agent:
    """Make an agent with a cart."""
    return Agent(model, "shop", "", [add], memory=MemoryPolicy(state=state))


@pytest.fixture(params=["memory", "sqlite"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryBackend:
    """Open each backend."""
    return InProcessMemory() if request.param == "memory" else SQLiteMemory(tmp_path / "memory.db")


async def test_state_lasts_from_run_to_run(memory: MemoryBackend) -> None:
    """A change by a tool is in the result and in the session's next run."""
    with ScriptedModel([*adding("tea"), *adding("milk", "ham")]) as model:
        async with Runtime(memory=memory) as rt:
            first = await rt.run(shopping(model), "buy", session="s")
            second = await rt.run(shopping(model), "buy", session="s")
    await memory.aclose()

    assert first.state == Cart(["tea"])
    assert second.state == Cart(["tea", "milk", "ham"])


async def test_sessions_have_nothing_in_common() -> None:
    """Each session, and each run without a session, has a separate state."""
    with ScriptedModel([*adding("tea"), *adding("milk"), *adding("ham"), *adding("egg"), "done"]) as model:
        async with Runtime() as rt:
            agent = shopping(model)
            asked = [("a", "ann"), ("b", "bob"), (None, None), (None, None), ("a", "ann")]
            states = [(await rt.run(agent, "buy", session=session, user=user)).state for session, user in asked]

    assert states == [Cart(["tea"]), Cart(["milk"]), Cart(["ham"]), Cart(["egg"]), Cart(["tea"])]


async def test_state_is_stored_with_the_messages_or_not_at_all(memory: MemoryBackend) -> None:
    """A run that fails after a change of the state stores neither messages nor change."""
    with ScriptedModel([*adding("tea"), adding("milk")[0], ModelError("no"), "done"]) as model:
        async with Runtime(memory=memory) as rt:
            await rt.run(shopping(model), "buy", session="s")
            with pytest.raises(ModelError) as caught:
                await rt.run(shopping(model), "buy", session="s")
            after = await rt.run(shopping(model), "what have I?", session="s")
    await memory.aclose()

    assert caught.value.result.state == Cart(["tea", "milk"])
    assert after.state == Cart(["tea"])


async def test_a_conflict_stores_neither(tmp_path: Path) -> None:
    """The state written meanwhile by a program without locks stands, and the run is a conflict."""
    other = SQLiteMemory(tmp_path / "a.db")

    async def meanwhile(_: object) -> str:
        with ScriptedModel(adding("theirs")) as model:
            async with Runtime(memory=other) as rt:
                await rt.run(shopping(model), "buy", session="t")
        theirs = await other.load("t")
        await other.append("s", theirs.messages, version=0, data=theirs.data)
        return "late"

    model = ScriptedModel([adding("ours")[0], meanwhile])
    async with Runtime(memory=f"sqlite:///{tmp_path}/a.db") as rt:
        with pytest.raises(SessionConflict):
            await rt.run(shopping(model), "buy", session="s")
    stored = await other.load("s")
    await other.aclose()

    assert b"theirs" in stored.data
    assert b"ours" not in stored.data
    assert stored.version == 1


async def test_two_runs_at_once_are_put_in_order() -> None:
    """Runs started together on one session each see the state of the earlier ones."""

    async def slowly(_: object) -> str:
        await trio.lowlevel.checkpoint()
        return "done"

    async with Runtime() as rt:
        async with trio.open_nursery() as nursery:
            for item in ("tea", "milk", "ham"):
                model = ScriptedModel([adding(item)[0], slowly])
                nursery.start_soon(functools.partial(rt.run, shopping(model), "buy", session="s"))
        last = await rt.run(shopping(ScriptedModel(["done"])), "what have I?", session="s")

    assert sorted(last.state.items) == ["ham", "milk", "tea"]


async def test_an_agent_without_state_leaves_it() -> None:
    """An agent without state keeps the session's stored state."""
    with ScriptedModel([*adding("tea"), "hello", "done"]) as model:
        async with Runtime() as rt:
            await rt.run(shopping(model), "buy", session="s")
            plain = await rt.run(Agent(model), "hi", session="s")
            after = await rt.run(shopping(model), "what have I?", session="s")

    assert plain.state is None
    assert after.state == Cart(["tea"])


async def test_context_has_the_state() -> None:
    """Instructions see the session's state, and may change the state."""

    def count(context: RunContext) -> str:
        context.state.limit += 1
        return f"{len(context.state.items)} of {context.state.limit}"

    with ScriptedModel(["one", "two"]) as model:
        async with Runtime() as rt:
            agent = Agent(model, instructions=count, memory=MemoryPolicy(state=Cart))
            await rt.run(agent, "hi", session="s")
            result = await rt.run(agent, "hi", session="s")

    assert [request.messages[0].text for request in model.requests] == ["0 of 11", "0 of 12"]
    assert result.state.limit == 12


@dataclasses.dataclass
class Counted:
    """A data class as a state."""

    count: int = 0


class Struct(msgspec.Struct):
    """A Struct as a state."""

    count: int = 0


class Typed(TypedDict, total=False):
    """A TypedDict as a state."""

    count: int


@pytest.mark.parametrize("type_", [Counted, Struct, Typed, dict, dict[str, int], list[int]])
async def test_kinds_of_state(type_: Any) -> None:
    """Data classes, Structs, TypedDicts and plain containers are stored and read back as the same type."""

    @tool(inline=True)
    def count(context: RunContext) -> str:
        """Count."""
        state = context.state
        if isinstance(state, list):
            state.append(1)
        elif isinstance(state, dict):
            state["count"] = state.get("count", 0) + 1
        else:
            state.count += 1
        return "counted"

    with ScriptedModel([ToolCall("c1", "count"), "done", ToolCall("c2", "count"), "done"]) as model:
        async with Runtime() as rt:
            agent = Agent(model, tools=[count], memory=MemoryPolicy(state=type_))
            for _ in range(2):
                result = await rt.run(agent, "count", session="s")

    state = result.state
    assert isinstance(state, Counted | Struct | dict | list)
    if isinstance(state, list):
        assert state == [1, 1]
    else:
        assert (state["count"] if isinstance(state, dict) else state.count) == 2


@attrs.define
class Basket:
    """A newer version of the cart."""

    lines: dict[str, int] = attrs.Factory(dict)


async def stored_cart(rt: Runtime) -> bytes:
    """Store a cart with tea in session `s`, and return the bytes."""
    await rt.run(shopping(ScriptedModel(adding("tea"))), "buy", session="s")
    return (await rt.memory.load("s")).data


def to_basket(version: int, data: Any) -> Any:
    """Convert a cart's data to a basket's."""
    assert version == 1
    return {"lines": dict.fromkeys(data["items"], 1)}


@pytest.mark.parametrize("upgrade", [to_basket, lambda version, data: Basket(to_basket(version, data)["lines"])])
async def test_an_older_state_is_upgraded(upgrade: Callable[[int, Any], Any]) -> None:
    """An upgrade gets the stored version and data, and returns the new data or the new state."""
    newer = SessionState(Basket, version=2, upgrade=upgrade)
    async with Runtime() as rt:
        await stored_cart(rt)
        first = await rt.run(shopping(ScriptedModel(["ok"]), newer), "go on", session="s")
        again = await rt.run(shopping(ScriptedModel(["ok"]), newer), "go on", session="s")

    assert first.state == again.state == Basket({"tea": 1})


async def test_an_older_state_without_upgrade_is_read_as_it_is() -> None:
    """A new version that reads the old data needs no upgrade."""
    async with Runtime() as rt:
        await stored_cart(rt)
        result = await rt.run(shopping(ScriptedModel(["ok"]), SessionState(Cart, version=3)), "go on", session="s")
        with pytest.raises(UsageError, match="version 3"):
            await rt.run(shopping(ScriptedModel([])), "go on", session="s")

    assert result.state == Cart(["tea"])


def broken(version: int, data: Any) -> Any:
    """Fail to upgrade."""
    raise KeyError("lines")


@attrs.define
class Strict:
    """A state with a required argument."""

    owner: str


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (SessionState(Basket), "Basket"),
        (SessionState(Basket, version=2), "Basket"),
        (SessionState(Basket, version=2, upgrade=broken), "KeyError"),
        (SessionState(Basket, version=2, upgrade=lambda version, data: {"lines": 5}), "lines"),
        (SessionState(attrs.make_class("Cart", {"items": attrs.field(type=int, default=0)})), "items"),
    ],
)
async def test_a_state_that_does_not_fit(state: SessionState, said: str) -> None:
    """An error names session, stored version and both types. The model is not asked, and nothing is lost."""
    async with Runtime() as rt:
        before = await stored_cart(rt)
        with pytest.raises(UsageError) as caught:
            await rt.run(shopping(ScriptedModel([]), state), "go on", session="s")
        after = await rt.memory.load("s")
        again = await rt.run(shopping(ScriptedModel(["ok"])), "go on", session="s")

    for word in ("'s'", "Cart", "version 1", said):
        assert word in caught.value.message
    assert "Nothing was changed" in caught.value.hint
    assert (after.data, after.version) == (before, 1)
    assert again.state == Cart(["tea"])


@pytest.mark.parametrize("value", [object(), "text", "\udcff", float("nan")])
async def test_a_state_that_cannot_be_stored(value: object) -> None:
    """A state that no longer fits its type fails the run before storing, and the session stays unchanged."""

    @tool(inline=True)
    def spoil(context: RunContext) -> str:
        """Put an invalid value into the state."""
        context.state.limit = value
        return "spoilt"

    agent = Agent(ScriptedModel([ToolCall("c", "spoil"), "done"]), tools=[spoil], memory=MemoryPolicy(state=Cart))
    async with Runtime() as rt:
        await stored_cart(rt)
        with pytest.raises(UsageError, match="'s' cannot be stored") as caught:
            await rt.run(agent, "go on", session="s")
        after = await rt.run(shopping(ScriptedModel(["ok"])), "go on", session="s")

    assert caught.value.result.content == "done"
    assert "Nothing of this run was stored" in caught.value.hint
    assert after.state == Cart(["tea"])


async def test_a_state_that_cannot_be_made() -> None:
    """An error for a type with required arguments names `new`. With `new`, the state is made."""
    with ScriptedModel(["ok"]) as model:
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="Strict cannot be made") as caught:
                await rt.run(shopping(model, Strict), "hi", session="s")
            result = await rt.run(shopping(model, SessionState(Strict, new=lambda: Strict("ann"))), "hi", session="s")

    assert "SessionState(Strict, new=...)" in caught.value.hint
    assert result.state == Strict("ann")


@pytest.mark.parametrize(("data", "said"), [(b"junk", "damaged"), (b'{"format":2}', "newer"), (b"{}", "damaged")])
async def test_data_that_cannot_be_read(data: bytes, said: str) -> None:
    """Data damaged or of a newer version are an error, and stay unchanged."""
    memory = InProcessMemory()
    await memory.append("s", [Message("user", "hi")], version=0, data=data)
    async with Runtime(memory=memory) as rt:
        with pytest.raises(BackendError, match=said) as caught:
            await rt.run(shopping(ScriptedModel([])), "hi", session="s")

    assert "'s'" in caught.value.message
    assert (await memory.load("s")).data == data


@pytest.mark.parametrize("type_", [object, lambda: None, Callable, 5])
def test_a_type_that_json_cannot_carry(type_: Any) -> None:
    """A state's type unknown to JSON is refused by the policy."""
    with pytest.raises(UsageError, match="not a type for a session's state"):
        MemoryPolicy(state=type_)


async def test_a_program_keeps_a_note_beside_the_state(memory: MemoryBackend) -> None:
    """A note in a session's data is handed on by the runs that change the state, and by those that do not."""
    note = {"format": 1, "note": {"owner": "a program"}}
    await memory.append("s", [], version=0, data=msgspec.json.encode(note))
    with ScriptedModel([*adding("tea"), "plain", *adding("milk")]) as model:
        async with Runtime(memory=memory) as rt:
            await rt.run(shopping(model), "buy", session="s")
            await rt.run(Agent(model, "other"), "and?", session="s")
            last = await rt.run(shopping(model), "buy", session="s")
    kept = msgspec.json.decode((await memory.load("s", 0)).data)

    assert last.state.items == ["tea", "milk"]
    assert (kept["note"], kept["state"]["value"]["items"]) == (note["note"], ["tea", "milk"])
