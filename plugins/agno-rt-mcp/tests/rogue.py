"""A hand-written MCP server that breaks the rules on demand. The standard library alone keeps the start quick.

Usage: rogue.py MODE [LOG]. Each message received is appended to LOG; a start is logged as `{"start": PID}`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MODE = sys.argv[1] if len(sys.argv) > 1 else "plain"
LOG = Path(sys.argv[2]) if len(sys.argv) > 2 else None
ANY = {"type": "object", "properties": {}}
TYPED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOLS: list[dict[str, Any]] = [
    {"name": name, "description": f"Does {name}.", "inputSchema": ANY}
    for name in (
        *("echo", "hang", "crash", "flood", "garbage", "late", "fail", "refuse", "picture", "change", "shapeless"),
        *("self", "secrets", "ask"),
    )
]
TOOLS += [
    {"name": "untyped", "inputSchema": ANY, "outputSchema": TYPED},
    {"name": "misshapen", "inputSchema": ANY, "outputSchema": TYPED},
    {"name": "typed", "inputSchema": ANY, "outputSchema": TYPED, "annotations": {"readOnlyHint": True}},
    {"name": "wipe", "inputSchema": ANY, "annotations": {"destructiveHint": True, "title": "Wipe all"}},
]


def log(entry: Any) -> None:
    if LOG is not None:
        with LOG.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def write(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **more}


def list_tools(params: dict[str, Any]) -> dict[str, Any]:
    if MODE == "loop":
        return {"tools": TOOLS[:2], "nextCursor": "again"}
    if MODE == "endless":
        return {"tools": TOOLS[:2], "nextCursor": f"{params.get('cursor', '')}x"}
    if MODE in ("pages", "thousand"):
        total, size = (101, 50) if MODE == "pages" else (1000, 1000)
        at = int(params.get("cursor") or 0)
        tools = [{"name": f"tool{n:04}", "inputSchema": ANY} for n in range(at, min(at + size, total))]
        return {"tools": tools} | ({"nextCursor": str(at + size)} if at + size < total else {})
    return {"tools": TOOLS}


def call(request: Any, name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:  # noqa: C901, PLR0911, PLR0912
    match name:
        case "echo" | "self":
            return say(json.dumps(arguments))
        case "hang":
            return None
        case "crash":
            print("boom: out of cheese", file=sys.stderr, flush=True)
            os._exit(3)
        case "flood":
            while True:
                sys.stdout.write("x" * 65536)
        case "garbage":
            while True:
                sys.stdout.write("This is a log line.\n")
        case "late":
            write({"id": request, "result": say("done")})
            for token in (request, "unknown"):
                write({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
            write({"method": "notifications/of_tomorrow", "params": {"a": 1}})
            write({"id": "nobody", "result": {}})
            return None
        case "fail":
            return say("the disk is full", isError=True)
        case "untyped":
            return say("seven")
        case "misshapen":
            return say("eight", structuredContent={"n": "eight"})
        case "typed":
            return say('{"n": 9}', structuredContent={"n": 9})
        case "picture":
            image = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
            broken = {"type": "image", "data": "!!", "mimeType": "image/png"}
            link = {"type": "resource_link", "name": "log", "uri": "file:///log"}
            return {"content": [{"type": "text", "text": "see"}, image, broken, link]}
        case "change":
            TOOLS.append({"name": "new", "inputSchema": ANY})
            write({"method": "notifications/tools/list_changed"})
            return say("changed")
        case "shapeless":
            return {"content": "not a list"}
        case "ask":
            form = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
            write({"id": "q1", "method": "elicitation/create", "params": form})
            return say(json.dumps(json.loads(sys.stdin.readline())["result"]))
        case "secrets":
            return say(json.dumps(dict(os.environ)))
    write({"id": request, "error": {"code": -32602, "message": f"no such tool: {name}"}})
    return None


def answer(message: dict[str, Any]) -> None:
    method, params, request = message.get("method"), message.get("params") or {}, message.get("id")
    if request is None or method is None:
        return
    if method == "initialize":
        if MODE == "mute":
            return
        about = {"name": "rogue", "version": "1"}
        capabilities: dict[str, Any] = {"tools": {"listChanged": True}, "resources": {}, "prompts": {}}
        result: dict[str, Any] | None = {
            "protocolVersion": "2025-06-18",
            "capabilities": capabilities,
            "serverInfo": about,
        }
    elif method == "tools/list":
        result = list_tools(params)
    elif method == "resources/list":
        result = {"resources": [{"uri": "file:///a", "name": "a"}], "nextCursor": "again"}
    elif method == "prompts/list":
        result = {"prompts": [{"name": "a"}], "nextCursor": "again"}
    elif method == "resources/templates/list":
        result = {"resourceTemplates": []}
    elif method == "tools/call":
        result = call(request, params["name"], params.get("arguments") or {})
    else:
        write({"id": request, "error": {"code": -32601, "message": "Method not found"}})
        return
    if result is not None:
        write({"id": request, "result": result})


def main() -> None:
    log({"start": os.getpid()})
    if MODE == "dead":
        sys.exit("no licence found")
    if MODE == "fragile" and LOG is not None and LOG.read_text().count('"start"') > 1:
        sys.exit("the second start fails, as do all others")
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        log({"child": child.pid})
    print("Welcome to the rogue server!", flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        log(message)
        answer(message)
    while MODE == "stubborn":
        time.sleep(1)


main()
