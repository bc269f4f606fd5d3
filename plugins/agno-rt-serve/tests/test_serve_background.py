"""Runs that outlive their requests: in the background, after a disconnect, by an idempotency key; and their events."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from agno_rt_serve.api.runs.background import Started
from agno_rt_serve.api.runs.idempotency import Ask, IdempotencyKeys

from agno_rt import Agent, MemoryPolicy, ModelResponse, Runtime, Team, ToolCall, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import ModelError
from agno_rt.events import TextDelta
from agno_rt.testing import ScriptedModel

PATIENCE = 60.0


class Gate:
    """A model whose answer waits until the test opens the gate; `asked` counts the requests."""

    name = "gate"

    def __init__(self) -> None:
        self.asked = 0
        self.opened = trio.Event()

    async def respond(self, request: Any, emit: Any = None) -> Any:
        """Answer once the gate is open."""
        self.asked += 1
        await self.opened.wait()
        return await ScriptedModel(["At last."]).respond(request, emit)


class Wordy:
    """A model that says more than the buffers of a connection hold."""

    name = "wordy"

    async def respond(self, request: Any, emit: Any = None) -> ModelResponse:
        """Say ten million letters, and answer shortly."""
        for _ in range(20):
            await emit(TextDelta("w" * 500_000))
        return ModelResponse("Enough.")


@pytest.fixture
def memory_url(tmp_path: Path) -> str:
    """A store on disk, which two servers can share."""
    return f"sqlite:///{tmp_path / 'serve.db'}"


def _parse_events(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


@asynccontextmanager
async def _open_client(served: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        yield http


@asynccontextmanager
async def _cut_off(served: Any, method: str, path: str, body: Any, mark: bytes) -> AsyncIterator[bytes]:
    """Ask for a stream, and give what came until the mark, and the rest of its line; then hang up."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    async with await served.dial() as wire:
        await wire.send(head.encode() + content)
        seen = b""
        with trio.fail_after(PATIENCE):
            while mark not in seen:
                seen += await wire.line() + b"\r\n"
        yield seen


async def _await_status(http: httpx2.AsyncClient, run: str, wanted: str) -> dict[str, Any]:
    with trio.fail_after(PATIENCE):
        while True:
            told: dict[str, Any] = (await http.get(f"/runs/{run}")).json()
            if told.get("status") == wanted:
                return told
            await trio.sleep(0.02)


async def test_background(serve_agents: Any, memory_url: str) -> None:
    """A run in the background is acknowledged once it is stored; its events and its answer come by its id."""
    gate = Gate()
    served = await serve_agents(Agent(gate, "a"), memory=memory_url)
    async with _open_client(served) as http:
        answer = await http.post("/agents/a/runs", json={"input": "Go.", "background": True})
        run = answer.json()["run_id"]
        stored = await http.get(answer.headers["location"])
        gate.opened.set()
        events = _parse_events((await http.get(f"/runs/{run}/events")).text)
        told = await _await_status(http, run, "completed")

    assert answer.status_code == 202
    assert stored.json()["status"] == "running"
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert (events[0][1], events[-1][1]) == ("run_started", "run_ended")
    assert "".join(data["text"] for _, name, data in events if name == "text_delta") == told["content"] == "At last."


async def test_events_from_any_worker(serve_agents: Any, memory_url: str) -> None:
    """A client that was cut off continues at another server after the last event that it has, without a gap."""
    gate = Gate()
    agent = Agent(gate, "a")
    first, second = await serve_agents(agent, memory=memory_url), await serve_agents(agent, memory=memory_url)
    async with _open_client(first) as http, _open_client(second) as other:
        run = (await http.post("/agents/a/runs", json={"input": "Go.", "background": True})).json()["run_id"]
        async with _cut_off(first, "GET", f"/runs/{run}/events", None, b"id: 2"):
            pass
        gate.opened.set()
        rest = _parse_events((await other.get(f"/runs/{run}/events", headers={"Last-Event-ID": "2"})).text)
        whole = _parse_events((await other.get(f"/runs/{run}/events")).text)
        by_query = _parse_events((await other.get(f"/runs/{run}/events?after=2")).text)
        end = await other.get(f"/runs/{run}/events", headers={"Last-Event-ID": str(whole[-1][0])})
        rubbish = await other.get(f"/runs/{run}/events", headers={"Last-Event-ID": "x"})

    assert rest == by_query == whole[2:]
    assert end.status_code == 204
    assert rubbish.status_code == 400


async def test_events_belong_to_the_user(serve_agents: Any, memory_url: str) -> None:
    """The events of a user's run are not there for others."""
    served = await serve_agents(Agent(ScriptedModel(["Hello."]), "a"), memory=memory_url)
    async with _open_client(served) as http:
        body = {"input": "Go.", "background": True, "user": "kim"}
        run = (await http.post("/agents/a/runs", json=body)).json()["run_id"]
        own = await http.get(f"/runs/{run}/events?user=kim")
        others = [await http.get(f"/runs/{run}/events{query}") for query in ("", "?user=ann")]

    assert own.status_code == 200
    assert [each.status_code for each in others] == [404, 404]


async def test_detach(serve_agents: Any, memory_url: str, until: Any) -> None:
    """With `detach` the run goes on without its client; without it, the run is cancelled."""
    gate = Gate()
    served = await serve_agents(Agent(gate, "a", memory=MemoryPolicy(journal=True)), memory=memory_url)
    runs = {}
    async with _open_client(served) as http:
        for policy in ("detach", "cancel"):
            body = {"input": "Go.", "disconnect": policy}
            async with _cut_off(served, "POST", "/agents/a/runs", body, b'"run_id":"') as seen:
                runs[policy] = re.findall(rb'"run_id":"([^"]+)"', seen)[0].decode()
                await until(lambda: gate.asked == len(runs))
        await _await_status(http, runs["cancel"], "cancelled")
        gate.opened.set()
        assert (await _await_status(http, runs["detach"], "completed"))["content"] == "At last."


async def test_detach_without_a_stream(serve_agents: Any, memory_url: str, until: Any) -> None:
    """A client that hangs up before the whole answer finds the run, and its answer, in the list."""
    gate = Gate()
    served = await serve_agents(Agent(gate, "a"), memory=memory_url)
    async with _open_client(served) as http:
        async with await served.dial() as wire:
            body = b'{"input": "Go.", "disconnect": "detach"}'
            head = b"POST /agents/a/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            await wire.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await until(lambda: gate.asked > 0)
        (run,) = (await http.get("/runs")).json()["runs"]
        gate.opened.set()
        assert (await _await_status(http, run["id"], "completed"))["content"] == "At last."


class Watched(InProcessMemory):
    """A memory that counts the looks for clients of other workers."""

    looks = 0

    async def cached(self, key: str) -> bytes | None:
        """Count a look."""
        self.looks += key.startswith("agno-rt-serve:seen:")
        return await super().cached(key)


async def test_grace(serve_agents: Any, until: Any) -> None:
    """A run with a grace time is cancelled after it; a client that comes back, to any worker, keeps the run."""
    gate, memory = Gate(), Watched()
    agent = Agent(gate, "a")
    first, second = await serve_agents(agent, memory=memory), await serve_agents(agent, memory=memory)

    @asynccontextmanager
    async def begin(grace: float) -> AsyncIterator[str]:
        body = {"input": "Go.", "disconnect": f"detach;grace={grace}"}
        async with _cut_off(first, "POST", "/agents/a/runs", body, b'"run_id":"') as seen:
            yield re.findall(rb'"run_id":"([^"]+)"', seen)[0].decode()

    async with _open_client(first) as http, AsyncExitStack() as coming_back:
        async with begin(0.2) as left:
            pass
        assert await _await_status(http, left, "cancelled")
        async with begin(2.0) as kept:
            await coming_back.enter_async_context(_cut_off(second, "GET", f"/runs/{kept}/events", None, b"id: 1"))
        before = memory.looks
        await until(lambda: memory.looks > before)
        gate.opened.set()
        assert (await _await_status(http, kept, "completed"))["content"] == "At last."


async def test_grace_after_a_stall_of_the_machine(
    serve_agents: Any, until: Any, mock_clock: trio.testing.MockClock
) -> None:
    """A worker with a client may be as late with its word as this one with its look: it is waited for."""
    mock_clock.rate = 1.0
    gate, memory = Gate(), Watched()
    served = await serve_agents(Agent(gate, "a"), memory=memory)
    body = {"input": "Go.", "disconnect": "detach;grace=60"}
    async with _cut_off(served, "POST", "/agents/a/runs", body, b'"run_id":"') as seen:
        run = re.findall(rb'"run_id":"([^"]+)"', seen)[0].decode()
    await until(lambda: served.server.connections == 0)
    # The word of another worker, which has a client, before a stall that the clock of the system sees, too.
    await memory.cache(f"agno-rt-serve:seen:{run}", str(time.time() - 500).encode(), seconds=1_000)
    mock_clock.jump(500.0)
    await until(lambda: memory.looks == 1)
    await memory.cache(f"agno-rt-serve:seen:{run}", str(time.time()).encode(), seconds=1_000)
    mock_clock.jump(30.0)
    await until(lambda: memory.looks == 2)
    gate.opened.set()
    async with _open_client(served) as http:
        assert (await _await_status(http, run, "completed"))["content"] == "At last."


async def test_grace_after_a_worker_was_killed(serve_agents: Any) -> None:
    """A client that came back to a worker counts until the grace time after its worker's last word."""
    gate, memory = Gate(), InProcessMemory()
    served = await serve_agents(Agent(gate, "a"), memory=memory)
    async with _open_client(served) as http:
        body = {"input": "Go.", "disconnect": "detach;grace=0.5"}
        async with _cut_off(served, "POST", "/agents/a/runs", body, b'"run_id":"') as seen:
            run = re.findall(rb'"run_id":"([^"]+)"', seen)[0].decode()
        # The word of another worker, which is killed before it can give another.
        await memory.cache(f"agno-rt-serve:seen:{run}", str(time.time() + 0.4).encode(), seconds=60)
        assert await _await_status(http, run, "cancelled")


class TestIdempotencyKeys:
    """The same key and body get the same run."""

    async def test_same_answer(self, serve_agents: Any, memory_url: str) -> None:
        """A repeated request gets the same bytes, also from another server, and no second run is made."""
        model = ScriptedModel(lambda request: "Once.")
        first = await serve_agents(Agent(model, "a"), memory=memory_url)
        second = await serve_agents(Agent(model, "a"), memory=memory_url)
        headers, body = {"Idempotency-Key": "k-1"}, {"input": "Go.", "session": "s"}
        async with _open_client(first) as http, _open_client(second) as other:
            answers = [await each.post("/agents/a/runs", json=body, headers=headers) for each in (http, http, other)]
            stream = await other.post("/agents/a/runs", json=body, headers=headers | {"Accept": "text/event-stream"})
            reused = await http.post("/agents/a/runs", json={"input": "Other."}, headers=headers)
            runs = (await http.get("/runs")).json()["runs"]

        assert {(each.status_code, each.content) for each in answers} == {(200, answers[0].content)}
        assert _parse_events(stream.text)[-1][2]["run_id"] == answers[0].json()["run_id"]
        assert (reused.status_code, reused.json()["error"]["code"]) == (422, "key_reused")
        assert len(runs) == 1

    async def test_at_once(self, serve_agents: Any, memory_url: str, until: Any) -> None:
        """Ten requests at the same time, at two servers, make one run, and all get its answer."""
        gate = Gate()
        agent = Agent(gate, "a")
        served = [await serve_agents(agent, memory=memory_url) for _ in range(2)]
        answers: list[Any] = []

        async def ask(http: httpx2.AsyncClient) -> None:
            headers = {"Idempotency-Key": "k-2"}
            answers.append(await http.post("/agents/a/runs", json={"input": "Go."}, headers=headers))

        async with _open_client(served[0]) as http, _open_client(served[1]) as other, trio.open_nursery() as nursery:
            for each in (http, other) * 5:
                nursery.start_soon(ask, each)
            await until(lambda: gate.asked > 0)
            gate.opened.set()

        assert gate.asked == 1
        assert {each.status_code for each in answers} == {200}
        assert len({each.json()["run_id"] for each in answers}) == 1
        assert {each.json()["content"] for each in answers} == {"At last."}

    async def test_failed_run(self, serve_agents: Any, memory_url: str) -> None:
        """A run that failed is not made again: the repeated request gets the same error."""
        asked = []

        def fail(request: Any) -> str:
            asked.append(request)
            raise ModelError("out of order", status=500)

        served = await serve_agents(Agent(ScriptedModel(fail), "a"), memory=memory_url)
        async with _open_client(served) as http:
            headers = {"Idempotency-Key": "k-3"}
            first, again = [await http.post("/agents/a/runs", json={"input": "Go."}, headers=headers) for _ in "12"]

        assert (first.status_code, first.content) == (again.status_code, again.content)
        assert first.status_code == 502
        assert len(asked) == 1

    async def test_users_have_their_own(self, serve_agents: Any, memory_url: str) -> None:
        """The same key of another user is another key; a key with a blank is refused."""
        served = await serve_agents(Agent(ScriptedModel(lambda request: "Hi."), "a"), memory=memory_url)
        async with _open_client(served) as http:
            headers = {"Idempotency-Key": "k-4"}
            runs = [
                (await http.post("/agents/a/runs", json={"input": "Go.", "user": user}, headers=headers)).json()
                for user in ("kim", "ann")
            ]
            wrong = await http.post("/agents/a/runs", json={"input": "Go."}, headers={"Idempotency-Key": "a b"})

        assert runs[0]["run_id"] != runs[1]["run_id"]
        assert wrong.status_code == 400


class _Hanging(InProcessMemory):
    """A memory whose writes of keys, or whose unlocking, never end."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.hangs = what

    async def cache(self, key: str, value: bytes, **bounds: Any) -> None:
        if self.hangs == "cache":
            await trio.sleep_forever()
        await super().cache(key, value, **bounds)

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        return True

    async def unlock_session(self, session: str) -> None:
        if self.hangs == "unlock":
            await trio.sleep_forever()


@pytest.mark.parametrize("what", ["cache", "unlock"])
async def test_a_memory_that_hangs_does_not_keep_the_answer(what: str, autojump_clock: trio.testing.MockClock) -> None:
    """A run that has begun is answered after seconds, and the next request with the key has its turn."""
    started: list[Started] = []

    async def start() -> Started:
        started.append(Started(f"run-{len(started)}"))
        return started[-1]

    async with Runtime(memory=_Hanging(what)) as rt:
        keys, ask = IdempotencyKeys(rt), Ask("k", "digest")
        assert (await keys.find_or_start(ask, start)).run == "run-0"
        assert trio.current_time() == pytest.approx(5)
        again = await keys.find_or_start(ask, start)
    assert again.run == ("run-1" if what == "cache" else "run-0")


async def test_paused_in_background(serve_agents: Any, memory_url: str) -> None:
    """A run in the background that pauses is decided and resumed over HTTP, in the background too."""

    @tool(approve=True)
    def refund(order: str) -> str:
        return f"refunded {order}"

    def says(request: Any) -> Any:
        last = request.messages[-1]
        return last.text if last.role == "tool" else ToolCall("1", "refund", '{"order": "A1"}')

    served = await serve_agents(Agent(ScriptedModel(says), "desk", tools=[refund]), memory=memory_url)
    async with _open_client(served) as http:
        run = (await http.post("/agents/desk/runs", json={"input": "Refund.", "background": True})).json()["run_id"]
        paused = await _await_status(http, run, "paused")
        decision = {"decision": "approve", "arguments": {"order": "B2"}, "by": "kim"}
        await http.post(f"/approvals/{paused['approvals'][0]['id']}", json=decision)
        resumed = await http.post(f"/runs/{run}/resume", json={"background": True})
        told = await _await_status(http, run, "completed")
        events = _parse_events((await http.get(f"/runs/{run}/events")).text)

    assert resumed.status_code == 202
    assert told["content"] == "refunded B2"
    assert [name for _, name, _ in events].count("run_ended") == 2
    assert events[-1][2]["status"] == "completed"


async def test_client_back_before_the_end_is_logged(serve_agents: Any) -> None:
    """A client that has all events but the last of a run that is over gets the last, and is not told to stay away."""

    class SlowLog(InProcessMemory):
        def __init__(self) -> None:
            super().__init__()
            self.go, self.looked = trio.Event(), trio.Event()

        async def wait_events(self, run: str, *, after: int, seconds: float) -> bool:
            self.looked.set()
            return await super().wait_events(run, after=after, seconds=seconds)

        async def log_events(self, run: str, events: Any, *, first: int, owner: str) -> None:
            if any(b"run_ended" in event for event in events):
                await self.go.wait()
            await super().log_events(run, events, first=first, owner=owner)

    memory = SlowLog()
    served = await serve_agents(Agent(ScriptedModel(["At last."]), "a"), memory=memory)
    async with _open_client(served) as http, trio.open_nursery() as nursery:
        run = (await http.post("/agents/a/runs", json={"input": "Go.", "background": True})).json()["run_id"]
        await _await_status(http, run, "completed")
        last = {"Last-Event-ID": str(await memory.find_last_event(run))}
        answers = []

        async def come_back() -> None:
            answers.append(await http.get(f"/runs/{run}/events", headers=last))

        nursery.start_soon(come_back)
        with trio.move_on_after(PATIENCE):
            await memory.looked.wait()
        memory.go.set()

    assert answers[0].status_code == 200
    assert [name for _, name, _ in _parse_events(answers[0].text)] == ["run_ended"]


async def test_stop_of_the_server(serve_agents: Any, memory_url: str, until: Any) -> None:
    """A run that is under way when its server stops is left to another process, and is not marked as cancelled."""
    gate = Gate()
    agent = Agent(gate, "a")
    first, second = (
        await serve_agents(agent, memory=memory_url, grace=0.1),
        await serve_agents(agent, memory=memory_url),
    )
    async with _open_client(second) as other:
        async with _open_client(first) as http:
            run = (await http.post("/agents/a/runs", json={"input": "Go.", "background": True})).json()["run_id"]
        first.server.stop()
        await until(lambda: first.server.app._background.find(run) is None)
        await trio.testing.wait_all_tasks_blocked(0.1)
        told = (await other.get(f"/runs/{run}")).json()

    assert told["status"] == "running"
    assert not told["cancel_requested"]


async def test_wrong_policy(serve_agents: Any) -> None:
    """An unknown policy is refused, and no run begins."""
    model = ScriptedModel(["Hi."])
    served = await serve_agents(Agent(model, "a"))
    async with _open_client(served) as http:
        answers = [
            await http.post("/agents/a/runs", json={"input": "Go.", "disconnect": each})
            for each in ("later", "detach;grace=-1", "cancel;grace=3", "")
        ]

    assert {each.status_code for each in answers} == {400}
    assert model.requests == []


async def test_the_end_of_a_detached_team_comes_last(serve_agents: Any, memory_url: str) -> None:
    """A client that reads late gets every word of the members before the end: many stop reading there."""
    served = await serve_agents(Team([Agent(Wordy(), "ann")], "sequence", name="pair"), memory=memory_url)
    body = {"input": "Go.", "disconnect": "detach", "within": True}
    async with (
        _open_client(served) as http,
        http.stream("POST", "/agents/pair/runs", json=body, headers={"Accept": "text/event-stream"}) as answer,
    ):
        with trio.fail_after(PATIENCE):
            while not (await http.get("/runs", params={"status": "completed"})).json()["runs"]:  # noqa: ASYNC110 - no event
                await trio.sleep(0.05)
        lines = [line async for line in answer.aiter_lines() if line.startswith("data: ")]
    told = [json.loads(line.removeprefix("data: ")) for line in lines]

    assert sum(len(event.get("text", "")) for event in told if event["type"] == "text_delta") == 10_000_000
    begun = {event["agent"]: event["run_id"] for event in told if event["type"] == "run_started"}
    assert (told[-1]["type"], told[-1]["run_id"]) == ("run_ended", begun["pair"])


async def test_members_of_a_detached_team(serve_agents: Any, memory_url: str) -> None:
    """The client of a detached run sees runs within as they happen; a later client sees the run's own events."""
    team = Team([Agent(ScriptedModel([f"{name} here."]), name) for name in ("ann", "bob")], "sequence", name="pair")
    served = await serve_agents(team, memory=memory_url)
    async with _open_client(served) as http:
        body = {"input": "Go.", "disconnect": "detach", "within": True}
        text = (await http.post("/agents/pair/runs", json=body, headers={"Accept": "text/event-stream"})).text
        blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n")[:-1]]
        told = [(block.get("id"), json.loads(block["data"])) for block in blocks]
        run = next(event["run_id"] for number, event in told if number)
        later = _parse_events((await http.get(f"/runs/{run}/events")).text)
    within = [event for number, event in told if number is None]

    assert {event["path"] for event in within} == {"ann#1", "bob#1"}
    assert "".join(event["text"] for event in within if event["type"] == "text_delta") == "ann here.bob here."
    assert [(int(number), event["type"]) for number, event in told if number] == [each[:2] for each in later]
    assert later[-1][2]["content"] == "bob here."
