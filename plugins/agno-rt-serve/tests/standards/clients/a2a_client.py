"""The official client of A2A finds, runs and follows the runnables. Run in the environment of the clients."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from uuid import uuid4

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import Client
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import A2AError

URL, KEYED, KEY = sys.argv[1:4]


def say(text: str, **more: Any) -> pb.SendMessageRequest:
    """Return a message with the text."""
    parts = [pb.Part(text=text)]
    return pb.SendMessageRequest(message=pb.Message(message_id=str(uuid4()), role=pb.ROLE_USER, parts=parts, **more))


async def send(client: Client, text: str, **more: Any) -> tuple[str, list[str], str]:
    """Send a message, and return the task's id, its states, and the text of its artifact as the pieces make it."""
    task, states, made = "", [], ""
    async for each in client.send_message(say(text, **more)):
        kind = each.WhichOneof("payload")
        if kind == "task":
            task = each.task.id
            states.append(pb.TaskState.Name(each.task.status.state))
            made = "".join(part.text for artifact in each.task.artifacts for part in artifact.parts) or made
        elif kind == "status_update":
            states.append(pb.TaskState.Name(each.status_update.status.state))
        else:
            update = each.artifact_update
            piece = "".join(part.text for part in update.artifact.parts)
            made = made + piece if update.append else piece
    return task, [state.removeprefix("TASK_STATE_") for state in states], made


async def refuse(awaitable: Any) -> str:
    """Return the name of the error."""
    try:
        await awaitable
    except A2AError as exc:
        return type(exc).__name__
    return "no error"


async def follow(client: Client, task: str, answer: str) -> list[str]:
    """Subscribe to a waiting task, answer its question, and return the states that the subscriber sees."""
    states = []
    async for each in client.subscribe(pb.SubscribeToTaskRequest(id=task)):
        if each.HasField("task"):
            states.append(each.task.status.state)
            await send(client, answer, task_id=task)
        elif each.HasField("status_update"):
            states.append(each.status_update.status.state)
    return [pb.TaskState.Name(state).removeprefix("TASK_STATE_") for state in states]


async def try_all(http: httpx.AsyncClient, binding: str, version: str, *, streaming: bool) -> dict[str, Any]:
    """Try each operation."""
    clients = {}
    for name in ("echo", "desk", "asker"):
        card = await A2ACardResolver(http, f"{URL}/a2a/{name}").get_agent_card()
        kept = [each for each in card.supported_interfaces if each.protocol_version == version]
        del card.supported_interfaces[:]
        card.supported_interfaces.extend(kept)
        config = ClientConfig(httpx_client=http, streaming=streaming, supported_protocol_bindings=[binding])
        clients[name] = ClientFactory(config).create(card)
    echo, desk, asker = clients.values()
    found: dict[str, Any] = {}
    task, found["said"], found["text"] = await send(echo, "Hi.")
    shown = await echo.get_task(pb.GetTaskRequest(id=task, history_length=1))
    found["shown"] = [shown.artifacts[0].parts[0].text, shown.history[0].parts[0].text]
    task, found["asked"], _ = await send(desk, "Pay ann.")
    _, found["approved"], found["paid"] = await send(desk, "yes", task_id=task)
    task, _, _ = await send(asker, "Go.")
    if streaming:
        found["followed"] = await follow(asker, task, "Ann")
    task, _, _ = await send(asker, "Go.")
    config = pb.TaskPushNotificationConfig(task_id=task, url="http://127.0.0.1:9/", id="c", token="t")
    made = await asker.create_task_push_notification_config(config)
    got = await asker.get_task_push_notification_config(pb.GetTaskPushNotificationConfigRequest(task_id=task, id="c"))
    listed = await asker.list_task_push_notification_configs(pb.ListTaskPushNotificationConfigsRequest(task_id=task))
    found["configs"] = [made.url, got.token, len(listed.configs)]
    await asker.delete_task_push_notification_config(pb.DeleteTaskPushNotificationConfigRequest(task_id=task, id="c"))
    cancelled = await asker.cancel_task(pb.CancelTaskRequest(id=task))
    found["cancelled"] = pb.TaskState.Name(cancelled.status.state)
    if version == "1.0":
        page = await asker.list_tasks(pb.ListTasksRequest(page_size=1))
        found["listed"] = [page.tasks[0].id == task, page.total_size > 0]
    found["errors"] = [
        await refuse(asker.cancel_task(pb.CancelTaskRequest(id=task))),
        await refuse(asker.get_task(pb.GetTaskRequest(id="unknown"))),
    ]
    if streaming:
        stream = asker.subscribe(pb.SubscribeToTaskRequest(id=task))
        found["errors"].append(await refuse(anext(aiter(stream))))
    return found


async def find_extended() -> list[list[str]]:
    """Return the skills of the open card and of the extended card, on a server with a key."""
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, KEYED).get_agent_card()
        http.headers["Authorization"] = f"Bearer {KEY}"
        client = ClientFactory(ClientConfig(httpx_client=http)).create(card)
        extended = await client.get_extended_agent_card(pb.GetExtendedAgentCardRequest())
    return [[skill.name for skill in each.skills] for each in (card, extended)]


async def main() -> None:
    """Print the findings as JSON."""
    found: dict[str, Any] = {"extended": await find_extended()}
    for binding, version in (("JSONRPC", "1.0"), ("HTTP+JSON", "1.0"), ("JSONRPC", "0.3")):
        for streaming in (True, False):
            async with httpx.AsyncClient(timeout=30) as http:
                name = f"{binding} {version} {'streamed' if streaming else 'whole'}"
                found[name] = await try_all(http, binding, version, streaming=streaming)
    print(json.dumps(found))


asyncio.run(main())
