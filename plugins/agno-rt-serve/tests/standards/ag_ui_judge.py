"""A strict judge of AG-UI's streams: what is opened is closed, what is named was announced, and nothing comes twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["Judged", "judge"]

_OPENERS = {
    "TEXT_MESSAGE_START": "messageId",
    "REASONING_START": "messageId",
    "REASONING_MESSAGE_START": "messageId",
    "TOOL_CALL_START": "toolCallId",
    "STEP_STARTED": "stepName",
    "SUBAGENT_STARTED": "subagentRunId",
}
_CLOSERS = {
    "TEXT_MESSAGE_END": "TEXT_MESSAGE_START",
    "REASONING_END": "REASONING_START",
    "REASONING_MESSAGE_END": "REASONING_MESSAGE_START",
    "TOOL_CALL_END": "TOOL_CALL_START",
    "STEP_FINISHED": "STEP_STARTED",
    "SUBAGENT_FINISHED": "SUBAGENT_STARTED",
    "SUBAGENT_ERROR": "SUBAGENT_STARTED",
}
_PIECES = {
    "TEXT_MESSAGE_CONTENT": "TEXT_MESSAGE_START",
    "REASONING_MESSAGE_CONTENT": "REASONING_MESSAGE_START",
    "TOOL_CALL_ARGS": "TOOL_CALL_START",
}
_LAST = ("RUN_FINISHED", "RUN_ERROR")


class Judged:
    """A stream that was judged: its events, and the conversation as a client has it then."""

    def __init__(self, events: list[dict[str, Any]], given: Sequence[dict[str, Any]]) -> None:
        self.events = events
        self.messages: list[dict[str, Any]] = [dict(each) for each in given]
        self.state: Any = None
        self.calls: dict[str, list[str]] = {}

    @property
    def types(self) -> list[str]:
        """The types of the events."""
        return [each["type"] for each in self.events]

    @property
    def end(self) -> dict[str, Any]:
        """The last event."""
        return self.events[-1]

    @property
    def interrupts(self) -> list[dict[str, Any]]:
        """The interrupts of the run's end."""
        found: list[dict[str, Any]] = self.end["outcome"]["interrupts"]
        return found

    def of(self, *types: str) -> list[dict[str, Any]]:
        """Return the events of the types."""
        return [each for each in self.events if each["type"] in types]

    def text(self, owner: str | None = None) -> str:
        """Return the text of the last message of the run, or of a subagent."""
        own = [each for each in self.messages if each["role"] == "assistant" and each.get("subagentRunId") == owner]
        return str(own[-1].get("content", "")) if own else ""


def judge(body: str, given: Sequence[dict[str, Any]] = ()) -> Judged:
    """Read a stream, and check each rule of the protocol. `given` is the conversation that the client has sent."""
    blocks = [block for block in body.split("\n\n") if block]
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    events = [json.loads(block.removeprefix("data: ")) for block in blocks]
    judged = Judged(events, given)
    opened: dict[tuple[str, str | None, str], bool] = {}
    answered = {each["toolCallId"] for each in given if each["role"] == "tool"}
    known = {call["id"] for each in given for call in each.get("toolCalls") or ()}
    assert events[0]["type"] == "RUN_STARTED"
    assert events[0]["protocolVersion"] == "1.0"
    assert [each["type"] in _LAST for each in events].index(True) == len(events) - 1
    for event in events:
        kind, owner = event["type"], event.get("subagentRunId")
        assert None not in event.values()
        if kind in _OPENERS:
            key = (kind, None if kind == "SUBAGENT_STARTED" else owner, event[_OPENERS[kind]])
            assert not opened.get(key), event
            assert kind == "STEP_STARTED" or key not in opened, event
            opened[key] = True
        elif kind in _CLOSERS or kind in _PIECES:
            opener = _CLOSERS.get(kind) or _PIECES[kind]
            key = (opener, None if opener == "SUBAGENT_STARTED" else owner, event[_OPENERS[opener]])
            assert opened.get(key), event
            opened[key] = kind not in _CLOSERS
        if owner is not None:
            assert ("SUBAGENT_STARTED", None, owner) in opened, event
        _apply(judged, event, known, answered)
    assert events[-1]["type"] == "RUN_ERROR" or not [key for key, is_open in opened.items() if is_open]
    _check_answers(judged, answered)
    return judged


def _apply(judged: Judged, event: dict[str, Any], known: set[str], answered: set[str]) -> None:
    kind, owner = event["type"], {key: event[key] for key in ("subagentRunId",) if key in event}
    by_id = {each["id"]: each for each in judged.messages}
    match kind:
        case "TEXT_MESSAGE_START" | "REASONING_MESSAGE_START":
            judged.messages.append({"id": event["messageId"], "role": event["role"], "content": "", **owner})
        case "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT":
            by_id[event["messageId"]]["content"] += event["delta"]
        case "TOOL_CALL_START":
            parent = by_id[event["parentMessageId"]]
            assert (parent["role"], parent.get("subagentRunId")) == ("assistant", event.get("subagentRunId"))
            assert event["toolCallId"] not in known, "a call has one name in a thread"
            known.add(event["toolCallId"])
            function = {"name": event["toolCallName"], "arguments": ""}
            parent.setdefault("toolCalls", []).append(
                {"id": event["toolCallId"], "type": "function", "function": function}
            )
            judged.calls[event["toolCallId"]] = ["START"]
        case "TOOL_CALL_ARGS":
            calls = [call for each in judged.messages for call in each.get("toolCalls") or ()]
            (call,) = [each for each in calls if each["id"] == event["toolCallId"]]
            call["function"]["arguments"] += event["delta"]
        case "TOOL_CALL_END":
            judged.calls[event["toolCallId"]].append("END")
        case "TOOL_CALL_RESULT":
            assert event["toolCallId"] in known, event
            assert event["toolCallId"] not in answered, event
            answered.add(event["toolCallId"])
            judged.calls.setdefault(event["toolCallId"], []).append("RESULT")
            made = {"id": event["messageId"], "role": "tool", "toolCallId": event["toolCallId"]}
            judged.messages.append(made | {"content": event["content"]} | owner)
        case "MESSAGES_SNAPSHOT":
            judged.messages = [dict(each) for each in event["messages"]]
        case "STATE_SNAPSHOT":
            judged.state = event["snapshot"]
        case "STATE_DELTA":
            judged.state = _patch(judged.state, event["delta"])


def _patch(state: Any, operations: list[dict[str, Any]]) -> Any:
    state = json.loads(json.dumps(state))
    for each in operations:
        parts = [part.replace("~1", "/").replace("~0", "~") for part in each["path"].split("/")[1:]]
        if not parts:
            state = each["value"]
            continue
        place = state
        for part in parts[:-1]:
            place = place[int(part)] if isinstance(place, list) else place[part]
        last: Any = parts[-1]
        if isinstance(place, list):
            last = len(place) if last == "-" else int(last)
        if each["op"] == "remove":
            del place[last]
        elif isinstance(place, list) and each["op"] == "add":
            place.insert(last, each["value"])
        else:
            assert each["op"] == "add" or last in (range(len(place)) if isinstance(place, list) else place)
            place[last] = each["value"]
    return state


def _check_answers(judged: Judged, answered: set[str]) -> None:
    """Check that each call has START, END and RESULT, unless the client or a person has to answer it."""
    outcome = judged.end.get("outcome", {"type": "error"})
    pending = set(outcome.get("pendingToolCallIds", ()))
    for call, seen in judged.calls.items():
        assert seen in (["START", "END"], ["START", "END", "RESULT"], ["RESULT"]), (call, seen)
        if outcome["type"] == "success":
            assert (call in answered) != (call in pending), call
    for each in outcome.get("interrupts", ()):
        assert each["id"]
        assert each["reason"]
        assert "toolCallId" not in each or each["toolCallId"] in judged.calls
