"""Webhooks: signed messages about the ends of runs, sent again until they are taken, to public addresses only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
import httpx2
import pytest
import trio
from agno_rt_serve.api.run_format import WebhookBody
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.runs.webhook_settings import WebhookSettings
from agno_rt_serve.api.runs.webhooks import Webhooks

from agno_rt import Agent, RunResult, ToolCall, tool
from agno_rt.errors import ModelError
from agno_rt.testing import ScriptedModel

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@attrs.define
class Receiver:
    """A server that notes messages, and answers each with the next of the `statuses`, then with 204."""

    statuses: list[int] = attrs.Factory(list)
    seen: list[tuple[dict[str, str], bytes]] = attrs.Factory(list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a message."""
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        self.seen.append(({name.decode(): value.decode() for name, value in scope["headers"]}, body))
        status = self.statuses.pop(0) if self.statuses else 204
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def data(self) -> list[dict[str, Any]]:
        """Return the messages' contents, after a look at each signature."""
        for headers, body in self.seen:
            signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
            expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{expected}"
            assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        return [json.loads(body) for _, body in self.seen]


async def test_all_runs(serve: Any, serve_agents: Any, until: Any, tmp_path: Path) -> None:
    """The addresses of the settings are told of each end: completed, paused, failed, streamed, in the background."""

    @tool(approve=True)
    def refund() -> str:
        return "refunded"

    def fail(request: Any) -> str:
        raise ModelError("the word is swordfish", status=500)

    receiver = Receiver()
    url = f"{(await serve(receiver)).url}/told?token=t"
    served = await serve_agents(
        Agent(ScriptedModel(lambda request: "Hello."), "a"),
        Agent(ScriptedModel(lambda request: ToolCall("1", "refund", "{}")), "desk", tools=[refund]),
        Agent(ScriptedModel(fail), "broken"),
        memory=f"sqlite:///{tmp_path / 'serve.db'}",
        webhooks=WebhookSettings(urls=(url,), secret=SECRET, private=True),
    )
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        done = await http.post("/agents/a/runs", json={"input": "Hi.", "session": "s", "user": "kim"})
        await http.post("/agents/desk/runs", json={"input": "Hi."})
        await http.post("/agents/broken/runs", json={"input": "Hi."})
        await http.post("/agents/a/runs", json={"input": "Hi."}, headers={"Accept": "text/event-stream"})
        await http.post("/agents/a/runs", json={"input": "Hi.", "background": True})
    await until(lambda: len(receiver.seen) == 5)

    told = receiver.data()
    kinds = sorted(each["type"] for each in told)
    assert kinds == ["run.completed"] * 3 + ["run.failed", "run.paused"]
    (first,) = [each["data"] for each in told if each["data"]["run_id"] == done.json()["run_id"]]
    assert (first["agent"], first["session"], first["user"], first["content"]) == ("a", "s", "kim", "Hello.")
    assert [each["data"]["code"] for each in told if each["type"] == "run.failed"] == ["model"]
    assert "swordfish" not in str(told)
    assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == 5


async def test_one_run(serve: Any, serve_agents: Any, until: Any) -> None:
    """A run may name an address of its own, with a secret of its own; other runs are not told there."""
    receiver = Receiver()
    url = (await serve(receiver)).url
    agent = Agent(ScriptedModel(lambda request: "Hello."), "a")
    served = await serve_agents(agent, webhooks=WebhookSettings(private=True))
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        await http.post("/agents/a/runs", json={"input": "Hi."})
        body = {"input": "Hi.", "webhook": {"url": url, "secret": SECRET}}
        run = (await http.post("/agents/a/runs", json=body)).json()["run_id"]
        without = await http.post("/agents/a/runs", json={"input": "Hi.", "webhook": {"url": url}})
    await until(lambda: bool(receiver.seen))

    assert [each["data"]["run_id"] for each in receiver.data()] == [run]
    assert (without.status_code, without.json()["error"]["code"]) == (400, "invalid_webhook")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest",
        "http://10.1.2.3/",
        "http://2130706433/",
        "http://0.0.0.0/",
        "ftp://example.com/",
        "http://user@93.184.216.34/",
        "http:///x",
        "http://93.184.216.34:99999/",
        "file:///etc/passwd",
    ],
)
async def test_forbidden_addresses(serve_agents: Any, url: str) -> None:
    """Addresses of the machine and its network, and other URLs, are refused before a run begins."""
    model = ScriptedModel(["Hello."])
    served = await serve_agents(Agent(model, "a"))
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        body = {"input": "Hi.", "webhook": {"url": url, "secret": SECRET}}
        answer = await http.post("/agents/a/runs", json=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_webhook")
    assert model.requests == []


class TestDelivery:
    """A message is sent until it is taken."""

    async def _tell(self, receiver: Receiver, serve: Any, *, attempts: int, query: str = "") -> None:
        url = (await serve(receiver)).url + query
        async with trio.open_nursery() as nursery:
            hooks = Webhooks(WebhookSettings(private=True), lambda: nursery, waits=(0.01,) * (attempts - 1))
            task = Task(Agent("m", "a"), "Hi.", webhook=WebhookBody(url, SECRET))
            hooks.tell(task, RunResult("r", "completed", "Hello."))
        await hooks.aclose()

    async def test_retries(self, serve: Any) -> None:
        """After errors of the receiver the same message comes again, with a signature of its own time."""
        receiver = Receiver([500, 302, 404])
        await self._tell(receiver, serve, attempts=7)

        assert len(receiver.seen) == 4
        assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == 1
        assert len({body for _, body in receiver.seen}) == 1
        receiver.data()

    async def test_gives_up(self, serve: Any) -> None:
        """A receiver that never takes the message is asked a bounded number of times."""
        receiver = Receiver([500] * 10)
        await self._tell(receiver, serve, attempts=3)

        assert len(receiver.seen) == 3

    async def test_a_key_in_the_address_is_in_no_log(self, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
        """The query of a receiver's address may be its key: the HTTP library's logs do not have it."""
        caplog.set_level(logging.DEBUG)
        await self._tell(Receiver(), serve, attempts=1, query="?key=k3y-of-the-receiver")

        assert "HTTP Request: POST" in caplog.text
        assert "k3y-of-the-receiver" not in caplog.text

    async def test_gone(self, serve: Any) -> None:
        """A receiver that answers 410 is not asked again."""
        receiver = Receiver([410])
        await self._tell(receiver, serve, attempts=3)

        assert len(receiver.seen) == 1


KEPT_AGENTS = """
from pathlib import Path
import trio
from agno_rt import Agent, MemoryPolicy, ModelResponse

class Model:
    name = "test"

    async def respond(self, request, emit=None):
        Path("asked").touch()
        while not Path("go").exists():
            await trio.sleep(0.05)
        return ModelResponse("At last.")

slow = Agent(Model(), "slow", memory=MemoryPolicy(journal=True))
"""


def test_runs_that_are_taken_over(launch: Any, address: Any, tmp_path: Path) -> None:
    """The end of a run whose server was killed is told by the server that took it over, to the run's address, too."""
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Noting)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_port}"
    settings = f'[plugins.serve.webhooks]\nurls = ["{url}/all"]\nsecret = "{SECRET}"\nprivate = true'
    first = launch(KEPT_AGENTS, memory="sqlite:///runs.db", settings=settings)
    body = {"input": "Go.", "user": "kim", "background": True, "webhook": {"url": f"{url}/own", "secret": SECRET}}
    run = httpx2.post(f"{address(first)}/agents/slow/runs", json=body, timeout=60).json()["run_id"]
    wait_for((tmp_path / "asked").exists)
    first.kill()
    first.wait(60)
    (tmp_path / "go").touch()
    second = launch(KEPT_AGENTS, memory="sqlite:///runs.db", settings=settings)
    address(second)
    wait_for(lambda: len(_Noting.seen) == 2)
    receiver.shutdown()
    receiver.server_close()

    assert sorted(path for path, _ in _Noting.seen) == ["/all", "/own"]
    for _, told in _Noting.seen:
        assert told["type"] == "run.completed"
        assert (told["data"]["run_id"], told["data"]["content"], told["data"]["user"]) == (run, "At last.", "kim")


class _Noting(http.server.BaseHTTPRequestHandler):
    """Notes the messages."""

    seen: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        """Note a message."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((self.path, json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Be quiet."""


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for a condition of other processes."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
