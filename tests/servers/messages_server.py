"""A server for the messages format over a real socket, as Anthropic documents it: strict with requests, scripted.

References: Anthropic's API reference, "Create a Message", and its guides "Streaming messages", "Handle tool calls",
"Thinking", "Prompt caching" and "Errors".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs
import trio

__all__ = ["Asked", "MessagesServer", "Reply", "Turn", "events", "http", "message", "message_value", "sse", "stream"]

USAGE = {"input_tokens": 12, "output_tokens": 5}
KEY = "sk-ant-0123456789abcdef"


@attrs.frozen
class Turn:
    """An answer: its blocks, the stop reason, the counts; `start_usage` are other counts for a stream's first event."""

    blocks: Sequence[Mapping[str, Any]]
    stop_reason: str = "end_turn"
    usage: Mapping[str, Any] = USAGE
    start_usage: Mapping[str, Any] | None = None
    stop_details: Mapping[str, Any] | None = None


@attrs.frozen
class Reply:
    """Raw bytes, and the fate of the connection afterwards: `stay` keeps the connection for the next request."""

    data: bytes = b""
    then: Literal["stay", "close", "reset", "stall"] = "stay"


Step: TypeAlias = Turn | Reply | Callable[["Asked"], Turn | Reply]


@attrs.define
class Asked:
    """A received request."""

    path: str
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]


class MessagesServer:
    """A server that answers each request with the next step of `script`, and repeats the last step.

    A request outside the documented format gets status 400 with the reason, like any other request of that kind.
    """

    def __init__(self) -> None:
        self.script: list[Step] = []
        self.asked: list[Asked] = []
        self.open = 0
        self.most_open = 0
        self.connections = 0
        self.hung_up = trio.Event()
        self.asked_once = trio.Event()
        self.url = ""

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        """Listen on a free port until cancelled."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        task_status.started()
        await trio.serve_listeners(self._talk, [listener])

    async def _talk(self, connection: trio.SocketStream) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            async with connection:
                received = b""
                while True:
                    asked, received = await _read_request(connection, received)
                    self.asked.append(asked)
                    if not await self._reply(connection, asked):
                        return
        except (trio.BrokenResourceError, EOFError):
            self.hung_up.set()
        finally:
            self.open -= 1

    async def _reply(self, connection: trio.SocketStream, asked: Asked) -> bool:
        fault = find_fault(asked)
        step: Step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if fault:
            step = Reply(error(400, "invalid_request_error", fault))
        elif not isinstance(step, Turn | Reply):
            step = step(asked)
        if isinstance(step, Turn):
            step = Reply(stream(step) if asked.body.get("stream") else message(step))
        await connection.send_all(step.data)
        self.asked_once.set()
        if step.then == "stall":
            await _read_some(connection)
        if step.then == "reset":
            connection.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return step.then == "stay"


async def _read_request(connection: trio.SocketStream, received: bytes) -> tuple[Asked, bytes]:
    while b"\r\n\r\n" not in received:
        received += await _read_some(connection)
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = int(headers["content-length"])
    while len(rest) < length:
        rest += await _read_some(connection)
    return Asked(first.split(" ")[1], headers, rest[:length], json.loads(rest[:length])), rest[length:]


async def _read_some(connection: trio.SocketStream) -> bytes:
    data = await connection.receive_some()
    if not data:
        raise EOFError
    return data


def find_fault(asked: Asked) -> str:
    """Return the reason why the API would refuse the request, or an empty text."""
    if "anthropic-version" not in asked.headers:
        return "anthropic-version: header is required"
    body = asked.body
    for name in ("model", "max_tokens", "messages"):
        if not body.get(name):
            return f"{name}: Field required"
    if asked.headers["anthropic-version"] >= "2026-10-21" and "temperature" in body:
        return "temperature: Extra inputs are not permitted"
    if json.dumps(body).count('"cache_control"') > 4:
        return "A maximum of 4 blocks with cache_control may be provided."
    return _find_message_fault(body["messages"], [tool["name"] for tool in body.get("tools", ())])


def _find_message_fault(messages: Sequence[Mapping[str, Any]], tools: Sequence[str]) -> str:
    open_calls: list[str] = []
    for at, each in enumerate(messages):
        content = each["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if each["role"] not in ("user", "assistant") or not blocks:
            return f"messages.{at}: role or content is wrong"
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if open_calls and (each["role"] != "user" or sorted(results) != sorted(open_calls)):
            return f"messages.{at}: tool_use ids were found without tool_result blocks immediately after"
        if not open_calls and results:
            return f"messages.{at}: unexpected tool_use_id found in tool_result blocks"
        if results and any(block["type"] != "tool_result" for block in blocks[: len(results)]):
            return f"messages.{at}: tool_result blocks must come first"
        open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        for block in blocks:
            if fault := _find_block_fault(block, tools):
                return f"messages.{at}.content: {fault}"
    return ""


def _find_block_fault(block: Mapping[str, Any], tools: Sequence[str]) -> str:
    match block["type"]:
        case "text" if not block["text"].strip():
            return "text content blocks must contain non-whitespace text"
        case "tool_use" if not isinstance(block["input"], dict):
            return "input: Input should be a valid dictionary"
        case "tool_use" if block["name"] not in tools:
            return "Requests which include `tool_use` or `tool_result` blocks must define tools"
        case "thinking" if not block["signature"]:
            return "signature: Field required"
    return ""


def http(
    data: bytes, status: str = "200 OK", kind: str = "application/json", *, more: str = "", short: int = 0
) -> bytes:
    """Make an HTTP answer; `short` is the number of promised but missing bytes."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nrequest-id: req_1\r\ncontent-length: {len(data) + short}\r\n"
    return f"{head}{more}\r\n".encode() + data


def error(status: int, kind: str, text: str, *, more: str = "") -> bytes:
    """Make an answer with an error."""
    value = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}
    return http(json.dumps(value).encode(), f"{status} Refused", more=more)


def message(turn: Turn) -> bytes:
    """Make the whole answer of a turn."""
    return http(json.dumps(message_value(turn), ensure_ascii=False).encode())


def message_value(turn: Turn) -> dict[str, Any]:
    """Return the message of a turn."""
    value: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": turn.blocks,
    }
    value |= {"stop_reason": turn.stop_reason, "stop_sequence": None, "usage": turn.usage}
    return value | ({"stop_details": turn.stop_details} if turn.stop_details else {})


def stream(turn: Turn) -> bytes:
    """Make the streamed answer of a turn."""
    return sse(*(event(value) for value in events(turn)))


def sse(*parts: bytes, end: bool = True) -> bytes:
    """Make a chunked event stream; without `end`, the end is missing."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_1\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return head + b"transfer-encoding: chunked\r\n\r\n" + body + (b"0\r\n\r\n" if end else b"")


def event(value: Mapping[str, Any]) -> bytes:
    """Make an event, named by its type."""
    return f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def events(turn: Turn, size: int = 7) -> Iterator[dict[str, Any]]:
    """Yield the events of a turn in the documented order, with pieces of `size` characters."""
    start: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    start |= {"stop_reason": None, "stop_sequence": None}
    usage = turn.usage if turn.start_usage is None else turn.start_usage
    yield {"type": "message_start", "message": {**start, "usage": {**usage, "output_tokens": 1}}}
    for index, block in enumerate(turn.blocks):
        first, deltas = _split_block(block, size)
        yield {"type": "content_block_start", "index": index, "content_block": first}
        yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end: dict[str, Any] = {"stop_reason": turn.stop_reason, "stop_sequence": None}
    end |= {"stop_details": turn.stop_details} if turn.stop_details else {}
    yield {"type": "message_delta", "delta": end, "usage": turn.usage}
    yield {"type": "message_stop"}


def _split_block(block: Mapping[str, Any], size: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    deltas: list[dict[str, Any]]
    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in _cut(block["text"], size)]
            deltas += [{"type": "citations_delta", "citation": each} for each in block.get("citations", ())]
            return {**block, "text": "", **({"citations": []} if "citations" in block else {})}, deltas
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _cut(block["thinking"], size)]
            return {**block, "thinking": "", "signature": ""}, [
                *deltas,
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case "tool_use" | "server_tool_use":
            whole = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *_cut(whole, size))]
            return {**block, "input": {}}, deltas
        case "compaction":
            told = {name: block[name] for name in ("content", "encrypted_content") if name in block}
            deltas = [{"type": "compaction_delta", "content": None, "encrypted_content": None, **told}]
            if "signature" in block:
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {"type": "compaction", **dict.fromkeys(told)}, deltas
    return dict(block), []


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]
