"""What the entries of a run's journal say, and how a run is rebuilt from them. Pure: no store, no trio.

A journal begins with what the run was asked and what it was shown before that; then comes each response of the model,
the beginning and the result of each tool call, each check of an answer. Replaying it leads the state machine of `_turn`
to where the run was, without asking anybody anything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agno_rt._decide.turns import Turns
from agno_rt.errors import BackendError
from agno_rt.messages import Content, Message, ToolCall, Usage
from agno_rt.models import FinishReason, ModelResponse
from agno_rt.run_store import Entry, EntryKind

__all__ = [
    "NO_STATE",
    "Answered",
    "Begun",
    "Body",
    "Called",
    "Checked",
    "Ended",
    "Paused",
    "Replay",
    "Started",
    "described",
    "entry",
    "read",
]


NO_STATE = msgspec.Raw()
"""What a run without a state keeps of it."""


class Body(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What every entry says: when it was written, in seconds since the epoch; 0 where an older version wrote it."""

    at: float = 0.0


class Begun(Body):
    """What the run was asked, and what goes before it: the system message, and so many messages of the session.

    `total` and `version` are those of the session then. `state` is the session's state as it was read.
    """

    input: tuple[Message, ...]
    system: str = ""
    shown: int = 0
    total: int = 0
    version: int = 0
    state: msgspec.Raw = NO_STATE


class Answered(Body):
    """A response of the model; `usage` is the run's so far, with this one."""

    turn: int
    content: str
    tool_calls: tuple[ToolCall, ...]
    reasoning: str
    finish_reason: FinishReason
    own: Usage
    usage: Usage
    state: msgspec.Raw = NO_STATE


class Checked(Body):
    """What the output's check said: why the answer will not do, or nothing."""

    reason: str | None


class Started(Body):
    """A call was begun that must not be made twice."""

    turn: int
    call: str


class Called(Body):
    """What the model is told of a call; `usage` is the run's so far, `state` the session's state then,
    `counts` how often each bounded tool had been called."""

    turn: int
    call: str
    name: str
    status: str
    content: Content
    usage: Usage
    state: msgspec.Raw = NO_STATE
    counts: dict[str, int] | None = None


class Paused(Body):
    """The run waits for these approvals."""

    approvals: list[str]


class Ended(Body):
    """The run is over, for now at least: one that is not completed can be resumed."""

    status: str
    error: str | None = None


_BODIES: dict[EntryKind, type[Body]] = {
    "begun": Begun,
    "answered": Answered,
    "checked": Checked,
    "started": Started,
    "called": Called,
    "paused": Paused,
    "ended": Ended,
}
_KINDS: dict[type[Body], EntryKind] = {body: kind for kind, body in _BODIES.items()}


def entry(seq: int, body: Body, at: float) -> Entry:
    """The body as the entry of that number, written at that time."""
    body.at = at
    return Entry(seq, _KINDS[type(body)], msgspec.json.encode(body))


def read(entry: Entry, run: str) -> Any:
    """The body of an entry. Raises `BackendError` for one that is damaged."""
    try:
        return msgspec.json.decode(entry.body, type=_BODIES[entry.kind])
    except (KeyError, msgspec.MsgspecError, UnicodeError) as exc:
        hint = f"Restore the store from a backup, or fork the run before it: fork({run!r}, {entry.seq})."
        raise BackendError(f"entry {entry.seq} of the journal of run {run!r} is damaged: {exc}", hint=hint) from exc


class Replay(msgspec.Struct, eq=False):
    """A journal, read. `results` and `started` are those of calls, by turn and call id."""

    run: str
    begun: Begun
    steps: list[Any]
    entries: int
    results: dict[tuple[int, str], Called] = {}
    started: set[tuple[int, str]] = set()

    @classmethod
    def of(cls, run: str, entries: Sequence[Entry]) -> Replay:
        """Read a journal. Raises `BackendError` for one that is damaged."""
        bodies = [read(each, run) for each in entries]
        if not bodies or not isinstance(bodies[0], Begun):
            hint = "It was stopped before its first step was stored: run it anew."
            raise BackendError(f"the journal of run {run!r} has no beginning", hint=hint)
        made = cls(run, bodies[0], bodies[1:], len(entries), {}, set())
        for body in bodies:
            if isinstance(body, Called):
                made.results[body.turn, body.call] = body
            elif isinstance(body, Started):
                made.started.add((body.turn, body.call))
        return made

    @property
    def state(self) -> msgspec.Raw:
        """The session's state as the last step left it; empty for a run without one."""
        states = (each.state for each in reversed(self.steps) if isinstance(each, Answered | Called))
        return next((state for state in states if bytes(state)), self.begun.state)

    @property
    def counts(self) -> dict[str, int] | None:
        """How often each bounded tool was called."""
        counted = (each.counts for each in reversed(self.steps) if isinstance(each, Called))
        return next((counts for counts in counted if counts), None)

    @property
    def calls(self) -> int:
        """How many calls the model asked for."""
        return sum(len(each.tool_calls) for each in self.steps if isinstance(each, Answered))

    def into(self, turns: Turns) -> None:
        """Lead the turns, which have begun, to where the run was. Raises as the turns do."""
        for step in self.steps:
            match step:
                case Answered():
                    turns.ask()
                    response = ModelResponse(
                        step.content, step.tool_calls, step.reasoning, step.own, step.finish_reason
                    )
                    turns.answered(response)
                    turns.usage = step.usage
                case Called():
                    turns.usage = step.usage
                    self._finish(turns)
                case Checked() if turns.state == "checking":
                    turns.checked(step.reason)
                case _:
                    pass

    def _finish(self, turns: Turns) -> None:
        """Hand over the results of a turn, once all of them are there."""
        told = [self.results.get((turns.turn, call.id)) for call in turns.calls]
        if turns.state == "calling" and all(each is not None for each in told):
            turns.called(
                [
                    Message("tool", each.content, (), each.call, each.name)
                    for each in told
                    if each is not None  # for the type checker
                ]
            )


def described(each: Entry, run: str = "") -> str:
    """The entry in a line, for people."""
    body = read(each, run)
    match body:
        case Begun():
            said = next((message.text for message in reversed(body.input) if message.role == "user"), "")
            line = f"asked: {said}"
        case Answered():
            calls = ", ".join(f"{call.name}({call.arguments})" for call in body.tool_calls)
            line = f"turn {body.turn}: {f'the model called {calls}' if calls else body.content}"
        case Checked():
            line = "the answer passed its check" if body.reason is None else f"the answer was refused: {body.reason}"
        case Started():
            line = f"turn {body.turn}: call {body.call} began"
        case Called():
            said = Message("tool", body.content).text
            line = f"turn {body.turn}: {body.name} {body.status}: {said}"
        case Paused():
            line = f"paused for {len(body.approvals)} {'approval' if len(body.approvals) == 1 else 'approvals'}"
        case _:
            line = f"{body.status}{f': {body.error}' if body.error else ''}"
    return line
