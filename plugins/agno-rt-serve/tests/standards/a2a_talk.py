"""A small client of A2A over raw HTTP, for the tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx2
import trio

__all__ = ["VERSION", "Talk", "cut_off", "join_text", "message", "numbers", "read_stream", "states", "task_of"]

PATIENCE = 30.0
VERSION = {"A2A-Version": "1.0"}


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    """Return the parameters of a message; texts are parts of text."""
    made = [{"text": part} if isinstance(part, str) else part for part in parts]
    configuration = more.pop("configuration", {})
    return {
        "message": {"messageId": "m-1", "role": "ROLE_USER", "parts": made, **more},
        "configuration": configuration,
    }


@attrs.define
class Talk:
    """A client of one agent, by JSON-RPC."""

    http: httpx2.AsyncClient
    agent: str
    headers: dict[str, str] = attrs.Factory(lambda: dict(VERSION))
    query: str = ""

    async def ask(self, method: str, params: Any = None) -> Any:
        """Call the method, and return the whole answer."""
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {} if params is None else params}
        answer = await self.http.post(f"/a2a/{self.agent}{self.query}", json=body, headers=self.headers)
        made = answer.json()
        assert (made["jsonrpc"], made["id"]) == ("2.0", 7), made
        return made

    async def call(self, method: str, params: Any = None) -> Any:
        """Call the method, and return the result."""
        made = await self.ask(method, params)
        assert "error" not in made, made
        return made["result"]

    async def refused(self, method: str, params: Any = None) -> tuple[int, str]:
        """Call the method, and return the error's code and reason."""
        error = (await self.ask(method, params))["error"]
        [info, *_] = error["data"]
        return error["code"], info["reason"]

    async def send(self, *parts: Any, **more: Any) -> dict[str, Any]:
        """Send a message, and return the task."""
        task: dict[str, Any] = (await self.call("SendMessage", message(*parts, **more)))["task"]
        return task

    async def stream(self, *parts: Any, **more: Any) -> list[dict[str, Any]]:
        """Send a message, and return the updates."""
        return await self.follow("SendStreamingMessage", message(*parts, **more))

    async def follow(self, method: str, params: Any) -> list[dict[str, Any]]:
        """Call a method that streams, and return the results until the stream ends."""
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        answer = await self.http.post(f"/a2a/{self.agent}{self.query}", json=body, headers=self.headers)
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
        return read_stream(answer.text)


def read_stream(text: str) -> list[dict[str, Any]]:
    """Return the results of a stream of JSON-RPC."""
    lines = [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: ")]
    assert all((each["jsonrpc"], each["id"]) == ("2.0", 7) for each in lines)
    return [each["result"] for each in lines]


def states(updates: list[dict[str, Any]]) -> list[str]:
    """Return the states that the updates tell, without the beginning of each word."""
    found = [each.get("task") or each.get("statusUpdate") for each in updates]
    return [each["status"]["state"].removeprefix("TASK_STATE_") for each in found if each]


def join_text(updates: list[dict[str, Any]]) -> str:
    """Return the text of the artifact that the updates make."""
    text = ""
    for each in updates:
        if update := each.get("artifactUpdate"):
            piece = "".join(part.get("text", "") for part in update["artifact"]["parts"])
            text = text + piece if update.get("append") else piece
    return text


def numbers(updates: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return the number of the run's event behind each update, and the kind of the update."""
    found = [(kind, each[kind]) for each in updates for kind in each if kind != "task"]
    return [(update["metadata"]["agno-rt/event"], kind) for kind, update in found if "metadata" in update]


@asynccontextmanager
async def cut_off(served: Any, agent: str, mark: bytes, *parts: Any, **more: Any) -> AsyncIterator[bytes]:
    """Send a message as a stream, give the bytes up to the mark and the rest of its line, then hang up."""
    body = {"jsonrpc": "2.0", "id": 7, "method": "SendStreamingMessage", "params": message(*parts, **more)}
    content = json.dumps(body).encode()
    head = f"POST /a2a/{agent} HTTP/1.1\r\nHost: localhost\r\nA2A-Version: 1.0\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    async with await served.dial() as wire:
        await wire.send(head.encode() + content)
        seen = b""
        with trio.fail_after(PATIENCE):
            while mark not in seen:
                seen += await wire.line() + b"\r\n"
        yield seen


def task_of(seen: bytes) -> str:
    """Return the id of the task at the beginning of a stream."""
    [line] = [each for each in seen.split(b"\r\n") if b'"task"' in each]
    found: str = json.loads(line.partition(b"data: ")[2])["result"]["task"]["id"]
    return found
