"""A run as the events of a response: each output item is added, grows and is done, one after another. Pure.

A whole answer is made of the same events, so both forms have the same output. The agent's own calls are not
shown: a client would look for tools of the client by these names. Reference: the Open Responses specification,
"Streaming", and the OpenAI API reference, "Responses: streaming events".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agno_rt import RunResult, ToolCall
from agno_rt.events import Event, ModelStarted, ReasoningDelta, TextDelta, TurnRestarted
from agno_rt_serve.api.openai.answers import DONE
from agno_rt_serve.api.openai.responses.resource import incomplete_reason, render_usage
from agno_rt_serve.api.openai.turn_text import TurnText
from agno_rt_serve.errors import HttpError

__all__ = ["ResponseEvents"]

_encode = msgspec.json.Encoder().encode


class ResponseEvents:
    """The events of a response: feed the run's events, then call `finish_items` and `end`, or `fail`.

    `resource` is the response object, with the output so far. `hold` keeps the texts of turns back,
    for answers open to refusal; then the text comes at the end, whole. `whole` is for an answer without a stream: no
    client has the events, so a turn taken back loses the items.
    """

    def __init__(self, resource: dict[str, Any], *, hold: bool = False, whole: bool = False) -> None:
        self.resource = resource
        self.run_id = ""
        self._hold = hold
        self._whole = whole
        self._number = 0
        self._turn_began = 0
        self._turn = TurnText()
        self._again = False
        self._open: dict[str, Any] | None = None
        self._text = ""

    def feed(self, event: Event) -> bytes:
        """Return the bytes that the event adds to the stream, often none. The run's first event opens the stream.

        Raises `HttpError` if text already sent turns out not to be the answer.
        """
        begun = b"" if self.run_id else self._begin(event.run_id)
        match event:
            case TextDelta():
                return begun + (b"" if self._hold else self._grow("message", self._turn.add_text(event.text)))
            case ReasoningDelta():
                new = self._turn.add_reasoning(event.text)
                # Reasoning that differs after a restart would come between two halves of the sent text.
                return begun + (b"" if self._again and self._turn.text else self._grow("reasoning", new))
            case TurnRestarted():
                self._restart()
            case ModelStarted():
                self._turn.begin()
                self._again = False
                closed = self._close()
                self._turn_began = len(self.resource["output"])
                return begun + closed
        return begun

    def finish_items(self, result: RunResult, calls: Sequence[ToolCall], completed: int) -> bytes:
        """Return the last events of items: text not streamed yet, and calls of the client's tools. Then `end`.

        Raises `HttpError` if text already sent turns out not to be the answer; then `fail`.
        """
        begun = b"" if self.run_id else self._begin(result.run_id)
        reasoning = "" if self._turn.reasoning else result.reasoning
        rest = self._grow("reasoning", reasoning) + self._grow("message", self._turn.finish(result.content))
        reason = incomplete_reason(result)
        rest += self._close("completed" if reason is None else "incomplete")
        for call in calls:
            rest += self._add_call(call)
        self.resource |= {
            "status": "completed" if reason is None else "incomplete",
            "completed_at": completed if reason is None else None,
            "incomplete_details": None if reason is None else {"reason": reason},
            "usage": render_usage(result.usage),
        }
        return begun + rest

    def end(self) -> bytes:
        """Return the last event of a response with an answer."""
        return self._render_response(f"response.{self.resource['status']}") + DONE

    def fail(self, error: HttpError, run: str = "") -> bytes:
        """Return the last events of a run without an answer."""
        begun = b"" if self.run_id else self._begin(run)
        rest = self._close("incomplete")
        message = f"{error.message}. {error.hint}" if error.hint else error.message
        self.resource |= {
            "status": "cancelled" if error.code == "cancelled" else "failed",
            "completed_at": None,
            "error": {"code": error.code, "message": message},
        }
        told = self._render("error", {"code": error.code, "message": message, "param": None})
        return begun + rest + told + self._render_response("response.failed") + DONE

    def _restart(self) -> None:
        self._again = True
        if self._whole:
            self._turn, self._open = TurnText(), None
            del self.resource["output"][self._turn_began :]
        else:
            self._turn.restart()

    def _begin(self, run: str) -> bytes:
        self.run_id = run
        self.resource["id"] = f"resp_{run}"
        return self._render_response("response.created") + self._render_response("response.in_progress")

    def _grow(self, kind: str, text: str) -> bytes:
        """Add text to the open item of the kind, or to a new item."""
        if not text:
            return b""
        opened = b""
        if self._open is None or self._open["type"] != kind:
            opened = self._close() + self._add(kind)
        self._text += text
        word = "output_text" if kind == "message" else "reasoning_text"
        notes: dict[str, Any] = {"logprobs": []} if kind == "message" else {}
        return opened + self._render_part(f"response.{word}.delta", {"delta": text, **notes})

    def _add(self, kind: str) -> bytes:
        at, self._text = len(self.resource["output"]), ""
        if kind == "message":
            id_ = f"msg_{self.run_id}_{at}"
            self._open = {"type": kind, "id": id_, "status": "in_progress", "role": "assistant", "content": []}
        else:
            self._open = {"type": kind, "id": f"rs_{self.run_id}_{at}", "summary": [], "content": []}
        added = self._render("response.output_item.added", {"output_index": at, "item": self._open})
        return added + self._render_part("response.content_part.added", {"part": self._make_part("")})

    def _close(self, status: str = "completed") -> bytes:
        """End the open item, if any."""
        item, text = self._open, self._text
        if item is None:
            return b""
        part = self._make_part(text)
        is_message = item["type"] == "message"
        notes: dict[str, Any] = {"logprobs": []} if is_message else {}
        word = "output_text" if is_message else "reasoning_text"
        done = self._render_part(f"response.{word}.done", {"text": text, **notes})
        done += self._render_part("response.content_part.done", {"part": part})
        item["content"] = [part]
        if is_message:
            item["status"] = status
        self._open = None
        return done + self._finish_item(item)

    def _add_call(self, call: ToolCall) -> bytes:
        at = len(self.resource["output"])
        item = {
            "type": "function_call",
            "id": f"fc_{self.run_id}_{at}",
            "call_id": call.id,
            "name": call.name,
            "arguments": "",
            "status": "in_progress",
        }
        place = {"item_id": item["id"], "output_index": at}
        added = self._render("response.output_item.added", {"output_index": at, "item": item})
        grown = self._render("response.function_call_arguments.delta", {**place, "delta": call.arguments})
        ended = {**place, "name": call.name, "arguments": call.arguments}
        done = self._render("response.function_call_arguments.done", ended)
        return added + grown + done + self._finish_item(item | {"arguments": call.arguments, "status": "completed"})

    def _finish_item(self, item: dict[str, Any]) -> bytes:
        at = len(self.resource["output"])
        self.resource["output"].append(item)
        return self._render("response.output_item.done", {"output_index": at, "item": item})

    def _make_part(self, text: str) -> dict[str, Any]:
        assert self._open is not None
        if self._open["type"] == "message":
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        return {"type": "reasoning_text", "text": text}

    def _render_part(self, name: str, fields: dict[str, Any]) -> bytes:
        assert self._open is not None
        place = {"item_id": self._open["id"], "output_index": len(self.resource["output"]), "content_index": 0}
        return self._render(name, place | fields)

    def _render_response(self, name: str) -> bytes:
        return self._render(name, {"response": self.resource})

    def _render(self, name: str, fields: dict[str, Any]) -> bytes:
        body = _encode({"type": name, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), body)
