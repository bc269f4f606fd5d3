"""A stand-in for a provider: a local server of the chat completions format, with answers from a table."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


class _Handler(BaseHTTPRequestHandler):
    answers: ClassVar[Mapping[str, str]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((body["model"], self.headers.get("Authorization", "")))
        message, reason = self._answer(body)
        if body.get("stream"):
            for index, call in enumerate(message.get("tool_calls", ())):
                call["index"] = index
            chunks = [{"delta": message, "index": 0}, {"delta": {}, "finish_reason": reason, "index": 0}]
            events = [{"object": "chat.completion.chunk", "choices": [chunk]} for chunk in chunks]
            text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            self._send("text/event-stream", text)
        else:
            choice = {"index": 0, "message": message, "finish_reason": reason}
            self._send("application/json", json.dumps({"object": "chat.completion", "choices": [choice]}))

    def _answer(self, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Call the first tool with the table's arguments, if there is one and no result yet; else answer in words."""
        question = [message for message in body["messages"] if message["role"] == "user"][-1]["content"]
        if body.get("tools") and body["messages"][-1]["role"] != "tool":
            function = {"name": body["tools"][0]["function"]["name"], "arguments": self.answers[f"call: {question}"]}
            call = {"id": "call_1", "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        return {"role": "assistant", "content": self.answers[question]}, "stop"

    def _send(self, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def chat_server(answers: Mapping[str, str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Serve, and yield the server's address and the list of the models and keys of its requests."""
    asked: list[tuple[str, str]] = []
    handler = type("Handler", (_Handler,), {"answers": answers, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()
