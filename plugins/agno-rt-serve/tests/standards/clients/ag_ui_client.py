"""The models of AG-UI's SDK for Python read the server's streams: `ag_ui_client.py URL` prints what they found."""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

from ag_ui.core import AgentCapabilities, Event, RunAgentInput
from pydantic import TypeAdapter

URL = sys.argv[1]
EVENT: TypeAdapter[Any] = TypeAdapter(Event)


def run(agent: str, thread: str, text: str, **more: Any) -> list[Any]:
    """Return the events of a run, each as the SDK's model. An unknown field or a lost one ends the program."""
    messages = [{"id": text, "role": "user", "content": text}] if text else []
    asked = RunAgentInput.model_validate({"threadId": thread, "runId": "r", "messages": messages, **more})
    body = asked.model_dump_json(by_alias=True).encode()
    request = urllib.request.Request(
        f"{URL}/agents/{agent}/ag-ui", body, {"Content-Type": "application/json", "Accept": "text/event-stream"}
    )
    with urllib.request.urlopen(request) as answer:
        lines = [line.removeprefix("data: ") for line in answer.read().decode().split("\n\n") if line]
    events = [EVENT.validate_json(line) for line in lines]
    for line, event in zip(lines, events, strict=True):
        assert json.loads(line) == json.loads(event.model_dump_json(by_alias=True)), line
        check_extra(event)
    return events


def check_extra(value: Any) -> None:
    """Check that the model, and the models within, have no field that the protocol does not know."""
    if isinstance(value, list):
        for each in value:
            check_extra(each)
    elif hasattr(value, "model_extra"):
        assert not value.model_extra, value
        for name in type(value).model_fields:
            check_extra(getattr(value, name))


def main() -> None:
    """Run each runnable, answer its interrupts, and print the types of the last events and all types."""
    seen, ends = set(), {}
    for agent, word in (("shop", "buy"), ("shop", "both"), ("desk", "pay"), ("publish", "hi"), ("pair", "look")):
        events = run(agent, f"{agent}-{word}", word)
        seen |= {each.type.value for each in events}
        ends[f"{agent} {word}"] = events[-1].outcome.type
        if events[-1].outcome.type == "interrupt":
            resume = [
                {"interruptId": each.id, "status": "resolved", "payload": True}
                for each in events[-1].outcome.interrupts
            ]
            events = run(agent, f"{agent}-{word}", "", resume=resume)
            seen |= {each.type.value for each in events}
            ends[f"{agent} {word} resumed"] = events[-1].outcome.type
    with urllib.request.urlopen(f"{URL}/agents/shop/ag-ui/capabilities") as answer:
        told = AgentCapabilities.model_validate_json(answer.read())
    check_extra(told)
    print(json.dumps({"ends": ends, "types": sorted(seen), "name": told.identity.name}))


main()
