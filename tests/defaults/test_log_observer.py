"""The log observer writes a line for each end of a run, and a line for each failure before."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
import trio
from structlog.testing import capture_logs

from agno_rt import Agent, Limits, ModelRequest, ModelResponse, Runtime, ToolCall, Usage, tool
from agno_rt.context import RunContext
from agno_rt.defaults.log import make_observer
from agno_rt.errors import Blocked, LimitExceeded, ModelError
from agno_rt.events import TurnRestarted
from agno_rt.hooks import Verdict
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel


async def test_a_run_that_goes_well_is_one_line() -> None:
    """A run's line has the seconds first, then the agent, the model, the turns and the tokens, and nothing else."""
    with capture_logs() as lines:
        async with Runtime(observers=["log"]) as rt:
            result = await rt.run(Agent(ScriptedModel(["one two"]), "ann"), "x")

    assert next(iter(lines[0])) == "seconds"
    assert 0 <= lines[0].pop("seconds") < 60
    assert lines == [
        {
            "event": "run completed",
            "log_level": "info",
            "run": result.run_id,
            "agent": "ann",
            "model": "scripted",
            "turns": 1,
            "input_tokens": 1,
            "output_tokens": 2,
        }
    ]


async def test_what_fails_is_told() -> None:
    """A failed tool and a failed model are warnings; the failed run is an error with its code."""
    model = ScriptedModel([ToolCall("1", "nope"), ModelError("down")])
    with capture_logs() as lines:
        async with Runtime(observers=["log"]) as rt:
            with pytest.raises(ModelError):
                await rt.run(Agent(model), "x")

    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("warning", "tool failed"),
        ("warning", "model failed"),
        ("error", "run failed"),
    ]
    assert lines[0]["tool"] == "nope"
    assert (lines[2]["turns"], lines[2]["tools"]) == (2, 1)
    assert (lines[1]["model"], lines[1]["error"]) == ("scripted", "down")
    assert (lines[2]["code"], lines[2]["error"]) == ("model", "down")


async def test_a_limited_and_a_cancelled_run() -> None:
    """A limit is an error, a cancellation is not."""

    async def hang(_: ModelRequest) -> str:
        await trio.sleep_forever()
        return ""

    with capture_logs() as lines:
        async with Runtime(observers=["log"], limits=Limits(turns=1)) as rt:
            with pytest.raises(LimitExceeded):
                await rt.run(Agent(ScriptedModel([ToolCall("1", "x")])), "x")
            async with rt.stream(Agent(ScriptedModel([hang])), "x") as events:
                async for _ in events:
                    events.cancel()

    ends = [(line["log_level"], line["event"]) for line in lines if line["event"].startswith("run ")]
    assert ends == [("error", "run limited"), ("info", "run cancelled")]


async def test_a_turn_that_begins_anew() -> None:
    """A restarted turn is logged as information, with the reason, and the run completes."""

    class Restarting:
        name = "restarting"

        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            if emit is not None:
                await emit(TurnRestarted("the line was cut"))
            return ModelResponse("x", usage=Usage(3, 2, 1, 1, 0.5))

    with capture_logs() as lines:
        async with Runtime(observers=["log"]) as rt:
            await rt.run(Agent(Restarting()), "x")

    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("info", "turn restarted"),
        ("info", "run completed"),
    ]
    assert lines[0]["reason"] == "the line was cut"
    assert (lines[1]["reasoning_tokens"], lines[1]["cached_tokens"], lines[1]["cost"]) == (1, 1, 0.5)


async def test_guardrails_that_trip() -> None:
    """A guard's change is logged as information, a guard's block as a warning beside the failed run's error."""

    class Careful:
        name = "careful"

        async def check(self, context: RunContext, text: str) -> Verdict | None:
            return Verdict("a secret", "***" if "a" in text else None)

    with capture_logs() as lines:
        async with Runtime(observers=["log"]) as rt:
            agent = Agent(ScriptedModel(["fine"]), hooks=[Careful()])
            await rt.run(agent, "a")
            with pytest.raises(Blocked):
                await rt.run(agent, "b")

    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("info", "guard changed"),
        ("info", "run completed"),
        ("warning", "guard blocked"),
        ("error", "run failed"),
    ]
    assert (lines[0]["guard"], lines[0]["where"], lines[0]["reason"]) == ("careful", "input", "a secret")
    assert lines[3]["code"] == "blocked"


async def test_a_run_that_pauses_and_is_resumed() -> None:
    """A pause is logged with the number of open approvals; the end of the run says `resumed`."""

    @tool(approve=True)
    def pay(to: str) -> str:
        """Pay somebody."""
        return "paid"

    calls = tuple(ToolCall(to, "pay", f'{{"to": "{to}"}}') for to in ("Ann", "Bob"))
    agent = Agent(ScriptedModel([ModelResponse("", calls), "done"]), "ann", tools=[pay])
    with capture_logs() as lines:
        async with Runtime(observers=["log"]) as rt:
            paused = await rt.run(agent, "x")
            for approval in paused.approvals:
                await rt.approve(approval.id)
            await rt.resume(paused.run_id, agent)

    assert [(line["log_level"], line["event"], line["run"]) for line in lines] == [
        ("info", "run paused", paused.run_id),
        ("info", "run completed", paused.run_id),
    ]
    assert (lines[0]["approvals"], lines[1].get("approvals")) == (2, None)
    assert (lines[0].get("resumed"), lines[1]["resumed"]) == (None, True)


async def test_a_run_within_a_run() -> None:
    """The line of the inner run names the outer run."""

    @tool
    async def ask() -> str:
        """Ask another."""
        return (await rt.run(Agent(ScriptedModel(["yes"]), "bob"), "?")).content

    with capture_logs() as lines:
        async with Runtime(observers=["log"]) as rt:
            outer = await rt.run(Agent(ScriptedModel([ToolCall("1", "ask"), "x"]), "ann", tools=[ask]), "x")

    assert [(line["agent"], line.get("parent")) for line in lines] == [("bob", outer.run_id), ("ann", None)]


async def test_nothing_of_a_run_is_kept() -> None:
    """The observer forgets a run after its end."""
    observer: Any = make_observer(structlog.get_logger())
    with capture_logs():
        async with Runtime(observers=[observer]) as rt:
            for _ in range(10):
                await rt.run(Agent(ScriptedModel(["x"])), "x")

    assert [cell.cell_contents for cell in observer.__closure__ if isinstance(cell.cell_contents, dict)] == [{}]
