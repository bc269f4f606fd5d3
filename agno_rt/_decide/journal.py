"""The entries of a run's journal, and the replay that rebuilds a run from the entries. Pure: no store, no trio.

A journal begins with the run's input and the history before the input. Then follow the model's responses, the beginning
and the result of each tool call, and each check of an answer. A replay brings the state machine of `turns` to the point
where the run stopped, without asking a model or calling a tool again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from agno_rt._decide.turns import Turns, View
from agno_rt.errors import BackendError
from agno_rt.messages import Content, Message, Native, ToolCall, Usage
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
    "Received",
    "Replay",
    "Reviewed",
    "Started",
    "StepBegun",
    "StepEnded",
    "StoredError",
    "describe_entry",
    "encode_entries",
    "encode_entry",
    "read_entry",
    "steps_again",
]


NO_STATE = msgspec.Raw()
"""The stored state of a run without a session state."""


class Body(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The base of all entries. `at` is the time of writing in seconds since the epoch; 0 if from an older version."""

    at: float = 0.0


class Begun(Body):
    """The run's input, the system message, and the number of the session's messages that were `shown` to the model.

    `total` (of messages), `version` and `state` are the session's when the run began, `code_version` the workflow's.
    `generation` counts the earlier journals of a workflow begun again, and `usage` is the usage in these journals.
    `forked` counts the first entries, taken from a run with another input; 0 for a new run. `notes` is the text of
    context providers just before the input. `todos` is the session's todo list then, if the agent has one.
    """

    input: tuple[Message, ...]
    system: str = ""
    shown: int = 0
    total: int = 0
    version: int = 0
    state: msgspec.Raw = NO_STATE
    code_version: int = 1
    generation: int = 0
    usage: Usage | None = None
    forked: int = 0
    notes: str = ""
    todos: msgspec.Raw = NO_STATE


class Answered(Body):
    """A response of the model; `own` is its usage, and `usage` the run's so far, with this response.

    `compacted` has the summary and the cut of a compaction before the request.
    """

    turn: int
    content: str
    tool_calls: tuple[ToolCall, ...]
    reasoning: str
    finish_reason: FinishReason
    own: Usage
    usage: Usage
    state: msgspec.Raw = NO_STATE
    native: Native | None = None
    request_id: str = ""
    raw_finish_reason: str = ""
    compacted: tuple[str, int] | None = None


class Checked(Body):
    """The verdict of the output's check: the reason for a refusal, or `None`."""

    reason: str | None


class Reviewed(Body):
    """A review of a call that would ask a person: `approved` in the person's place, `by` whom and why, or not.

    `grant` is the id of a standing approval. `key` has the digest of the tool's definition, and the arguments.
    """

    turn: int
    call: str
    approved: bool
    by: str
    reason: str = ""
    grant: str = ""
    key: str = ""
    usage: Usage | None = None


class Started(Body):
    """The beginning of a call that must not be made twice."""

    turn: int
    call: str


class Called(Body):
    """The result of a call, as the model sees it. `usage` is the run's so far, `state` the session's state after the
    call, and `counts` the number of calls of each bounded tool."""

    turn: int
    call: str
    name: str
    status: str
    content: Content
    usage: Usage
    state: msgspec.Raw = NO_STATE
    counts: dict[str, int] | None = None


class Received(Body):
    """Messages that were sent to the run under way, before a turn or after an answer.

    `sent` names each `send` that is in the entry, as far as it was stored. A team or workflow hands messages on: `to`
    has the ids of the runs within. Empty, nobody took the messages in; `None`, the run itself did.
    """

    messages: tuple[Message, ...]
    sent: tuple[str, ...] = ()
    to: tuple[str, ...] | None = None


class Paused(Body):
    """A pause of the run, which waits for these approvals.

    `calls` are the tool calls, by turn and id, that wait for runs within, and are made again. `counts` is as in
    `Called`.
    """

    approvals: list[str]
    calls: tuple[tuple[int, str], ...] = ()
    counts: dict[str, int] | None = None


class Ended(Body):
    """The end of the run; a run with another status than completed can be resumed.

    The status `continued` ends a journal with a successor in the same run.

    `output` is the answer of a workflow, as JSON. `again` has the paths of the steps whose failures ended the workflow:
    a resumed run takes these steps again. `calls` are the tool calls, by turn and id, that a stop has cut off: they are
    made again, too.
    """

    status: str
    error: str | None = None
    output: msgspec.Raw = NO_STATE
    again: tuple[str, ...] = ()
    calls: tuple[tuple[int, str], ...] = ()


class StepBegun(Body):
    """The beginning of a workflow's step that must not be done twice, or of a wait `until` a time.

    `path` names the step; `trail` has the numbers of the places on the path; `digest` is the arguments'.
    """

    path: str
    trail: tuple[int, ...]
    digest: str = ""
    until: float = 0.0


class StoredError(msgspec.Struct, omit_defaults=True):
    """An error as stored: its code, its text, its hint, and its simple attributes."""

    code: str
    message: str
    hint: str = ""
    fields: dict[str, Any] = {}


class StepEnded(Body):
    """The result of a workflow's step: its value as JSON, or its error. `began` is the time of its beginning.

    For a run within the workflow, `run` is its id, `usage` its usage, and the value is a `StoredResult`. `signal` is
    the number of the signal that the step took.
    """

    path: str
    trail: tuple[int, ...]
    digest: str = ""
    value: msgspec.Raw = NO_STATE
    error: StoredError | None = None
    run: str | None = None
    usage: Usage | None = None
    began: float = 0.0
    signal: int = 0


_BODIES: dict[EntryKind, type[Body]] = {
    "begun": Begun,
    "answered": Answered,
    "checked": Checked,
    "reviewed": Reviewed,
    "started": Started,
    "called": Called,
    "paused": Paused,
    "received": Received,
    "ended": Ended,
    "step_begun": StepBegun,
    "step_ended": StepEnded,
}
_KINDS: dict[type[Body], EntryKind] = {body: kind for kind, body in _BODIES.items()}
_encode = msgspec.json.Encoder().encode


def encode_entry(seq: int, body: Body, at: float) -> Entry:
    """Return the body as entry number `seq`, written at the time `at`."""
    body.at = at
    return Entry(seq, _KINDS[type(body)], _encode(body))


def encode_entries(seq: int, bodies: Iterable[Body], at: float) -> list[Entry]:
    """Return the bodies as entries from number `seq` on, written at the time `at`."""
    entries = []
    for body in bodies:
        body.at = at
        entries.append(Entry(seq, _KINDS[body.__class__], _encode(body)))
        seq += 1
    return entries


def read_entry(entry: Entry, run: str) -> Any:
    """Return the body of an entry. Raises `BackendError` if the entry is damaged."""
    try:
        return msgspec.json.decode(entry.body, type=_BODIES[entry.kind])
    except (KeyError, msgspec.MsgspecError, UnicodeError) as exc:
        hint = f"Restore the store from a backup, or fork the run before it: fork({run!r}, {entry.seq})."
        raise BackendError(f"entry {entry.seq} of the journal of run {run!r} is damaged: {exc}", hint=hint) from exc


def steps_again(entry: Entry, run: str) -> Sequence[str]:
    """Return the paths of a workflow's steps, or the ids of calls, that a resumed run takes again due to this entry."""
    body = read_entry(entry, run) if entry.kind in ("ended", "paused") else None
    if isinstance(body, Paused):
        return [call for _, call in body.calls]
    return body.again if isinstance(body, Ended) else ()


class Replay(msgspec.Struct, eq=False):
    """A journal, read. `results`, `started`, `waited` and `reviewed` hold the calls by turn and call id: a model may
    repeat an id.

    `waited` has the calls that waited for runs within at the last pause: they are not `started`, but made again.
    """

    run: str
    begun: Begun
    steps: list[Any]
    entries: int
    results: dict[tuple[int, str], Called] = {}
    started: set[tuple[int, str]] = set()
    waited: set[tuple[int, str]] = set()
    reviewed: dict[tuple[int, str], Reviewed] = {}

    @classmethod
    def of(cls, run: str, entries: Sequence[Entry]) -> Replay:
        """Read a journal. Raises `BackendError` if an entry is damaged or the first one is missing."""
        bodies = [read_entry(each, run) for each in entries]
        if not bodies or not isinstance(bodies[0], Begun):
            hint = "The run was stopped before its first step was stored: start a new one."
            raise BackendError(f"the journal of run {run!r} has no beginning", hint=hint)
        replay = cls(run, bodies[0], bodies[1:], len(entries), {}, set(), set(), {})
        for body in bodies:
            if isinstance(body, Called):
                replay.results[body.turn, body.call] = body
            elif isinstance(body, Reviewed):
                replay.reviewed[body.turn, body.call] = body
            elif isinstance(body, Started):
                replay.started.add((body.turn, body.call))
            elif isinstance(body, Paused | Ended):
                replay.waited = set(body.calls)
                replay.started -= replay.waited
        return replay

    @property
    def state(self) -> msgspec.Raw:
        """The session's state after the last step; empty for a run without a state."""
        states = (each.state for each in reversed(self.steps) if isinstance(each, Answered | Called))
        return next((state for state in states if bytes(state)), self.begun.state)

    @property
    def counts(self) -> dict[str, int] | None:
        """The number of calls of each bounded tool."""
        counted = (each.counts for each in reversed(self.steps) if isinstance(each, Called | Paused))
        return next((counts for counts in counted if counts), None)

    @property
    def calls(self) -> int:
        """The number of calls that the model asked for, with the calls within those that have ended.

        A call that has not ended is made again, and counts the calls within again.
        """
        asked = {(each.turn, call.id) for each in self.steps if isinstance(each, Answered) for call in each.tool_calls}
        ended = asked & self.results.keys()
        # The id of a call within is that of the call around, a dot, and a number.
        within = sum(
            any((turn, call[:at]) in ended for at, letter in enumerate(call) if letter == ".")
            for turn, call in self.results.keys() - asked
        )
        return sum(len(each.tool_calls) for each in self.steps if isinstance(each, Answered)) + within

    def into(self, turns: Turns) -> None:
        """Bring the turns, which have begun, to the point where the run stopped. Raises the errors of `Turns`."""
        # The same methods as in a live run: a journal with a step that `TRANSITIONS` lacks cannot be replayed.
        for step in self.steps:
            match step:
                case Answered():
                    if step.compacted is not None:
                        _compact_again(turns, self.begun, step.compacted)
                    turns.ask()
                    response = ModelResponse(
                        step.content, step.tool_calls, step.reasoning, step.own, step.finish_reason, step.native
                    )
                    turns.answered(response)
                    turns.usage = step.usage
                case Called():
                    turns.usage = step.usage
                    self._finish(turns)
                case Reviewed() if step.usage is not None:
                    turns.usage = step.usage
                case Received() if step.to is None:
                    turns.received(step.messages)
                case Checked() if turns.state == "checking":
                    turns.checked(step.reason)
                case _:
                    pass

    def _finish(self, turns: Turns) -> None:
        """Hand the results of a turn to the turns, once all of them are there."""
        # Calls end in any order, and the model sees the results in the order of the calls.
        results = [self.results.get((turns.turn, call.id)) for call in turns.calls]
        if turns.state == "calling" and all(each is not None for each in results):
            turns.called(
                [
                    Message("tool", each.content, (), each.call, each.name)
                    for each in results
                    if each is not None  # for the type checker
                ]
            )


def _compact_again(turns: Turns, begun: Begun, compacted: tuple[str, int]) -> None:
    from agno_rt._decide.compaction import compact  # few stored runs are compacted

    if turns.view is None:  # the agent had a summary when the run began, and has none now
        turns.view = View(bool(begun.notes), len(begun.input))
    compact(turns, *compacted)


def describe_entry(each: Entry, run: str = "") -> str:
    """Describe an entry in one line, for people."""
    body = read_entry(each, run)
    match body:
        case Begun():
            said = next((message.text for message in reversed(body.input) if message.role == "user"), "")
            line = f"asked: {said}"
        case Answered():
            calls = ", ".join(f"{call.name}({call.arguments})" for call in body.tool_calls)
            line = f"turn {body.turn}: {f'the model called {calls}' if calls else body.content}"
        case Checked() | Reviewed():
            line = _describe_verdict(body)
        case Started():
            line = f"turn {body.turn}: call {body.call} began"
        case Called():
            said = Message("tool", body.content).text
            line = f"turn {body.turn}: {body.name} {body.status}: {said}"
        case Received():
            done = "received" if body.to is None else "handed on" if body.to else "received, and not taken in"
            line = f"{done}: {body.messages[-1].text}"
        case Paused():
            line = f"paused for {len(body.approvals)} {'approval' if len(body.approvals) == 1 else 'approvals'}"
        case StepBegun():
            line = f"{body.path} began"
        case StepEnded():
            line = f"{body.path}: {_describe_end(body)}"
        case _:
            line = _describe_run_end(body)
    return line


def _describe_verdict(body: Checked | Reviewed) -> str:
    if isinstance(body, Checked):
        return "the answer passed its check" if body.reason is None else f"the answer was refused: {body.reason}"
    said = f"{'approved' if body.approved else 'left to a person'} by {body.by}"
    why = " ".join(filter(None, (body.grant, body.reason)))
    return f"turn {body.turn}: call {body.call} was {said}{f': {why}' if why else ''}"


def _describe_run_end(body: Ended) -> str:
    if body.status == "continued":
        return "went on with a new journal"
    return f"{body.status}{f': {body.error}' if body.error else ''}"


class _Content(msgspec.Struct):
    content: str


def _describe_end(body: StepEnded) -> str:
    """Describe the result of a workflow's step: its error, the answer of a run, or its value as JSON."""
    if body.error is not None:
        return f"failed: {body.error.message}"
    if body.run is not None:
        return msgspec.json.decode(body.value, type=_Content).content
    return bytes(body.value).decode(errors="replace")
