"""The events of a run as updates of a task. Pure: knows neither store nor sockets.

The answer is the artifact `answer`. The text of a turn is streamed as the model writes it, and takes the place of the
text of the turn before, so that a client that puts the pieces together ends with the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agno_rt import Event
from agno_rt.events import ModelStarted, RunEnded, RunStarted, TextDelta, TurnRestarted
from agno_rt_serve.api.a2a.shapes import (
    A2AArtifact,
    A2APart,
    A2AStatus,
    ArtifactUpdate,
    State,
    StatusUpdate,
    StreamAnswer,
)

__all__ = ["EVENT", "TaskEvents", "make_answer", "state_of_end"]

EVENT = "agno-rt/event"
"""The name in the metadata of an update for the number of the run's event."""

_ARTIFACT = "answer"

_STATES: dict[str, State] = {
    "completed": "TASK_STATE_COMPLETED",
    "failed": "TASK_STATE_FAILED",
    "limited": "TASK_STATE_FAILED",
    "cancelled": "TASK_STATE_CANCELED",
    "paused": "TASK_STATE_INPUT_REQUIRED",
    "running": "TASK_STATE_WORKING",
}


def state_of_end(status: str, code: str | None) -> State:
    """Return the state of a task for the status of the run. A guardrail's refusal is the state rejected."""
    return "TASK_STATE_REJECTED" if status == "failed" and code == "blocked" else _STATES[status]


def make_answer(content: str, *, typed: bool) -> A2AArtifact:
    """Return the artifact of an answer: text, or data for an agent with an output type."""
    part = A2APart(content)
    if typed:
        try:
            part = A2APart(data=msgspec.json.decode(content), media_type="application/json")
        except msgspec.DecodeError:
            part = A2APart(content)
    return A2AArtifact(_ARTIFACT, [part], _ARTIFACT)


class TaskEvents:
    """Maps the events of a run, in their order. Answers of agents with an output type come whole, as data.

    After each event, `state` is the state of the task; a pause is for the caller to tell.
    """

    def __init__(self, run: str, context: str, *, typed: bool) -> None:
        self._run = run
        self._context = context
        self._typed = typed
        self._text = ""
        self._is_new_turn = False
        self.state: State = "TASK_STATE_SUBMITTED"

    @property
    def artifacts(self) -> list[A2AArtifact] | None:
        """The artifacts as far as the events tell, for a client that joins."""
        return [make_answer(self._text, typed=False)] if self._text else None

    def feed(self, number: int, event: Event) -> Iterator[StreamAnswer]:
        """Yield the updates of an event."""
        match event:
            case TextDelta() if not self._typed and event.text:
                yield self._add_text(event.text, number)
            case ModelStarted() if event.turn:
                self._is_new_turn = True
            case TurnRestarted():
                self._is_new_turn = True
            case RunStarted():
                self.state = "TASK_STATE_WORKING"
                yield self.tell_status(A2AStatus(self.state), number)
            case RunEnded():
                self.state = state_of_end(event.status, event.code)
                if event.status == "completed" and event.content and event.content != self._text:
                    self._text = event.content
                    artifact = make_answer(event.content, typed=self._typed)
                    yield self._tell_artifact(artifact, number, last_chunk=True)
            case _:
                pass

    def _add_text(self, text: str, number: int) -> StreamAnswer:
        append = bool(self._text) and not self._is_new_turn
        self._text = self._text + text if append else text
        self._is_new_turn = False
        return self._tell_artifact(make_answer(text, typed=False), number, append=append)

    def _tell_artifact(self, artifact: A2AArtifact, number: int, **how: bool) -> StreamAnswer:
        update = ArtifactUpdate(self._run, self._context, artifact, metadata=_number(number), **how)
        return StreamAnswer(artifact_update=update)

    def tell_status(self, status: A2AStatus, number: int | None) -> StreamAnswer:
        """Return the update for a status, with the number of its event, if any."""
        metadata = None if number is None else _number(number)
        return StreamAnswer(status_update=StatusUpdate(self._run, self._context, status, metadata))


def _number(number: int) -> dict[str, Any]:
    return {EVENT: number}
