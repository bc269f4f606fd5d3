"""Runs that wait for a person, over real sockets: paused, decided, resumed, cancelled; shown step by step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs
import httpx2
import pytest
import trio
from agno_rt_serve.api.runs import stored

from agno_rt import Agent, Limits, MemoryPolicy, ModelRequest, ModelResponse, ToolCall, tool
from agno_rt.context import FromUser
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.events import TextDelta
from agno_rt.models import Emit
from agno_rt.run_store import RunRecord
from agno_rt.testing import ScriptedModel

SSE = {"Accept": "text/event-stream"}


class Clerk:
    """A model that calls a tool once, and then repeats the result; for any number of runs."""

    name = "clerk"

    def __init__(self, name: str = "pay", arguments: str = '{"amount":1,"to":"Ann"}') -> None:
        self._call = name, arguments

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or repeat the result."""
        last = request.messages[-1]
        if last.role == "user":
            return ModelResponse("", (ToolCall("c1", *self._call),))
        return ModelResponse(f"done: {last.text}")


@attrs.define
class Stuck:
    """A model with one word, which never ends."""

    name: str = "stuck"
    started: trio.Event = attrs.Factory(trio.Event)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Say a word, and wait."""
        if emit is not None:
            await emit(TextDelta("Well"))
        self.started.set()
        await trio.sleep_forever()
        raise AssertionError


@tool(approve=True)
def pay(amount: int, to: str) -> str:
    """Pay somebody."""
    return f"paid {amount} to {to}"


def clerk() -> Agent:
    return Agent(Clerk(), "clerk", tools=[pay])


def client(served: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False)


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: ")]


async def pause(http: httpx2.AsyncClient, **more: Any) -> tuple[dict[str, Any], str]:
    """Make a run of the clerk that waits. Return the run and the id of its approval."""
    paused = (await http.post("/agents/clerk/runs", json={"input": "Pay Ann", **more})).json()
    assert paused["status"] == "paused"
    return paused, paused["approvals"][0]["id"]


@pytest.fixture(params=["memory:", "sqlite"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The memory of this process, and an SQLite file."""
    return "memory:" if request.param == "memory:" else f"sqlite:///{tmp_path}/agents.db"


class TestApprovals:
    """Approvals and decisions."""

    async def test_an_approval_that_stands(self, serve_agents: Any, memory: str) -> None:
        """With `standing` later calls that fit ask nobody, until the standing approval is revoked."""
        async with client(await serve_agents(clerk(), memory=memory)) as http:
            paused, approval = await pause(http, session="s")
            body = {"decision": "approve", "standing": {"arguments": {"to": "A*"}}}
            decided = await http.post(f"/approvals/{approval}", json=body)
            await http.post(f"/runs/{paused['run_id']}/resume")
            run = {"input": "Pay.", "session": "s"}
            later = (await http.post("/agents/clerk/runs", json=run)).json()
            [grant] = (await http.get("/grants")).json()["grants"]
            revoked = await http.delete(f"/grants/{grant['id']}")
            again = (await http.post("/agents/clerk/runs", json=run)).json()
            unknown = await http.delete(f"/grants/{grant['id']}")

        assert decided.json()["status"] == "approved"
        assert later["status"] == "completed"
        assert (grant["tool"], grant["session"], grant["pattern"]) == ("pay", "s", {"to": "A*"})
        assert (revoked.status_code, revoked.json()) == (200, {"deleted": True})
        assert again["status"] == "paused"
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            ({"decision": "deny", "standing": {}}, "'standing' does not go with the decision 'deny'"),
            ({"decision": "approve", "standing": {"scope": "world"}}, "world"),
            ({"decision": "approve", "standing": {"seconds": 0}}, "seconds"),
            ({"decision": "approve", "standing": {"arguments": "some"}}, "some"),
            ({"decision": "approve", "standing": {"scope": "session"}}, "the run has none"),
        ],
    )
    async def test_a_wrong_standing(self, serve_agents: Any, body: dict[str, Any], problem: str) -> None:
        """A reach that makes no sense is a 400 or 422, and decides nothing."""
        async with client(await serve_agents(clerk())) as http:
            _, approval = await pause(http)
            answer = await http.post(f"/approvals/{approval}", json=body)
            left = (await http.get(f"/approvals/{approval}")).json()
        assert 400 <= answer.status_code < 500
        assert problem in answer.text
        assert left["status"] == "pending"

    async def test_approve_and_resume(self, serve_agents: Any, memory: str) -> None:
        """A run that pauses over HTTP is decided and goes on over HTTP, also on the memory of the process."""
        async with client(await serve_agents(clerk(), memory=memory)) as http:
            paused, approval = await pause(http, session="s")
            waiting = (await http.get("/approvals", params={"status": "pending"})).json()
            decided = (await http.post(f"/approvals/{approval}", json={"decision": "approve", "by": "bob"})).json()
            done = await http.post(f"/runs/{paused['run_id']}/resume")
            left = (await http.get("/approvals", params={"status": "pending"})).json()
            session = (await http.get("/sessions/s")).json()

        [shown] = waiting["approvals"]
        assert waiting["approvals"] == paused["approvals"]
        assert (shown["id"], shown["run"], shown["kind"], shown["status"]) == (
            approval,
            paused["run_id"],
            "approval",
            "pending",
        )
        assert shown["call"] == {"id": "c1", "name": "pay", "arguments": '{"amount":1,"to":"Ann"}'}
        assert shown["parameters"]["properties"].keys() == {"amount", "to"}
        assert (decided["status"], decided["by"], decided["parameters"]) == ("approved", "bob", shown["parameters"])
        assert done.json()["content"] == "done: paid 1 to Ann"
        assert (done.json()["status"], done.json()["session"]) == ("completed", "s")
        assert left == {"approvals": []}
        assert (session["total"], session["agent"], session["title"]) == (4, "clerk", "Pay Ann")

    async def test_a_stream_that_pauses_and_goes_on(self, serve_agents: Any) -> None:
        """The stream of a pausing run has its approval and ends with `paused`; the resumed stream has the rest."""
        async with client(await serve_agents(clerk())) as http:
            told = events((await http.post("/agents/clerk/runs", json={"input": "Pay"}, headers=SSE)).text)
            asked, ended = told[-2:]
            await http.post(f"/approvals/{asked['approval']}", json={"decision": "approve"})
            resumed = await http.post(f"/runs/{asked['run_id']}/resume", json={}, headers=SSE)

        assert (asked["type"], ended["type"], ended["status"]) == ("approval_asked", "run_ended", "paused")
        assert resumed.headers["content-type"].startswith("text/event-stream")
        started, *_, last = events(resumed.text)
        assert (started["type"], started["resumed"], started["run_id"]) == ("run_started", True, asked["run_id"])
        assert (last["status"], last["content"]) == ("completed", "done: paid 1 to Ann")

    async def test_deny_with_a_reason(self, serve_agents: Any) -> None:
        """The model is told the reason of a denial."""
        async with client(await serve_agents(clerk())) as http:
            paused, approval = await pause(http)
            body = {"decision": "deny", "reason": "too much"}
            assert (await http.post(f"/approvals/{approval}", json=body)).json()["status"] == "denied"
            done = (await http.post(f"/runs/{paused['run_id']}/resume")).json()

        assert done["content"] == "done: pay was denied: too much"

    async def test_other_arguments(self, serve_agents: Any) -> None:
        """Arguments that do not fit the tool are refused, and decide nothing; others replace the model's."""
        async with client(await serve_agents(clerk())) as http:
            paused, approval = await pause(http)
            body = {"decision": "approve", "arguments": {"amount": "many"}}
            wrong = await http.post(f"/approvals/{approval}", json=body)
            waits = (await http.get(f"/approvals/{approval}")).json()
            body = {"decision": "approve", "arguments": {"amount": 2, "to": "Bob"}}
            await http.post(f"/approvals/{approval}", json=body)
            done = (await http.post(f"/runs/{paused['run_id']}/resume")).json()

        assert wrong.status_code == 400
        assert "amount" in wrong.json()["error"]["message"]
        assert waits["status"] == "pending"
        assert done["content"] == "done: paid 2 to Bob"

    async def test_decided_twice(self, serve_agents: Any) -> None:
        """The second decision is a 409, and the first one stands."""
        async with client(await serve_agents(clerk())) as http:
            _, approval = await pause(http)
            await http.post(f"/approvals/{approval}", json={"decision": "deny"})
            again = await http.post(f"/approvals/{approval}", json={"decision": "approve"})
            stands = (await http.get(f"/approvals/{approval}")).json()

        assert (again.status_code, again.json()["error"]["code"]) == (409, "approval_conflict")
        assert again.json()["error"]["message"] == "this approval is denied already"
        assert stands["status"] == "denied"

    async def test_an_answer_of_the_user(self, serve_agents: Any) -> None:
        """Input from the user is asked for with its schema, and given as a value."""

        @tool
        def deploy(version: str, place: FromUser[Literal["test", "live"]]) -> str:
            """Deploy a version."""
            return f"{version} to {place}"

        agent = Agent(Clerk("deploy", '{"version":"1"}'), "clerk", tools=[deploy])
        async with client(await serve_agents(agent)) as http:
            paused, approval = await pause(http)
            wrong = await http.post(f"/approvals/{approval}", json={"decision": "answer", "value": {"place": "moon"}})
            body = {"decision": "answer", "value": {"place": "live"}}
            assert (await http.post(f"/approvals/{approval}", json=body)).json()["status"] == "answered"
            done = (await http.post(f"/runs/{paused['run_id']}/resume")).json()

        [shown] = paused["approvals"]
        assert (shown["kind"], shown["schema"]["required"]) == ("input", ["place"])
        assert wrong.status_code == 400
        assert done["content"] == "done: 1 to live"

    async def test_a_result_from_elsewhere(self, serve_agents: Any) -> None:
        """A call that is carried out elsewhere is answered with its result, also with `null`."""

        @tool(external=True)
        def look(place: str) -> str:
            """Look."""
            raise AssertionError

        agent = Agent(Clerk("look", '{"place":"sky"}'), "clerk", tools=[look])
        async with client(await serve_agents(agent)) as http:
            paused, approval = await pause(http)
            await http.post(f"/approvals/{approval}", json={"decision": "answer", "value": None})
            done = (await http.post(f"/runs/{paused['run_id']}/resume")).json()

        assert done["content"] == "done: null"

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            ({"decision": "maybe"}, "maybe"),
            ({}, "decision"),
            ({"decision": "approve", "reson": "x"}, "reson"),
            ({"decision": "approve", "reason": "x"}, "'reason' does not go with the decision 'approve'"),
            ({"decision": "deny", "arguments": {}}, "'arguments' does not go with"),
            ({"decision": "deny", "value": None}, "'value' does not go with"),
            ({"decision": "answer"}, "no value"),
            ({"decision": "answer", "value": 1}, "cannot be answered"),
        ],
    )
    async def test_decisions_that_are_none(self, serve_agents: Any, body: dict[str, Any], problem: str) -> None:
        """An invalid decision is a 400 that names the fault, and decides nothing."""
        async with client(await serve_agents(clerk())) as http:
            _, approval = await pause(http)
            refused = await http.post(f"/approvals/{approval}", json=body)
            stands = (await http.get(f"/approvals/{approval}")).json()

        assert (refused.status_code, stands["status"]) == (400, "pending")
        assert problem in refused.json()["error"]["message"]
        assert refused.json()["error"]["hint"]

    async def test_resumed_before_it_is_decided(self, serve_agents: Any) -> None:
        """A run resumed before its decision pauses again, for the same approval."""
        async with client(await serve_agents(clerk())) as http:
            paused, _ = await pause(http)
            again = (await http.post(f"/runs/{paused['run_id']}/resume")).json()

        assert again["approvals"] == paused["approvals"]


class TestOwners:
    """Owners of runs."""

    async def test_what_belongs_to_a_user(self, serve_agents: Any, memory: str) -> None:
        """A user's run is shown, decided and resumed only by requests that name the user."""
        async with client(await serve_agents(clerk(), memory=memory)) as http:
            paused, approval = await pause(http, user="ann", session="s")
            run = paused["run_id"]
            for user in ("bob", None):
                asked = {} if user is None else {"user": user}
                for path in (f"/runs/{run}", f"/approvals/{approval}", "/sessions/s", "/sessions/s/export"):
                    assert (await http.get(path, params=asked)).status_code == 404, path
                for path, body in (
                    (f"/approvals/{approval}", {"decision": "approve"}),
                    (f"/runs/{run}/resume", {}),
                    (f"/runs/{run}/cancel", {}),
                ):
                    assert (await http.post(path, json=body | asked)).status_code == 404, path
                assert (await http.get("/runs", params=asked)).json()["runs"] == []
                assert (await http.get("/approvals", params=asked)).json() == {"approvals": []}
            ann = {"user": "ann"}
            assert [each["id"] for each in (await http.get("/runs", params=ann)).json()["runs"]] == [run]
            assert (await http.get(f"/runs/{run}", params=ann)).json()["status"] == "paused"
            assert len((await http.get("/approvals", params=ann)).json()["approvals"]) == 1
            await http.post(f"/approvals/{approval}", json={"decision": "approve", **ann})
            done = (await http.post(f"/runs/{run}/resume", json=ann)).json()

        assert done["status"] == "completed"

    async def test_what_belongs_to_nobody(self, serve_agents: Any) -> None:
        """A run without an owner is not found by requests that name a user."""
        async with client(await serve_agents(clerk())) as http:
            paused, approval = await pause(http)
            asked = {"user": "ann"}
            found = [
                await http.get(f"/runs/{paused['run_id']}", params=asked),
                await http.get(f"/approvals/{approval}", params=asked),
                await http.post(f"/runs/{paused['run_id']}/resume", json=asked),
            ]

        assert [each.status_code for each in found] == [404, 404, 404]


class Counting(InProcessMemory):
    """Counts the records that are listed."""

    read = 0

    async def runs(self, **asked: Any) -> list[RunRecord]:
        """Count the records."""
        found = await super().runs(**asked)
        self.read += len(found)
        return found


class TestRuns:
    """Stored runs, and runs under way."""

    @pytest.mark.parametrize("agent", [None, "even"])
    async def test_pages(self, serve_agents: Any, agent: str | None) -> None:
        """Each run is on one page, also of many that changed at one time; a page far back reads few more runs."""
        memory, count = Counting(), 1500
        for at in range(count):
            kind = "odd" if at % 2 else "even"
            changed = 1.3 if 300 <= at < 400 else 1.0 + at / 1000
            await memory.create_run(RunRecord(f"r{at:04}", kind, "completed", created_at=1.0, updated_at=changed))
        query: dict[str, Any] = {"limit": 50} | ({} if agent is None else {"agent": agent})
        seen: list[str] = []
        most = 0
        async with client(await serve_agents(clerk(), memory=memory)) as http:
            while True:
                memory.read = 0
                page = (await http.get("/runs", params=query)).json()
                most = max(most, memory.read)
                seen += [each["id"] for each in page["runs"]]
                if page["next"] is None:
                    break
                query["before"] = page["next"]

        wanted = [f"r{at:04}" for at in range(count) if agent is None or at % 2 == 0]
        assert sorted(seen) == wanted
        assert most < 1_300

    async def test_pages_far_apart(self, serve_agents: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A list goes on behind more runs of other agents than are looked through for one page."""
        monkeypatch.setattr(stored, "FARTHEST", 5)
        monkeypatch.setattr(stored, "MOST_AT_ONCE", 5)
        memory = InProcessMemory()
        for at in range(40):
            kind = "rare" if at < 2 else "often"
            await memory.create_run(RunRecord(f"r{at:02}", kind, "completed", created_at=1.0, updated_at=1.0 + at))
        query: dict[str, Any] = {"limit": 2, "agent": "rare"}
        seen: list[str] = []
        async with client(await serve_agents(clerk(), memory=memory)) as http:
            while "before" not in query or query["before"] is not None:
                page = (await http.get("/runs", params=query)).json()
                seen += [each["id"] for each in page["runs"]]
                query["before"] = page["next"]

        assert seen == ["r01", "r00"]

    async def test_lists_and_shows_runs(self, serve_agents: Any, memory: str) -> None:
        """A run is listed by its status and its session, and shown step by step with times and usage."""
        agent = Agent(ScriptedModel(["one", "two"]), "plain", memory=MemoryPolicy(journal=True))
        async with client(await serve_agents(clerk(), agent, memory=memory)) as http:
            paused, approval = await pause(http, session="s")
            await http.post("/agents/plain/runs", json={"input": "hi"})
            listed = (await http.get("/runs")).json()["runs"]
            of_session = (await http.get("/runs", params={"session": "s", "status": "paused"})).json()["runs"]
            newest = (await http.get("/runs", params={"limit": "1"})).json()["runs"]
            shown = (await http.get(f"/runs/{paused['run_id']}")).json()
            await http.post(f"/approvals/{approval}", json={"decision": "approve"})
            await http.post(f"/runs/{paused['run_id']}/resume")
            after = (await http.get(f"/runs/{paused['run_id']}")).json()

        assert [(each["agent"], each["status"]) for each in listed] == [("plain", "completed"), ("clerk", "paused")]
        assert [each["id"] for each in of_session] == [paused["run_id"]]
        assert [each["agent"] for each in newest] == ["plain"]
        assert (shown["input"], shown["session"], shown["approvals"]) == ("Pay Ann", "s", paused["approvals"])
        assert [step["kind"] for step in shown["steps"]] == ["begun", "answered", "paused"]
        assert shown["steps"][1]["tool_calls"] == [shown["approvals"][0]["call"]]
        assert shown["steps"][2]["approvals"] == [approval]
        assert "owner" not in shown
        assert (after["status"], after["content"]) == ("completed", "done: paid 1 to Ann")
        kinds = [step["kind"] for step in after["steps"]]
        assert kinds[:3] + kinds[-2:] == ["begun", "answered", "paused", "answered", "ended"]
        [called] = [step for step in after["steps"] if step["kind"] == "called"]
        assert (called["name"], called["status"], called["content"]) == ("pay", "completed", "paid 1 to Ann")
        times = [step["at"] for step in after["steps"]]
        assert times == sorted(times)
        assert after["created_at"] <= times[-1] <= after["updated_at"] + 1
        assert after["steps"][1]["usage"].keys() >= {"input_tokens", "output_tokens"}

    async def test_a_run_that_is_not_stored(self, serve_agents: Any) -> None:
        """A run that is not stored is a 404, and the hint says which runs are stored."""
        async with client(await serve_agents(Agent(ScriptedModel(["ok"]), "a"))) as http:
            run = (await http.post("/agents/a/runs", json={"input": "hi"})).json()["run_id"]
            found = [
                await http.get(f"/runs/{run}"),
                await http.post(f"/runs/{run}/resume"),
                await http.post(f"/runs/{run}/cancel"),
                await http.get("/approvals/x.y"),
            ]

        assert [each.status_code for each in found] == [404] * 4
        assert "journal=True" in found[0].json()["error"]["hint"]

    async def test_a_completed_run_is_not_resumed(self, serve_agents: Any) -> None:
        """Resuming a completed run is a 409, like resuming a run under way."""
        stuck = Stuck()
        agents = [
            Agent(ScriptedModel(["ok"]), "a", memory=MemoryPolicy(journal=True)),
            Agent(stuck, "stuck", memory=MemoryPolicy(journal=True)),
        ]
        async with client(await serve_agents(*agents)) as http, trio.open_nursery() as nursery:
            run = (await http.post("/agents/a/runs", json={"input": "hi"})).json()["run_id"]
            completed = await http.post(f"/runs/{run}/resume")
            nursery.start_soon(lambda: http.post("/agents/stuck/runs", json={"input": "hi"}))
            await stuck.started.wait()
            [going] = (await http.get("/runs", params={"status": "running"})).json()["runs"]
            conflict = await http.post(f"/runs/{going['id']}/resume")
            cancelled = await http.post(f"/runs/{going['id']}/cancel")

        assert (completed.status_code, completed.json()["error"]["code"]) == (409, "run_conflict")
        assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "run_conflict")
        assert "owner" not in conflict.text
        assert cancelled.json() == {"cancelled": True}

    @pytest.mark.parametrize("policy", [MemoryPolicy(), MemoryPolicy(journal=True)], ids=["plain", "stored"])
    async def test_cancels_a_run_under_way(self, serve_agents: Any, policy: MemoryPolicy) -> None:
        """A streamed run is cancelled by its id, stored or not; its stream ends with the cancellation."""
        told: list[dict[str, Any]] = []
        async with client(await serve_agents(Agent(Stuck(), "stuck", memory=policy))) as http:
            asked: dict[str, Any] = {"json": {"input": "hi", "user": "ann"}, "headers": SSE}
            async with http.stream("POST", "/agents/stuck/runs", **asked) as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data: "):
                        told.append(json.loads(line.removeprefix("data: ")))
                        if told[-1]["type"] == "text_delta":
                            run = told[-1]["run_id"]
                            refused = await http.post(f"/runs/{run}/cancel", json={"user": "bob"})
                            done = await http.post(f"/runs/{run}/cancel", json={"user": "ann"})
            again = await http.post(f"/runs/{run}/cancel", json={"user": "ann"})

        assert (refused.status_code, done.json()) == (404, {"cancelled": True})
        assert (told[-1]["type"], told[-1]["status"]) == ("run_ended", "cancelled")
        assert (again.status_code, again.json().get("cancelled")) == ((200, False) if policy.journal else (404, None))

    async def test_sends_messages_to_a_run_under_way(self, serve_agents: Any) -> None:
        """A streamed run takes a message by its id and answers it; other users and other runs are not found."""
        go, requests = trio.Event(), []

        class Waiting:
            name = "waiting"

            async def respond(self, request: ModelRequest, emit: Any = None) -> ModelResponse:
                requests.append([message.text for message in request.messages if message.role == "user"])
                if len(requests) == 1:
                    await emit(TextDelta("well"))
                    await go.wait()
                return ModelResponse(f"answer {len(requests)}")

        told: list[dict[str, Any]] = []
        sent: list[Any] = []
        async with client(await serve_agents(Agent(Waiting(), "waiting"))) as http:
            asked: dict[str, Any] = {"json": {"input": "hi", "user": "ann"}, "headers": SSE}
            async with http.stream("POST", "/agents/waiting/runs", **asked) as stream:
                async for line in stream.aiter_lines():
                    if not line.startswith("data: "):
                        continue
                    told.append(json.loads(line.removeprefix("data: ")))
                    if told[-1]["type"] == "text_delta":
                        path = f"/runs/{told[-1]['run_id']}/messages"
                        sent.append(await http.post(path, json={"input": "and?", "user": "bob"}))
                        sent.append(await http.post(path, json={"input": "", "user": "ann"}))
                        sent.append(await http.post(path, json={"input": "and?", "user": "ann"}))
                        go.set()
            sent.append(await http.post(path, json={"input": "late", "user": "ann"}))

        assert [answer.status_code for answer in sent] == [404, 400, 200, 404]
        assert requests == [["hi"], ["hi", "and?"]]
        assert [event["text"] for event in told if event["type"] == "message_received"] == ["and?"]
        assert told[-1]["content"] == "answer 2"

    async def test_cancels_a_run_that_is_not_streamed(self, serve_agents: Any) -> None:
        """A client that waits for the answer is told that the run was cancelled."""
        stuck, answers = Stuck(), []
        async with client(await serve_agents(Agent(stuck, "stuck", memory=MemoryPolicy(journal=True)))) as http:

            async def ask() -> None:
                answers.append(await http.post("/agents/stuck/runs", json={"input": "hi"}))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await stuck.started.wait()
                [run] = (await http.get("/runs")).json()["runs"]
                await http.post(f"/runs/{run['id']}/cancel")

        assert answers[0].json()["error"]["code"] == "cancelled"
        assert answers[0].json()["error"]["run_id"] == run["id"]

    async def test_cancels_a_run_that_waits(self, serve_agents: Any) -> None:
        """A waiting run has no process, so it is cancelled at once."""
        async with client(await serve_agents(clerk())) as http:
            paused, _ = await pause(http)
            cancelled = (await http.post(f"/runs/{paused['run_id']}/cancel")).json()
            shown = (await http.get(f"/runs/{paused['run_id']}")).json()

        assert (cancelled, shown["status"]) == ({"cancelled": True}, "cancelled")

    async def test_an_agent_that_is_gone(self, serve_agents: Any, tmp_path: Path) -> None:
        """A run of an agent that this server does not have is shown, and not resumed."""
        memory = f"sqlite:///{tmp_path}/agents.db"
        async with client(await serve_agents(clerk(), memory=memory)) as http:
            paused, _ = await pause(http)
        async with client(await serve_agents(Agent(Stuck(), "other"), memory=memory)) as http:
            shown = (await http.get(f"/runs/{paused['run_id']}")).json()
            refused = await http.post(f"/runs/{paused['run_id']}/resume")

        assert (shown["agent"], shown["approvals"][0]["parameters"]) == ("clerk", None)
        assert (refused.status_code, "clerk" in refused.json()["error"]["message"]) == (404, True)

    @pytest.mark.parametrize(
        ("path", "problem"),
        [
            ("/runs?limit=0", "limit"),
            ("/runs?limit=many", "limit"),
            ("/runs?status=gone", "status"),
            ("/runs?sesion=s", "sesion"),
            ("/approvals?status=maybe", "status"),
            ("/sessions?before=x", "before"),
            ("/sessions?query=x", "query"),
            ("/sessions/s?last=-1", "last"),
        ],
    )
    async def test_queries_that_are_none(self, serve_agents: Any, path: str, problem: str) -> None:
        """An invalid query is a 400 that names the field, with the nearest name."""
        async with client(await serve_agents(clerk())) as http:
            refused = await http.get(path)

        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_query")
        assert problem in refused.json()["error"]["message"]


class TestErrors:
    """Errors for users of the page, and for developers."""

    async def test_a_deadline(self, serve_agents: Any) -> None:
        """The message is a plain sentence; how to raise the limit is in the hint, and on the second line of streams."""
        agent = Agent(Stuck(), "stuck", limits=Limits(run_timeout=0.05))
        async with client(await serve_agents(agent)) as http:
            refused = await http.post("/agents/stuck/runs", json={"input": "hi"})
            streamed = await http.post("/agents/stuck/runs", json={"input": "hi"}, headers=SSE)

        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (504, "deadline")
        assert error["message"] == "the answer took too long, so the run was stopped"
        assert error["hint"].startswith("the run took longer than 0.05 s. Raise Limits(run_timeout=")
        plain, hint = events(streamed.text)[-1]["error"].split("\n")
        assert (plain, hint) == (error["message"], error["hint"])


class TestAgents:
    """The list of agents."""

    async def test_tools_and_suggestions(self, serve_agents: Any) -> None:
        """An agent's entry marks tools that may wait for a person, and has the suggestions."""
        served = await serve_agents(clerk(), suggestions={"clerk": ("Pay Ann",)})
        async with client(served) as http:
            [agent] = (await http.get("/agents")).json()["agents"]

        assert agent["tools"] == [{"name": "pay", "description": "Pay somebody.", "approve": True}]
        assert agent["suggestions"] == ["Pay Ann"]

    def test_suggestions_for_nobody(self, launch: Callable[..., Any]) -> None:
        """Suggestions for an unknown agent are an error at start, with the nearest name."""
        code = "from agno_rt import Agent\nfrom agno_rt.testing import ScriptedModel\nclerk = Agent(ScriptedModel([]))"
        process = launch(code, settings='[plugins.serve.suggestions]\nclark = ["Pay"]')
        _, said = process.communicate(timeout=60)

        assert process.returncode == 2
        assert "there is no agent 'clark'" in said
        assert "clerk" in said

    def test_suggestions_of_the_file(self, launch: Callable[..., Any], address: Callable[[Any], str]) -> None:
        """Suggestions are written in agno-rt.toml, by the agent's name."""
        code = "from agno_rt import Agent\nfrom agno_rt.testing import ScriptedModel\nclerk = Agent(ScriptedModel([]))"
        process = launch(code, settings='[plugins.serve.suggestions]\nclerk = ["Pay Ann", "Pay Bob"]')
        [agent] = httpx2.get(f"{address(process)}/agents", timeout=30).json()["agents"]

        assert agent["suggestions"] == ["Pay Ann", "Pay Bob"]
