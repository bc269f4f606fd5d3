"""A web server on loopback with a table of answers, and agents with the tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import attrs
import msgspec
import pytest
import trio
from agno_rt_web import make_toolkit

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.testing import ScriptedModel

Speak: TypeAlias = Callable[[trio.SocketStream], Awaitable[None]]


@attrs.frozen
class Answer:
    """An answer; `speak` writes to the connection instead."""

    body: bytes | str | dict[str, Any] | list[Any] = b""
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)
    speak: Speak | None = None

    def encode(self) -> bytes:
        """Return the answer as bytes."""
        body, headers = self.body, {name.lower(): value for name, value in self.headers.items()}
        if isinstance(body, dict | list):
            body, headers = msgspec.json.encode(body), {"content-type": "application/json", **headers}
        body = body.encode() if isinstance(body, str) else body
        headers = {"content-length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Status\r\n{head}\r\n".encode() + body


@attrs.frozen
class Asked:
    """A request that a server received."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The query of the address."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


@attrs.define
class Site:
    """A server: `answers` by path; a list of answers is used up, and its last answer stays."""

    port: int
    answers: dict[str, Answer | list[Answer]] = attrs.field(factory=dict)
    asked: list[Asked] = attrs.field(factory=list)
    connections: int = 0
    open: int = 0

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return settings with which this server may be asked."""
        return {"private": ["127.0.0.1"], **more}

    def serve_service(self, name: str, **more: Any) -> dict[str, Any]:
        """Return settings with which this server is a service."""
        return {"services": {name: {"base_url": self.url, "interval": 0, **more}}}

    async def handle(self, stream: trio.SocketStream) -> None:
        """Answer the requests of a connection."""
        self.connections += 1
        self.open += 1
        try:
            while (asked := await _read_request(stream)) is not None:
                self.asked.append(asked)
                answer = self._choose(asked)
                if answer.speak is not None:
                    await answer.speak(stream)
                    return
                await stream.send_all(answer.encode())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.open -= 1
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    def _choose(self, asked: Asked) -> Answer:
        found = self.answers.get(urlsplit(asked.target).path, Answer("none", 404))
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


async def _read_request(stream: trio.SocketStream) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = await stream.receive_some(65_536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive_some(65_536)
    method, target, _ = first.split(" ")
    return Asked(method, target, headers, body)


@pytest.fixture(name="site")
async def open_site(nursery: trio.Nursery) -> Site:
    """A server without answers."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found = Site(listeners[0].socket.getsockname()[1])
    nursery.start_soon(trio.serve_listeners, found.handle, listeners)
    return found


def _make_call(name: str, arguments: dict[str, Any]) -> ToolCall:
    return ToolCall("1", name, msgspec.json.encode(arguments).decode())


Use: TypeAlias = Callable[..., Awaitable[list[Any]]]


@pytest.fixture(name="use")
def use_tools() -> Use:
    """Run an agent with a toolkit that makes calls, `(name, arguments)`, and return the results."""

    async def run(spec: str, settings: dict[str, Any], *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        steps = [_make_call(name, arguments) for name, arguments in calls]
        async with Runtime() as rt:
            agent = Agent(ScriptedModel([*steps, "done"]), tools=[make_toolkit(spec, settings)])
            result = await rt.run(agent, "?")
        texts = [message.text for message in result.messages if message.role == "tool"]
        return [_decode_text(text) for text in texts]

    return run


def _decode_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text


@pytest.fixture(name="answer")
def find_answer_class() -> type[Answer]:
    """The class of answers."""
    return Answer
