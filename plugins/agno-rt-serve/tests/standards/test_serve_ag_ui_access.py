"""AG-UI and its callers: users, scopes, anonymous callers, clients that leave, and servers that start again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from agno_rt_serve.auth.key_store import KeyStore, Rights
from agno_rt_serve.auth.settings import AnonymousSettings

from agno_rt import Agent, ModelRequest, ModelResponse
from standards.ag_ui_agents import list_runnables
from standards.ag_ui_judge import judge
from standards.test_serve_ag_ui import Client

Open = Callable[..., Awaitable[Client]]
RESUMES: dict[str, Any] = {"status": "resolved", "payload": True}


@pytest.fixture
async def open_client(serve_agents: Any) -> AsyncIterator[Open]:
    """Serve the runnables, and return clients with a key: `await open_client("seller", key=...)`."""
    clients: list[httpx2.AsyncClient] = []

    async def begin(agent: str, *runnables: Any, token: str = "", **options: Any) -> Client:
        served = await serve_agents(*(runnables or list_runnables()), **options)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        clients.append(httpx2.AsyncClient(base_url=served.url, timeout=30, headers=headers))
        return Client(clients[-1], agent)

    yield begin
    for each in clients:
        await each.aclose()


async def test_a_thread_belongs_to_its_user(open_client: Open, tmp_path: Path) -> None:
    """Another user cannot run in the thread, nor answer its interrupts; a key without `decide` cannot answer either."""
    store = KeyStore(tmp_path / "keys.json")
    scopes = {"ann": (), "bob": (), "runner": ("agents:*:run", "users")}
    keys = {name: store.add(name, Rights(each), now=time.time())[0] for name, each in scopes.items()}
    client = await open_client("seller", token=keys["ann"], keys_file=str(store.path))
    await client.run("hello")
    paused = await client.run("pay")
    body = {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": "hello"}]}
    resume = {"resume": [RESUMES | {"interruptId": paused.interrupts[0]["id"]}]}

    async def ask(key: str, path: str, given: dict[str, Any]) -> httpx2.Response:
        return await client.http.post(path, json=given, headers={"Authorization": f"Bearer {keys[key]}"})

    intrusion = await ask("bob", "/agents/seller/ag-ui", body)
    answer = judge((await ask("bob", "/agents/seller/ag-ui", body | resume)).text)
    undecided = await ask("runner", "/agents/seller/ag-ui?user=ann", body | resume)
    done = await client.run(**resume)

    assert judge(intrusion.text).end["code"] == "forbidden"
    assert "paid" not in intrusion.text
    assert answer.end["code"] == "unknown_interrupt"
    assert (undecided.status_code, undecided.json()["error"]["code"]) == (403, "scope_missing")
    assert done.text() == "paid 5"


async def test_a_member_s_question_needs_the_right_to_the_member(open_client: Open, tmp_path: Path) -> None:
    """A key that may decide for the team alone does not decide about a member's call, as on the server's own routes."""
    store = KeyStore(tmp_path / "keys.json")
    scopes = ("teams:desk:run", "teams:desk:decide", "sessions:*:*")
    low = store.add("low", Rights(scopes), user="ann", now=time.time())[0]
    high = store.add("high", Rights(), user="ann", now=time.time())[0]
    client = await open_client("desk", token=low, keys_file=str(store.path))
    paused = await client.run("pay")
    interrupt = paused.interrupts[0]["id"]
    body = {"threadId": "t", "runId": "r2", "messages": [], "resume": [RESUMES | {"interruptId": interrupt}]}
    refused = await client.http.post("/agents/desk/ag-ui", json=body)
    headers = {"Authorization": f"Bearer {high}"}
    allowed = await client.http.post("/agents/desk/ag-ui", json=body, headers=headers)

    assert refused.status_code == 403
    assert "agents:seller:decide" in refused.json()["error"]["hint"]
    assert "paid 5" in allowed.text


async def test_anonymous_callers(open_client: Open) -> None:
    """An anonymous caller has no session: each request brings the conversation, and nothing is kept."""
    client = await open_client("seller", key="k" * 20, anonymous=AnonymousSettings(agents=("seller",)))
    await client.run("hello")
    second = await client.run("again")
    kept = await client.http.get("/sessions", headers={"Authorization": f"Bearer {'k' * 20}"})

    once = "[system] Sell. [user] hello"
    assert second.text() == f"{once} [assistant] {once} [user] again"
    assert kept.json()["sessions"] == []


async def test_leaving_cancels_the_run(open_client: Open) -> None:
    """A client that closes the stream, as `abortRun` does, cancels the run."""
    begun, cancelled = trio.Event(), trio.Event()

    class Stuck:
        name = "stuck"

        async def respond(self, request: ModelRequest, emit: Any = None) -> ModelResponse:
            begun.set()
            try:
                await trio.sleep_forever()
            finally:
                cancelled.set()
            raise AssertionError("it slept for ever")

    client = await open_client("stuck", Agent(Stuck(), "stuck"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run, "hello")
        with trio.fail_after(30):
            await begun.wait()
        nursery.cancel_scope.cancel()
    with trio.fail_after(30):
        await cancelled.wait()


async def test_a_run_that_is_cancelled(open_client: Open) -> None:
    """A run that somebody else cancels ends as cancelled, and not as an error."""
    begun = trio.Event()

    class Stuck:
        name = "stuck"

        async def respond(self, request: ModelRequest, emit: Any = None) -> ModelResponse:
            begun.set()
            await trio.sleep_forever()
            raise AssertionError("it slept for ever")

    client = await open_client("stuck", Agent(Stuck(), "stuck"))
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            judged = await client.run("hello")
            assert judged.end["outcome"] == {"type": "cancelled"}

        nursery.start_soon(run)
        with trio.fail_after(30):
            await begun.wait()
        (task,) = (await client.http.get("/tasks")).json()["runs"]
        await client.http.post(f"/runs/{task['id']}/cancel")


async def test_another_server_goes_on(open_client: Open, tmp_path: Path) -> None:
    """An interrupt waits in the database, and another server on it takes the answer and goes on with the thread."""
    memory = f"sqlite:///{tmp_path / 'agents.db'}"
    first = await open_client("desk", memory=memory)
    paused = await first.run("pay")
    second = await open_client("desk", memory=memory)
    second.messages, second.runs = first.messages, first.runs
    done = await second.run(resume=[RESUMES | {"interruptId": paused.interrupts[0]["id"]}])
    after = await second.run("hello")

    assert done.text() == "paid 5"
    assert after.end["outcome"] == {"type": "success"}
