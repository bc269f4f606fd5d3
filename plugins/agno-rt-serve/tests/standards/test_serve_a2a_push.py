"""Push notifications of A2A: addresses of a task, told once of each state that matters, also without any client."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import attrs
import httpx2
import trio
from agno_rt_serve.api.runs.webhook_settings import WebhookSettings

from agno_rt import Agent, Ask, Flow, ToolCall, tool, workflow
from agno_rt.errors import ModelError
from agno_rt.testing import ScriptedModel
from standards.a2a_talk import VERSION, Talk, cut_off, message, task_of

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
PATIENCE = 30.0


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

    def states(self) -> list[tuple[str, str]]:
        """Return the task and the state of each message, sorted: messages may overtake each other."""
        tasks = [json.loads(body)["task"] for _, body in self.seen]
        return sorted((each["id"], each["status"]["state"].removeprefix("TASK_STATE_")) for each in tasks)


@workflow(name="asker")
async def asker(flow: Flow) -> str:
    """Ask a question."""
    name: str = await flow.ask(Ask(str, "Name?"))
    return f"Hello {name}"


class Gate:
    """A model whose answer waits until the test opens the gate."""

    name = "gate"

    def __init__(self) -> None:
        self.opened = trio.Event()

    async def respond(self, request: Any, emit: Any = None) -> Any:
        """Answer once the gate is open."""
        await self.opened.wait()
        return await ScriptedModel(["At last."]).respond(request, emit)


@tool(approve=True)
def pay() -> str:
    """Pay."""
    return "paid"


async def test_a_task_without_its_client(serve: Any, serve_agents: Any, until: Any, tmp_path: Path) -> None:
    """Each end of a task whose client has left is told once: completed, failed, waiting for somebody."""

    def fail(request: Any) -> str:
        raise ModelError("down", status=500)

    receiver, gate = Receiver(), Gate()
    agents = [
        Agent(gate, "a"),
        Agent(ScriptedModel(fail), "broken"),
        Agent(ScriptedModel(lambda request: ToolCall("1", "pay", "{}")), "desk", tools=[pay]),
    ]
    url = (await serve(receiver)).url
    served = await serve_agents(
        *agents, memory=f"sqlite:///{tmp_path / 'serve.db'}", webhooks=WebhookSettings(private=True)
    )
    tasks = {}
    for each in agents:
        wanted = {"taskPushNotificationConfig": {"url": url}}
        async with cut_off(served, each.name, b'"task"', "Go.", configuration=wanted) as seen:
            tasks[each.name] = task_of(seen)
    gate.opened.set()
    await until(lambda: len(receiver.seen) == 3)
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        for name, state in (("a", "COMPLETED"), ("broken", "FAILED"), ("desk", "INPUT_REQUIRED")):
            found = await Talk(http, name).call("GetTask", {"id": tasks[name]})
            assert found["status"]["state"] == f"TASK_STATE_{state}"
            assert (tasks[name], state) in receiver.states()
    assert len(receiver.seen) == 3


async def test_addresses(serve: Any, serve_agents: Any, until: Any) -> None:
    """Addresses are made, shown, listed and deleted; the rest is told with the client's words and a signature."""
    receiver = Receiver([500])
    url = (await serve(receiver)).url
    served = await serve_agents(asker, webhooks=WebhookSettings(private=True, secret=SECRET))
    proof = {"token": "t-1", "authentication": {"scheme": "Bearer", "credentials": "s3cret"}}
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        talk = Talk(http, "asker")
        task = await talk.send("Go.")
        of_task = {"taskId": task["id"]}
        made = await talk.call("CreateTaskPushNotificationConfig", {**of_task, "url": url, **proof})
        await talk.call("CreateTaskPushNotificationConfig", {**of_task, "url": f"{url}/other", "id": "other"})
        got = await talk.call("GetTaskPushNotificationConfig", {**of_task, "id": made["id"]})
        listed = await talk.call("ListTaskPushNotificationConfigs", of_task)
        by_path = (await http.get(f"/a2a/asker/tasks/{task['id']}/pushNotificationConfigs", headers=VERSION)).json()
        for _ in range(2):
            await talk.call("DeleteTaskPushNotificationConfig", {**of_task, "id": "other"})
        gone = await talk.refused("GetTaskPushNotificationConfig", {**of_task, "id": "other"})
        await talk.send("Ann", **of_task)
        await until(lambda: bool(receiver.seen))
        after = await talk.call("ListTaskPushNotificationConfigs", of_task)

    assert made == {**of_task, "id": made["id"], "url": url, **proof} == got
    assert {each["id"] for each in listed["configs"]} == {made["id"], "other"}
    assert by_path == listed
    assert gone == (-32001, "TASK_NOT_FOUND")
    assert after == {"configs": []}
    headers, body = receiver.seen[0]
    assert (headers["authorization"], headers["x-a2a-notification-token"]) == ("Bearer s3cret", "t-1")
    assert headers["content-type"] == "application/a2a+json"
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    told = json.loads(body)["task"]
    assert told["artifacts"][0]["parts"] == [{"text": "Hello Ann"}]


async def test_answered_elsewhere(serve: Any, serve_agents: Any, until: Any, tmp_path: Path) -> None:
    """A task that somebody answers by the server's own API, at another worker, is told of all the same."""
    receiver = Receiver()
    url = (await serve(receiver)).url
    options = {"memory": f"sqlite:///{tmp_path / 'serve.db'}", "webhooks": WebhookSettings(private=True)}
    first, second = await serve_agents(asker, **options), await serve_agents(asker, **options)
    async with (
        httpx2.AsyncClient(base_url=first.url, timeout=PATIENCE) as http,
        httpx2.AsyncClient(base_url=second.url, timeout=PATIENCE) as other,
    ):
        task = await Talk(http, "asker").send("Go.", configuration={"taskPushNotificationConfig": {"url": url}})
        await until(lambda: len(receiver.seen) == 1)
        [approval] = (await other.get("/approvals", params={"run": task["id"]})).json()["approvals"]
        await other.post(f"/approvals/{approval['id']}", json={"decision": "answer", "value": "Kim"})
        await other.post(f"/runs/{task['id']}/resume", json={"background": True})
        await until(lambda: len(receiver.seen) == 2)
        found = await Talk(http, "asker").call("GetTask", {"id": task["id"]})

    assert receiver.states() == [(task["id"], "COMPLETED"), (task["id"], "INPUT_REQUIRED")]
    assert [part["text"] for each in found["history"] for part in each["parts"]] == ["Go.", "Name?", "Kim"]


EXPIRING = """
from agno_rt import Ask, Flow, workflow
from agno_rt.errors import Unanswered

@workflow(name="asker")
async def asker(flow: Flow) -> str:
    try:
        return await flow.ask(Ask(str, "Name?"), expires=1.0)
    except Unanswered:
        return "nobody"
"""


async def test_a_task_that_goes_on_by_itself(serve: Any, launch: Any, address: Any, until: Any) -> None:
    """The end of a task whose question expires is told, too: no request has moved the task on."""
    receiver = Receiver()
    url = (await serve(receiver)).url
    server = launch(EXPIRING, settings="[plugins.serve.webhooks]\nprivate = true")
    async with httpx2.AsyncClient(base_url=address(server), timeout=PATIENCE) as http:
        wanted = {"taskPushNotificationConfig": {"url": url}}
        task = await Talk(http, "asker").send("Go.", configuration=wanted)
        await until(lambda: len(receiver.seen) == 2)

    assert receiver.states() == [(task["id"], "COMPLETED"), (task["id"], "INPUT_REQUIRED")]


async def test_cancelled_while_it_waits(serve: Any, serve_agents: Any, until: Any) -> None:
    """A waiting task that is cancelled is told of, though nobody carries it out."""
    receiver = Receiver()
    url = (await serve(receiver)).url
    served = await serve_agents(asker, webhooks=WebhookSettings(private=True))
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        talk = Talk(http, "asker")
        task = await talk.send("Go.", configuration={"taskPushNotificationConfig": {"url": url}})
        await talk.call("CancelTask", {"id": task["id"]})
        await until(lambda: len(receiver.seen) == 2)

    assert receiver.states() == [(task["id"], "CANCELED"), (task["id"], "INPUT_REQUIRED")]


async def test_refusals(serve_agents: Any) -> None:
    """Private addresses, headers with line breaks and too many addresses are refused; so are all if turned off."""
    served = await serve_agents(asker)
    off = await serve_agents(asker, webhooks=WebhookSettings(runs=False))
    private = await serve_agents(asker, webhooks=WebhookSettings(private=True))
    broken = {"scheme": "Bearer", "credentials": "a\r\nx: y"}
    url = "http://127.0.0.1:9/"
    async with (
        httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http,
        httpx2.AsyncClient(base_url=off.url, timeout=PATIENCE) as other,
        httpx2.AsyncClient(base_url=private.url, timeout=PATIENCE) as third,
    ):
        inner = await Talk(http, "asker").refused(
            "SendMessage", message("Go.", configuration={"taskPushNotificationConfig": {"url": url}})
        )
        listed = await Talk(http, "asker").call("ListTasks")
        talk = Talk(other, "asker")
        card = (await other.get("/.well-known/agent-card.json")).json()
        task = await talk.send("Go.")
        none = [
            await talk.refused(f"{verb}PushNotificationConfig{more}", {"taskId": task["id"], "id": "1", "url": url})
            for verb, more in (("CreateTask", ""), ("GetTask", ""), ("ListTask", "s"), ("DeleteTask", ""))
        ]
        talk = Talk(third, "asker")
        of_task = {"taskId": (await talk.send("Go."))["id"], "url": url}
        unfit = await talk.refused("CreateTaskPushNotificationConfig", {**of_task, "authentication": broken})
        for number in range(16):
            await talk.call("CreateTaskPushNotificationConfig", {**of_task, "id": str(number)})
        many = await talk.refused("CreateTaskPushNotificationConfig", of_task)

    assert inner == (-32602, "INVALID_WEBHOOK")
    assert listed["totalSize"] == 0
    assert card["capabilities"]["pushNotifications"] is False
    assert none == [(-32003, "PUSH_NOTIFICATION_NOT_SUPPORTED")] * 4
    assert unfit == (-32602, "INVALID_PARAMS")
    assert many == (-32004, "UNSUPPORTED_OPERATION")


async def test_version_0_3(serve: Any, serve_agents: Any, until: Any) -> None:
    """A client of 0.3 names an address in its words, and is told the task in them."""
    receiver = Receiver()
    url = (await serve(receiver)).url
    served = await serve_agents(asker, webhooks=WebhookSettings(private=True))
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        talk = Talk(http, "asker", {})
        old = {"kind": "message", "messageId": "1", "role": "user", "parts": [{"kind": "text", "text": "Go."}]}
        task = await talk.call("message/send", {"message": old})
        wanted = {
            "taskId": task["id"],
            "pushNotificationConfig": {"url": url, "authentication": {"schemes": ["Basic"]}},
        }
        made = await talk.call("tasks/pushNotificationConfig/set", wanted)
        got = await talk.call("tasks/pushNotificationConfig/get", {"id": task["id"]})
        listed = await talk.call("tasks/pushNotificationConfig/list", {"id": task["id"]})
        await talk.call("message/send", {"message": {**old, "taskId": task["id"]}})
        await until(lambda: bool(receiver.seen))
        deleted = await talk.call(
            "tasks/pushNotificationConfig/delete", {"id": task["id"], "pushNotificationConfigId": "1"}
        )

    assert made == got == listed[0]
    assert made["pushNotificationConfig"]["url"] == url
    told = json.loads(receiver.seen[0][1])
    assert (told["kind"], told["id"], told["status"]["state"]) == ("task", task["id"], "completed")
    assert deleted is None
