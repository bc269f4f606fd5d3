"""Batch tools: one call for all calls of a turn. Each call keeps its own arguments, result and events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import attrs
import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt.context import Deps, RunContext
from agno_rt.errors import UsageError
from agno_rt.events import Event, ToolEnded, ToolProgress, ToolStarted
from agno_rt.testing import ScriptedModel
from tests.helpers import echo, told
from tests.tool_helpers import calls_of, job_of, listening, told_of

WellFormed = Callable[[Sequence[Event]], None]


@attrs.define
class Point:
    """A point in the plane."""

    x: int
    y: int = 0


class TestSchema:
    """The schema of a batch tool."""

    def test_of_objects(self) -> None:
        """The schema of a list of objects is the object's."""

        @tool(batch=True)
        def move(points: list[Point]) -> list[str]:
            """Move to the points."""
            return []

        assert move.parameters["type"] == "object"
        assert set(move.parameters["properties"]) == {"x", "y"}
        assert move.parameters["required"] == ["x"]
        assert move.decode('{"x": 1}') == {"points": Point(1)}

    def test_of_plain_values(self) -> None:
        """The schema of a list of plain values has one parameter with the list's description."""

        @tool(batch=True)
        def embed(texts: Sequence[Annotated[str, msgspec.Meta(max_length=3)]]) -> list[str]:
            """Embed.

            Args:
                texts: what to embed
            """
            return []

        assert embed.description == "Embed."
        [(name, schema)] = embed.parameters["properties"].items()
        assert (name, schema["maxLength"], schema["description"]) == ("item", 3, "what to embed")
        assert embed.parameters["required"] == ["item"]
        assert embed.decode('{"item": "abc"}') == {"texts": "abc"}
        with pytest.raises(ValueError, match="arguments of embed do not fit"):
            embed.decode('{"item": "abcd"}')

    def test_beside_what_is_filled_in(self) -> None:
        """Injected parameters may stand beside the list."""

        @tool(batch=True)
        def embed(context: RunContext, texts: list[str], db: Deps[dict[str, str]]) -> list[str]:
            """Embed."""
            return []

        assert set(embed.parameters["properties"]) == {"item"}


@tool(batch=True)
async def double(numbers: list[int]) -> list[Any]:
    """Double a number. A negative number is refused, and zero fails the batch."""
    batches.append(numbers)
    if 0 in numbers:
        raise OSError("zero")
    return [ValueError("negative") if number < 0 else number * 2 for number in numbers]


batches: list[list[int]] = []


@pytest.fixture(autouse=True)
def _clear_batches() -> None:
    batches.clear()


def numbers(*items: object) -> list[ToolCall]:
    """Make calls of `double`."""
    return calls_of("double", *[msgspec.json.encode({"item": item}).decode() for item in items])


async def test_all_calls_of_a_turn_are_one(well_formed: WellFormed) -> None:
    """The function is called once; results match the calls, and each call has its own events."""
    events: list[Event] = []
    with ScriptedModel([numbers(1, 2, 3), numbers(4), "x"]) as model:
        async with Runtime(observers=[events.append]) as rt:
            result = await rt.run(Agent(model, tools=[double]), "x")

    well_formed(events)
    assert batches == [[1, 2, 3], [4]]
    assert told(result) == ["2", "4", "6", "8"]
    ended = [(event.call.id, event.content) for event in events if isinstance(event, ToolEnded)]
    assert ended == [("double 0", "2"), ("double 1", "4"), ("double 2", "6"), ("double 0", "8")]


async def test_among_others() -> None:
    """Calls of other tools in between keep their places."""
    first, second, third = numbers(1, 2, 3)
    calls = [first, ToolCall("e", "echo", '{"text": "hey"}'), second, ToolCall("n", "nothing"), third]
    contents = await told_of(job_of(double, echo), calls)

    assert contents[:3] + contents[4:] == ["2", "hey", "4", "6"]
    assert str(contents[3]).startswith("There is no tool 'nothing'")
    assert batches == [[1, 2, 3]]


async def test_a_bad_argument_is_told_to_its_call_alone() -> None:
    """An invalid argument fails only its own call. A batch without valid arguments is not called."""
    contents = await told_of(job_of(double), numbers(1, "two", 3))

    assert (contents[0], contents[2]) == ("2", "6")
    assert "do not fit" in str(contents[1])
    assert batches == [[1, 3]]

    await told_of(job_of(double), numbers("one", "two"))
    assert len(batches) == 1


async def test_an_exception_as_a_result() -> None:
    """An exception among the results fails its own call; the other calls have results."""
    events: list[Event] = []
    contents = await told_of(job_of(double, emitter=listening(events)), numbers(1, -2))

    assert contents == ["2", "double failed: ValueError: negative"]
    assert [event.status for event in events if isinstance(event, ToolEnded)] == ["completed", "failed"]


async def test_a_failure_is_told_to_each() -> None:
    """An exception of the function fails all calls."""
    assert await told_of(job_of(double), numbers(1, 0)) == ["double failed: OSError: zero"] * 2


@pytest.mark.parametrize(
    ("results", "complaint"),
    [
        ([1], "returned 1 result for 2 calls"),
        ([1, 2, 3], "returned 3 results for 2 calls"),
        (None, "returned NoneType, not a list"),
        ("ab", "returned str, not a list"),
        ({1: 2, 3: 4}, "returned dict, not a list"),
    ],
)
async def test_results_that_match_no_calls(results: Any, complaint: str) -> None:
    """Every call fails with too few or too many results."""

    @tool(batch=True, inline=True, retries=3)
    def give(items: list[int]) -> Any:
        """Return the results."""
        return results

    contents = await told_of(job_of(give), calls_of("give", '{"item": 1}', '{"item": 2}'))
    assert [complaint in str(content) for content in contents] == [True, True]


async def test_its_limits() -> None:
    """A batch takes one place and one attempt. Each call of the batch counts as a call."""

    @tool(batch=True, calls=2, retries=1, concurrency=1)
    def shaky(items: list[int]) -> list[int]:
        """Fail once, then work."""
        tries.append(items)
        if len(tries) == 1:
            raise OSError("not yet")
        return items

    tries: list[list[int]] = []
    contents = await told_of(job_of(shaky), calls_of("shaky", *[f'{{"item": {at}}}' for at in range(3)]))
    assert contents[:2] == ["0", "1"]
    assert "it may be called 2 times" in str(contents[2])
    assert tries == [[0, 1]] * 2


async def test_its_deadline(autojump_clock: MockClock) -> None:
    """A batch beyond its deadline fails all calls."""

    @tool(batch=True, timeout=3)
    async def slow(items: list[int]) -> list[int]:
        """Never come back."""
        await trio.sleep_forever()
        return items

    contents = await told_of(job_of(slow), calls_of("slow", '{"item": 1}', '{"item": 2}'))
    assert contents == ["slow failed: the tool slow took longer than 3 s"] * 2


async def test_one_that_runs_alone() -> None:
    """A batch with `parallel=False` runs at the place of its first call, beside no other call."""
    under_way: list[str] = []

    @tool(batch=True, parallel=False)
    async def alone(items: list[int]) -> list[int]:
        """Check that no other call runs."""
        assert not under_way
        under_way.append("alone")
        await wait_all_tasks_blocked()
        under_way.remove("alone")
        return items

    @tool
    async def beside() -> str:
        """Check that the batch does not run."""
        assert "alone" not in under_way
        under_way.append("beside")
        await wait_all_tasks_blocked()
        under_way.remove("beside")
        return "x"

    first, second = calls_of("alone", '{"item": 1}', '{"item": 2}')
    others = calls_of("beside", "{}", "{}", "{}")
    contents = await told_of(job_of(alone, beside), [others[0], first, others[1], second, others[2]])
    assert contents == ["x", "1", "x", "2", "x"]


async def test_what_is_filled_in() -> None:
    """The context of a batch has no call, and progress is reported for each call."""

    @tool(batch=True)
    async def tell(context: RunContext, items: list[int]) -> list[bool]:
        """Tell."""
        await context.progress(len(items))
        return [context.call is None for _ in items]

    events: list[Event] = []
    contents = await told_of(job_of(tell, emitter=listening(events)), calls_of("tell", '{"item": 1}', '{"item": 2}'))
    assert contents == ["true", "true"]
    assert [(event.call.id, event.data) for event in events if isinstance(event, ToolProgress)] == [
        ("tell 0", 2),
        ("tell 1", 2),
    ]


@pytest.mark.parametrize("calls", [1, 2])
async def test_what_is_missing_ends_the_run(calls: int) -> None:
    """A missing dependency ends the run, and every started call has ended."""

    @tool(batch=True)
    async def ask(db: Deps[dict[str, str]], items: list[int]) -> list[int]:
        """Ask."""
        return items

    events: list[Event] = []
    with pytest.raises(UsageError, match="needs a dict for 'db'"):
        await told_of(job_of(ask, emitter=listening(events)), calls_of("ask", *['{"item": 1}'] * calls))
    assert [type(event) for event in events] == [ToolStarted] * calls + [ToolEnded] * calls


async def test_cancelled(autojump_clock: MockClock) -> None:
    """Each call of a cancelled batch ends once, as cancelled."""

    @tool(batch=True)
    async def hang(items: list[int]) -> list[int]:
        """Never come back."""
        await trio.sleep_forever()
        return items

    events: list[Event] = []
    with trio.move_on_after(0.01) as scope:
        await told_of(job_of(hang, emitter=listening(events)), calls_of("hang", *['{"item": 1}'] * 3))

    assert scope.cancelled_caught
    ended = [(event.call.id, event.status) for event in events if isinstance(event, ToolEnded)]
    assert ended == [(f"hang {at}", "cancelled") for at in range(3)]
