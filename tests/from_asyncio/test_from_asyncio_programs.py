"""Whole programs: an HTTP server on asyncio, an interrupt, and runtimes left open."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import string
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from agno_rt import Agent, AgnoError
from agno_rt.errors import ModelError
from agno_rt.events import TextDelta
from agno_rt.from_asyncio import AsyncioRuntime
from agno_rt.testing import ScriptedModel
from tests.asyncio_helpers import Signal, Waiting, in_asyncio, settle

pytestmark = pytest.mark.no_orphans

App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


def make_app(rt: AsyncioRuntime, model: Any) -> App:
    """Make an application with one agent, and routes for answers and streams."""
    agent = Agent(model, "assistant")

    async def ask(request: Request) -> JSONResponse:
        try:
            result = await rt.run(agent, (await request.body()).decode())
        except AgnoError as exc:
            return JSONResponse({"error": exc.message, "status": exc.result.status}, exc.http_status)
        return JSONResponse({"content": result.content})

    async def stream(request: Request) -> StreamingResponse:
        text = (await request.body()).decode()

        async def body() -> AsyncIterator[str]:
            async with rt.stream(agent, text) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        yield event.text

        return StreamingResponse(body())

    return Starlette(routes=[Route("/ask", ask, methods=["POST"]), Route("/stream", stream, methods=["POST"])])


@asynccontextmanager
async def serve(app: App) -> AsyncIterator[int]:
    """Serve the application on a local port, one request a connection; a client's hanging up cancels the request."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split("\r\n")[0].split(" ")
        length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0)
        body = await reader.readexactly(length)
        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
        asked = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if asked.is_set():
                await asyncio.Event().wait()
            asked.set()
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                writer.write(f"HTTP/1.1 {message['status']} -\r\nconnection: close\r\n\r\n".encode())
            else:
                writer.write(message["body"])
            await writer.drain()

        request = asyncio.ensure_future(app(scope, receive, send))
        hung_up = asyncio.create_task(reader.read())
        await asyncio.wait([request, hung_up], return_when=asyncio.FIRST_COMPLETED)
        request.cancel()
        hung_up.cancel()
        await asyncio.gather(request, hung_up, return_exceptions=True)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def post(port: int, path: str, text: str) -> tuple[int, str]:
    """Ask the server, and return the status and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ")[1]), body


@in_asyncio
async def test_an_http_server_on_asyncio() -> None:
    """Concurrent requests each run an agent: answers, errors with their status, and streams."""

    def answer(request: Any) -> Any:
        text = request.messages[-1].text
        return ModelError("it is down") if text == "fail" else f"you said {text}"

    async with AsyncioRuntime() as rt, serve(make_app(rt, ScriptedModel(answer))) as port:
        texts = [f"text {number}" for number in range(50)]
        answers = await asyncio.gather(*(post(port, "/ask", text) for text in texts))
        streams = await asyncio.gather(*(post(port, "/stream", text) for text in texts))
        failed = await post(port, "/ask", "fail")

    assert [(status, json.loads(body)["content"]) for status, body in answers] == [
        (200, f"you said {t}") for t in texts
    ]
    assert streams == [(200, f"you said {text}") for text in texts]
    assert (failed[0], json.loads(failed[1])) == (502, {"error": "it is down", "status": "failed"})


@in_asyncio
async def test_a_client_that_hangs_up() -> None:
    """A client that hangs up cancels the run, for answers and streams."""
    model = Waiting()
    async with AsyncioRuntime() as rt, serve(make_app(rt, model)) as port:
        for number, path in enumerate(("/ask", "/stream"), 1):
            model.asked = Signal()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"POST {path} HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi".encode())
            await model.asked.wait()
            writer.close()
            await writer.wait_closed()
            while model.unwound < number:
                await settle(rt)
        assert model.running == 0


def test_an_interrupt() -> None:
    """Ctrl-C ends the program after its runs have unwound."""
    models: list[Waiting] = []

    async def main() -> None:
        models.append(Waiting())
        async with AsyncioRuntime() as rt:
            run = asyncio.create_task(rt.run(Agent(models[0]), "Hi"))
            await models[0].asked.wait()
            signal.raise_signal(signal.SIGINT)
            await run

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert (models[0].running, models[0].unwound) == (0, 1)


def test_a_runtime_that_is_dropped() -> None:
    """A dropped runtime warns, cancels all runs and ends the thread."""
    host: list[Any] = []
    models: list[Waiting] = []

    async def main() -> None:
        models.append(Waiting())
        rt = await AsyncioRuntime().open()
        await rt.start(Agent(models[0]), "Hi")
        await models[0].asked.wait()
        host.append(rt._running())

    def end() -> None:
        asyncio.run(main())
        gc.collect()

    with pytest.warns(ResourceWarning, match="left open"):
        end()
    host[0].thread.join(60)
    assert not host[0].thread.is_alive()
    assert (models[0].running, models[0].unwound) == (0, 1)


PROGRAM = """
import asyncio, sys
import trio
from agno_rt import Agent, ModelResponse, tool, ToolCall
from agno_rt.from_asyncio import AsyncioRuntime, _host, to_asyncio

_host.EXIT_SECONDS = $EXIT

def tell():
    print("asked", flush=True)
    loop.call_soon_threadsafe(asked.set)

class Waiting:
    name = "waiting"
    async def respond(self, request, emit=None):
        tell()
        try:
            await trio.sleep_forever()
        finally:
            print("unwound", flush=True)

@tool
@to_asyncio
async def stubborn() -> str:
    "Cannot be cancelled."
    tell()
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

class Calling:
    name = "calling"
    async def respond(self, request, emit=None):
        return ModelResponse(tool_calls=(ToolCall("1", "stubborn", "{}"),))

async def main():
    global rt, run, loop, asked
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    rt = await AsyncioRuntime().open()
    run = await rt.start($AGENT, "Hi")
    await asked.wait()
    $END

$RUN
print("ended", flush=True)
"""

WAITING = "Agent(Waiting())"


def run_program(**parts: str) -> tuple[int, list[str], str]:
    """Run the program with the parts; return exit code, output and errors."""
    program = string.Template(PROGRAM).substitute(parts)
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.split(), done.stderr


def test_a_program_that_ends_without_closing() -> None:
    """Runs unwind before the interpreter exits, and a warning names the runtime left open."""
    code, said, complaints = run_program(AGENT=WAITING, END="pass", RUN="asyncio.run(main())", EXIT="30")

    assert (code, said) == (0, ["asked", "ended", "unwound"])
    assert "ResourceWarning: an AsyncioRuntime was left open" in complaints


def test_a_program_whose_loop_is_gone() -> None:
    """A tool on an event loop that has ended does not keep the interpreter from exiting."""
    run = "loop = asyncio.new_event_loop(); loop.run_until_complete(main())"
    code, said, complaints = run_program(AGENT="Agent(Calling(), tools=[stubborn])", END="pass", RUN=run, EXIT="0.2")

    assert (code, said) == (0, ["asked", "ended"])
    assert "ResourceWarning: an AsyncioRuntime was left open" in complaints


def test_a_program_that_is_ended_by_an_error() -> None:
    """The program ends with the error raised in its block, although a reference still holds the runtime."""
    code, said, complaints = run_program(
        AGENT=WAITING, END="raise ValueError('mine')", RUN="asyncio.run(main())", EXIT="30"
    )

    assert (code, said) == (1, ["asked", "unwound"])
    assert "ValueError: mine" in complaints
