"""A small state machine to check the events of a response: each stream in the tests passes through."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

__all__ = ["check_events", "parse_events", "strip_ids"]

_DELTAS = {
    "response.output_text.delta": ("response.output_text.done", "text"),
    "response.reasoning_text.delta": ("response.reasoning_text.done", "text"),
    "response.function_call_arguments.delta": ("response.function_call_arguments.done", "arguments"),
}
_LAST = ("response.completed", "response.incomplete", "response.failed")


def parse_events(body: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream's bytes; checks the names, and the `[DONE]` at the end."""
    blocks = body.decode().split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    events = []
    for block in blocks[:-2]:
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def check_events(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Check the order of the events, and the sum of the deltas against the output. Return the last event's response."""
    checker = _Checker()
    listed = list(events)
    for number, event in enumerate(listed):
        assert event["sequence_number"] == number
        checker.take(event)
    assert checker.response is not None, "the stream has no end"
    assert [event["type"] for event in listed[:2]] == ["response.created", "response.in_progress"]
    assert {event["response"]["id"] for event in listed if "response" in event} == {checker.response["id"]}
    assert checker.response["output"] == checker.done
    assert len({item["id"] for item in checker.done}) == len(checker.done)
    return checker.response


def strip_ids(value: Any) -> Any:
    """Return the output without ids, for comparisons of two responses."""
    if isinstance(value, dict):
        return {name: strip_ids(inner) for name, inner in value.items() if name != "id"}
    return [strip_ids(inner) for inner in value] if isinstance(value, list) else value


class _Checker:
    """The state: finished items, the open item, the open part with the text so far, and the end."""

    def __init__(self) -> None:
        self.done: list[dict[str, Any]] = []
        self.response: dict[str, Any] | None = None
        self._item: dict[str, Any] | None = None
        self._text: str | None = None
        self._is_text_done = False
        self._has_failed = False

    def take(self, event: dict[str, Any]) -> None:
        """Check the next event."""
        assert self.response is None, "an event after the last one"
        kind = event["type"]
        if self._has_failed:
            assert kind == "response.failed"
        if kind in ("response.created", "response.in_progress"):
            assert (self.done, self._item) == ([], None)
            assert (event["response"]["status"], event["response"]["output"]) == ("in_progress", [])
        elif kind == "error":
            assert self._item is None
            self._has_failed = True
        elif kind in _LAST:
            assert self._item is None
            self.response = event["response"]
        elif kind == "response.output_item.added":
            self._begin_item(event)
        else:
            self._take_within(kind, event)

    def _begin_item(self, event: dict[str, Any]) -> None:
        assert self._item is None, "an item begins within another"
        assert event["output_index"] == len(self.done)
        self._item, self._is_text_done = event["item"], False
        assert not self._item.get("content")
        assert not self._item.get("arguments")
        self._text = "" if self._item["type"] == "function_call" else None

    def _take_within(self, kind: str, event: dict[str, Any]) -> None:
        item = self._item
        assert item is not None, f"{kind} outside of an item"
        assert event["output_index"] == len(self.done)
        if kind == "response.output_item.done":
            assert event["item"]["id"] == item["id"]
            self._end_item(event["item"])
            return
        assert event["item_id"] == item["id"]
        if kind == "response.content_part.added":
            assert (self._text, event["content_index"], event["part"]["text"]) == (None, 0, "")
            self._text = ""
        elif kind == "response.content_part.done":
            assert self._is_text_done
            assert event["part"]["text"] == self._text
        elif kind in _DELTAS:
            assert self._text is not None
            assert not self._is_text_done
            assert event["delta"]
            self._text += event["delta"]
        else:
            [field] = [field for done, field in _DELTAS.values() if done == kind]
            assert event[field] == self._text
            self._is_text_done = True

    def _end_item(self, item: dict[str, Any]) -> None:
        assert self._is_text_done
        said = item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"]
        assert said == self._text
        assert item.get("status", "completed") in ("completed", "incomplete")
        self.done.append(item)
        self._item = self._text = None
