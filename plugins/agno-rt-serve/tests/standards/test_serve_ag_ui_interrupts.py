"""AG-UI's interrupts: a paused run ends with its approvals and questions, and `resume` decides them and goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import httpx2
import pytest
import trio

from agno_rt import Agent, Flow, ModelRequest, ToolCall, tool, workflow
from agno_rt.testing import ScriptedModel
from standards.ag_ui_agents import list_runnables
from standards.ag_ui_judge import Judged
from standards.test_serve_ag_ui import Client

Open = Callable[..., Awaitable[Client]]


@pytest.fixture
async def open_client(serve_agents: Any) -> Any:
    """Serve the runnables, and return clients of them: `await open_client("shop")`."""
    clients: list[httpx2.AsyncClient] = []

    async def begin(agent: str, *runnables: Any, headers: Any = None, **options: Any) -> Client:
        served = await serve_agents(*(runnables or list_runnables()), **options)
        clients.append(httpx2.AsyncClient(base_url=served.url, timeout=30, headers=headers))
        return Client(clients[-1], agent)

    yield begin
    for each in clients:
        await each.aclose()


def resolve(judged: Judged, *payloads: Any) -> list[dict[str, Any]]:
    """Return answers to the interrupts of a run, in order."""
    pairs = zip(judged.interrupts, payloads, strict=True)
    return [{"interruptId": each["id"], "status": "resolved", "payload": payload} for each, payload in pairs]


async def test_two_parallel_tools_one_denied_one_failing(open_client: Open) -> None:
    """Each call has START, END and RESULT in order, over the pause; each parent was announced before (trap X3)."""
    client = await open_client("shop")
    paused = await client.run("both")
    started = {each["toolCallName"]: each["toolCallId"] for each in paused.of("TOOL_CALL_START")}
    [interrupt] = paused.interrupts
    done = await client.run(resume=resolve(paused, {"approved": False, "reason": "too dear"}))

    assert paused.calls == {started["pay"]: ["START", "END"], started["fail"]: ["START", "END", "RESULT"]}
    assert done.calls == {started["pay"]: ["RESULT"]}
    assert (interrupt["reason"], interrupt["toolCallId"]) == ("tool_call", started["pay"])
    results = [*paused.of("TOOL_CALL_RESULT"), *done.of("TOOL_CALL_RESULT")]
    assert [each["metadata"]["agno_rt"]["status"] for each in results] == ["failed", "failed"]
    assert done.text() == "pay was denied: too dear and fail failed: ValueError: the shop is closed"


async def test_state_and_messages_before_the_interrupt(open_client: Open) -> None:
    """As the protocol asks, the state and the conversation are sent whole before the run ends with an interrupt."""
    paused = await (await open_client("shop")).run("pay")

    assert paused.types[-3:] == ["STATE_SNAPSHOT", "MESSAGES_SNAPSHOT", "RUN_FINISHED"]
    assert [each["role"] for each in paused.of("MESSAGES_SNAPSHOT")[0]["messages"]] == [
        "user",
        "reasoning",
        "assistant",
    ]


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        ({"approved": True}, "paid 5"),
        (True, "paid 5"),
        ({"approved": True, "editedArgs": {"amount": 3}}, "paid 3"),
        ({"approved": False}, "pay was denied"),
        (False, "pay was denied"),
    ],
)
async def test_decisions(open_client: Open, payload: Any, content: str) -> None:
    """A call is approved, approved with other arguments, or denied."""
    client = await open_client("seller")
    paused = await client.run("pay")
    schema = paused.interrupts[0]["responseSchema"]
    done = await client.run(resume=resolve(paused, payload))

    assert schema["properties"]["editedArgs"]["properties"] == {"amount": {"type": "integer"}}
    assert done.text().startswith(content)
    assert "TOOL_CALL_START" not in done.types


async def test_cancelled(open_client: Open) -> None:
    """Of two interrupts at once, one is approved and one abandoned; the abandoned call is not made."""
    client = await open_client("seller")
    paused = await client.run("two")
    entries = resolve(paused, True, True)
    entries[1] = {"interruptId": entries[1]["interruptId"], "status": "cancelled"}
    done = await client.run(resume=entries)

    assert done.text() == "paid 1 and pay was denied: The user cancelled it."


async def test_values_from_the_user(open_client: Open) -> None:
    """A tool's question has the schema of its values, and the payload is the values."""
    client = await open_client("seller")
    paused = await client.run("where")
    [interrupt] = paused.interrupts
    done = await client.run(resume=resolve(paused, {"street": "Elm Street"}))

    assert (interrupt["reason"], interrupt["responseSchema"]["properties"]) == (
        "input_required",
        {"street": {"type": "string"}},
    )
    assert interrupt["toolCallId"] == paused.of("TOOL_CALL_START")[0]["toolCallId"]
    assert done.text() == "lives in Elm Street"


async def test_a_question_of_a_workflow(open_client: Open) -> None:
    """A workflow's question is a confirmation or a form, bound to no call; the bare value answers it."""
    client = await open_client("publish")
    paused = await client.run("hi")
    [interrupt] = paused.interrupts
    done = await client.run(resume=resolve(paused, True))

    assert (interrupt["reason"], interrupt["message"]) == ("confirmation", "Publish it?")
    assert interrupt["responseSchema"]["type"] == "boolean"
    assert "toolCallId" not in interrupt
    assert [each["metadata"]["agno_rt"]["status"] for each in paused.of("STEP_FINISHED")] == ["paused"]
    assert done.text() == "published"


async def test_an_interrupt_of_a_member(open_client: Open) -> None:
    """The approval of a team's member names the subagent; the members go on in the second stream."""
    client = await open_client("desk")
    paused = await client.run("pay")
    members = {each["name"]: each["subagentRunId"] for each in paused.of("SUBAGENT_STARTED")}
    done = await client.run(resume=resolve(paused, True))

    assert paused.interrupts[0]["subagentRunId"] == members["seller"]
    assert {each["outcome"]["type"] for each in paused.of("SUBAGENT_FINISHED")} == {"suspended"}
    assert "TOOL_CALL_START" not in done.types
    assert done.text() == "paid 5"


@workflow(name="waiting")
async def waiting(text: str, flow: Flow) -> str:
    """Wait for a signal."""
    return str(await flow.signal("mail"))


async def test_a_run_that_waits_for_no_person(open_client: Open) -> None:
    """A workflow that waits for a signal ends with an interrupt of its own, and looks again when it is resolved."""
    client = await open_client("waiting", waiting)
    paused = await client.run("hi")
    [interrupt] = paused.interrupts
    again = await client.run(resume=resolve(paused, None))
    run = paused.events[0]["metadata"]["agno_rt"]["run"]
    await client.http.post(f"/runs/{run}/signals", json={"name": "mail", "value": "hello"})
    done = await client.run(resume=resolve(again, None))

    assert (interrupt["reason"], interrupt["id"]) == ("agno_rt:waiting", run)
    assert again.interrupts == paused.interrupts
    assert done.text() == "hello"


async def test_sent_twice(open_client: Open) -> None:
    """The same answers again, as by a client without an answer, get the same answer, and nothing is done twice."""
    client = await open_client("seller")
    paused = await client.run("pay")
    entries = resolve(paused, {"approved": True, "editedArgs": {"amount": 4}})
    before = list(client.messages)
    first = await client.run(resume=entries)
    client.messages = before
    second = await client.run(resume=entries)
    client.messages = before
    other = await client.run(resume=resolve(paused, False))

    assert (first.text(), second.text()) == ("paid 4", "paid 4")
    assert (other.end["type"], other.end["code"]) == ("RUN_ERROR", "approval_conflict")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda entries: None, "interrupts_open"),
        (lambda entries: entries[:1], "interrupts_open"),
        (lambda entries: [entries[0], entries[1] | {"interruptId": "x.y"}], "unknown_interrupt"),
        (lambda entries: [entries[0], entries[1] | {"payload": {"approved": "yes"}}], "invalid_resume"),
        (
            lambda entries: [entries[0], {"interruptId": entries[1]["interruptId"], "status": "resolved"}],
            "invalid_resume",
        ),
        (lambda entries: [entries[0], entries[1] | {"payload": {"approved": True, "editedArgs": 1}}], "invalid_resume"),
    ],
)
async def test_answers_that_do_not_fit(open_client: Open, change: Any, code: str) -> None:
    """Missing, unknown and unfit answers end in RUN_ERROR, decide nothing, and the thread can still be resumed."""
    client = await open_client("seller")
    paused = await client.run("two")
    entries = resolve(paused, True, True)
    refused = await client.run(resume=change(entries))
    pending = (await client.http.get("/approvals", params={"status": "pending"})).json()["approvals"]
    done = await client.run(resume=entries)

    assert refused.types == ["RUN_STARTED", "RUN_ERROR"]
    assert refused.end["code"] == code
    assert len(pending) == 2
    assert done.text() == "paid 1 and paid 2"


async def test_arguments_that_do_not_fit_the_tool(open_client: Open) -> None:
    """Edited arguments are checked by the tool's schema; the interrupt stays open."""
    client = await open_client("seller")
    paused = await client.run("pay")
    refused = await client.run(resume=resolve(paused, {"approved": True, "editedArgs": {"amount": "many"}}))
    done = await client.run(resume=resolve(paused, True))

    assert refused.end["type"] == "RUN_ERROR"
    assert "amount" in refused.end["message"]
    assert done.text() == "paid 5"


async def test_other_threads_and_agents(open_client: Open) -> None:
    """An interrupt is answered in its own thread and by its own agent; others do not know it."""
    client = await open_client("seller")
    paused = await client.run("pay")
    entries = resolve(paused, True)
    elsewhere = await attrs.evolve(client, thread="other", messages=list(client.messages)).run(resume=entries)
    agent = await attrs.evolve(client, agent="shop", messages=list(client.messages)).run(resume=entries)
    user = await client.http.post(
        "/agents/seller/ag-ui",
        json={"threadId": "t", "runId": "r", "messages": [], "resume": entries},
        params={"user": "eve"},
    )

    assert (elsewhere.end["code"], agent.end["code"]) == ("unknown_interrupt", "unknown_interrupt")
    assert '"code":"unknown_interrupt"' in user.text


@tool(approve=True, inline=True, expires=0.01)
def hurry() -> str:
    """Hurry."""
    return "hurried"


async def test_expired(open_client: Open) -> None:
    """An expired interrupt cannot be answered any more; `cancelled` lets the thread go on."""

    def answer(request: ModelRequest) -> Any:
        last = request.messages[-1]
        return ToolCall("1", "hurry") if last.role == "user" else last.text

    client = await open_client("fast", Agent(ScriptedModel(answer), "fast", tools=[hurry]))
    paused = await client.run("go")
    [interrupt] = paused.interrupts
    with trio.fail_after(30):
        while (await client.http.get("/approvals", params={"status": "pending"})).json()["approvals"]:
            await trio.lowlevel.checkpoint()
    late = await client.run(resume=resolve(paused, True))
    done = await client.run(resume=[{"interruptId": interrupt["id"], "status": "cancelled"}])

    assert interrupt["expiresAt"].endswith("+00:00")
    assert (late.end["type"], late.end["code"]) == ("RUN_ERROR", "approval_conflict")
    assert "in time" in done.text()
