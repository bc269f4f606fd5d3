"""Shows a run as it happens: the answer on stdout, all else on stderr. Knows events, and neither runs nor agents."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from agno_rt.cli.report import clean, notice, styled
from agno_rt.events import (
    ApprovalAsked,
    Event,
    GuardTripped,
    ModelStarted,
    ReasoningDelta,
    RunEnded,
    TextDelta,
    ToolEnded,
    ToolProgress,
    ToolStarted,
    TurnRestarted,
)
from agno_rt.journal import ApprovalKind
from agno_rt.messages import Message, ToolCall

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["Display", "call_line", "message_text", "progress_line", "result_line", "waiting_line"]

_LINE = 160
"""Characters of a tool call or a result that are shown."""

_WAITS: dict[ApprovalKind, str] = {"approval": "an approval", "input": "an input", "external": "its result"}


class Display:
    """Shows the events of one run after another; use it in a `with` block for each run.

    Text goes to a terminal as it comes. Elsewhere, where scripts read, only the answer may be written: text that is
    `provisional`, and may turn out not to be the answer, is then held back until the run is over. Without `answer`,
    stdout is left to somebody else. `reasoning` says whether to show what the model thinks; unless told, a terminal is
    shown it.
    """

    def __init__(self, *, provisional: bool, answer: bool = True, reasoning: bool | None = None) -> None:
        self._answer = answer
        self._terminal = answer and sys.stdout.isatty()
        self._hold = provisional and not self._terminal
        self._shows_reasoning = self._terminal if reasoning is None else reasoning
        self._turn: list[str] = []
        self._open_line = False
        self._thinks = False
        self._status: Status | None = None

    def __enter__(self) -> Self:
        self._turn, self._open_line, self._thinks = [], False, False
        self._wait("waiting for the model")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._arrived()
        # What is said next, an error for one, begins on a line of its own.
        self._end_line()

    def show(self, event: Event) -> None:
        """Show what happened."""
        match event:
            case TextDelta():
                self._text(event.text)
            case ReasoningDelta():
                self._reasoning(event.text)
            case ModelStarted():
                self._new_turn()
            case ToolStarted() | ToolProgress() | ToolEnded() | ApprovalAsked():
                self._of_call(event)
            case TurnRestarted():
                self._restarted(event.reason)
            case GuardTripped() if event.action == "changed":
                # One that blocks ends the run with an error, which says the same.
                self._aside(f"The guardrail {event.guard} changed the {event.where}: {event.reason}")
            case RunEnded() if event.status == "completed":
                self._answered(event.content)
            case _:
                pass

    def _of_call(self, event: ToolStarted | ToolProgress | ToolEnded | ApprovalAsked) -> None:
        match event:
            case ToolStarted():
                self._tool(call_line(event.call), f"running {event.call.name}")
            case ToolProgress():
                self._tool(progress_line(event.call, event.data), f"running {event.call.name}")
            case ApprovalAsked():
                self._tool(waiting_line(event.call, event.kind), "pausing")
            case _:
                if event.status != "cancelled":
                    failed = event.status == "failed"
                    self._tool(result_line(event.call.name, event.content, failed=failed), "waiting")

    def _text(self, text: str) -> None:
        self._turn.append(text)
        if not self._hold:
            self._write(text)

    def _reasoning(self, text: str) -> None:
        if not self._shows_reasoning:
            return
        self._arrived()
        self._thinks = True
        click.echo(styled(clean(text), dim=True), err=True, nl=False)

    def _new_turn(self) -> None:
        self._not_the_answer()
        self._end_line()
        self._wait("waiting for the model")

    def _tool(self, line: str, under_way: str) -> None:
        self._not_the_answer()
        self._aside(line)
        self._wait(under_way)

    def _restarted(self, reason: str) -> None:
        """What was written of the turn is void: held text is dropped, shown text is said to be void."""
        shown = bool(self._turn) and not self._hold and self._answer
        self._turn = []
        self._aside(f"{'That is void; begun anew' if shown else 'Begun anew'}: {reason}")
        self._wait("waiting for the model")

    def _aside(self, line: str) -> None:
        self._arrived()
        self._end_line()
        notice(line)

    def _answered(self, content: str) -> None:
        # A model may answer without emitting deltas; then nothing of its turn has been written yet.
        if self._hold or not self._turn:
            self._write(content)
        self._end_line()

    def _not_the_answer(self) -> None:
        """What the turn said so far came before tool calls, or did not fit: told, but not on stdout."""
        if self._hold and self._turn:
            notice("".join(self._turn))
        self._turn = []

    def _write(self, text: str) -> None:
        if not text or not self._answer:
            return
        self._arrived()
        if self._thinks:
            self._thinks = False
            click.echo(err=True)
        sys.stdout.write(clean(text) if self._terminal else text)
        sys.stdout.flush()
        self._open_line = not text.endswith("\n")

    def _end_line(self) -> None:
        if self._thinks:
            self._thinks = False
            click.echo(err=True)
        if self._open_line:
            self._open_line = False
            sys.stdout.write("\n")
            sys.stdout.flush()

    def _wait(self, what: str) -> None:
        """Show that something is under way, where somebody is watching."""
        self._arrived()
        if self._terminal and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(f"[dim]{what}[/dim]", spinner_style="dim")
            self._status.start()

    def _arrived(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def call_line(call: ToolCall) -> str:
    """A tool call on one line: `→ weather(city="Seoul")`."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        return _cut(f"→ {call.name}({call.arguments})")
    shown = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    return _cut(f"→ {call.name}({shown})")


def progress_line(call: ToolCall, data: Any) -> str:
    """How far a tool is, on one line: `… weather: half done`."""
    return _cut(f"… {call.name}: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}")


def result_line(name: str, content: str, *, failed: bool = False) -> str:
    """A tool's result on one line: `← weather: Sun in Seoul`."""
    # What the model is told of a tool that raised says so itself.
    if content.startswith(f"{name} failed: "):
        return _cut(f"← {content}")
    return _cut(f"← {name}{' failed' if failed else ''}: {content}")


def waiting_line(call: ToolCall, kind: ApprovalKind) -> str:
    """What a run waits for, on one line: `? weather(city="Seoul") waits for an approval`."""
    return _cut(f"? {call_line(call)[2:]} waits for {_WAITS[kind]}")


def message_text(message: Message) -> str:
    """A message as people read it: tool calls, results and media on a line each."""
    from agno_rt.media import described

    content = (message.content,) if isinstance(message.content, str) else message.content
    text = clean("\n".join(part if isinstance(part, str) else described(part) for part in content))
    match message.role:
        case "user":
            return f"> {text}"
        case "tool":
            return clean(result_line(message.name or "tool", text))
        case _:
            return "\n".join([*([text] if text else []), *(clean(call_line(call)) for call in message.tool_calls)])


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"
