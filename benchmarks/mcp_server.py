"""A small MCP server for `benchmarks.mcp_tools`: a thousand tools, the handshake of 2025, and answers at once."""

from __future__ import annotations

import json
import sys
from typing import Any

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "description": "A number."}}}
TOOLS = [{"name": f"tool{n:04}", "description": f"Does the thing {n}.", "inputSchema": SCHEMA} for n in range(1_000)]
LIST = {"tools": TOOLS}
ABOUT = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "many", "version": "1"},
}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request."""
    if message["method"] == "tools/call":
        return {"result": {"content": [{"type": "text", "text": str(message["params"]["arguments"])}]}}
    if message["method"] == "tools/list":
        return {"result": LIST}
    if message["method"] == "initialize":
        return {"result": ABOUT}
    return {"error": {"code": -32601, "message": "Method not found"}}


def main() -> None:
    """Answer each line of the input until its end."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer(message)}) + "\n")
            sys.stdout.flush()


# asv imports each file here, with the input of its own terminal.
if __name__ == "__main__":
    main()
