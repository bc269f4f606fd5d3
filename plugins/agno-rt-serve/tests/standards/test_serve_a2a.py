"""Agents as servers of A2A 1.0: tasks are stored runs, which outlive their clients and wait for answers."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx2
import pytest
import trio
from agno_rt_serve.api.a2a import operations

from agno_rt import Agent, Ask, Flow, ModelResponse, Runnable, Team, ToolCall, tool, workflow
from agno_rt.errors import ModelError
from agno_rt.events import TextDelta
from agno_rt.hooks import Guard, Verdict
from agno_rt.testing import ScriptedModel
from standards.a2a_talk import VERSION, Talk, cut_off, join_text, message, numbers, read_stream, states, task_of

PATIENCE = 30.0


class Gate:
    """A model whose answer waits until the test opens the gate."""

    name = "gate"

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.opened = trio.Event()

    async def respond(self, request: Any, emit: Any = None) -> Any:
        """Answer once the gate is open."""
        self.asked.set()
        await self.opened.wait()
        return await ScriptedModel(["At last."]).respond(request, emit)


@tool(approve=True)
def pay(to: str, amount: int = 1) -> str:
    """Pay somebody."""
    return f"paid {amount} to {to}"


def ask_to_pay(request: Any) -> Any:
    """Call `pay` first, and then repeat the result."""
    last = request.messages[-1]
    return last.text if last.role == "tool" else ToolCall("1", "pay", '{"to": "ann"}')


def desk() -> Agent:
    """Return an agent that asks before it pays."""
    return Agent(ScriptedModel(ask_to_pay), "desk", tools=[pay])


@workflow(name="booker")
async def booker(flow: Flow) -> str:
    """Ask two questions."""
    start = await flow.ask(Ask(str, "From where?"))
    days = await flow.ask(Ask(int, "How many days?"))
    return f"{start} for {days + 1} days"


@pytest.fixture
def memory_url(tmp_path: Path) -> str:
    """A store on disk, which two servers can share."""
    return f"sqlite:///{tmp_path / 'serve.db'}"


@asynccontextmanager
async def talk_to(served: Any, agent: str) -> AsyncIterator[Talk]:
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        yield Talk(http, agent)


async def await_state(talk: Talk, task: str, state: str) -> dict[str, Any]:
    with trio.fail_after(PATIENCE):
        while True:
            found: dict[str, Any] = await talk.call("GetTask", {"id": task})
            if found["status"]["state"] == f"TASK_STATE_{state}":
                return found
            await trio.sleep(0.02)


class TestSend:
    async def test_blocking(self, serve_agents: Any) -> None:
        """A message begins a task, and the answer has the task with its artifact; a context is a session."""
        model = ScriptedModel(lambda request: f"You said {len(request.messages)} things.")
        served = await serve_agents(Agent(model, "a"))
        async with talk_to(served, "a") as talk:
            first = await talk.send("Hello.")
            second = await talk.send("And?", contextId=first["contextId"])
            again = await talk.call("GetTask", {"id": second["id"]})

        assert first["status"]["state"] == "TASK_STATE_COMPLETED"
        assert first["artifacts"] == [
            {"artifactId": "answer", "name": "answer", "parts": [{"text": "You said 1 things."}]}
        ]
        assert [(each["role"], each["parts"]) for each in first["history"]] == [("ROLE_USER", [{"text": "Hello."}])]
        assert first["status"]["timestamp"].endswith("Z")
        assert second["contextId"] == first["contextId"]
        assert second["artifacts"][0]["parts"] == [{"text": "You said 3 things."}]
        assert again == second

    async def test_at_once(self, serve_agents: Any) -> None:
        """With returnImmediately the answer has a task at work, which GetTask shows until it is completed."""
        gate = Gate()
        served = await serve_agents(Agent(gate, "a"))
        async with talk_to(served, "a") as talk:
            task = await talk.send("Go.", configuration={"returnImmediately": True})
            working = await talk.call("GetTask", {"id": task["id"]})
            gate.opened.set()
            done = await await_state(talk, task["id"], "COMPLETED")

        assert task["status"]["state"] == working["status"]["state"] == "TASK_STATE_WORKING"
        assert "artifacts" not in working
        assert done["artifacts"][0]["parts"] == [{"text": "At last."}]

    async def test_history_length(self, serve_agents: Any) -> None:
        """The history has at most the messages that the client asks for; zero leaves it out."""
        served = await serve_agents(booker)
        async with talk_to(served, "booker") as talk:
            task = await talk.send("Book.", configuration={"historyLength": 0})
            await talk.send("Rome", taskId=task["id"])
            found = [await talk.call("GetTask", {"id": task["id"], "historyLength": length}) for length in (0, 2, 99)]

        texts = [[part["text"] for each in one.get("history", ()) for part in each["parts"]] for one in found]
        assert "history" not in task
        assert texts == [[], ["From where?", "Rome"], ["Book.", "From where?", "Rome"]]

    async def test_typed_answer(self, serve_agents: Any) -> None:
        """The answer of an agent with an output type is data, whole and in streams."""

        @attrs.define
        class City:
            name: str

        served = await serve_agents(Agent(ScriptedModel(lambda request: '{"name": "Seoul"}'), "a", output=City))
        async with talk_to(served, "a") as talk:
            task, updates = await talk.send("Where?"), await talk.stream("Where?")

        part = {"data": {"name": "Seoul"}, "mediaType": "application/json"}
        assert task["artifacts"][0]["parts"] == [part]
        artifacts = [each["artifactUpdate"] for each in updates if "artifactUpdate" in each]
        assert [(each["artifact"]["parts"], each["lastChunk"]) for each in artifacts] == [([part], True)]

    async def test_parts(self, serve_agents: Any) -> None:
        """Files come as media, by their type, their name or their bytes; data comes as JSON."""
        model = ScriptedModel(lambda request: "Seen.")
        served = await serve_agents(Agent(model, "a"))
        png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()
        parts = [
            {"raw": png, "mediaType": "image/png", "filename": "cat.png"},
            {"url": "https://example.com/talk.mp3"},
            {"data": {"n": 1}},
        ]
        async with talk_to(served, "a") as talk:
            task = await talk.send("Look:", *parts)

        [request] = model.requests
        content: Any = request.messages[-1].content
        assert task["status"]["state"] == "TASK_STATE_COMPLETED"
        assert content[0] == "Look:"
        assert [(each.kind, each.media_type, each.name) for each in content[1:3]] == [
            ("image", "image/png", "cat.png"),
            ("audio", "audio/mpeg", "talk.mp3"),
        ]
        assert json.loads(content[3]) == {"n": 1}

    async def test_unfit_parts(self, serve_agents: Any) -> None:
        """An unknown type, two contents, none, and a path on this machine are refused before any run."""
        model = ScriptedModel(["Hello."])
        served = await serve_agents(Agent(model, "a"))
        async with talk_to(served, "a") as talk:
            found = [
                (await talk.refused("SendMessage", message(part)))[0]
                for part in (
                    {"raw": "dGNr", "mediaType": "application/x-unknown"},
                    {"text": "a", "url": "https://example.com/"},
                    {"filename": "a.txt"},
                    {"url": "/etc/passwd", "mediaType": "text/plain"},
                    {"raw": "not base64!", "mediaType": "image/png"},
                )
            ]

        assert found == [-32005, -32602, -32602, -32602, -32602]
        assert model.requests == []

    async def test_rejected_and_failed(self, serve_agents: Any) -> None:
        """A task that a guardrail refuses is rejected; one whose model fails has failed, without inner details."""

        def fail(request: Any) -> str:
            raise ModelError("the word is swordfish", status=500)

        class No:
            name = "no"

            async def check(self, context: Any, text: str) -> Verdict:
                return Verdict("not here")

        served = await serve_agents(
            Agent(ScriptedModel(fail), "broken"),
            Agent(ScriptedModel(["Hello."]), "closed", hooks=[Guard(No(), on=("output",))]),
            Agent(ScriptedModel(["Hello."]), "shut", hooks=[No()]),
        )
        async with talk_to(served, "broken") as talk:
            failed = await talk.send("Hi.")
            streamed = await talk.stream("Hi.")
            closed = Talk(talk.http, "closed")
            rejected = await closed.send("Hi.")
            again = await closed.call("GetTask", {"id": rejected["id"]})
            unmade = await Talk(talk.http, "shut").refused("SendMessage", message("Hi."))

        assert again["status"]["state"] == rejected["status"]["state"] == "TASK_STATE_REJECTED"
        assert "not here" in rejected["status"]["message"]["parts"][0]["text"]
        assert unmade == (-32000, "BLOCKED")
        assert failed["status"]["state"] == "TASK_STATE_FAILED"
        assert states(streamed)[-1] == "FAILED"
        assert "swordfish" not in json.dumps([failed, streamed])
        assert failed["status"]["message"]["parts"][0]["text"]


class TestStream:
    async def test_pieces(self, serve_agents: Any) -> None:
        """A stream begins with the task, and its pieces make the answer; the text of earlier turns gives way."""

        @tool(inline=True)
        def clock() -> str:
            return "noon"

        steps = ["Let me look at the clock.", "It is high noon."]
        model = ScriptedModel(
            lambda request: (
                steps[1] if request.messages[-1].role == "tool" else ModelResponse(steps[0], (ToolCall("1", "clock"),))
            )
        )
        served = await serve_agents(Agent(model, "a", tools=[clock]))
        async with talk_to(served, "a") as talk:
            updates = await talk.stream("When?")
            task = await talk.call("GetTask", {"id": updates[0]["task"]["id"]})

        assert states(updates) == ["SUBMITTED", "WORKING", "COMPLETED"]
        assert steps[0].split()[0] in json.dumps(updates)
        assert join_text(updates) == steps[1] == task["artifacts"][0]["parts"][0]["text"]
        assert numbers(updates) == sorted(set(numbers(updates)))

    async def test_client_leaves(self, serve_agents: Any, memory_url: str) -> None:
        """A task goes on when its client leaves: it completes, and waits or fails as with a client."""

        def fail(request: Any) -> str:
            raise ModelError("down", status=500)

        gate = Gate()
        agents = Agent(gate, "a"), desk(), Agent(ScriptedModel(fail), "broken")
        served = await serve_agents(*agents, memory=memory_url)
        async with talk_to(served, "a") as talk:
            async with cut_off(served, "a", b"WORKING", "Go.") as seen:
                await gate.asked.wait()
            gate.opened.set()
            done = await await_state(talk, task_of(seen), "COMPLETED")
            for name, state in (("desk", "INPUT_REQUIRED"), ("broken", "FAILED")):
                async with cut_off(served, name, b"SUBMITTED", "Go.") as seen:
                    pass
                await await_state(Talk(talk.http, name), task_of(seen), state)

        assert done["artifacts"][0]["parts"] == [{"text": "At last."}]

    async def test_three_turns(self, serve_agents: Any, memory_url: str) -> None:
        """Of a task with three turns, a stream each, every event comes once; one subscriber sees them all."""
        served = await serve_agents(booker, memory=memory_url)
        joined: list[dict[str, Any]] = []
        async with talk_to(served, "booker") as talk, talk_to(served, "booker") as other:
            first = await talk.stream("Book.")
            task = {"taskId": first[0]["task"]["id"]}

            async def subscribe(begun: trio.Event) -> None:
                body = {"jsonrpc": "2.0", "id": 7, "method": "SubscribeToTask", "params": {"id": task["taskId"]}}
                async with other.http.stream("POST", "/a2a/booker", json=body, headers=VERSION) as answer:
                    async for line in answer.aiter_lines():
                        joined.extend(read_stream(line))
                        begun.set()

            with trio.fail_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    begun = trio.Event()
                    nursery.start_soon(subscribe, begun)
                    await begun.wait()
                    second = await talk.stream("Rome", **task)
                    third = await talk.stream("3", **task)

        streams = [numbers(each) for each in (first, second, third)]
        everything = [number for each in streams for number in each]
        assert everything == sorted(set(everything))
        assert [states(each) for each in (first, second, third)] == [
            ["SUBMITTED", "WORKING", "INPUT_REQUIRED"],
            ["WORKING", "WORKING", "INPUT_REQUIRED"],
            ["WORKING", "WORKING", "COMPLETED"],
        ]
        assert join_text(third) == "Rome for 4 days"
        assert states(joined)[0] == "INPUT_REQUIRED"
        assert numbers(joined) == streams[1] + streams[2]
        questions = [each[-1]["statusUpdate"]["status"]["message"]["parts"][0]["text"] for each in (first, second)]
        assert questions == ["From where?", "How many days?"]

    async def test_from_another_worker(self, serve_agents: Any, memory_url: str) -> None:
        """A client that was cut off joins at another server: the task with the text so far, and then the rest."""

        class Slow(Gate):
            async def respond(self, request: Any, emit: Any = None) -> Any:
                await emit(TextDelta("At "))
                self.asked.set()
                await self.opened.wait()
                await emit(TextDelta("last."))
                return ModelResponse("At last.")

        gate = Slow()
        first = await serve_agents(Agent(gate, "a"), memory=memory_url)
        second = await serve_agents(Agent(gate, "a"), memory=memory_url)
        async with talk_to(second, "a") as talk:
            async with cut_off(first, "a", b'"At "', "Go.") as seen:
                pass
            joined: list[dict[str, Any]] = []
            body = {"jsonrpc": "2.0", "id": 7, "method": "SubscribeToTask", "params": {"id": task_of(seen)}}
            with trio.fail_after(PATIENCE):
                async with talk.http.stream("POST", "/a2a/a", json=body, headers=VERSION) as answer:
                    async for line in answer.aiter_lines():
                        joined.extend(read_stream(line))
                        gate.opened.set()
            over = await talk.refused("SubscribeToTask", {"id": task_of(seen)})

        assert joined[0]["task"]["artifacts"][0]["parts"] == [{"text": "At "}]
        assert [each["artifactUpdate"]["append"] for each in joined if "artifactUpdate" in each] == [True]
        assert "At " + join_text(joined) == "At last."
        assert states(joined) == ["WORKING", "COMPLETED"]
        assert over == (-32004, "UNSUPPORTED_OPERATION")

    async def test_silence(self, serve_agents: Any) -> None:
        """A stream of a task that waits has comments, so that no proxy cuts it."""
        served = await serve_agents(desk(), ping=0.05)
        async with talk_to(served, "desk") as talk:
            task = await talk.send("Pay.")
            path, seen = f"/a2a/desk/tasks/{task['id']}:subscribe", []
            with trio.fail_after(PATIENCE):
                async with talk.http.stream("GET", path, headers=VERSION) as answer:
                    async for line in answer.aiter_lines():
                        seen.append(line)
                        if line == ":" and seen.count(":") == 2:
                            await talk.send("yes", taskId=task["id"])

        told = [json.loads(line.removeprefix("data: ")) for line in seen if line.startswith("data: ")]
        assert states(told) == ["INPUT_REQUIRED", "WORKING", "COMPLETED"]


class TestAnswers:
    @pytest.mark.parametrize(
        ("answer", "result"),
        [
            ("yes", "paid 1 to ann"),
            ("No.", "denied"),
            ("Only if it is for bob", "Only if it is for bob"),
            ({"data": {"decision": "approve", "arguments": {"to": "bob", "amount": 5}}}, "paid 5 to bob"),
            ({"data": {"decisions": [{"decision": "deny", "reason": "too much"}]}}, "too much"),
        ],
    )
    async def test_approval(self, serve_agents: Any, answer: Any, result: str) -> None:
        """An answer in words or as data decides the approval, and the task goes on."""
        served = await serve_agents(desk())
        async with talk_to(served, "desk") as talk:
            task = await talk.send("Pay ann.")
            done = await talk.send(answer, taskId=task["id"])

        asked = task["status"]["message"]["parts"]
        assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        assert asked[0]["text"] == 'May I call pay({"to": "ann"})? Answer yes or no.'
        assert asked[1]["data"]["approvals"][0]["arguments"] == {"to": "ann"}
        assert done["id"] == task["id"]
        assert done["status"]["state"] == "TASK_STATE_COMPLETED"
        assert result in done["artifacts"][0]["parts"][0]["text"]

    async def test_several(self, serve_agents: Any) -> None:
        """Of two approvals each is decided by its id, once; the task goes on with the second."""

        def ask(request: Any) -> Any:
            found = [each.text for each in request.messages if each.role == "tool"]
            calls = [ToolCall(str(n), "pay", f'{{"to": "ann", "amount": {n}}}') for n in (1, 2)]
            return " and ".join(found) if found else ModelResponse("", tuple(calls))

        served = await serve_agents(Agent(ScriptedModel(ask), "desk", tools=[pay]))
        async with talk_to(served, "desk") as talk:
            task = await talk.send("Pay.")
            ids = [each["id"] for each in task["status"]["message"]["parts"][1]["data"]["approvals"]]
            waits = await talk.send({"data": {"decision": "approve", "approval": ids[0]}}, taskId=task["id"])
            gone = await talk.refused(
                "SendMessage", message({"data": {"decision": "deny", "approval": ids[0]}}, taskId=task["id"])
            )
            done = await talk.send({"data": {"decision": "approve", "approval": ids[1]}}, taskId=task["id"])

        assert waits["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        assert [each["id"] for each in waits["status"]["message"]["parts"][1]["data"]["approvals"]] == [ids[1]]
        assert gone == (-32602, "INVALID_PARAMS")
        assert done["artifacts"][0]["parts"][0]["text"] == "paid 1 to ann and paid 2 to ann"

    async def test_answers_at_once(self, serve_agents: Any, memory_url: str) -> None:
        """Of two answers to one question at once, one counts; two questions answered by two clients make one end."""
        ran: list[str] = []

        @tool(approve=True)
        def note(text: str) -> str:
            ran.append(text)
            return f"noted {text}"

        def ask(request: Any) -> Any:
            found = [each.text for each in request.messages if each.role == "tool"]
            calls = [ToolCall(text, "note", f'{{"text": "{text}"}}') for text in ("a", "b")]
            return " and ".join(found) if found else ModelResponse("", tuple(calls))

        agent = Agent(ScriptedModel(ask), "desk", tools=[note])
        served = [await serve_agents(agent, memory=memory_url) for _ in range(2)]
        async with talk_to(served[0], "desk") as talk, talk_to(served[1], "desk") as other:
            task = await talk.send("Note.")
            ids = [each["id"] for each in task["status"]["message"]["parts"][1]["data"]["approvals"]]
            answers: list[Any] = []

            async def answer(one: Talk, approval: str) -> None:
                word = {"data": {"decision": "approve", "approval": approval}}
                answers.append(await one.ask("SendMessage", message(word, taskId=task["id"])))

            async with trio.open_nursery() as nursery:
                for one, approval in ((talk, ids[0]), (other, ids[0]), (other, ids[1])):
                    nursery.start_soon(answer, one, approval)
            done = await await_state(talk, task["id"], "COMPLETED")

        assert sorted(ran) == ["a", "b"]
        assert done["artifacts"][0]["parts"][0]["text"] == "noted a and noted b"
        assert sum("error" in each for each in answers) == 1

    async def test_too_late(self, serve_agents: Any) -> None:
        """A decision about an approval that somebody has decided meanwhile is refused, and does not go to the run."""
        served = await serve_agents(desk())
        async with talk_to(served, "desk") as talk:
            task = await talk.send("Pay.")
            [approval] = task["status"]["message"]["parts"][1]["data"]["approvals"]
            word = {"decision": "approve", "approval": approval["id"]}
            await talk.http.post(f"/approvals/{approval['id']}", json={"decision": "deny"})
            late = await talk.refused("SendMessage", message({"data": word}, taskId=task["id"]))
            found = await talk.call("GetTask", {"id": task["id"]})

        assert late == (-32602, "INVALID_PARAMS")
        assert "approve" not in json.dumps(found["history"])

    async def test_unfit_answer(self, serve_agents: Any) -> None:
        """An answer of the wrong type is refused with the reason; of text and data the one that fits is the answer."""
        served = await serve_agents(booker)
        async with talk_to(served, "booker") as talk:
            task = await talk.send("Book.")
            await talk.send("Rome", {"data": {"country": "Italy"}}, taskId=task["id"])
            error = (await talk.ask("SendMessage", message("many", taskId=task["id"])))["error"]
            done = await talk.send("As I said:", {"data": 2}, taskId=task["id"])

        assert error["code"] == -32602
        assert "int" in error["message"]
        assert done["artifacts"][0]["parts"][0]["text"] == "Rome for 3 days"

    async def test_message_to_a_task_at_work(self, serve_agents: Any, memory_url: str) -> None:
        """A message to a task at work is a message to its run."""
        gate = Gate()
        served = await serve_agents(Agent(gate, "a"), memory=memory_url)
        async with talk_to(served, "a") as talk:
            now = {"returnImmediately": True}
            task = await talk.send("Go.", configuration=now)
            await gate.asked.wait()
            await talk.send("And be quick.", taskId=task["id"], configuration=now)
            gate.opened.set()
            done = await await_state(talk, task["id"], "COMPLETED")

        assert "And be quick." in json.dumps(done["history"])


async def test_runs_within_are_no_tasks(serve_agents: Any, memory_url: str) -> None:
    """A member's run within a team's is not a task: neither listed, nor shown, nor moved on by itself."""
    member = Agent(ScriptedModel(lambda request: "Done."), "member", memory={"journal": True})
    served = await serve_agents(Team([member], "sequence", name="team"), member, memory=memory_url)
    async with talk_to(served, "team") as talk:
        task = await talk.send("Go.")
        runs = (await talk.http.get("/runs")).json()["runs"]
        [within] = [each["id"] for each in runs if each["parent"] == task["id"]]
        own = Talk(talk.http, "member")
        listed = await own.call("ListTasks")
        found = await own.refused("GetTask", {"id": within})

    assert listed["totalSize"] == 0
    assert found == (-32001, "TASK_NOT_FOUND")


async def test_a_member_waits_for_a_person(serve_agents: Any, memory_url: str) -> None:
    """The question of a member is a question of the team's task, and the answer moves both on."""
    served = await serve_agents(Team([desk()], "sequence", name="team"), memory=memory_url)
    async with talk_to(served, "team") as talk:
        asked = await talk.send("Pay.")
        unclear = await talk.refused("SendMessage", message({"url": "https://example.org/a.png"}, taskId=asked["id"]))
        done = await talk.send("yes", taskId=asked["id"])

    assert asked["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert "May I call pay" in asked["status"]["message"]["parts"][0]["text"]
    assert unclear == (-32602, "INVALID_PARAMS")
    assert done["status"]["state"] == "TASK_STATE_COMPLETED"
    assert done["artifacts"][0]["parts"] == [{"text": "paid 1 to ann"}]
    assert [each["parts"][0]["text"] for each in done["history"]][-1] == "approved"


async def test_a_runnable_that_cannot_be_stored(serve_agents: Any) -> None:
    """A runnable without a memory policy has no card and no tasks."""

    class Plain(Runnable):
        name = "plain"
        description = ""

        async def conduct(self, flow: Any, input: Any) -> Any:
            return "Hello."

    served = await serve_agents(Agent(ScriptedModel(["Hello."]), "a"), Plain())
    async with talk_to(served, "plain") as talk:
        card = await talk.http.get("/a2a/plain/.well-known/agent-card.json")
        sent = await talk.http.post("/a2a/plain", json={}, headers=VERSION)

    assert (card.status_code, sent.status_code) == (404, 404)


class TestCancel:
    async def test_cancel(self, serve_agents: Any, memory_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A task at work, here or at another server, and a waiting task are cancelled, each once."""
        monkeypatch.setattr(operations, "CANCEL_SECONDS", PATIENCE)  # as on a machine that never stalls
        gate = Gate()
        first = await serve_agents(Agent(gate, "a"), desk(), memory=memory_url)
        second = await serve_agents(Agent(gate, "a"), desk(), memory=memory_url)
        async with talk_to(first, "a") as talk, talk_to(second, "a") as other:
            for one in (talk, other):
                task = await talk.send("Go.", configuration={"returnImmediately": True})
                cancelled = await one.call("CancelTask", {"id": task["id"]})
                assert cancelled["status"]["state"] == "TASK_STATE_CANCELED"
            again = await talk.refused("CancelTask", {"id": task["id"]})
            late = await talk.refused("SendMessage", message("Hi.", taskId=task["id"]))
            waiting = await Talk(talk.http, "desk").send("Pay.")
            gone = await Talk(other.http, "desk").call("CancelTask", {"id": waiting["id"]})

        assert again == (-32002, "TASK_NOT_CANCELABLE")
        assert late == (-32004, "UNSUPPORTED_OPERATION")
        assert gone["status"]["state"] == "TASK_STATE_CANCELED"
