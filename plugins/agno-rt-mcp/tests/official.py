"""A server made with the official SDK. Usage: official.py stdio|http|json LOG [hold SECONDS].

Over HTTP, the server prints its port. With `hold`, it says for how long its lists of tools hold; its lists of prompts
hold ten times as long.
"""

from __future__ import annotations

import json
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

import anyio
import mcp_types
from mcp.server.caching import CacheHint
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import UrlElicitationRequiredError
from pydantic import BaseModel

TRANSPORT, LOG = sys.argv[1], Path(sys.argv[2])
HOLD = 1000 * int(sys.argv[4]) if "hold" in sys.argv else 0
HINTS = {"tools/list": CacheHint(ttl_ms=HOLD), "prompts/list": CacheHint(ttl_ms=10 * HOLD)} if HOLD else None


def log(entry: Any) -> None:
    """Append a line to the log."""
    with LOG.open("a") as file:
        file.write(json.dumps(entry) + "\n")


async def log_lists(context: Any, call_next: Any) -> Any:
    """Log each list asked for."""
    if context.method.endswith("/list"):
        log(context.method)
    return await call_next(context)


app: MCPServer[Any] = MCPServer("official", cache_hints=HINTS, middleware=[log_lists])  # type: ignore[arg-type, list-item]


class Sum(BaseModel):
    """A structured result."""

    total: int


@app.tool(annotations=mcp_types.ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> Sum:
    """Add two numbers."""
    return Sum(total=a + b)


@app.tool(annotations=mcp_types.ToolAnnotations(destructive_hint=True))
def wipe() -> str:
    """Wipe everything."""
    return "wiped"


@app.tool()
def fail() -> str:
    """Fail."""
    raise ToolError("the disk is full")


@app.tool()
async def hang() -> str:
    """Wait until the call is cancelled."""
    log("hangs")
    try:
        await anyio.sleep_forever()
    finally:
        log("was cancelled")
    return ""


@app.tool()
async def count(ctx: Context[Any]) -> str:
    """Tell of the progress."""
    await ctx.report_progress(1, 2, "half")
    await ctx.report_progress(2, 2)
    return "counted"


@app.tool()
async def grow(name: str, ctx: Context[Any]) -> str:
    """Add a tool, and tell of it as each era does."""
    app.add_tool(lambda: "hi", name=name, description="New.")
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "grown"


@app.tool()
def quietly(name: str) -> str:
    """Add a tool, and tell nobody."""
    app.add_tool(lambda: "hi", name=name, description="New.")
    return "grown"


@app.tool()
async def order(item: str, ctx: Context[Any]) -> Any:
    """Ask for the number of items before the order."""
    answer: Any = (ctx.input_responses or {}).get("amount")
    if answer is None:
        schema = {
            "type": "object",
            "properties": {"amount": {"type": "integer"}, "size": {"type": "string", "enum": ["S", "L"]}},
            "required": ["amount"],
        }
        params = mcp_types.ElicitRequestFormParams(message=f"How many of {item}?", requested_schema=schema)
        return mcp_types.InputRequiredResult(
            input_requests={"amount": mcp_types.ElicitRequest(params=params)}, request_state=f"state of {item}"
        )
    log({"state": ctx.request_state})
    if answer.action != "accept":
        return "no order"
    return f"ordered {answer.content}"


class Sure(BaseModel):
    """A form."""

    sure: bool


@app.tool()
async def confirm(item: str, ctx: Context[Any]) -> str:
    """Ask in the open call, as servers of the earlier protocol do."""
    log(f"asks about {item}")
    first = await ctx.elicit(f"Delete {item}?", Sure)
    if first.action != "accept":
        return f"kept: {first.action}"
    second = await ctx.elicit(f"Really delete {item}?", Sure)
    return f"{first.data.sure} {second.data.sure if second.action == 'accept' else second.action}"


@app.tool()
async def visit(ctx: Context[Any]) -> Any:
    """Ask a person to visit an address, another one each time, as each era does."""
    log("visit")
    address = f"https://pay.example/start?token={uuid.uuid4()}"
    if ctx.session.protocol_version != "2026-07-28":
        return f"visited: {(await ctx.elicit_url('Please pay.', address, str(uuid.uuid4()))).action}"
    answer: Any = (ctx.input_responses or {}).get("pay")
    if answer is not None:
        log({"paid": ctx.request_state})
        return f"visited: {answer.action}"
    params = mcp_types.ElicitRequestURLParams(message="Please pay.", url=address)
    requests: Any = {"pay": mcp_types.ElicitRequest(params=params)}
    return mcp_types.InputRequiredResult(input_requests=requests, request_state=address)


@app.tool()
def gate() -> str:
    """Refuse a call until a person has visited an address."""
    if "let in" in LOG.read_text():
        return "inside"
    params = mcp_types.ElicitRequestURLParams(message="Log in.", url="https://door.example/?a=1", elicitation_id="1")
    raise UrlElicitationRequiredError([params])


@app.prompt(description="Reviews a file.")
def review(file: str, style: str = "short") -> list[Any]:
    """Return a conversation."""
    return [
        {"role": "user", "content": f"Review {file}, {style}."},
        {"role": "assistant", "content": "Which part?"},
    ]


@app.completion()  # type: ignore[no-untyped-call, untyped-decorator]
async def complete(ref: Any, argument: Any, context: Any) -> Any:
    """Complete a file's name, and a note's name."""
    names = ["main.py", "make.py", "other.py"]
    if isinstance(ref, mcp_types.ResourceTemplateReference):
        names = ["first", "last"]
    found = [name for name in names if name.startswith(argument.value)]
    if context and context.arguments:
        found += [f"{key}={value}" for key, value in context.arguments.items()]
    return mcp_types.Completion(values=found, total=len(found) + 1, has_more=True)


@app.resource("notes://first", name="first", description="The first note.")
def first() -> str:
    """Return a note."""
    return "Buy lamps."


@app.resource("notes://{name}/copy", name="copy")
def copy(name: str) -> str:
    """Return a copy of a note."""
    return f"A copy of {name}."


if TRANSPORT == "stdio":
    anyio.run(app.run_stdio_async)
else:
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        asgi = app.streamable_http_app(json_response=TRANSPORT == "json")
        server = uvicorn.Server(uvicorn.Config(asgi, log_level="error", timeout_graceful_shutdown=1))
        anyio.run(server.serve, [listening])
